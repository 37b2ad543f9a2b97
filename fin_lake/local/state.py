"""What the stack remembers between commands: ports, processes, and who may change them.

``<home>/stack.json`` holds a port and, while it runs, a process for each service. Whether that
process is alive is not remembered but looked up each time, in :mod:`fin_lake.local.processes`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import filelock

from fin_lake.errors import FinLakeError

LOCK_SECONDS: Final = 180
_FORMAT: Final = 1


class StackError(FinLakeError):
    """The local stack, or one of its services, does not do what was asked."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told apart from a later one that was given the same number.

    Parameters
    ----------
    pid : int
        Its number.
    created : float
        When it was started, seconds since the epoch.
    """

    pid: int
    created: float


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """The port a service keeps, and the process it was last started as; none after ``down``."""

    port: int
    process: ProcessId | None = None


@dataclass(slots=True)
class StackState:
    """The contents of ``<home>/stack.json``."""

    home: Path
    services: dict[str, ServiceRecord] = field(default_factory=dict)

    @staticmethod
    def path(home: Path) -> Path:
        """Return where the state of the stack under ``home`` is kept."""
        return home / "stack.json"

    @classmethod
    def load(cls, home: Path) -> StackState:
        """Read the state; a stack that was never started has an empty one.

        Raises
        ------
        StackError
            The file cannot be read, or is none of ours.
        """
        path = cls.path(home)
        try:
            kept = json.loads(path.read_text())
            if kept["format"] != _FORMAT:
                raise StackError(f"{path} was written by another version of fin_lake", _forget(path))
            services = {
                name: ServiceRecord(
                    int(record["port"]), ProcessId(**record["process"]) if record["process"] else None
                )
                for name, record in kept["services"].items()
            }
        except FileNotFoundError:
            return cls(home)
        except PermissionError as error:
            raise _not_ours(path, error) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StackError(f"{path} is damaged: {error!r}", _forget(path)) from error
        return cls(home, services)

    def save(self) -> None:
        """Write the state, all of it or nothing."""
        services = {name: asdict(record) for name, record in self.services.items()}
        text = json.dumps({"format": _FORMAT, "services": services}, indent=2)
        write_atomically(self.path(self.home), text + "\n")


def _forget(path: Path) -> str:
    return f"remove {path} and run `fin-lake up`: it holds no data, and what still runs is found again"


def _not_ours(path: Path, error: OSError) -> StackError:
    return StackError(
        f"{path}: {error.strerror}",
        "run the stack as the user who started it, or choose another place with FIN_LAKE_HOME",
    )


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file so that a reader, or a crash, finds the old text or the new, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def exclusive(home: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Let one command at a time change the stack under ``home``; a second one waits.

    Raises
    ------
    StackError
        The other command did not end within ``seconds``, or the folder is not ours to write.
    """
    lock = filelock.FileLock(home / "stack.lock", timeout=seconds, mode=0o600)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise StackError(
            f"another `fin-lake up` or `down` has been at work on {home} for over {seconds:g} s",
            "wait for it, or end it, and try again",
        ) from error
    except OSError as error:
        raise _not_ours(home, error) from error
    try:
        yield
    finally:
        lock.release()
