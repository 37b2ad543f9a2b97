"""The analytics layer: dbt's models on Athena, hour by hour, and the upkeep of their tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg

from fin_lake.analytics.project import PROJECT, load_manifest
from fin_lake.assets.hourly import partitions_of, ranges_of_hours, run_hours
from fin_lake.errors import FinLakeError
from fin_lake.partitions import HourRange
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings

MAINTENANCE: Final = dg.AssetKey(["analytics", "maintenance"])
_MOMENT: Final = "%Y-%m-%d %H:%M:%S"


def build_analytics_assets(settings: Settings, project: Path = PROJECT) -> list[dg.AssetsDefinition]:
    """Return the models' assets, their tests as checks, and the maintenance of their tables.

    Where dbt is not installed or its project was not prepared, one asset stands in the models'
    place, which fails and says what to do: the other layers need no dbt.

    Parameters
    ----------
    project : Path, optional
        The dbt project's folder.
    """
    try:
        built = _build_models(settings, project)
    except FinLakeError as error:
        built = _build_stand_in(settings, error)
    kept_as_iceberg = [spec.key for spec in built.specs if "iceberg" in spec.kinds]
    return [built, _build_maintenance(settings, project, kept_as_iceberg)]


def _build_models(settings: Settings, project: Path) -> dg.AssetsDefinition:
    try:
        from dagster_dbt import dbt_assets  # noqa: PLC0415 - not everybody has the extra

        from fin_lake.analytics.translator import (  # noqa: PLC0415 - imports dagster_dbt
            LayeredTranslator,
            with_tests_attached,
        )
    except ImportError as error:
        raise FinLakeError(
            f"the analytics layer needs dbt, which is not installed: {error}", "pip install 'fin_lake[dbt]'"
        ) from None
    manifest, translator = with_tests_attached(load_manifest(project)), LayeredTranslator()

    @dbt_assets(
        manifest=manifest,
        name="dbt_build",
        dagster_dbt_translator=translator,
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def dbt_build(context: dg.AssetExecutionContext) -> Iterator[Any]:
        # dbt itself is imported when it runs
        from fin_lake.analytics.build import build  # noqa: PLC0415

        yield from build(context, settings, project, manifest, translator, dbt_variables(run_hours(context)))

    return dbt_build


def dbt_variables(hours: HourRange) -> dict[str, str]:
    """Return the variables by which the models know what to rebuild: [start_hour, end_hour), UTC."""
    return {"start_hour": f"{hours.start:{_MOMENT}}", "end_hour": f"{hours.end:{_MOMENT}}"}


def _build_maintenance(
    settings: Settings, project: Path, tables: Sequence[dg.AssetKey]
) -> dg.AssetsDefinition:
    @dg.asset(
        key=MAINTENANCE,
        deps=tables,
        description="Compacts the models' Iceberg tables and removes old snapshots (OPTIMIZE and VACUUM)",
        group_name="analytics",
        kinds={"athena", "iceberg"},
        owners=list(settings.owners),
    )
    def maintenance(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        from fin_lake.analytics.maintenance import iceberg_tables, maintain  # noqa: PLC0415 - imports boto3

        done = list(maintain(settings, iceberg_tables(load_manifest(project)), context.log.info))
        records = [
            dg.TableRecord(
                {
                    "table": one.table,
                    "rows": one.after.rows,
                    "files_before": one.before.files,
                    "files_after": one.after.files,
                    "bytes_before": one.before.size,
                    "bytes_after": one.after.size,
                    "snapshots_before": one.before.snapshots,
                    "snapshots_after": one.after.snapshots,
                }
            )
            for one in done
        ]
        return dg.MaterializeResult(
            metadata={
                "tables": dg.MetadataValue.table(records),
                "files_before": sum(one.before.files for one in done),
                "files_after": sum(one.after.files for one in done),
            }
        )

    return maintenance


def _build_stand_in(settings: Settings, error: FinLakeError) -> dg.AssetsDefinition:
    @dg.asset(
        key=dg.AssetKey(["analytics", "dbt"]),
        deps=[dg.AssetKey(["processed", asset_class]) for asset_class in ASSET_CLASSES],
        description=f"The analytics layer is not available: {error}",
        group_name="analytics",
        kinds={"dbt"},
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def not_available() -> None:
        raise error

    return not_available
