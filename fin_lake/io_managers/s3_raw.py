"""The raw layer's IO manager: append-only JSON lines, one object per hour and attempt."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
import polars as pl

from fin_lake.io_managers.hours import (
    NO_RETRIES,
    HourlyIOManager,
    add_hour_metadata,
    hours_of,
    object_metadata,
)
from fin_lake.lake.frames import by_hour
from fin_lake.lake.raw import RawAttempt, read_attempts, write_attempt
from fin_lake.lake.store import Lake
from fin_lake.retries import Retries
from fin_lake.schema import Table
from fin_lake.tables import TABLES_BY_ASSET


class S3RawIOManager(HourlyIOManager):
    """Keeps :class:`RawAttempt` values of raw tables; loads every attempt's records."""

    def __init__(
        self,
        lake: Lake,
        tables: Mapping[str, Table] = TABLES_BY_ASSET,
        *,
        retries: Retries = NO_RETRIES,
    ) -> None:
        super().__init__(tables, retries=retries)
        self._lake = lake

    def store(self, context: dg.OutputContext, obj: RawAttempt) -> None:
        """Write an object for each hour that was asked for; never touch one that is there."""
        table, hours = self.table_of(context), hours_of(context)
        written = write_attempt(self._lake, table, obj)
        rows = by_hour(obj.records.drop("schema_version"))
        nothing = obj.records.drop("schema_version").clear()
        metadata = {
            hour: object_metadata(self._lake, stored, rows.get(hour, nothing))
            for hour, stored in written.items()
            if hour in hours
        }
        add_hour_metadata(context, metadata)

    def load(self, context: dg.InputContext) -> pl.DataFrame:
        """Return the records of every attempt at the hours, with the place where each lies."""
        return read_attempts(self._lake, self.table_of(context), hours_of(context))
