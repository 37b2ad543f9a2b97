"""The schedules by the hour: which hours a tick fetches, and when the calendar of hours is drawn."""

import datetime as dt
from collections.abc import Collection
from typing import Final

import dagster as dg

from fin_lake.assets.hourly import tags_of_hours
from fin_lake.engines.snowflake.sql import SOURCES
from fin_lake.partitions import HOUR, HourRange, floor_hour, parse_hour
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings

HOURLY: Final = "hourly"
_RAW: Final = tuple(dg.AssetKey(["raw", asset_class]) for asset_class in ASSET_CLASSES)


def build_hourly_schedule(settings: Settings, job: str) -> dg.ScheduleDefinition:
    """Return the schedule that fetches the hour just closed, and reads the last ones again.

    A tick after hours of standstill takes those along that are missing behind the newest one in raw.
    """

    @dg.schedule(
        name=HOURLY,
        job_name=job,
        cron_schedule=f"{settings.schedule_minute} * * * *",
        execution_timezone="UTC",
        description=(
            f"Fetches the hour just closed, and the {settings.reread_hours} before it again for late and "
            "corrected bars; outside of sessions stocks are not asked for"
        ),
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        latest = floor_hour(settings.now or context.scheduled_execution_time) - HOUR
        if latest < settings.start:
            return dg.SkipReason(f"no hour is over yet since the first one, {settings.start:%Y-%m-%dT%H}")
        hours = hours_of_tick(settings, latest, newest_hour(context.instance))
        return dg.RunRequest(
            run_key=hours.last_key,
            tags=tags_of_hours(hours),
        )

    return hourly


def build_snowflake_schedule(settings: Settings, job: str) -> dg.ScheduleDefinition:
    """Return the schedule that loads into Snowflake what the lake has newly made; it is off until started.

    It looks half an hour after the hour's own schedule, and takes the hours that one has read again.
    """
    sources = [dg.AssetKey.from_user_string(source) for source in SOURCES.values()]
    loaded = [dg.AssetKey.from_user_string(key) for key in SOURCES]

    @dg.schedule(
        name=f"{job}_hourly",
        job_name=job,
        cron_schedule=f"{(settings.schedule_minute + 30) % 60} * * * *",
        execution_timezone="UTC",
        description="Loads into Snowflake the hours that the lake has newly made or read again",
    )
    def snowflake_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        latest = newest_hour(context.instance, sources)
        if latest is None:
            return dg.SkipReason("the lake has no hour of every table yet")
        hours = hours_of_tick(settings, latest, newest_hour(context.instance, loaded))
        return dg.RunRequest(tags=tags_of_hours(hours))

    return snowflake_hourly


def build_after_the_hour(job: str, minute: int, description: str) -> dg.ScheduleDefinition:
    """Return a schedule of a job that looks at what the hour's run has made, when that has ended."""
    return dg.ScheduleDefinition(
        name=f"{job}_hourly",
        job_name=job,
        cron_schedule=f"{minute} * * * *",
        execution_timezone="UTC",
        description=description,
    )


def build_daily(job: str, time: str, description: str) -> dg.ScheduleDefinition:
    """Return a schedule of a job that looks at the whole lake, once a day at a UTC time (``HH:MM``)."""
    at = dt.time.fromisoformat(time)
    return dg.ScheduleDefinition(
        name=f"{job}_daily",
        job_name=job,
        cron_schedule=f"{at.minute} {at.hour} * * *",
        execution_timezone="UTC",
        description=description,
    )


def hours_of_tick(settings: Settings, latest: dt.datetime, newest: dt.datetime | None) -> HourRange:
    """Return the hours that a tick fetches.

    Parameters
    ----------
    latest : datetime
        The hour just closed.
    newest : datetime, optional
        The newest hour that raw has; hours between it and ``latest`` are fetched too, as many as a run
        may take. What lies further back is a matter of `fin-lake backfill`.
    """
    first = latest - settings.reread_hours * HOUR
    if newest is not None:
        first = min(first, newest + HOUR)
    reach = max(settings.hours_per_run, settings.reread_hours + 1) - 1
    return HourRange(max(first, latest - reach * HOUR, settings.start), latest + HOUR)


def newest_hour(instance: dg.DagsterInstance, assets: Collection[dg.AssetKey] = _RAW) -> dt.datetime | None:
    """Return the newest hour up to which every one of the assets has something, if it has."""
    newest: list[dt.datetime] = []
    for key in assets:
        made = instance.get_materialized_partitions(key)
        if not made:
            return None
        newest.append(parse_hour(max(made)))  # keys sort as their hours do
    return min(newest)
