"""When it is looked at whether the latest hours are stored: by the wall clock, whatever else runs."""

from collections.abc import Sequence
from typing import Final

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from fin_lake.settings import Settings

FRESHNESS_JOB: Final = "check_freshness"


def build_freshness_job(checks: Sequence[dg.AssetChecksDefinition]) -> UnresolvedAssetJobDefinition:
    """Return the job that evaluates the checks of freshness and nothing else."""
    return dg.define_asset_job(
        FRESHNESS_JOB,
        selection=dg.AssetSelection.checks(*checks),
        description="Look whether the latest hours of trading are stored",
    )


def build_freshness_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule of that job: every quarter of an hour."""

    @dg.schedule(
        name="freshness",
        job_name=FRESHNESS_JOB,
        cron_schedule="*/15 * * * *",
        execution_timezone="UTC",
        description="Looks every quarter of an hour whether the latest hours of trading are stored",
    )
    def freshness() -> dg.RunRequest | dg.SkipReason:
        if settings.now is not None:
            return dg.SkipReason(f"time stands still at {settings.now:%Y-%m-%dT%H:%MZ}: nothing can be late")
        return dg.RunRequest()

    return freshness
