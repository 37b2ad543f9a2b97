"""Hours through the real daemon, which the command starts and ends; and runs that were killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fin_lake.lake.raw import list_attempts
from fin_lake.lake.store import Lake
from fin_lake.operations.daemon import is_alive, log_of
from fin_lake.operations.hours import hour_states
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange, hour_key, hour_of_object
from fin_lake.settings import STACK_ENV, Settings
from fin_lake.tables import RAW
from fin_lake_tests.conftest import hours, own_stores
from fin_lake_tests.ui import wait_for

pytestmark = pytest.mark.stack
FIN_LAKE = Path(sys.executable).with_name("fin-lake")
FOUR_HOURS = hours("2023-01-04T15", 4)
POOL = "stock_sources"


class Lab:
    """The stack's services with stores and a home of the test's own, and one symbol."""

    def __init__(self, stack: Settings, home: Path) -> None:
        (home / STACK_ENV).write_text((stack.home / STACK_ENV).read_text())
        self.settings = own_stores(stack, home=home, stock_symbols=("AAPL",), hours_per_run=2)
        self._faults = stack.yahoo_base_url.removesuffix("/yahoo") + "/_replay/faults"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "FIN_LAKE_HOME": str(self.settings.home),
            "FIN_LAKE_DAGSTER_DATABASE_URL": self.settings.dagster_database(),
            "FIN_LAKE_DATABASE_URL": self.settings.database(),
            "AWS_S3_BUCKET_NAME": self.settings.bucket,
            "FIN_LAKE_STOCK_SYMBOLS": "AAPL",
            "FIN_LAKE_HOURS_PER_RUN": "2",
            "FIN_LAKE_HTTP_ATTEMPTS": "1",
            "FIN_LAKE_STEP_RETRIES": "0",
            "FIN_LAKE_HTTP_TIMEOUT_SECONDS": "120",
        }
        # whoever runs the tests in the background has them ignore a Ctrl-C
        command = ["env", "--default-signal=INT", FIN_LAKE, *arguments]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def backfill(self, *arguments: str) -> tuple[int, Any]:
        process = self.start("backfill", "--json", *span_of(FOUR_HOURS), *arguments)
        out, err = process.communicate(timeout=240)
        assert "Traceback" not in err, err
        log = log_of(self.settings)
        assert out, f"{err}\n{log.read_text()[-3000:] if log.exists() else 'no log'}"
        return process.returncode, json.loads(out)

    def extract(self, span: HourRange = FOUR_HOURS) -> subprocess.Popen[str]:
        return self.start("extract", *span_of(span), "--stocks", "--no-analytics")

    def fault(self, source: str, kind: str, **more: Any) -> None:
        """Spoil answers of the replay."""
        body = json.dumps({"source": source, "kind": kind, **more}).encode()
        request = urllib.request.Request(self._faults, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request).close()

    def faults(self) -> list[Any]:
        """Return the faults that are still to come."""
        with urllib.request.urlopen(self._faults) as answer:
            found: list[Any] = json.load(answer)
        return found

    def clear_faults(self) -> None:
        urllib.request.urlopen(urllib.request.Request(self._faults, method="DELETE")).close()


def span_of(span: HourRange) -> list[str]:
    return ["--from", span.start.isoformat(), "--to", span.end.isoformat()]


@pytest.fixture
def lab(stack: Settings, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(stack, tmp_path)
    yield made
    made.clear_faults()


@pytest.fixture
def instance(lab: Lab) -> Iterator[dg.DagsterInstance]:
    with open_instance(lab.settings) as opened:
        yield opened


def states(lab: Lab, instance: dg.DagsterInstance, asset_class: str) -> list[str]:
    return hour_states(instance, lab.settings, FOUR_HOURS, [asset_class])["state"].to_list()


def attempts(lab: Lab) -> Mapping[str, int]:
    """Return how often each hour of stocks was fetched."""
    listed = list_attempts(Lake(lab.settings), RAW["stocks"], FOUR_HOURS)
    return Counter(hour_key(hour_of_object(info.key)) for info in listed)


def test_a_chunk_that_fails_does_not_stop_the_others_and_is_taken_up_again_alone(
    lab: Lab, instance: dg.DagsterInstance
):
    # the sources are asked by one run at a time: both faults are the first run's
    lab.fault("alpha_vantage", "server_error")
    lab.fault("yahoo", "server_error")
    both = ("--select", '+key:"market/stocks"', "--select", '+key:"market/crypto"')
    status, report = lab.backfill(*both)
    assert status == 1
    assert report["status"] == "COMPLETED_FAILED"
    assert "raw/stocks: no source answered for any symbol" in "\n".join(report["failures"])
    assert states(lab, instance, "crypto") == ["done"] * 4
    assert sorted(states(lab, instance, "stocks")) == ["done", "done", "failed", "failed"]
    assert sorted(attempts(lab).values()) == [1, 1]

    status, report = lab.backfill("--failed", *both)
    assert (status, report["failures"]) == (0, [])
    tables_of_stocks = 5  # raw, processed, quarantine, corporate actions, and bars in PostgreSQL
    assert (report["made"], report["asked"]) == (2 * tables_of_stocks, 2 * tables_of_stocks)
    assert len(report["run_ids"]) == 1
    assert states(lab, instance, "stocks") == ["done"] * 4
    assert list(attempts(lab).values()) == [1, 1, 1, 1]
    assert not is_alive(instance), "the daemon that the command started is gone"

    status, _ = (done := lab.start("backfill", "--failed", *span_of(FOUR_HOURS))).wait(60), done.communicate()
    assert status == 0, "nothing is left to do"


def test_two_extracts_at_once_never_ask_a_source_at_the_same_time(lab: Lab, instance: dg.DagsterInstance):
    lab.fault("yahoo", "slow", seconds=1, times=2)
    running = [lab.extract(), lab.extract()]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
    fetched = []
    for run in instance.get_runs():
        stats = {step.step_key: step for step in instance.get_run_step_stats(run.run_id)}
        fetched.append((stats["raw__stocks"].start_time, stats["raw__stocks"].end_time))
    (_, first_end), (second_start, _) = sorted(fetched)
    assert first_end <= second_start


def status_of(instance: dg.DagsterInstance, backfill_id: str) -> str:
    return str(instance.get_backfill(backfill_id).status.value)


def test_who_stops_watching_leaves_the_backfill_which_can_be_cancelled(
    lab: Lab, instance: dg.DagsterInstance
):
    lab.fault("yahoo", "timeout", seconds=120)
    watching = lab.start("backfill", *span_of(FOUR_HOURS), "--select", "raw/stocks")
    wait_for("a run", lambda: instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])))
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=30)
    assert watching.returncode == 130, out + err
    backfill_id = re.search(r"fin-lake backfill --cancel (\w+)", out)[1]
    assert status_of(instance, backfill_id) == "REQUESTED"

    cancelling = lab.start("backfill", "--cancel", backfill_id)
    out, err = cancelling.communicate(timeout=30)
    assert cancelling.returncode == 0, out + err
    wait_for("the end", lambda: status_of(instance, backfill_id) == "CANCELED")
    assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.CANCELED}
    wait_for("the daemon's end", lambda: not is_alive(instance))

    again = lab.start("backfill", "--cancel", backfill_id)
    _, err = again.communicate(timeout=30)
    assert again.returncode == 1
    assert f"backfill {backfill_id} is over: CANCELED" in err


def test_a_detached_backfill_is_made_by_a_daemon_that_outlives_the_command(
    lab: Lab, instance: dg.DagsterInstance
):
    started = lab.start("backfill", *span_of(FOUR_HOURS), "--select", "raw/stocks", "--detach")
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0, out + err
    backfill_id = re.search(r"fin-lake backfill --cancel (\w+)", out)[1]
    wait_for("the end", lambda: status_of(instance, backfill_id) == "COMPLETED_SUCCESS")
    assert list(attempts(lab).values()) == [1, 1, 1, 1]
    wait_for("the daemon's end", lambda: not is_alive(instance))


def test_a_pool_that_is_there_already_is_no_failure(instance: dg.DagsterInstance):
    for _ in range(2):
        assert instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)
    assert instance.event_log_storage.get_concurrency_info(POOL).slot_count == 1


def test_the_one_slot_of_a_pool_is_claimed_once(instance: dg.DagsterInstance):
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(POOL)
    together = threading.Barrier(4)

    def claim(run: str) -> bool:
        together.wait()
        return storage.claim_concurrency_slot(POOL, run, "step").is_claimed

    with ThreadPoolExecutor(4) as pool:
        for turn in range(20):
            runs = [f"run-{turn}-{number}" for number in range(4)]
            for run in runs:  # as those that looked for a free slot at the same moment
                storage.add_pending_step(POOL, run, "step", should_assign=True)
            assert sum(pool.map(claim, runs)) == 1
            for run in runs:
                storage.free_concurrency_slot_for_step(run, "step")


def hanging_extract(lab: Lab, instance: dg.DagsterInstance) -> tuple[subprocess.Popen[str], str]:
    """Return an extract that waits for an answer, and holds the slot of its pool, and its run."""
    lab.fault("yahoo", "timeout", seconds=120)
    process = lab.extract()
    storage = instance.event_log_storage
    slot = wait_for("the slot", lambda: next(iter(storage.get_concurrency_info(POOL).claimed_slots), None))
    wait_for("the request that hangs", lambda: not lab.faults())
    return process, slot.run_id


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def test_after_a_killed_extract_the_next_one_does_not_wait(lab: Lab, instance: dg.DagsterInstance):
    killed, run_id = hanging_extract(lab, instance)
    kill(killed)
    out, err = (again := lab.extract()).communicate(timeout=60)
    assert again.returncode == 0, out + err
    assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE
    assert states(lab, instance, "stocks") == ["done"] * 4


def test_an_extract_that_waits_for_one_that_is_killed_goes_on(lab: Lab, instance: dg.DagsterInstance):
    killed, run_id = hanging_extract(lab, instance)
    waiting = lab.extract()
    storage = instance.event_log_storage
    wait_for("the other's turn", lambda: len(storage.get_concurrency_info(POOL).pending_steps) == 2)
    assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.STARTED, "who lives is left alone"
    kill(killed)
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, out + err
    assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE
