from __future__ import annotations

import pytest

from fin_lake.partitions import parse_hour
from fin_lake.portfolios.definitions import PortfolioError, load_portfolios
from fin_lake.settings import load_settings

SOUND = """\
portfolios:
  - name: pair
    description: Two shares
    initial_cash: 1000
    start: 2023-01-03
    benchmark: IBM
    rebalancing: weekly
    allocations:
      - effective: 2023-02-01T15
        units: {ON: 2}
      - effective: 2023-01-03
        weights: {AAPL: 0.5, MSFT: 0.25, NVDA: 0}
"""


@pytest.fixture
def load(tmp_path):
    def written(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, "utf-8")
        return load_portfolios(path)

    return written


def changed(old, new):
    assert old in SOUND
    return SOUND.replace(old, new)


def test_the_shipped_portfolio_holds_what_is_collected_by_default():
    portfolio = load_portfolios()["tech_growth"]
    assert {*portfolio.symbols, portfolio.benchmark} <= set(load_settings().stock_symbols)
    assert portfolio.start == parse_hour("2023-01-03")


def test_a_definition_is_read_in_utc_and_by_date(load):
    portfolio = load(SOUND)["pair"]
    assert [a.effective for a in portfolio.allocations] == [
        parse_hour("2023-01-03"),
        parse_hour("2023-02-01T15"),
    ]
    assert portfolio.base_currency == "USD"
    assert portfolio.risk_free_rate == 0.0


def test_symbols_are_those_ever_held_without_the_benchmark(load):
    portfolio = load(SOUND)["pair"]
    assert portfolio.symbols == ("AAPL", "MSFT", "ON")
    assert portfolio.benchmark == "IBM"


@pytest.mark.parametrize(
    ("weights", "periods"),
    [("{BTC-USD: 0.5, ETH-USD: 0.5}", 365), ("{BTC-USD: 0.5, IBM: 0.5}", 252), ("{IBM: 1}", 252)],
)
def test_only_what_trades_every_day_is_annualised_by_365(load, weights, periods):
    text = changed("units: {ON: 2}", f"weights: {weights}")
    text = text.replace("{AAPL: 0.5, MSFT: 0.25, NVDA: 0}", weights)
    assert load(text)["pair"].periods_a_year == periods


