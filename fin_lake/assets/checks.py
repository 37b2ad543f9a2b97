"""Checks that look at what was stored, and at when."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

import dagster as dg

from fin_lake.assets.hourly import hours_of_run
from fin_lake.checks import laws
from fin_lake.checks.results import result, spec
from fin_lake.lake.processed import read_hours
from fin_lake.lake.store import Lake
from fin_lake.partitions import HOUR, UTC, HourRange
from fin_lake.retries import Retries
from fin_lake.schema import ASSET_CLASSES, AssetClass, Table
from fin_lake.settings import Settings
from fin_lake.tables import PROCESSED, TABLES_BY_ASSET
from fin_lake.warehouse.market import connect, ensure_schema, latest_bar, read_splits
from fin_lake.warehouse.market import read_hours as read_from_postgres

FRESHNESS_LAG: Final = dt.timedelta(hours=2)
"""How long after its end an hour may take to be stored."""
_LOOK_BACK: Final[Mapping[AssetClass, dt.timedelta]] = {
    "stocks": dt.timedelta(days=10),
    "crypto": dt.timedelta(days=2),
}
"""How far back the bars lie that a step is judged by."""
_ALONE: Final = dt.timedelta(days=1)


def build_checks(settings: Settings, portfolios: Sequence[str]) -> list[dg.AssetChecksDefinition]:
    """Return the checks of the tables in PostgreSQL."""
    lake = Lake(settings)
    stored = [
        _build_stores_agree(dg.AssetKey.from_user_string(key), table, settings, lake, portfolios)
        for key, table in TABLES_BY_ASSET.items()
        if key.startswith("market/")
    ]
    return [*stored, *(_build_step_changes(asset_class, settings) for asset_class in ASSET_CLASSES)]


def _again(context: dg.AssetCheckExecutionContext, settings: Settings) -> AbstractContextManager[None]:
    return Retries(settings.step_retries, settings.step_retry_seconds).after(context.retry_number)


def hours_of_check(context: dg.AssetCheckExecutionContext, settings: Settings) -> HourRange:
    """Return the hours of the run; those of the last day where a check is run by itself."""
    hours = hours_of_run(context.run.tags)
    if hours is not None:
        return hours
    end = settings.latest_closed_hour + HOUR
    return HourRange(max(end - _ALONE, settings.start), end)


def _build_stores_agree(
    key: dg.AssetKey, table: Table, settings: Settings, lake: Lake, portfolios: Sequence[str]
) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"{key.to_python_identifier()}__stores_agree", specs=[spec("stores_agree", key)]
    )
    def stores_agree(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        hours = hours_of_check(context, settings)
        with _again(context, settings):
            with connect(settings.database()) as connection:
                stores = {"postgres": read_from_postgres(connection, table, hours)}
            for kind in table.formats:
                stores[kind] = read_hours(lake, table, hours, kind, portfolios)
        yield result("stores_agree", key, laws.stores_agree(stores, table.key))

    return stores_agree


def _build_step_changes(asset_class: AssetClass, settings: Settings) -> dg.AssetChecksDefinition:
    key, table = dg.AssetKey(["market", asset_class]), PROCESSED[asset_class]

    @dg.multi_asset_check(name=f"market__{asset_class}__step_changes", specs=[spec("step_changes", key)])
    def step_changes(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        hours = hours_of_check(context, settings)
        around = HourRange(hours.start - _LOOK_BACK[asset_class], hours.end)
        with _again(context, settings), connect(settings.database()) as connection:
            bars = read_from_postgres(connection, table, around)
            splits = read_splits(connection, around)
        yield result("step_changes", key, laws.step_changes(bars, splits, since=hours.start))

    return step_changes


def build_freshness(asset_class: AssetClass, settings: Settings) -> dg.AssetChecksDefinition:
    """Return the check that the latest hour of trading is stored; it is no matter of a run's hours."""
    key = dg.AssetKey(["market", asset_class])

    @dg.multi_asset_check(name=f"market__{asset_class}__freshness", specs=[spec("freshness", key)])
    def freshness() -> Iterator[dg.AssetCheckResult]:
        now = settings.now or dt.datetime.now(UTC)
        with connect(settings.database()) as connection:
            ensure_schema(connection)  # before the first run there is none
            latest = latest_bar(connection, PROCESSED[asset_class])
        yield result("freshness", key, laws.freshness(latest, asset_class, now, FRESHNESS_LAG))

    return freshness
