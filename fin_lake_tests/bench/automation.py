"""Speed of what runs by itself: loading the definitions, ticks over five years of hours, backfills.

*Definitions* are loaded in fresh processes, beside a bare ``import dagster``; rounds alternate. *Ticks*
are Dagster's evaluation of the conditions with every hour of five years made, and the sensor's listing.
*Backfills* go through the daemon, launched by the UI's own API: 720 hours of the whole graph, and beside
them hours of raw and processed alone with a run for each, as Dagster does by default.

    python -m fin_lake_tests.bench.automation [--rounds 5] [--hours 720] [--single 8]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console
from rich.table import Table

from fin_lake.automation.sensors import build_sensors
from fin_lake.definitions import EXTRACT_JOB, build_definitions
from fin_lake.local.stack import Stack
from fin_lake.partitions import HOUR, HourRange, hour_key, parse_hour
from fin_lake.settings import Settings, load_settings
from fin_lake_tests.ui import Ui, dagster_dev

RESULTS = Path("bench-automation.json")
FIVE_YEARS = 43_800
_LOAD = """
import sys, time
started = time.perf_counter()
{what}
print(time.perf_counter() - started, len(sys.modules))
"""
_OF_AN_HOUR = ("raw", "processed", "quarantine")
_BARE = "import dagster"
_OURS = "from fin_lake.definitions import defs; defs()"


def load(what: str) -> tuple[float, int]:
    """Return the seconds and modules that something costs in a fresh process."""
    command = [sys.executable, "-W", "ignore", "-c", _LOAD.format(what=what)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, modules = done.stdout.split()
    return float(seconds), int(modules)


def loading(rounds: int) -> dict[str, Any]:
    """Measure the definitions beside ``import dagster``."""
    taken: dict[str, list[tuple[float, int]]] = {"import dagster": [], "definitions": []}
    for _ in range(rounds + 1):  # one to warm up
        taken["import dagster"].append(load(_BARE))
        taken["definitions"].append(load(_OURS))
    return {
        name: {"seconds": statistics.median(s for s, _ in each[1:]), "modules": each[-1][1]}
        for name, each in taken.items()
    }


def ticks(rounds: int) -> dict[str, float]:
    """Measure an evaluation of the conditions with five years of hours made, one of them anew."""
    start = parse_hour("2021-01-01")
    settings = load_settings(start="2021-01-01", now=(start + FIVE_YEARS * HOUR).isoformat())
    definitions = build_definitions(settings)
    keys = definitions.resolve_asset_graph().materializable_asset_keys
    with dg.DagsterInstance.ephemeral() as instance:
        hours = [hour_key(start + i * HOUR) for i in range(FIVE_YEARS)]
        for key in keys:
            for hour in hours[:: len(hours) // 200]:
                instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=hour))
        cursor = dg.evaluate_automation_conditions(definitions, instance).cursor
        idle, busy = [], []
        for i in range(rounds):
            gc.collect()
            started = time.perf_counter()
            cursor = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor).cursor
            idle.append(time.perf_counter() - started)
            raw = dg.AssetMaterialization(["raw", "stocks"], partition=hours[i])
            instance.report_runless_asset_event(raw)
            started = time.perf_counter()
            cursor = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor).cursor
            busy.append(time.perf_counter() - started)
    return {"idle": statistics.median(idle), "with an hour of raw made": statistics.median(busy)}


def listing(settings: Settings, rounds: int) -> float:
    """Measure a tick of the sensor that lists, on the lake that the backfill has left."""
    [sensor] = [one for one in build_sensors(settings) if one.name == "raw_objects"]
    taken, cursor = [], None
    with dg.DagsterInstance.get() as instance:
        for _ in range(rounds + 1):
            started = time.perf_counter()
            with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
                cursor = sensor(context).cursor
            taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def backfill(ui: Ui, hours: HourRange, assets: list[dict[str, Any]]) -> float:
    """Return the seconds from the launch of a backfill to its end."""
    started = time.monotonic()
    _, status = ui.backfill(assets, hours, seconds=3_000)
    if status != "COMPLETED_SUCCESS":
        raise RuntimeError(f"the backfill of {hours} ended as {status}")
    return time.monotonic() - started


def backfills(home: Path, count: int, single: int, rounds: int) -> dict[str, float]:
    """Measure a backfill in long runs, hours in runs of their own, and the listing on what came of it."""
    first = parse_hour("2022-12-31T21")  # 720 hours before the recording's end
    os.environ.update(FIN_LAKE_HOME=str(home), FIN_LAKE_START=hour_key(first))
    stack = Stack(load_settings())
    stack.start()
    taken = {}
    try:
        settings = load_settings()
        for name, hours, a_run in (
            (f"{count} hours, {settings.hours_per_run} a run", HourRange(first, first + count * HOUR), None),
            (f"{single} hours, one a run", HourRange(first, first + single * HOUR), "1"),
        ):
            if a_run:
                os.environ["FIN_LAKE_HOURS_PER_RUN"] = a_run
            with dagster_dev(load_settings(), home / "dagster.log") as ui:
                # alone, hours of indicators would take all later ones along, each in a run of its own
                keys = (
                    build_definitions(settings).resolve_job_def(EXTRACT_JOB).asset_layer.executable_asset_keys
                )
                assets = [{"path": key.path} for key in keys if not a_run or key.path[0] in _OF_AN_HOUR]
                taken[name] = backfill(ui, hours, assets)
            os.environ.pop("FIN_LAKE_HOURS_PER_RUN", None)
        os.environ["DAGSTER_HOME"] = str(home / "dagster")
        os.environ["FIN_LAKE_DAGSTER_DATABASE_URL"] = settings.dagster_database()
        taken["a tick of the listing sensor"] = listing(settings, rounds)
    finally:
        stack.stop()
    return taken


def main(rounds: int, count: int, single: int) -> None:
    """Measure, print, and leave the figures in ``bench-automation.json``."""
    console = Console()
    loaded, evaluated = loading(rounds), ticks(rounds)
    with tempfile.TemporaryDirectory() as folder:
        made = backfills(Path(folder), count, single, rounds)
    RESULTS.write_text(json.dumps({"loading": loaded, "ticks": evaluated, "backfills": made}, indent=2))
    table = Table(title="what runs by itself")
    for name, options in (("work", {}), ("seconds", {"justify": "right"}), ("", {"justify": "right"})):
        table.add_column(name, **options)  # type: ignore[arg-type]
    for name, one in loaded.items():
        table.add_row(f"load: {name}", f"{one['seconds']:.2f}", f"{one['modules']:,} modules")
    for name, seconds in evaluated.items():
        table.add_row(f"evaluate the conditions at {FIVE_YEARS:,} hours, {name}", f"{seconds:.2f}", "")
    (many, long), (few, short) = list(made.items())[:2]
    table.add_row(f"backfill: {many}", f"{long:.1f}", f"{long / count * 1000:.0f} ms an hour")
    ratio = (short / single) / (long / count)
    table.add_row(f"backfill: {few}", f"{short:.1f}", f"{ratio:.1f} × as long an hour")
    table.add_row("a tick of the listing sensor", f"{made['a tick of the listing sensor']:.2f}", "")
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hours", type=int, default=720)
    parser.add_argument("--single", type=int, default=8)
    asked = parser.parse_args()
    main(asked.rounds, asked.hours, asked.single)
