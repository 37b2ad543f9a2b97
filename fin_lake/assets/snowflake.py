"""The lake's tables in Snowflake, hour by hour, and the check that they are the lake's."""

from collections.abc import Iterator, Sequence
from typing import Final

import dagster as dg

from fin_lake.assets.catalog import column_schema
from fin_lake.assets.checks import hours_of_check
from fin_lake.assets.hourly import add_hour_metadata, partitions_of, ranges_of_hours, run_hours
from fin_lake.checks import laws
from fin_lake.checks.results import result, spec
from fin_lake.engines.snowflake.connection import Snowflake
from fin_lake.engines.snowflake.loading import read_sums, replace_hours, sums_of
from fin_lake.engines.snowflake.sql import LAYER, SOURCES
from fin_lake.lake.processed import read_hours
from fin_lake.lake.store import Lake
from fin_lake.retries import Retries
from fin_lake.settings import Settings
from fin_lake.tables import TABLES_BY_ASSET

RESOURCE: Final = "snowflake"
_CHECK: Final = "equals_lake"


def build_snowflake_assets(settings: Settings, portfolios: Sequence[str]) -> list[dg.AssetsDefinition]:
    """Return an asset for each table that PostgreSQL has too, loaded from the lake's Parquet objects."""
    return [_build_asset(key, settings, portfolios) for key in SOURCES]


def build_snowflake_checks(settings: Settings, portfolios: Sequence[str]) -> list[dg.AssetChecksDefinition]:
    """Return a check for each of these assets: rows and sums by hour are those of the lake."""
    return [_build_check(key, settings, portfolios) for key in SOURCES]


def _build_asset(name: str, settings: Settings, portfolios: Sequence[str]) -> dg.AssetsDefinition:
    key, table = dg.AssetKey.from_user_string(name), TABLES_BY_ASSET[SOURCES[name]]
    place = f"{settings.snowflake_database}.{settings.snowflake_schema}.{table.postgres}".upper()

    @dg.asset(
        key=key,
        deps=[dg.AssetKey.from_user_string(SOURCES[name])],
        description=f"{table.description}, in Snowflake",
        group_name=LAYER,
        kinds={"snowflake"},
        owners=list(settings.owners),
        tags={"layer": LAYER, **({"asset_class": table.asset_class} if table.asset_class else {})},
        metadata={"dagster/column_schema": column_schema(SOURCES[name]), "dagster/table_name": place},
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def load(context: dg.AssetExecutionContext, snowflake: dg.ResourceParam[Snowflake]) -> None:
        hours = run_hours(context)
        with Retries(settings.step_retries, settings.step_retry_seconds).after(context.retry_number):
            done = replace_hours(snowflake, table, hours, portfolios)
        metadata = {hour: {"dagster/partition_row_count": done.loaded.get(hour, 0)} for hour in hours}
        add_hour_metadata(context, key, metadata)
        context.add_output_metadata({"rows_replaced": done.deleted, "objects_read": done.objects})

    return load


def _build_check(name: str, settings: Settings, portfolios: Sequence[str]) -> dg.AssetChecksDefinition:
    key, table, lake = dg.AssetKey.from_user_string(name), TABLES_BY_ASSET[SOURCES[name]], Lake(settings)

    @dg.multi_asset_check(name=f"{key.to_python_identifier()}__{_CHECK}", specs=[spec(_CHECK, key)])
    def equals_lake(
        context: dg.AssetCheckExecutionContext, snowflake: dg.ResourceParam[Snowflake]
    ) -> Iterator[dg.AssetCheckResult]:
        hours = hours_of_check(context, settings)
        with Retries(settings.step_retries, settings.step_retry_seconds).after(context.retry_number):
            stored = sums_of(read_hours(lake, table, hours, parts=portfolios), table)
            loaded = read_sums(snowflake, table, hours)
        yield result(_CHECK, key, laws.sums_agree(stored, loaded))

    return equals_lake
