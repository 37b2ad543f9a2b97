"""The automated pipeline in this process: hours from the APIs to S3, PostgreSQL and the models on Athena.

The same Dagster job that the UI launches, run here and recorded in the same instance, month by
month: a month is what Alpha Vantage sends in one answer, and it bounds the memory of a long range.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from fin_lake.analytics.project import load_manifest, models
from fin_lake.assets.hourly import tags_of_hours
from fin_lake.definitions import EXTRACT_JOB, build_definitions
from fin_lake.errors import FinLakeError
from fin_lake.operations.dead_runs import process_tags, report_dead_runs
from fin_lake.operations.instance import EVENTS_A_WRITE
from fin_lake.operations.run_failures import cause, failures_of, step_name
from fin_lake.partitions import HourRange, hour_key
from fin_lake.schema import AssetClass
from fin_lake.settings import Settings
from fin_lake.tables import TABLES_BY_ASSET

Progress = Callable[[int, str], None]
"""Called with the number of hours of tables just made, and what is being done."""


class ExtractError(FinLakeError):
    """Hours that cannot be asked for."""


@dataclass(slots=True)
class TableReport:
    """What an extract made of one table: hours, rows, objects, bytes."""

    hours: int = 0
    rows: int = 0
    objects: int = 0
    size: int = 0


@dataclass(slots=True)
class ModelReport:
    """A model that was built: rows of its table, if it is one whose rows are counted, and seconds."""

    rows: int | None
    seconds: float


@dataclass(slots=True)
class ModelTests:
    """How many of the models' tests passed, warned and failed."""

    passed: int = 0
    warned: int = 0
    failed: int = 0


