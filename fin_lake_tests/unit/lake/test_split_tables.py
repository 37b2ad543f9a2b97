"""Tables that have a folder for each value of a column."""

from __future__ import annotations

import polars as pl
import pytest

from fin_lake.lake.processed import read_hours, write_hours
from fin_lake.lake.store import Lake, LakeError
from fin_lake.tables import PORTFOLIOS
from fin_lake_tests.conftest import hours

TABLE = PORTFOLIOS["holdings"]
SPAN = hours("2023-01-05T15", 2)


def holdings(*portfolios: str) -> pl.DataFrame:
    rows = [
        {
            "portfolio": name,
            "timestamp": SPAN.start,
            "symbol": "AAPL",
            "units": 1.0,
            "contribution": 0.0,
            "cumulative_contribution": 0.0,
        }
        for name in portfolios
    ]
    return pl.DataFrame(rows, schema=TABLE.polars_schema())


def test_each_value_has_an_object_for_every_hour_and_all_are_read_as_one(lake: Lake) -> None:
    rows = holdings("growth", "income")
    written = write_hours(lake, TABLE, SPAN, {SPAN.start: rows}, ["growth", "income", "empty"])
    keys = [one.key for one in lake.list_objects(["processed/portfolios/"])]
    assert len(keys) == 3 * 2
    assert "processed/portfolios/empty/holdings/year=2023/month=01/day=05/hour=16/holdings.parquet" in keys
    assert [one.rows for one in written.values()] == [2, 0]
    assert read_hours(lake, TABLE, SPAN, parts=["growth", "income", "empty"]).equals(rows)
    assert read_hours(lake, TABLE, SPAN, parts=["income"]).equals(rows.tail(1))
    assert read_hours(lake, TABLE, SPAN).schema == rows.schema


def test_a_row_without_a_place_is_refused_and_nothing_of_its_hour_written(lake: Lake) -> None:
    with pytest.raises(LakeError, match="rows of portfolio 'stranger', which has no place"):
        write_hours(lake, TABLE, SPAN, {SPAN.start: holdings("growth", "stranger")}, ["growth"])
    assert f"{SPAN.start:%H}" not in {
        one.key.partition("hour=")[2][:2] for one in lake.list_objects(["processed/portfolios/"])
    }
