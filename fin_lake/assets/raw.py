"""The raw layer: what the three APIs send, kept verbatim."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from fin_lake.assets.catalog import entry
from fin_lake.assets.hourly import (
    HourState,
    add_hour_metadata,
    open_hours,
    partitions_of,
    ranges_of_hours,
    run_hours,
    state_of,
)
from fin_lake.lake.raw import RawAttempt
from fin_lake.partitions import HOUR, UTC, HourRange
from fin_lake.retries import Retries
from fin_lake.schema import AssetClass
from fin_lake.settings import Settings
from fin_lake.sources.fetching import Fetched, fetch_crypto, fetch_stocks
from fin_lake.tables import RAW

SERVED_CHECK = "every_symbol_served"


def build_raw_asset(asset_class: AssetClass, settings: Settings) -> dg.AssetsDefinition:
    """Return the asset that fetches an asset class's hours and keeps what was sent."""
    table = RAW[asset_class]
    key = dg.AssetKey(["raw", asset_class])
    fetch = fetch_stocks if asset_class == "stocks" else fetch_crypto
    symbols = settings.symbols(asset_class)
    again = Retries(settings.step_retries, settings.step_retry_seconds)

    @dg.asset(
        key=key,
        description=table.description,
        group_name="raw",
        kinds={"s3", "json"},
        **entry(key, settings),
        io_manager_key="s3_raw",
        pool=f"{asset_class.removesuffix('s')}_sources",  # one at a time: each process keeps pace for itself
        check_specs=[
            dg.AssetCheckSpec(
                SERVED_CHECK, asset=key, description="At least one source answered for every symbol"
            )
        ],
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def raw(context: dg.AssetExecutionContext) -> Iterator[dg.Output[RawAttempt] | dg.AssetCheckResult]:
        settings.require_services()
        hours = run_hours(context)
        asked = open_hours(asset_class, hours)
        extracted_at = dt.datetime.now(UTC)
        if asked:
            fetched = fetch(settings, HourRange(min(asked), max(asked) + HOUR), context.log.info)
        else:
            context.log.info("the exchange is closed throughout %s: nothing to ask", hours)
            fetched = Fetched(table.empty(), (), {}, ())
        if fetched.records.is_empty() and set(fetched.unserved) >= set(symbols):
            if any(failure.heals for failure in fetched.failures):
                again.request(context.retry_number)
            raise dg.Failure(
                "no source answered for any symbol:\n" + "\n".join(map(str, fetched.failures)),
                metadata=_run_metadata(fetched),
            )
        states = _states(fetched, hours, asked)
        add_hour_metadata(context, key, {hour: {"state": state.value} for hour, state in states.items()})
        answered = frozenset(hour for hour in asked if states[hour] is not HourState.FAILED)
        yield dg.Output(RawAttempt(fetched.records, answered, extracted_at), metadata=_run_metadata(fetched))
        yield _served(fetched)

    return raw


def _states(
    fetched: Fetched, hours: HourRange, asked: frozenset[dt.datetime]
) -> dict[dt.datetime, HourState]:
    served: dict[dt.datetime, set[str]] = defaultdict(set)
    for hour, symbol in fetched.records.select(pl.col("timestamp").dt.truncate("1h"), "symbol").iter_rows():
        served[hour].add(symbol)
    return {
        hour: state_of(
            len(served[hour]),
            is_open=hour in asked,
            unserved=not served[hour].issuperset(fetched.unserved),
        )
        for hour in hours
    }


def _run_metadata(fetched: Fetched) -> dict[str, Any]:
    return {
        "requests": dict(fetched.requests),
        "failures": [str(failure) for failure in fetched.failures],
        "unserved_symbols": list(fetched.unserved),
    }


def _served(fetched: Fetched) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=SERVED_CHECK,
        passed=not fetched.unserved,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(f"{symbol} was not served" for symbol in fetched.unserved) or None,
        metadata=_run_metadata(fetched),
    )
