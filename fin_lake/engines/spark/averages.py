"""The average close of each symbol, over the raw bars of a large volume: Spark's own reading of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812 - its name everywhere

from fin_lake.engines.spark.errors import SparkError
from fin_lake.lake.formats import parquet_bytes
from fin_lake.lake.layout import dataset_prefix
from fin_lake.lake.store import Lake
from fin_lake.tables import RAW

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from fin_lake.settings import Settings

AVERAGES_KEY: Final = "processed/aggregations/average_close.parquet"
_COLUMNS: Final = (
    "kind string, symbol string, timestamp string, interval string, source string, fetched_at string, "
    "volume double, close_price double"
)


def average_close(session: SparkSession, settings: Settings, minimum_volume: float) -> dict[str, Any]:
    """Average the closes of all stock bars over a volume, and write them as one object.

    The object is replaced by one PUT, where Spark's own writer would delete the old before it writes the
    new; what is written has a row a symbol, and is small.

    Parameters
    ----------
    minimum_volume : float
        Shares that a bar must have traded more than.

    Returns
    -------
    dict
        ``key`` of the object and its ``rows``: symbol, avg_price, bars.
    """
    lake = Lake(settings)
    place = lake.uri(dataset_prefix(RAW["stocks"], "json") + "/")
    try:
        bars = session.read.schema(_COLUMNS).json(place)
        rows = [row.asDict() for row in averages(bars, minimum_volume).collect()]
    except (PySparkException, Py4JJavaError) as error:
        raise SparkError(
            f"Spark cannot read {place}: {_first_line(error)}",
            "look whether there are raw hours (`fin-lake hours`), and whether Spark has the S3A file system "
            "(docs/spark.md)",
        ) from None
    schema = {"symbol": pl.String(), "avg_price": pl.Float64(), "bars": pl.Int64()}
    lake.put(AVERAGES_KEY, parquet_bytes(pl.DataFrame(rows, schema=schema).to_arrow()))
    return {"key": AVERAGES_KEY, "rows": rows}


def averages(bars: DataFrame, minimum_volume: float) -> DataFrame:
    """Return the average close of each symbol; of several attempts at a bar the latest counts.

    Parameters
    ----------
    bars : DataFrame
        Raw records of stocks.
    """
    return (
        bars.filter((F.col("kind") == "bar") & F.col("close_price").isNotNull())
        .groupBy("symbol", "source", "interval", "timestamp")
        .agg(F.max_by(F.struct("volume", "close_price"), "fetched_at").alias("bar"))
        .filter(F.col("bar.volume") > minimum_volume)
        .groupBy("symbol")
        .agg(F.avg("bar.close_price").alias("avg_price"), F.count("*").alias("bars"))
        .orderBy("symbol")
    )


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("An error occ")]
    return lines[0].strip()[:300] if lines else type(error).__name__
