"""What all hourly assets share: partitions, backfill policy, and the state of an hour."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import dagster as dg

from fin_lake.partitions import HOUR, HourError, HourRange, hour_key, hourly_partitions, stock_session_hours
from fin_lake.schema import AssetClass
from fin_lake.settings import Settings

BEFORE_A_CHART: Final = dt.timedelta(days=5)
"""How far before a run's hours its chart begins, where what lies before is at hand anyway."""


_RANGE_START: Final = "dagster/asset_partition_range_start"
_RANGE_END: Final = "dagster/asset_partition_range_end"
_PARTITION: Final = "dagster/partition"


class HourState(StrEnum):
    """How an hour came out.

    ``market_closed`` is empty on purpose, ``gap`` is empty against expectation. In ``partial`` and
    ``failed`` hours some or all symbols had no answer from any source; another run mends them.
    """

    STORED = "stored"
    MARKET_CLOSED = "market_closed"
    GAP = "gap"
    PARTIAL = "partial"
    FAILED = "failed"


def partitions_of(settings: Settings) -> dg.HourlyPartitionsDefinition:
    """Return the partitions of every table: the closed UTC hours since the first one."""
    return hourly_partitions(settings.start, settings.now)


def ranges_of_hours(settings: Settings) -> dg.BackfillPolicy:
    """Return the policy by which a backfill's runs take many hours each, but not without bound."""
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=settings.hours_per_run)


def run_hours(context: dg.AssetExecutionContext) -> HourRange:
    """Return the hours that a run is for."""
    keys = context.partition_key_range
    return HourRange.between_keys(keys.start, keys.end)


def tags_of_hours(hours: HourRange) -> dict[str, str]:
    """Return the tags of a run that is for some hours, which Dagster reads."""
    return {_RANGE_START: hours.first_key, _RANGE_END: hours.last_key}


def hours_of_run(tags: Mapping[str, str]) -> HourRange | None:
    """Return the hours that a run's tags name: its partition, or its range of partitions.

    A run of other partitions, as the months of the deliveries, is for no hours.
    """
    first = tags.get(_RANGE_START) or tags.get(_PARTITION)
    if not first:
        return None
    try:
        hours = HourRange.between_keys(first, tags.get(_RANGE_END) or first)
    except HourError:
        return None
    return hours if hours.first_key == first else None  # a day can be read as its first hour


def open_hours(asset_class: AssetClass, hours: HourRange) -> frozenset[dt.datetime]:
    """Return those of ``hours`` in which there is trading: sessions for stocks, always for crypto."""
    return stock_session_hours(hours) if asset_class == "stocks" else frozenset(hours)


def state_of(rows: int, *, is_open: bool, unserved: bool = False) -> HourState:
    """Return the state of an hour.

    Parameters
    ----------
    rows : int
        What the hour holds.
    is_open : bool
        Whether there was trading in it.
    unserved : bool
        Whether a symbol that has no row in it had no answer from any source.
    """
    if is_open and unserved:
        return HourState.PARTIAL if rows else HourState.FAILED
    if rows:
        return HourState.STORED
    return HourState.GAP if is_open else HourState.MARKET_CLOSED


def add_chart(
    context: dg.AssetExecutionContext, key: dg.AssetKey, hours: HourRange, chart: bytes | None
) -> None:
    """Attach the chart of a run's hours to the last of them: one a run, so that the event log stays small."""
    if chart is None:
        return
    address = "data:image/svg+xml;base64," + base64.b64encode(chart).decode()
    shown = dg.MetadataValue.md(f"![{hours}]({address})")
    add_hour_metadata(context, key, {hours.end - HOUR: {"chart": shown}})


def add_hour_metadata(
    context: dg.AssetExecutionContext, key: dg.AssetKey, metadata: Mapping[dt.datetime, Mapping[str, Any]]
) -> None:
    """Attach metadata to each hour's materialization of one of the step's assets."""
    for hour, values in metadata.items():
        context.add_asset_metadata(dict(values), asset_key=key, partition_key=hour_key(hour))
