"""The processed layer's IO manager: JSON.gz and Parquet, one PUT per hour and format."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from fin_lake.io_managers.hours import (
    Frame,
    HourlyIOManager,
    add_hour_metadata,
    as_asked,
    by_hour,
    column_schema,
    fitting,
    hours_of,
    object_metadata,
)
from fin_lake.lake.processed import read_hours, write_hours
from fin_lake.lake.store import Lake
from fin_lake.tables import TABLES_BY_ASSET, Table


class S3ProcessedIOManager(HourlyIOManager):
    """Keeps frames of hours as objects whose names the hours alone decide."""

    def __init__(self, lake: Lake, tables: Mapping[str, Table] = TABLES_BY_ASSET) -> None:
        super().__init__(tables)
        self._lake = lake

    def handle_output(self, context: dg.OutputContext, obj: Frame) -> None:
        """Replace the objects of every hour of the run."""
        table, hours = self.table_of(context), hours_of(context)
        rows = by_hour(fitting(obj, table, hours), table.hour_column)
        written = write_hours(self._lake, table, hours, rows)
        metadata = {
            hour: object_metadata(self._lake, stored, rows.get(hour, table.empty()))
            for hour, stored in written.items()
        }
        add_hour_metadata(context, metadata, column_schema(table))

    def load_input(self, context: dg.InputContext) -> Frame:
        """Return the rows of the hours, as polars, pandas or Arrow by the parameter's annotation."""
        return as_asked(read_hours(self._lake, self.table_of(context), hours_of(context)), context)
