"""`fin-lake snowflake`: the SQL of Snowflake's objects and loads."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import click
from rich.console import Console

from fin_lake.operations.parameters import Hour
from fin_lake.operations.printing import progress_bar
from fin_lake.partitions import HourRange
from fin_lake.settings import load_settings

if TYPE_CHECKING:
    from fin_lake.engines.snowflake.sql import Format


@click.group()
def snowflake() -> None:
    """Show or make what Snowflake needs to read the lake.

    Hours are loaded by Dagster: the job load_snowflake, or `fin-lake backfill --select group:snowflake`.
    """


@snowflake.command()
@click.option("--apply", is_flag=True, help="Execute the statements in the account of the settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the statements as a JSON list.")
def ddl(
    apply: bool,  # noqa: FBT001 - click passes options so
    as_json: bool,  # noqa: FBT001
) -> None:
    """Print the statements that make database, formats, storage integration, stage and tables.

    As often as you like: what is there stays, with its rows. The storage integration is for an
    ACCOUNTADMIN to make, or a role with CREATE INTEGRATION.

    \b
    Examples:
      fin-lake snowflake ddl > snowflake.sql
      fin-lake snowflake ddl --apply
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()
    from fin_lake.engines.snowflake.sql import objects

    statements = objects(settings)
    if not apply:
        _print(statements, as_json=as_json)
        return
    from fin_lake.engines.snowflake.connection import Snowflake
    from fin_lake.engines.snowflake.loading import make_objects

    with progress_bar(Console(stderr=True)) as bar:
        task = bar.add_task("making Snowflake's objects", total=len(statements))
        make_objects(Snowflake(settings), lambda done, _of: bar.update(task, completed=done))
    if as_json:
        click.echo(json.dumps({"statements": len(statements)}))


@snowflake.command()
@click.argument("table")
@click.option("--from", "start", type=Hour(), required=True, help="First hour, UTC, as in 2023-01-03T14.")
@click.option("--to", "end", type=Hour(), help="End of the hours, UTC, excluded; one hour if omitted.")
@click.option(
    "--format", "file_format", type=click.Choice(["parquet", "json"]), default="parquet", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print the statements as a JSON list.")
def copy(
    table: str,
    start: dt.datetime,
    end: dt.datetime | None,
    file_format: Format,
    as_json: bool,  # noqa: FBT001 - click passes options so
) -> None:
    """Print the transaction that replaces hours of TABLE by what the lake holds.

    TABLE is stocks, crypto, corporate_actions, technical_analysis/stocks, portfolios/valuations, …

    \b
    Examples:
      fin-lake snowflake copy stocks --from 2023-01-03T14
      fin-lake snowflake copy crypto --from 2023-01-03 --to 2023-01-04 --format json
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()
    from fin_lake.engines.snowflake.sql import LAYER, SOURCES, replacement
    from fin_lake.portfolios.definitions import load_portfolios
    from fin_lake.tables import TABLES_BY_ASSET

    source = SOURCES.get(f"{LAYER}/{table}")
    if source is None:
        known = ", ".join(key.removeprefix(f"{LAYER}/") for key in SOURCES)
        raise click.BadParameter(f"{table!r} is not loaded into Snowflake; there are {known}")
    hours = HourRange(start, end) if end else HourRange.of(start)
    parts = tuple(load_portfolios(settings.portfolios_file))
    described = TABLES_BY_ASSET[source]
    _print(replacement(settings, described, hours, parts, file_format), as_json=as_json)


def _print(statements: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(statements, indent=2))
    else:
        click.echo("".join(f"{statement};\n" for statement in statements), nl=False)
