"""How the stack starts and stops services, with small servers in the places of the real ones."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

import psutil
import pytest
from dotenv import dotenv_values

from fin_lake.local import processes
from fin_lake.local.service import Launch, Service, http_call
from fin_lake.local.stack import Stack, State
from fin_lake.local.state import StackError, StackState
from fin_lake.settings import load_settings

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")
print("up", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SILENT = "import time; print('thinking', flush=True); time.sleep(60)"
BROKEN = "import sys; print('no disk today', flush=True); sys.exit(3)"


class Small(Service):
    """A server of a few lines."""

    name = "small"
    title = "Small server"
    argument = "--small"
    start_seconds = 20
    program = SERVER

    @property
    def data(self):
        return self.home / self.name

    def prepare(self):
        self.data.mkdir(parents=True, exist_ok=True)

    def launch(self, port):
        argv = [sys.executable, "-c", self.program, str(port), self.argument]
        return Launch(argv=argv, env=processes.service_environment(), cwd=self.home)

    def answers(self, port):
        return http_call(port, "/") is not None

    def environment(self, port):
        return {"SMALL_URL": f"http://127.0.0.1:{port}", "SMALL_TEXT": "one two #3"}


class Other(Small):
    name = "other"
    title = "Other server"
    argument = "--other"


@pytest.fixture
def stack(tmp_path):
    """A stack of two small servers and no replay."""
    made = Stack(load_settings(home=tmp_path / "home"))
    made.services = (Small(made.home), Other(made.home))
    yield made
    for service in made.services:
        service.program = SERVER
    made.stop()


def pids(stack: Stack) -> dict[str, int | None]:
    return {service.name: service.pid for service in stack.status().services}


def test_started_twice_the_same_processes_run(stack):
    assert stack.start().running
    before = pids(stack)
    assert all(before.values())
    stack.start()
    assert pids(stack) == before


def test_the_environment_is_written_for_its_owner_when_all_runs(stack):
    stack.start()
    written = stack.home / "stack.env"
    assert written.stat().st_mode & 0o777 == 0o600
    port = StackState.load(stack.home).services["other"].port
    assert dotenv_values(written) == {"SMALL_URL": f"http://127.0.0.1:{port}", "SMALL_TEXT": "one two #3"}


def test_ports_are_kept_over_down_and_up(stack):
    stack.start()
    before = [service.port for service in stack.status().services]
    assert stack.stop() == ["small", "other"]
    assert [service.state for service in stack.status().services] == [State.STOPPED] * 2
    assert stack.stop() == []
    stack.start()
    assert [service.port for service in stack.status().services] == before


def test_a_killed_service_is_called_dead_and_alone_is_started_again(stack):
    stack.start()
    before = pids(stack)
    os.kill(before["small"], signal.SIGKILL)
    processes.wait_until(lambda: not pids(stack)["small"], seconds=5)
    status = stack.status()
    assert not status.running
    assert [service.state for service in status.services] == [State.DEAD, State.RUNNING]
    with pytest.raises(StackError, match="not running: Small server"):
        stack.require_running()
    stack.start()
    assert pids(stack)["other"] == before["other"]
    assert pids(stack)["small"] != before["small"]


def test_a_service_that_dies_while_up_looks_at_it_is_started_again(stack, monkeypatch):
    """A kill takes a moment: the process may still be there when `up` looks for it."""
    stack.start()
    before = pids(stack)

    def dies(_service, _port):
        os.kill(before["small"], signal.SIGKILL)
        monkeypatch.undo()
        return True

    monkeypatch.setattr(Small, "is_current", dies)
    assert stack.start().running
    assert pids(stack)["small"] != before["small"]


def test_a_service_that_ends_at_its_start_is_named_with_its_log_and_the_others_run(stack):
    stack.start()
    stack.stop()
    stack.services[0].program = BROKEN
    with pytest.raises(StackError) as caught:
        stack.start()
    said = str(caught.value)
    assert "Small server ended at its start" in said
    assert "no disk today" in said
    assert "up" not in said.splitlines()  # a line of the start before
    assert str(stack.home / "logs" / "small.log") in said
    assert "Other server: running" in said
    assert [service.state for service in stack.status().services] == [State.DEAD, State.RUNNING]


def test_a_service_that_never_answers_is_ended_and_named(stack):
    stack.services[0].program = SILENT
    stack.services[0].start_seconds = 0.3
    with pytest.raises(StackError, match=r"Small server did not answer for 0\.3 s(.|\n)*thinking"):
        stack.start()
    assert pids(stack)["small"] is None
    assert not (stack.home / "stack.env").exists()


def test_a_service_that_hangs_is_called_silent(stack, monkeypatch):
    stack.start()
    monkeypatch.setattr("fin_lake.local.service.HTTP_SECONDS", 0.2)
    os.kill(pids(stack)["small"], signal.SIGSTOP)
    assert stack.status().services[0].state is State.SILENT


def test_a_port_taken_by_another_program_is_named_with_a_way_out(stack, monkeypatch):
    monkeypatch.setattr("fin_lake.local.stack._PORT_SECONDS", 0.1)
    stack.start()
    stack.stop()
    port = StackState.load(stack.home).services["small"].port
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(StackError) as caught:
            stack.start()
        assert f"Small server: port {port} is taken by" in caught.value.what
        assert f"pid {os.getpid()}" in caught.value.what
        assert "fin-lake up --new-ports" in caught.value.remedy
        assert stack.start(new_ports=True).running
    assert StackState.load(stack.home).services["small"].port != port


def test_notes_that_are_lost_cost_no_second_process(stack):
    stack.start()
    before = pids(stack)
    StackState.path(stack.home).unlink()
    assert pids(stack) == before
    stack.start()
    after = pids(stack)
    assert not set(after.values()) & set(before.values())
    for pid in before.values():
        assert not psutil.pid_exists(pid)


def test_down_finds_what_the_notes_forgot(stack):
    stack.start()
    before = pids(stack)
    StackState.path(stack.home).unlink()
    assert stack.stop() == ["small", "other"]
    assert not any(psutil.pid_exists(pid) for pid in before.values())


def test_another_programs_number_in_the_notes_is_neither_trusted_nor_ended(stack):
    stack.start()
    stack.stop()
    path = StackState.path(stack.home)
    notes = json.loads(path.read_text())
    notes["services"]["small"]["process"] = {"pid": os.getpid(), "created": 1.0}
    path.write_text(json.dumps(notes))
    assert stack.status().services[0].state is State.DEAD
    assert stack.stop() == []


def test_a_home_that_cannot_be_used_fails_by_name(stack):
    stack.home.mkdir(parents=True)
    (stack.home / "small").write_text("a file where a folder should be")
    with pytest.raises(StackError, match=r"Small server: .*File exists"):
        stack.start()
