"""SELECT, EXPLAIN and what else only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fin_lake.local.athena import translation
from fin_lake.local.athena.results import Result, ResultColumn, StatementType, lines, rendered

if TYPE_CHECKING:
    from sqlglot import exp

    from fin_lake.local.athena.session import Session


def select(session: Session, tree: exp.Expr) -> Result:
    """Run a query and return its rows.

    Raises
    ------
    QueryFailed
        It names what is not there, or a value cannot be computed.
    """
    cursor = session.cursor.execute(translation.to_duckdb(session.bind(translation.name_outputs(tree))))
    names = [name.lower() for name, *_ in cursor.description]
    types = [type_ for _, type_, *_ in cursor.description]
    rows = list(rendered(cursor.fetchall(), types))
    columns = [ResultColumn.of(name, type_) for name, type_ in zip(names, types, strict=True)]
    return Result(StatementType.DML, "SELECT", columns, rows, header=True)


def explain(session: Session, tree: exp.Expr, *, analyze: bool) -> Result:
    """Return DuckDB's plan of a query, a line a row; with ``analyze`` it is run and timed."""
    word = "EXPLAIN ANALYZE" if analyze else "EXPLAIN"
    found = session.cursor.execute(f"{word} {translation.to_duckdb(session.bind(tree))}").fetchall()
    text = [line for _, plan in found for line in plan.splitlines()]
    return lines(StatementType.DML, "EXPLAIN_ANALYZE" if analyze else "EXPLAIN", "Query Plan", text)
