"""Dagster's daemon in a process of its own: beside the UI, or for as long as there is something to do.

The first is for ``fin-lake dev``, and is whole. The second is for a machine where none runs: it works off
backfills and the queue of runs, and ends; schedules and sensors are not its business, be they on or off.

Both look at backfills more often than Dagster's own daemon does, and let the process that runs are forked
from begin its imports before the first run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from fin_lake.operations.instance import EVENTS_A_WRITE, open_instance, prepare_dagster_home
from fin_lake.settings import Settings, load_settings

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.workspace.load_target import WorkspaceLoadTarget
    from dagster._daemon.daemon import DagsterDaemon

NEEDED: Final = ("BACKFILL", "QUEUED_RUN_COORDINATOR")
"""Without these no backfill gets on."""
_LATE_SECONDS: Final = 45  # a daemon tells every 30 seconds that it is alive
_BACKFILL_SECONDS: Final = 2  # Dagster's own pause between looks at a backfill, 30, is longer than its runs
_IDLE_POLL_SECONDS: Final = 1.0
_DEAD_RUNS_SECONDS: Final = 30.0
_END_SECONDS: Final = 60
_MODULE: Final = "fin_lake.definitions"
_LOCATION: Final = "fin_lake"  # as in workspace.yaml: the UI must know the runs


def is_alive(instance: dg.DagsterInstance) -> bool:
    """Return whether some daemon that works off backfills has shown itself lately."""
    heartbeats = instance.get_daemon_heartbeats()
    lately = time.time() - _LATE_SECONDS
    return all(name in heartbeats and heartbeats[name].timestamp > lately for name in NEEDED)


def log_of(settings: Settings) -> Path:
    """Return where a daemon that is started here writes its log."""
    return settings.home.resolve() / "logs" / "dagster-daemon.log"


def start(settings: Settings) -> subprocess.Popen[bytes]:
    """Start a daemon that ends by itself when nothing is left to do, whatever becomes of this process."""
    home = settings.dagster_home or prepare_dagster_home(settings)
    log = log_of(settings)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        "DAGSTER_EVENT_BATCH_SIZE": EVENTS_A_WRITE,
        **os.environ,
        "DAGSTER_HOME": os.fspath(home),
        "FIN_LAKE_HOME": os.fspath(settings.home.resolve()),
    }
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "fin_lake.operations.daemon"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for the command, not for the backfill
        )


def wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a daemon that has nothing left to do is gone; ask it to end if it takes long."""
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait(_END_SECONDS)


def definitions_target() -> WorkspaceLoadTarget:
    """Return where Dagster finds the definitions; in a checkout, ``workspace.yaml`` says the same."""
    from dagster._core.workspace.load_target import ModuleTarget

    return ModuleTarget(module_name=_MODULE, attribute=None, working_directory=None, location_name=_LOCATION)


def run_until_idle(settings: Settings) -> None:
    """Be the daemon, until no backfill and no run is left, or until SIGTERM or SIGINT."""
    with open_instance(settings) as instance:
        _run(instance, definitions_target(), _needed, lambda: _is_busy(instance))
        instance.wipe_daemon_heartbeats()  # else this one seems alive for a while yet


def run_beside(settings: Settings, workspace: Path) -> None:
    """Be the whole daemon, for a workspace that others have opened, until SIGTERM or SIGINT."""
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._daemon.controller import create_daemons_from_instance

    with open_instance(settings) as instance:
        _run(instance, WorkspaceFileTarget([str(workspace)]), create_daemons_from_instance, lambda: True)


def _run(
    instance: dg.DagsterInstance,
    target: WorkspaceLoadTarget,
    daemons: Callable[[dg.DagsterInstance], Iterable[DagsterDaemon[Any]]],
    is_wanted: Callable[[], bool],
) -> None:
    from dagster._daemon import controller

    from fin_lake.operations.dead_runs import report_dead_runs
    from fin_lake.operations.run_launcher import ForkedRunLauncher

    asked_to_end = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        asked_to_end.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = _BACKFILL_SECONDS
    if isinstance(instance.run_launcher, ForkedRunLauncher):
        instance.run_launcher.warm_up()
    sought = 0.0
    with controller.daemon_controller_from_instance(
        instance, target, gen_daemons=daemons, code_server_log_level="warning"
    ) as running:
        while not asked_to_end.wait(_IDLE_POLL_SECONDS) and is_wanted():
            running.check_daemon_threads()
            if time.monotonic() - sought > _DEAD_RUNS_SECONDS:
                sought = time.monotonic()
                report_dead_runs(instance)


def _needed(instance: dg.DagsterInstance) -> Sequence[DagsterDaemon[Any]]:
    from dagster._daemon.controller import create_daemon_of_type

    return [create_daemon_of_type(name, instance) for name in (*NEEDED, "MONITORING")]


def _is_busy(instance: dg.DagsterInstance) -> bool:
    import dagster as dg
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

    from fin_lake.operations.run_launcher import LAUNCHED_TAG

    unfinished = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    if instance.get_backfills(filters=BulkActionsFilter(statuses=unfinished), limit=1):
        return True
    queued = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]
    if instance.get_runs(filters=dg.RunsFilter(statuses=queued), limit=1):
        return True
    launched = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    # runs of `fin-lake extract` are in that command's own process
    return any(
        LAUNCHED_TAG in run.tags for run in instance.get_runs(filters=dg.RunsFilter(statuses=launched))
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        run_beside(load_settings(), Path(sys.argv[1]))
    else:
        run_until_idle(load_settings())
