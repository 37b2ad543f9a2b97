"""Extracts from Athena's texts, and the parts of an extract that need no stack."""

from __future__ import annotations

import datetime as dt
import math
import sys

import pantab
import pyarrow as pa
import pytest

from fin_lake.engines.tableau import TableauError, extract_object, extract_of, next_month, typed
from fin_lake.operations.athena import Column

COLUMNS = [
    Column("day", "date"),
    Column("symbol", "varchar"),
    Column("ratio", "double"),
    Column("count", "bigint"),
    Column("open", "boolean"),
    Column("at", "timestamp"),
]
ROWS = [
    ("2023-01-03", 'ÄPL, "quoted"', "1.0E-5", "9223372036854775807", "true", "2023-01-03 14:30:00.125"),
    ("2023-01-04", "", "-Infinity", "-1", "false", "2023-01-04 00:00:00.000"),
    (None, None, None, None, None, None),
]


def opened(data: bytes, folder) -> list[dict]:
    path = folder / "x.hyper"
    path.write_bytes(data)
    return pantab.frame_from_hyper(
        path, table="report", return_type="pyarrow", process_params={"log_dir": str(folder)}
    ).to_pylist()


def test_values_nulls_and_empty_texts_come_out_of_an_extract_as_they_went_in(tmp_path):
    first, second, third = opened(extract_of("report", typed(COLUMNS, iter(ROWS))), tmp_path)
    assert first == {
        "day": dt.date(2023, 1, 3),
        "symbol": 'ÄPL, "quoted"',
        "ratio": 1e-5,
        "count": 2**63 - 1,
        "open": True,
        "at": dt.datetime.fromisoformat("2023-01-03T14:30:00.125"),
    }
    assert (second["symbol"], second["ratio"]) == ("", -math.inf)
    assert set(third.values()) == {None}


def test_a_month_without_rows_is_an_extract_with_the_columns(tmp_path):
    made = typed(COLUMNS, iter([]))
    assert made.column_names == [column.name for column in COLUMNS]
    assert opened(extract_of("report", made), tmp_path) == []


@pytest.mark.parametrize("type_", ["array", "map", "varbinary", "timestamp with time zone"])
def test_a_type_that_extracts_do_not_hold_is_named_with_its_column(type_):
    with pytest.raises(TableauError, match=f"column tags is of type {type_}"):
        typed([Column("tags", type_)], [("x",)])


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pantab", None)
    with pytest.raises(TableauError, match=r"fin_lake\[tableau\]"):
        extract_of("report", pa.table({"x": [1]}))


def test_a_months_extract_lies_under_its_year_and_month():
    key = extract_object("data_quality", dt.date(2023, 1, 1))
    assert key == "analytics/deliveries/tableau/data_quality/year=2023/month=01/data_quality.hyper"


@pytest.mark.parametrize(
    ("month", "after"),
    [((2023, 1), (2023, 2)), ((2024, 2), (2024, 3)), ((2023, 12), (2024, 1))],
)
def test_the_month_after(month, after):
    assert next_month(dt.date(*month, 1)) == dt.date(*after, 1)
