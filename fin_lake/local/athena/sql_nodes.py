"""Pieces of DuckDB's SQL as nodes of a syntax tree."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Final

import sqlglot
from sqlglot import exp

ENTRY: Final = ("key", "value")
"""The fields of an entry of a map."""


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """Return the call of a function of DuckDB's."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def text(value: str) -> exp.Literal:
    """Return a text."""
    return exp.Literal.string(value)


def number(value: float) -> exp.Expr:
    """Return a number."""
    return exp.Literal.number(value)


def is_null(value: exp.Expr) -> exp.Is:
    """Return ``value IS NULL``."""
    return exp.Is(this=value, expression=exp.Null())


def not_null(value: exp.Expr) -> exp.Not:
    """Return ``NOT value IS NULL``."""
    return exp.Not(this=is_null(value))


def case(*branches: tuple[exp.Expr, exp.Expr], otherwise: exp.Expr | None = None) -> exp.Case:
    """Return ``CASE WHEN … THEN … ELSE … END`` from pairs of condition and value."""
    return exp.Case(ifs=[exp.If(this=test, true=value) for test, value in branches], default=otherwise)


def cast(value: exp.Expr, type_: str) -> exp.Cast:
    """Return a cast to a type of DuckDB's."""
    return exp.Cast(this=value, to=data_type(type_))


@functools.cache
def _data_type(type_: str) -> exp.DataType:
    return exp.DataType.build(type_, dialect="duckdb")


def data_type(type_: str) -> exp.DataType:
    """Return a type of DuckDB's."""
    return _data_type(type_).copy()


def lambda_(names: Sequence[str], body: exp.Expr) -> exp.Lambda:
    """Return ``lambda names: body``."""
    return exp.Lambda(this=body, expressions=[exp.to_identifier(name) for name in names])


def struct(**fields: exp.Expr) -> exp.Struct:
    """Return ``{'name': value, …}``."""
    return exp.Struct(
        expressions=[
            exp.PropertyEQ(this=exp.to_identifier(name), expression=value) for name, value in fields.items()
        ]
    )


def row(values: Sequence[exp.Expr]) -> exp.Anonymous:
    """Return a row whose fields have no names."""
    return call("row", *values)


def field(value: exp.Expr, name: str) -> exp.Anonymous:
    """Return a field of a struct."""
    return call("struct_extract", value, text(name))


def template(sql: str) -> Callable[..., exp.Expr]:
    """Return a function that fills an expression of DuckDB's: ``@1`` is its first argument."""

    @functools.cache
    def parsed() -> exp.Expr:
        return sqlglot.parse_one(re.sub(r"@(\d)", r"__argument_\1", sql), read="duckdb")

    def fill(*arguments: exp.Expr) -> exp.Expr:
        values = {f"__argument_{at}": one for at, one in enumerate(arguments, 1)}
        return parsed().transform(
            lambda node: (
                values[node.name].copy() if isinstance(node, exp.Column) and node.name in values else node
            )
        )

    return fill
