"""One at a time at the models' tables, over all processes and machines.

Two dbt runs would write into each other's temporary tables, and commits to the same Iceberg table
would fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from fin_lake.settings import Settings
from fin_lake.warehouse.market import connect

_LOCK: Final = 0x646274  # "dbt" in hexadecimal


@contextmanager
def tables_to_itself(settings: Settings, waiting: Callable[[str], None]) -> Iterator[None]:
    """Wait until nobody else works at the models' tables, and keep others waiting.

    Parameters
    ----------
    waiting : callable
        Told if there is somebody to wait for.

    Raises
    ------
    WarehouseError
        PostgreSQL, which keeps the lock, cannot be reached.
    """
    lock = (_LOCK, f"{settings.bucket}/{settings.glue_database}")
    with connect(settings.database()) as connection:
        connection.autocommit = True  # the lock is the session's; no transaction stays open meanwhile
        free = connection.execute("select pg_try_advisory_lock(%s, hashtext(%s))", lock).fetchone()
        if free != (True,):
            waiting(f"another run works at the tables of {settings.glue_database}: waiting for it")
            connection.execute("select pg_advisory_lock(%s, hashtext(%s))", lock)
        yield  # the lock goes when the connection does
