"""Leaving out files never loses a row: whatever is compared, in whatever type it is written."""

from __future__ import annotations

import datetime as dt
import functools
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyiceberg import types
from pyiceberg.conversions import to_bytes
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.utils.datetime import date_to_days, datetime_to_micros
from sqlglot import exp

from fin_lake.local.athena import library, translation
from fin_lake.local.athena.iceberg.filters import one_of, row_filter, within
from fin_lake.local.athena.iceberg.schema import duckdb_type

DAY = dt.date(2023, 1, 3)
MOMENT = dt.datetime(2023, 1, 3, 5, 30, 0, 250_000, tzinfo=dt.UTC).replace(tzinfo=None)
numbers = st.sampled_from(["0", "-1", "1", "0.5", "1.004", "0.996", "1.00", "1e0", "5e-1", "4.999", "-0.5"])
times = st.sampled_from(
    [
        "date '2023-01-03'",
        "date '2023-01-04'",
        "timestamp '2023-01-03 05:30:00.250'",
        "timestamp '2023-01-03 05:30:00.251'",
        "timestamp '2023-01-03 00:00:00'",
        "timestamp '2023-01-03 07:30:00.250 +02:00'",
        "timestamp '2023-01-03 05:30:00.250 UTC'",
    ]
)
COLUMNS: list[tuple[types.PrimitiveType, st.SearchStrategy[Any], st.SearchStrategy[str]]] = [
    (types.IntegerType(), st.integers(-2, 2), numbers),
    (types.LongType(), st.sampled_from([0, 1, -1, 2**53 + 1]), numbers | st.just("9007199254740993")),
    (
        types.DecimalType(10, 2),
        st.sampled_from([Decimal("1.00"), Decimal("0.50"), Decimal("-1.00")]),
        numbers,
    ),
    (types.DoubleType(), st.sampled_from([0.0, 1.0, 0.5, 1.004, -0.5]), numbers),
    (types.FloatType(), st.sampled_from([0.0, 1.0, 0.5, 1.004, 0.996]), numbers),
    (
        types.StringType(),
        st.sampled_from(["", "a", "b", "aé", "a" * 20, "a" * 20 + "b", "😀"]),
        st.sampled_from(["''", "'a'", "'aé'", "'" + "a" * 20 + "'", "'😀'", "varchar 'b'"]),
    ),
    (types.DateType(), st.sampled_from([DAY, DAY + dt.timedelta(1)]), times),
    (types.TimestampType(), st.sampled_from([MOMENT, dt.datetime.combine(DAY, dt.time())]), times),
    (types.TimestamptzType(), st.sampled_from([MOMENT.replace(tzinfo=dt.UTC)]), times),
]


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    library.install(database)
    library.open_session(database)
    return database


def _plain(held: Any) -> Any:
    """Return a value as Iceberg keeps it."""
    if isinstance(held, dt.datetime):
        return datetime_to_micros(held)
    return date_to_days(held) if isinstance(held, dt.date) else held


def _may_hold(schema: Schema, filter_: BooleanExpression, held: Any) -> bool:
    """Return whether a file whose only row has a value is read."""
    type_ = schema.fields[0].field_type
    assert isinstance(type_, types.PrimitiveType)
    bound = to_bytes(type_, _plain(held))
    file = DataFile.from_args(
        record_count=1,
        value_counts={1: 1},
        null_value_counts={1: 0},
        lower_bounds={1: bound},
        upper_bounds={1: bound},
    )
    return bool(_InclusiveMetricsEvaluator(schema, filter_).eval(file))


def _holds(condition: exp.Expr, type_: types.PrimitiveType, held: Any) -> bool:
    sql = f"SELECT {translation.to_duckdb(condition)} FROM (SELECT CAST(? AS {duckdb_type(type_)}) AS x)"
    try:
        return bool(_database().execute(sql, [held]).fetchall()[0][0])
    except duckdb.Error:
        return False  # a query that fails has no row to lose


@st.composite
def cases(draw: st.DrawFn) -> tuple[types.PrimitiveType, Any, str]:
    type_, values, literals = draw(st.sampled_from(COLUMNS))
    one, other = draw(literals), draw(literals)
    compared = [f"x {sign} {one}" for sign in ("=", "<", "<=", ">", ">=", "<>")]
    compared += [f"{one} {sign} x" for sign in ("=", "<", ">=")]
    compared += [f"x in ({one}, {other})", f"x between {one} and {other}", f"not x = {one}"]
    compared += [f"x = {one} or x > {other}", f"(x >= {one} and x < {other})", f"x not in ({one})"]
    return type_, draw(values), draw(st.sampled_from(compared))


@settings(max_examples=400, deadline=None)
@given(case=cases())
@example(case=(types.DecimalType(10, 2), Decimal("1.00"), "x < 1.004"))
@example(case=(types.FloatType(), 0.1, "x = 0.1"))
def test_a_file_whose_row_meets_the_condition_is_never_left_out(
    case: tuple[types.PrimitiveType, Any, str],
) -> None:
    type_, held, text = case
    schema = Schema(types.NestedField(1, "x", type_, required=False))
    condition = translation.parse(f"delete from t where {text}").args["where"].this
    if _holds(condition, type_, held):
        assert _may_hold(schema, row_filter(schema, [condition]), held), text


@pytest.mark.parametrize(
    ("type_", "held", "text"),
    [
        (types.LongType(), 5, "x > 5"),
        (types.LongType(), 5, "x > -1 and x in (4, 6)"),
        (types.DoubleType(), 1.0, "x >= 1.5"),
        (types.DecimalType(10, 2), Decimal("1.00"), "x > 1.5"),
        (types.StringType(), "a", "x = 'b'"),
        (types.DateType(), DAY, "x between date '2023-01-04' and date '2023-01-05'"),
        (types.TimestampType(), MOMENT, "x < timestamp '2023-01-03 05:00:00'"),
        (types.TimestampType(), MOMENT, "x >= date '2023-01-04'"),
        (types.TimestamptzType(), MOMENT.replace(tzinfo=dt.UTC), "timestamp '2023-01-03 06:00:00' < x"),
    ],
)
def test_a_file_that_cannot_meet_the_condition_is_left_out(
    type_: types.PrimitiveType, held: Any, text: str
) -> None:
    schema = Schema(types.NestedField(1, "x", type_, required=False))
    condition = translation.parse(f"delete from t where {text}").args["where"].this
    assert not _may_hold(schema, row_filter(schema, [condition]), held)


def test_a_filter_of_values_that_the_column_has_not_keeps_everything() -> None:
    schema = Schema(types.NestedField(1, "x", types.DecimalType(10, 2), required=False))
    assert one_of(schema, "x", [Decimal("1.005")]) is None
    assert within(schema, "x", "a", "b") is None
    assert row_filter(schema, []) == AlwaysTrue()
