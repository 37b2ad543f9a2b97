"""The lake's tables in the Glue catalog, made from :mod:`fin_lake.tables`.

Partitions are projected: no partition is ever registered, an hour can be queried as soon as its object
is there. Keys are texts of two digits (four for the year), as the folders are named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from fin_lake.lake.layout import dataset_prefix
from fin_lake.portfolios.definitions import load_portfolios
from fin_lake.schema import ASSET_CLASSES, ColumnType, Table
from fin_lake.tables import CORPORATE_ACTIONS, PORTFOLIOS, PROCESSED, QUARANTINE, RAW, TECHNICAL_ANALYSIS

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2049
_KEYS: Final = ("year", "month", "day", "hour")
_RANGES: Final = {"month": "1,12", "day": "1,31", "hour": "0,23"}
_PARQUET: Final = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        "Parameters": {"serialization.format": "1"},
    },
}
_JSON: Final = {
    "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
        # a line that is no JSON fails the query: left out, it would be missed by nobody
        "Parameters": {"ignore.malformed.json": "false"},
    },
}


@dataclass(slots=True)
class CatalogChanges:
    """What was done: names of tables."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


def ensure_catalog(
    glue: GlueClient, *, database: str, bucket: str, portfolios: Collection[str] | None = None
) -> CatalogChanges:
    """Create the database and the tables, and bring those that are there up to date.

    Parameters
    ----------
    glue : GlueClient
        boto3's client, of AWS or of any endpoint.
    database : str
        The Glue database. Other tables in it are left alone.
    bucket : str
        The lake's bucket.
    portfolios : collection of str, optional
        The portfolios that there are; those that ship with the package, if omitted.

    Returns
    -------
    CatalogChanges
        Nothing is written for a table that is as it should be.
    """
    try:
        glue.get_database(Name=database)
    except ClientError as error:
        if _code(error) != "EntityNotFoundException":
            raise
        glue.create_database(
            DatabaseInput={
                "Name": database,
                "Description": "Hourly stock and crypto bars, and what is computed from them",
                "LocationUri": f"s3://{bucket}/analytics/",
            }
        )
    changes = CatalogChanges()
    for wanted in table_inputs(bucket, load_portfolios() if portfolios is None else portfolios):
        name = wanted["Name"]
        held = _held(glue, database, name)
        if held is None:
            glue.create_table(DatabaseName=database, TableInput=wanted)
            changes.created.append(name)
        elif _agrees(wanted, held):
            changes.unchanged.append(name)
        else:
            glue.update_table(DatabaseName=database, TableInput=wanted)
            changes.updated.append(name)
    return changes


def due_changes(
    glue: GlueClient, *, database: str, bucket: str, portfolios: Collection[str] | None = None
) -> CatalogChanges:
    """Return what :func:`ensure_catalog` would do, without doing it.

    Raises
    ------
    botocore.exceptions.ClientError
        ``EntityNotFoundException`` if there is no database.
    """
    glue.get_database(Name=database)
    changes = CatalogChanges()
    for wanted in table_inputs(bucket, load_portfolios() if portfolios is None else portfolios):
        held = _held(glue, database, wanted["Name"])
        due = changes.created if held is None else changes.updated
        (changes.unchanged if held is not None and _agrees(wanted, held) else due).append(wanted["Name"])
    return changes


def _held(glue: GlueClient, database: str, name: str) -> Any:
    """Return Glue's ``Table``, None if there is none."""
    try:
        return glue.get_table(DatabaseName=database, Name=name)["Table"]
    except ClientError as error:
        if _code(error) != "EntityNotFoundException":
            raise
        return None


def table_inputs(bucket: str, portfolios: Collection[str]) -> Iterator[Any]:
    """Yield Glue's ``TableInput`` of every table over the lake's objects."""
    for asset_class in ASSET_CLASSES:
        yield _table_input(f"raw_{asset_class}", RAW[asset_class], "json", bucket)
        yield _table_input(f"processed_{asset_class}", PROCESSED[asset_class], "parquet", bucket)
        yield _table_input(f"financial_{asset_class}", PROCESSED[asset_class], "json", bucket)
        yield _table_input(f"quarantine_{asset_class}", QUARANTINE[asset_class], "parquet", bucket)
        analysis = TECHNICAL_ANALYSIS[asset_class]
        yield _table_input(f"technical_analysis_{asset_class}", analysis, "parquet", bucket)
    for table in PORTFOLIOS.values():
        yield _split_input(table.postgres, table, portfolios, bucket)
    yield _table_input("corporate_actions", CORPORATE_ACTIONS, "parquet", bucket)


def _table_input(name: str, table: Table, form: str, bucket: str) -> Any:
    location = f"s3://{bucket}/{dataset_prefix(table, form)}".rstrip("/") + "/"
    as_text = form == "json"
    columns = [
        {
            "Name": column.name,
            # Hive's timestamps have another form than ISO 8601
            "Type": "string" if as_text and column.type is ColumnType.TIMESTAMP else column.type.value,
            "Comment": column.description
            + (", as ISO 8601" if as_text and column.type is ColumnType.TIMESTAMP else ""),
        }
        for column in table.columns
    ]
    return {
        "Name": name,
        "Description": f"{table.description} ({'JSON lines' if as_text else 'Parquet'})",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [
            {"Name": key, "Type": "string", "Comment": f"The {key} of the hour, UTC"} for key in _KEYS
        ],
        "Parameters": {"EXTERNAL": "TRUE", "classification": form, **_projection(location)},
        "StorageDescriptor": {
            "Columns": columns,
            "Location": location,
            "Compressed": as_text,
            "NumberOfBuckets": -1,
            **(_JSON if as_text else _PARQUET),
        },
    }


def _split_input(name: str, table: Table, values: Collection[str], bucket: str) -> Any:
    """Return the ``TableInput`` of a table that has a folder for each of some values."""
    split = str(table.split_by)
    made = _table_input(name, table.part(f"${{{split}}}"), "parquet", bucket)
    (described,) = (one.description for one in table.columns if one.name == split)
    made["PartitionKeys"].insert(0, {"Name": split, "Type": "string", "Comment": described})
    made["Parameters"] |= {f"projection.{split}.type": "enum", f"projection.{split}.values": ",".join(values)}
    location = made["StorageDescriptor"]["Location"]
    made["StorageDescriptor"]["Location"] = location.partition("$")[0]
    return made


def _projection(location: str) -> dict[str, str]:
    """Return the properties of partition projection.

    https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html

    Athena enumerates the range as far as a query's conditions allow; it is wide, since an hour outside
    it would be invisible, and every query should name its year.
    """
    parameters = {
        "projection.enabled": "true",
        "projection.year.type": "integer",
        "projection.year.range": f"{FIRST_YEAR},{LAST_YEAR}",
        "storage.location.template": location + "/".join(f"{key}=${{{key}}}" for key in _KEYS) + "/",
    }
    for key, values in _RANGES.items():
        parameters |= {
            f"projection.{key}.type": "integer",
            f"projection.{key}.range": values,
            f"projection.{key}.digits": "2",
        }
    return parameters


def _agrees(wanted: Any, held: Any) -> bool:
    """Return whether a table has all that it should have; what AWS adds of its own does not count."""
    if isinstance(wanted, dict):
        return isinstance(held, dict) and all(_agrees(value, held.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(held, list)
            and len(wanted) == len(held)
            and all(_agrees(one, other) for one, other in zip(wanted, held, strict=True))
        )
    return bool(wanted == held)


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
