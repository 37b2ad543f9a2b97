"""Processes are told apart, found again, and ended with their children; ports and logs."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from fin_lake.local import processes
from fin_lake.local.state import ProcessId

SLEEPER = "import time; print('started', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print('parent', flush=True); time.sleep(60)"
)


@pytest.fixture
def run(tmp_path):
    """Start Python programs, and end them after the test."""
    started = []

    def start(code: str, mark: str = "test") -> ProcessId:
        log = tmp_path / f"{len(started)}.log"
        process = processes.start(
            [sys.executable, "-c", code],
            env=processes.service_environment(),
            log=log,
            cwd=tmp_path,
            mark=mark,
        )
        started.append(process)
        assert processes.wait_until(lambda: processes.log_size(log) > 0, seconds=20)
        return process

    yield start
    processes.stop(dict.fromkeys(started, signal.SIGKILL))


def test_a_started_process_has_its_own_session_and_its_log(run, tmp_path):
    process = run(SLEEPER)
    assert os.getsid(process.pid) == process.pid
    assert (tmp_path / "0.log").read_text() == "started\n"
    assert processes.find(process)


def test_a_process_with_our_number_but_another_birth_is_not_ours(run):
    """After a reboot the number in stack.json belongs to some other program."""
    process = run(SLEEPER)
    stale = ProcessId(process.pid, process.created - 3600)
    assert processes.find(stale) is None
    processes.stop({stale: signal.SIGKILL})
    assert processes.find(process)


def test_a_killed_process_is_not_found_even_before_it_is_reaped(run):
    process = run(SLEEPER)
    os.kill(process.pid, signal.SIGKILL)
    assert processes.wait_until(lambda: processes.find(process) is None, seconds=5)


def test_a_lost_process_is_found_by_its_mark_and_its_command_line(run):
    process = run(SLEEPER, mark="/some/home/service")
    assert processes.find_marked("/some/home/service", argument=SLEEPER) == process
    assert processes.find_marked("/some/home/service", argument="other") is None
    assert processes.find_marked("/some/home", argument=SLEEPER) is None


def test_stop_ends_children_too(run):
    process = run(PARENT)
    children = psutil.Process(process.pid).children()
    assert len(children) == 1
    processes.stop({process: signal.SIGTERM})
    assert processes.find(process) is None
    assert not children[0].is_running() or children[0].status() == psutil.STATUS_ZOMBIE


def test_stop_kills_what_does_not_listen(run):
    process = run(DEAF)
    processes.stop({process: signal.SIGTERM}, seconds=0.2)
    assert processes.find(process) is None


def test_stop_ends_a_process_that_is_suspended(run):
    process = run(SLEEPER)
    os.kill(process.pid, signal.SIGSTOP)
    processes.stop({process: signal.SIGTERM}, seconds=5)
    assert processes.find(process) is None


def test_a_service_inherits_little_of_the_shell(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AUTH", "true")
    monkeypatch.setenv("PGPORT", "1")
    given = processes.service_environment(OWN="1")
    assert given["OWN"] == "1"
    assert "PATH" in given
    assert not {"AWS_PROFILE", "AUTH", "PGPORT"} & set(given)


def test_a_taken_port_is_seen_with_its_owner():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not processes.port_is_free(port)
        assert f"pid {os.getpid()}" in processes.listener(port)
    assert processes.port_is_free(port)


def test_a_port_on_all_interfaces_is_taken_on_the_loopback():
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not processes.port_is_free(server.getsockname()[1])


def test_free_ports_differ_and_are_out_of_the_way_of_outgoing_connections():
    chosen = []
    for _ in range(20):
        chosen.append(processes.free_port(chosen))
    assert len(set(chosen)) == 20
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(chosen) < max(first_outgoing, 32_768)


def test_the_tail_is_of_this_start_alone(tmp_path):
    log = tmp_path / "log"
    assert processes.log_tail(log) == ""
    log.write_text("old\n")
    size = processes.log_size(log)
    with log.open("a") as file:
        file.write("\n".join(f"line {n}" for n in range(30)))
    assert processes.log_tail(log, size, lines=2) == "line 28\nline 29"
    assert "old" not in processes.log_tail(log, size, lines=100)


def test_a_huge_log_is_put_aside(run, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_LOG_LIMIT", 10)
    (tmp_path / "0.log").write_text("x" * 11)
    run(SLEEPER)
    assert (tmp_path / "0.log.1").read_text() == "x" * 11
    assert (tmp_path / "0.log").read_text() == "started\n"
