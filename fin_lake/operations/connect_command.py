"""`fin-lake connect`: how BI tools reach the data, as files to open and a role to sign in as."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from fin_lake.errors import FinLakeError
from fin_lake.settings import Settings, SettingsError, load_settings

_TO: Final = click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder to write into; the current one by default.",
)


@click.group()
def connect() -> None:
    """Write files by which Tableau and Power BI open the data, and make the role that they sign in as.

    \b
    Examples:
      fin-lake connect reader
      fin-lake connect tableau --to ~/Documents
      fin-lake connect power-bi
    """  # noqa: D301 - click's mark of a block is a backspace character


@connect.command()
def reader() -> None:
    """Make PostgreSQL's role fin_lake_reader, which reads the views of the schema reporting alone.

    Its password is FIN_LAKE_READER_PASSWORD. To be run again after an update, or with a new password.

    \b
    Example:
      FIN_LAKE_READER_PASSWORD=… fin-lake connect reader
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()
    if settings.reader_password is None:
        raise SettingsError("FIN_LAKE_READER_PASSWORD is not set", "set it in the environment or in .env")

    from fin_lake.warehouse.market import connect as connect_to
    from fin_lake.warehouse.reporting import READER, REPORTING, VIEWS, ensure_reader

    with connect_to(settings.database()) as connection:
        ensure_reader(connection, settings.reader_password.get_secret_value())
    click.echo(f"role {READER} reads {len(VIEWS)} views of the schema {REPORTING}")


@connect.command()
@_TO
def tableau(folder: Path) -> None:
    """Write data sources (.tds) for Tableau: PostgreSQL's views, and the reports on Athena.

    They hold no password: Tableau asks for it.

    \b
    Example:
      fin-lake connect tableau --to ~/Documents/"My Tableau Repository"/Datasources
    """  # noqa: D301 - click's mark of a block is a backspace character
    from fin_lake.engines.live import athena_place, postgres_place
    from fin_lake.engines.tableau import (
        REPORTS,
        athena_data_source,
        athena_properties,
        postgres_data_source,
    )
    from fin_lake.warehouse.reporting import VIEWS

    settings = load_settings()
    files = {"fin_lake_postgresql.tds": postgres_data_source(postgres_place(settings), VIEWS)}
    if _athena_is_aws(settings):
        tables = [f"reports_{report}" for report in REPORTS]
        place = athena_place(settings)
        files["fin_lake_athena.tds"] = athena_data_source(place, tables)
        files["athena.properties"] = athena_properties(place)
    _write(folder, files)


@connect.command("power-bi")
@_TO
def power_bi(folder: Path) -> None:
    """Write data source files (.pbids) for Power BI Desktop: PostgreSQL, and Athena by ODBC.

    They hold no password: Desktop asks for it.

    \b
    Example:
      fin-lake connect power-bi --to ~/Documents
    """  # noqa: D301 - click's mark of a block is a backspace character
    from fin_lake.engines.live import postgres_place
    from fin_lake.engines.power_bi import athena_connection, postgres_connection

    settings = load_settings()
    files = {"fin_lake_postgresql.pbids": postgres_connection(postgres_place(settings))}
    if _athena_is_aws(settings):
        files["fin_lake_athena.pbids"] = athena_connection()
    _write(folder, files)


def _athena_is_aws(settings: Settings) -> bool:
    """Return whether Athena is AWS's; the tools' drivers reach no other, and that is said."""
    if settings.athena_endpoint_url is None:
        return True
    click.echo(
        f"no file for Athena: drivers of BI tools do not reach {settings.athena_endpoint_url}", err=True
    )
    return False


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
            click.echo(str(folder / name))
    except OSError as error:
        raise FinLakeError(
            f"{error.filename} cannot be written: {error.strerror}", "name another folder with --to"
        ) from None
