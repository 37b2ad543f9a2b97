"""Tables as Glue describes them: names, columns, places and formats.

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
from typing import Any, Final
from urllib.parse import quote

from fin_lake.local.athena.errors import QueryFailed

CATALOG: Final = "awsdatacatalog"
NULL_PARTITION: Final = "__HIVE_DEFAULT_PARTITION__"

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
