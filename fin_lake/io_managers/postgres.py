"""PostgreSQL's IO manager: a range of hours replaced in one transaction."""

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
from fin_lake.settings import Settings
from fin_lake.tables import TABLES_BY_ASSET, Table
from fin_lake.warehouse.market import SCHEMA, connect, ensure_schema, read_hours, replace_hours


class PostgresIOManager(dg.IOManager):
    """Keeps frames of hours in tables of the schema ``market``.

    Parameters
    ----------
    settings : Settings
        Where the database is; asked for when first needed, so that definitions load without it.
    tables : mapping of str to Table
        The table of each asset, by asset key.
    """

    def __init__(self, settings: Settings, tables: Mapping[str, Table] = TABLES_BY_ASSET) -> None:
        self._settings = settings
        self._tables = tables

    def handle_output(self, context: dg.OutputContext, obj: Frame) -> None:
        """Replace the rows of every hour of the run: readers see all of the old or all of the new."""
        table = self._tables[context.asset_key.to_user_string()]
        hours = hours_of(context)
        rows = fitting(obj, table, hours)
        with connect(self._settings.database()) as connection:
            ensure_schema(connection)
            replace_hours(connection, table, hours, rows)
        parts = by_hour(rows)
        name = f"{SCHEMA}.{table.postgres}"
        add_hour_metadata(
            context,
            {
                hour: {
                    "dagster/partition_row_count": part.height,
                    "preview": preview(part),
                }
                for hour, part in ((hour, parts.get(hour, table.empty())) for hour in hours)
            },
            {**column_schema(table), "dagster/table_name": name, "dagster/relation_identifier": name},
        )

    def load_input(self, context: dg.InputContext) -> Frame:
        """Return the rows of the hours, as polars, pandas or Arrow by the parameter's annotation."""
        upstream = context.upstream_output
        key = (upstream.asset_key if upstream else context.asset_key).to_user_string()
        with connect(self._settings.database()) as connection:
            rows = read_hours(connection, self._tables[key], hours_of(context))
        return as_asked(rows, context)
