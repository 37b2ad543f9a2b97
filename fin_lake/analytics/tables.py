"""What the catalog and the tables' own metadata say of the models' tables, without a query.

An Iceberg table's metadata counts its rows, files and bytes; Glue knows the columns.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from botocore.exceptions import BotoCoreError, ClientError

from fin_lake.clients import aws_client
from fin_lake.errors import FinLakeError
from fin_lake.lake.store import Lake
from fin_lake.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

_TEMPORARY: Final = "__dbt_tmp"


class TableError(FinLakeError):
    """The catalog does not answer, or does not know a table."""


class MissingTableError(TableError):
    """The catalog does not know a table."""


@dataclass(frozen=True, slots=True)
class IcebergState:
    """What an Iceberg table's current snapshot holds: rows, data files, bytes; and how many snapshots."""

    rows: int
    files: int
    size: int
    snapshots: int


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table's columns and, if it is an Iceberg table, its state."""

    columns: dg.TableSchema
    iceberg: IcebergState | None


class LakeTables:
    """The tables of one Glue database in one bucket."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lake = Lake(settings)

    @functools.cached_property
    def _glue(self) -> GlueClient:
        client: GlueClient = aws_client(self._settings, "glue", self._settings.glue_endpoint_url)
        return client

    def facts(self, table: str) -> TableFacts:
        """Return what is known of a table.

        Raises
        ------
        MissingTableError
            There is no such table.
        TableError
            Glue does not answer.
        LakeError
            The table's metadata is not to be had.
        """
        database = self._settings.glue_database
        try:
            found = self._glue.get_table(DatabaseName=database, Name=table)["Table"]
        except self._glue.exceptions.EntityNotFoundException:
            raise MissingTableError(f"Glue has no table {database}.{table}") from None
        except (BotoCoreError, ClientError) as error:
            raise TableError(f"Glue says nothing of {database}.{table}: {error}") from None
        columns = [*found["StorageDescriptor"]["Columns"], *found.get("PartitionKeys", [])]
        parameters = found.get("Parameters", {})
        location = parameters.get("metadata_location")
        return TableFacts(
            dg.TableSchema(
                [
                    dg.TableColumn(column["Name"], column["Type"], description=column.get("Comment"))
                    for column in columns
                ]
            ),
            self._state(location) if location else None,
        )

    def leftovers(self, tables: Collection[str], before: dt.datetime) -> list[str]:
        """Return the tables that builds of these tables made for themselves before a time, and left.

        A build drops its own; one that was killed does not.

        Raises
        ------
        TableError
            Glue does not answer.
        """
        database = self._settings.glue_database
        pages = self._glue.get_paginator("get_tables").paginate(
            DatabaseName=database, Expression=f".*{_TEMPORARY}.*"
        )
        try:
            found = [table for page in pages for table in page["TableList"]]
        except (BotoCoreError, ClientError) as error:
            raise TableError(f"Glue does not list the tables of {database}: {error}") from None
        return [
            table["Name"]
            for table in found
            if table["Name"].partition(_TEMPORARY)[0] in tables and table["CreateTime"] < before
        ]

    def _state(self, location: str) -> IcebergState:
        key = location.removeprefix(f"s3://{self._lake.bucket}/")
        metadata: dict[str, Any] = json.loads(self._lake.get(key))
        snapshots = metadata.get("snapshots", [])
        current = metadata.get("current-snapshot-id")
        summary: dict[str, str] = next(
            (each["summary"] for each in snapshots if each["snapshot-id"] == current), {}
        )
        return IcebergState(
            rows=int(summary.get("total-records", 0)) - int(summary.get("total-position-deletes", 0)),
            files=int(summary.get("total-data-files", 0)),
            size=int(summary.get("total-files-size", 0)),
            snapshots=len(snapshots),
        )
