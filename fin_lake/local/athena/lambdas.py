"""Functions that are arguments: ``x -> x + 1``."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.errors import QueryFailed

_NAMES_OF_OTHERS = (exp.Column, exp.Dot, exp.Table, exp.Lambda, exp.PropertyEQ, exp.Alias, exp.TableAlias)
"""In these an identifier is no parameter."""


def applied(function: exp.Expr, *values: exp.Expr) -> exp.Expr:
    """Return the body of a lambda with its parameters replaced.

    Raises
    ------
    QueryFailed
        It is not a lambda, or one of another number of parameters.
    """
    if not isinstance(function, exp.Lambda) or len(function.expressions) != len(values):
        raise QueryFailed(f"TYPE_MISMATCH: line 1:1: expected a lambda of {len(values)} parameters")
    given = {one.name.lower(): value for one, value in zip(function.expressions, values, strict=True)}
    return _replaced(function.this.copy(), given)


def _replaced(node: exp.Expr, given: dict[str, exp.Expr]) -> exp.Expr:
    if _is_parameter(node) and node.name.lower() in given:
        return given[node.name.lower()].copy()
    if isinstance(node, exp.Column) and node.table.lower() in given:  # p.field, p being a row
        return sql.field(given[node.table.lower()].copy(), node.name)
    inner = given
    if isinstance(node, exp.Lambda):
        own = {one.name.lower() for one in node.expressions}
        inner = {name: value for name, value in given.items() if name not in own}
    for child in list(node.iter_expressions()):
        if isinstance(node, exp.Lambda) and child.arg_key == "expressions":
            continue
        new = _replaced(child, inner)
        if new is not child:
            child.replace(new)
    return node


def _is_parameter(node: exp.Expr) -> bool:
    if isinstance(node, exp.Column):
        return not node.table and isinstance(node.this, exp.Identifier)
    if not isinstance(node, exp.Identifier):
        return False
    parent = node.parent
    if isinstance(parent, exp.Dot):
        return node.arg_key == "this"
    return not isinstance(parent, _NAMES_OF_OTHERS) or (
        isinstance(parent, exp.Lambda) and node.arg_key == "this"
    )


def over(values: exp.Expr, function: exp.Expr, *, how: str = "list_transform") -> exp.Expr:
    """Return a function of DuckDB's over an array with a lambda of one parameter."""
    parameter = fresh(function)
    return sql.call(how, values, sql.lambda_([parameter], applied(function, exp.to_identifier(parameter))))


def fresh(function: exp.Expr, prefix: str = "e") -> str:
    """Return a name for a parameter that nothing within a lambda has."""
    taken = {one.name for one in function.find_all(exp.Identifier)}
    at = 0
    while f"{prefix}{at}__" in taken:
        at += 1
    return f"{prefix}{at}__"


def entries(map_: exp.Expr, function: exp.Expr, *, make: str) -> exp.Expr:
    """Return what a lambda of key and value makes of a map.

    Parameters
    ----------
    make : str
        ``filter`` keeps the entries for which it is true; ``key`` and ``value`` replace that part.
    """
    name = fresh(function)
    parts: Sequence[exp.Expr] = [sql.field(exp.to_identifier(name), one) for one in sql.ENTRY]
    body = applied(function, *parts)
    pairs = sql.call("map_entries", map_)
    if make == "filter":
        kept = sql.call("list_filter", pairs, sql.lambda_([name], body))
        return sql.call("map_from_entries", kept)
    key, value = (body, parts[1]) if make == "key" else (parts[0], body)
    made = sql.call("list_transform", pairs, sql.lambda_([name], sql.struct(k=key, v=value)))
    return sql.call("map_from_entries", made)