@dataclass(slots=True)
class ExtractReport:
    """What an extract did, by table and model, and what it could not do."""

    hours: HourRange
    tables: dict[str, TableReport] = field(default_factory=dict)
    models: dict[str, ModelReport] = field(default_factory=dict)
    tests: ModelTests = field(default_factory=ModelTests)
    warnings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether everything that was asked for was done."""
        return not self.failures


def closed_hours(settings: Settings, hours: HourRange) -> HourRange:
    """Return the part of ``hours`` that has partitions: from the first hour to the last closed one.

    Raises
    ------
    ExtractError
        No hour of the range is both closed and within the partitions.
    """
    end = settings.latest_closed_hour
    if hours.start > end:
        raise ExtractError(
            f"{hours} is not over yet: the latest closed hour is {hour_key(end)}",
            "ask for that one, or wait",
        )
    if hours.start < settings.start:
        raise ExtractError(
            f"{hours} begins before the first partition, {hour_key(settings.start)}",
            "set FIN_LAKE_START to an earlier hour",
        )
    return HourRange(hours.start, min(hours.end, HourRange.of(end).end))


def extract(
    settings: Settings,
    hours: HourRange,
    asset_classes: Sequence[AssetClass],
    *,
    instance: dg.DagsterInstance,
    analytics: bool = True,
    progress: Progress = lambda _made, _doing: None,
) -> ExtractReport:
    """Fetch, keep and clean hours, and build the models on them, in this process.

    Parameters
    ----------
    hours : HourRange
        Closed hours (see :func:`closed_hours`).
    asset_classes : sequence of {'stocks', 'crypto'}
        Which of them.
    instance : DagsterInstance
        Where the materializations are recorded.
    analytics : bool
        Whether to build the models.
    progress : callable, optional
        Told of every hour of a table that was made.

    Returns
    -------
    ExtractReport
        Sums by table and model, and every failure; a failure in one month does not stop the others.
    """
    started = time.monotonic()
    # one event a materialized hour, one write a batch: singly they cost more than the data
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", EVENTS_A_WRITE)
    definitions = build_definitions(settings, loggers={"progress": _progress_logger(progress)})
    job = definitions.resolve_job_def(EXTRACT_JOB)
    selection = {
        key
        for key in job.asset_layer.executable_asset_keys
        if (_is_wanted(key, asset_classes) if key.to_user_string() in TABLES_BY_ASSET else analytics)
    }
    # without them the selection of assets takes all of their checks, those that the job leaves out too
    checks = {key for key in job.asset_layer.asset_graph.asset_check_keys if key.asset_key in selection}
    wanted = job.get_subset(asset_selection=selection, asset_check_selection=checks)
    report = ExtractReport(hours)
    report_dead_runs(instance)
    for part in hours.by_month():
        result = wanted.execute_in_process(
            instance=instance,
            tags={**tags_of_hours(part), **process_tags()},
            run_config={"loggers": {"progress": {}}},
            raise_on_error=False,
        )
        report.run_ids.append(result.run_id)
        said = len(report.failures)
        _add(report, result)
        if not result.success and len(report.failures) == said:  # Dagster itself failed, in no step
            report.failures += failures_of(instance, result.dagster_run)
    report.seconds = time.monotonic() - started
    return report


def tables_made(asset_classes: Sequence[AssetClass], *, analytics: bool = True) -> int:
    """Return in how many tables and models an hour is made, for the length of a progress bar."""
    try:
        built = len(models(load_manifest())) if analytics else 0
    except FinLakeError:  # told of when they are to be built
        built = 0
    keys = map(dg.AssetKey.from_user_string, TABLES_BY_ASSET)
    return sum(_is_wanted(key, asset_classes) for key in keys) + built


def _is_wanted(key: dg.AssetKey, asset_classes: Sequence[AssetClass]) -> bool:
    """Return whether a table is of one of the classes; portfolios may hold all of them."""
    return TABLES_BY_ASSET[key.to_user_string()].asset_class in (None, *asset_classes)


def _add(report: ExtractReport, result: dg.ExecuteInProcessResult) -> None:
    stopped = _stopped_by_checks(result)
    for event in result.all_events:
        if event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            _add_hour(report, materialization)
        elif event.is_step_failure and event.step_key not in stopped:
            error = event.step_failure_data.error
            report.failures.append(f"{step_name(event.step_key)}: {cause(error)}")
    for evaluation in result.get_asset_check_evaluations():
        _add_check(report, evaluation)


def _stopped_by_checks(result: dg.ExecuteInProcessResult) -> set[str | None]:
    """Return the steps that failed because of a check of a table: the check says why, the step does not."""
    return {
        event.step_key
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and _stops(event.asset_check_evaluation_data)
    }


def _stops(evaluation: dg.AssetCheckEvaluation) -> bool:
    is_of_table = evaluation.asset_key.to_user_string() in TABLES_BY_ASSET
    is_of_dbt = "unique_id" in evaluation.metadata
    return is_of_table and not is_of_dbt and evaluation.blocking is True and not evaluation.passed


def _add_check(report: ExtractReport, evaluation: dg.AssetCheckEvaluation) -> None:
    name, metadata = evaluation.asset_key.to_user_string(), evaluation.metadata
    is_warning = evaluation.severity is dg.AssetCheckSeverity.WARN
    if name not in TABLES_BY_ASSET or "unique_id" in metadata:  # a test of dbt's
        if evaluation.passed:
            report.tests.passed += 1
        elif is_warning:
            report.tests.warned += 1
            rows = _number(metadata.get("dagster_dbt/failed_row_count"))
            report.warnings.append(f"{name}: {rows} rows do not pass {evaluation.check_name}")
        else:
            report.tests.failed += 1  # the step's failure says which
    elif not evaluation.passed and is_warning:
        report.warnings.append(f"{name}: {evaluation.description}")
    elif not evaluation.passed:
        failures = _texts(metadata.get("failures"))
        report.failures.append("\n".join([f"{name}: {evaluation.description}", *failures]))


def _add_hour(report: ExtractReport, materialization: dg.AssetMaterialization) -> None:
    name, metadata = materialization.asset_key.to_user_string(), materialization.metadata
    if name not in TABLES_BY_ASSET:
        rows, seconds = metadata.get("dagster/row_count"), metadata.get("Execution Duration")
        report.models[name] = ModelReport(
            None if rows is None else _number(rows), 0.0 if seconds is None else float(str(seconds.value))
        )
        return
    table = report.tables.setdefault(name, TableReport())
    table.hours += 1
    table.rows += _number(metadata.get("dagster/partition_row_count"))
    table.size += _number(metadata.get("bytes"))
    table.objects += len(_texts(metadata.get("objects")))


def _number(value: Any) -> int:
    return int(value.value) if value is not None else 0


def _texts(value: Any) -> list[str]:
    return list(value.value) if value is not None else []


def _progress_logger(progress: Progress) -> dg.LoggerDefinition:
    """Return a Dagster logger that turns a run's events into steps of a progress bar."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            event = getattr(record, "dagster_event", None)
            if event is None and record.levelno >= logging.INFO:
                progress(0, record.getMessage())
            elif (
                event is not None
                and event.event_type_value == dg.DagsterEventType.ASSET_MATERIALIZATION.value
            ):
                progress(1, "")

    def logger(_context: dg.InitLoggerContext) -> logging.Logger:
        made = logging.Logger("fin_lake.progress", level=logging.DEBUG)  # noqa: LOG001 - one per run
        made.addHandler(Handler())
        return made

    return dg.LoggerDefinition(logger, config_schema={}, description="Progress of `fin-lake extract`")
