"""The market report: one HTML page of the last weeks, from PostgreSQL, the quarantine and the event log."""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Final

import dagster as dg
import polars as pl

from fin_lake.assets.hourly import open_hours
from fin_lake.lake.formats import decode_parquet, encode_parquet
from fin_lake.lake.layout import listing_prefixes
from fin_lake.lake.store import Lake
from fin_lake.partitions import HOUR, UTC, HourRange, hour_key, hour_of_object
from fin_lake.reports.coverage import coverage
from fin_lake.reports.page import CheckResult, MarketData, market_report
from fin_lake.schema import ASSET_CLASSES, AssetClass
from fin_lake.settings import Settings
from fin_lake.tables import PORTFOLIOS, PROCESSED, QUARANTINE, TABLES_BY_ASSET, TECHNICAL_ANALYSIS
from fin_lake.transforms.bars import hourly_bars
from fin_lake.transforms.clean import COUNTS
from fin_lake.warehouse.market import connect, ensure_schema, read_hours

MARKET_REPORT: Final = dg.AssetKey(["analytics", "market_report"])
PAGE: Final = "analytics/reports/market_report/market_report.html"
"""Where the page lies in the lake."""
_BOOKS: Final = (*COUNTS, "revised", "cross_source_differences")


def build_market_report(settings: Settings, checks: Collection[dg.AssetCheckKey] = ()) -> dg.AssetsDefinition:
    """Return the asset that writes the report's page.

    Parameters
    ----------
    checks : collection of AssetCheckKey
        The checks whose latest results the report tells.
    """
    lake = Lake(settings)
    read = [key for key in TABLES_BY_ASSET if key.startswith(("market/", "portfolios/", "quarantine/"))]

    @dg.asset(
        key=MARKET_REPORT,
        deps=[dg.AssetKey.from_user_string(key) for key in read],
        description="One HTML page of the last weeks: prices with indicators, portfolios, data quality and "
        "gaps. It opens without a network.",
        group_name="reports",
        kinds={"s3", "html"},
        owners=list(settings.owners),
        tags={"layer": "reports"},
        metadata={"dagster/uri": lake.uri(PAGE)},
    )
    def report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        hours = hours_of_report(settings)
        data = _read(settings, lake, hours, context.instance, checks)
        page = market_report(data, dt.datetime.now(UTC)).encode()
        lake.put(PAGE, page, content_type="text/html; charset=utf-8")
        return dg.MaterializeResult(
            metadata={
                "open": dg.MetadataValue.url(lake.link(PAGE)),
                "object": lake.uri(PAGE),
                "hours": str(hours),
                "bytes": len(page),
                "bars": sum(bars.height for bars in data.bars.values()),
                "portfolios": data.valuations["portfolio"].n_unique(),
                "quarantined": int(data.quarantined["rows"].sum()),
            }
        )

    return report


def hours_of_report(settings: Settings) -> HourRange:
    """Return the days up to the latest closed hour, from the first partition on at the earliest."""
    last = settings.latest_closed_hour
    first = last.replace(hour=0) - dt.timedelta(days=settings.report_days - 1)
    return HourRange(min(max(first, settings.start), last), last + HOUR)


def _read(
    settings: Settings,
    lake: Lake,
    hours: HourRange,
    instance: dg.DagsterInstance,
    checks: Collection[dg.AssetCheckKey],
) -> MarketData:
    with connect(settings.database()) as connection:
        ensure_schema(connection)
        bars = {one: read_hours(connection, PROCESSED[one], hours) for one in ASSET_CLASSES}
        analysis = {one: read_hours(connection, TECHNICAL_ANALYSIS[one], hours) for one in ASSET_CLASSES}
        portfolios = {name: read_hours(connection, table, hours) for name, table in PORTFOLIOS.items()}
    symbols: Mapping[AssetClass, Collection[str]] = {one: settings.symbols(one) for one in ASSET_CLASSES}
    made = {one: _made(instance, one, hours) for one in ASSET_CLASSES}
    return MarketData(
        hours=hours,
        bars={one: hourly_bars(bars[one]) for one in ASSET_CLASSES},
        analysis=analysis,
        coverage={
            one: coverage(hours, bars[one], symbols[one], open_hours(one, hours), made[one])
            for one in ASSET_CLASSES
        },
        valuations=portfolios["valuations"],
        holdings=portfolios["holdings"],
        quarantined=_quarantined(lake, hours),
        books={one: _books(instance, one, made[one]) for one in ASSET_CLASSES},
        checks=_results(instance, checks),
    )


def _made(instance: dg.DagsterInstance, asset_class: AssetClass, hours: HourRange) -> dict[dt.datetime, int]:
    """Return the hours that were cleaned, each with the number of its latest event."""
    found = instance.get_latest_storage_id_by_partition(
        dg.AssetKey(["processed", asset_class]), dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    return {hour: found[key] for hour in hours if (key := hour_key(hour)) in found}


def _books(
    instance: dg.DagsterInstance, asset_class: AssetClass, made: Mapping[dt.datetime, int]
) -> dict[str, int]:
    """Return the sums of what cleaning counted in each hour."""
    sums = dict.fromkeys(_BOOKS, 0)
    if not made:
        return sums
    chosen = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(["processed", asset_class]), storage_ids=list(made.values())
    )
    for record in instance.fetch_materializations(chosen, limit=len(made)).records:
        materialization = record.asset_materialization
        for name in _BOOKS:
            value = materialization.metadata.get(name) if materialization else None
            if value is not None:
                sums[name] += int(str(value.value))
    return sums


def _quarantined(lake: Lake, hours: HourRange) -> pl.DataFrame:
    """Return how many records broke which rule; only objects that hold a row are fetched."""
    counted = []
    for asset_class, table in QUARANTINE.items():
        nothing = len(encode_parquet(table.empty(), table))
        listed = lake.list_objects(listing_prefixes(table, "parquet", hours))
        keys = [info.key for info in listed if info.size > nothing and hour_of_object(info.key) in hours]
        frames = [decode_parquet(data, table, key) for key, data in lake.get_many(keys).items()]
        rules = pl.concat([table.empty(), *frames]).group_by("rule").agg(rows=pl.len().cast(pl.Int64))
        counted.append(rules.select(pl.lit(asset_class).alias("asset_class"), "rule", "rows"))
    return pl.concat(counted).sort("rows", "rule", descending=[True, False])


def _results(instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey]) -> list[CheckResult]:
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    found = []
    for key, record in sorted(latest.items(), key=lambda item: item[0].to_user_string()):
        evaluation = record.evaluation
        if evaluation is not None:
            found.append(
                CheckResult(
                    asset=key.asset_key.to_user_string(),
                    check=key.name,
                    passed=evaluation.passed,
                    is_warning=evaluation.severity is dg.AssetCheckSeverity.WARN,
                    said=evaluation.description or "",
                )
            )
    return found
