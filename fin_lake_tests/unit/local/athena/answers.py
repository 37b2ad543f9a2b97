"""What a query answers: Athena's SQL, translated and run by DuckDB, as texts."""

from __future__ import annotations

import functools

import duckdb
import pytest

from fin_lake.local.athena import library, translation, types
from fin_lake.local.athena.duckdb_errors import explain
from fin_lake.local.athena.errors import QueryFailed


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    library.install(database)
    return database


def columns(sql: str, *parameters: str) -> list[tuple[str, str]]:
    """Return the names of a query's columns and Athena's types of them."""
    cursor = _run(sql, *parameters)
    return [(name.lower(), types.athena_column(type_).name) for name, type_, *_ in cursor.description]


def rows(sql: str, *parameters: str) -> list[list[str | None]]:
    """Return a query's rows as Athena prints them."""
    cursor = _run(sql, *parameters)
    kinds = [type_ for _, type_, *_ in cursor.description]
    try:
        found = cursor.fetchall()
    except duckdb.Error as error:
        raise explain(error) from error
    return [[types.render(one, kind) for one, kind in zip(row, kinds, strict=True)] for row in found]


def value(expression: str, source: str = "") -> str | None:
    """Return the one value of an expression, over rows if a source follows."""
    found = rows(f"select {expression} as r {source}")
    assert len(found) == 1
    return found[0][0]


def failure(sql: str, *parameters: str) -> str:
    """Return the words with which a query fails."""
    with pytest.raises(QueryFailed) as failed:
        rows(sql, *parameters)
    return str(failed.value)


def check(expression: str, expected: str | None, source: str = "") -> None:
    """Assert an expression's value; that of ``~1.5`` may differ in the last digits."""
    found = value(expression, source)
    if expected is not None and expected.startswith("~"):
        assert found is not None
        assert float(found) == pytest.approx(float(expected[1:]), rel=1e-12)
    else:
        assert found == expected


def _run(sql: str, *parameters: str) -> duckdb.DuckDBPyConnection:
    tree = translation.bind_parameters(translation.parse(sql), parameters)
    cursor = _database().cursor()
    library.open_session(cursor)
    try:
        cursor.execute(translation.to_duckdb(translation.name_outputs(tree)))
    except duckdb.Error as error:
        raise explain(error) from error
    return cursor
