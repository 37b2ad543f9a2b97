"""Technical indicators of hourly bars, in the lake and in PostgreSQL."""

from typing import Any

import dagster as dg
import polars as pl

from fin_lake.assets.catalog import entry
from fin_lake.assets.hourly import BEFORE_A_CHART, add_chart, partitions_of, ranges_of_hours, run_hours
from fin_lake.assets.market import build_market_asset
from fin_lake.assets.spark import of_hours
from fin_lake.engines.spark.submit import Spark
from fin_lake.engines.spark.tasks import stored_hours
from fin_lake.io_managers.hours import Unread
from fin_lake.partitions import HOUR
from fin_lake.reports.charts import chart_of_indicators
from fin_lake.retries import Retries
from fin_lake.schema import AssetClass
from fin_lake.settings import Settings
from fin_lake.tables import TECHNICAL_ANALYSIS
from fin_lake.transforms.bars import hourly_bars
from fin_lake.transforms.indicators import LONGEST_GAP, LOOK_BACK, indicators


def build_technical_analysis_assets(asset_class: AssetClass, settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the asset that computes an asset class's indicators, and the one that keeps them in PostgreSQL.

    Bars come from PostgreSQL, in one query however far the look-back reaches; where Spark computes, from
    the same hours of the lake.
    """
    key = dg.AssetKey(["technical_analysis", asset_class])
    again = Retries(settings.step_retries, settings.step_retry_seconds)
    reach = LOOK_BACK[asset_class] + LONGEST_GAP[asset_class]
    look_back = dg.TimeWindowPartitionMapping(
        start_offset=-int(reach / HOUR), allow_nonexistent_upstream_partitions=True
    )

    @dg.asset(
        key=key,
        ins={
            "bars": dg.AssetIn(dg.AssetKey(["market", asset_class]), partition_mapping=look_back),
        },
        description=TECHNICAL_ANALYSIS[asset_class].description,
        group_name="technical_analysis",
        kinds={"s3", "parquet"},
        **entry(key, settings),
        io_manager_key="s3_processed",
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def technical_analysis(
        context: dg.AssetExecutionContext, bars: Unread, spark: dg.ResourceParam[Spark]
    ) -> dg.Output[Any]:
        hours = run_hours(context)
        if spark.takes(key, len(hours)):
            with again.after(context.retry_number):
                results = of_hours(spark, context, "indicators", asset_class, hours)
            return dg.Output(stored_hours(results, "indicators"))
        made = indicators(hourly_bars(bars.read()), asset_class)
        until, since = pl.col("timestamp") < hours.end, hours.start - BEFORE_A_CHART
        add_chart(context, key, hours, chart_of_indicators(made.filter(until, pl.col("timestamp") >= since)))
        return dg.Output(made.filter(until, pl.col("timestamp") >= hours.start))

    return [technical_analysis, build_market_asset(key, TECHNICAL_ANALYSIS[asset_class], settings)]
