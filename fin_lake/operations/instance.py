"""Dagster's instance: its home, and the storage in which runs and materializations are recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fin_lake.errors import FinLakeError

if TYPE_CHECKING:
    import dagster as dg

    from fin_lake.settings import Settings


EVENTS_A_WRITE: Final = "500"
"""One event a materialized hour, one write a batch: singly they cost more than the data."""


class InstanceError(FinLakeError):
    """Dagster's storage cannot be opened."""


def prepare_dagster_home(settings: Settings) -> Path:
    """Return Dagster's home, ``<home>/dagster``, with the package's ``dagster.yaml`` in it."""
    home = settings.home.resolve() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shipped = files("fin_lake").joinpath("dagster.yaml").read_text()
    config = home / "dagster.yaml"
    if not config.exists() or config.read_text() != shipped:
        config.write_text(shipped)
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the instance that the UI and the daemon use too.

    Raises
    ------
    InstanceError
        Its database does not answer.
    """
    import dagster as dg  # noqa: PLC0415 - a second and a half, and the stack's commands do without
    from dagster_postgres.utils import DagsterPostgresException  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    # dagster.yaml takes the URL from this variable, so that it can be the same file everywhere
    os.environ["FIN_LAKE_DAGSTER_DATABASE_URL"] = settings.dagster_database()
    home = settings.dagster_home or prepare_dagster_home(settings)
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance
    except (DBAPIError, DagsterPostgresException) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
        raise InstanceError(
            f"Dagster's database does not answer: {reason}",
            "start it (`fin-lake up` for the local one) or correct FIN_LAKE_DAGSTER_DATABASE_URL; what was "
            "being done may be done again",
        ) from None
