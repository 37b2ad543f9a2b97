"""Runs whose process is gone, as after a kill -9 or a power cut: told from others, and reported as failed.

Dagster itself takes such a run for a running one, for ever: it would keep its place in the queue and
its slots in pools. Every run of ours is tagged with the process that executes it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan

HOST_TAG: Final = "fin_lake/host"
PROCESS_TAG: Final = "fin_lake/process"
_PROC: Final = Path("/proc")


def process_tags(pid: int | None = None) -> dict[str, str]:
    """Return the tags of a run that a process executes, by default this one; none without ``/proc``."""
    mark = _mark(pid or os.getpid())
    return {HOST_TAG: socket.gethostname(), PROCESS_TAG: mark} if mark else {}


def report_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs of this host whose process is gone as failed, and free their slots.

    Returns
    -------
    list of str
        Their ids.
    """
    unfinished = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.CANCELING, *IN_PROGRESS_RUN_STATUSES],
        tags={HOST_TAG: socket.gethostname()},
    )
    dead = [run for run in instance.get_runs(filters=unfinished) if not lives(run.tags.get(PROCESS_TAG, ""))]
    for run in dead:
        instance.report_run_failed(
            run, message="The process of this run is gone: it was killed, or lost power."
        )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


class MarkedInProcessExecutor(InProcessExecutor):
    """Dagster's executor in one process, which leaves the process's tags on the run."""

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Tag the run, then execute it."""
        plan_context.instance.add_run_tags(plan_context.run_id, process_tags())
        yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_process", config_schema={})
def marked_in_process_executor(_init_context: dg.InitExecutorContext) -> InProcessExecutor:
    """Return the executor; retries are Dagster's default."""
    from dagster._core.execution.retries import RetryMode  # noqa: PLC0415

    return MarkedInProcessExecutor(retries=RetryMode.ENABLED)


def _mark(pid: int) -> str:
    """Return what tells a process from others that had or will have its number; empty if it is gone."""
    with suppress(OSError, IndexError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        state, started = fields[0], fields[19]  # jiffies since the boot, field 22 of proc(5)
        return "" if state in "ZX" else f"{pid}/{started}/{boot}"
    return ""


def lives(mark: str) -> bool:
    """Say whether the process of a tag is there; one that is not named is taken to be."""
    pid = mark.partition("/")[0]
    # a run that is not marked yet has no process that could be gone
    return not pid.isdecimal() or _mark(int(pid)) == mark
