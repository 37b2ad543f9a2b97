"""Hours into Snowflake and out of it again, and the making of what they need there.

What is executed is written in :mod:`fin_lake.engines.snowflake.sql`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from fin_lake.engines.snowflake import sql
from fin_lake.engines.snowflake.connection import Snowflake
from fin_lake.partitions import UTC, HourRange
from fin_lake.schema import Table

_LOADED: Final = "LOADED"


class LoadError(sql.SnowflakeError):
    """A load that is not what it should be; nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a load did: rows deleted, rows loaded by hour (those that have any), objects that were read."""

    deleted: int
    loaded: Mapping[dt.datetime, int]
    objects: int


def make_objects(snowflake: Snowflake, report: Callable[[int, int], None] = lambda _done, _of: None) -> int:
    """Make what is missing in Snowflake; return the number of statements.

    Parameters
    ----------
    report : callable, optional
        Told after each statement how many are done, of how many.
    """
    statements = sql.objects(snowflake.settings)
    with snowflake.connect() as connection:
        cursor = connection.cursor()
        for done, statement in enumerate(statements, 1):
            cursor.execute(statement)
            report(done, len(statements))
    return len(statements)


def replace_hours(
    snowflake: Snowflake,
    table: Table,
    hours: HourRange,
    parts: Sequence[str] = (),
) -> Replaced:
    """Replace the rows of hours by those of their Parquet objects, in one transaction.

    A reader sees the old rows or the new ones; a failure anywhere leaves the old ones. Loads into one
    table wait for each other.

    Parameters
    ----------
    parts : sequence of str
        Of a table that is split by a column: its values.

    Raises
    ------
    LoadError
        What was read is not what stands in the hours now.
    SnowflakeError
        An object is missing, or Snowflake refuses.
    """
    with snowflake.connect() as connection:
        cursor = connection.cursor()
        begin, *changes, commit = sql.replacement(snowflake.settings, table, hours, parts)
        cursor.execute(begin)
        try:
            done = _changed(cursor, snowflake, table, hours, changes)
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute(commit)
    return done


def _changed(
    cursor: Any, snowflake: Snowflake, table: Table, hours: HourRange, changes: Sequence[str]
) -> Replaced:
    """Execute what stands within the transaction; raise if it should not be committed."""
    lock, delete, *copies = changes
    if not cursor.execute(lock).rowcount:
        raise LoadError(
            f"Snowflake's table {sql.LOADS} does not know {table.postgres}",
            "make it with `fin-lake snowflake ddl --apply`",
        )
    deleted = cursor.execute(delete).rowcount
    copied = [_copied(cursor, table, hours, copy) for copy in copies]
    read = sum(rows for rows, _ in copied)
    counts = cursor.execute(sql.counts_of_hours(snowflake.settings, table, hours)).fetchall()
    stands = {hour.astimezone(UTC): int(rows) for hour, rows in counts}
    if sum(stands.values()) != read:
        raise LoadError(
            f"{table.name} of {hours}: {read} rows were read, {sum(stands.values())} are of these hours",
            "the hours' objects hold rows of others; they are made again by "
            f"`fin-lake backfill --from {hours.start:%Y-%m-%dT%H} --to {hours.end:%Y-%m-%dT%H}`",
        )
    return Replaced(deleted or 0, stands, sum(files for _, files in copied))


def _copied(cursor: Any, table: Table, hours: HourRange, copy: str) -> tuple[int, int]:
    """Execute a ``COPY``; return how many rows it loaded from how many objects."""
    cursor.execute(copy)
    names = [column.name.lower() for column in cursor.description]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    if "file" not in names:  # a sentence, where no object was read
        return 0, 0
    wrong = [one for one in found if one["status"] != _LOADED or one["rows_parsed"] != one["rows_loaded"]]
    if wrong:
        raise LoadError(
            f"{table.name} of {hours}: {wrong[0]['file']} is {wrong[0]['status']}: {wrong[0]['first_error']}",
            "the object is not what the table's description says; make its hour again",
        )
    return sum(int(one["rows_loaded"]) for one in found), len(found)


def read_hours(snowflake: Snowflake, table: Table, hours: HourRange) -> pl.DataFrame:
    """Return the rows of hours as Snowflake holds them, by the table's key."""
    with snowflake.connect() as connection:
        rows = connection.cursor().execute(sql.rows_of_hours(snowflake.settings, table, hours)).fetchall()
    return pl.DataFrame(rows, schema=table.polars_schema(), orient="row")


def read_sums(snowflake: Snowflake, table: Table, hours: HourRange) -> pl.DataFrame:
    """Return what Snowflake says of hours: ``hour``, ``rows`` and the sum of each column of numbers.

    An hour without a row is left out, as it is by :func:`sums_of`.
    """
    with snowflake.connect() as connection:
        rows = connection.cursor().execute(sql.sums_of_hours(snowflake.settings, table, hours)).fetchall()
    plain = [(row[0], *(None if value is None else float(value) for value in row[1:])) for row in rows]
    return pl.DataFrame(plain, schema=_sums_schema(table), orient="row")


def sums_of(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return the same of a frame."""
    summed = [
        pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).cast(pl.Float64).alias(name)
        for name in table.number_names
    ]
    hour = pl.col(table.hour_column).dt.truncate("1h").alias("hour")
    return rows.group_by(hour).agg(pl.len().cast(pl.Float64).alias("rows"), *summed).sort("hour")


def _sums_schema(table: Table) -> pl.Schema:
    numbers = dict.fromkeys(("rows", *table.number_names), pl.Float64())
    return pl.Schema({"hour": pl.Datetime("us", "UTC"), **numbers})
