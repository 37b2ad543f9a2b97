"""What a person does in the UI, with clicks and keys, in the order in which a person would."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fin_lake.definitions import EXTRACT_JOB
from fin_lake.local.environment import variables
from fin_lake.partitions import parse_hour
from fin_lake.settings import Settings
from fin_lake.warehouse.market import connect, ensure_schema
from fin_lake_tests.ui import SELECTOR, Ui, wait_for

pytestmark = pytest.mark.stack
HOUR = "2023-01-24-16:00"
DAYS = "[2023-01-24-00:00...2023-01-26-23:00]"
DROPPED = parse_hour("2023-01-30T19")  # among the hours that a sensor lists at every tick
SENSORS = ("raw_objects", "rebuild")


LAYERS = (
    "raw",
    "processed",
    "market",
    "technical_analysis",
    "portfolios",
    "reports",
    "deliveries",
    "snowflake",
    "spark",
    "ml",
)
SCREENSHOTS = Path(os.environ.get("FIN_LAKE_SCREENSHOTS", "screenshots"))
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (  # it looks for nothing outside of this machine, and runs as root too
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, f"no browser is installed: none of {', '.join(NAMES)}; try `apt-get install chromium`"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=list(OPTIONS))
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1900, "height": 1000})
    opened.set_default_timeout(60_000)
    yield opened
    opened.close()


def show(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def launch(page: Page, ui: Ui, partitions: str, button: str) -> None:
    """Materialize what the hourly job makes for some hours, from the job's graph."""
    page.goto(f"{ui.address}/locations/__repository__@fin_lake/jobs/{EXTRACT_JOB}")
    page.get_by_role("button", name="Materialize all").click()
    choice = page.get_by_placeholder("ex: ")
    choice.fill(partitions)
    choice.press("Enter")
    page.get_by_role("button", name=button).click()


def runs(ui: Ui) -> list[dict[str, str]]:
    """Return the runs, newest first, with their tags."""
    found = ui.ask(
        "{ runsOrError(limit: 40) { ... on Runs { results { runId status tags { key value } } } } }"
    )
    return [
        {"id": run["runId"], "status": run["status"], **{tag["key"]: tag["value"] for tag in run["tags"]}}
        for run in found["runsOrError"]["results"]
    ]


def ended(ui: Ui, known: set[str]) -> list[dict[str, str]]:
    """Return the runs that are not known, once there are some and all of them have ended."""
    fresh = [run for run in runs(ui) if run["id"] not in known]
    return fresh if all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in fresh) else []


def bars(settings: Settings, first: str, last: str) -> int:
    with psycopg.connect(settings.database()) as connection:
        sql = "select count(*) from market.stocks where timestamp >= %s and timestamp < %s"
        return connection.execute(sql, (parse_hour(first), parse_hour(last))).fetchone()[0]


def test_the_graph_shows_every_layer(ui: Ui, page: Page):
    page.goto(f"{ui.address}/asset-groups")
    for layer in LAYERS:
        expect(page.get_by_role("button", name=layer).first).to_be_visible()
    page.get_by_text("Updating asset data").wait_for(state="hidden")
    show(page, "graph")


def test_an_hour_is_materialized(ui: Ui, page: Page, stack: Settings):
    known = {run["id"] for run in runs(ui)}
    launch(page, ui, HOUR, "Launch 1 run")
    [run] = wait_for("the run of an hour", lambda: ended(ui, known))
    assert run["status"] == "SUCCESS"
    assert bars(stack, "2023-01-24T16", "2023-01-24T17") == 8
    page.goto(f"{ui.address}/runs/{run['id']}")
    expect(page.get_by_text("Success").first).to_be_visible()
    show(page, "run")
    page.goto(f"{ui.address}/assets/processed/stocks?view=partitions&partition={HOUR}")
    expect(page.get_by_text("Materialized").first).to_be_visible()
    show(page, "asset")


