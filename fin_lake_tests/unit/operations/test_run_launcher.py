"""Runs in processes of their own: who may be asked to end, and what is said of the others."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping

import dagster as dg
import pytest

from fin_lake.operations.dead_runs import HOST_TAG, PROCESS_TAG, process_tags
from fin_lake.operations.dev_command import DevError, _run_all

LAUNCHER = {"module": "fin_lake.operations.run_launcher", "class": "ForkedRunLauncher"}


@dg.op
def nothing() -> None: ...


@dg.job
def idle() -> None:
    nothing()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(overrides={"run_launcher": LAUNCHER}) as made:
        yield made


def started(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> str:
    status = dg.DagsterRunStatus.STARTED
    return instance.create_run_for_job(idle, tags=dict(tags), status=status).run_id


def said(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.message for entry in instance.all_logs(run_id)]


def test_a_runs_process_is_asked_to_end(instance: dg.DagsterInstance):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        run_id = started(instance, process_tags(process.pid))
        assert instance.run_launcher.terminate(run_id)
        assert process.wait(10) == -15
    assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.CANCELING


def test_a_run_on_another_machine_is_not_taken_for_a_process_of_this_one(instance: dg.DagsterInstance):
    mark = process_tags()[PROCESS_TAG]
    run_id = started(instance, {HOST_TAG: "elsewhere", PROCESS_TAG: mark})
    assert not instance.run_launcher.terminate(run_id)
    assert said(instance, run_id)[-1].endswith("The run's process is on elsewhere.")


def test_another_process_that_has_got_the_number_is_left_alone(instance: dg.DagsterInstance):
    pid, _started, boot = process_tags()[PROCESS_TAG].split("/")
    run_id = started(instance, {HOST_TAG: socket.gethostname(), PROCESS_TAG: f"{pid}/1/{boot}"})
    assert not instance.run_launcher.terminate(run_id)
    assert said(instance, run_id)[-1].endswith("The run's process is gone.")


def test_a_service_that_ends_by_itself_ends_the_others_and_is_named():
    sleeper = ["timeit", "-n1", "-r1", "-s", "import time", "time.sleep(60)"]
    with pytest.raises(DevError, match="the daemon ended with exit status 1"):
        _run_all({"the web server": sleeper, "the daemon": ["no_such_module"]})
