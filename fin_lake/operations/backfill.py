"""Many hours through Dagster's daemon: what is asked for, how far it is, what came of it.

A backfill is Dagster's own: the UI shows it, and it goes on whatever becomes of the command that asked
for it. Its runs take ``FIN_LAKE_HOURS_PER_RUN`` hours each; one that fails does not stop the others.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.storage.tags import BACKFILL_ID_TAG
from dagster._core.utils import make_new_backfill_id

from fin_lake.assets.hourly import hours_of_run
from fin_lake.definitions import EXTRACT_JOB, SNOWFLAKE_JOB, build_definitions
from fin_lake.errors import FinLakeError
from fin_lake.operations.hours import State, hour_states, ranges
from fin_lake.operations.run_failures import cause, failures_of
from fin_lake.partitions import HourRange, hour_key
from fin_lake.schema import ASSET_CLASSES, AssetClass
from fin_lake.settings import Settings
from fin_lake.tables import TABLES_BY_ASSET

Hours = Mapping[dg.AssetKey, Sequence[dt.datetime]]
"""The hours of each table that are to be made."""


class BackfillError(FinLakeError):
    """What cannot be backfilled as asked."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill is: hours of tables, and runs."""

    made: int
    failed: int
    runs: int
    running: int
    finished: bool


@dataclass(slots=True)
class BackfillReport:
    """What a backfill did and what it could not do.

    Parameters
    ----------
    made, asked : int
        Hours of tables.
    failures : list of str
        What went wrong, by range of hours.
    unserved : list of str
        Hours that were made without all of their symbols: ``stocks 2023-01-03-15:00 (partial)``.
    """

    backfill_id: str
    status: str
    made: int
    asked: int
    seconds: float
    run_ids: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Whether every hour of every table was made, with all of its symbols."""
        done = self.status == BulkActionStatus.COMPLETED_SUCCESS.value
        return done and self.made >= self.asked and not self.failures and not self.unserved


def selected_tables(settings: Settings, selection: Sequence[str] = ()) -> list[dg.AssetKey]:
    """Return the hourly assets that are meant.

    Parameters
    ----------
    selection : sequence of str, optional
        Expressions of Dagster's selection syntax, of which any may hold; all of the job ``extract`` if
        omitted.

    Raises
    ------
    BackfillError
        An expression is none, or selects nothing that has hours.
    """
    definitions = build_definitions(settings)
    graph = definitions.resolve_asset_graph()
    hourly = {
        key
        for job in ((EXTRACT_JOB, SNOWFLAKE_JOB) if selection else (EXTRACT_JOB,))
        for key in definitions.resolve_job_def(job).asset_layer.executable_asset_keys
        if graph.get(key).is_partitioned
    }
    if not selection:
        return sorted(hourly)
    found: set[dg.AssetKey] = set()
    for text in selection:
        try:
            chosen = dg.AssetSelection.from_string(text).resolve(graph, allow_missing=True) & hourly
        except dg.DagsterError as error:
            raise BackfillError(
                f"{text!r} is not a selection of assets: {str(error).splitlines()[0]}",
                'write it like market/stocks, group:raw or +key:"market/stocks" (Dagster\'s syntax)',
            ) from None
        if not chosen:
            raise BackfillError(
                f"{text!r} selects no table that is made by the hour",
                "there are " + ", ".join(sorted(key.to_user_string() for key in hourly)),
            )
        # a step that makes several tables makes all of them
        found |= {key for one in chosen for key in graph.get(one).execution_set_asset_keys}
    return sorted(found)


def all_hours(keys: Collection[dg.AssetKey], hours: HourRange) -> Hours:
    """Return the same hours for each table."""
    wanted = tuple(hours)
    return dict.fromkeys(keys, wanted)


def hours_to_mend(
    keys: Collection[dg.AssetKey], to_mend: Mapping[AssetClass, Sequence[dt.datetime]]
) -> Hours:
    """Return for each table the hours of its asset class; all of them for tables of both."""
    of_both = sorted({hour for hours in to_mend.values() for hour in hours})
    found: dict[dg.AssetKey, Sequence[dt.datetime]] = {}
    for key in keys:
        table = TABLES_BY_ASSET.get(key.to_user_string())
        wanted = of_both if table is None or table.asset_class is None else to_mend.get(table.asset_class, ())
        if wanted:
            found[key] = wanted
    return found


def request_backfill(instance: dg.DagsterInstance, settings: Settings, hours: Hours) -> str:
    """Ask Dagster for hours of tables; return the backfill's id. A daemon does the rest."""
    graph = build_definitions(settings).resolve_asset_graph()
    subsets = {}
    for key, wanted in hours.items():
        partitions = graph.get(key).partitions_def
        assert partitions is not None  # noqa: S101 - only hourly tables are selected
        subsets[key] = partitions.subset_with_partition_keys([hour_key(hour) for hour in wanted])
    every = sorted({hour for wanted in hours.values() for hour in wanted})
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id=make_new_backfill_id(),
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        asset_graph_subset=AssetGraphSubset(partitions_subsets_by_asset_key=subsets),  # type: ignore[call-arg]
        title=f"{hour_key(every[0])} to {hour_key(every[-1])}",
        description=f"fin-lake backfill: {len(every)} hours, {len(hours)} tables",
        run_config=None,
    )
    instance.add_backfill(backfill)
    return str(backfill.backfill_id)


