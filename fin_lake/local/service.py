"""What the stack asks of a service, whichever it is."""

from __future__ import annotations

import abc
import http.client
import importlib.util
import signal
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from fin_lake.local.processes import LOOPBACK
from fin_lake.local.state import StackError

HTTP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Launch:
    """How a service is started: program and arguments, environment, working folder."""

    argv: Sequence[str]
    env: dict[str, str] = field(repr=False)
    cwd: Path


class Service(abc.ABC):
    """One server of the stack.

    Parameters
    ----------
    home : pathlib.Path
        The stack's folder, absolute.
    """

    name: ClassVar[str]
    """Its name in ``stack.json``, in messages and of its log."""
    title: ClassVar[str]
    """What it is, for a person."""
    argument: ClassVar[str]
    """A word of its command line, and of none of its children's."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    start_seconds: ClassVar[float] = 60
    """How long it may take until it answers, on a slow machine after a crash."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def mark(self) -> str:
        """By which its process is known, should ``stack.json`` be lost."""
        return f"{self.home}/{self.name}"

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.home / "logs" / f"{self.name}.log"

    @property
    @abc.abstractmethod
    def data(self) -> Path:
        """The folder of what it keeps."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make what it needs before it can start, and clear what a crash has left. Idempotent."""

    @abc.abstractmethod
    def launch(self, port: int) -> Launch:
        """Return how to start it on a port."""

    @abc.abstractmethod
    def answers(self, port: int) -> bool:
        """Return whether it serves requests."""

    @abc.abstractmethod
    def environment(self, port: int) -> dict[str, str]:
        """Return the settings (see :mod:`fin_lake.settings`) with which it is reached."""

    def settle(self, port: int) -> None:  # noqa: B027 - most have nothing to do
        """Make what its users expect to find in it. Idempotent, and called at every ``up``."""

    def is_current(self, port: int) -> bool:  # noqa: ARG002
        """Return whether it serves what it would serve if it were started now."""
        return True


def package_folder(package: str) -> Path:
    """Return the folder of an installed package without importing it.

    Raises
    ------
    StackError
        The package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            f"the local stack needs the package {package}, which is not installed",
            "pip install 'fin_lake[local]'",
        )
    return Path(next(iter(spec.submodule_search_locations)))


def http_call(port: int, path: str, *, method: str = "GET", body: str = "") -> tuple[int, bytes] | None:
    """Ask a server of this machine, past any proxy: status and body, or ``None`` without an answer."""
    try:
        with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=HTTP_SECONDS)) as connection:
            connection.request(method, path, body or None)
            response = connection.getresponse()
            return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
