"""One at a time, over all processes and machines: PostgreSQL keeps the locks.

A lock goes when its holder's connection does, however the holder ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fin_lake.settings import Settings
from fin_lake.warehouse.market import connect


@contextmanager
def only_one(settings: Settings, what: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Wait until nobody else is at something, and keep others waiting.

    Parameters
    ----------
    what : str
        What is had by one at a time, as a person would call it. Locks of different buckets differ.
    waiting : callable
        Told if there is somebody to wait for.

    Raises
    ------
    WarehouseError
        PostgreSQL cannot be reached.
    """
    lock = (f"{settings.bucket}: {what}",)
    with connect(settings.database()) as connection:
        connection.autocommit = True  # the lock is the session's; no transaction stays open meanwhile
        free = connection.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", lock).fetchone()
        if free != (True,):
            waiting(f"another run is at {what}: waiting for it")
            connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", lock)
        yield


def tables_to_itself(settings: Settings, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
    """Wait for the models' tables: two dbt runs would write into each other's, and Iceberg refuse commits."""
    return only_one(settings, f"the tables of {settings.glue_database}", waiting)
