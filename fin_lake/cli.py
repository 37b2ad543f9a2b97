"""`fin-lake …`: what a person types.

Each command imports what it needs when it runs, so that ``--help`` and the stack's commands do not
wait for Dagster.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table as RichTable

from fin_lake.errors import FinLakeError
from fin_lake.operations.parameters import Hour, chosen_classes
from fin_lake.operations.printing import progress_bar
from fin_lake.partitions import HourRange, hour_key
from fin_lake.settings import load_settings

if TYPE_CHECKING:
    import datetime as dt

    from fin_lake.operations.doctor import ServiceState
    from fin_lake.operations.extract import ExtractReport
    from fin_lake.settings import Settings

_ELSEWHERE: Final[Mapping[str, str]] = {
    "up": "fin_lake.local.commands:up",
    "down": "fin_lake.local.commands:down",
    "status": "fin_lake.local.commands:status",
    "env": "fin_lake.local.commands:env",
    "replay": "fin_lake.local.replay.commands:replay",
    "query": "fin_lake.operations.query_command:query",
    "doctor": "fin_lake.operations.doctor_command:doctor",
    "as-of": "fin_lake.operations.as_of_command:as_of_command",
    "hours": "fin_lake.operations.hours_command:hours",
    "metrics": "fin_lake.operations.metrics_command:metrics",
    "cost": "fin_lake.operations.cost_command:cost",
    "dev": "fin_lake.operations.dev_command:dev",
    "backfill": "fin_lake.operations.backfill_command:backfill",
    "deploy": "fin_lake.operations.deploy_command:deploy",
    "connect": "fin_lake.operations.connect_command:connect",
    "sagemaker": "fin_lake.operations.sagemaker_command:sagemaker",
    "snowflake": "fin_lake.operations.snowflake_command:snowflake",
}


class _Commands(click.Group):
    """The commands defined here, and others, which are imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_ELSEWHERE, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _ELSEWHERE:
            module, _, attribute = _ELSEWHERE[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name)


def _local_services(settings: Settings) -> list[ServiceState]:
    """Return how the local stack's services are; the doctor looks at them, and imports none of them."""
    from fin_lake.local.stack import Stack, State
    from fin_lake.operations.doctor import ServiceState

    return [
        ServiceState(one.name, one.title, one.state, one.state is State.RUNNING, one.log)
        for one in Stack(settings).status(notes=False).services
    ]


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "obj": _local_services})
@click.version_option(package_name="fin_lake")
def cli() -> None:
    """Hourly stock and crypto bars in an S3 lake and PostgreSQL.

    Start with `fin-lake up`, which starts PostgreSQL, S3, Athena and a recorded market on this machine,
    and `fin-lake extract`, which fetches the latest closed hour and builds the models on it.
    """


