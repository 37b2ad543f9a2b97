"""Speed of the analytics layer: builds of the models, and what the local Athena adds to DuckDB.

Builds run in this process, as a Dagster run makes them, after one that warms everything. The query's
rounds alternate between Athena's API and DuckDB itself on a copy of the same file.

    python -m fin_lake_tests.bench.analytics [--rounds 3]
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table as RichTable

from fin_lake.analytics.project import PROJECT, load_manifest
from fin_lake.analytics.runner import run_dbt
from fin_lake.lake.store import Lake
from fin_lake.local.stack import Stack
from fin_lake.operations.athena import Athena
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange
from fin_lake.settings import Settings, load_settings
from fin_lake.tables import ASSET_CLASSES

RESULTS = Path("bench-analytics.json")
ROWS = 2_000_000
BARS = (
    "select 'S' || cast(x % 500 as varchar) as symbol, x % 390 as minute, x * 0.01e0 as price,"
    f" (x * 7919) % 1000 as volume from unnest(sequence(1, {ROWS})) as t(x)"
)
QUERY = (
    "select symbol, min(price) as low, max(price) as high, count(*) as n,"
    " sum(price * volume) / sum(volume) as vwap from {}"
    " where minute between 10 and 380 group by symbol order by symbol"
)


def seconds(do: Callable[[], object]) -> float:
    """Return how long it takes."""
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def build(settings: Settings, hours: HourRange | None) -> None:
    """Build all models, of everything that is new or of some hours."""
    command = ["build"]
    if hours is not None:
        shown = {
            "start_hour": f"{hours.start:%Y-%m-%d %H:%M:%S}",
            "end_hour": f"{hours.end:%Y-%m-%d %H:%M:%S}",
        }
        command += ["--vars", json.dumps(shown)]
    for _ in run_dbt(settings, PROJECT, command, known=load_manifest()["nodes"]):
        pass


def builds(settings: Settings, rounds: int) -> dict[str, float]:
    """Return the medians of builds over the recording's first day, and over the whole of it."""
    whole = HourRange(settings.start, HourRange.of(settings.latest_closed_hour).end)
    day = HourRange(whole.end - dt.timedelta(days=1), whole.end)
    hour = HourRange.of(settings.latest_closed_hour)
    found = {}
    with open_instance(settings) as instance:
        for name, span in (("a day in the lake", day), ("the recording in the lake", whole)):
            extract(settings, span, ASSET_CLASSES, instance=instance)
            for what, hours in (("all that is new", None), ("one hour", hour)):
                taken = [seconds(lambda hours=hours: build(settings, hours)) for _ in range(rounds)]  # type: ignore[misc]
                found[f"{what}, {name}"] = statistics.median(taken)
    return found


def overhead(settings: Settings, rounds: int) -> dict[str, float]:
    """Return the medians of one query through Athena's API and by DuckDB, and the bytes read."""
    athena = Athena(settings)
    place = f"s3://{settings.bucket}/bench/bars/"
    athena.run(f"create table bench_bars with (external_location = '{place}') as {BARS}")
    (info,) = Lake(settings).list_objects(["bench/bars/"])
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"threads": 2}) as connection:
        copy = Path(folder) / "bars.parquet"
        copy.write_bytes(Lake(settings).get(info.key))
        local = QUERY.format(f"read_parquet('{copy}')")
        remote = QUERY.format("bench_bars")
        taken: dict[str, list[float]] = {"athena": [], "duckdb": []}
        for _ in range(rounds + 1):
            taken["athena"].append(seconds(lambda: list(athena.run(remote).rows())))
            taken["duckdb"].append(seconds(lambda: connection.execute(local).fetchall()))
    return {what: statistics.median(runs[1:]) for what, runs in taken.items()} | {"bytes": float(info.size)}


def main(rounds: int) -> None:
    """Measure, print, and leave the figures in ``bench-analytics.json``."""
    console = Console()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        stack = Stack(load_settings(home=home))
        stack.start()
        try:
            settings = load_settings(home=home)
            built, query = builds(settings, rounds), overhead(settings, rounds)
        finally:
            stack.stop()
    table = RichTable(title="dbt build in process, all models and tests, medians")
    table.add_column("what is built")
    table.add_column("seconds", justify="right")
    for name, taken in built.items():
        table.add_row(name, f"{taken:.1f}")
    console.print(table)
    ratio = query["athena"] / query["duckdb"]
    console.print(f"a query of {query['bytes'] / 1e6:.1f} MB: Athena takes {ratio:.2f} × DuckDB itself")
    RESULTS.write_text(json.dumps({"builds": built, "query": query, "ratio": ratio}, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
