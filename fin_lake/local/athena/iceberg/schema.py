"""Columns and partitions of Iceberg tables, as Athena's SQL says them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import duckdb
import pyarrow as pa
from pyiceberg import types as iceberg
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.io.pyarrow import UnsupportedPyArrowTypeException
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    Transform,
    TruncateTransform,
    YearTransform,
)

from fin_lake.local.athena import types
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.types import quote_name

_FIRST_FIELD: Final = 1000
_TRANSFORM: Final = re.compile(r"(\w+)\(\s*(\w+)\s*(?:,\s*(\w+)\s*)?\)")
_OF_TIME: Final[Mapping[str, Callable[[], Transform[Any, Any]]]] = {
    "year": YearTransform,
    "month": MonthTransform,
    "day": DayTransform,
    "hour": HourTransform,
}
_PLAIN: Final[Mapping[type[iceberg.IcebergType], str]] = {
    iceberg.BooleanType: "BOOLEAN",
    iceberg.IntegerType: "INTEGER",
    iceberg.LongType: "BIGINT",
    iceberg.FloatType: "FLOAT",
    iceberg.DoubleType: "DOUBLE",
    iceberg.DateType: "DATE",
    iceberg.TimeType: "TIME",
    iceberg.TimestampType: "TIMESTAMP",
    iceberg.TimestamptzType: "TIMESTAMP WITH TIME ZONE",
    iceberg.StringType: "VARCHAR",
    iceberg.UUIDType: "UUID",
    iceberg.BinaryType: "BLOB",
    iceberg.FixedType: "BLOB",
}


def schema_of(arrow: pa.Schema, comments: Mapping[str, str] | None = None) -> Schema:
    """Return the Iceberg schema of Arrow columns.

    Raises
    ------
    QueryFailed
        Iceberg has no such type.
    """
    try:
        plain = MetastoreCatalog._convert_schema_if_needed(arrow)  # noqa: SLF001 - nothing public numbers fields
    except (UnsupportedPyArrowTypeException, TypeError, ValueError) as error:
        raise QueryFailed(f"NOT_SUPPORTED: Type not supported for Iceberg: {error}") from error
    told = comments or {}
    fields = [one.model_copy(update={"doc": told.get(one.name)}) for one in plain.fields]
    # by the numbers of fields a partition spec names its columns
    return assign_fresh_schema_ids(Schema(*fields))


@functools.lru_cache(256)
def arrow_type(hive: str) -> pa.DataType:
    """Return the Arrow type in which rows of a Hive type come."""
    with duckdb.connect() as connection:
        column = connection.execute(f"SELECT CAST(NULL AS {types.from_hive(hive)})").to_arrow_table()
        return column.schema[0].type


def duckdb_type(type_: iceberg.IcebergType) -> str:
    """Return an Iceberg type in DuckDB's SQL.

    Raises
    ------
    QueryFailed
        DuckDB has no such type.
    """
    match type_:
        case iceberg.DecimalType():
            return f"DECIMAL({type_.precision}, {type_.scale})"
        case iceberg.ListType():
            return f"{duckdb_type(type_.element_type)}[]"
        case iceberg.MapType():
            return f"MAP({duckdb_type(type_.key_type)}, {duckdb_type(type_.value_type)})"
        case iceberg.StructType():
            fields = (f"{quote_name(one.name)} {duckdb_type(one.field_type)}" for one in type_.fields)
            return f"STRUCT({', '.join(fields)})"
        case _ if type(type_) in _PLAIN:
            return _PLAIN[type(type_)]
        case _:
            raise unsupported(f"Iceberg's type {type_}")


def columns_of(schema: Schema) -> list[tuple[str, str]]:
    """Return the columns' names and their types in DuckDB's SQL."""
    return [(one.name, duckdb_type(one.field_type)) for one in schema.fields]


def partition_spec(schema: Schema, partitioning: Sequence[str]) -> PartitionSpec:
    """Return how a table is partitioned.

    Parameters
    ----------
    partitioning : sequence of str
        Names of columns and transforms as Athena writes them: ``day(ts)``, ``bucket(16, id)``.

    Raises
    ------
    QueryFailed
        A column or a transform is unknown, or a transform does not go with its column's type.
    """
    fields = []
    for index, text in enumerate(partitioning):
        found = _TRANSFORM.fullmatch(text.strip())
        kind, first, second = found.groups() if found else ("identity", text.strip(), None)
        column, size = (str(second), first) if first.isdigit() else (first, second)
        try:
            source = schema.find_field(column.lower())
        except ValueError as error:
            raise QueryFailed(f"INVALID_TABLE_PROPERTY: partitioning: no column {column!r}") from error
        transform = _transform(kind.lower(), size)
        if not transform.can_transform(source.field_type):
            raise QueryFailed(
                f"INVALID_TABLE_PROPERTY: partitioning: {text}: {column} is of type {source.field_type}"
            )
        name = source.name if kind == "identity" else f"{source.name}_{kind.lower()}"
        fields.append(PartitionField(source.field_id, _FIRST_FIELD + index, transform, name))
    return PartitionSpec(*fields)


def _transform(kind: str, size: str | None) -> Transform[Any, Any]:
    if kind == "identity":
        return IdentityTransform()
    if kind in _OF_TIME and not size:
        return _OF_TIME[kind]()
    if kind in ("bucket", "truncate") and size and size.isdigit():
        return BucketTransform(int(size)) if kind == "bucket" else TruncateTransform(int(size))
    raise QueryFailed(f"INVALID_TABLE_PROPERTY: partitioning: unknown transform {kind!r}")
