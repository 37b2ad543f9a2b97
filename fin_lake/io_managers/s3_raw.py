"""The raw layer's IO manager: append-only JSON lines, one object per hour and attempt."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
import polars as pl

from fin_lake.io_managers.hours import add_hour_metadata, by_hour, column_schema, hours_of, preview
from fin_lake.lake.raw import RawAttempt, read_attempts, write_attempt
from fin_lake.lake.store import Lake
from fin_lake.tables import TABLES_BY_ASSET, Table


class S3RawIOManager(dg.IOManager):
    """Keeps :class:`RawAttempt` values of one raw table; loads every attempt's records.

    Parameters
    ----------
    lake : Lake
        The bucket.
    tables : mapping of str to Table
        The raw table of each asset, by asset key.
    """

    def __init__(self, lake: Lake, tables: Mapping[str, Table] = TABLES_BY_ASSET) -> None:
        self._lake = lake
        self._tables = tables

    def handle_output(self, context: dg.OutputContext, obj: RawAttempt) -> None:
        """Write an object for each hour that was asked for; never touch one that is there."""
        table = self._tables[context.asset_key.to_user_string()]
        written = write_attempt(self._lake, table, obj)
        rows = by_hour(obj.records)
        add_hour_metadata(
            context,
            {
                hour: {
                    "dagster/partition_row_count": stored.rows,
                    "bytes": stored.size,
                    "objects": [self._lake.uri(key) for key in stored.keys],
                    "preview": preview(rows.get(hour, obj.records.clear()).drop("schema_version")),
                }
                for hour, stored in written.items()
                if hour in hours_of(context)
            },
            column_schema(table),
        )

    def load_input(self, context: dg.InputContext) -> pl.DataFrame:
        """Return the records of every attempt at the hours, with the place where each lies."""
        upstream = context.upstream_output
        key = (upstream.asset_key if upstream else context.asset_key).to_user_string()
        return read_attempts(self._lake, self._tables[key], hours_of(context))
