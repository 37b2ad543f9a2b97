"""The stack as a whole: started, stopped and looked at, service by service.

Nothing here knows how a service works; nothing in a service knows of the others.
"""

from __future__ import annotations

import datetime as dt
import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from fin_lake.errors import FinLakeError
from fin_lake.local import processes
from fin_lake.local.athena_service import LocalAthena
from fin_lake.local.aws import LocalAws
from fin_lake.local.market import MarketReplay
from fin_lake.local.postgres import Postgres
from fin_lake.local.service import Service
from fin_lake.local.state import (
    ProcessId,
    ServiceRecord,
    StackError,
    StackState,
    exclusive,
    write_atomically,
)
from fin_lake.settings import STACK_ENV, Settings

Report = Callable[[str], None]
_PORT_SECONDS: Final = 3


class State(StrEnum):
    """What is known of a service."""

    RUNNING = "running"
    STOPPED = "stopped"
    DEAD = "dead"
    SILENT = "silent"
    """Its process is there, but it does not answer."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as it is now; a size in bytes, times in UTC."""

    name: str
    title: str
    state: State
    port: int | None
    pid: int | None
    started: dt.datetime | None
    data_bytes: int
    log: Path

    def as_json(self) -> dict[str, Any]:
        """Return the same in JSON's types."""
        return {
            "name": self.name,
            "title": self.title,
            "state": self.state.value,
            "port": self.port,
            "pid": self.pid,
            "started": self.started.isoformat() if self.started else None,
            "data_bytes": self.data_bytes,
            "log": str(self.log),
        }


