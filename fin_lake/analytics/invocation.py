"""dbt called in this process, so that nothing of the call stays behind.

dbt takes its process for its own: it reads the environment, sets flags and context variables, gives
Python's loggers handlers, and keeps callbacks, adapters and their connections in global places.
"""

from __future__ import annotations

import contextvars
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fin_lake.errors import FinLakeError

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunner, dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.events.base_types import EventMsg

_EXTRA: Final = "pip install 'fin_lake[dbt]'"
_LOG_BYTES: Final = 4 * 2**20
_DBT_LOGGERS: Final = ("file_log", "stdout_log")


class DbtError(FinLakeError):
    """dbt is not installed, or could not do what it was asked for."""


def call_dbt(
    command: Sequence[str],
    *,
    project: Path,
    target: Path,
    listen: Callable[[EventMsg], None],
    manifest: Manifest | None = None,
) -> dbtRunnerResult:
    """Call dbt and wait for its end. One call at a time, in the whole process.

    Parameters
    ----------
    command : sequence of str
        As after ``dbt`` in a shell.
    project, target : Path
        The project's folder, with ``profiles.yml`` in it, and that for what dbt writes.
    listen : callable
        Is given every event, in the threads of dbt's nodes.
    manifest : Manifest, optional
        The parsed project; dbt parses it itself without.

    Raises
    ------
    DbtError
        dbt is not installed.
    """
    with _undisturbed(logging.getLogger()):  # which dbt's modules give a handler when they are imported
        runner_type = _import_runner()
    runner = runner_type(manifest=manifest, callbacks=[listen])
    arguments = [*command, *_options(project, target)]
    with ExitStack() as stack:
        for name in _DBT_LOGGERS:
            stack.enter_context(_undisturbed(logging.getLogger(name)))
        stack.callback(_take_down)
        return contextvars.copy_context().run(lambda: runner.invoke(arguments))


def _options(project: Path, target: Path) -> list[str]:
    return [
        *("--project-dir", str(project), "--profiles-dir", str(project), "--target-path", str(target)),
        *("--log-path", str(target / "logs"), "--log-file-max-bytes", str(_LOG_BYTES)),
        *("--log-level", "none", "--log-level-file", "debug"),
        *("--no-use-colors", "--no-use-colors-file", "--no-send-anonymous-usage-stats"),
    ]


def _import_runner() -> type[dbtRunner]:
    try:
        from dbt.cli.main import dbtRunner  # noqa: PLC0415 - a second, and not everybody has the extra
    except ImportError as error:
        raise DbtError(f"the analytics layer needs dbt, which is not installed: {error}", _EXTRA) from None
    return dbtRunner


@contextmanager
def _undisturbed(logger: logging.Logger) -> Iterator[None]:
    """Give a logger back the handlers, level and propagation that it has; close handlers that it got."""
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    try:
        yield
    finally:
        for handler in logger.handlers:
            if handler not in handlers:
                handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


def _take_down() -> None:
    from dbt.adapters.factory import FACTORY  # noqa: PLC0415 - only where dbt was called
    from dbt_common.events.event_manager_client import cleanup_event_logger  # noqa: PLC0415

    FACTORY.reset_adapters()  # type: ignore[no-untyped-call]
    cleanup_event_logger()


@contextmanager
def process_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, which dbt and boto3 read; put back at the end what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
