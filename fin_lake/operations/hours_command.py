"""`fin-lake hours`: which hours are done, empty on purpose, missing or failed."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Final

import click
import polars as pl
from rich.console import Console

from fin_lake.operations.parameters import Hour, chosen_classes
from fin_lake.partitions import HOUR, HourRange, hour_key
from fin_lake.settings import Settings, load_settings

if TYPE_CHECKING:
    from fin_lake.operations.hours import State

_WEEK: Final = dt.timedelta(days=7)
_SHOWN_STRETCHES: Final = 30


class States(click.ParamType["tuple[State, ...]"]):
    """Names of states, separated by commas."""

    name = "states"

    def convert(
        self, value: str | tuple[State, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[State, ...]:
        """Return the states; complain of what is none as of wrong usage."""
        from fin_lake.operations.hours import State

        if not isinstance(value, str):
            return value
        try:
            return tuple(State(name.strip()) for name in value.split(","))
        except ValueError as error:
            self.fail(f"{error}; states are {', '.join(State)}", param, ctx)


@click.command()
@click.option("--from", "start", type=Hour(), help="First hour, UTC, as in 2023-01-03T14.")
@click.option("--to", "end", type=Hour(), help="End of the hours, UTC, excluded.")
@click.option("--state", "wanted", type=States(), help="Only these, as in missing,failed.")
@click.option("--stocks/--no-stocks", default=None, help="Stocks only, or all but stocks.")
@click.option("--crypto/--no-crypto", default=None, help="Crypto only, or all but crypto.")
@click.option("--check", is_flag=True, help="Exit with status 1 if an hour is failed, partial or missing.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each hour, one a line.")
def hours(
    start: dt.datetime | None,
    end: dt.datetime | None,
    wanted: tuple[State, ...] | None,
    stocks: bool | None,  # noqa: FBT001 - click passes options so
    crypto: bool | None,  # noqa: FBT001
    check: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Show which hours are done, empty on purpose, a gap, partial, failed, running or missing.

    Without options: the seven days up to the latest closed hour. An hour is done when it is in
    PostgreSQL as it was last fetched. What is partial, failed or missing is made by
    `fin-lake backfill --failed`.

    \b
    Examples:
      fin-lake hours
      fin-lake hours --from 2023-01-03 --to 2023-01-31 --state missing,failed --stocks
      fin-lake hours --check --json | jq -r 'select(.state == "failed").hour'
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()
    settings.dagster_database()  # a stack that is not up is told at once, before Dagster is imported
    classes = chosen_classes(stocks=stocks, crypto=crypto)
    span = _span(settings, start, end)

    from fin_lake.operations.hours import TO_MEND, hour_states
    from fin_lake.operations.instance import open_instance

    with open_instance(settings) as instance:
        states = hour_states(instance, settings, span, classes)
    shown = states if wanted is None else states.filter(pl.col("state").is_in([str(one) for one in wanted]))
    if as_json:
        for asset_class, hour, state in shown.iter_rows():
            click.echo(json.dumps({"asset_class": asset_class, "hour": hour_key(hour), "state": state}))
    else:
        _show(shown)
    if check and not shown.filter(pl.col("state").is_in(list(TO_MEND))).is_empty():
        sys.exit(1)


def _span(settings: Settings, start: dt.datetime | None, end: dt.datetime | None) -> HourRange:
    from fin_lake.operations.extract import closed_hours

    last = end or settings.latest_closed_hour + HOUR
    return closed_hours(settings, HourRange(start or max(last - _WEEK, settings.start), last))


def _show(states: pl.DataFrame) -> None:
    from fin_lake.operations.hours_calendar import SIGNS, on_terminal, stretches

    console = Console()
    if states.is_empty():
        console.print("no hour is in this state")
        return
    console.print(on_terminal(states))
    found = stretches(states)
    if not found:
        return
    console.print()
    for one in found[:_SHOWN_STRETCHES]:
        sign = SIGNS[one.state]
        text = f"{one.state:8} {one.asset_class:7} {one.hours}  {len(one.hours):,} h"
        console.print(text, style="red" if sign.character == "F" else None, highlight=False, markup=False)
    if len(found) > _SHOWN_STRETCHES:
        console.print(f"… and {len(found) - _SHOWN_STRETCHES} more (all: --json)")
    first, last = min(one.hours.start for one in found), max(one.hours.end for one in found)
    console.print(
        f"mend them:  fin-lake backfill --failed --from {first:%Y-%m-%dT%H} --to {last:%Y-%m-%dT%H}",
        highlight=False,
        markup=False,
    )
