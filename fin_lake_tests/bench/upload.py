"""Speed and memory of uploading one big file, beside boto3's transfer manager and awswrangler.

Each upload is a process of its own, on the local S3: through a proxy that passes on everything, and
through one that fails as S3 does (SlowDown, cut connections, latency, answers that are lost). Rounds
alternate. An uploader that gives up is said to.

    python -m fin_lake_tests.bench.upload [--mib 1024] [--rounds 3]
"""

from __future__ import annotations

import argparse
import hashlib
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
from typing import Any, Final

import obstore
from obstore.store import S3Store
from rich.console import Console
from rich.table import Table

from fin_lake.local.stack import Stack
from fin_lake.settings import environment, load_settings
from fin_lake_tests.faulty_s3 import faulty_s3

RESULTS = Path("bench-upload.json")
KEY: Final = "exports/big"
_MIB: Final = 1024**2
_FAULTS: Final = {"slow_down": 0.05, "reset": 0.03, "lost_answer": 0.02, "latency": 0.1}
_WAYS: Final = {"as it is": {}, "with faults": _FAULTS}
_PEERS: Final = {
    "fin_lake": """
from fin_lake.lake.uploader import create_s3_uploader_from_env
uploader = create_s3_uploader_from_env()
def upload(): uploader.upload_file(Path(file), key)
""",
    "boto3": """
import boto3
client = boto3.client("s3")
def upload(): client.upload_file(file, bucket, key)
""",
    "awswrangler": """
import awswrangler
awswrangler.config.s3_endpoint_url = os.environ["AWS_ENDPOINT_URL"]
def upload(): awswrangler.s3.upload(local_file=file, path=f"s3://{bucket}/{key}")
""",
}
_WORKER: Final = """
import json, os, resource, sys, time
from pathlib import Path
file, bucket, key = sys.argv[1:]
{peer}
before = resource.getrusage(resource.RUSAGE_SELF)
started = time.perf_counter()
upload()
seconds = time.perf_counter() - started
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({{
    "seconds": seconds,
    "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    "mib": after.ru_maxrss / 1024,
}}))
"""


def measure(peer: str, endpoint: str, env: dict[str, str], file: Path, digest: str) -> dict[str, Any]:
    """Upload once in a fresh process; say whether S3 then holds the file."""
    told = {**env, "AWS_ENDPOINT_URL": endpoint}
    bucket = env["AWS_S3_BUCKET_NAME"]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        _WORKER.format(peer=_PEERS[peer]),
        str(file),
        bucket,
        KEY,
    ]
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    store = S3Store(
        bucket,
        endpoint=env["AWS_ENDPOINT_URL"],
        region="us-east-1",
        access_key_id=env["AWS_ACCESS_KEY_ID"],
        secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1][:120]}
    stored = hashlib.sha256()
    for part in obstore.get(store, KEY).stream(min_chunk_size=8 * _MIB):
        stored.update(part)
    obstore.delete(store, KEY)
    if stored.hexdigest() != digest:
        return {"failed": "what S3 holds is not the file"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(mib: int, rounds: int) -> None:
    """Measure and show."""
    console = Console()
    taken: dict[str, dict[str, list[dict[str, Any]]]] = {way: {peer: [] for peer in _PEERS} for way in _WAYS}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stack = Stack(load_settings(home=home))
        stack.start()
        try:
            env = {**os.environ, **environment(load_settings(home=home))}
            block = os.urandom(_MIB)
            file, whole = home / "big", hashlib.sha256()
            with file.open("wb") as out:
                for number in range(mib):
                    part = number.to_bytes(8, "big") + block[8:]
                    out.write(part)
                    whole.update(part)
            for turn in range(rounds):
                for way, rates in _WAYS.items():
                    for peer in _PEERS:
                        with faulty_s3(env["AWS_ENDPOINT_URL"], rates, seed=turn) as proxy:
                            digest = whole.hexdigest()
                            taken[way][peer].append(measure(peer, proxy.endpoint, env, file, digest))
        finally:
            stack.stop()
    _show(console, taken, mib)
    RESULTS.write_text(
        json.dumps(
            {
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
                "versions": {name: version(name) for name in ("obstore", "boto3", "awswrangler")},
                "mib": mib,
                "taken": taken,
            },
            indent=2,
        )
    )
    console.print(f"written to {RESULTS}")


def _show(console: Console, taken: dict[str, dict[str, list[dict[str, Any]]]], mib: int) -> None:
    for way, peers in taken.items():
        table = Table(title=f"{mib:,} MiB, {way}", title_justify="left")
        for heading in ("", "seconds", "ratio", "CPU seconds", "peak MiB", "gave up"):
            table.add_column(heading, justify="left" if not heading else "right")
        ours = _median(peers["fin_lake"], "seconds")
        for peer, runs in peers.items():
            seconds = _median(runs, "seconds")
            failed = sum("failed" in run for run in runs)
            table.add_row(
                peer,
                _text(seconds, ".2f"),
                _text(seconds / ours if seconds and ours else None, ".2f"),
                _text(_median(runs, "cpu"), ".2f"),
                _text(_median(runs, "mib"), ".0f"),
                f"{failed} of {len(runs)}" if failed else "",
            )
        console.print(table)


def _median(runs: list[dict[str, Any]], name: str) -> float | None:
    values = [run[name] for run in runs if name in run]
    return statistics.median(values) if values else None


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    main(given.mib, given.rounds)
