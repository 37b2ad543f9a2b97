"""Checks of the two PostgreSQL databases, of Dagster's daemon, and of the quotas that are counted there."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from typing import Final

import psycopg

from fin_lake.operations.findings import Finding, ok, skipped, warning
from fin_lake.settings import Settings
from fin_lake.sources.asking import Source
from fin_lake.sources.quota import counted_requests
from fin_lake.warehouse.market import connect, is_current

OLDEST: Final = 14
"""The oldest version of PostgreSQL that is known to do."""
_CONNECT_SECONDS: Final = 4
_MOST_CONNECTIONS: Final = 0.8
_MARKET: Final = "FIN_LAKE_DATABASE_URL"
_DAGSTER: Final = "FIN_LAKE_DAGSTER_DATABASE_URL"
_SERVER: Final = """
    select
        current_setting('server_version'),
        current_setting('server_version_num')::int / 10000,
        (select count(*) from pg_stat_activity where backend_type = 'client backend'),
        current_setting('max_connections')::int
"""


def market_database(settings: Settings) -> Finding:
    """Look whether the market's database answers, and whether its tables are as this version has them."""
    with connect(settings.database(), variable=_MARKET, seconds=_CONNECT_SECONDS) as connection:
        server = _server(connection)
        if is_current(connection):
            return _crowded(server) or ok(f"{server}, schema market as this version has it")
        (there,) = connection.execute("select to_regnamespace('market') is not null").fetchone() or (False,)
    if not there:
        return warning(
            f"{server}, no schema market yet", "nothing was ever stored here", "`fin-lake extract` makes it"
        )
    return warning(
        f"{server}, schema market is another version's",
        "the package is newer, or older, than the last run",
        "the next `fin-lake extract` brings it up to date",
    )


def dagster_database(settings: Settings) -> Finding:
    """Look whether Dagster's database answers, and whether Dagster has been there."""
    with connect(settings.dagster_database(), variable=_DAGSTER, seconds=_CONNECT_SECONDS) as connection:
        server = _server(connection)
        used = _has_dagsters_tables(connection)
    if not used:
        return warning(
            f"{server}, no tables of Dagster's yet", "nothing has run yet", "`fin-lake extract` makes them"
        )
    return _crowded(server) or ok(f"{server}")


def _has_dagsters_tables(connection: psycopg.Connection) -> bool:
    """Return whether Dagster has been there; who opens its instance makes its tables."""
    return connection.execute("select to_regclass('daemon_heartbeats') is not null").fetchone() == (True,)


@dataclass(frozen=True, slots=True)
class _Server:
    """A server: its version, and how many of its connections are taken."""

    version: str
    major: int
    connected: int
    most: int

    def __str__(self) -> str:
        return f"PostgreSQL {self.version.split()[0]}, {self.connected} of {self.most} connections"


def _server(connection: psycopg.Connection) -> _Server:
    return _Server(*(connection.execute(_SERVER).fetchone() or ("unknown", 0, 0, 1)))


def _crowded(server: _Server) -> Finding | None:
    if server.major < OLDEST:
        return warning(f"{server}", f"before {OLDEST} nothing was tried", f"use PostgreSQL {OLDEST} or later")
    if server.connected > server.most * _MOST_CONNECTIONS:
        return warning(
            f"{server}",
            "runs open a dozen each; the last ones are refused",
            "`select * from pg_stat_activity`; raise max_connections",
        )
    return None


def daemon(settings: Settings) -> Finding:
    """Look when Dagster's daemon last showed itself."""
    with connect(settings.dagster_database(), variable=_DAGSTER, seconds=_CONNECT_SECONDS) as connection:
        if not _has_dagsters_tables(connection):
            return skipped("no tables of Dagster's yet")
    from fin_lake.operations.daemon import is_alive  # noqa: PLC0415 - Dagster takes a second and a half
    from fin_lake.operations.instance import open_instance  # noqa: PLC0415

    with open_instance(settings) as instance:
        heartbeats = instance.get_daemon_heartbeats()
        if is_alive(instance):
            return ok(f"alive: {', '.join(sorted(name.lower() for name in heartbeats))}")
    last = max((one.timestamp for one in heartbeats.values()), default=None)
    seen = f"last seen {dt.timedelta(seconds=round(time.time() - last))} h ago" if last else "never seen"
    return warning(
        seen,
        "none runs: neither schedule nor sensors do anything; `fin-lake extract` and `backfill` need none",
        "`make dev`",
    )


def quotas(settings: Settings, sources: list[Source]) -> Finding:
    """Look how many requests each source has left of its 24 hours, without asking it."""
    left: list[str] = []
    used_up: list[str] = []
    with connect(settings.database(), variable=_MARKET, seconds=_CONNECT_SECONDS) as connection:
        for source in sources:
            most = source.limits.per_day
            if not most:
                continue
            rest = max(0, most - counted_requests(connection, source.name))
            left.append(f"{source.name} {rest:,} of {most:,}")
            if not rest:
                used_up.append(source.name)
    said = f"left of 24 hours: {', '.join(left)}" if left else "no source has a daily quota"
    if used_up:
        return warning(
            said,
            f"{' and '.join(used_up)} will not be asked until the oldest request is a day old",
            "wait, or raise …_REQUESTS_PER_DAY if the plan allows more",
        )
    return ok(said)
