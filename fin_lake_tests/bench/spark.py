"""Cleaning ranges of hours in one process and on Spark: seconds by size and workers, and where Spark wins.

Synthetic bars (seeded random walks) lie in the local S3 as raw objects. Each way is a process of its own,
its start included, as a run has it; ways alternate. The cluster is standalone, its workers have a core each:
on a machine of two cores, two workers, the driver and S3 share them.

    python -m fin_lake_tests.bench.spark [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from fin_lake.engines.spark.submit import RESULTS_PREFIX, Spark, arguments_of
from fin_lake.lake.raw import RawAttempt, write_attempt
from fin_lake.lake.store import Lake
from fin_lake.local.stack import Stack
from fin_lake.partitions import HOUR, HourRange, parse_hour
from fin_lake.settings import Settings, environment, load_settings
from fin_lake.tables import RAW
from fin_lake_tests.spark_cluster import spark_cluster
from fin_lake_tests.synthetic import synthetic_records

RESULTS = Path("bench-spark.json")
START: Final = parse_hour("2023-01-02")
SIZES: Final = ((5, 15), (28, 100), (28, 1_000), (28, 4_000))
"""Days, and symbols with a bar every half hour of trading."""
ALONE: Final = "one process"
_ALONE: Final = """
import sys
from fin_lake.checks.processing import process, tables_of
from fin_lake.lake.frames import by_hour, fitting
from fin_lake.lake.processed import write_hours
from fin_lake.lake.raw import read_attempts
from fin_lake.lake.store import Lake
from fin_lake.partitions import HourRange
from fin_lake.settings import load_settings
from fin_lake.tables import RAW
settings, hours = load_settings(), HourRange.between_keys(*sys.argv[1:])
lake = Lake(settings)
made = process(read_attempts(lake, RAW["stocks"], hours), "stocks", hours, settings.symbols("stocks"))
for name, table in tables_of("stocks").items():
    write_hours(lake, table, hours, by_hour(fitting(made.frames[name], table, hours), table.hour_column))
"""


def seconds(command: list[str], env: dict[str, str]) -> float:
    """Return how long a process takes from its start to its end."""
    started = time.perf_counter()
    subprocess.run(command, env=env, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(settings: Settings, hours: HourRange, master: str) -> float:
    """Clean the hours once, in one process or by Spark."""
    if master == ALONE:
        command = [sys.executable, "-W", "ignore", "-c", _ALONE, hours.first_key, hours.last_key]
        return seconds(command, {**os.environ, **environment(settings)})
    conf = {"spark.executor.memory": "1g", "spark.driver.memory": "512m"}
    settings = settings.model_copy(update={"spark_master": master, "spark_conf": conf})
    results = f"{RESULTS_PREFIX}bench.json"
    request = {"asset_class": "stocks", "first": hours.first_key, "last": hours.last_key, "results": results}
    told = seconds(*Spark(settings).submission(arguments_of(settings, "reprocess", request)))
    Lake(settings).get(results)  # it is there only if the job did what it was asked to
    return told


def main(rounds: int) -> None:
    """Measure and show."""
    console = Console()
    taken: dict[str, dict[str, list[float]]] = {}
    rows: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stack = Stack(load_settings(home=home))
        stack.start()
        try:
            settings = load_settings(home=home, start=START)
            for days, symbols in SIZES:
                hours = HourRange(START, START + days * 24 * HOUR)
                records = synthetic_records("stocks", hours, [f"S{n}" for n in range(symbols)])
                size = f"{days} days, {symbols:,} symbols"
                rows[size] = records.height
                attempt = RawAttempt(records, frozenset(hours), hours.end)
                write_attempt(Lake(settings), RAW["stocks"], attempt)
                taken[size] = {}
                for workers in (1, 2):
                    place = home / f"{days}-{symbols}-{workers}"
                    place.mkdir()
                    with spark_cluster(place, workers, memory="2g") as cluster:
                        for _ in range(rounds):
                            for way, master in ((ALONE, ALONE), (f"{workers} workers", cluster.url)):
                                taken[size].setdefault(way, []).append(measure(settings, hours, master))
        finally:
            stack.stop()
    _show(console, taken, rows)
    RESULTS.write_text(
        json.dumps(
            {
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
                "versions": {name: version(name) for name in ("pyspark", "polars", "pyarrow")},
                "rows": rows,
                "seconds": taken,
            },
            indent=2,
        )
    )
    console.print(f"written to {RESULTS}")


def _show(console: Console, taken: dict[str, dict[str, list[float]]], rows: dict[str, int]) -> None:
    table = Table(title="raw to processed: median seconds, and × one process")
    for head in ("stock bars", "rows", ALONE, "1 worker", "2 workers"):
        table.add_column(head, justify="left" if head == "stock bars" else "right")
    points: list[tuple[float, float, float]] = []
    for size, ways in taken.items():
        alone, one, two = (statistics.median(ways[way]) for way in (ALONE, "1 workers", "2 workers"))
        table.add_row(
            size,
            f"{rows[size]:,}",
            f"{alone:.1f}",
            *(f"{spark:.1f}  {spark / alone:.2f} ×" for spark in (one, two)),
        )
        points.append((rows[size], alone, min(one, two)))
    console.print(table)
    console.print(_crossover(points))


def _crossover(points: list[tuple[float, float, float]]) -> str:
    """Say from how many rows on Spark is quicker, by the line through the two largest sizes."""
    (less, alone_before, spark_before), (more, alone, spark) = points[-2:]
    gained = ((alone - alone_before) - (spark - spark_before)) / (more - less)  # seconds a row
    if gained <= 0:
        return "Spark is quicker at no size: on this machine its workers, driver and S3 share the cores"
    at = more + (spark - alone) / gained
    measured = "measured" if at <= more else "by the line through the two largest sizes"
    return f"Spark is quicker from about {at:,.0f} rows a run on ({measured})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    main(parser.parse_args().rounds)