@dataclass(frozen=True, slots=True)
class StackStatus:
    """The stack as it is now, and what is to be known of the market it replays."""

    home: Path
    services: tuple[ServiceStatus, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def running(self) -> bool:
        """Whether every service runs and answers."""
        return all(service.state is State.RUNNING for service in self.services)

    def as_json(self) -> dict[str, Any]:
        """Return the same in JSON's types."""
        return {
            "running": self.running,
            "home": str(self.home),
            "services": [service.as_json() for service in self.services],
            "notes": list(self.notes),
        }


class Stack:
    """The services under one home.

    Parameters
    ----------
    settings : Settings
        Of which home, bucket and region count.
    """

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home.resolve()
        self.postgres = Postgres(self.home)
        self.aws = LocalAws(self.home, bucket=settings.bucket, region=settings.aws_region)
        self.athena = LocalAthena(
            self.home,
            bucket=settings.bucket,
            database=settings.glue_database,
            portfolios=settings.portfolios_file,
            region=settings.aws_region,
            s3_port=lambda: StackState.load(self.home).services[LocalAws.name].port,
        )
        self.replay = MarketReplay(self.home)
        # PostgreSQL last: it is the only one whose first start makes us wait before it is under way
        self.services: tuple[Service, ...] = (self.aws, self.athena, self.replay, self.postgres)

    def start(self, report: Report = lambda _: None, *, new_ports: bool = False) -> StackStatus:
        """Start what does not run, and write ``stack.env`` when all of it answers.

        Parameters
        ----------
        report : callable
            Is told what is being done.
        new_ports : bool
            Choose other ports for the services that do not run.

        Raises
        ------
        StackError
            Services that did not start, with the end of their logs. The others stay up.
        """
        failures: dict[str, FinLakeError] = {}
        with exclusive(self.home):
            state = StackState.load(self.home)
            starts = [_Start(service, state) for service in self.services]
            for step in ("begin", "finish"):
                for one in starts:
                    if one.service.name in failures:
                        continue
                    report(f"{one.service.title} …")
                    try:
                        one.begin(new_ports=new_ports) if step == "begin" else one.finish()
                    except (FinLakeError, OSError) as error:
                        failures[one.service.name] = (
                            error
                            if isinstance(error, FinLakeError)
                            else StackError(f"{one.service.title}: {error}")
                        )
            if not failures:
                self._write_environment(state)
        if failures:
            raise self._failed(failures)
        return self.status()

    def stop(self, report: Report = lambda _: None) -> list[str]:
        """Stop every service, and return the names of those that ran."""
        if not self.home.is_dir():
            return []
        with exclusive(self.home):
            state = StackState.load(self.home)
            running = {
                service: process
                for service in self.services
                if (process := _locate(service, state)) is not None
            }
            report(", ".join(service.title for service in running) or "nothing runs")
            processes.stop({process: service.stop_signal for service, process in running.items()})
            for name, record in state.services.items():
                state.services[name] = ServiceRecord(record.port)
            state.save()
        return [service.name for service in running]

    def status(self, *, notes: bool = True) -> StackStatus:
        """Look at every service."""
        state = StackState.load(self.home)
        replay = state.services.get(self.replay.name)
        return StackStatus(
            self.home,
            tuple(_look(service, state) for service in self.services),
            tuple(self.replay.playing(replay.port).get("notes", ())) if notes and replay else (),
        )

    def require_running(self) -> None:
        """Return if the processes of all services are there.

        Raises
        ------
        StackError
            Some are not.
        """
        state = StackState.load(self.home)
        missing = [service.title for service in self.services if _locate(service, state) is None]
        if missing:
            raise StackError(
                f"the local stack under {self.home} is not running: {', '.join(missing)}",
                "start it with `fin-lake up`",
            )

    def _failed(self, failures: Mapping[str, FinLakeError]) -> StackError:
        running = [s.title for s in self.services if s.name not in failures]
        rest = f"\n{', '.join(running)}: running" if running else ""
        whats = "\n".join(error.what for error in failures.values())
        remedies = dict.fromkeys(error.remedy for error in failures.values() if error.remedy)
        return StackError(whats + rest, "\n  → ".join(remedies))

    def _write_environment(self, state: StackState) -> None:
        lines = [
            "# Written by `fin-lake up`, for every fin-lake command. The environment and .env override it.",
            *(
                f"{name}={shlex.quote(value)}"
                for service in self.services
                for name, value in service.environment(state.services[service.name].port).items()
            ),
        ]
        write_atomically(self.home / STACK_ENV, "\n".join(lines) + "\n")


class _Start:
    """The start of one service: begun first, so that all come up side by side, then finished."""

    def __init__(self, service: Service, state: StackState) -> None:
        self.service = service
        self._state = state
        self._log_start = 0
        self._launched = False

    def _note(self, port: int, process: ProcessId | None) -> None:
        self._state.services[self.service.name] = ServiceRecord(port, process)
        self._state.save()

    def begin(self, *, new_ports: bool) -> None:
        """Start the process, unless it runs and serves what it should."""
        service, known = self.service, self._state.services.get(self.service.name)
        process = _locate(service, self._state)
        if process is not None:
            if known is not None and (process == known.process or service.answers(known.port)):
                self._note(known.port, process)
                if service.is_current(known.port):
                    return
            # the wrong recording, or a process that we have no notes of
            processes.stop({process: service.stop_signal})
        port = known.port if known and not new_ports else self._choose_port()
        if not processes.wait_until(lambda: processes.port_is_free(port), seconds=_PORT_SECONDS):
            raise StackError(
                f"{service.title}: port {port} is taken by {processes.listener(port)}",
                "end that program, or choose other ports with `fin-lake up --new-ports`",
            )
        self._note(port, None)
        service.prepare()
        launch = service.launch(port)
        self._log_start = processes.log_size(service.log)
        process = processes.start(
            launch.argv, env=launch.env, log=service.log, cwd=launch.cwd, mark=service.mark
        )
        self._launched = True
        self._note(port, process)

    def _choose_port(self) -> int:
        return processes.free_port([record.port for record in self._state.services.values()])

    def finish(self) -> None:
        """Wait until the service answers, and make what its users expect in it."""
        service, record = self.service, self._state.services[self.service.name]
        died = False

        def over() -> bool:
            nonlocal died
            died = processes.find(record.process) is None
            return died or service.answers(record.port)

        in_time = processes.wait_until(over, seconds=service.start_seconds)
        if died and not self._launched:  # it was running when we looked, and has ended since
            self.begin(new_ports=False)
            self.finish()
            return
        if died or not in_time:
            tail = processes.log_tail(service.log, self._log_start) or "(nothing)"
            if record.process is not None:  # it stays noted, so that `status` calls it dead
                processes.stop({record.process: service.stop_signal}, seconds=5)
            what = "ended at its start" if died else f"did not answer for {service.start_seconds:g} s"
            raise StackError(
                f"{service.title} {what}. The end of its log:\n{tail}", f"the whole log is {service.log}"
            )
        service.settle(record.port)


def _locate(service: Service, state: StackState) -> ProcessId | None:
    """Return the service's process, noted or, if the notes were lost, by its mark."""
    record = state.services.get(service.name)
    if record and record.process and processes.find(record.process):
        return record.process
    return processes.find_marked(service.mark, argument=service.argument)


def _look(service: Service, state: StackState) -> ServiceStatus:
    record = state.services.get(service.name)
    process = _locate(service, state)
    if process is None:
        noted = record is not None and record.process is not None
        current = State.DEAD if noted else State.STOPPED
    else:
        current = State.RUNNING if record and _answers(service, record.port) else State.SILENT
    return ServiceStatus(
        name=service.name,
        title=service.title,
        state=current,
        port=record.port if record else None,
        pid=process.pid if process else None,
        started=dt.datetime.fromtimestamp(process.created, dt.UTC) if process else None,
        data_bytes=_size(service.data),
        log=service.log,
    )


def _answers(service: Service, port: int) -> bool:
    with suppress(FinLakeError):
        return service.answers(port)
    return False


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a server at work removes files while we look
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - twice as fast
    return total


def start(settings: Settings, report: Report = lambda _: None, *, new_ports: bool = False) -> StackStatus:
    """Start the stack; see :meth:`Stack.start`."""
    return Stack(settings).start(report, new_ports=new_ports)


def stop(settings: Settings, report: Report = lambda _: None) -> list[str]:
    """Stop the stack; see :meth:`Stack.stop`."""
    return Stack(settings).stop(report)


def status(settings: Settings) -> StackStatus:
    """Look at the stack; see :meth:`Stack.status`."""
    return Stack(settings).status()
