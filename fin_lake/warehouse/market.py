"""The schema ``market``: its tables, latest and adjusted prices, reading and replacing hours.

A reader sees all of an hour's old rows or all of its new ones: hours are deleted and copied in one
transaction. Writers of the same hour wait for each other.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final, LiteralString

import pgpq
import polars as pl
import psycopg
import pyarrow as pa
from psycopg import sql

from fin_lake.errors import FinLakeError
from fin_lake.partitions import HourRange
from fin_lake.schema import Table
from fin_lake.tables import POSTGRES_TABLES
from fin_lake.traffic import traffic

SCHEMA: Final = "market"
_CONNECT_SECONDS: Final = 10
# a connection that fails carries no SQLSTATE; a server that is starting up says so, and will heal
_REFUSED: Final = re.compile(r"authentication failed|does not exist|no pg_hba.conf entry|no password")
_SETUP_LOCK: Final = 0x66696E5F6C616B65  # "fin_lake" in hexadecimal: one set-up at a time

_LATEST_PRICES: Final[LiteralString] = """
    create or replace view market.latest_prices as
    select distinct on (asset_class, symbol) * from (
        select 'stocks' as asset_class, symbol, "timestamp", "interval", close_price, source
        from market.stocks
        union all
        select 'crypto', symbol, "timestamp", "interval", close_price, source
        from market.crypto
    ) bars
    order by asset_class, symbol, "timestamp" desc, "interval"
"""

# cleaning leaves one interval per symbol and hour, so the last bar to start is the last to end
_HOURLY_CLOSES: Final[LiteralString] = """
    select distinct on (symbol, hour) symbol, hour, close_price
    from (
        select symbol, date_trunc('hour', "timestamp", 'UTC') as hour, "timestamp", close_price
        from market.stocks
        where symbol = any(%(symbols)s) and "timestamp" >= %(start)s and "timestamp" < %(end)s
        union all
        select symbol, date_trunc('hour', "timestamp", 'UTC'), "timestamp", close_price
        from market.crypto
        where symbol = any(%(symbols)s) and "timestamp" >= %(start)s and "timestamp" < %(end)s
    ) bars
    order by symbol, hour, "timestamp" desc
"""

_SPLITS: Final[LiteralString] = """
    select symbol, "timestamp", ratio from market.corporate_actions
    where kind = 'split' and "timestamp" >= %s and "timestamp" < %s
    order by symbol, "timestamp"
"""


# As a window function it is exact where exp(sum(ln(x))) is not: four times a quarter is one.
_PRODUCT: Final[LiteralString] = """
    create or replace aggregate market.product(double precision) (sfunc = float8mul, stype = double precision)
"""

# Planned as part of the query that calls it, so a condition on the symbol reaches the tables' indexes.
# A span is the time between two actions of a symbol; its factors are the products of those after it.
_ADJUSTED_STOCKS: Final[LiteralString] = """
    create or replace function market.adjusted_stocks(
        as_of timestamptz default now(), dividends boolean default false
    )
    returns table (
        symbol text, "timestamp" timestamptz, "interval" text, open_price double precision,
        high_price double precision, low_price double precision, close_price double precision,
        volume double precision, source text, factor double precision
    )
    language sql stable parallel safe as $body$
        with effects as (
            select
                action.symbol,
                action."timestamp",
                case when action.kind = 'split' then 1 / action.ratio else 1 end as of_split,
                case
                    when not adjusted_stocks.dividends or action.kind = 'split' then 1
                    when action.amount < before.close_price then 1 - action.amount / before.close_price
                    else 1
                end as of_dividend
            from market.corporate_actions as action
            left join lateral (
                select
                    bar.close_price * coalesce(
                        (
                            select market.product(1 / split.ratio)
                            from market.corporate_actions as split
                            where split.symbol = bar.symbol and split.kind = 'split'
                                and split."timestamp" > bar."timestamp"
                                and split."timestamp" <= action."timestamp"
                        ),
                        1
                    ) as close_price
                from market.stocks as bar
                where adjusted_stocks.dividends and action.kind = 'dividend'
                    and bar.symbol = action.symbol and bar."timestamp" < action."timestamp"
                order by bar."timestamp" desc
                limit 1
            ) as before on true
            where action."timestamp" <= adjusted_stocks.as_of
        ),
        moments as (
            select
                effects.symbol,
                effects."timestamp",
                market.product(effects.of_split) as of_splits,
                market.product(effects.of_dividend) as of_dividends
            from effects
            group by effects.symbol, effects."timestamp"
        ),
        spans as (
            select
                moments.symbol,
                lag(moments."timestamp", 1, '-infinity') over forwards as since,
                moments."timestamp" as until,
                market.product(moments.of_splits) over backwards as share_factor,
                market.product(moments.of_splits * moments.of_dividends) over backwards as factor
            from moments
            window
                forwards as (partition by moments.symbol order by moments."timestamp"),
                backwards as (partition by moments.symbol order by moments."timestamp" desc)
        )
        select
            bar.symbol,
            bar."timestamp",
            bar."interval",
            bar.open_price * coalesce(span.factor, 1),
            bar.high_price * coalesce(span.factor, 1),
            bar.low_price * coalesce(span.factor, 1),
            bar.close_price * coalesce(span.factor, 1),
            bar.volume / coalesce(span.share_factor, 1),
            bar.source,
            coalesce(span.factor, 1)
        from market.stocks as bar
        left join spans as span
            on span.symbol = bar.symbol and span.since <= bar."timestamp" and bar."timestamp" < span.until
    $body$