@cli.command()
@click.option("--hour", type=Hour(), help="One hour, UTC, as in 2023-01-03T14.")
@click.option("--from", "start", type=Hour(), help="First hour of a range, UTC.")
@click.option("--to", "end", type=Hour(), help="End of the range, UTC, excluded.")
@click.option("--stocks/--no-stocks", default=None, help="Stocks only, or all but stocks.")
@click.option("--crypto/--no-crypto", default=None, help="Crypto only, or all but crypto.")
@click.option("--analytics/--no-analytics", default=True, help="Whether to build the models on Athena.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def extract(
    hour: dt.datetime | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    stocks: bool | None,  # noqa: FBT001 - click passes options so
    crypto: bool | None,  # noqa: FBT001
    analytics: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Fetch hours from the APIs, keep them in S3, clean them, store them in PostgreSQL, build the models.

    Without options: the latest closed hour. The same hours may be extracted again at any time: raw
    keeps every attempt, everything else is replaced.

    \b
    Examples:
      fin-lake extract
      fin-lake extract --hour 2023-01-03T15
      fin-lake extract --from 2023-01-03T00 --to 2023-01-10T00 --stocks
    """  # noqa: D301 - click's mark of a block is a backspace character
    chosen = chosen_classes(stocks=stocks, crypto=crypto)
    settings = load_settings()
    asked = _asked_hours(hour, start, end, settings.latest_closed_hour)
    settings.dagster_database()  # the commonest fault, a stack that is not up, is told at once

    from fin_lake.collector import collect_seldom
    from fin_lake.operations import extract as work
    from fin_lake.operations.instance import open_instance

    collect_seldom()
    hours = work.closed_hours(settings, asked)
    console = Console(stderr=as_json)
    if hours != asked:
        console.print(f"{hour_key(hours.end)} is not over yet: extracting {hours}")
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with open_instance(settings) as instance, progress_bar(console) as bar:
        task = bar.add_task("starting", total=len(hours) * work.tables_made(chosen, analytics=analytics))

        def progress(made: int, doing: str) -> None:
            bar.update(task, advance=made, description=doing[:70] or None)

        report = work.extract(
            settings, hours, chosen, instance=instance, analytics=analytics, progress=progress
        )
        bar.update(task, description="done" if report.succeeded else "done, with failures")
    if as_json:
        click.echo(json.dumps(_as_json(report), indent=2))
    else:
        _show(console, report, settings.bucket)
    if not report.succeeded:
        sys.exit(1)


def _asked_hours(
    hour: dt.datetime | None, start: dt.datetime | None, end: dt.datetime | None, latest: dt.datetime
) -> HourRange:
    if hour and (start or end):
        raise click.UsageError("--hour and --from/--to exclude each other")
    if hour:
        return HourRange.of(hour)
    if end and not start:
        raise click.UsageError("--to needs --from")
    if start:
        return HourRange(start, end or HourRange.of(max(latest, start)).end)
    return HourRange.of(latest)


def _show(console: Console, report: ExtractReport, bucket: str) -> None:
    table = RichTable(title=f"{report.hours}, {len(report.hours)} h in {report.seconds:.1f} s")
    table.add_column("table")
    for name in ("hours", "rows", "objects", "bytes"):
        table.add_column(name, justify="right")
    for name, made in sorted(report.tables.items(), key=_in_layers):
        table.add_row(
            name,
            f"{made.hours:,}",
            f"{made.rows:,}",
            f"{made.objects:,}" if made.objects else "",
            f"{made.size:,}" if made.size else "",
        )
    if report.tables:
        console.print(table)
    _show_models(console, report)
    console.print(f"lake: s3://{bucket}/   PostgreSQL: schema market   runs: {', '.join(report.run_ids)}")
    for warning in dict.fromkeys(report.warnings):
        console.print(f"warning: {warning}", style="yellow", markup=False)
    for failure in dict.fromkeys(report.failures):
        console.print(f"failed: {failure}", style="red", markup=False)


def _show_models(console: Console, report: ExtractReport) -> None:
    if not report.models:
        return
    tests = report.tests
    table = RichTable(title=f"tests: {tests.passed} passed, {tests.warned} warned, {tests.failed} failed")
    table.add_column("model")
    for name in ("rows", "seconds"):
        table.add_column(name, justify="right")
    for name, model in report.models.items():  # in the order in which they were built
        table.add_row(name, f"{model.rows:,}" if model.rows is not None else "", f"{model.seconds:.1f}")
    console.print(table)


def _in_layers(item: tuple[str, Any]) -> tuple[int, str]:
    layers = ("raw", "processed", "quarantine", "technical_analysis", "portfolios", "market")
    layer, _, name = item[0].partition("/")
    return (layers.index(layer) if layer in layers else len(layers), name)


def _as_json(report: ExtractReport) -> dict[str, Any]:
    return {
        "from": hour_key(report.hours.start),
        "to": hour_key(report.hours.end),
        "seconds": round(report.seconds, 3),
        "tables": {name: asdict(made) for name, made in report.tables.items()},
        "models": {name: asdict(model) for name, model in report.models.items()},
        "tests": asdict(report.tests),
        "warnings": list(dict.fromkeys(report.warnings)),
        "failures": list(dict.fromkeys(report.failures)),
        "run_ids": report.run_ids,
    }


def main() -> None:
    """Run the command line; an error that a person can mend is printed without a traceback."""
    warnings.simplefilter("ignore")  # Dagster announces its beta features at every import
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FinLakeError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
