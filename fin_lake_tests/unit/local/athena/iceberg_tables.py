"""What the tests of Iceberg tables share."""

from __future__ import annotations

from collections.abc import Sequence

from fin_lake_tests.unit.local.athena.conftest import Run


def rows(run: Run, sql: str) -> list[list[str | None]]:
    """Return a query's rows."""
    return [list(row) for row in run(sql).rows]


def value(run: Run, sql: str) -> str | None:
    """Return a query's one value."""
    ((found,),) = rows(run, sql)
    return found


def create(run: Run, query: str, partitioning: Sequence[str] = (), *, name: str = "i") -> None:
    """Make a table of a query's rows."""
    by = ", ".join(f"'{one}'" for one in partitioning)
    run(
        f"create table {name} with (table_type = 'iceberg', is_external = false,"
        f" location = 's3://BUCKET/{name}/', partitioning = array[{by}]) as {query}"
    )


def files(run: Run, name: str = "i") -> set[str | None]:
    """Return the addresses of a table's data files."""
    return {row[0] for row in rows(run, f'select file_path from "{name}$files"')}
