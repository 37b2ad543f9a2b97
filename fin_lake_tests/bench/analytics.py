"""Speed of the analytics layer: builds of the models, statements, and what Athena's API adds to DuckDB.

Builds run in this process, as a Dagster run makes them. The query's rounds alternate between Athena's API
and DuckDB itself on a copy of the same file. The year is synthetic: random walks of 15 symbols, 8,760 hours.

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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table as RichTable

from fin_lake.analytics.project import PROJECT, load_manifest
from fin_lake.analytics.runner import run_dbt
from fin_lake.assets.analytics import dbt_variables
from fin_lake.lake.store import Lake
from fin_lake.local.stack import Stack
from fin_lake.operations.athena import Athena
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings, load_settings
from fin_lake_tests.synthetic import fill, synthetic_records

RESULTS = Path("bench-analytics.json")
STOCKS = [f"STOCK{number}" for number in range(9)]
COINS = [f"COIN{number}-USD" for number in range(6)]
ROWS = 2_000_000
BARS = (
    "select 'S' || cast(x % 15 as varchar) as symbol, x % 390 as minute, x * 0.01e0 as price,"
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


def build(settings: Settings, hours: HourRange | None) -> float:
    """Build all models, of everything that is new or of some hours; return dbt's own count of seconds."""
    command = ["build"]
    if hours is not None:
        command += ["--vars", json.dumps(dbt_variables(hours))]
    counted = 0.0
    for event in run_dbt(settings, PROJECT, command, known=load_manifest()["nodes"]):
        if event.raw["info"]["level"] == "error":
            raise RuntimeError(event.raw["info"]["msg"])
        if event.name == "FinishedRunningStats":
            counted = event.raw["data"]["execution_time"]
    return float(counted)


@dataclass(frozen=True)
class Built:
    """Medians of the seconds of a build, and of what dbt itself counts of them."""

    what: str
    seconds: float
    of_dbt: float


def builds(settings: Settings, rounds: int) -> list[Built]:
    """Build over a day of the recording, the whole of it, and a synthetic year, in this order."""
    whole = HourRange(settings.start, HourRange.of(settings.latest_closed_hour).end)
    day = HourRange(whole.end - dt.timedelta(days=1), whole.end)
    year = HourRange(whole.start - dt.timedelta(days=365), whole.start)
    found = []

    def measure(what: str, hours: HourRange | None, times: int) -> None:
        counted: list[float] = []
        taken = [seconds(lambda: counted.append(build(settings, hours))) for _ in range(times)]
        found.append(Built(what, statistics.median(taken), statistics.median(counted)))

    def measure_all(lake: str, new: HourRange, hour: HourRange) -> None:
        measure(f"{lake}: its {len(new):,} hours, the first time", new, 1)
        measure(f"{lake}: the last days again", None, rounds)
        measure(f"{lake}: one hour", hour, rounds)

    last = HourRange.of(settings.latest_closed_hour)
    with open_instance(settings) as instance:
        for lake, span in (("a day", day), ("the recording", whole)):
            extract(settings, span, ASSET_CLASSES, instance=instance, analytics=False)
            measure_all(lake, span, last)
    for asset_class, symbols in (("stocks", STOCKS), ("crypto", COINS)):
        fill(Lake(settings), asset_class, synthetic_records(asset_class, year, symbols), list(year))
    measure_all("a year more", year, HourRange.of(year.end - dt.timedelta(hours=8)))
    return found


def statements(settings: Settings, rounds: int) -> dict[str, float]:
    """Return statements a second through Athena's API, one after another and four at a time."""
    athena, count = Athena(settings), 40 * rounds
    sql = "select count(*), max(close_price) from aggregations_daily_ohlcv where asset_class = 'crypto'"

    def ask(_: int) -> None:
        list(athena.run(sql).rows())

    ask(0)
    alone = seconds(lambda: [ask(number) for number in range(count)])
    with ThreadPoolExecutor(4) as pool:
        together = seconds(lambda: list(pool.map(ask, range(count))))
    return {"one at a time": count / alone, "four at a time": count / together}


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
            speed = statements(settings, rounds)
        finally:
            stack.stop()
    table = RichTable(title="dbt build in process, all models and tests, seconds")
    for name in ("what is in the lake, and built", "whole", "dbt's own"):
        table.add_column(name, justify="left" if name.startswith("what") else "right")
    for one in built:
        table.add_row(one.what, f"{one.seconds:.1f}", f"{one.of_dbt:.1f}")
    console.print(table)
    ratio = query["athena"] / query["duckdb"]
    console.print(f"a query of {query['bytes'] / 1e6:.1f} MB: Athena takes {ratio:.2f} × DuckDB itself")
    for name, each in speed.items():
        console.print(f"statements a second, {name}: {each:.0f}")
    figures = {"builds": [asdict(one) for one in built], "query": query, "ratio": ratio, "statements": speed}
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
