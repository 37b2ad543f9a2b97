"""The Glue catalog as the query engine sees it: tables with names, types, places and formats.

Nothing here knows SQL beyond the text of a view.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from botocore.exceptions import ClientError

from fin_lake.local.athena.errors import QueryFailed

if TYPE_CHECKING:
    from fin_lake.local.athena.glue import GlueClient

CATALOG: Final = "awsdatacatalog"
NULL_PARTITION: Final = "__HIVE_DEFAULT_PARTITION__"
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

Columns = Sequence[tuple[str, str]]
"""Names, in lower case, and Hive types."""


class Format(StrEnum):
    """How a table's files are written."""

    PARQUET = "parquet"
    JSON = "json"
    TEXTFILE = "textfile"
    CSV = "csv"
    ORC = "orc"
    AVRO = "avro"


@dataclass(frozen=True, slots=True)
class _Classes:
    """The Java classes by which Hive, and so Glue, names a format."""

    input: str
    output: str
    serde: str


_TEXT_OUTPUT: Final = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_TEXT_INPUT: Final = "org.apache.hadoop.mapred.TextInputFormat"
CLASSES: Final[Mapping[Format, _Classes]] = {
    Format.PARQUET: _Classes(
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    ),
    Format.JSON: _Classes(_TEXT_INPUT, _TEXT_OUTPUT, "org.openx.data.jsonserde.JsonSerDe"),
    Format.TEXTFILE: _Classes(
        _TEXT_INPUT, _TEXT_OUTPUT, "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
    ),
    Format.CSV: _Classes(_TEXT_INPUT, _TEXT_OUTPUT, "org.apache.hadoop.hive.serde2.OpenCSVSerde"),
    Format.ORC: _Classes(
        "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat",
        "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
        "org.apache.hadoop.hive.ql.io.orc.OrcSerde",
    ),
    Format.AVRO: _Classes(
        "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
        "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat",
        "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
    ),
}
_SERDES: Final = (  # a word of the class's name, in the order in which they are looked for
    ("parquet", Format.PARQUET),
    ("json", Format.JSON),
    ("opencsv", Format.CSV),
    ("lazysimple", Format.TEXTFILE),
    ("orc", Format.ORC),
    ("avro", Format.AVRO),
)


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's full name, in lower case."""

    database: str
    name: str

    def __str__(self) -> str:
        return f"{self.database}.{self.name}"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition: its values as text, in the order of the keys, and its folder."""

    values: tuple[str, ...]
    location: str


class GlueTable:
    """A table as Glue describes it.

    Parameters
    ----------
    described : dict
        ``Table`` of Glue's GetTable.
    """

    def __init__(self, described: dict[str, Any]) -> None:
        self.described = described
        self.name = TableName(described["DatabaseName"], described["Name"])
        self.parameters: dict[str, str] = {k.lower(): v for k, v in described.get("Parameters", {}).items()}
        self.storage: dict[str, Any] = described.get("StorageDescriptor", {})

    @property
    def is_view(self) -> bool:
        """Whether it is a view."""
        return self.described.get("TableType") == "VIRTUAL_VIEW"

    @property
    def is_iceberg(self) -> bool:
        """Whether it is an Iceberg table."""
        return self.parameters.get("table_type", "").upper() == "ICEBERG"

    @functools.cached_property
    def columns(self) -> Columns:
        """The columns without the partition keys."""
        return _columns(self.storage.get("Columns", []))

    @functools.cached_property
    def partition_keys(self) -> Columns:
        """The partition keys."""
        return _columns(self.described.get("PartitionKeys", []))

    @property
    def location(self) -> str:
        """The folder of its data, without a slash at the end."""
        return str(self.storage.get("Location", "")).rstrip("/")

    @property
    def serde_parameters(self) -> dict[str, str]:
        """The parameters of its serializer, with names in lower case."""
        return {k.lower(): v for k, v in self.storage.get("SerdeInfo", {}).get("Parameters", {}).items()}

    @property
    def format(self) -> Format:
        """How its files are written.

        Raises
        ------
        QueryFailed
            Its serializer is none that Athena knows.
        """
        library = str(self.storage.get("SerdeInfo", {}).get("SerializationLibrary", ""))
        for word, one in _SERDES:
            if word in library.lower():
                return one
        raise QueryFailed(
            f"HIVE_UNSUPPORTED_FORMAT: Unable to create input format for {self.name}: serde {library!r}"
        )

    def view(self) -> tuple[str, str]:
        """Return a view's query and the database in which its names are looked up.

        Raises
        ------
        QueryFailed
            It is no view that Athena wrote.
        """
        text = self.described.get("ViewOriginalText") or ""
        found = re.fullmatch(r"/\* Presto View: (\S+) \*/", text.strip())
        if found is None:
            raise QueryFailed(f"INVALID_VIEW: {self.name} is not a view of Athena's")
        definition = json.loads(base64.b64decode(found[1]))
        return definition["originalSql"], definition.get("schema") or self.name.database


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


def table_input(
    name: str,
    *,
    columns: Columns,
    partition_keys: Columns,
    location: str,
    format: Format,  # noqa: A002 - the format's name in Athena
    parameters: Mapping[str, str] | None = None,
    serde_parameters: Mapping[str, str] | None = None,
    comments: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return Glue's ``TableInput`` of a table over files."""
    classes, said = CLASSES[format], comments or {}
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", **(parameters or {})},
        "PartitionKeys": _described(partition_keys, said),
        "StorageDescriptor": {
            "Columns": _described(columns, said),
            "Location": location.rstrip("/") + "/",
            "InputFormat": classes.input,
            "OutputFormat": classes.output,
            "SerdeInfo": {
                "SerializationLibrary": classes.serde,
                "Parameters": dict(serde_parameters or {"serialization.format": "1"}),
            },
            "Compressed": False,
            "NumberOfBuckets": -1,
        },
    }