def test_weights_may_pass_1_by_their_rounding(load):
    assert load(changed("AAPL: 0.5, MSFT: 0.25", "AAPL: 0.75, MSFT: 0.2500000005"))


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("rebalancing:", "rebalance:", ["portfolio 'pair': rebalance: is not a field of this", "remove it"]),
        ("units: {ON: 2}", "unit: {ON: 2}", ["'pair': allocations[0].unit: is not a field of this"]),
        ("    benchmark: IBM\n", "", ["'pair': benchmark: is missing; add it"]),
        ("name: pair", "name: Pair 1", ["name: 'Pair 1' does not look like tech_growth"]),
        ("name: pair", "nome: pair", ["portfolio number 1: name: is missing"]),
        ("initial_cash: 1000", "initial_cash: 0", ["initial_cash: input should be greater than 0, and is 0"]),
        ("initial_cash: 1000", "initial_cash: 1e6", ["initial_cash: '1e6' is not a number", "1.0e+6"]),
        ("initial_cash: 1000", "initial_cash: .inf", ["initial_cash: input should be a finite number"]),
        ("start: 2023-01-03", "start: 2023-02-30", ["start: '2023-02-30' is not an hour", "2023-01-03T14"]),
        ("start: 2023-01-03", "start: 2023-01-03T14:30", ["is not the start of an hour", "whole UTC hours"]),
        ("start: 2023-01-03", "start: 5", ["start: 5 is not a date; write it like 2023-01-03"]),
        ("benchmark: IBM", "benchmark: I B M", ["benchmark: 'I B M' does not look like AAPL"]),
        ("{ON: 2}", "{7203: 2}", ["allocations[0].units.7203: 7203 is not text; write it in quotes"]),
        ("{ON: 2}", "{BTC/USD: 2}", ["allocations[0].units.BTC/USD: 'BTC/USD' does not look like"]),
        ("{ON: 2}", "{ON: -2}", ["allocations[0].units.ON: input should be greater than or equal to 0"]),
        ("{ON: 2}", "{CASH: 2}", ["allocations[0].units: CASH is the name of the cash row"]),
        ("weekly", "hourly", ["rebalancing: input should be 'none', 'daily',", "and is 'hourly'"]),
        ("AAPL: 0.5", "AAPL: 0.8", ["'pair': allocations[1]: weights sum to 1.05; lower them to 1 or less"]),
        ("        units: {ON: 2}\n", "", ["allocations[0]: has neither of weights and units"]),
        ("units: {ON: 2}", "units: {ON: 2}\n        weights: {ON: 1}", ["has both of weights and units"]),
        ("2023-02-01T15", "2023-01-03", ["allocations: two take effect at 2023-01-03-00:00; merge them"]),
        (
            "start: 2023-01-03",
            "start: 2023-01-02",
            ["no allocation takes effect at the start, 2023-01-02-00"],
        ),
        ("start: 2023-01-03", "start: 2023-01-04", ["the first takes effect at 2023-01-03-00:00"]),
        (
            "portfolios:",
            "portfolio:",
            ["portfolios: is missing; add it", "portfolio: is not a field of this"],
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_to_do(load, old, new, parts):
    with pytest.raises(PortfolioError) as caught:
        load(changed(old, new))
    message = str(caught.value)
    assert "mine.yaml" in message
    for part in parts:
        assert part in message
    assert "→ correct the fields that are named" in message


def test_every_wrong_field_is_told_at_once(load):
    with pytest.raises(PortfolioError) as caught:
        load(changed("initial_cash: 1000", "initial_cash: -1").replace("weekly", "yearly"))
    assert "initial_cash" in str(caught.value)
    assert "rebalancing" in str(caught.value)


def test_a_portfolio_that_never_holds_anything_is_refused(load):
    text = changed("{ON: 2}", "{}").replace("{AAPL: 0.5, MSFT: 0.25, NVDA: 0}", "{AAPL: 0}")
    with pytest.raises(PortfolioError, match="portfolio 'pair': holds nothing but cash, ever"):
        load(text)


def test_no_allocations_at_all_are_refused(load):
    text = SOUND.partition("    allocations:")[0] + "    allocations: []\n"
    with pytest.raises(PortfolioError, match=r"no allocation takes effect at the start.*there are none"):
        load(text)


def test_two_portfolios_of_a_name_are_refused(load):
    with pytest.raises(PortfolioError, match=r"mine.yaml defines portfolio 'pair' twice\n.*another name"):
        load(SOUND + SOUND.removeprefix("portfolios:\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.yaml is empty"),
        ("# nothing yet\n", "mine.yaml is empty"),
        ("- pair\n", "holds a list where portfolios are expected"),
        ("portfolios: []\n", "portfolios: .*at least 1 item"),
        ("portfolios:\n  - name: [pair\n", "mine.yaml line 3, column 1: expected ',' or ']'"),
        (SOUND.replace("start:", "initial_cash:"), "line 5, column 5: the key 'initial_cash' stands twice"),
        (SOUND.replace("MSFT", "AAPL"), "line 12, column 30: the key 'AAPL' stands twice"),
        (
            "portfolios: !!python/object:os.system {}\n",
            "line 1, column 13: could not determine a constructor",
        ),
    ],
)
def test_what_is_not_a_file_of_portfolios_is_refused_with_its_line(load, text, message):
    with pytest.raises(PortfolioError, match=message.replace("[", r"\[").replace("]", r"\]")):
        load(text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PortfolioError, match=r"none.yaml cannot be read: No such file"):
        load_portfolios(tmp_path / "none.yaml")


def test_a_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PortfolioError, match=r"binary.yaml is not UTF-8"):
        load_portfolios(path)
