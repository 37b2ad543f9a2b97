"""`fin-lake up | down | status | env`: the stack's commands.

The stack itself is imported when a command runs, since it needs packages that only an
installation with the extra ``local`` has.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fin_lake.errors import FinLakeError
from fin_lake.settings import load_settings

if TYPE_CHECKING:
    from fin_lake.local.stack import StackStatus


class ExtraMissingError(FinLakeError):
    """The packages of the local stack are not installed."""


def _stack() -> ModuleType:
    try:
        from fin_lake.local import stack  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"the local stack needs the package {error.name}, which is not installed",
            "pip install 'fin_lake[local]'",
        ) from error
    return stack


@click.command()
@click.option("--new-ports", is_flag=True, help="Choose other ports for the services that do not run.")
@click.option("--live", is_flag=True, help="Lay the recorded weeks onto the present ones.")
def up(*, new_ports: bool, live: bool) -> None:
    """Start PostgreSQL, S3, Athena and the recorded market on this machine, or what of it does not run.

    Data and ports are kept in .fin_lake/ (FIN_LAKE_HOME chooses another place).

    Time stands still at the recording's end. With --live, in a home of its own, it does not: whole recorded
    weeks are laid onto the present ones at the exchange's time of day, so that schedule, sensors and
    freshness can be watched working. The home stays live.

    \b
    Examples:
      fin-lake up
      FIN_LAKE_HOME=.fin_lake/live fin-lake up --live
    """  # noqa: D301
    stack = _stack()
    settings = load_settings()
    if settings.profile != "local":
        raise FinLakeError(
            f"`fin-lake up` starts the local stack, but FIN_LAKE_PROFILE is {settings.profile}",
            "set FIN_LAKE_PROFILE=local, or go on without `up`",
        )
    if live:
        from fin_lake.local.market import make_live  # noqa: PLC0415

        make_live(settings.home.resolve())
    console = Console()
    with console.status("starting") as spinner:
        current = stack.start(settings, lambda text: spinner.update(escape(text)), new_ports=new_ports)
    from fin_lake.operations.instance import prepare_dagster_home  # noqa: PLC0415

    prepare_dagster_home(settings)
    _show(console, current)
    console.print(
        "next:  [bold]fin-lake extract[/]            fetch the latest closed hour, build the models\n"
        "       [bold]make dev[/]                    Dagster's UI\n"
        '       [bold]eval "$(fin-lake env)"[/]      aws, psql and boto3 in this shell',
        highlight=False,
    )


@click.command()
def down() -> None:
    """Stop the local stack. Its data and ports stay; `fin-lake up` goes on with them.

    \b
    Example:
      fin-lake down
    """  # noqa: D301
    console = Console()
    settings = load_settings()
    with console.status("stopping") as spinner:
        stopped = _stack().stop(settings, lambda text: spinner.update(escape(text)))
    console.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Show what runs, where, since when, and how much it holds. Exit status 0 if all of it runs.

    \b
    Examples:
      fin-lake status
      fin-lake status --json
    """  # noqa: D301
    current = _stack().status(load_settings())
    if as_json:
        click.echo(json.dumps(current.as_json(), indent=2))
    else:
        _show(Console(), current)
    if not current.running:
        sys.exit(1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object, null for what is to be unset.")
def env(*, as_json: bool) -> None:
    """Print what makes aws, psql, boto3 and dagster in a shell see what fin-lake sees.

    The output holds passwords.

    \b
    Examples:
      eval "$(fin-lake env)"
      fin-lake env --json
    """  # noqa: D301
    from fin_lake.local.environment import exports, variables  # noqa: PLC0415

    settings = load_settings()
    if settings.profile == "local":
        _stack().Stack(settings).require_running()
    found = variables(settings)
    click.echo(json.dumps(found, indent=2) if as_json else exports(found))


def _show(console: Console, current: StackStatus) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("service", "state", "port", "pid", "up", "data", "log"):
        numeric = name in ("port", "pid", "up", "data")
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for service in current.services:
        healthy = service.state == "running"
        table.add_row(
            service.title,
            f"[{'green' if healthy else 'red'}]{service.state}[/]",
            str(service.port or ""),
            str(service.pid or ""),
            _span(service.started),
            _bytes(service.data_bytes),
            str(service.log.relative_to(current.home)),
        )
    console.print(table)
    console.print(f"under {current.home}", markup=False, highlight=False, soft_wrap=True)
    for note in current.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _span(since: dt.datetime | None) -> str:
    if since is None:
        return ""
    span = max(0.0, (dt.datetime.now(dt.UTC) - since).total_seconds())
    for unit, length in (("s", 60), ("min", 60), ("h", 48)):
        if span < length:
            return f"{span:.0f} {unit}"
        span /= length if unit != "h" else 24
    return f"{span:.0f} d"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
