"""Number text is read exactly, and what is no number is null."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fin_lake.sources.failures import SchemaMismatch
from fin_lake.sources.records import moments, number, raw_records
from fin_lake.tables import RAW
from fin_lake_tests.unit.sources.answers import answer, question, utc


def read(tokens: list[str | None]) -> list[float | None]:
    return pl.DataFrame({"n": tokens}, schema={"n": pl.String}).select(number("n"))["n"].to_list()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_every_double_is_read_as_it_was_written(values):
    assert read([json.dumps(value) for value in values]) == values
    assert read([json.dumps(str(value)) for value in values]) == values


@pytest.mark.parametrize(
    "token",
    [
        "null",
        '"NaN"',
        "NaN",
        '"inf"',
        '"-Infinity"',
        '""',
        '"abc"',
        "true",
        "[1]",
        "{}",
        '"1_0"',
        '"0x1"',
        None,
    ],
)
def test_what_is_no_finite_number_is_null(token: str | None):
    assert read([token]) == [None]


@given(st.integers(-(2**40), 2**40))
def test_milliseconds_are_kept(stamp):
    [moment] = moments([stamp], "ms").to_list()

    assert round(moment.timestamp() * 1000) == stamp


@pytest.mark.parametrize("asset_class", ["stocks", "crypto"])
def test_left_out_columns_are_filled(asset_class):
    columns = {"timestamp": [utc("2023-01-03T14:30")], "payload": ["{}"]}

    frame = raw_records(question(), answer(""), asset_class, columns, interval="30min")

    assert frame.schema == RAW[asset_class].polars_schema()
    assert frame.select("open_price", "split_factor", "kind", "sampled").row(0) == (None, 1.0, "bar", False)


def test_deeply_nested_json_is_refused_and_not_a_crash():
    from fin_lake.sources.alpha_vantage import parse_intraday  # noqa: PLC0415

    with pytest.raises(SchemaMismatch):
        parse_intraday(answer('{"a":' * 100_000), question(), "30min")
