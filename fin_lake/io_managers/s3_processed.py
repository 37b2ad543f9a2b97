"""The processed layer's IO manager: JSON.gz and Parquet, one PUT per hour and format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from fin_lake.io_managers.hours import (
    NO_RETRIES,
    HourlyIOManager,
    add_hour_metadata,
    as_asked,
    hours_of,
    object_metadata,
)
from fin_lake.lake.frames import Frame, by_hour, fitting
from fin_lake.lake.processed import StoredHours, read_hours, write_hours
from fin_lake.lake.store import Lake
from fin_lake.retries import Retries
from fin_lake.schema import Table
from fin_lake.tables import TABLES_BY_ASSET


class S3ProcessedIOManager(HourlyIOManager):
    """Keeps frames of hours as objects whose names the hours alone decide.

    Parameters
    ----------
    lake : Lake
        The bucket.
    portfolios : sequence of str
        The portfolios that there are: tables of portfolios have a folder for each.
    tables : mapping of str to Table
        The table of each asset, by asset key.
    """

    def __init__(
        self,
        lake: Lake,
        portfolios: Sequence[str] = (),
        tables: Mapping[str, Table] = TABLES_BY_ASSET,
        *,
        retries: Retries = NO_RETRIES,
    ) -> None:
        super().__init__(tables, retries=retries)
        self._lake = lake
        self._portfolios = portfolios

    def store(self, context: dg.OutputContext, obj: Frame | StoredHours) -> None:
        """Replace the objects of every hour of the run; of what is stored already, record where it is."""
        table, hours = self.table_of(context), hours_of(context)
        if isinstance(obj, StoredHours):
            of_hours = {hour: object_metadata(self._lake, obj.written[hour], None) for hour in hours}
            add_hour_metadata(context, of_hours)
            return
        rows = by_hour(fitting(obj, table, hours), table.hour_column)
        written = write_hours(self._lake, table, hours, rows, self._portfolios)
        metadata = {
            hour: object_metadata(self._lake, stored, rows.get(hour, table.empty()))
            for hour, stored in written.items()
        }
        add_hour_metadata(context, metadata)

    def load(self, context: dg.InputContext) -> Frame:
        """Return the rows of the hours, as polars, pandas or Arrow by the parameter's annotation."""
        table, hours = self.table_of(context), hours_of(context)
        return as_asked(read_hours(self._lake, table, hours, parts=self._portfolios), context)
