"""Tables as they were known at a moment."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from fin_lake.cli import cli
from fin_lake.errors import FinLakeError
from fin_lake.lake.raw import RawAttempt, write_attempt
from fin_lake.lake.store import Lake
from fin_lake.operations import as_of_command as module
from fin_lake.operations.as_of import AsOfError, as_of
from fin_lake.partitions import HOUR, parse_hour
from fin_lake.portfolios.definitions import load_portfolios
from fin_lake.settings import Settings
from fin_lake.tables import CORPORATE_ACTIONS, PROCESSED, RAW
from fin_lake_tests.conftest import hours
from fin_lake_tests.frames import raw_bar
from fin_lake_tests.unit.transforms.test_actions import dividend

AT = parse_hour("2023-01-03T15")
SPAN = hours("2023-01-03T15")
FIRST = dt.datetime(2023, 1, 5, tzinfo=dt.UTC)
BETWEEN, SECOND = FIRST + HOUR, FIRST + 2 * HOUR


def write(lake: Lake, fetched_at: dt.datetime, *bars) -> None:
    records = pl.DataFrame(list(bars), schema=RAW["stocks"].polars_schema()).with_columns(
        fetched_at=pl.lit(fetched_at, pl.Datetime("us", "UTC"))
    )
    write_attempt(lake, RAW["stocks"], RawAttempt(records, frozenset([AT]), fetched_at))


def record(symbol: str = "AAPL", start: dt.datetime = AT, **changes):
    bar = raw_bar(symbol, start, **changes)
    return {name: bar.get(name) for name in RAW["stocks"].column_names}


@pytest.fixture
def revised(lake: Lake) -> Lake:
    """A lake of two attempts: the second has another close, and a symbol more."""
    write(lake, FIRST, record(), record("MSFT"))
    write(lake, SECOND, record(close_price=10.7), record("MSFT"), record("IBM"))
    return lake


def closes(lake: Lake, moment: dt.datetime, **more) -> dict[str, float]:
    rows = as_of(lake, "processed/stocks", moment, SPAN, **more).rows
    return dict(rows.select("symbol", "close_price").iter_rows())


def test_between_two_attempts_the_first_is_what_was_known(revised):
    assert closes(revised, BETWEEN) == {"AAPL": 10.5, "MSFT": 10.5}
    assert closes(revised, SECOND) == {"AAPL": 10.7, "MSFT": 10.5, "IBM": 10.5}
    assert closes(revised, FIRST)["AAPL"] == 10.5, "an answer is known from the moment it arrives"


def test_what_was_revised_and_added_since_is_counted(revised):
    known = as_of(revised, "processed/stocks", BETWEEN, SPAN)
    assert (known.revised, known.added) == (1, 1)
    assert known.rows.schema == PROCESSED["stocks"].polars_schema()
    known = as_of(revised, "processed/stocks", SECOND, SPAN)
    assert (known.revised, known.added) == (0, 0)


def test_one_symbol_may_be_asked_for(revised):
    assert closes(revised, BETWEEN, symbol="MSFT") == {"MSFT": 10.5}


def test_corporate_actions_have_their_history_too(lake):
    at = dt.datetime(2023, 1, 3, 14, 30, tzinfo=dt.UTC)
    for fetched_at, amount in ((FIRST, 0.2), (SECOND, 0.205)):
        event = dividend(amount, timestamp=at)
        write(lake, fetched_at, {name: event.get(name) for name in RAW["stocks"].column_names})
    day = hours("2023-01-03T14")
    known = as_of(lake, "processed/corporate_actions", BETWEEN, day)
    assert (known.rows["amount"].to_list(), known.revised) == ([0.2], 1)
    assert known.rows.schema == CORPORATE_ACTIONS.polars_schema()
    assert as_of(lake, "processed/corporate_actions", SECOND, day).rows["amount"].to_list() == [0.205]


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (FIRST - HOUR, "the first was fetched at 2023-01-05T00:00:00Z"),
        (dt.datetime(2999, 1, 1, tzinfo=dt.UTC), "lies in the future"),
    ],
)
def test_a_moment_of_which_nothing_can_be_told_is_refused(revised, moment, words):
    with pytest.raises(AsOfError, match=words):
        as_of(revised, "processed/stocks", moment, SPAN)


def test_hours_without_raw_and_tables_that_are_not_made_so_are_refused(lake):
    with pytest.raises(AsOfError, match="fin-lake extract --from 2023-01-03T15 --to 2023-01-03T16"):
        as_of(lake, "processed/stocks", FIRST, SPAN)
    with pytest.raises(AsOfError, match="choose one of"):
        as_of(lake, "raw/stocks", FIRST, SPAN)


@pytest.fixture
def command(revised: Lake, bucket_settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "load_settings", lambda: bucket_settings)

    def run(*arguments: str) -> Result:
        span = ["processed/stocks", "--from", "2023-01-03T15", "--to", "2023-01-03T16"]
        return CliRunner().invoke(cli, ["as-of", *arguments, *span])

    return run


def test_rows_are_printed_as_csv_and_what_changed_since_beside_them(command):
    shown = command("2023-01-05T01:00")
    assert shown.stdout.splitlines()[:2] == [
        ",".join(PROCESSED["stocks"].column_names),
        "AAPL,2023-01-03 15:00:00.000,30min,10.0,11.0,9.0,10.5,100,alpha_vantage",
    ]
    assert "2 rows were known at 2023-01-05T01:00:00Z" in shown.stderr
    assert "1 have been revised and 1 added" in " ".join(shown.stderr.split())


def test_rows_are_printed_as_json_of_a_time_in_any_zone(command):
    lines = command("2023-01-04T21:30-05:00", "--json").stdout.splitlines()
    assert [(row["symbol"], row["close_price"]) for row in map(json.loads, lines)] == [
        ("AAPL", 10.7),
        ("IBM", 10.5),
        ("MSFT", 10.5),
    ]


def test_rows_are_written_as_parquet(command, tmp_path: Path):
    file = tmp_path / "known.parquet"
    assert command("2023-01-05T01:00Z", "--symbol", "AAPL", "--output", str(file)).exit_code == 0
    assert pl.read_parquet(file)["close_price"].to_list() == [10.5]
    refused = command("2023-01-05T01:00Z", "--output", str(tmp_path / "no" / "folder"))
    assert isinstance(refused.exception, FinLakeError)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["yesterday"], "is not a time"), (["2023-01-05", "--json", "--output", "x"], "exclude each other")],
)
def test_wrong_usage_is_explained(command, arguments, words):
    refused = command(*arguments)
    assert refused.exit_code == 2
    assert words in refused.output


def test_indicators_and_portfolios_are_made_of_what_was_known(lake: Lake, tmp_path):
    span = hours("2023-01-03T14", 7)
    file = tmp_path / "portfolios.yaml"
    file.write_text(
        "portfolios:\n  - {name: one, description: One share, initial_cash: 1000, start: 2023-01-03,"
        " benchmark: AAPL, allocations: [{effective: 2023-01-03, weights: {AAPL: 1.0}}]}\n"
    )
    portfolios = load_portfolios(file).values()
    for fetched_at, last in ((FIRST, 10.5), (SECOND, 11.0)):
        for hour in list(span)[1:]:
            bar = record(start=hour, close_price=last if hour == span.end - HOUR else 10.5, high_price=12.0)
            records = pl.DataFrame([bar], schema=RAW["stocks"].polars_schema()).with_columns(
                fetched_at=pl.lit(fetched_at, pl.Datetime("us", "UTC"))
            )
            write_attempt(lake, RAW["stocks"], RawAttempt(records, frozenset([hour]), fetched_at))
    for moment, close in ((BETWEEN, 10.5), (SECOND, 11.0)):
        analysis = as_of(lake, "technical_analysis/stocks", moment, span)
        assert analysis.rows["close_price"].to_list() == [10.5] * 5 + [close]
        assert analysis.rows["history_bars"].to_list() == [1, 2, 3, 4, 5, 6]
        values = as_of(lake, "portfolios/valuations", moment, span, None, portfolios)
        assert values.rows["market_value"][-1] == pytest.approx(1000 * close / 10.5)
    assert as_of(lake, "portfolios/valuations", BETWEEN, span, None, portfolios).revised == 1
