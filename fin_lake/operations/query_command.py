"""`fin-lake query`: SQL on the lake, printed."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from fin_lake.errors import FinLakeError
from fin_lake.operations.athena import Answer, Athena, Column
from fin_lake.settings import load_settings

_SHOWN: Final = 1_000
_WHOLE: Final = ("tinyint", "smallint", "integer", "bigint")
_NUMBERS: Final = (*_WHOLE, "float", "real", "double", "decimal")


@click.command()
@click.argument("sql")
@click.option("--format", "layout", type=click.Choice(["table", "csv", "json"]), help="How rows are printed.")
@click.option(
    "--param", "parameters", multiple=True, help="SQL literal for a question mark, as in \"'AAPL'\"."
)
@click.option("--database", help="Glue database of names without one; the lake's by default.")
def query(sql: str, layout: str | None, parameters: tuple[str, ...], database: str | None) -> None:
    """Run a statement on Athena and print its rows; SQL of `-` is read from the standard input.

    On a terminal rows come as a table, otherwise as CSV with all rows.

    \b
    Examples:
      fin-lake query "show tables"
      fin-lake query "select * from reports_daily_market_summary limit 5"
      fin-lake query --format csv "select * from processed_stocks where symbol = ?" --param "'IBM'"
    """  # noqa: D301 - click's mark of a block is a backspace character
    text = sys.stdin.read() if sql == "-" else sql
    if not text.strip():
        raise FinLakeError("there is no SQL to run", 'give a statement: fin-lake query "show tables"')
    console = Console()
    with Console(stderr=True).status("running") as spinner:
        answer = Athena(load_settings()).run(text, parameters, database=database, progress=spinner.update)
    chosen = layout or ("table" if console.is_terminal else "csv")
    if chosen == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if answer.columns:
            writer.writerow([column.name for column in answer.columns])
        writer.writerows(answer.rows())
    elif chosen == "json":
        rows = (_typed(answer.columns, row) for row in answer.rows())
        sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        _print_table(console, answer)


def _print_table(console: Console, answer: Answer) -> None:
    rows = list(itertools.islice(answer.rows(), _SHOWN + 1))
    if answer.columns and (rows or answer.columns[0].name != "rows"):
        table = Table()
        for column in answer.columns:
            number = column.type.startswith(_NUMBERS)
            table.add_column(column.name, justify="right" if number else "left", overflow="fold")
        for row in rows[:_SHOWN]:
            table.add_row(*("" if value is None else value for value in row))
        console.print(table, markup=False)
    more = f"the first {_SHOWN:,} rows (all: --format csv)" if len(rows) > _SHOWN else f"{len(rows):,} rows"
    console.print(
        f"{more} in {answer.seconds:.2f} s, {answer.scanned_bytes:,} bytes read", style="dim", highlight=False
    )


def _typed(columns: tuple[Column, ...], row: tuple[str | None, ...]) -> dict[str, object]:
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
