"""The reports as files that BI tools open: Tableau's extracts, one a report and month.

A report's extract of a month is made anew from the report, whole: what a late hour changed, days after
it included, is in it, and two runs of the same month leave the same object. Only the months asked for
are read and written.
"""

import datetime as dt
from typing import Final

import dagster as dg

from fin_lake.engines.tableau import (
    REPORTS,
    extract_object,
    extract_of,
    next_month,
    read_month,
    require_pantab,
)
from fin_lake.lake.store import Lake
from fin_lake.settings import Settings

GROUP: Final = "deliveries"
_MONTH: Final = "%Y-%m"
_MONTHS_A_RUN: Final = 12
_MONTH_OF_HOURS: Final = dg.TimeWindowPartitionMapping()
_MONTHS_A_TICK: Final = 12
"""How many months a day makes, the latest first; what is left is made on the days after."""


def months_of(settings: Settings) -> dg.MonthlyPartitionsDefinition:
    """Return the partitions: the months since the first hour, the one that is not over included."""
    first = settings.start.date().replace(day=1)
    end = next_month(settings.now.date().replace(day=1)) if settings.now else None
    return dg.MonthlyPartitionsDefinition(
        start_date=f"{first:{_MONTH}}",
        end_date=f"{end:{_MONTH}}" if end else None,
        end_offset=0 if end else 1,
        fmt=_MONTH,
    )


def extract_key(report: str) -> dg.AssetKey:
    """Return the key of the asset that is a report's extract."""
    return dg.AssetKey([GROUP, "tableau", report])


def build_deliveries(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return an asset for each report: its extracts for Tableau."""
    return [_build_extract(settings, report) for report in REPORTS]


def _build_extract(settings: Settings, report: str) -> dg.AssetsDefinition:
    lake, months = Lake(settings), months_of(settings)

    @dg.asset(
        key=extract_key(report),
        deps=[
            dg.AssetDep(dg.AssetKey(["reports", report]), partition_mapping=dg.TimeWindowPartitionMapping())
        ],
        partitions_def=months,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=_MONTHS_A_RUN),
        description=f"The report {report} as Tableau's extract (.hyper), one a month",
        group_name=GROUP,
        kinds={"tableau", "s3"},
        owners=list(settings.owners),
        tags={"layer": GROUP},
    )
    def extract(context: dg.AssetExecutionContext) -> None:
        from fin_lake.operations.athena import Athena  # noqa: PLC0415 - imports boto3

        require_pantab()  # before Athena is asked, and paid
        athena = Athena(settings)
        for key in context.partition_keys:
            month = _first_day(key)
            rows, place = read_month(athena, report, month), extract_object(report, month)
            data = extract_of(report, rows)
            lake.put(place, data, content_type="application/octet-stream")
            context.add_asset_metadata(
                {
                    "dagster/partition_row_count": rows.num_rows,
                    "rows": rows.num_rows,
                    "bytes": len(data),
                    "object": lake.uri(place),
                    "open": dg.MetadataValue.url(lake.link(place)),
                },
                partition_key=key,
            )

    return extract


def build_delivery_schedule(settings: Settings, job: str) -> dg.ScheduleDefinition:
    """Return the schedule that makes, once a day, the extracts of the months that reports changed in."""

    @dg.schedule(
        name=f"{job}_daily",
        job_name=job,
        cron_schedule="40 1 * * *",
        execution_timezone="UTC",
        description="Makes the extracts of the months whose reports changed since, for BI tools",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        behind = months_behind(settings, context.instance)
        if not behind:
            return dg.SkipReason("no report has changed since its extracts were made")
        day = context.scheduled_execution_time.date()  # the next day asks again for what failed
        return [
            dg.RunRequest(run_key=f"{month} on {day}", partition_key=month)
            for month in behind[-_MONTHS_A_TICK:]
        ]

    return daily


def months_behind(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """Return the months of which an extract is older than the report that it was made of.

    An hour that was built anew changes rows of up to a month later (returns, volatility), so it counts
    for the month after its own, too, if there are hours of that.
    """
    known = set(months_of(settings).get_partition_keys())
    behind: set[str] = set()
    for report in REPORTS:
        built = _newest_by_month(instance, dg.AssetKey(["reports", report]))
        made = _latest(instance, extract_key(report))
        for month in known & built.keys():
            before = f"{_first_day(month) - dt.timedelta(days=1):{_MONTH}}"
            if made.get(month, 0) < max(built[month], built.get(before, 0)):
                behind.add(month)
    return sorted(behind)


def _newest_by_month(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, int]:
    """Return the number of the newest event of each month of an hourly asset."""
    newest: dict[str, int] = {}
    for hour, event in _latest(instance, key).items():
        month = hour[: len("2023-01")]  # keys of hours begin with those of their months
        newest[month] = max(event, newest.get(month, 0))
    return newest


def _latest(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, int]:
    found = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return dict(found)


def _first_day(month: str) -> dt.date:
    return dt.date.fromisoformat(f"{month}-01")
