"""`fin-lake query`: SQL on the lake, printed."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from fin_lake.errors import FinLakeError
from fin_lake.operations.athena import Athena
from fin_lake.operations.printing import Layout, print_rows
from fin_lake.settings import load_settings


@click.command()
@click.argument("sql")
@click.option("--format", "layout", type=click.Choice(["table", "csv", "json"]), help="How rows are printed.")
@click.option(
    "--param", "parameters", multiple=True, help="SQL literal for a question mark, as in \"'AAPL'\"."
)
@click.option("--database", help="Glue database of names without one; the lake's by default.")
def query(sql: str, layout: Layout | None, parameters: tuple[str, ...], database: str | None) -> None:
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
    with Console(stderr=True).status("running") as spinner:
        answer = Athena(load_settings()).run(text, parameters, database=database, progress=spinner.update)
    said = f" in {answer.seconds:.2f} s, {answer.scanned_bytes:,} bytes read"
    print_rows(answer.columns, answer.rows(), layout, said)
