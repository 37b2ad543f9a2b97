"""Processes, ports and logs of this machine; nothing here knows which services there are.

A process is ours if its number *and* its time of creation are those we noted, or if it carries the
mark that :func:`start` puts into its environment. Nothing else is ever signalled.
"""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from fin_lake.local.state import ProcessId

LOOPBACK: Final = "127.0.0.1"
POLL_SECONDS: Final = 0.03
_MARK: Final = "FIN_LAKE_SERVICE"
_LOG_LIMIT: Final = 20_000_000
_CLOCK_TOLERANCE: Final = 1.0  # a created time is derived from the boot time, which is rounded
# below the range from which Linux takes the ports of outgoing connections, which would at times
# sit on a remembered port
_PORTS: Final = range(20_000, 32_700)
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH")
_INHERITED_FAMILIES: Final = ("OPENBLAS_", "OMP_")

_children: list[subprocess.Popen[bytes]] = []


def service_environment(**variables: str) -> dict[str, str]:
    """Return a service's environment: a few of the shell's variables, and its own.

    A shell's AWS_PROFILE, PGOPTIONS, SERVICES or AUTH must not change what is started.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_FAMILIES)
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **variables}


def python(module: str) -> list[str]:
    """Return the command that runs a module with this interpreter, whatever lies in its folder."""
    return [sys.executable, "-P", "-m", module]


def start(argv: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path, mark: str) -> ProcessId:
    """Start a process that outlives this one, its output appended to ``log``.

    Parameters
    ----------
    argv : sequence of str
        Program and arguments.
    env : mapping
        Its whole environment.
    log : pathlib.Path
        Where its output goes; a very long one is put aside first.
    cwd : pathlib.Path
        Its working folder.
    mark : str
        By which :func:`find_marked` finds it, whatever became of our notes.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        child = subprocess.Popen(
            argv,
            env={**env, _MARK: mark},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # neither the terminal's Ctrl-C nor its end reach it
            umask=0o077,
        )
    _children.append(child)  # else Python warns that it still runs, and nobody reaps it
    return ProcessId(child.pid, psutil.Process(child.pid).create_time())


def find(process: ProcessId | None) -> psutil.Process | None:
    """Return the process if it still runs, and ``None`` if its number is now another's."""
    if process is None:
        return None
    try:
        found = psutil.Process(process.pid)
        ours = abs(found.create_time() - process.created) < _CLOCK_TOLERANCE
        return found if ours and _runs(found) else None
    except psutil.Error:
        return None


def find_marked(mark: str, *, argument: str) -> ProcessId | None:
    """Return the process that was started with ``mark`` and has ``argument`` on its command line.

    Children inherit the mark, but not the command line.
    """
    for found in psutil.process_iter():
        with suppress(psutil.Error):
            if argument in found.cmdline() and found.environ().get(_MARK) == mark:
                return ProcessId(found.pid, found.create_time())
    return None


def find_in_folder(name: str, folder: Path) -> list[psutil.Process]:
    """Return the processes of a program that work in ``folder``."""
    found = []
    for candidate in psutil.process_iter():
        with suppress(psutil.Error):
            if candidate.name() == name and Path(candidate.cwd()) == folder:
                found.append(candidate)
    return found


def stop(processes: Mapping[ProcessId, signal.Signals], *, seconds: float = 30) -> None:
    """Ask each process to end, and make it and its children end if it does not in time."""
    asked: list[psutil.Process] = []
    children: list[psutil.Process] = []
    for process, how in processes.items():
        found = find(process)
        if found is None:
            continue
        with suppress(psutil.NoSuchProcess):
            children += found.children(recursive=True)
            found.send_signal(how)
            found.send_signal(signal.SIGCONT)  # one that is stopped would not hear it
            asked.append(found)
    wait_until(lambda: not any(map(_runs, asked)), seconds=seconds)
    kill([process for process in (*asked, *children) if _runs(process)])


def kill(processes: Collection[psutil.Process], *, seconds: float = 10) -> None:
    """End processes at once, and wait until they are gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # psutil looks at the time of creation, too
            process.kill()
    wait_until(lambda: not any(map(_runs, processes)), seconds=seconds)


def _runs(process: psutil.Process) -> bool:
    # psutil's own wait for several processes takes seconds where milliseconds would do
    for child in _children:
        child.poll()
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Return whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on the port of the loopback now."""
    with socket.socket() as probe:
        # as servers do: connections of a server that has just ended do not count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_port(taken: Collection[int]) -> int:
    """Return a port of the loopback that nobody listens on and that is not in ``taken``."""
    for _ in range(500):
        port = _PORTS[secrets.randbelow(len(_PORTS))]
        if port not in taken and port_is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def listener(port: int) -> str:
    """Describe who listens on a port, as far as this user may know."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("inet"):
            local = connection.laddr
            if local and local.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f"{psutil.Process(connection.pid).name()}, pid {connection.pid}"
    return "another program"


def log_size(log: Path) -> int:
    """Return where the next line of a log will begin."""
    return log.stat().st_size if log.exists() else 0


def log_tail(log: Path, start_at: int = 0, lines: int = 12) -> str:
    """Return the last lines that were written since the log had ``start_at`` bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start_at if start_at <= size else 0, size - 16_384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
