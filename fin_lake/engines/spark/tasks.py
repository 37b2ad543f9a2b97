"""What a task of Spark's does: some hours of a table, read from the lake, computed and written to it.

Neither Spark nor Dagster is known here: a task is a function of settings and hours, and computes with the
functions that a run's own process computes with.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec
import polars as pl

from fin_lake.checks import laws
from fin_lake.checks.processing import findings_of_counts, in_order, process, tables_of
from fin_lake.engines.spark.errors import SparkError
from fin_lake.errors import FinLakeError
from fin_lake.lake.frames import by_hour, fitting
from fin_lake.lake.processed import StoredHours, read_stored_hours, write_hours
from fin_lake.lake.raw import read_attempts
from fin_lake.lake.store import Lake, WrittenHour
from fin_lake.partitions import HourRange, hour_key, parse_hour
from fin_lake.schema import AssetClass, Table
from fin_lake.tables import PROCESSED, RAW, TECHNICAL_ANALYSIS
from fin_lake.transforms.bars import hourly_bars
from fin_lake.transforms.clean import COUNTS
from fin_lake.transforms.indicators import LONGEST_GAP, LOOK_BACK, indicators

if TYPE_CHECKING:
    from fin_lake.settings import Settings

Work = Literal["reprocess", "indicators"]
_TASKS_A_CORE: Final = 4
_MOST_DAYS: Final = 31
_LEAST_DAYS: Final[Mapping[str, int]] = {"reprocess": 1, "indicators": 7}
"""Days that a task takes at least: one of indicators reads weeks before its first hour."""


class Task(msgspec.Struct, frozen=True):
    """Hours of an asset class, by their first and last key, and what is to be done with them."""

    work: Work
    asset_class: AssetClass
    first: str
    last: str

    @property
    def hours(self) -> HourRange:
        """The hours."""
        return HourRange.between_keys(self.first, self.last)


class Failure(msgspec.Struct, frozen=True):
    """Why a task wrote nothing, and what to do."""

    hours: str
    what: str
    remedy: str


class TaskResult(msgspec.Struct, frozen=True):
    """What a task tells the run that asked for it: everything but the rows.

    Attributes
    ----------
    written : dict
        By output and hour key, what was stored.
    counts : dict
        By hour key, the books of cleaning.
    broken_actions : dict
        By hour key, how many splits and dividends were quarantined.
    """

    written: dict[str, dict[str, WrittenHour]]
    counts: dict[str, dict[str, int]] = {}
    broken_actions: dict[str, int] = {}
    findings: dict[str, laws.Finding] = {}
    failure: Failure | None = None


class Reprocessed(msgspec.Struct, frozen=True):
    """What all tasks of a range have stored and found, as ``checks.processing.Processed`` has it."""

    stored: dict[str, StoredHours]
    counts: pl.DataFrame
    broken_actions: dict[dt.datetime, int]
    findings: dict[str, laws.Finding]


def tasks_of(work: Work, asset_class: AssetClass, hours: HourRange, cores: int) -> list[Task]:
    """Split a range at midnights (UTC) into tasks, a few for each core, so that the last is not long."""
    days = -(-len(hours) // 24)
    size = min(max(-(-days // (cores * _TASKS_A_CORE)), _LEAST_DAYS[work]), _MOST_DAYS)
    return [
        Task(work, asset_class, part.first_key, part.last_key)
        for part in _split(hours, dt.timedelta(days=size))
    ]


def _split(hours: HourRange, size: dt.timedelta) -> Iterator[HourRange]:
    start = hours.start
    while start < hours.end:
        following = start.replace(hour=0) + size
        yield HourRange(start, min(following, hours.end))
        start = following


def carry_out(task: Task, settings: Settings) -> TaskResult:
    """Do a task; what would fail again is told in the result.

    Raises
    ------
    FinLakeError
        What may heal: Spark runs the task again.
    """
    try:
        return (_reprocess if task.work == "reprocess" else _indicators)(task, settings)
    except FinLakeError as error:
        if error.heals:
            raise
        return TaskResult({}, failure=Failure(str(task.hours), error.what, error.remedy))


def _reprocess(task: Task, settings: Settings) -> TaskResult:
    lake, hours, asset_class = Lake(settings), task.hours, task.asset_class
    raw = read_attempts(lake, RAW[asset_class], hours)
    made = process(raw, asset_class, hours, settings.symbols(asset_class))
    broken = any(name in laws.BLOCKING and not finding.passed for name, finding in made.findings.items())
    tables = {} if broken else tables_of(asset_class)
    return TaskResult(
        {name: _write(lake, table, hours, made.frames[name]) for name, table in tables.items()},
        counts={
            hour_key(row["hour"]): {name: int(value) for name, value in row.items() if name != "hour"}
            for row in made.counts.iter_rows(named=True)
        },
        broken_actions={hour_key(hour): count for hour, count in made.broken_actions.items()},
        findings=dict(made.findings),
    )


def _indicators(task: Task, settings: Settings) -> TaskResult:
    lake, hours, asset_class = Lake(settings), task.hours, task.asset_class
    since = max(hours.start - LOOK_BACK[asset_class] - LONGEST_GAP[asset_class], settings.start)
    bars = read_stored_hours(lake, PROCESSED[asset_class], HourRange(since, hours.end))
    made = indicators(hourly_bars(bars), asset_class)
    wanted = made.filter(pl.col("timestamp") >= hours.start, pl.col("timestamp") < hours.end)
    return TaskResult({"indicators": _write(lake, TECHNICAL_ANALYSIS[asset_class], hours, wanted)})


def _write(lake: Lake, table: Table, hours: HourRange, frame: pl.DataFrame) -> dict[str, WrittenHour]:
    rows = by_hour(fitting(frame, table, hours), table.hour_column)
    return {hour_key(hour): stored for hour, stored in write_hours(lake, table, hours, rows).items()}


def plain(result: TaskResult) -> dict[str, Any]:
    """Return a result as what JSON holds."""
    return cast("dict[str, Any]", msgspec.to_builtins(result))


def from_plain(told: Any) -> TaskResult:
    """Return the result that :func:`plain` was given."""
    return msgspec.convert(told, TaskResult)


def stored_hours(results: list[TaskResult], output: str) -> StoredHours:
    """Return what all tasks have stored of one output.

    Raises
    ------
    SparkError
        A task failed: the message names its hours. Those of other tasks are stored.
    """
    failed = [result.failure for result in results if result.failure is not None]
    if failed:
        raise SparkError(
            "; ".join(f"{one.hours}: {one.what}" for one in failed[:3]) + (" …" if failed[3:] else ""),
            failed[0].remedy,
        )
    return StoredHours(
        {
            parse_hour(key): stored
            for result in results
            for key, stored in result.written.get(output, {}).items()
        }
    )


def reprocessed(results: list[TaskResult], asset_class: AssetClass) -> Reprocessed:
    """Return what the tasks of a range made together.

    Raises
    ------
    SparkError
        As :func:`stored_hours`.
    """
    stored = {name: stored_hours(results, name) for name in tables_of(asset_class)}
    books = [{"hour": parse_hour(key), **row} for one in results for key, row in one.counts.items()]
    counts = _books(books).sort("hour")
    findings = findings_of_counts(counts)
    for name in results[0].findings:
        if name not in findings:
            findings[name] = _merged([one.findings[name] for one in results])
    broken = {parse_hour(key): count for one in results for key, count in one.broken_actions.items()}
    return Reprocessed(stored, counts, broken, in_order(findings))


def _books(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = (*COUNTS, "cross_source_differences", "revised")
    schema = {"hour": pl.Datetime("us", "UTC"), **dict.fromkeys(names, pl.Int64())}
    return pl.DataFrame(rows, schema=schema)


def _merged(findings: list[laws.Finding]) -> laws.Finding:
    """Return one finding of those of parts that share no key: numbers are counts, and add up."""
    numbers: dict[str, int | float] = {}
    for finding in findings:
        for name, number in finding.numbers.items():
            numbers[name] = numbers.get(name, 0) + number
    offending = [one for finding in findings for one in finding.offending]
    return laws.Finding(all(one.passed for one in findings), numbers, offending[: laws.MOST_SHOWN])
