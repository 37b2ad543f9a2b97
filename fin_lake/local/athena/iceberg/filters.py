"""Conditions of SQL as row filters of Iceberg, by which whole files are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import pyiceberg.expressions as iceberg
from pyiceberg.schema import Schema
from sqlglot import exp

_COMPARISONS: Final[Mapping[type, tuple[type, type]]] = {
    # the second when the literal stands on the left
    exp.EQ: (iceberg.EqualTo, iceberg.EqualTo),
    exp.GT: (iceberg.GreaterThan, iceberg.LessThan),
    exp.GTE: (iceberg.GreaterThanOrEqual, iceberg.LessThanOrEqual),
    exp.LT: (iceberg.LessThan, iceberg.GreaterThan),
    exp.LTE: (iceberg.LessThanOrEqual, iceberg.GreaterThanOrEqual),
}


def row_filter(schema: Schema, conditions: Iterable[exp.Expr]) -> iceberg.BooleanExpression:
    """Return a filter that keeps at least every row that meets all conditions.

    Parameters
    ----------
    conditions : iterable of sqlglot.exp.Expr
        On the table's columns, unqualified. Those that cannot be said are left out.
    """
    found = [made for one in conditions if (made := _filter(schema, one)) is not None]
    whole: iceberg.BooleanExpression = iceberg.AlwaysTrue()
    for one in found:
        whole = iceberg.And(whole, one)
    return whole


def _filter(schema: Schema, node: exp.Expr) -> iceberg.BooleanExpression | None:
    node = node.unnest()
    made: iceberg.BooleanExpression | None = None
    if isinstance(node, (exp.And, exp.Or)):
        made = _joined(schema, node)
    elif type(node) in _COMPARISONS:
        made = _compared(schema, node)
    elif isinstance(node, exp.Between):
        column = _column(schema, node.this)
        low, high = _value(node.args["low"]), _value(node.args["high"])
        if column and low is not None and high is not None:
            made = _and(
                _checked(schema, iceberg.GreaterThanOrEqual, column, low),
                _checked(schema, iceberg.LessThanOrEqual, column, high),
            )
    elif isinstance(node, exp.In) and node.expressions:
        column, values = _column(schema, node.this), [_value(one) for one in node.expressions]
        if column and None not in values:
            made = _checked(schema, iceberg.In, column, values)
    return made


def _joined(schema: Schema, node: exp.Expr) -> iceberg.BooleanExpression | None:
    left, right = _filter(schema, node.this), _filter(schema, node.expression)
    if isinstance(node, exp.And):
        return _and(left, right)
    return iceberg.Or(left, right) if left is not None and right is not None else None


def _and(
    left: iceberg.BooleanExpression | None, right: iceberg.BooleanExpression | None
) -> iceberg.BooleanExpression | None:
    if left is None or right is None:
        return left if right is None else right
    return iceberg.And(left, right)


def _compared(schema: Schema, node: exp.Expr) -> iceberg.BooleanExpression | None:
    kinds = _COMPARISONS[type(node)]
    for side, (column_node, value_node) in enumerate(
        ((node.this, node.expression), (node.expression, node.this))
    ):
        column, value = _column(schema, column_node), _value(value_node)
        if column and value is not None:
            return _checked(schema, kinds[side], column, value)
    return None


def _checked(
    schema: Schema, kind: Callable[..., Any], column: str, value: Any
) -> iceberg.BooleanExpression | None:
    """Return the filter if the value is one of the column's type."""
    made: iceberg.BooleanExpression = kind(column, value)
    try:
        iceberg.visitors.bind(schema, made, case_sensitive=False)
    except (ValueError, TypeError):
        return None
    return made


def _column(schema: Schema, node: exp.Expr) -> str | None:
    node = node.unnest()
    if not isinstance(node, exp.Column):
        return None
    name = node.name.lower()
    return name if name in schema.column_names else None


def _value(node: exp.Expr) -> Any:
    node = node.unnest()
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and node.this.is_string:
        text: str = node.this.name
        kind = node.to.this
        if kind in (exp.DType.DATE, exp.DType.VARCHAR, exp.DType.TEXT):
            return text
        return text.replace(" ", "T", 1) if kind == exp.DType.TIMESTAMP else None
    if not isinstance(node, exp.Literal):
        return None
    if node.is_string:
        return node.name
    return float(node.name) if any(one in node.name.lower() for one in ".e") else int(node.name)
