"""The hours themselves as an asset: which of them are done, empty on purpose, missing or failed."""

import datetime as dt
from typing import Final

import dagster as dg
import polars as pl

from fin_lake.operations.hours import State, hour_states
from fin_lake.operations.hours_calendar import SIGNS, in_markdown, stretches, totals
from fin_lake.partitions import HOUR, HourRange, hour_key
from fin_lake.settings import Settings

HOURS: Final = dg.AssetKey(["operations", "hours"])
_DRAWN: Final = dt.timedelta(days=31)
_LISTED: Final = 200


def build_hours_asset(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset whose materialization shows the calendar of hours.

    Counts, and the list of what is to be mended, are of all hours that there are partitions for; the
    calendar is of the last month.
    """

    @dg.asset(
        key=HOURS,
        description="Which hours are done, empty on purpose, a gap, partial, failed or missing",
        group_name="operations",
        kinds={"dagster"},
    )
    def hours(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        every = HourRange(settings.start, settings.latest_closed_hour + HOUR)
        states = hour_states(context.instance, settings, every)
        drawn = states.filter(pl.col("hour") >= every.end - _DRAWN)
        counted = totals(states)
        return dg.MaterializeResult(
            metadata={
                "calendar": dg.MetadataValue.md(in_markdown(drawn)),
                "to_mend": dg.MetadataValue.md(_to_mend(states)),
                "first_hour": hour_key(every.start),
                "last_hour": every.last_key,
                **{state.value: counted[state] for state in State},
            }
        )

    return hours


def _to_mend(states: pl.DataFrame) -> str:
    found = stretches(states)
    if not found:
        return "nothing is failed, partial or missing"
    lines = ["| | | hours | |", "| --- | --- | --- | ---: |"]
    lines += [
        f"| {SIGNS[one.state].markdown} {one.state} | {one.asset_class} | {one.hours} "
        f"| {len(one.hours):,} h |"
        for one in found[:_LISTED]
    ]
    more = [f"… and {len(found) - _LISTED:,} more"] if len(found) > _LISTED else []
    return "\n".join([*lines, "", *more, "Mend them: `fin-lake backfill --failed`"])