"""
_ADJUSTED_COMMENT: Final[LiteralString] = """
    comment on function market.adjusted_stocks(timestamptz, boolean) is
    'Stock bars on the basis of as_of: prices times the product of what the splits (and, if asked for, the '
    'dividends) after the bar and up to as_of did to the price, which is the column factor; volumes divided '
    'by that of the splits. A split of n for one makes 1/n, a dividend 1 - amount / last close before it.'
"""
_SPLIT_ADJUSTED: Final[LiteralString] = """
    create or replace view market.stocks_split_adjusted as select * from market.adjusted_stocks()
"""
_TOTAL_RETURN: Final[LiteralString] = """
    create or replace view market.stocks_total_return as
    select * from market.adjusted_stocks(dividends => true)
"""
_VIEWS: Final = ("latest_prices", "stocks_split_adjusted", "stocks_total_return")
_STATE: Final[LiteralString] = """
    select
        obj_description(to_regnamespace('market'), 'pg_namespace'),
        (
            select count(*) from pg_class
            where relnamespace = to_regnamespace('market') and relname = any(%s)
        )
"""
_DERIVED: Final[tuple[LiteralString, ...]] = (
    _LATEST_PRICES,
    _PRODUCT,
    _ADJUSTED_STOCKS,
    _ADJUSTED_COMMENT,
    _SPLIT_ADJUSTED,
    _TOTAL_RETURN,
)


class WarehouseError(FinLakeError):
    """PostgreSQL cannot be reached, or refuses what was asked."""


class WarehouseUnavailableError(WarehouseError):
    """PostgreSQL does not answer, was stopped, or gave up a transaction for another's sake."""

    heals = True


@contextmanager
def connect(
    url: str, *, variable: str = "FIN_LAKE_DATABASE_URL", seconds: int = _CONNECT_SECONDS
) -> Iterator[psycopg.Connection]:
    """Open a connection; commit at the end, roll back on an error.

    Parameters
    ----------
    variable : str
        The setting that the URL comes from, for errors to name.
    seconds : int
        How long the server is waited for.

    Raises
    ------
    WarehouseError
        The server does not answer, refuses the user, or fails at a statement. The message names
        host, port and database, never the password.
    """
    place = _place(url, variable)
    try:
        connection = psycopg.connect(url, connect_timeout=seconds, application_name="fin_lake")
    except psycopg.OperationalError as error:
        kind = WarehouseError if _REFUSED.search(str(error)) else WarehouseUnavailableError
        raise kind(
            f"PostgreSQL at {place} cannot be reached: {_first_line(error)}",
            f"start it (`fin-lake up` for the local one) or correct {variable}",
        ) from None
    try:
        with connection:
            yield connection
    except psycopg.OperationalError as error:
        raise WarehouseUnavailableError(f"PostgreSQL at {place} failed: {_first_line(error)}") from error
    except psycopg.Error as error:
        raise WarehouseError(f"PostgreSQL at {place} failed: {_first_line(error)}") from error


def _place(url: str, variable: str) -> str:
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise WarehouseError(
            f"{variable} is not a PostgreSQL URL",
            "write it like postgresql://user:password@host:5432/database",
        ) from None
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def ensure_schema(connection: psycopg.Connection) -> None:
    """Create the schema, its tables, views and function where they are missing or of an older version.

    Nothing is touched where all is as it should be: to define a view anew waits for whoever reads it, and
    every other reader for that.
    """
    if is_current(connection):
        return
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
        connection.execute("create schema if not exists market")
        for statement in _definitions():
            connection.execute(sql.SQL(statement))
        connection.execute(sql.SQL("comment on schema market is {}").format(_version()))


@functools.cache
def _definitions() -> tuple[LiteralString, ...]:
    tables = [statement for table in POSTGRES_TABLES for statement in table.postgres_ddl(SCHEMA)]
    return (*tables, *_DERIVED)


@functools.cache
def _version() -> str:
    digest = hashlib.sha256("\n".join(_definitions()).encode()).hexdigest()
    return f"Market data of fin_lake, by definitions {digest[:16]}"


def is_current(connection: psycopg.Connection) -> bool:
    """Return whether the schema is there, as this version defines it."""
    relations = [*(table.postgres for table in POSTGRES_TABLES), *_VIEWS]
    found = connection.execute(_STATE, (relations,)).fetchone()
    return found == (_version(), len(relations))


