"""The one place where assets, IO managers and jobs become Dagster's definitions.

The web server, the daemon, the command line and the tests all call :func:`build_definitions`.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Final

import dagster as dg

from fin_lake.analytics.project import PROJECT
from fin_lake.assets.analytics import MAINTENANCE, build_analytics_assets
from fin_lake.assets.checks import build_checks, build_freshness
from fin_lake.assets.deliveries import GROUP as DELIVERIES
from fin_lake.assets.deliveries import build_deliveries, build_delivery_schedule
from fin_lake.assets.hours import HOURS, build_hours_asset
from fin_lake.assets.market import build_market_asset
from fin_lake.assets.market_report import MARKET_REPORT, build_market_report
from fin_lake.assets.ml import GROUP as ML
from fin_lake.assets.ml import PREDICTIONS, build_ml_assets
from fin_lake.assets.ml import RESOURCE as SAGEMAKER_RESOURCE
from fin_lake.assets.portfolios import build_portfolio_assets
from fin_lake.assets.processed import build_processed_assets
from fin_lake.assets.raw import build_raw_asset
from fin_lake.assets.snowflake import RESOURCE, build_snowflake_assets, build_snowflake_checks
from fin_lake.assets.spark import GROUP as SPARK
from fin_lake.assets.spark import RESOURCE as SPARK_RESOURCE
from fin_lake.assets.spark import build_spark_assets
from fin_lake.assets.storage import STORAGE, build_storage_asset
from fin_lake.assets.technical_analysis import build_technical_analysis_assets
from fin_lake.automation.conditions import automated, build_automation
from fin_lake.automation.freshness import build_freshness_schedule
from fin_lake.automation.notices import build_notices
from fin_lake.automation.schedules import (
    build_after_the_hour,
    build_daily,
    build_hourly_schedule,
    build_snowflake_schedule,
)
from fin_lake.automation.sensors import build_sensors
from fin_lake.engines.sagemaker.runner import SageMaker
from fin_lake.engines.snowflake.connection import Snowflake
from fin_lake.engines.snowflake.sql import LAYER as SNOWFLAKE
from fin_lake.engines.spark.submit import Spark
from fin_lake.io_managers.postgres import PostgresIOManager
from fin_lake.io_managers.s3_processed import S3ProcessedIOManager
from fin_lake.io_managers.s3_raw import S3RawIOManager
from fin_lake.lake.store import Lake
from fin_lake.operations.dead_runs import marked_in_process_executor
from fin_lake.portfolios.definitions import load_portfolios
from fin_lake.retries import Retries
from fin_lake.schema import ASSET_CLASSES, AssetClass
from fin_lake.settings import Settings, load_settings
from fin_lake.tables import CORPORATE_ACTIONS, PROCESSED

EXTRACT_JOB: Final = "extract"
MAINTENANCE_JOB: Final = "maintain_analytics"
HOURS_JOB: Final = "hours"
FRESHNESS_JOB: Final = "check_freshness"
REPORT_JOB: Final = "market_report"
STORAGE_JOB: Final = "storage"
DELIVERIES_JOB: Final = "deliveries"
SNOWFLAKE_JOB: Final = "load_snowflake"
SPARK_JOB: Final = "average_close"
TRAINING_JOB: Final = "train_model"
SCORING_JOB: Final = "score"
JOBS: Final = (
    EXTRACT_JOB,
    MAINTENANCE_JOB,
    HOURS_JOB,
    FRESHNESS_JOB,
    REPORT_JOB,
    STORAGE_JOB,
    DELIVERIES_JOB,
    SNOWFLAKE_JOB,
    SPARK_JOB,
    TRAINING_JOB,
    SCORING_JOB,
)


def build_definitions(
    settings: Settings,
    *,
    dbt_project: Path = PROJECT,
    resources: Mapping[str, Any] | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """Assemble the platform.

    Parameters
    ----------
    settings : Settings
        Of this installation.
    dbt_project : Path, optional
        The folder of the models.
    resources : mapping, optional
        Resources to put in the place of the platform's own, by key.
    loggers : mapping, optional
        Loggers beside Dagster's own.
    """
    lake, portfolios = Lake(settings), load_portfolios(settings.portfolios_file)
    freshness = [build_freshness(asset_class, settings) for asset_class in ASSET_CLASSES]
    again = Retries(settings.step_retries, settings.step_retry_seconds)
    checks = [*build_checks(settings, tuple(portfolios)), *freshness]
    assets = automated(
        [
            *(asset for asset_class in ASSET_CLASSES for asset in _of_class(asset_class, settings)),
            build_market_asset(dg.AssetKey(["processed", "corporate_actions"]), CORPORATE_ACTIONS, settings),
            *build_portfolio_assets(portfolios, settings),
            *build_analytics_assets(settings, dbt_project),
        ]
    )
    checked = [key for one in (*assets, *checks) for key in one.check_keys]
    assets_of = dg.AssetSelection.assets
    own: dict[str, tuple[dg.AssetSelection, str]] = {
        MAINTENANCE_JOB: (assets_of(MAINTENANCE), "Compact the models' tables on Athena"),
        HOURS_JOB: (assets_of(HOURS), "Show the calendar of hours"),
        REPORT_JOB: (assets_of(MARKET_REPORT), "Write the page that shows the last weeks of the market"),
        STORAGE_JOB: (assets_of(STORAGE), "Count what lies in the lake, and what it costs"),
        DELIVERIES_JOB: (dg.AssetSelection.groups(DELIVERIES), "Make the reports' extracts for BI tools"),
        SNOWFLAKE_JOB: (dg.AssetSelection.groups(SNOWFLAKE), "Load hours of the lake into Snowflake"),
        SPARK_JOB: (dg.AssetSelection.groups(SPARK), "Average the closes of all raw bars, by Spark"),
        TRAINING_JOB: (dg.AssetSelection.groups(ML), "Train a model of returns, register it, and forecast"),
        SCORING_JOB: (assets_of(PREDICTIONS), "Forecast the latest hours by the latest model"),
        FRESHNESS_JOB: (
            dg.AssetSelection.checks(*freshness),
            "Look whether the latest hours of trading are stored",
        ),
    }
    of_the_hour = reduce(operator.sub, (selection for selection, _ in own.values()), dg.AssetSelection.all())
    return dg.Definitions(
        assets=[
            *assets,
            build_hours_asset(settings),
            build_market_report(settings, checked),
            build_storage_asset(settings, len(JOBS)),
            *build_deliveries(settings),
            *build_snowflake_assets(settings, tuple(portfolios)),
            *build_spark_assets(settings),
            *build_ml_assets(settings),
        ],
        asset_checks=[*checks, *build_snowflake_checks(settings, tuple(portfolios))],
        jobs=[
            dg.define_asset_job(
                EXTRACT_JOB,
                selection=of_the_hour,
                description="Fetch hours, clean them, store them in S3 and PostgreSQL, and build the models",
            ),
            *(
                dg.define_asset_job(job, selection=selection, description=description)
                for job, (selection, description) in own.items()
            ),
        ],
        schedules=[
            build_hourly_schedule(settings, EXTRACT_JOB),
            build_freshness_schedule(settings, FRESHNESS_JOB),
            build_after_the_hour(HOURS_JOB, 20, "Shows which hours are done, missing or failed"),
            build_after_the_hour(REPORT_JOB, 25, "Writes the page that shows the last weeks of the market"),
            build_daily(TRAINING_JOB, "03:10", "Trains a model on all that is known, and registers it"),
            build_after_the_hour(SCORING_JOB, 40, "Forecasts the latest hours by the latest model"),
            build_daily(STORAGE_JOB, "02:40", "Counts what lies in the lake, and what it costs"),
            build_delivery_schedule(settings, DELIVERIES_JOB),
            build_snowflake_schedule(settings, SNOWFLAKE_JOB),
        ],
        sensors=[*build_sensors(settings), build_automation(), *build_notices(settings)],
        resources={
            "s3_raw": S3RawIOManager(lake, retries=again),
            "s3_processed": S3ProcessedIOManager(lake, tuple(portfolios), retries=again),
            "postgres": PostgresIOManager(settings, retries=again),
            RESOURCE: Snowflake(settings),
            SPARK_RESOURCE: Spark(settings),
            SAGEMAKER_RESOURCE: SageMaker(settings),
            **(resources or {}),
        },
        # an hour's steps are short: a process for each would cost five seconds a step
        executor=marked_in_process_executor,
        loggers=loggers,
    )


def _of_class(asset_class: AssetClass, settings: Settings) -> list[dg.AssetsDefinition]:
    processed = dg.AssetKey(["processed", asset_class])
    return [
        build_raw_asset(asset_class, settings),
        build_processed_assets(asset_class, settings),
        build_market_asset(processed, PROCESSED[asset_class], settings),
        *build_technical_analysis_assets(asset_class, settings),
    ]


@dg.definitions
def defs() -> dg.Definitions:
    """Return the platform with the settings of the environment; Dagster calls this, not an import."""
    return build_definitions(load_settings())
