"""The portfolios' IO manager: each portfolio's hours in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg
import polars as pl

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
from fin_lake.lake.store import Lake, WrittenHour
from fin_lake.tables import PORTFOLIOS, Table


class S3PortfolioIOManager(HourlyIOManager):
    """Keeps frames of several portfolios; every portfolio has an object for every hour.

    Parameters
    ----------
    lake : Lake
        The bucket.
    names : sequence of str
        The portfolios that there are.
    """

    def __init__(self, lake: Lake, names: Sequence[str], tables: Mapping[str, Table] | None = None) -> None:
        super().__init__(tables or {table.name: table for table in PORTFOLIOS.values()})
        self._lake = lake
        self._names = names

    def handle_output(self, context: dg.OutputContext, obj: Frame) -> None:
        """Replace the objects of every portfolio and hour of the run."""
        table, hours = self.table_of(context), hours_of(context)
        rows = fitting(obj, table, hours)
        split = str(table.split_by)
        parts = [
            write_hours(
                self._lake,
                table.part(name),
                hours,
                by_hour(rows.filter(pl.col(split) == name).drop(split), table.hour_column),
            )
            for name in self._names
        ]
        of_hours = by_hour(rows, table.hour_column)
        metadata = {}
        for hour in hours:
            written = [part[hour] for part in parts]
            stored = WrittenHour(
                tuple(key for one in written for key in one.keys),
                sum(one.rows for one in written),
                sum(one.size for one in written),
            )
            metadata[hour] = object_metadata(self._lake, stored, of_hours.get(hour, table.empty()))
        add_hour_metadata(context, metadata, column_schema(table))

    def load_input(self, context: dg.InputContext) -> Frame:
        """Return the rows of all portfolios, as polars, pandas or Arrow by the parameter's annotation."""
        table, hours = self.table_of(context), hours_of(context)
        split = str(table.split_by)
        parts = [
            read_hours(self._lake, table.part(name), hours).with_columns(pl.lit(name).alias(split))
            for name in self._names
        ]
        rows = pl.concat(parts) if parts else table.empty()
        return as_asked(rows.select(table.column_names), context)
