"""The raw layer: what the sources sent, one object per hour and attempt, never overwritten.

Here raw objects are written and read. What is good in them is for ``transforms.clean`` to say.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import polars as pl

from fin_lake.lake.formats import decode_json_lines, encode_json, json_ready
from fin_lake.lake.layout import listing_prefixes, raw_object
from fin_lake.lake.store import Lake, LakeError, ObjectInfo, WrittenHour, each
from fin_lake.partitions import HourError, HourRange, hour_of_object
from fin_lake.schema import Table

_MOST_ATTEMPTS_A_SECOND: Final = 50
_TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class RawAttempt:
    """What one attempt brought.

    Parameters
    ----------
    records : polars.DataFrame
        In the raw table's schema; every timestamp lies in one of the hours of the range.
    asked : frozenset of datetime
        The hours that the sources were asked for. Each gets an object, an empty one if nothing
        came, so that "asked, and nothing there" can be told from "never asked".
    extracted_at : datetime
        When the attempt was made, UTC; it names the objects.
    """

    records: pl.DataFrame
    asked: frozenset[dt.datetime]
    extracted_at: dt.datetime


def raw_schema(table: Table) -> pl.Schema:
    """Return the schema of raw records as read: the table's, and where each record lies.

    ``raw_key`` is the object, ``raw_hour`` the hour that its prefix names, ``raw_line`` its place
    among all lines read, and ``problem`` what made a line unreadable (its text is the payload).
    """
    return pl.Schema(
        {
            **table.polars_schema(),
            "raw_key": pl.String(),
            "raw_hour": _TIME,
            "raw_line": pl.Int64(),
            "problem": pl.String(),
        }
    )


def write_attempt(lake: Lake, table: Table, attempt: RawAttempt) -> dict[dt.datetime, WrittenHour]:
    """Write an attempt, one object an hour; return what was stored, by hour."""
    ready = json_ready(attempt.records, table).with_columns(
        attempt.records["timestamp"].dt.truncate("1h").alias("_hour")
    )
    found = {hour: part.drop("_hour") for (hour,), part in ready.partition_by("_hour", as_dict=True).items()}
    nothing = ready.clear().drop("_hour")
    hours = sorted(attempt.asked | set(found))

    def store(hour: dt.datetime) -> WrittenHour:
        rows = found.get(hour, nothing)
        data = encode_json(rows)
        key, etag = _put_attempt(lake, table, hour, attempt.extracted_at, data)
        return WrittenHour((key,), rows.height, len(data), (etag,))

    return dict(zip(hours, each(hours, store), strict=True))


def _put_attempt(
    lake: Lake, table: Table, hour: dt.datetime, extracted_at: dt.datetime, data: bytes
) -> tuple[str, str]:
    for number in range(1, _MOST_ATTEMPTS_A_SECOND + 1):
        key = raw_object(table, hour, extracted_at, number)
        etag = lake.put_new(key, data)
        if etag is not None:
            return key, etag
    raise LakeError(
        f"{lake.uri(key)} and {_MOST_ATTEMPTS_A_SECOND - 1} names before it are taken",
        "check the clock: more attempts than can be in one second bear its name",
    )


def list_attempts(lake: Lake, table: Table, hours: HourRange) -> list[ObjectInfo]:
    """Return the raw objects of ``hours``, every attempt, sorted by key."""
    listed = lake.list_objects(listing_prefixes(table, "json", hours))
    return [info for info in listed if _lies_in(info.key, hours)]


def _lies_in(key: str, hours: HourRange) -> bool:
    try:
        return hour_of_object(key) in hours
    except HourError:
        return False  # not an object of this layout; no hour is the poorer without it


def read_attempts(lake: Lake, table: Table, hours: HourRange) -> pl.DataFrame:
    """Return every raw record of ``hours``, of every attempt, in the schema of :func:`raw_schema`."""
    bodies = lake.get_many(info.key for info in list_attempts(lake, table, hours))
    frames = each(bodies.items(), lambda item: _records(*item, table))
    schema = raw_schema(table)
    if not frames:
        return pl.DataFrame(schema=schema)
    records = pl.concat(frames)
    return records.with_columns(raw_line=pl.int_range(pl.len(), dtype=pl.Int64())).select(schema.names())


def _records(key: str, data: bytes, table: Table) -> pl.DataFrame:
    records, problems = decode_json_lines(data, table)
    if problems:
        bad = pl.DataFrame(
            {"payload": [text for text, _ in problems], "problem": [reason for _, reason in problems]}
        )
        records = pl.concat([records, bad], how="diagonal")
    else:
        records = records.with_columns(problem=pl.lit(None, pl.String()))
    return records.with_columns(raw_key=pl.lit(key), raw_hour=pl.lit(hour_of_object(key), _TIME))
