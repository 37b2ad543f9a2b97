"""DELETE, UPDATE and MERGE in DuckDB's SQL: what becomes of which rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyiceberg.expressions as iceberg
from pyiceberg.schema import Schema
from sqlglot import exp

from fin_lake.local.athena import translation
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.iceberg.filters import one_of, row_filter, within
from fin_lake.local.athena.iceberg.schema import columns_of
from fin_lake.local.athena.pruning import strict_parts, unqualified
from fin_lake.local.athena.types import quote_name

if TYPE_CHECKING:
    from fin_lake.local.athena.session import Session

_FEW: Final = 50
"""Up to so many values of the source are looked for one by one; beyond, by their range."""

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Clause:
    """A ``WHEN``: its condition, and what becomes of a row: new values by column, or ``None`` if it goes."""

    condition: str
    values: Values | None


@dataclass(frozen=True, slots=True)
class RowChange:
    """A statement, with all expressions in DuckDB's SQL.

    Parameters
    ----------
    target : str
        The target's name in expressions.
    source : str
        The source with its name; empty for DELETE and UPDATE.
    on : str
        Which target rows are meant, or which belong to a source row.
    matched, unmatched : sequence of Clause
        Of rows of the target, and of rows of the source that belong to none. The first one counts whose
        condition holds.
    filter : pyiceberg.expressions.BooleanExpression
        Keeps every target row that is meant.
    """

    target: str
    source: str
    on: str
    matched: Sequence[Clause]
    unmatched: Sequence[Clause]
    filter: iceberg.BooleanExpression


def read(session: Session, schema: Schema, tree: exp.Expr) -> RowChange:
    """Return what a statement does to a table's rows. The source is computed and kept.

    Raises
    ------
    QueryFailed
        A column that is to be set is not the table's, or is set twice; a clause is not supported.
    """
    tree = tree.copy()
    target = tree.this
    alias = (target.alias or target.name).lower()
    target.meta["bound"] = True
    bound = session.bind(tree)
    if isinstance(bound, exp.Merge):
        return _read_merge(session, schema, bound, alias)
    where = bound.args.get("where")
    condition = where.this if where is not None else exp.true()
    values = None
    if isinstance(bound, exp.Update):
        values = _assigned(schema, bound.expressions)
    filter_ = row_filter(schema, _about(condition, alias, alone=True))
    on = f"({translation.to_duckdb(condition)})"
    return RowChange(alias, "", on, [Clause("true", values)], [], filter_)


def _read_merge(session: Session, schema: Schema, bound: exp.Merge, alias: str) -> RowChange:
    using = bound.args["using"]
    relation = session.new_relation()
    session.cursor.execute(
        f"CREATE TEMP TABLE {quote_name(relation)} AS SELECT * FROM {translation.to_duckdb(using)}"  # noqa: S608
    )
    condition = bound.args["on"]
    matched: list[Clause] = []
    unmatched: list[Clause] = []
    for when in bound.args["whens"].expressions:
        if when.args.get("source"):
            raise unsupported("MERGE … WHEN NOT MATCHED BY SOURCE")
        asked = when.args.get("condition")
        sql = f"({translation.to_duckdb(asked)})" if asked is not None else "true"
        clause = Clause(sql, _then(schema, when.args["then"]))
        (matched if when.args.get("matched") else unmatched).append(clause)
    source = f"{quote_name(relation)} AS {quote_name(using.alias_or_name.lower())}"
    reached = iceberg.And(
        _reached(session, schema, condition, alias=alias, source=source),
        row_filter(schema, _about(condition, alias, alone=False)),
    )
    return RowChange(alias, source, f"({translation.to_duckdb(condition)})", matched, unmatched, reached)


def _then(schema: Schema, then: exp.Expr) -> Values | None:
    if isinstance(then, exp.Update) and then.expressions:
        return _assigned(schema, then.expressions)
    if isinstance(then, exp.Insert) and isinstance(then.expression, exp.Tuple):
        listed = then.this.expressions if then.this is not None else ()
        names = [one.name for one in listed] or [field.name for field in schema.fields]
        values = then.expression.expressions
        if len(names) != len(values):
            raise QueryFailed(
                f"TYPE_MISMATCH: line 1:1: MERGE inserts {len(values)} values into {len(names)} columns"
            )
        return _typed(schema, list(zip(names, values, strict=True)))
    if then.name.upper() == "DELETE":
        return None
    raise unsupported(f"MERGE … THEN {then.sql('athena')}")


def _assigned(schema: Schema, assignments: Sequence[exp.Expr]) -> Values:
    return _typed(schema, [(one.this.name, one.expression) for one in assignments])


def _typed(schema: Schema, given: Sequence[tuple[str, exp.Expr]]) -> Values:
    """Return new values, each in its column's type: side by side in a CASE they must not change others'."""
    types = dict(columns_of(schema))
    values: dict[str, str] = {}
    for column, expression in given:
        name = column.lower()
        if name not in types:
            raise QueryFailed(
                f"COLUMN_NOT_FOUND: line 1:1: Column name does not exist in target table: {name}"
            )
        if name in values:
            raise QueryFailed(
                f"DUPLICATE_COLUMN_NAME: line 1:1: Column name is specified more than once: {name}"
            )
        values[name] = f"CAST({translation.to_duckdb(expression)} AS {types[name]})"
    return values


def _about(condition: exp.Expr, alias: str, *, alone: bool) -> Iterator[exp.Expr]:
    """Yield the parts of a condition that are on the target's columns only.

    Parameters
    ----------
    alone : bool
        Whether a column without a table's name is the target's.
    """
    names = {alias, ""} if alone else {alias}
    for one in strict_parts(condition):
        if all(column.table.lower() in names for column in one.find_all(exp.Column)):
            yield unqualified(one)


def _reached(
    session: Session, schema: Schema, condition: exp.Expr, *, alias: str, source: str
) -> iceberg.BooleanExpression:
    """Return the filter of the target rows that the source's values can be equal to."""
    found: iceberg.BooleanExpression = iceberg.AlwaysTrue()
    conjuncts = condition.unnest()
    parts = conjuncts.flatten() if isinstance(conjuncts, exp.And) else [conjuncts]
    for one in (part.unnest() for part in parts):
        if not isinstance(one, exp.EQ):
            continue
        for column, other in ((one.this, one.expression), (one.expression, one.this)):
            named = {node.table.lower() for node in other.find_all(exp.Column)}
            if _is_of(column, alias, schema) and named and not named & {alias, ""}:
                sql = translation.to_duckdb(other)
                found = iceberg.And(found, _of_values(session, schema, column.name.lower(), sql, source))
    return found


def _is_of(node: exp.Expr, alias: str, schema: Schema) -> bool:
    return (
        isinstance(node, exp.Column)
        and node.table.lower() == alias
        and any(field.name == node.name.lower() for field in schema.fields)
    )


def _of_values(
    session: Session, schema: Schema, column: str, sql: str, source: str
) -> iceberg.BooleanExpression:
    rows = session.cursor.execute(
        f"SELECT DISTINCT {sql} AS v FROM {source} WHERE v IS NOT NULL LIMIT {_FEW + 1}"  # noqa: S608
    ).fetchall()
    values = [row[0] for row in rows]
    if not values:
        return iceberg.AlwaysFalse()  # nothing is equal to null
    made = one_of(schema, column, values)
    if len(values) > _FEW:
        low, high = session.cursor.execute(f"SELECT min({sql}), max({sql}) FROM {source}").fetchall()[0]  # noqa: S608
        made = within(schema, column, low, high)
    return made if made is not None else iceberg.AlwaysTrue()