def view_input(name: str, *, sql: str, database: str, columns: Columns) -> dict[str, Any]:
    """Return Glue's ``TableInput`` of a view, in the form in which Athena keeps its views.

    Parameters
    ----------
    columns : sequence of pairs
        Names and Hive types.
    """
    definition = {
        "originalSql": sql,
        "catalog": CATALOG,
        "schema": database,
        "columns": [{"name": column, "type": type_} for column, type_ in columns],
    }
    text = base64.b64encode(json.dumps(definition).encode()).decode()
    return {
        "Name": name,
        "TableType": "VIRTUAL_VIEW",
        "Parameters": {"presto_view": "true", "comment": "Presto View"},
        "PartitionKeys": [],
        "ViewOriginalText": f"/* Presto View: {text} */",
        "ViewExpandedText": "/* Presto View */",
        "StorageDescriptor": {
            "Columns": _described(columns, {}),
            "Location": "",
            "SerdeInfo": {},
            "NumberOfBuckets": 0,
        },
    }


def partition_folder(keys: Iterable[str], values: Iterable[str | None]) -> str:
    """Return a partition's folder as Hive names it: ``day=2023-01-03/venue=a%2Fb``.

    Null, and the empty text, are ``__HIVE_DEFAULT_PARTITION__``.
    """
    return "/".join(
        f"{key}={quote(value or NULL_PARTITION, safe=' -_.!~()@,;+&$')}"
        for key, value in zip(keys, values, strict=True)
    )


def _columns(described: Iterable[Mapping[str, str]]) -> Columns:
    return tuple((one["Name"].lower(), one.get("Type", "string").lower()) for one in described)


def _described(columns: Columns, comments: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"Name": name, "Type": type_} | ({"Comment": comments[name]} if comments.get(name) else {})
        for name, type_ in columns
    ]


def _batches(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _hive(message: str) -> QueryFailed:
    return QueryFailed(
        f"FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask. {message}"
    )
