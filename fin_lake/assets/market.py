"""The tables in PostgreSQL, for real-time queries: the processed bars, hour by hour."""

import dagster as dg
import polars as pl

from fin_lake.assets.hourly import partitions_of, ranges_of_hours
from fin_lake.settings import Settings
from fin_lake.tables import PROCESSED, AssetClass


def build_market_asset(asset_class: AssetClass, settings: Settings) -> dg.AssetsDefinition:
    """Return the asset that keeps an asset class's clean bars in PostgreSQL."""

    @dg.asset(
        key=dg.AssetKey(["market", asset_class]),
        ins={"bars": dg.AssetIn(dg.AssetKey(["processed", asset_class]))},
        description=f"{PROCESSED[asset_class].description}, in PostgreSQL",
        group_name="market",
        kinds={"postgres"},
        io_manager_key="postgres",
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def market(bars: pl.DataFrame) -> pl.DataFrame:
        return bars

    return market
