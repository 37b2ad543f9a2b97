"""What commands show: rows as a table, as CSV or as JSON lines, and how far they are."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Final, Literal, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from fin_lake.operations.findings import NEEDS, Finding, Outcome

Layout = Literal["table", "csv", "json"]
Row = tuple[str | None, ...]
_SHOWN: Final = 1_000
_WHOLE: Final = ("tinyint", "smallint", "integer", "bigint")
_COLOURS: Final = {
    Outcome.OK: "green",
    Outcome.WARNING: "yellow",
    Outcome.FAILED: "red",
    Outcome.SKIPPED: "dim",
}
_NUMBERS: Final = (*_WHOLE, "float", "real", "double", "decimal")


class NamedColumn(Protocol):
    """A column of what is printed: its name, and its type as Athena calls it."""

    @property
    def name(self) -> str:
        """What stands above it."""

    @property
    def type(self) -> str:
        """By which numbers are told from texts."""


def progress_bar(console: Console, *, rate_over_seconds: float = 30) -> Progress:
    """Return a bar with counts and times; the rate behind the remaining time is of the last seconds."""
    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        speed_estimate_period=rate_over_seconds,
    )


def print_rows(columns: Sequence[NamedColumn], rows: Iterable[Row], layout: Layout | None, said: str) -> None:
    """Print rows on the standard output.

    Parameters
    ----------
    columns : sequence of NamedColumn
        None for what has no rows to show.
    rows : iterable of tuple of str or None
        Values as text, in the order of the columns; null is ``None``.
    layout : {'table', 'csv', 'json'} or None
        A table shows the first thousand rows. None is a table on a terminal and CSV elsewhere.
    said : str
        What stands below a table, after the number of rows.
    """
    console = Console()
    chosen = layout or ("table" if console.is_terminal else "csv")
    if chosen == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if columns:
            writer.writerow([column.name for column in columns])
        writer.writerows(rows)
    elif chosen == "json":
        typed = (_typed(columns, row) for row in rows)
        sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in typed)
    else:
        _print_table(console, columns, rows, said)


def _print_table(console: Console, columns: Sequence[NamedColumn], rows: Iterable[Row], said: str) -> None:
    shown = list(itertools.islice(rows, _SHOWN + 1))
    if columns and (shown or columns[0].name != "rows"):
        table = Table()
        for column in columns:
            number = column.type.startswith(_NUMBERS)
            table.add_column(column.name, justify="right" if number else "left", overflow="fold")
        for row in shown[:_SHOWN]:
            table.add_row(*("" if value is None else value for value in row))
        console.print(table, markup=False)
    more = f"the first {_SHOWN:,} rows (all: as CSV)" if len(shown) > _SHOWN else f"{len(shown):,} rows"
    console.print(f"{more}{said}", style="dim", highlight=False)


def _typed(columns: Sequence[NamedColumn], row: Row) -> dict[str, object]:
    return {column.name: _value(column.type, value) for column, value in zip(columns, row, strict=True)}


def _value(type_: str, text: str | None) -> object:
    if text is None:
        return None
    if type_ == "boolean":
        return text == "true"
    if type_ in _WHOLE:
        return int(text)
    if type_ in ("float", "real", "double") and text not in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    return text  # a decimal would lose digits, and JSON has no time


def finding_line(name: str, finding: Finding, width: int) -> Text:
    """Return what a check found as one line: outcome, name, what was found, its cause and its cure."""
    cause = f" ({finding.cause})" if finding.cause else ""
    cure = f" → {finding.cure}" if finding.cure else ""
    return Text.assemble(
        (f"{finding.outcome:8}", _COLOURS[finding.outcome]),
        f"{name:{width}}  {finding.found}{cause}{cure}",
    )


def findings_table(findings: Iterable[tuple[str, Finding]]) -> Table:
    """Return what checks found as a table; cause and cure stand below what was found.

    Checks that were skipped for want of another stand in one row, after all others.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    wanting: dict[str, list[str]] = {}
    for name, finding in findings:
        if finding.found.startswith(NEEDS):
            wanting.setdefault(finding.found, []).append(name)
            continue
        told = Text(finding.found)
        if finding.cause:
            told.append(f"\n{finding.cause}", "dim")
        if finding.cure:
            told.append(f"\n→ {finding.cure}", "bold")
        table.add_row(Text(finding.outcome, _COLOURS[finding.outcome]), name, told)
    for reason, names in wanting.items():
        skipped = Text(Outcome.SKIPPED, _COLOURS[Outcome.SKIPPED])
        table.add_row(skipped, reason, Text(", ".join(names), "dim"))
    return table


def finding_as_json(name: str, finding: Finding) -> dict[str, str]:
    """Return what a check found in JSON's types."""
    return {
        "name": name,
        "outcome": finding.outcome.value,
        "found": finding.found,
        "cause": finding.cause,
        "cure": finding.cure,
    }
