"""The processed layer: clean bars, corporate actions and the quarantine, from what raw holds of an hour."""

from collections.abc import Collection, Iterator
from typing import Final

import dagster as dg
import polars as pl

from fin_lake.assets.catalog import entry
from fin_lake.assets.hourly import (
    add_chart,
    add_hour_metadata,
    open_hours,
    partitions_of,
    ranges_of_hours,
    run_hours,
    state_of,
)
from fin_lake.checks import laws
from fin_lake.checks.results import BLOCKING, BrokenLawError, result, sentence, spec
from fin_lake.partitions import HourRange
from fin_lake.reports.charts import chart_of_bars
from fin_lake.schema import AssetClass, Table
from fin_lake.settings import Settings
from fin_lake.tables import CORPORATE_ACTIONS, PROCESSED, QUARANTINE
from fin_lake.transforms.actions import broken_actions, corporate_actions
from fin_lake.transforms.clean import COUNTS, CROSS_SOURCE_TOLERANCE, Cleaned, clean

_CHECKS: Final = ("conservation", "ohlc_laws", "duplicates", "completeness", "cross_source")


def build_processed_assets(asset_class: AssetClass, settings: Settings) -> dg.AssetsDefinition:
    """Return the assets that cleaning makes: bars, quarantined records, and corporate actions of stocks."""
    bars_key = dg.AssetKey(["processed", asset_class])
    symbols = settings.stock_symbols if asset_class == "stocks" else tuple(settings.crypto_coins.values())
    actions_key = dg.AssetKey(["processed", "corporate_actions"])
    outs = {
        "bars": _out(bars_key, PROCESSED[asset_class], settings),
        "quarantined": _out(dg.AssetKey(["quarantine", asset_class]), QUARANTINE[asset_class], settings),
    }
    if asset_class == "stocks":
        outs["actions"] = _out(actions_key, CORPORATE_ACTIONS, settings)

    @dg.multi_asset(
        name=f"clean_{asset_class}",
        ins={"raw": dg.AssetIn(dg.AssetKey(["raw", asset_class]))},
        outs=outs,
        check_specs=[spec(name, bars_key, partitions_of(settings)) for name in _CHECKS],
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def clean_hours(
        context: dg.AssetExecutionContext, raw: pl.DataFrame
    ) -> Iterator[dg.Output[pl.DataFrame] | dg.AssetCheckResult]:
        hours = run_hours(context)
        cleaned = clean(raw, asset_class, hours)
        broken_laws = []
        for name, finding in _findings(cleaned, asset_class, hours, symbols):
            yield result(name, bars_key, finding)
            if name in BLOCKING and not finding.passed:
                broken_laws.append(sentence(name, finding))
        # Dagster itself ends a step only after its outputs are stored: what breaks a law replaces nothing
        if broken_laws:
            raise BrokenLawError(
                f"processed/{asset_class} of {hours} breaks its laws: " + "; ".join(broken_laws),
                "nothing was written; the rows are in the raw objects of these hours",
            )
        counts = {row["hour"]: row for row in cleaned.counts.iter_rows(named=True)}
        is_open = open_hours(asset_class, hours)
        metadata = {}
        for hour in hours:
            books = {name: value for name, value in counts.get(hour, {}).items() if name != "hour"}
            state = state_of(books.get("processed", 0), is_open=hour in is_open)
            metadata[hour] = {"state": state.value, **books}
        add_hour_metadata(context, bars_key, metadata)
        add_chart(context, bars_key, hours, chart_of_bars(cleaned.bars))
        yield dg.Output(cleaned.bars, output_name="bars")
        if asset_class == "stocks":
            broken = broken_actions(raw, hours)
            counted = dict(broken.group_by("raw_hour").len().iter_rows())
            add_hour_metadata(
                context, actions_key, {hour: {"broken": counted.get(hour, 0)} for hour in hours}
            )
            yield dg.Output(pl.concat([cleaned.quarantined, broken]), output_name="quarantined")
            yield dg.Output(corporate_actions(raw, hours), output_name="actions")
        else:
            yield dg.Output(cleaned.quarantined, output_name="quarantined")

    return clean_hours


def _findings(
    cleaned: Cleaned, asset_class: AssetClass, hours: HourRange, symbols: Collection[str]
) -> Iterator[tuple[str, laws.Finding]]:
    bars, counts = cleaned.bars, cleaned.counts
    yield "conservation", laws.conservation(counts, COUNTS)
    yield "ohlc_laws", laws.ohlc_laws(bars)
    yield "duplicates", laws.duplicates(bars, PROCESSED[asset_class].key)
    yield "completeness", laws.completeness(bars, asset_class, hours, symbols)
    yield "cross_source", laws.cross_source(counts, CROSS_SOURCE_TOLERANCE)


def _out(key: dg.AssetKey, table: Table, settings: Settings) -> dg.AssetOut:
    return dg.AssetOut(
        key=key,
        description=table.description,
        group_name="processed",
        kinds={"s3", "parquet"},
        **entry(key, settings),
        io_manager_key="s3_processed",
    )
