"""What DuckDB is taught before it can answer as Athena does."""

from __future__ import annotations

import duckdb

from fin_lake.local.athena import macros, udfs


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Teach a database Athena's functions; once for all of its cursors."""
    udfs.register(connection)
    connection.execute(macros.SQL)


def open_session(cursor: duckdb.DuckDBPyConnection) -> None:
    """Set what each cursor needs: it inherits none of the settings."""
    cursor.execute("SET TimeZone='UTC'; SET preserve_insertion_order=true")