def cancel_backfill(instance: dg.DagsterInstance, backfill_id: str) -> None:
    """Ask Dagster to cancel a backfill and its runs.

    Raises
    ------
    BackfillError
        There is none of this id, or it is over.
    """
    backfill = _backfill(instance, backfill_id)
    if backfill.status in BULK_ACTION_TERMINAL_STATUSES:
        raise BackfillError(f"backfill {backfill_id} is over: {backfill.status.value}")
    instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELING))  # type: ignore[no-untyped-call]


class Watch:
    """Looks at a backfill again and again; a run that is over is looked at once."""

    def __init__(self, instance: dg.DagsterInstance, backfill_id: str) -> None:
        self._instance = instance
        self._id = backfill_id
        self._counted: dict[str, tuple[int, int]] = {}

    def progress(self) -> Progress:
        """Return how far it is now."""
        # first the backfill, then its runs: a finished one has no others
        finished = _backfill(self._instance, self._id).status in BULK_ACTION_TERMINAL_STATUSES
        made = failed = running = 0
        runs = self.runs()
        for run in runs:
            if run.run_id in self._counted:
                run_made, run_failed = self._counted[run.run_id]
            else:
                run_made, run_failed = self._count(run)
                if run.is_finished:
                    self._counted[run.run_id] = (run_made, run_failed)
            made, failed = made + run_made, failed + run_failed
            running += run.status is dg.DagsterRunStatus.STARTED
        return Progress(made, failed, len(runs), running, finished)

    def runs(self) -> list[dg.DagsterRun]:
        """Return its runs, the first one first."""
        found = self._instance.get_runs(filters=dg.RunsFilter(tags={BACKFILL_ID_TAG: self._id}))
        return list(reversed(found))

    def _count(self, run: dg.DagsterRun) -> tuple[int, int]:
        if run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED):
            return (0, 0)
        stats = self._instance.get_run_stats(run.run_id)
        made = int(getattr(stats, "materializations", 0))
        lost = len(run.asset_selection or ()) * len(hours_of_run(run.tags) or ()) - made
        return (made, max(lost, 0) if run.is_finished and not run.is_success else 0)


def report(
    instance: dg.DagsterInstance, settings: Settings, backfill_id: str, hours: Hours, seconds: float
) -> BackfillReport:
    """Return what a backfill that is over did."""
    backfill, watch = _backfill(instance, backfill_id), Watch(instance, backfill_id)
    runs = watch.runs()
    failures = [
        f"{hours_of_run(run.tags)}: {text}"
        for run in runs
        if run.is_finished and not run.is_success
        for text in failures_of(instance, run)
    ]
    if backfill.error is not None:
        failures.append(cause(backfill.error))
    return BackfillReport(
        backfill_id=backfill_id,
        status=backfill.status.value,
        made=watch.progress().made,
        asked=sum(map(len, hours.values())),
        seconds=seconds,
        run_ids=[run.run_id for run in runs],
        failures=failures,
        unserved=list(_unserved(instance, settings, hours)),
    )


def _backfill(instance: dg.DagsterInstance, backfill_id: str) -> PartitionBackfill:
    backfill = instance.get_backfill(backfill_id)
    if backfill is None:
        raise BackfillError(
            f"there is no backfill {backfill_id!r}", "its id is in the UI, under Runs, Backfills"
        )
    return backfill


def _unserved(instance: dg.DagsterInstance, settings: Settings, hours: Hours) -> Iterator[str]:
    for asset_class in ASSET_CLASSES:
        fetched = hours.get(dg.AssetKey(["raw", asset_class]))
        if not fetched:
            continue
        span = HourRange(fetched[0], HourRange.of(fetched[-1]).end)
        states = hour_states(instance, settings, span, [asset_class])
        wanted = states.filter(states["hour"].is_in(list(fetched)))
        for state in (State.PARTIAL, State.FAILED):
            of_state = wanted.filter(wanted["state"] == state.value)["hour"].sort().to_list()
            yield from (f"{asset_class} {span} ({state})" for span in ranges(of_state))