def replace_hours(connection: psycopg.Connection, table: Table, hours: HourRange, rows: pl.DataFrame) -> None:
    """Replace the rows of a range of hours, in one transaction.

    Parameters
    ----------
    rows : polars.DataFrame
        In the table's schema, all within ``hours``; none makes the hours empty.
    """
    place = sql.Identifier(SCHEMA, table.postgres)
    with connection.transaction():
        _lock_hours(connection, table, hours)
        connection.execute(
            sql.SQL("delete from {} where {}").format(place, _of_hours(table)), _hours_values(table, hours)
        )
        if rows.is_empty():
            return
        arrow = rows.to_arrow().cast(table.arrow_schema())
        columns = sql.SQL(", ").join(map(sql.Identifier, table.column_names))
        statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(place, columns)
        with connection.cursor().copy(statement) as copy:
            for part in _encoded(arrow):
                copy.write(part)
                traffic().copied(len(part))


def _encoded(arrow: pa.Table) -> Iterator[bytes]:
    """Yield the rows as ``COPY`` reads them in its binary format."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(arrow.schema)
    yield encoder.write_header()
    for batch in arrow.to_batches():
        yield encoder.write_batch(batch)
    yield encoder.finish()


def _of_hours(table: Table) -> sql.Composable:
    """Return the condition on a table's rows of some hours."""
    condition = sql.SQL("timestamp >= %s and timestamp < %s")
    if table.postgres_part is None:
        return condition
    return sql.SQL("{} and {} = %s").format(condition, sql.Identifier(table.postgres_part[0]))


def _hours_values(table: Table, hours: HourRange) -> list[object]:
    return [hours.start, hours.end, *(table.postgres_part or ())[1:]]


def _lock_hours(connection: psycopg.Connection, table: Table, hours: HourRange) -> None:
    """Wait for other writers of these hours; taken in order, so two ranges cannot block each other."""
    name = ".".join((SCHEMA, table.postgres, *(table.postgres_part or ())))
    connection.execute(
        "select pg_advisory_xact_lock(hashtext(%s), hour) from generate_series(%s::int, %s::int) as hour",
        (name, _hour_number(hours, 0), _hour_number(hours, -1)),
    )


def _hour_number(hours: HourRange, which: int) -> int:
    moment = hours.start if which == 0 else hours.end
    return int(moment.timestamp()) // 3600 + which


def read_hours(connection: psycopg.Connection, table: Table, hours: HourRange) -> pl.DataFrame:
    """Return the rows of a range of hours, sorted by symbol, timestamp and the rest of the key."""
    leading = [name for name in ("symbol", "timestamp") if name in table.key]
    order = dict.fromkeys((*leading, *table.key))
    query = sql.SQL("select {} from {} where {} order by {}").format(
        sql.SQL(", ").join(map(sql.Identifier, table.column_names)),
        sql.Identifier(SCHEMA, table.postgres),
        _of_hours(table),
        sql.SQL(", ").join(map(sql.Identifier, order)),
    )
    rows = connection.execute(query, _hours_values(table, hours)).fetchall()
    return pl.DataFrame(rows, schema=table.polars_schema(), orient="row")


def read_hourly_closes(
    connection: psycopg.Connection, symbols: Collection[str], hours: HourRange
) -> pl.DataFrame:
    """Return the last price of each symbol in each hour that has a bar.

    Returns
    -------
    polars.DataFrame
        ``symbol``, ``hour_start`` (UTC) and ``close_price``, sorted by symbol and hour.
    """
    asked = {"symbols": list(symbols), "start": hours.start, "end": hours.end}
    rows = connection.execute(_HOURLY_CLOSES, asked).fetchall()
    times = pl.Datetime("us", "UTC")
    schema = pl.Schema({"symbol": pl.String(), "hour_start": times, "close_price": pl.Float64()})
    return pl.DataFrame(rows, schema=schema, orient="row")


def read_splits(connection: psycopg.Connection, hours: HourRange) -> pl.DataFrame:
    """Return the splits of a range of hours: ``symbol``, ``timestamp`` (ex-date, UTC), ``ratio``."""
    rows = connection.execute(_SPLITS, (hours.start, hours.end)).fetchall()
    times = pl.Datetime("us", "UTC")
    schema = pl.Schema({"symbol": pl.String(), "timestamp": times, "ratio": pl.Float64()})
    return pl.DataFrame(rows, schema=schema, orient="row")


def latest_bar(connection: psycopg.Connection, table: Table) -> dt.datetime | None:
    """Return the time of a table's latest row, UTC; none if it has no row."""
    query = sql.SQL("select max(timestamp) from {}").format(sql.Identifier(SCHEMA, table.postgres))
    row = connection.execute(query).fetchone()
    return row[0] if row else None
