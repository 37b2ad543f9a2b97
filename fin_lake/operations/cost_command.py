"""`fin-lake cost`: what the lake costs a month in AWS, by what is there and what a run takes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fin_lake.settings import load_settings

if TYPE_CHECKING:
    from fin_lake.operations.cost import Estimate, Usage
    from fin_lake.operations.measured_run import MeasuredRun
    from fin_lake.operations.prices import Prices


@click.command()
@click.option(
    "--prices", "prices_file", type=click.Path(path_type=Path, dir_okay=False), help="A price list of yours."
)
@click.option("--inventory", metavar="s3://…", help="Count from the newest S3 Inventory under this place.")
@click.option("--runs", type=click.FloatRange(min=0), help="Runs a month; one an hour by default: 730.")
@click.option("--puts", type=click.FloatRange(min=0), help="PUT requests a run, instead of those measured.")
@click.option("--gets", type=click.FloatRange(min=0), help="GET requests a run.")
@click.option("--lists", type=click.FloatRange(min=0), help="LIST requests a run.")
@click.option("--statements", type=click.IntRange(min=0), help="Statements on Athena a run, of 10 MB each.")
@click.option("--outside/--inside", default=False, help="Whether the pipeline runs outside of AWS.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def cost(
    prices_file: Path | None,
    inventory: str | None,
    runs: float | None,
    puts: float | None,
    gets: float | None,
    lists: float | None,
    statements: int | None,
    outside: bool,  # noqa: FBT001 - click passes options so
    as_json: bool,  # noqa: FBT001
) -> None:
    """Estimate what the lake costs a month, and in twelve months, and what would change that.

    Storage is counted, requests and statements are those of the last run, prices are a dated file of the
    package. An estimate in US dollars, not a bill.

    \b
    Examples:
      fin-lake cost
      fin-lake cost --runs 24 --outside
      fin-lake cost --prices my-region.toml --json | jq .monthly
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()

    from fin_lake.definitions import JOBS
    from fin_lake.lake.compression import compression
    from fin_lake.lake.store import Lake
    from fin_lake.operations.cost import HOURS_A_MONTH, estimate
    from fin_lake.operations.metrics_command import count, measured_run
    from fin_lake.operations.prices import load_prices
    from fin_lake.operations.usage import attempts_to_come, monthly_usage

    prices = load_prices(settings.aws_region, prices_file)
    console = Console(stderr=as_json)
    stored = count(settings, inventory, console)
    run = measured_run(settings)
    usage = monthly_usage(
        settings,
        stored,
        run,
        prices,
        jobs=len(JOBS),
        runs=HOURS_A_MONTH if runs is None else runs,
        outside=outside,
        given={"puts": puts, "gets": gets, "lists": lists, "statements": statements},
    )
    ratios = compression(Lake(settings), stored.samples)
    made = estimate(
        stored,
        usage,
        prices,
        attempts=attempts_to_come(settings, stored),
        compacted={name: one.compacted for name, one in ratios.items()},
    )
    if as_json:
        click.echo(json.dumps(_as_json(made, usage, prices, run), indent=2))
    else:
        _show(console, made, prices, run)


def _show(console: Console, made: Estimate, prices: Prices, run: MeasuredRun | None) -> None:
    table = Table(title=f"a month, prices of {prices.region} of {prices.checked}", box=SIMPLE_HEAD)
    table.add_column("what")
    table.add_column("how much", overflow="fold")
    table.add_column("US $", justify="right")
    for line in made.lines:
        table.add_row(line.name, line.amount, _dollars(line.dollars))
    table.add_section()
    table.add_row("together", "", _dollars(made.monthly))
    console.print(table)

    table = Table(title="storage of a month from now, US $", box=SIMPLE_HEAD)
    for name in ("month", "GB", "objects", "all Standard", "lifecycle", "Intelligent-Tiering"):
        table.add_column(name, justify="right")
    for one in made.months:
        table.add_row(
            str(one.number),
            f"{one.size / 1024**3:,.3f}",
            f"{one.objects:,.0f}",
            *map(_dollars, (one.without, one.lifecycle, one.tiering)),
        )
    console.print(table)

    table = Table(title="over twelve months", box=SIMPLE_HEAD)
    table.add_column("change", overflow="fold")
    table.add_column("saves, US $", justify="right")
    table.add_column("why", overflow="fold")
    for change in made.changes:
        table.add_row(change.name, _dollars(change.saves), change.why)
    console.print(table)
    for note in made.notes:
        console.print(f"- {note}", highlight=False)
    if run is None:
        console.print("- no run has been measured: requests and statements are those of the options alone")
    else:
        console.print(
            f"- requests and statements as of run {run.run_id}, {len(run.hours)} h", highlight=False
        )
    if prices.unconfirmed:
        console.print(f"- not confirmed on a second page: {', '.join(prices.unconfirmed)}", highlight=False)


def _dollars(dollars: float) -> str:
    return f"{dollars:,.2f}" if abs(dollars) >= 1 or not dollars else f"{dollars:,.5f}"


def _as_json(made: Estimate, usage: Usage, prices: Prices, run: MeasuredRun | None) -> dict[str, object]:
    return {
        "region": prices.region,
        "prices_checked": prices.checked.isoformat(),
        "prices_unconfirmed": list(prices.unconfirmed),
        "monthly": made.monthly,
        "lines": [asdict(line) for line in made.lines],
        "usage": asdict(usage),
        "months": [asdict(month) for month in made.months],
        "changes": [asdict(change) for change in made.changes],
        "notes": list(made.notes),
        "measured_run": run.as_json() if run else None,
    }
