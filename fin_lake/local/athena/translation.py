"""Athena's SQL, which is Trino's, as SQL of DuckDB with the same answers.

sqlglot parses and writes; what it leaves different is mended on the tree (:mod:`functions`), with the
help of macros (:mod:`library`). Known differences that remain: a subscript beyond an array's end is
null, not an error; dividing decimals gives a double; a timestamp with a zone keeps the moment, and
prints it in UTC; ``typeof`` names types without their length.
"""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.functions import inner_filters, java_date_mask, mended, refuse_unknown

__all__ = ["java_date_mask", "name_outputs", "parse", "to_duckdb"]


def parse(sql: str) -> exp.Expr:
    """Parse one statement.

    Raises
    ------
    QueryFailed
        It is not a statement of Athena's.
    """
    try:
        tree = sqlglot.parse_one(sql, read="athena")
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise QueryFailed(
            f"line {first.get('line', 1)}:{first.get('col', 1)}: mismatched input"
            f" '{first.get('highlight', '')}'. {first.get('description', '')}"
        ) from error
    except TokenError as error:
        raise QueryFailed(f"line 1:1: {error}") from error
    if isinstance(tree, exp.Command):
        raise QueryFailed(f"line 1:1: mismatched input '{str(tree.this)[:40]}'")
    refuse_unknown(tree)
    return tree


def name_outputs(tree: exp.Expr) -> exp.Expr:
    """Return a copy of a query whose unnamed columns are ``_col0``, ``_col1`` …, as Athena names them."""
    named = tree.copy()
    if isinstance(named, exp.Values):
        rows = named.expressions
        width = len(rows[0].expressions) if rows and isinstance(rows[0], exp.Tuple) else 1
        columns = [exp.to_identifier(f"_col{index}") for index in range(width)]
        named.set("alias", exp.TableAlias(this=exp.to_identifier("_values"), columns=columns))
        return exp.select("*").from_(named)
    select = named.unnest()
    while isinstance(select, exp.SetOperation):
        select = select.this.unnest()
    if isinstance(select, exp.Select):
        select.set("expressions", [_named(one, index) for index, one in enumerate(select.expressions)])
    return named


def _named(one: exp.Expr, index: int) -> exp.Expr:
    if one.is_star or isinstance(one, (exp.Alias, exp.Aliases, exp.Column)):
        return one
    name = one.name.lower() if isinstance(one, exp.Dot) else f"_col{index}"
    return exp.alias_(one, name, quoted=True)


def to_duckdb(tree: exp.Expr) -> str:
    """Return a statement, or an expression, in DuckDB's SQL. The tree is not changed.

    Raises
    ------
    QueryFailed
        It uses what is not supported.
    """
    tree = tree.copy()
    inner_filters(tree)
    # from the leaves upwards: what is put in a node's place is not visited again
    for node in reversed(list(tree.walk(bfs=False))):
        parent, key, index = node.parent, node.arg_key, node.index
        new = mended(node)
        if new is node:
            continue
        if parent is None:
            tree = new
            tree.parent = None
        else:
            parent.set(key, new, index)
    return tree.sql(dialect="duckdb")
