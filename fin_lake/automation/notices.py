"""Sensors that tell others of every run that ends; what they tell is gathered from the event log."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import dagster as dg

from fin_lake.assets.hourly import hours_of_run
from fin_lake.errors import FinLakeError
from fin_lake.notices.cloudwatch import CloudWatch
from fin_lake.notices.datadog import DataDog
from fin_lake.notices.notice import Listener, RunNotice
from fin_lake.operations.run_failures import failures_of
from fin_lake.partitions import UTC
from fin_lake.settings import Settings
from fin_lake.sources.redaction import Redactor

_FRESHNESS: Final = "freshness"
_MOST_RECORDS: Final = 20_000
_FEW: Final = 20


def listeners(settings: Settings) -> list[Listener]:
    """Return those whom the settings name."""
    found: list[Listener] = []
    if settings.cloudwatch_namespace:
        found.append(CloudWatch(settings))
    if settings.datadog_host:
        found.append(DataDog(settings))
    return found


def build_notices(settings: Settings) -> list[dg.SensorDefinition]:
    """Return the sensors of runs that fail and of runs that succeed; none if nobody listens."""
    told = listeners(settings)
    if not told:
        return []
    names = " and ".join(listener.name for listener in told)
    redact = Redactor(settings.secrets)

    def build(name: str, status: dg.DagsterRunStatus, what: str) -> dg.SensorDefinition:
        @dg.run_status_sensor(
            name=name,
            run_status=status,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description=f"Tells {names} of every run that {what}",
        )
        def sensor(context: dg.RunStatusSensorContext) -> None:
            tell(told, notice_of(context.instance, context.dagster_run, redact), context.log.warning)

        return sensor

    return [
        build("tell_of_failure", dg.DagsterRunStatus.FAILURE, "fails"),
        build("tell_of_success", dg.DagsterRunStatus.SUCCESS, "succeeds"),
    ]


def tell(told: Sequence[Listener], notice: RunNotice, warn: Callable[[str], None]) -> None:
    """Tell every listener, whatever happens at the others.

    Raises
    ------
    FinLakeError
        Some could not be told. Dagster shows it on the tick and goes on to the next run: a notice is not
        sent again later, when it would be taken for news.
    """
    failed: list[str] = []
    for listener in told:
        try:
            listener.tell(notice)
        except Exception as error:  # noqa: BLE001 - one listener's fault, of whatever kind, is not another's
            failed.append(f"{listener.name}: {error}")
            warn(f"{listener.name} was not told of run {notice.run_id}: {error}")
    if failed:
        raise FinLakeError("not everybody was told: " + "; ".join(failed))


def notice_of(instance: dg.DagsterInstance, run: dg.DagsterRun, redact: Callable[[str], str]) -> RunNotice:
    """Return what a run was, from the event log.

    Parameters
    ----------
    redact : callable
        Takes secrets out of a text.
    """
    record = instance.get_run_record_by_id(run.run_id)
    started = record.start_time if record and record.start_time else 0.0
    ended = record.end_time if record and record.end_time else started
    passed, warned, failed = 0, [], []
    behind: dict[str, float] = {}
    for evaluation in _evaluations(instance, run.run_id):
        name = f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}"
        if evaluation.check_name == _FRESHNESS and "hours_behind" in evaluation.metadata:
            behind[evaluation.asset_key.path[-1]] = _number(evaluation.metadata["hours_behind"])
        if evaluation.passed:
            passed += 1
        elif evaluation.severity is dg.AssetCheckSeverity.WARN:
            warned.append(name)
        else:
            failed.append(name)
    hours, succeeded = hours_of_run(run.tags), run.status is dg.DagsterRunStatus.SUCCESS
    return RunNotice(
        run_id=run.run_id,
        job=_job(run),
        succeeded=succeeded,
        ended_at=dt.datetime.fromtimestamp(ended, UTC) if ended else dt.datetime.now(UTC),
        seconds=max(ended - started, 0.0),
        hours=str(hours) if hours else "",
        failures=() if succeeded else tuple(redact(text) for text in failures_of(instance, run)),
        checks_passed=passed,
        checks_warned=len(warned),
        checks_failed=len(failed),
        broken=tuple([*failed, *warned][:_FEW]),
        hours_behind=behind,
    )


def _job(run: dg.DagsterRun) -> str:
    if not run.job_name.startswith("__"):
        return run.job_name
    return "backfill" if "dagster/backfill" in run.tags else "assets"


def _evaluations(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.AssetCheckEvaluation]:
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    for record in instance.get_records_for_run(run_id, of_type=kind, limit=_MOST_RECORDS).records:
        yield record.event_log_entry.get_dagster_event().asset_check_evaluation_data


def _number(value: Any) -> float:
    return float(value.value) if isinstance(value.value, int | float) else 0.0
