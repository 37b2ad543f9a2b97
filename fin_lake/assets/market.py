"""The tables in PostgreSQL, for real-time queries, hour by hour."""

import dagster as dg
import polars as pl

from fin_lake.assets.catalog import entry
from fin_lake.assets.hourly import partitions_of, ranges_of_hours
from fin_lake.schema import Table
from fin_lake.settings import Settings


def build_market_asset(source: dg.AssetKey, table: Table, settings: Settings) -> dg.AssetsDefinition:
    """Return the asset that keeps a table of the lake in PostgreSQL as well.

    Its key is ``market/…``, with the source's own, without ``processed``, behind it.
    """
    path = source.path[1:] if source.path[0] == "processed" else source.path
    key = dg.AssetKey(["market", *path])

    @dg.asset(
        key=key,
        ins={"rows": dg.AssetIn(source)},
        description=f"{table.description}, in PostgreSQL",
        group_name="market",
        kinds={"postgres"},
        **entry(key, settings),
        io_manager_key="postgres",
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def market(rows: pl.DataFrame) -> pl.DataFrame:
        return rows

    return market
