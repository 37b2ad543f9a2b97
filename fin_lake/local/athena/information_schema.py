"""``information_schema``: the catalog as tables."""

from __future__ import annotations

from collections.abc import Iterator

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.glue_tables import CATALOG, GlueTable
from fin_lake.local.athena.metastore import Metastore
from fin_lake.local.athena.partitions import values_relation

_COLUMNS = {
    "schemata": ("catalog_name", "schema_name"),
    "tables": ("table_catalog", "table_schema", "table_name", "table_type"),
    "views": ("table_catalog", "table_schema", "table_name", "view_definition"),
    "columns": (
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "ordinal_position",
        "column_default",
        "is_nullable",
        "data_type",
    ),
}

_ATHENA_NAMES = {
    "string": "varchar",
    "int": "integer",
    "binary": "varbinary",
    "float": "real",
    "timestamp": "timestamp(3)",
}


def select(metastore: Metastore, name: str) -> str:
    """Return a select in DuckDB's SQL over one of the tables.

    Raises
    ------
    QueryFailed
        There is no such table.
    """
    if name not in _COLUMNS:
        raise QueryFailed(
            f"TABLE_NOT_FOUND: line 1:15: Table '{CATALOG}.information_schema.{name}' does not exist"
        )
    types = [(one, "BIGINT" if one == "ordinal_position" else "VARCHAR") for one in _COLUMNS[name]]
    return values_relation(list(_rows(metastore, name)), types)


def _rows(metastore: Metastore, name: str) -> Iterator[list[str | None]]:
    for database in metastore.databases():
        if name == "schemata":
            yield [CATALOG, database]
            continue
        for table in metastore.tables(database):
            place: list[str | None] = [CATALOG, database, table.name.name]
            if name == "tables":
                yield [*place, "VIEW" if table.is_view else "BASE TABLE"]
            elif name == "columns":
                yield from ([*place, *one] for one in _columns(table))
            elif table.is_view:
                yield [*place, table.view()[0]]


def _columns(table: GlueTable) -> Iterator[list[str | None]]:
    for position, (name, type_) in enumerate([*table.columns, *table.partition_keys], start=1):
        yield [name, str(position), None, "YES", _athena(type_)]


def _athena(hive: str) -> str:
    """Return a type as Athena's SQL calls it."""
    return _ATHENA_NAMES.get(hive, hive)
