"""The raw layer: what the three APIs send, kept verbatim."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg

from fin_lake.assets.hourly import (
    add_hour_metadata,
    open_hours,
    partitions_of,
    ranges_of_hours,
    run_hours,
    state_of,
)
from fin_lake.lake.raw import RawAttempt
from fin_lake.partitions import HOUR, UTC, HourRange
from fin_lake.settings import Settings
from fin_lake.sources.fetching import Fetched, fetch_crypto, fetch_stocks
from fin_lake.tables import RAW, AssetClass

SERVED_CHECK = "every_symbol_served"


def build_raw_asset(asset_class: AssetClass, settings: Settings) -> dg.AssetsDefinition:
    """Return the asset that fetches an asset class's hours and keeps what was sent."""
    table = RAW[asset_class]
    key = dg.AssetKey(["raw", asset_class])
    fetch = fetch_stocks if asset_class == "stocks" else fetch_crypto

    @dg.asset(
        key=key,
        description=table.description,
        group_name="raw",
        kinds={"s3", "json"},
        io_manager_key="s3_raw",
        check_specs=[
            dg.AssetCheckSpec(
                SERVED_CHECK, asset=key, description="At least one source answered for every symbol"
            )
        ],
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def raw(context: dg.AssetExecutionContext) -> Iterator[dg.Output[RawAttempt] | dg.AssetCheckResult]:
        hours = run_hours(context)
        asked = open_hours(asset_class, hours)
        extracted_at = dt.datetime.now(UTC)
        if asked:
            fetched = fetch(settings, HourRange(min(asked), max(asked) + HOUR), context.log.info)
        else:
            context.log.info("the exchange is closed throughout %s: nothing to ask", hours)
            fetched = Fetched.nothing(asset_class)
        _refuse_total_failure(fetched)
        rows = Counter(fetched.records["timestamp"].dt.truncate("1h").to_list())
        states = {hour: {"state": state_of(rows[hour], is_open=hour in asked).value} for hour in hours}
        add_hour_metadata(context, key, states)
        yield dg.Output(RawAttempt(fetched.records, asked, extracted_at), metadata=_run_metadata(fetched))
        yield _served(fetched)

    return raw


def _refuse_total_failure(fetched: Fetched) -> None:
    """Fail the run if no source answered for any symbol; what came is kept otherwise."""
    if fetched.unserved and not fetched.answered:
        raise dg.Failure(
            "no source answered for any symbol:\n" + "\n".join(str(failure) for failure in fetched.failures),
            metadata=_run_metadata(fetched),
        )


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
