"""The processed layer: clean bars and the quarantine, from everything that raw holds of an hour."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from fin_lake.assets.hourly import (
    add_hour_metadata,
    open_hours,
    partitions_of,
    ranges_of_hours,
    run_hours,
    state_of,
)
from fin_lake.settings import Settings
from fin_lake.tables import PROCESSED, QUARANTINE, AssetClass
from fin_lake.transforms.clean import clean


def build_processed_assets(asset_class: AssetClass, settings: Settings) -> dg.AssetsDefinition:
    """Return the two assets that cleaning makes: the bars, and the records that broke a rule."""
    bars_key = dg.AssetKey(["processed", asset_class])
    quarantine_key = dg.AssetKey(["quarantine", asset_class])

    @dg.multi_asset(
        name=f"clean_{asset_class}",
        ins={"raw": dg.AssetIn(dg.AssetKey(["raw", asset_class]))},
        outs={
            "bars": dg.AssetOut(
                key=bars_key,
                description=PROCESSED[asset_class].description,
                group_name="processed",
                kinds={"s3", "parquet"},
                io_manager_key="s3_processed",
            ),
            "quarantined": dg.AssetOut(
                key=quarantine_key,
                description=QUARANTINE[asset_class].description,
                group_name="processed",
                kinds={"s3", "parquet"},
                io_manager_key="s3_processed",
            ),
        },
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def clean_hours(
        context: dg.AssetExecutionContext, raw: pl.DataFrame
    ) -> Iterator[dg.Output[pl.DataFrame]]:
        hours = run_hours(context)
        cleaned = clean(raw, asset_class, hours)
        counts = {row["hour"]: row for row in cleaned.counts.iter_rows(named=True)}
        is_open = open_hours(asset_class, hours)
        metadata = {}
        for hour in hours:
            books = {name: value for name, value in counts.get(hour, {}).items() if name != "hour"}
            state = state_of(books.get("processed", 0), is_open=hour in is_open)
            metadata[hour] = {"state": state.value, **books}
        add_hour_metadata(context, bars_key, metadata)
        yield dg.Output(cleaned.bars, output_name="bars")
        yield dg.Output(cleaned.quarantined, output_name="quarantined")

    return clean_hours
