"""Runs and backfills launched through the UI's own API, by the real web server and daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fin_lake.local.environment import variables
from fin_lake.local.processes import free_port
from fin_lake.operations.instance import prepare_dagster_home
from fin_lake.partitions import HOUR, hour_key, parse_hour
from fin_lake.settings import Settings
from fin_lake.tables import TABLES_BY_ASSET
from fin_lake_tests.conftest import hours

pytestmark = pytest.mark.stack
REPOSITORY = Path(__file__).parents[2]
SELECTOR = {"repositoryLocationName": "fin_lake", "repositoryName": "__repository__"}
# bars and corporate actions: a day's backfill of indicators reaches on to the hours that look back to it
ASSETS = [
    {"path": name.split("/")}
    for name in TABLES_BY_ASSET
    if name.partition("/")[0] in ("raw", "processed", "quarantine", "market") and name.count("/") == 1
]


def wait_for(what: str, look: Callable[[], Any], seconds: float = 120) -> Any:
    """Poll until ``look`` finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)  # between two looks, not for something to happen
    pytest.fail(f"{what}: not within {seconds} s")


class Ui:
    """The web server's GraphQL API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            result = json.load(answer)
        assert "errors" not in result, result
        return result["data"]

    def is_up(self) -> bool:
        try:
            return bool(self.ask("{ version }"))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@pytest.fixture(scope="module")
def ui(stack: Settings, tmp_path_factory) -> Iterator[Ui]:
    """`dagster dev`, as `make dev` starts it."""
    prepare_dagster_home(stack)
    port = free_port([])
    set_, log = variables(stack), tmp_path_factory.mktemp("ui") / "dagster.log"
    env = {k: v for k, v in {**os.environ, **set_}.items() if v is not None}
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-w",
        "workspace.yaml",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            ui = Ui(port)
            wait_for(f"the UI ({log})", ui.is_up)
            yield ui
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def test_the_code_location_loads_with_all_assets(ui: Ui):
    nodes = ui.ask("{ assetNodes { assetKey { path } isPartitioned groupName } }")["assetNodes"]
    assert [node["assetKey"] for node in nodes if node["isPartitioned"]] != []
    found = {tuple(node["assetKey"]["path"]) for node in nodes}
    assert {tuple(asset["path"]) for asset in ASSETS} <= found
    assert {("aggregations", "daily_ohlcv"), ("reports", "daily_market_summary")} <= found


def test_an_hour_is_materialized_from_the_ui(ui: Ui, stack: Settings):
    at = parse_hour("2023-01-17T16")
    launched = ui.ask(
        """mutation Launch($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
        params={
            "selector": {**SELECTOR, "pipelineName": "extract", "assetSelection": ASSETS},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": hour_key(at)}]},
            "runConfigData": {},
            "mode": "default",
        },
    )["launchPipelineExecution"]
    run_id = launched["run"]["runId"]
    status = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    done = wait_for(
        "the run",
        lambda: (s := ui.ask(status, id=run_id)["runOrError"]["status"]) in ("SUCCESS", "FAILURE") and s,
    )
    assert done == "SUCCESS"
    assert count(stack, at, at + HOUR) == 8


def test_a_day_is_backfilled_from_the_ui(ui: Ui, stack: Settings):
    day = hours("2023-01-18T00", 24)
    launched = ui.ask(
        """mutation Launch($params: LaunchBackfillParams!) {
            launchPartitionBackfill(backfillParams: $params) {
            __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
        params={
            "assetSelection": ASSETS,
            "partitionNames": [hour_key(hour) for hour in day],
            "tags": [],
            "fromFailure": False,
        },
    )["launchPartitionBackfill"]
    status = """query($id: String!) {
        partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""
    final = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "COMPLETED", "CANCELED")
    done = wait_for(
        "the backfill",
        lambda: (
            (s := ui.ask(status, id=launched["backfillId"])["partitionBackfillOrError"]["status"]) in final
            and s
        ),
        seconds=240,
    )
    assert done == "COMPLETED_SUCCESS"
    assert count(stack, day.start, day.end) == 4 * 13
    runs = ui.ask("{ runsOrError(limit: 50) { ... on Runs { results { tags { key value } } } } }")
    tagged = [{t["key"]: t["value"] for t in run["tags"]} for run in runs["runsOrError"]["results"]]
    of_backfill = [tags for tags in tagged if tags.get("dagster/backfill") == launched["backfillId"]]
    assert len(of_backfill) == 1, "24 hours of all tables are one run"


def count(settings: Settings, start, end) -> int:
    with psycopg.connect(settings.database()) as connection:
        sql = "select count(*) from market.stocks where timestamp >= %s and timestamp < %s"
        return connection.execute(sql, (start, end)).fetchone()[0]
