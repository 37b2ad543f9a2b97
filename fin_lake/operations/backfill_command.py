"""`fin-lake backfill`: many hours through Dagster's daemon, watched until they are made."""

from __future__ import annotations

import datetime as dt
import json
import logging
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from fin_lake.operations.parameters import Hour
from fin_lake.operations.printing import progress_bar
from fin_lake.partitions import HOUR, HourRange
from fin_lake.settings import Settings, load_settings

if TYPE_CHECKING:
    import dagster as dg

    from fin_lake.operations.backfill import BackfillReport, Hours

_POLL_SECONDS: Final = 2.0
_DAEMON_POLL_SECONDS: Final = 10.0
_RATE_OVER_SECONDS: Final = 300.0


@click.command()
@click.option("--from", "start", type=Hour(), help="First hour, UTC, as in 2023-01-03T14.")
@click.option("--to", "end", type=Hour(), help="End of the hours, UTC, excluded.")
@click.option(
    "--select",
    "selection",
    multiple=True,
    metavar="ASSETS",
    help="Only these, in Dagster's selection syntax.",
)
@click.option("--failed", is_flag=True, help="Only hours that are failed, partial or missing.")
@click.option("--detach", is_flag=True, help="Return at once; the backfill goes on.")
@click.option("--cancel", metavar="ID", help="Cancel this backfill and its runs instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def backfill(
    start: dt.datetime | None,
    end: dt.datetime | None,
    selection: tuple[str, ...],
    failed: bool,  # noqa: FBT001 - click passes options so
    detach: bool,  # noqa: FBT001
    cancel: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Make many hours of tables, several runs at a time, and watch until they are made.

    From raw to the models, or what --select names. The hours go through Dagster's daemon, in runs of
    FIN_LAKE_HOURS_PER_RUN hours; where no daemon runs, one is started for as long as it takes. A
    Ctrl-C ends the watching, not the backfill. The exit status is 0 if everything was made.

    \b
    Examples:
      fin-lake backfill --from 2023-01-03 --to 2023-01-31
      fin-lake backfill --from 2023-01-03 --to 2023-01-31 --select group:raw --select market/stocks
      fin-lake backfill --failed
      fin-lake backfill --cancel hqmrnbvu
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()
    settings.dagster_database()  # a stack that is not up is told at once, before Dagster is imported
    settings.require_services()
    console = Console(stderr=as_json)
    if cancel is None and start is None and not failed:
        raise click.UsageError("--from is missing (or --failed, for all that is failed or missing)")

    from fin_lake.operations import backfill as work
    from fin_lake.operations.dead_runs import report_dead_runs
    from fin_lake.operations.instance import open_instance

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with open_instance(settings) as instance:
        report_dead_runs(instance)
        if cancel is not None:
            work.cancel_backfill(instance, cancel)
            _Daemon(settings, instance).ensure()
            console.print(f"backfill {cancel} is being cancelled")
            return
        hours = _asked(settings, instance, start, end, selection, failed=failed)
        if not hours:
            console.print("no hour is failed, partial or missing: nothing to do")
            return
        backfill_id = work.request_backfill(instance, settings, hours)
        daemon = _Daemon(settings, instance)
        daemon.ensure()
        if detach:
            console.print(
                f"backfill {backfill_id} goes on; cancel it: fin-lake backfill --cancel {backfill_id}"
            )
            return
        began = time.monotonic()
        try:
            _watch(instance, console, daemon, backfill_id, hours)
        except KeyboardInterrupt:
            console.print(
                f"\nbackfill {backfill_id} goes on without being watched\n"
                f"  cancel it:      fin-lake backfill --cancel {backfill_id}\n"
                f"  how far it is:  fin-lake hours, or the UI under Runs"
            )
            sys.exit(130)
        report = work.report(instance, settings, backfill_id, hours, time.monotonic() - began)
        daemon.wait_for_end()
    if as_json:
        click.echo(json.dumps({**asdict(report), "succeeded": report.succeeded}, indent=2))
    else:
        _show(console, report)
    if not report.succeeded:
        sys.exit(1)


def _asked(
    settings: Settings,
    instance: dg.DagsterInstance,
    start: dt.datetime | None,
    end: dt.datetime | None,
    selection: tuple[str, ...],
    *,
    failed: bool,
) -> Hours:
    from fin_lake.operations import backfill as work
    from fin_lake.operations.extract import closed_hours
    from fin_lake.operations.hours import hour_states, to_mend
    from fin_lake.schema import ASSET_CLASSES

    span = HourRange(start or settings.start, end or settings.latest_closed_hour + HOUR)
    span = closed_hours(settings, span)
    keys = work.selected_tables(settings, selection)
    if not failed:
        return work.all_hours(keys, span)
    states = hour_states(instance, settings, span)
    return work.hours_to_mend(keys, {name: to_mend(states, name) for name in ASSET_CLASSES})


class _Daemon:
    """Sees to it that some daemon runs: one that is there already, or one started here."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._settings = settings
        self._instance = instance
        self._started: subprocess.Popen[bytes] | None = None
        self._looked = -_DAEMON_POLL_SECONDS

    def ensure(self) -> None:
        """Start a daemon if none is alive; what is asked often is looked at now and then."""
        from fin_lake.operations import daemon

        if time.monotonic() - self._looked < _DAEMON_POLL_SECONDS:
            return
        self._looked = time.monotonic()
        if self._started is not None and self._started.poll() is None:
            return
        if not daemon.is_alive(self._instance):
            self._started = daemon.start(self._settings)

    def wait_for_end(self) -> None:
        """Wait until the daemon that was started here is gone."""
        from fin_lake.operations import daemon

        if self._started is not None:
            daemon.wait_for_end(self._started)


def _watch(
    instance: dg.DagsterInstance, console: Console, daemon: _Daemon, backfill_id: str, hours: Hours
) -> None:
    from fin_lake.operations.backfill import Watch

    watch = Watch(instance, backfill_id)
    with progress_bar(console, rate_over_seconds=_RATE_OVER_SECONDS) as bar:
        task = bar.add_task("starting", total=sum(map(len, hours.values())))
        while True:
            now = watch.progress()
            bar.update(task, completed=now.made)
            speed = bar.tasks[0].speed or 0
            lost = f", {now.failed:,} failed" if now.failed else ""
            doing = (
                f"{now.running} of {now.runs} runs going, {speed:,.0f}/s{lost}" if now.runs else "starting"
            )
            bar.update(task, description=doing)
            if now.finished:
                bar.update(task, description=f"done{lost}")
                return
            daemon.ensure()
            time.sleep(_POLL_SECONDS)


def _show(console: Console, report: BackfillReport) -> None:
    console.print(
        f"backfill {report.backfill_id}: {report.made:,} of {report.asked:,} hours of tables "
        f"in {report.seconds:.0f} s, {len(report.run_ids)} runs",
        highlight=False,
    )
    for failure in dict.fromkeys(report.failures):
        console.print(f"failed: {failure}", style="red", markup=False)
    for hours in report.unserved:
        console.print(f"not all symbols were served: {hours}", style="red", markup=False)
    if not report.succeeded:
        console.print("once the cause is mended:  fin-lake backfill --failed", highlight=False)
