"""`fin-lake dev`: Dagster's UI and daemon, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import click

from fin_lake.errors import FinLakeError
from fin_lake.settings import Settings, load_settings

_END_SECONDS: Final = 30
_LOOK_SECONDS: Final = 0.5


class DevError(FinLakeError):
    """The UI or the daemon ended by itself."""


@click.command()
@click.option("--port", "-p", default=3000, show_default=True, help="Of the UI.")
@click.option("--host", "-h", default="127.0.0.1", show_default=True, help="Where the UI listens.")
def dev(port: int, host: str) -> None:
    """Open Dagster's UI, with daemon, until Ctrl-C.

    As `dagster dev -w workspace.yaml`, which may take its place, but backfills start within two seconds
    instead of thirty, and not even the first run waits for imports.

    \b
    Example:
      fin-lake dev --port 3001
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()
    settings.dagster_database()  # the commonest fault, a stack that is not up, is told at once
    click.echo(f"Dagster's UI: http://{host}:{port}   (Ctrl-C ends it)")
    run(settings, port, host)


def run(settings: Settings, port: int, host: str) -> None:
    """Run web server, daemon and the server of the code that both ask, until SIGINT or SIGTERM.

    Raises
    ------
    DevError
        One of them ended.
    """
    import yaml
    from dagster._cli.proxy_server_manager import ProxyServerManager

    from fin_lake.operations.daemon import definitions_target
    from fin_lake.operations.instance import EVENTS_A_WRITE, open_instance

    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", EVENTS_A_WRITE)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home or settings.home.resolve() / "dagster")
    os.environ["FIN_LAKE_HOME"] = str(settings.home.resolve())
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _interrupted)
    with open_instance(settings) as instance, tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace.yaml"
        try:
            with ProxyServerManager(instance, definitions_target(), "warning") as servers:
                workspace.write_text(yaml.safe_dump({"load_from": servers.get_code_server_specs()}))
                place = ["-h", host, "-p", str(port), "-w", str(workspace)]
                _run_all(
                    {
                        "the web server": ["dagster_webserver", *place, "--log-level", "warning"],
                        "the daemon": ["fin_lake.operations.daemon", str(workspace)],
                    }
                )
        except KeyboardInterrupt:
            click.echo("ended")


def _run_all(modules: dict[str, Sequence[str]]) -> None:
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, module in modules.items():
            command = [sys.executable, "-m", *module]
            running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
        while all(process.poll() is None for process in running.values()):
            time.sleep(_LOOK_SECONDS)
        name, process = next(one for one in running.items() if one[1].poll() is not None)
        raise DevError(f"{name} ended with exit status {process.returncode}", "what it said stands above")
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
