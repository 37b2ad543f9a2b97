"""Glue's expressions over partition keys: ``year = '2023' AND hour IN (1, 2)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import duckdb
import sqlglot
from sqlglot import exp

from fin_lake.local.athena.errors import ApiError, QueryFailed
from fin_lake.local.athena.types import from_hive, quote_name, quote_text

_LONGEST: Final = 2048
_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
_ALLOWED: Final = (
    exp.Column, exp.Identifier, exp.Literal, exp.Paren, exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT,
    exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Like, exp.Is, exp.Null, exp.Cast, exp.DataType,
    exp.Neg, exp.Tuple,
)  # fmt: skip


def matching(
    keys: Sequence[tuple[str, str]], partitions: Sequence[Sequence[str]], expression: str
) -> list[int]:
    """Return the positions of the partitions that meet an expression.

    Parameters
    ----------
    keys : sequence of pairs
        Names and Hive types of the partition keys.
    partitions : sequence of sequences of str
        Their values.

    Raises
    ------
    ApiError
        ``InvalidInputException``: the expression is not one of Glue's, or names no partition key.
    """
    condition = _condition(keys, expression)
    if not partitions:
        return []
    try:
        types = {name: str(from_hive(type_)) for name, type_ in keys}
    except QueryFailed as error:
        raise ApiError("InvalidInputException", str(error)) from error
    rows = ", ".join(
        f"({index}, {', '.join('NULL' if value == _NULL else quote_text(value) for value in values)})"
        for index, values in enumerate(partitions)
    )
    names = ", ".join(quote_name(name) for name, _ in keys)
    casts = ", ".join(
        f"TRY_CAST({quote_name(name)} AS {type_}) AS {quote_name(name)}" for name, type_ in types.items()
    )
    sql = (
        f"SELECT __index FROM (SELECT __index, {casts} FROM (VALUES {rows}) AS v(__index, {names}))"  # noqa: S608
        f" WHERE {condition.sql('duckdb')} ORDER BY 1"
    )
    with duckdb.connect() as connection:
        try:
            return [index for (index,) in connection.execute(sql).fetchall()]
        except duckdb.Error as error:
            raise _wrong(expression, str(error)) from error


def _condition(keys: Sequence[tuple[str, str]], expression: str) -> exp.Expr:
    if len(expression) > _LONGEST:
        raise _wrong(expression[:40], f"it is longer than {_LONGEST} characters")
    try:
        tree = sqlglot.parse_one(expression, read="athena")
    except (sqlglot.errors.ParseError, sqlglot.errors.TokenError) as error:
        raise _wrong(expression, "it cannot be parsed") from error
    types = dict(keys)
    for node in tree.walk():
        if not isinstance(node, _ALLOWED):
            raise _wrong(expression, f"{node.sql('athena')} is not supported")
        if isinstance(node, exp.Column):
            if node.name.lower() not in types:
                raise _wrong(expression, f"{node.name} is not a partition key")
            node.set("this", exp.to_identifier(node.name.lower(), quoted=True))
            node.set("table", None)
    for literal in list(tree.find_all(exp.Literal)):
        column = _compared_with(literal)
        if column is not None and types[column].startswith(("string", "varchar", "char")):
            literal.replace(exp.Literal.string(literal.name))
    return tree


def _compared_with(literal: exp.Literal) -> str | None:
    parent: Any = literal.parent
    column = parent.find(exp.Column) if parent is not None else None
    return column.name if column is not None else None


def _wrong(expression: str, why: str) -> ApiError:
    return ApiError("InvalidInputException", f"Unsupported expression '{expression}': {why}")
