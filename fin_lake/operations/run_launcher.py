"""Runs whose processes are forked from one that has imported everything already.

Dagster's own launcher lets the code server spawn a Python for each run, which imports for four seconds
before it does a second's work. Here a process without threads imports what is heavy, once, and runs are
forked from it. The packages of others, that is: fin_lake itself is imported by each run anew, so that a
reloaded code location and its runs are of the same code.

A run is a process of the daemon's machine, and outlives the daemon.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import process as processes
from multiprocessing.context import ForkServerContext
from typing import TYPE_CHECKING, Any, Final

from dagster._core.launcher import RunLauncher
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_shared.serdes import deserialize_value, serialize_value

from fin_lake.collector import collect_seldom
from fin_lake.operations.dead_runs import HOST_TAG, PROCESS_TAG, lives, process_tags

if TYPE_CHECKING:
    from dagster._core.launcher import LaunchRunContext

LAUNCHED_TAG: Final = "fin_lake/launched"
"""Of a run in a process of its own, in contrast to `fin-lake extract`'s."""

_PRELOADED: Final = (
    "dagster._cli.api",
    "dagster._core.execution.api",
    "dagster._grpc.impl",
    "dagster_postgres.event_log",
    "dagster_postgres.run_storage",
    "dagster_postgres.schedule_storage",
    "dagster_dbt",
    "dbt.adapters.athena",
    "dbt.cli.main",
    "aiohttp",
    "boto3",
    "exchange_calendars",
    "obstore.store",
    "pgpq",
    "polars",
    "psycopg_pool",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic_settings",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "talib",
)
"""What a run imports of others; one that is not installed is passed over."""


class ForkedRunLauncher(RunLauncher, ConfigurableClass):
    """Starts runs on this machine; ``dagster.yaml`` names it."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._inst_data = inst_data
        self._context: ForkServerContext | None = None

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What ``dagster.yaml`` says of it."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return its configuration: there is none."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ForkedRunLauncher:
        """Return the launcher that ``dagster.yaml`` names."""
        return cls(inst_data, **config_value)

    def warm_up(self) -> None:
        """Begin the imports, so that not even the first run waits for them."""
        from multiprocessing import forkserver  # noqa: PLC0415 - only the daemon launches

        self._forks()
        forkserver.ensure_running()

    def _forks(self) -> ForkServerContext:
        if self._context is None:
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(list(_PRELOADED))
        return self._context

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start a run's process."""
        run_id = context.dagster_run.run_id
        reference = serialize_value(self._instance.get_ref())
        process = self._forks().Process(target=execute, args=(reference, run_id), name=run_id)
        process.start()
        self._instance.add_run_tags(run_id, {LAUNCHED_TAG: "forked", **process_tags(process.pid)})
        # the run goes on when this process ends, which would wait for it otherwise
        processes._children.discard(process)  # type: ignore[attr-defined] # noqa: SLF001

    def terminate(self, run_id: str) -> bool:
        """Ask a run to end; it is cancelled once its step has noticed.

        Returns
        -------
        bool
            Whether it was asked: not if it is over, or is in a process of another machine.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        host, mark = run.tags.get(HOST_TAG), run.tags.get(PROCESS_TAG, "")
        if host == socket.gethostname() and mark and lives(mark):
            with suppress(ProcessLookupError):
                os.kill(int(mark.partition("/")[0]), signal.SIGTERM)
                return True
        where = f"is on {host}" if host and host != socket.gethostname() else "is gone"
        self._instance.report_engine_event(f"The run's process {where}.", run, cls=type(self))
        return False


def execute(reference: str, run_id: str) -> None:
    """Execute a run in this process; how it ends is in the event log."""
    import dagster as dg  # noqa: PLC0415 - at hand by now
    from dagster._cli.api import _execute_run_command_body  # noqa: PLC0415
    from dagster._core.instance import InstanceRef  # noqa: PLC0415
    from dagster._utils.interrupts import capture_interrupts  # noqa: PLC0415

    collect_seldom()
    instance_ref = deserialize_value(reference, InstanceRef)
    with capture_interrupts(), dg.DagsterInstance.from_ref(instance_ref) as instance:
        _execute_run_command_body(
            run_id, instance, write_stream_fn=lambda _event: None, set_exit_code_on_failure=False
        )
