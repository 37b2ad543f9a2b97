"""The processed layer's IO manager: JSON.gz and Parquet, one PUT per hour and format."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from fin_lake.io_managers.hours import (
    Frame,
    add_hour_metadata,
    as_asked,
    by_hour,
    column_schema,
    fitting,
    hours_of,
    preview,
)
from fin_lake.lake.processed import read_hours, write_hours
from fin_lake.lake.store import Lake
from fin_lake.tables import TABLES_BY_ASSET, Table


class S3ProcessedIOManager(dg.IOManager):
    """Keeps frames of hours as objects whose names the hours alone decide.

    Parameters
    ----------
    lake : Lake
        The bucket.
    tables : mapping of str to Table
        The table of each asset, by asset key.
    """

    def __init__(self, lake: Lake, tables: Mapping[str, Table] = TABLES_BY_ASSET) -> None:
        self._lake = lake
        self._tables = tables

    def handle_output(self, context: dg.OutputContext, obj: Frame) -> None:
        """Replace the objects of every hour of the run."""
        table = self._tables[context.asset_key.to_user_string()]
        hours = hours_of(context)
        rows = by_hour(fitting(obj, table, hours), table.hour_column)
        written = write_hours(self._lake, table, hours, rows)
        add_hour_metadata(
            context,
            {
                hour: {
                    "dagster/partition_row_count": stored.rows,
                    "bytes": stored.size,
                    "objects": [self._lake.uri(key) for key in stored.keys],
                    "preview": preview(rows.get(hour, table.empty())),
                }
                for hour, stored in written.items()
            },
            column_schema(table),
        )

    def load_input(self, context: dg.InputContext) -> Frame:
        """Return the rows of the hours, as polars, pandas or Arrow by the parameter's annotation."""
        upstream = context.upstream_output
        key = (upstream.asset_key if upstream else context.asset_key).to_user_string()
        return as_asked(read_hours(self._lake, self._tables[key], hours_of(context)), context)
