"""When it is looked at whether the latest hours are stored: by the wall clock, whatever else runs."""

import dagster as dg

from fin_lake.settings import Settings


def build_freshness_schedule(settings: Settings, job: str) -> dg.ScheduleDefinition:
    """Return the schedule of the job that evaluates freshness: every quarter of an hour."""

    @dg.schedule(
        name="freshness",
        job_name=job,
        cron_schedule="*/15 * * * *",
        execution_timezone="UTC",
        description="Looks every quarter of an hour whether the latest hours of trading are stored",
    )
    def freshness() -> dg.RunRequest | dg.SkipReason:
        if settings.now is not None:
            return dg.SkipReason(f"time stands still at {settings.now:%Y-%m-%dT%H:%MZ}: nothing can be late")
        return dg.RunRequest()

    return freshness
