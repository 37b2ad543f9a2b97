"""Types between Hive, DuckDB and Athena's results, and values as Athena prints them."""

from __future__ import annotations

import datetime as dt
import decimal

import duckdb
import pytest

from fin_lake.local.athena import types
from fin_lake.local.athena.errors import QueryFailed
from fin_lake_tests.unit.local.athena.answers import value

HIVE = [
    ("string", "VARCHAR", "varchar"),
    ("varchar(10)", "VARCHAR", "varchar"),
    ("int", "INTEGER", "integer"),
    ("bigint", "BIGINT", "bigint"),
    ("smallint", "SMALLINT", "smallint"),
    ("tinyint", "TINYINT", "tinyint"),
    ("boolean", "BOOLEAN", "boolean"),
    ("double", "DOUBLE", "double"),
    ("float", "FLOAT", "float"),
    ("decimal(12,4)", "DECIMAL(12,4)", "decimal"),
    ("date", "DATE", "date"),
    ("timestamp", "TIMESTAMP", "timestamp"),
    ("binary", "BLOB", "varbinary"),
    ("array<string>", "VARCHAR[]", "array"),
    ("map<string,array<int>>", "MAP(VARCHAR, INTEGER[])", "map"),
    ("struct<a:int,b:struct<c:decimal(5,2)>>", "STRUCT(a INTEGER, b STRUCT(c DECIMAL(5,2)))", "row"),
]


@pytest.mark.parametrize(("hive", "duckdb_name", "athena"), HIVE)
def test_a_type_of_hive_has_its_type_in_duckdb_and_in_results(hive, duckdb_name, athena):
    found = types.from_hive(hive)
    assert found == duckdb.sqltype(duckdb_name)
    assert types.athena_column(found).name == athena
    assert types.storable(found) == found
    assert types.not_in_hive(found) is None
    assert types.from_hive(types.to_hive(found)) == found


def test_an_unknown_type_of_hive_is_refused():
    with pytest.raises(QueryFailed, match="cannot recognize the type 'nothing<int>'"):
        types.from_hive("nothing<int>")


def test_a_column_of_a_result_tells_its_size():
    assert types.athena_column(duckdb.sqltype("DECIMAL(12,4)")) == types.AthenaColumnType("decimal", 12, 4)
    assert types.athena_column(duckdb.sqltype("BIGINT")).precision == 19
    assert types.athena_column(duckdb.sqltype("VARCHAR")).case_sensitive
    assert types.athena_column(duckdb.sqltype("TIMESTAMPTZ")).name == "timestamp with time zone"


@pytest.mark.parametrize(
    ("duckdb_name", "stored"),
    [
        ("HUGEINT", "BIGINT"),
        ("UBIGINT[]", "BIGINT[]"),
        ("STRUCT(A HUGEINT)", "STRUCT(a BIGINT)"),
        ("MAP(VARCHAR, UINTEGER)", "MAP(VARCHAR, BIGINT)"),
        ("TIMESTAMP_NS", "TIMESTAMP"),
    ],
)
def test_a_wider_type_of_duckdb_is_stored_as_one_of_athena(duckdb_name, stored):
    assert types.storable(duckdb.sqltype(duckdb_name)) == duckdb.sqltype(stored)


@pytest.mark.parametrize(
    ("duckdb_name", "athena"),
    [
        ("TIMESTAMPTZ", "timestamp(3) with time zone"),
        ("STRUCT(a TIMESTAMPTZ[])", "timestamp(3) with time zone"),
        ("TIME", "time(3)"),
        ("MAP(VARCHAR, JSON)", "json"),
        ("INTERVAL", "interval day to second"),
        ("UUID", "uuid"),
    ],
)
def test_what_no_hive_table_can_hold_is_named(duckdb_name, athena):
    assert types.not_in_hive(duckdb.sqltype(duckdb_name)) == athena


@pytest.mark.parametrize(
    ("given", "duckdb_name", "printed"),
    [
        (None, "INTEGER", None),
        (True, "BOOLEAN", "true"),
        (-7, "BIGINT", "-7"),
        (0.0, "DOUBLE", "0.0"),
        (-0.0, "DOUBLE", "-0.0"),
        (1.0, "DOUBLE", "1.0"),
        (123456.789, "DOUBLE", "123456.789"),
        (9999999.0, "DOUBLE", "9999999.0"),
        (1e7, "DOUBLE", "1.0E7"),
        (1.5e300, "DOUBLE", "1.5E300"),
        (0.001, "DOUBLE", "0.001"),
        (0.00012, "DOUBLE", "1.2E-4"),
        (float("nan"), "DOUBLE", "NaN"),
        (float("-inf"), "DOUBLE", "-Infinity"),
        (0.10000000149011612, "FLOAT", "0.1"),
        (16777216.0, "FLOAT", "1.6777216E7"),
        (decimal.Decimal("1.10"), "DECIMAL(5,2)", "1.10"),
        (decimal.Decimal("0E-10"), "DECIMAL(20,10)", "0.0000000000"),
        (dt.date(2026, 1, 2), "DATE", "2026-01-02"),
        (dt.datetime.fromisoformat("2026-01-02T03:04:05.678900"), "TIMESTAMP", "2026-01-02 03:04:05.678"),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "TIMESTAMPTZ", "2026-01-02 00:00:00.000 UTC"),
        (dt.time(1, 2, 3), "TIME", "01:02:03.000"),
        (dt.timedelta(days=-1, hours=-2), "INTERVAL", "-1 02:00:00.000"),
        (b"a\x00", "BLOB", "61 00"),
        ([1, None], "INTEGER[]", "[1, null]"),
        ({"a": 1, "b": None}, "MAP(VARCHAR, INTEGER)", "{a=1, b=null}"),
        ({"key": [[1], [2]], "value": ["x", "y"]}, "MAP(INTEGER[], VARCHAR)", "{[1]=x, [2]=y}"),
        ({"a": 1, "b": [1.5]}, "STRUCT(a INTEGER, b DOUBLE[])", "{a=1, b=[1.5]}"),
    ],
)
def test_a_value_is_printed_as_athena_prints_it(given, duckdb_name, printed):
    assert types.render(given, duckdb.sqltype(duckdb_name)) == printed


def test_a_map_whose_keys_are_arrays_comes_out_of_duckdb_and_is_printed():
    assert value("map(array[array[1, 2]], array['x'])") == "{[1, 2]=x}"


def test_names_and_texts_are_quoted():
    assert types.quote_name('a "b"') == '"a ""b"""'
    assert types.quote_text("it's") == "'it''s'"