def test_three_days_are_backfilled(ui: Ui, page: Page, stack: Settings):
    known = ui.backfills()
    launch(page, ui, DAYS, "Launch backfill")
    [backfill] = wait_for("the backfill", lambda: [one for one in ui.backfills() if one not in known])
    assert ui.end_of_backfill(backfill, seconds=300) == "COMPLETED_SUCCESS"
    made = [run for run in runs(ui) if run.get("dagster/backfill") == backfill]
    assert {run["status"] for run in made} == {"SUCCESS"}
    assert len(made) < 12, "72 hours are a handful of runs"
    assert bars(stack, "2023-01-24", "2023-01-27") == 3 * 4 * 13
    page.goto(f"{ui.address}/runs/b/{backfill}")
    expect(page.get_by_text("Completed").first).to_be_visible()
    show(page, "backfill")


@pytest.fixture
def sensors_on(ui: Ui, page: Page) -> Iterator[None]:
    """Turn sensors on, each by the switch on its page, and off again."""
    for sensor in SENSORS:
        page.goto(f"{ui.address}/locations/__repository__@fin_lake/sensors/{sensor}")
        switch = page.locator("input[type=checkbox]").first
        switch.wait_for(state="attached")
        switch.evaluate("box => box.click()")  # what is seen lies over it
        expect(page.get_by_text("Running", exact=True).first).to_be_visible()
    show(page, "sensor")
    yield
    query = """mutation($id: String!) { stopSensor(id: $id) {
        __typename ... on PythonError { message } } }"""
    listed = """query($of: RepositorySelector!) { sensorsOrError(repositorySelector: $of) {
        ... on Sensors { results { id name } } } }"""
    for sensor in ui.ask(listed, of=SELECTOR)["sensorsOrError"]["results"]:
        if sensor["name"] in SENSORS:
            assert ui.ask(query, id=sensor["id"])["stopSensor"]["__typename"] == "StopSensorMutationResult"


@pytest.mark.usefixtures("sensors_on")
def test_a_dropped_file_reaches_the_tables(ui: Ui, page: Page, stack: Settings, tmp_path: Path):
    wait_for("the first ticks", lambda: all(ticked(ui, sensor) for sensor in SENSORS))
    with connect(stack.database()) as connection:
        ensure_schema(connection)
    drop(stack, tmp_path)

    def stored() -> bool:
        with psycopg.connect(stack.database()) as connection:
            sql = "select close_price from market.stocks where symbol = 'AAPL' and timestamp = %s"
            return connection.execute(sql, (DROPPED,)).fetchone() == (130.5,)

    wait_for("the dropped bar in PostgreSQL", stored, seconds=180)
    page.goto(f"{ui.address}/assets/market/stocks?view=events&partition={DROPPED:%Y-%m-%d-%H:00}")
    expect(page.get_by_text(f"{DROPPED:%Y-%m-%d-%H:00}").first).to_be_visible()
    show(page, "dropped")


def ticked(ui: Ui, sensor: str) -> bool:
    asked = """query($of: SensorSelector!) { sensorOrError(sensorSelector: $of) {
        ... on Sensor { sensorState { ticks(limit: 1) { status } } } } }"""
    state = ui.ask(asked, of={**SELECTOR, "sensorName": sensor})["sensorOrError"]["sensorState"]
    return any(tick["status"] in ("SKIPPED", "SUCCESS") for tick in state["ticks"])


def drop(stack: Settings, folder: Path) -> None:
    """Put a bar into raw with the aws command line, as anybody may."""
    bar = {
        "kind": "bar",
        "symbol": "AAPL",
        "timestamp": DROPPED.isoformat(),
        "interval": "30min",
        "open_price": 130.0,
        "high_price": 131.0,
        "low_price": 129.0,
        "close_price": 130.5,
        "volume": 1000,
        "source": "yahoo",
        "finished": True,
        "sampled": False,
        "split_factor": 1.0,
    }
    file = folder / "mine.json.gz"
    file.write_bytes(gzip.compress(json.dumps(bar).encode() + b"\n"))
    place = f"s3://{stack.bucket}/raw/stocks/{DROPPED:year=%Y/month=%m/day=%d/hour=%H}/mine.json.gz"
    env = {k: v for k, v in {**os.environ, **variables(stack)}.items() if v is not None}
    subprocess.run(
        ["aws", "s3", "cp", str(file), place], env=env, check=True, capture_output=True, timeout=60
    )
