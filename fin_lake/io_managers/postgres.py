"""PostgreSQL's IO manager: a range of hours replaced in one transaction."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from fin_lake.io_managers.hours import (
    NO_RETRIES,
    HourlyIOManager,
    add_hour_metadata,
    as_asked,
    hours_of,
    preview,
)
from fin_lake.lake.frames import Frame, by_hour, fitting
from fin_lake.retries import Retries
from fin_lake.schema import Table
from fin_lake.settings import Settings
from fin_lake.tables import TABLES_BY_ASSET
from fin_lake.warehouse.market import SCHEMA, connect, ensure_schema, read_hours, replace_hours


class PostgresIOManager(HourlyIOManager):
    """Keeps frames of hours in tables of the schema ``market``.

    The settings say where the database is; they are asked for it when it is first needed, so that
    definitions load without one.
    """

    def __init__(
        self,
        settings: Settings,
        tables: Mapping[str, Table] = TABLES_BY_ASSET,
        *,
        retries: Retries = NO_RETRIES,
    ) -> None:
        super().__init__(tables, retries=retries)
        self._settings = settings

    def store(self, context: dg.OutputContext, obj: Frame) -> None:
        """Replace the rows of every hour of the run: readers see all of the old or all of the new."""
        table, hours = self.table_of(context), hours_of(context)
        rows = fitting(obj, table, hours)
        with connect(self._settings.database()) as connection:
            ensure_schema(connection)
            replace_hours(connection, table, hours, rows)
        name = f"{SCHEMA}.{table.postgres}"
        parts, empty = by_hour(rows), table.empty()
        stored = {hour: parts.get(hour, empty) for hour in hours}
        metadata = {
            hour: {"dagster/partition_row_count": part.height, "preview": preview(part)}
            for hour, part in stored.items()
        }
        everywhere = {"dagster/table_name": name, "dagster/relation_identifier": name}
        add_hour_metadata(context, metadata, everywhere)

    def load(self, context: dg.InputContext) -> Frame:
        """Return the rows of the hours, as polars, pandas or Arrow by the parameter's annotation."""
        with connect(self._settings.database()) as connection:
            rows = read_hours(connection, self.table_of(context), hours_of(context))
        return as_asked(rows, context)
