"""Conditions of SQL as row filters of Iceberg, by which whole files are left out.

A filter may keep too much and never too little: a condition is left out unless it means the same to
Iceberg as to DuckDB. Above all a value is never rounded to the column's type.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import pyiceberg.expressions as iceberg
from pyiceberg import types
from pyiceberg.schema import Schema
from sqlglot import exp

_Filter = iceberg.BooleanExpression
# pyiceberg's own annotations know the names of its models' fields only
_Predicate = Callable[..., Any]
_COMPARISONS: Final[Mapping[type, tuple[_Predicate, _Predicate]]] = {
    # the second when the literal stands on the left
    exp.EQ: (iceberg.EqualTo, iceberg.EqualTo),
    exp.GT: (iceberg.GreaterThan, iceberg.LessThan),
    exp.GTE: (iceberg.GreaterThanOrEqual, iceberg.LessThanOrEqual),
    exp.LT: (iceberg.LessThan, iceberg.GreaterThan),
    exp.LTE: (iceberg.LessThanOrEqual, iceberg.GreaterThanOrEqual),
}
_ONE_OF: Final[_Predicate] = iceberg.In
_AT_LEAST: Final[_Predicate] = iceberg.GreaterThanOrEqual
_AT_MOST: Final[_Predicate] = iceberg.LessThanOrEqual


def row_filter(schema: Schema, conditions: Iterable[exp.Expr]) -> _Filter:
    """Return a filter that keeps at least every row that meets all conditions.

    Parameters
    ----------
    conditions : iterable of sqlglot.exp.Expr
        On the table's columns, unqualified. Those that cannot be said are left out.
    """
    whole: _Filter = iceberg.AlwaysTrue()
    for one in conditions:
        if (made := exact_filter(schema, one)) is not None:
            whole = iceberg.And(whole, made)
    return whole


def exact_filter(schema: Schema, condition: exp.Expr) -> _Filter | None:
    """Return a condition as a filter, ``None`` if no part of it can be said."""
    node = condition.unnest()
    if isinstance(node, (exp.And, exp.Or)):
        return _joined(schema, node)
    if type(node) in _COMPARISONS:
        return _compared(schema, node)
    if isinstance(node, exp.Between):
        low, high = _value(node.args["low"]), _value(node.args["high"])
        column = _column(schema, node.this)
        return within(schema, column, low, high) if column else None
    if isinstance(node, exp.In) and node.expressions and not node.args.get("query"):
        column = _column(schema, node.this)
        return one_of(schema, column, [_value(one) for one in node.expressions]) if column else None
    return None


def one_of(schema: Schema, column: str, values: Sequence[Any]) -> _Filter | None:
    """Return the filter of rows whose column has one of the values, ``None`` if it cannot be said."""
    return _checked(schema, _ONE_OF, column, values)


def within(schema: Schema, column: str, low: Any, high: Any) -> _Filter | None:
    """Return the filter of rows whose column lies between two values, both included."""
    return _and(_checked(schema, _AT_LEAST, column, [low]), _checked(schema, _AT_MOST, column, [high]))


def _joined(schema: Schema, node: exp.Expr) -> _Filter | None:
    left, right = exact_filter(schema, node.this), exact_filter(schema, node.expression)
    if isinstance(node, exp.And):
        return _and(left, right)
    return iceberg.Or(left, right) if left is not None and right is not None else None


def _and(left: _Filter | None, right: _Filter | None) -> _Filter | None:
    if left is None or right is None:
        return left if right is None else right
    return iceberg.And(left, right)


def _compared(schema: Schema, node: exp.Expr) -> _Filter | None:
    sides = ((node.this, node.expression), (node.expression, node.this))
    for kind, (column_node, value_node) in zip(_COMPARISONS[type(node)], sides, strict=True):
        column = _column(schema, column_node)
        if column:
            return _checked(schema, kind, column, [_value(value_node)])
    return None


def _checked(schema: Schema, kind: _Predicate, column: str, values: Sequence[Any]) -> _Filter | None:
    """Return the filter, if the column's type has exactly these values."""
    type_ = schema.find_field(column).field_type
    fitting = [_fitting(type_, one) for one in values]
    if None in fitting:
        return None
    made: _Filter = kind(column, fitting) if kind is _ONE_OF else kind(column, fitting[0])
    try:
        iceberg.visitors.bind(schema, made, case_sensitive=True)
    except (ValueError, TypeError):
        return None
    return made


def _column(schema: Schema, node: exp.Expr) -> str | None:
    node = node.unnest()
    if not isinstance(node, exp.Column):
        return None
    name = node.name.lower()
    return name if any(one.name == name for one in schema.fields) else None


def _value(node: exp.Expr) -> Any:
    """Return a literal's value, ``None`` for anything else."""
    node = node.unnest()
    if isinstance(node, exp.Neg):
        value = _value(node.this)
        return -value if isinstance(value, (int, Decimal, float)) else None
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and node.this.is_string:
        return _typed(node.this.name, node.to.this)
    if not isinstance(node, exp.Literal):
        return None
    if node.is_string:
        return node.name
    if "e" in node.name.lower():
        return float(node.name)
    return Decimal(node.name) if "." in node.name else int(node.name)


def _typed(text: str, kind: exp.DType) -> Any:
    try:
        if kind == exp.DType.DATE:
            return dt.date.fromisoformat(text)
        if kind == exp.DType.TIMESTAMP:
            return dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return text if kind in (exp.DType.VARCHAR, exp.DType.TEXT) else None


def _fitting(type_: types.IcebergType, value: Any) -> Any:
    """Return a value as pyiceberg takes it for a column's literal, ``None`` if it is not one of its type."""
    made: Any = None
    match type_, value:
        case (types.IntegerType() | types.LongType(), int()) if not isinstance(value, bool):
            made = value
        case (types.DoubleType(), int() | Decimal() | float()) if not isinstance(value, bool):
            made = float(value)  # as DuckDB compares a double with a number of another type
        case (types.DecimalType(scale=scale), int() | Decimal()) if not isinstance(value, bool):
            made = _scaled(Decimal(value), scale)
        case (types.StringType(), str()):
            made = value
        case (types.DateType(), dt.date()) if not isinstance(value, dt.datetime):
            made = value.isoformat()
        case (types.TimestampType(), dt.date()):
            made = _moment(value, None)
        case (types.TimestamptzType(), dt.date()):
            made = _moment(value, dt.UTC)
        case _:  # REAL among them: its values are not the decimals that they are written as
            made = None
    return made


def _scaled(value: Decimal, scale: int) -> Decimal | None:
    """Return a number with so many digits behind the point, if that is the same number."""
    scaled = value.scaleb(scale)
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        return None
    return Decimal(int(scaled)).scaleb(-scale)


def _moment(value: dt.date, zone: dt.tzinfo | None) -> str | None:
    """Return a time as text; dates are midnights, and what has no zone is in UTC, as in Athena."""
    moment = value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
    if zone is None:
        return None if moment.tzinfo is not None else moment.isoformat()
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(zone).isoformat()
