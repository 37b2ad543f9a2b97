"""Dagster's web server and daemon, as `make dev` starts them, and the API behind the pages."""

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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fin_lake.local.environment import variables
from fin_lake.local.processes import free_port
from fin_lake.operations.instance import prepare_dagster_home
from fin_lake.partitions import HourRange, hour_key
from fin_lake.settings import Settings

REPOSITORY = Path(__file__).parents[1]
SELECTOR = {"repositoryLocationName": "fin_lake", "repositoryName": "__repository__"}


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
    """The web server: its address, and its GraphQL API."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.address}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                result = json.load(answer)
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode(errors="replace"))  # what the server says of it
            raise
        assert "errors" not in result, result
        return result["data"]

    def backfill(
        self, assets: list[dict[str, Any]], hours: HourRange, seconds: float = 240
    ) -> tuple[str, str]:
        """Launch a backfill as the page does, wait for its end, and return its id and status."""
        launched = self.ask(
            """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
                ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            params={
                "assetSelection": assets,
                "partitionNames": [hour_key(hour) for hour in hours],
                "tags": [],
                "fromFailure": False,
            },
        )["launchPartitionBackfill"]
        return launched["backfillId"], self.end_of_backfill(launched["backfillId"], seconds)

    def backfills(self) -> list[str]:
        """Return the ids of the backfills, newest first."""
        asked = """{ partitionBackfillsOrError(limit: 20) {
            ... on PartitionBackfills { results { id } } } }"""
        return [one["id"] for one in self.ask(asked)["partitionBackfillsOrError"]["results"]]

    def end_of_backfill(self, backfill_id: str, seconds: float = 240) -> str:
        """Wait for the end of a backfill and return its status."""
        query = """query($id: String!) {
            partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""

        def over() -> str | None:
            status = str(self.ask(query, id=backfill_id)["partitionBackfillOrError"]["status"])
            return None if status in ("REQUESTED", "CANCELING", "FAILING") else status

        return str(wait_for("the backfill", over, seconds))

    def is_up(self) -> bool:
        try:
            return bool(self.ask("{ version }"))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@contextmanager
def dagster_dev(stack: Settings, log: Path) -> Iterator[Ui]:
    """Run `fin-lake dev` on a running stack until the context ends."""
    prepare_dagster_home(stack)
    port = free_port([])
    env = {k: v for k, v in {**os.environ, **variables(stack)}.items() if v is not None}
    command = [Path(sys.executable).with_name("fin-lake"), "dev", "-p", str(port)]
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
