"""`fin-lake as-of`: a table as it was known at a moment, printed or written to a file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import click
import polars as pl
from rich.console import Console

from fin_lake.errors import FinLakeError
from fin_lake.lake.formats import encode_parquet
from fin_lake.lake.store import Lake
from fin_lake.operations.as_of import TABLES, Known, as_of
from fin_lake.operations.parameters import Hour, Moment
from fin_lake.operations.printing import Row, print_rows
from fin_lake.partitions import HourRange
from fin_lake.portfolios.definitions import load_portfolios
from fin_lake.settings import load_settings


@click.command("as-of")
@click.argument("moment", metavar="TIME", type=Moment())
@click.argument("table", metavar="TABLE", type=click.Choice(TABLES))
@click.option("--from", "start", type=Hour(), required=True, help="First hour, UTC, as in 2023-01-03T14.")
@click.option("--to", "end", type=Hour(), required=True, help="End of the hours, UTC, excluded.")
@click.option("--symbol", help="Only this symbol.")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON, one a line.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write a Parquet file instead."
)
def as_of_command(
    moment: dt.datetime,
    table: str,
    start: dt.datetime,
    end: dt.datetime,
    symbol: str | None,
    as_json: bool,  # noqa: FBT001 - click passes options so
    output: Path | None,
) -> None:
    """Print TABLE as it was known at TIME, made again from what had been fetched by then.

    TIME is ISO 8601, UTC where it names no zone. TABLE is one of processed/stocks,
    processed/crypto, processed/corporate_actions, technical_analysis/… and portfolios/…. On a terminal
    rows come as a table, otherwise as CSV; how many of them have been revised since is said on the
    standard error.

    \b
    Examples:
      fin-lake as-of 2025-01-03T18:00 processed/stocks --from 2023-01-03T14 --to 2023-01-03T21
      fin-lake as-of 2025-01-03T13:00-05:00 processed/crypto --from 2023-01-03 --to 2023-01-04 \\
        --symbol BTC-USD --output known.parquet
    """  # noqa: D301 - click's mark of a block is a backspace character
    if as_json and output:
        raise click.UsageError("--json and --output exclude each other")
    settings = load_settings()
    portfolios = load_portfolios(settings.portfolios_file).values()
    known = as_of(Lake(settings), table, moment, HourRange(start, end), symbol, portfolios)
    if output:
        _write(output, known)
    else:
        columns = known.table.columns
        print_rows(columns, _texts(known.rows), "json" if as_json else None, f" as of {_shown(moment)}")
    Console(stderr=True).print(_since(known, moment), style="dim", highlight=False, markup=False)


def _write(output: Path, known: Known) -> None:
    try:
        output.write_bytes(encode_parquet(known.rows, known.table))
    except OSError as error:
        raise FinLakeError(f"{output} cannot be written: {error.strerror}", "name another file") from None


def _texts(rows: pl.DataFrame) -> Iterator[Row]:
    times = pl.selectors.datetime().dt.strftime("%Y-%m-%d %H:%M:%S%.3f")  # as Athena prints them
    yield from rows.with_columns(times).with_columns(pl.all().cast(pl.String)).iter_rows()


def _since(known: Known, moment: dt.datetime) -> str:
    return (
        f"{known.rows.height:,} rows were known at {_shown(moment)}; since then {known.revised:,} have been "
        f"revised and {known.added:,} added"
    )


def _shown(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
