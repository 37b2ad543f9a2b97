"""What a run of the pipeline takes: bytes and requests, from the event log, and statements on Athena."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fin_lake.clients import aws_client
from fin_lake.errors import FinLakeError
from fin_lake.partitions import UTC, HourRange
from fin_lake.tables import TABLES_BY_ASSET
from fin_lake.traffic import COUNTED

if TYPE_CHECKING:
    import dagster as dg

    from fin_lake.settings import Settings

_RUNS_LOOKED_AT: Final = 25
_TRIES_LOOKED_AT: Final = 5
_STATEMENTS_A_REQUEST: Final = 50
_MOST_STATEMENTS: Final = 5_000


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """What a run has moved.

    Attributes
    ----------
    run_id : str
    hours : HourRange
        Those that it was for.
    started, ended : datetime
        UTC.
    counts : mapping of str to int
        Bytes and requests, by the names of :mod:`fin_lake.traffic`.
    statements : tuple of int
        The bytes that each statement on Athena has scanned, of those that are paid for.
    """

    run_id: str
    hours: HourRange
    started: dt.datetime
    ended: dt.datetime
    counts: Mapping[str, int]
    statements: tuple[int, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Return what ``json.dumps`` takes."""
        return {
            "run_id": self.run_id,
            "hours": len(self.hours),
            **self.counts,
            "athena_statements": len(self.statements),
            "athena_bytes_scanned": sum(self.statements),
        }


def latest_measured_run(instance: dg.DagsterInstance, settings: Settings) -> MeasuredRun | None:
    """Return the latest run that fetched hours and ended well, with what it has moved.

    Raises
    ------
    FinLakeError
        Athena cannot be asked.
    """
    import dagster as dg  # noqa: PLC0415 - a second and a half, which --help does without

    from fin_lake.assets.hourly import hours_of_run  # noqa: PLC0415

    well = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
    for record in instance.get_run_records(filters=well, limit=_RUNS_LOOKED_AT):
        run = record.dagster_run
        hours = hours_of_run(run.tags)
        if hours is None or record.start_time is None or record.end_time is None:
            continue
        counts = _counts(instance, run.run_id, hours)
        if counts.get("bytes_fetched"):
            started, ended = (
                dt.datetime.fromtimestamp(moment, UTC) for moment in (record.start_time, record.end_time)
            )
            statements = tuple(_scanned(settings, started, ended))
            return MeasuredRun(run.run_id, hours, started, ended, counts, statements)
    return None


def _counts(instance: dg.DagsterInstance, run_id: str, hours: HourRange) -> dict[str, int]:
    """Return the sums over the tables of a run; the numbers stand with its last hour."""
    import dagster as dg  # noqa: PLC0415

    sums: dict[str, int] = {}
    for name in TABLES_BY_ASSET:
        chosen = dg.AssetRecordsFilter(
            asset_key=dg.AssetKey.from_user_string(name), asset_partitions=[hours.last_key]
        )
        for record in instance.fetch_materializations(chosen, limit=_TRIES_LOOKED_AT).records:
            made = record.asset_materialization
            if record.run_id != run_id or made is None:
                continue
            for count in COUNTED:
                value = made.metadata.get(count)
                if value is not None:
                    sums[count] = sums.get(count, 0) + int(str(value.value))
            break
    return sums


def _scanned(settings: Settings, started: dt.datetime, ended: dt.datetime) -> Iterator[int]:
    """Yield what each statement of some time has scanned, of those that Athena takes money for."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only where it is asked

    if settings.profile == "local" and settings.athena_endpoint_url is None:
        return
    client = aws_client(settings, "athena", settings.athena_endpoint_url)
    pages = client.get_paginator("list_query_executions").paginate(
        WorkGroup=settings.athena_workgroup,
        PaginationConfig={"MaxItems": _MOST_STATEMENTS, "PageSize": _STATEMENTS_A_REQUEST},
    )
    try:
        for page in pages:
            ids = page["QueryExecutionIds"]
            if not ids:
                return
            found = client.batch_get_query_execution(QueryExecutionIds=ids)["QueryExecutions"]
            submitted = [one["Status"]["SubmissionDateTime"] for one in found]
            yield from (
                int(one.get("Statistics", {}).get("DataScannedInBytes", 0))
                for one, moment in zip(found, submitted, strict=True)
                if started <= moment <= ended and _is_paid_for(one)
            )
            if submitted and max(submitted) < started:  # the latest come first
                return
    except (BotoCoreError, ClientError) as error:
        raise FinLakeError(
            f"Athena's executions cannot be listed: {error}",
            "allow athena:ListQueryExecutions and athena:BatchGetQueryExecution, or correct "
            "FIN_LAKE_ATHENA_WORKGROUP",
        ) from None


def _is_paid_for(execution: Mapping[str, Any]) -> bool:
    """Return whether Athena bills a statement: what reads data and did not fail; DDL is free, CTAS is not."""
    if execution["Status"]["State"] == "FAILED":
        return False
    reads = execution.get("StatementType") == "DML" or execution.get("SubstatementType", "").startswith(
        "CREATE_TABLE_AS_SELECT"
    )
    return reads or int(execution.get("Statistics", {}).get("DataScannedInBytes", 0)) > 0
