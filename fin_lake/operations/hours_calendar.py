"""The states of hours drawn: a line a day and a cell an hour, for a terminal and in Markdown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fin_lake.operations.hours import TO_MEND, State, ranges
from fin_lake.partitions import HourRange

_QUIET: Final = ("green", "dim")


@dataclass(frozen=True, slots=True)
class Sign:
    """How a state looks: a character that every font has, in colour on a terminal, bold in Markdown."""

    character: str
    style: str
    meaning: str

    @property
    def markdown(self) -> str:
        """The character, bold if it is to be looked at."""
        return self.character if self.style in _QUIET else f"**{self.character}**"


SIGNS: Final[dict[State, Sign]] = {
    State.DONE: Sign("■", "green", "rows are stored"),
    State.EMPTY: Sign("·", "dim", "empty on purpose: the exchange is closed"),
    State.GAP: Sign("g", "black on yellow", "open, fetched, and nothing there"),
    State.PARTIAL: Sign("P", "bold black on dark_orange", "some symbols had no answer"),
    State.FAILED: Sign("F", "bold white on red", "the last attempt failed"),
    State.RUNNING: Sign("r", "bold black on cyan", "a run is at it"),
    State.MISSING: Sign("?", "bold magenta", "not made, or not through to PostgreSQL"),
}
_HOURS_OF_DAY: Final = range(24)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hours on end of one asset class and one state."""

    asset_class: str
    state: State
    hours: HourRange


def totals(states: pl.DataFrame) -> dict[State, int]:
    """Return how many hours are in each state, zeros included."""
    counted = dict(states.group_by("state").len().iter_rows())
    return {state: counted.get(state.value, 0) for state in State}


def stretches(states: pl.DataFrame, wanted: Sequence[State] = TO_MEND) -> list[Stretch]:
    """Return the hours of some states, those on end together, by asset class and time."""
    found = [
        Stretch(str(asset_class), State(state), hours)
        for (asset_class, state), part in states.group_by("asset_class", "state", maintain_order=True)
        if state in wanted
        for hours in ranges(part["hour"].sort().to_list())
    ]
    return sorted(found, key=lambda one: (one.asset_class, one.hours.start))


def on_terminal(states: pl.DataFrame) -> RenderableType:
    """Return the calendar with its legend: a line a day, 24 cells an asset class."""
    classes = states["asset_class"].unique(maintain_order=True).to_list()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("day (UTC)", no_wrap=True)
    for asset_class in classes:
        table.add_column(Text(f"{asset_class}\n0     6     12    18", style="bold"), no_wrap=True)
    cells = _cells(states)
    for day in sorted({day for day, _ in cells}):
        lines = [_line(cells.get((day, asset_class), {})) for asset_class in classes]
        table.add_row(f"{day:%Y-%m-%d %a}", *lines)
    return Group(table, Text(), _legend(totals(states)))


def in_markdown(states: pl.DataFrame) -> str:
    """Return the calendar as Markdown: a table an asset class, newest day first, and the legend."""
    parts = [_markdown_legend(totals(states))]
    cells = _cells(states)
    for asset_class in states["asset_class"].unique(maintain_order=True):
        head = [asset_class, *(f"{hour:02}" for hour in _HOURS_OF_DAY)]
        lines = [head, ["---"] * len(head)]
        for day in sorted({day for day, of_class in cells if of_class == asset_class}, reverse=True):
            of_day = cells[day, asset_class]
            signs = [SIGNS[of_day[hour]].markdown if hour in of_day else "" for hour in _HOURS_OF_DAY]
            lines.append([f"{day:%Y-%m-%d\u00a0%a}", *signs])
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(parts)


def _cells(states: pl.DataFrame) -> dict[tuple[dt.date, str], dict[int, State]]:
    cells: dict[tuple[dt.date, str], dict[int, State]] = {}
    for asset_class, hour, state in states.select("asset_class", "hour", "state").iter_rows():
        cells.setdefault((hour.date(), asset_class), {})[hour.hour] = State(state)
    return cells


def _line(of_day: dict[int, State]) -> Text:
    line = Text()
    for hour in _HOURS_OF_DAY:
        sign = SIGNS[of_day[hour]] if hour in of_day else None
        line.append(sign.character if sign else " ", style=sign.style if sign else "")
    return line


def _legend(counted: dict[State, int]) -> Table:
    legend = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(3):
        legend.add_column()
    legend.add_column(justify="right")
    for state, sign in SIGNS.items():
        if counted[state] or state is not State.RUNNING:
            legend.add_row(
                Text(sign.character, style=sign.style), state.value, sign.meaning, f"{counted[state]:,}"
            )
    return legend


def _markdown_legend(counted: dict[State, int]) -> str:
    return " · ".join(_entries(counted))


def _entries(counted: dict[State, int]) -> Iterator[str]:
    for state, sign in SIGNS.items():
        if counted[state] or state is not State.RUNNING:
            yield f"{sign.markdown} {state}: {counted[state]:,}"
