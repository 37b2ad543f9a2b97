"""Runs and backfills launched through the UI's own API, by the real web server and daemon."""

from __future__ import annotations

import psycopg
import pytest

from fin_lake.partitions import HOUR, hour_key, parse_hour
from fin_lake.settings import Settings
from fin_lake.tables import TABLES_BY_ASSET
from fin_lake_tests.conftest import hours
from fin_lake_tests.ui import SELECTOR, Ui, wait_for

pytestmark = pytest.mark.stack
# bars and corporate actions: a day's backfill of indicators reaches on to the hours that look back to it
ASSETS = [
    {"path": name.split("/")}
    for name in TABLES_BY_ASSET
    if name.partition("/")[0] in ("raw", "processed", "quarantine", "market") and name.count("/") == 1
]


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
    backfill_id, done = ui.backfill(ASSETS, day)
    assert done == "COMPLETED_SUCCESS"
    assert count(stack, day.start, day.end) == 4 * 13
    runs = ui.ask("{ runsOrError(limit: 50) { ... on Runs { results { tags { key value } } } } }")
    tagged = [{t["key"]: t["value"] for t in run["tags"]} for run in runs["runsOrError"]["results"]]
    of_backfill = [tags for tags in tagged if tags.get("dagster/backfill") == backfill_id]
    assert len(of_backfill) == 1, "24 hours of all tables are one run"


def count(settings: Settings, start, end) -> int:
    with psycopg.connect(settings.database()) as connection:
        sql = "select count(*) from market.stocks where timestamp >= %s and timestamp < %s"
        return connection.execute(sql, (start, end)).fetchone()[0]
