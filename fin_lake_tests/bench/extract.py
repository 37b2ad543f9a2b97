"""Speed and memory of the main job over the whole recording, beside the bare work.

`extract` runs as a person runs it: fetch, keep, clean, store, record, in a process of its own. *Bare* is
the least that any program must do with the same frames: encode the same objects, PUT them, COPY the same
rows, with the same libraries and as many threads. Rounds alternate, so that a busy machine slows both.

    python -m fin_lake_tests.bench.extract [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import obstore
import pgpq
import polars as pl
import psycopg
from obstore.store import S3Store
from rich.console import Console
from rich.table import Table as RichTable

from fin_lake.lake.formats import encode_json, encode_parquet, json_ready
from fin_lake.lake.frames import by_hour
from fin_lake.lake.processed import read_hours
from fin_lake.lake.raw import read_attempts
from fin_lake.lake.store import Lake, each
from fin_lake.local.stack import Stack
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings, load_settings
from fin_lake.tables import PROCESSED, QUARANTINE, RAW

RESULTS = Path("bench-results.json")


def pack_hours(settings: Settings) -> HourRange:
    """Return all hours of the recording."""
    return HourRange(settings.start, HourRange.of(settings.latest_closed_hour).end)


def worker_extract(settings: Settings, times: int) -> dict[str, Any]:
    """Extract the whole recording ``times`` times in this process."""
    started = time.perf_counter()
    with open_instance(settings) as instance:
        for _ in range(times):
            report = extract(
                settings, pack_hours(settings), ASSET_CLASSES, instance=instance, analytics=False
            )
    if not report.succeeded:
        sys.exit("\n".join(report.failures))
    rows = sum(made.rows for name, made in report.tables.items() if name.startswith("raw/"))
    return {"rows": rows, "seconds": (time.perf_counter() - started) / times}


def worker_bare(settings: Settings, times: int) -> dict[str, Any]:
    """Encode, PUT and COPY the frames that an extract has left in the lake."""
    lake, hours = Lake(settings), pack_hours(settings)
    work = []
    for asset_class in ASSET_CLASSES:
        raw = read_attempts(lake, RAW[asset_class], hours)
        first = raw.group_by("raw_hour").agg(pl.col("raw_key").min())  # one attempt's objects
        raw = raw.join(first, on=["raw_hour", "raw_key"]).select(RAW[asset_class].column_names)
        processed = read_hours(lake, PROCESSED[asset_class], hours)
        quarantined = read_hours(lake, QUARANTINE[asset_class], hours)
        work.append((asset_class, raw, processed, quarantined))
    store = S3Store(
        settings.bucket,
        endpoint=settings.aws_endpoint_url,
        region=settings.aws_region,
        access_key_id="test",
        secret_access_key="test",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    with psycopg.connect(settings.database()) as connection:
        connection.execute("create schema if not exists bench")
        for table in PROCESSED.values():
            connection.execute(table.postgres_ddl("bench")[0])
        connection.commit()
        started = time.perf_counter()
        rows = sum(_bare(store, connection, hours, *one) for one in work for _ in range(times))
    return {"rows": rows // times, "seconds": (time.perf_counter() - started) / times}


def _bare(store, connection, hours, asset_class, raw, processed, quarantined) -> int:
    table, quarantine = PROCESSED[asset_class], QUARANTINE[asset_class]
    ready = json_ready(raw, RAW[asset_class]).with_columns(_at=raw["timestamp"])
    raw_parts, parts = by_hour(ready, "_at"), by_hour(processed)
    bad = by_hour(quarantined, "raw_hour")

    def put(hour) -> None:
        rows = parts.get(hour, table.empty())
        bodies = {"p": encode_parquet(rows, table), "j": encode_json(json_ready(rows, table))}
        bodies["q"] = encode_parquet(bad.get(hour, quarantine.empty()), quarantine)
        if hour in raw_parts:
            bodies["r"] = encode_json(raw_parts[hour].drop("_at"))
        for kind, body in bodies.items():
            obstore.put(store, f"bench/{asset_class}/{kind}/{hour:%Y%m%d%H}", body, use_multipart=False)

    each(hours, put)
    with connection.transaction():
        connection.execute(f"delete from bench.{table.postgres}")
        arrow = processed.to_arrow().cast(table.arrow_schema())
        encoder = pgpq.ArrowToPostgresBinaryEncoder(arrow.schema)
        with connection.cursor().copy(f"copy bench.{table.postgres} from stdin (format binary)") as copy:
            copy.write(encoder.write_header())
            for batch in arrow.to_batches():
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())
    return int(raw.height)


def measure(home: Path, what: str, times: int = 1) -> dict[str, Any]:
    """Run a worker in a process of its own; add the whole process's seconds and peak memory."""
    command = [sys.executable, "-m", __spec__.name, "--worker", what, "--times", str(times)]
    env = {**os.environ, "FIN_LAKE_HOME": str(home)}
    started = time.perf_counter()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return {**json.loads(done.stdout), "process_seconds": time.perf_counter() - started}


def main(rounds: int) -> None:
    """Measure, print, and leave the figures in ``bench-results.json``."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        stack = Stack(load_settings(home=home))
        stack.start()
        try:
            measure(home, "extract")  # the frames for the bare loop, and warm caches for both
            taken: dict[str, list[dict[str, Any]]] = {"extract": [], "bare": []}
            for number in range(rounds):
                for what, runs in taken.items():
                    console.print(f"round {number + 1} of {rounds}: {what}")
                    runs.append(measure(home, what))
            console.print("three chunks in one process")
            longer = measure(home, "extract", times=3)
        finally:
            stack.stop()
    _show(console, taken, longer)


def _show(console: Console, taken: dict[str, list[dict[str, Any]]], longer: dict[str, Any]) -> None:
    def median(what: str, field: str) -> float:
        return statistics.median(run[field] for run in taken[what])

    table = RichTable(title="the whole recording, medians")
    for name in ("", "rows", "seconds", "rows/s", "process s", "peak MB"):
        table.add_column(name, justify="right" if name else "left")
    for what, runs in taken.items():
        rows, seconds = runs[0]["rows"], median(what, "seconds")
        cells = (seconds, rows / seconds, median(what, "process_seconds"), median(what, "peak_mb"))
        table.add_row(what, f"{rows:,}", *(f"{cell:,.1f}" for cell in cells))
    console.print(table)
    ratio = median("extract", "seconds") / median("bare", "seconds")
    growth = longer["peak_mb"] / median("extract", "peak_mb")
    console.print(f"extract takes {ratio:.1f} × the bare work")
    console.print(f"three chunks need {growth:.2f} × the memory of one ({longer['peak_mb']:.0f} MB)")
    RESULTS.write_text(
        json.dumps({"extract": taken, "ratio": ratio, "memory_of_three_chunks": growth}, indent=2) + "\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", choices=("extract", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        warnings.simplefilter("ignore")
        work = worker_extract if options.worker == "extract" else worker_bare
        outcome = work(load_settings(), options.times)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**outcome, "peak_mb": peak}))  # noqa: T201 - the answer to the parent
    else:
        main(options.rounds)
