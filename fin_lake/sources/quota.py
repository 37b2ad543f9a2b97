"""A daily quota that outlives the process and is shared by all workers.

The count is kept by pyrate-limiter in PostgreSQL, as one row per request of the last 24 hours. The
24 hours slide: whenever the source's own day begins, it never sees more than it allows.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool
from pyrate_limiter import AbstractBucket, Duration, PostgresBucket, Rate, RateItem

from fin_lake.errors import FinLakeError
from fin_lake.settings import Settings
from fin_lake.sources.asking import Question
from fin_lake.sources.failures import NotAsked, QuotaExhausted

SCHEMA: Final = "ops"
OpenBucket = Callable[[Settings, str, int], AbstractBucket]

_CONNECT_SECONDS: Final = 5
_BUSY_SECONDS: Final = 10.0  # how long another worker may hold the count before we give up


class DailyQuota:
    """So many requests in any 24 hours.

    Parameters
    ----------
    per_day : int
        How many.
    open_bucket : callable
        Opens the store; called at the first request, in a thread.
    """

    def __init__(self, per_day: int, open_bucket: Callable[[], AbstractBucket]) -> None:
        self._per_day = per_day
        self._open_bucket = open_bucket
        self._bucket: Any = None  # pyrate-limiter's methods are typed by halves
        self._problem = ""

    async def take(self, question: Question) -> None:
        """Count one request.

        Raises
        ------
        QuotaExhausted
            The quota is used up. Says when a request is free again.
        NotAsked
            The store does not answer. It is not tried again for the next symbol.
        """
        wait: float | None = None
        if not self._problem:
            try:
                wait = await asyncio.to_thread(self._take)
            except (psycopg.Error, sqlite3.Error, FinLakeError, OSError, TimeoutError) as error:
                reason = error.what if isinstance(error, FinLakeError) else str(error).partition("\n")[0]
                self._problem = f"{type(error).__name__}: {reason}"
        if self._problem:
            raise question.failure(
                NotAsked,
                f"not asked, since the store of the daily quota does not answer ({self._problem})",
                "start the database of FIN_LAKE_DATABASE_URL, or set the source's …_REQUESTS_PER_DAY to 0",
            )
        if wait is not None:
            free = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=wait)
            raise question.failure(
                QuotaExhausted,
                f"not asked, since the {self._per_day} requests of 24 hours are used up; "
                f"one is free at {free:%Y-%m-%d %H:%M} UTC",
                "wait, or raise the source's …_REQUESTS_PER_DAY if the plan allows more",
                retry_after=wait,
            )

    def _take(self) -> float | None:
        """Count a request; return the seconds to wait if there is none left."""
        if self._bucket is None:
            self._bucket = self._open_bucket()
            self._bucket.leak(self._bucket.now())
        give_up = time.monotonic() + _BUSY_SECONDS
        while True:
            decision = self._bucket.put_decision(RateItem("request", self._bucket.now()))
            if decision.allowed:
                return None
            if decision.retry_after_ms is not None:
                return float(decision.retry_after_ms) / 1000
            # Refused without a time: another worker is counting at this moment.
            if time.monotonic() > give_up:
                raise TimeoutError(f"busy for {_BUSY_SECONDS:.0f} s")
            time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - jitter

    def close(self) -> None:
        """Close the store, if it was opened."""
        if self._bucket is not None:
            self._bucket.close()
            self._bucket = None


def postgres_bucket(settings: Settings, source: str, per_day: int) -> AbstractBucket:
    """Open the count of a source in the market database, in the schema ``ops``.

    Raises
    ------
    SettingsError
        No database is set.
    psycopg.Error
        It does not answer, or refuses.
    """
    url = settings.database()
    with psycopg.connect(url, connect_timeout=_CONNECT_SECONDS, autocommit=True) as connection:
        # Looked up first, since `if not exists` asks for the right to create even where it exists.
        known = connection.execute("select to_regnamespace(%s) is not null", (SCHEMA,)).fetchone()
        if known != (True,):
            with connection.transaction():
                connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (SCHEMA,))
                connection.execute(f"create schema if not exists {SCHEMA}")
    pool = ConnectionPool(
        url,
        min_size=1,
        max_size=1,
        num_workers=1,
        timeout=_CONNECT_SECONDS,
        kwargs={"connect_timeout": _CONNECT_SECONDS},
        configure=_prepare,
        open=True,
    )
    return PostgresBucket(pool, f"quota_{source}", [Rate(per_day, Duration.DAY)])


def counted_requests(connection: psycopg.Connection[Any], source: str) -> int:
    """Return how many requests of the last 24 hours are counted against a source's quota."""
    table = f"{SCHEMA}.ratelimit___quota_{source}"  # as pyrate-limiter names the table of `quota_SOURCE`
    known = connection.execute("select to_regclass(%s) is not null", (table,)).fetchone()
    if known != (True,):
        return 0  # never asked
    counted = connection.execute(
        sql.SQL(
            "select count(*) from {} where item_timestamp > (now() at time zone 'utc') - interval '1 day'"
        ).format(sql.Identifier(*table.split(".")))
    ).fetchone()
    return int(counted[0]) if counted else 0


def _prepare(connection: psycopg.Connection[Any]) -> None:
    """Set where the table lies, and UTC: it holds times without a zone, as the session sees them."""
    connection.execute(f"set search_path to {SCHEMA}")
    connection.execute("set timezone to 'UTC'")
    connection.commit()
