"""`python -m fin_lake.local.replay` as a process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CANDLES = "/coingecko/api/v3/coins/bitcoin/ohlc?vs_currency=usd&days=1"
Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def launch(tmp_path: Path, port: int) -> Iterator[Launch]:
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "fin_lake.local.replay",
            "--home",
            str(tmp_path),
            "--port",
            str(port),
        ]
        started.append(
            subprocess.Popen(
                [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def status(port: int, seconds: float = 30) -> Any:
    until = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_replay/status", timeout=1) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_it_serves_the_loopback_alone_and_ends_at_once_when_told(launch: Launch, port: int):
    process = launch("--now", "2023-01-10T12:00", "--premium-intraday")
    told = status(port)
    assert told["now"] == "2023-01-10T12:00:00+00:00"
    assert told["plans"]["alpha_vantage_intraday_is_premium"] is True

    sockets = [line.split() for line in Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]]
    listening = [
        local for _, local, _, state, *_ in sockets if state == "0A" and local.endswith(f":{port:04X}")
    ]
    assert listening == [f"0100007F:{port:04X}"]

    fault = json.dumps({"source": "coingecko", "kind": "timeout"}).encode()
    urllib.request.urlopen(f"http://127.0.0.1:{port}/_replay/faults", fault).close()
    with socket.create_connection(("127.0.0.1", port)) as waiting:
        waiting.sendall(f"GET {CANDLES} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while not status(port)["requests"]["coingecko"]:
            time.sleep(0.02)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert time.monotonic() - begun < 3, "an answer that a fault holds back is not waited for"
    assert process.communicate()[0] == ""


def test_a_recording_that_cannot_be_read_ends_it_with_one_clear_error(launch: Launch, tmp_path: Path):
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "active").write_text("gone\n")
    process = launch()
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "gone cannot be read" in said
    assert "Traceback" not in said
