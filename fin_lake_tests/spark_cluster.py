"""A standalone Spark cluster for the tests: a master and workers, each a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyspark

_HOME = Path(pyspark.__file__).parent
_START_SECONDS = 60


@dataclass
class Cluster:
    """A running cluster."""

    url: str
    page: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Return what the master tells of itself."""
        with urllib.request.urlopen(f"{self.page}/json/", timeout=5) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def kill_worker(self) -> None:
        """Kill a worker with its executors, as a machine that fails does."""
        worker = psutil.Process(self.workers.pop().pid)
        for process in [worker, *worker.children(recursive=True)]:
            process.kill()


@contextmanager
def spark_cluster(folder: Path, workers: int = 2, memory: str = "1g") -> Iterator[Cluster]:
    """Run a cluster of workers with a core each."""
    port, page = _free_port(), _free_port()
    env = {
        **os.environ,
        "SPARK_HOME": str(_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_LOG_DIR": str(folder),
        "PYSPARK_PYTHON": sys.executable,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    deploy = "org.apache.spark.deploy"
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (folder / f"{name}.log").open("wb") as log:
            command = [str(_HOME / "bin" / "spark-class"), *arguments]
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
        started.append(process)
        return process

    try:
        at = ("--host", "127.0.0.1")
        start("master", f"{deploy}.master.Master", *at, "--port", str(port), "--webui-port", str(page))
        cluster = Cluster(f"spark://127.0.0.1:{port}", f"http://127.0.0.1:{page}")
        _wait(cluster, 0, folder)
        for number in range(workers):
            limits = ("--cores", "1", "--memory", memory, "--webui-port", "0")
            place = ("--work-dir", str(folder / f"work{number}"))
            cluster.workers.append(
                start(f"worker{number}", f"{deploy}.worker.Worker", *at, *limits, *place, cluster.url)
            )
        _wait(cluster, workers, folder)
        yield cluster
    finally:
        for process in started:
            if process.poll() is None:
                tree = psutil.Process(process.pid)
                for one in [*tree.children(recursive=True), tree]:
                    one.kill()
            process.wait()


def _wait(cluster: Cluster, workers: int, folder: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        try:
            if cluster.state()["aliveworkers"] >= workers:
                return
        except OSError:
            pass
        time.sleep(0.1)  # a poll, bounded
    logs = "\n".join(log.read_text()[-2_000:] for log in folder.glob("*.log"))
    raise TimeoutError(f"no cluster of {workers} workers at {cluster.url}:\n{logs}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port
