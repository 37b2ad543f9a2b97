"""``UNNEST`` of arrays and maps as a lateral query of DuckDB's, which keeps the order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.collection_functions import cardinality
from fin_lake.local.athena.kinds import Kind, kind, told

_PAIR: Final = 2


def unnested(node: exp.Expr) -> exp.Expr:
    """Return what stands for ``UNNEST(…) WITH ORDINALITY AS t(x, n)``.

    A map gives two columns, an array of rows one for each field. Which an argument is, is told by the
    number of columns where its text does not tell it: a column of a table that gives two is a map.
    """
    alias: exp.TableAlias | None = node.args.get("alias")
    place = node.args.get("offset")
    names = list(alias.columns) if alias is not None else []
    values = [_told_by_alias(one, node) for one in node.expressions]
    columns = list(_columns(values, len(names) or len(values)))
    if place:
        last = (
            sql.call("greatest", *(cardinality(one.copy()) for one in values))
            if len(values) > 1
            else cardinality(values[0].copy())
        )
        upto = exp.Add(this=last, expression=sql.number(1))
        columns.append(_rows(sql.call("range", sql.number(1), upto)))
        names.append(place if isinstance(place, exp.Identifier) else exp.to_identifier("ordinality"))
    query = exp.Subquery(this=exp.Select(expressions=columns))
    if alias is not None:
        alias.set("columns", names if alias.columns or isinstance(place, exp.Identifier) else [])
    if isinstance(node.parent, exp.From):
        query.set("alias", alias)
        return query
    return exp.Lateral(this=query, alias=alias)


def _columns(values: list[exp.Expr], wanted: int) -> Iterator[exp.Expr]:
    spare = wanted - len(values)
    for value in values:
        known = kind(value)
        if known is Kind.MAP or (spare == 1 and known is None):
            yield _rows(sql.call("map_keys", value.copy()))
            yield _rows(sql.call("map_values", value))
            spare -= 1
        elif spare > 0:
            yield sql.template("unnest(@1, max_depth := 2)")(value)
            spare = 0
        else:
            yield _rows(value)


def _rows(values: exp.Expr) -> exp.Expr:
    return sql.call("unnest", values)


def _told_by_alias(value: exp.Expr, within: exp.Expr) -> exp.Expr:
    """Return a column with the kind of the expression that goes by its name elsewhere in the statement."""
    if not isinstance(value, exp.Column) or kind(value) is not None:
        return value
    found = {
        kind(one) for one in within.root().find_all(exp.Alias) if one.alias.lower() == value.name.lower()
    }
    return told(value, found.pop()) if len(found) == 1 else value
