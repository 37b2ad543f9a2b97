"""The laws: what they let pass, what they find, and the market's hours that they know."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fin_lake.checks import laws
from fin_lake.checks.results import sentence
from fin_lake.partitions import HOUR, HourRange, parse_hour
from fin_lake.tables import PROCESSED
from fin_lake_tests.conftest import hours

START = parse_hour("2023-01-05T15")
NO_SPLITS = pl.DataFrame(
    schema={"symbol": pl.String, "timestamp": pl.Datetime("us", "UTC"), "ratio": pl.Float64}
)


def bars(closes: list[float], symbol: str = "A", *, start: dt.datetime = START) -> pl.DataFrame:
    """Return hourly stock bars with these closes."""
    return pl.DataFrame(
        {
            "symbol": symbol,
            "timestamp": [start + HOUR * number for number in range(len(closes))],
            "interval": "1h",
            "open_price": closes,
            "high_price": [one * 1.01 for one in closes],
            "low_price": [one * 0.99 for one in closes],
            "close_price": closes,
            "volume": 100,
            "source": "yahoo",
        },
        schema=PROCESSED["stocks"].polars_schema(),
    )


PRICE = st.floats(0.01, 1e6)


@settings(max_examples=60, deadline=None)
@given(st.lists(PRICE, max_size=30))
def test_sound_bars_keep_the_laws(closes: list[float]) -> None:
    rows = bars(closes)
    assert laws.ohlc_laws(rows).passed
    assert laws.duplicates(rows, PROCESSED["stocks"].key).passed


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("high_price", 99.0),
        ("low_price", 101.0),
        ("close_price", float("nan")),
        ("open_price", -1.0),
        ("close_price", 0.0),
        ("low_price", None),
        ("volume", -1),
    ],
)
def test_a_bar_that_breaks_a_law_is_named(column: str, value: float | None) -> None:
    rows = bars([100.0, 100.0, 100.0])
    at = pl.col("timestamp") == START + HOUR
    kind = rows.schema[column]
    broken = rows.with_columns(pl.when(at).then(pl.lit(value, kind)).otherwise(column).alias(column))
    found = laws.ohlc_laws(broken)
    assert not found.passed
    assert [one["timestamp"] for one in found.offending] == [START + HOUR]
    assert found.numbers == {"rows": 3, "offending": 1}


def test_a_key_that_comes_twice_is_named_with_its_number() -> None:
    rows = pl.concat([bars([1.0, 2.0]), bars([3.0])])
    found = laws.duplicates(rows, PROCESSED["stocks"].key)
    assert not found.passed
    assert found.offending[0]["rows"] == 2
    assert found.offending[0]["timestamp"] == START


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=8), st.integers(-2, 2))
def test_conservation_adds_up(parts: list[tuple[int, int, int]], error: int) -> None:
    counts = pl.DataFrame(
        [
            {"hour": START + HOUR * n, "raw_rows": sum(part), "kept": part[0], "bad": part[1], "old": part[2]}
            for n, part in enumerate(parts)
        ]
    ).with_columns(raw_rows=pl.col("raw_rows") + pl.when(pl.col("hour") == START).then(error).otherwise(0))
    found = laws.conservation(counts, ("raw_rows", "kept", "bad", "old"))
    assert found.passed == (error == 0)
    assert [one["hour"] for one in found.offending] == ([] if error == 0 else [START])


@pytest.mark.parametrize(
    ("day", "minutes"),
    [
        ("2023-01-13", {14: 30, 15: 60, 16: 60, 17: 60, 18: 60, 19: 60, 20: 60}),  # winter
        ("2023-01-16", {}),  # Martin Luther King's day
        ("2023-01-14", {}),  # a Saturday
        ("2023-03-10", {14: 30, 15: 60, 16: 60, 17: 60, 18: 60, 19: 60, 20: 60}),  # before the clocks change
        ("2023-03-13", {13: 30, 14: 60, 15: 60, 16: 60, 17: 60, 18: 60, 19: 60}),  # and after
        ("2023-07-03", {13: 30, 14: 60, 15: 60, 16: 60}),  # closes at 13:00 in New York
        ("2023-07-04", {}),
        ("2023-11-03", {13: 30, 14: 60, 15: 60, 16: 60, 17: 60, 18: 60, 19: 60}),
        ("2023-11-06", {14: 30, 15: 60, 16: 60, 17: 60, 18: 60, 19: 60, 20: 60}),
        ("2023-11-24", {14: 30, 15: 60, 16: 60, 17: 60}),  # the day after Thanksgiving
    ],
)
def test_the_exchanges_hours_are_known(day: str, minutes: dict[int, int]) -> None:
    found = laws.expected_minutes("stocks", hours(f"{day}T00", 24))
    assert {hour.hour: count for hour, count in found.items()} == minutes
    assert laws.expected_minutes("crypto", hours(f"{day}T00", 24)) == dict.fromkeys(
        hours(f"{day}T00", 24), 60
    )


def test_what_is_missing_or_short_is_named() -> None:
    span = hours("2023-07-03T00", 24)
    whole = pl.concat(
        [
            bars([1.0] * 7, start=parse_hour("2023-07-03T13") + HOUR * 0.5).with_columns(
                timestamp=pl.datetime_range(
                    parse_hour("2023-07-03T13") + HOUR * 0.5, parse_hour("2023-07-03T16") + HOUR * 0.5, "30m"
                ),
                interval=pl.lit("30min"),
            )
        ]
    )
    assert laws.completeness(whole, "stocks", span, ["A"]).passed
    found = laws.completeness(whole.head(6), "stocks", span, ["A", "B"])
    assert found.numbers == {"expected": 8, "missing": 4, "offending": 5}
    short = [one for one in found.offending if one["symbol"] == "A"]
    assert [(one["hour"].hour, one["minutes"], one["expected_minutes"]) for one in short] == [(16, 30, 60)]
    crypto = bars([1.0] * 24, "BTC-USD", start=span.start)
    assert laws.completeness(crypto, "crypto", span, ["BTC-USD"]).passed
    assert not laws.completeness(crypto.slice(0, 23), "crypto", span, ["BTC-USD"]).passed


def walk(count: int) -> list[float]:
    return [100 * (1.01 if number % 2 else 1.0) for number in range(count)]


def test_a_step_is_found_unless_a_split_explains_it() -> None:
    closes = walk(20) + [one / 4 for one in walk(20)]
    rows = bars(closes)
    found = laws.step_changes(rows, NO_SPLITS)
    assert [one["timestamp"] for one in found.offending] == [START + HOUR * 20]
    split = pl.DataFrame({"symbol": ["A"], "timestamp": [START + HOUR * 20], "ratio": [4.0]})
    assert laws.step_changes(rows, split).passed
    assert not laws.step_changes(rows, split.with_columns(symbol=pl.lit("B"))).passed
    assert not laws.step_changes(rows, split.with_columns(pl.col("timestamp") + HOUR)).passed
    assert not laws.step_changes(rows, split.with_columns(ratio=pl.lit(2.0))).passed
    assert laws.step_changes(rows, NO_SPLITS, since=START + HOUR * 21).passed


def test_a_symbol_that_always_moves_far_makes_no_steps() -> None:
    wild = [100 * (1.3 if number % 2 else 1.0) for number in range(40)]
    assert laws.step_changes(bars(wild), NO_SPLITS).passed
    assert laws.step_changes(bars([1.0]), NO_SPLITS).passed
    assert laws.step_changes(bars([]), NO_SPLITS).passed


def test_sources_that_differ_are_counted_by_hour() -> None:
    counts = pl.DataFrame(
        {"hour": [START, START + HOUR], "processed": [8, 12], "cross_source_differences": [0, 3]}
    )
    found = laws.cross_source(counts, 1e-3)
    assert not found.passed
    assert found.numbers["share"] == 3 / 20
    assert found.offending == [{"hour": START + HOUR, "bars": 3}]


def test_stores_that_differ_are_told_apart_by_key() -> None:
    rows = bars([1.0, 2.0, 3.0, 4.0]).with_columns(source=pl.lit(None, pl.String))
    key = PROCESSED["stocks"].key
    assert laws.stores_agree({"postgres": rows, "parquet": rows.reverse()}, key).passed
    changed = rows.with_columns(close_price=pl.col("close_price").replace(2.0, 2.5))
    fewer, more = rows.head(3), pl.concat([rows, bars([9.0], "B")])
    twice = pl.concat([rows, rows.head(1)])
    for other, hour, symbol in ((changed, 1, "A"), (fewer, 3, "A"), (more, 0, "B"), (twice, 0, "A")):
        found = laws.stores_agree({"postgres": rows, "json": other}, key)
        assert not found.passed
        assert [(one["symbol"], one["timestamp"], one["store"]) for one in found.offending] == [
            (symbol, START + HOUR * hour, "json")
        ]


LAG = dt.timedelta(hours=2)


@pytest.mark.parametrize(
    ("now", "latest"),
    [
        ("2023-01-13T22", "2023-01-13T19"),  # the last hour may still be on its way
        ("2023-01-13T23", "2023-01-13T20"),
        ("2023-01-14T12", "2023-01-13T20"),  # Saturday
        ("2023-01-17T14", "2023-01-13T20"),  # Tuesday morning after a holiday
        ("2023-07-04T20", "2023-07-03T16"),  # after an early close
    ],
)
def test_stocks_are_fresh_by_the_exchanges_hours(now: str, latest: str) -> None:
    moment, last = parse_hour(now), parse_hour(latest)
    assert laws.latest_expected_hour("stocks", moment, LAG) == last
    assert laws.freshness(last + HOUR * 0.5, "stocks", moment, LAG).passed
    behind = laws.freshness(last - HOUR, "stocks", moment, LAG)
    assert not behind.passed
    assert behind.numbers["hours_behind"] == 1
    assert not laws.freshness(None, "stocks", moment, LAG).passed


def test_crypto_is_fresh_by_the_clock() -> None:
    now = parse_hour("2023-01-14T12")
    assert laws.freshness(now - HOUR * 3, "crypto", now, LAG).passed
    assert not laws.freshness(now - HOUR * 4, "crypto", now, LAG).passed


def test_the_sentence_names_the_first_keys() -> None:
    span = HourRange(START, START + HOUR * 5)
    found = laws.completeness(bars([]), "crypto", span, ["BTC-USD"])
    said = sentence("completeness", found)
    assert said.startswith(
        "completeness: expected 5, missing 5, offending 5 (BTC-USD 2023-01-05T15:00Z 0 60;"
    )
    assert said.endswith("…)")
    assert len(said) < 200
