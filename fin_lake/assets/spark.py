"""What assets ask Spark for, and the one asset that is Spark's own."""

from typing import Final

import dagster as dg

from fin_lake.engines.spark.submit import Spark
from fin_lake.engines.spark.tasks import TaskResult, Work, from_plain
from fin_lake.partitions import HourRange
from fin_lake.schema import AssetClass
from fin_lake.settings import Settings

RESOURCE: Final = "spark"
GROUP: Final = "spark"
AVERAGE_CLOSE: Final = dg.AssetKey(["spark", "average_close"])
_MANY_SHARES: Final = 1_000_000


def of_hours(
    spark: Spark, context: dg.AssetExecutionContext, work: Work, asset_class: AssetClass, hours: HourRange
) -> list[TaskResult]:
    """Let Spark make hours of an asset class; return what its tasks tell."""
    request = {"asset_class": asset_class, "first": hours.first_key, "last": hours.last_key}
    return [from_plain(told) for told in spark.run(context, work, request)["results"]]


class AverageCloseConfig(dg.Config):
    """What a run of the averages may be asked for."""

    minimum_volume: float = _MANY_SHARES


def build_spark_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the average close of each symbol, over all raw hours: a query of Spark's own."""

    @dg.asset(
        key=AVERAGE_CLOSE,
        deps=[dg.AssetKey(["raw", "stocks"])],
        description="The average close of each symbol's bars that traded over a million shares",
        group_name=GROUP,
        kinds={"spark", "s3", "parquet"},
        owners=list(settings.owners),
        tags={"layer": "processed", "asset_class": "stocks"},
    )
    def average_close(
        context: dg.AssetExecutionContext, config: AverageCloseConfig, spark: dg.ResourceParam[Spark]
    ) -> dg.MaterializeResult[None]:
        asked = {"minimum_volume": config.minimum_volume}
        made = spark.run(context, "average_close", asked)["averages"]
        records = [dg.TableRecord(row) for row in made["rows"]]
        return dg.MaterializeResult(
            metadata={
                "dagster/uri": f"s3://{settings.bucket}/{made['key']}",
                "dagster/row_count": len(records),
                **({"averages": dg.MetadataValue.table(records)} if records else {}),
            }
        )

    return [average_close]
