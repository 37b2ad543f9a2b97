"""The stack is killed in the middle of an extract: nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from fin_lake.lake.processed import read_hours
from fin_lake.lake.raw import read_attempts
from fin_lake.lake.store import Lake, LakeError
from fin_lake.local.stack import Stack
from fin_lake.partitions import stock_session_hours
from fin_lake.settings import Settings, load_settings
from fin_lake.tables import PROCESSED, RAW
from fin_lake_tests.conftest import hours

pytestmark = pytest.mark.stack
FIN_LAKE = Path(sys.executable).with_name("fin-lake")
WEEK = hours("2023-01-09T00", 120)


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory):
    """A stack that nobody else needs."""
    home = tmp_path_factory.mktemp("crash")
    stack = Stack(load_settings(home=home))
    stack.start()
    yield stack, load_settings(home=home)
    stack.stop()


def start_extract(settings: Settings) -> subprocess.Popen[str]:
    env = {**os.environ, "FIN_LAKE_HOME": str(settings.home)}
    command = [FIN_LAKE, "extract", "--from", WEEK.start.isoformat(), "--to", WEEK.end.isoformat()]
    command.append("--no-analytics")  # the hours are killed here; builds are repeated elsewhere
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_objects(settings: Settings, prefix: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if len(Lake(settings).list_objects([prefix])) >= count:
                return
        except LakeError:
            continue
    pytest.fail(f"no {count} objects under {prefix}")


def kill_everything(stack: Stack) -> None:
    for service in stack.status(notes=False).services:
        if service.pid:
            os.kill(service.pid, signal.SIGKILL)


@pytest.mark.parametrize("stage", ["raw/crypto/", "processed/"])
def test_killed_in_the_middle_then_again(own_stack, stage):
    stack, settings = own_stack
    before = len(Lake(settings).list_objects([stage]))
    running = start_extract(settings)
    wait_for_objects(settings, stage, before + 10 if stage.startswith("raw") else 30)
    kill_everything(stack)
    out, err = running.communicate(timeout=180)
    assert running.returncode != 0
    assert "Traceback" not in out + err, err[-3000:]

    stack.start()
    out, err = start_extract(settings).communicate(timeout=180)
    assert "failed" not in out, out + err

    lake = Lake(settings)
    bars = read_hours(lake, PROCESSED["stocks"], WEEK)
    assert bars.height == 4 * 13 * 5
    assert not bars.select(PROCESSED["stocks"].key).is_duplicated().any()
    with psycopg.connect(settings.database()) as connection:
        sql = "select symbol, timestamp, volume from market.stocks where timestamp >= %s and timestamp < %s"
        rows = connection.execute(sql, (WEEK.start, WEEK.end)).fetchall()
    assert sorted(rows) == sorted(bars.select("symbol", "timestamp", "volume").rows())
    coins = read_hours(lake, PROCESSED["crypto"], WEEK)
    assert coins.height == coins.select(PROCESSED["crypto"].key).unique().height > 100
    raw = read_attempts(lake, RAW["stocks"], WEEK)
    assert set(raw["raw_hour"]) >= stock_session_hours(WEEK)
