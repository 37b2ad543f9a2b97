"""The Glue catalog as the query engine uses it, with failures in Athena's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.glue_tables import (
    CATALOG,
    GlueTable,
    Partition,
    TableName,
)

if TYPE_CHECKING:
    from fin_lake.local.athena.glue import GlueClient

_CREATE_BATCH: Final = 100
_DELETE_BATCH: Final = 25
_NOT_FOUND: Final = 1301
_TABLE_INPUT: Final = (
    "Name",
    "Description",
    "Owner",
    "LastAccessTime",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "ViewOriginalText",
    "ViewExpandedText",
    "TableType",
    "Parameters",
    "TargetTable",
)
"""What of a table that Glue returned may be sent back to it."""


class Metastore:
    """Databases, tables and partitions, with failures worded as Athena words them.

    Parameters
    ----------
    glue : GlueClient
        The catalog.
    """

    def __init__(self, glue: GlueClient) -> None:
        self.glue = glue

    def find(self, name: TableName) -> GlueTable | None:
        """Return a table, or ``None`` if there is none of that name."""
        try:
            return GlueTable(self.glue.get_table(DatabaseName=name.database, Name=name.name)["Table"])
        except ClientError as error:
            if _code(error) == "EntityNotFoundException":
                return None
            raise

    def require(self, name: TableName) -> GlueTable:
        """Return a table.

        Raises
        ------
        QueryFailed
            There is none of that name.
        """
        found = self.find(name)
        if found is not None:
            return found
        if name.database not in self.databases():
            raise QueryFailed(
                f"SCHEMA_NOT_FOUND: line 1:15: Schema '{name.database}' does not exist", error_type=_NOT_FOUND
            )
        raise QueryFailed(
            f"TABLE_NOT_FOUND: line 1:15: Table '{CATALOG}.{name}' does not exist", error_type=_NOT_FOUND
        )

    def databases(self) -> list[str]:
        """Return the names of all databases."""
        pages = self.glue.get_paginator("get_databases").paginate()
        return sorted(one["Name"] for page in pages for one in page["DatabaseList"])

    def tables(self, database: str) -> list[GlueTable]:
        """Return a database's tables and views, in the order of their names.

        Raises
        ------
        QueryFailed
            There is no such database.
        """
        try:
            pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=database)
            found = [GlueTable(one) for page in pages for one in page["TableList"]]
        except ClientError as error:
            raise QueryFailed(
                f"SCHEMA_NOT_FOUND: line 1:1: Schema '{database}' does not exist", error_type=_NOT_FOUND
            ) from error
        return sorted(found, key=lambda table: table.name.name)

    def partitions(self, name: TableName) -> list[Partition]:
        """Return a table's registered partitions."""
        pages = self.glue.get_paginator("get_partitions").paginate(
            DatabaseName=name.database, TableName=name.name, ExcludeColumnSchema=True
        )
        return [
            Partition(tuple(one["Values"]), one["StorageDescriptor"]["Location"].rstrip("/"))
            for page in pages
            for one in page["Partitions"]
        ]

    def create_database(self, name: str, *, location: str, comment: str, if_not_exists: bool) -> None:
        """Create a database.

        Raises
        ------
        QueryFailed
            There is one of that name, unless ``if_not_exists``.
        """
        wanted = {"Name": name, "Description": comment, "LocationUri": location}
        try:
            self.glue.create_database(DatabaseInput={k: v for k, v in wanted.items() if v})
        except ClientError as error:
            if _code(error) != "AlreadyExistsException":
                raise
            if not if_not_exists:
                raise _hive(f"AlreadyExistsException(message:Database {name} already exists)") from error

    def drop_database(self, name: str, *, if_exists: bool, cascade: bool) -> None:
        """Drop a database, with its tables if ``cascade``.

        Raises
        ------
        QueryFailed
            There is none of that name, unless ``if_exists``; it is not empty, unless ``cascade``.
        """
        if name not in self.databases():
            if if_exists:
                return
            raise QueryFailed(f"FAILED: SemanticException [Error 10072]: Database does not exist: {name}")
        tables = self.tables(name)
        if tables and not cascade:
            raise _hive(
                f"InvalidOperationException(message:Database {name} is not empty. One or more tables exist.)"
            )
        for table in tables:
            self.drop(table.name)
        self.glue.delete_database(Name=name)

    def create(self, database: str, table_input: dict[str, Any], *, replace: bool = False) -> None:
        """Create a table or view.

        Raises
        ------
        QueryFailed
            There is one of that name, unless ``replace``; there is no such database.
        """
        try:
            self.glue.create_table(DatabaseName=database, TableInput=table_input)
        except ClientError as error:
            code = _code(error)
            if code == "AlreadyExistsException" and replace:
                self.glue.update_table(DatabaseName=database, TableInput=table_input)
            elif code == "AlreadyExistsException":
                raise _hive(
                    f"AlreadyExistsException(message:Table {table_input['Name']} already exists)"
                ) from error
            elif code == "EntityNotFoundException":
                raise QueryFailed(
                    f"SCHEMA_NOT_FOUND: Schema {database} not found", error_type=_NOT_FOUND
                ) from error
            else:
                raise

    def update(self, table: GlueTable, **changes: Any) -> None:
        """Change parts of a table's description, named as in Glue's ``TableInput``."""
        kept = {key: value for key, value in table.described.items() if key in _TABLE_INPUT}
        self.glue.update_table(DatabaseName=table.name.database, TableInput={**kept, **changes})

    def rename(self, table: GlueTable, name: TableName) -> None:
        """Give a table another name; its data stay where they are."""
        kept = {key: value for key, value in table.described.items() if key in _TABLE_INPUT}
        partitions = self.partitions(table.name) if table.partition_keys else []
        self.create(name.database, {**kept, "Name": name.name})
        self.add_partitions(self.require(name), partitions)
        self.drop(table.name)

    def drop(self, name: TableName) -> None:
        """Drop a table's description; its data stay."""
        self.glue.delete_table(DatabaseName=name.database, Name=name.name)

    def add_partitions(self, table: GlueTable, partitions: Sequence[Partition]) -> None:
        """Register partitions. Those that are registered already stay as they are."""
        for some in _batches(partitions, _CREATE_BATCH):
            answer = self.glue.batch_create_partition(
                DatabaseName=table.name.database,
                TableName=table.name.name,
                PartitionInputList=[
                    {
                        "Values": list(one.values),
                        "StorageDescriptor": {**table.storage, "Location": one.location + "/"},
                        "Parameters": {},
                    }
                    for one in some
                ],
            )
            for error in answer.get("Errors", []):
                detail = error["ErrorDetail"]
                if detail["ErrorCode"] != "AlreadyExistsException":
                    raise _hive(f"{detail['ErrorCode']}(message:{detail['ErrorMessage']})")

    def drop_partitions(self, name: TableName, values: Sequence[tuple[str, ...]]) -> None:
        """Remove partitions from the catalog; their data stay."""
        for some in _batches(values, _DELETE_BATCH):
            self.glue.batch_delete_partition(
                DatabaseName=name.database,
                TableName=name.name,
                PartitionsToDelete=[{"Values": list(one)} for one in some],
            )


def _batches(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _hive(message: str) -> QueryFailed:
    return QueryFailed(
        f"FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask. {message}"
    )
