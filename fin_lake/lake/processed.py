"""The processed layer: one object per table, hour and format, replaced by a single PUT.

An hour that holds no row has its object too, an empty one: the object, not a record elsewhere,
says that the hour was made.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from fin_lake.lake.formats import (
    FormatError,
    decode_json_lines,
    decode_parquet,
    encode_json,
    encode_parquet,
    json_ready,
)
from fin_lake.lake.layout import hour_object, listing_prefixes
from fin_lake.lake.store import Lake, LakeError, MissingObjectError, WrittenHour, each
from fin_lake.partitions import HourRange, hour_key
from fin_lake.schema import Table


@dataclass(frozen=True, slots=True)
class StoredHours:
    """Hours of a table that lie in the lake already: another engine has written them.

    Parameters
    ----------
    written : mapping of datetime to WrittenHour
        What was stored, by hour.
    """

    written: Mapping[dt.datetime, WrittenHour]


def write_hours(
    lake: Lake,
    table: Table,
    hours: HourRange,
    rows_by_hour: dict[dt.datetime, pl.DataFrame],
    parts: Sequence[str] = (),
) -> dict[dt.datetime, WrittenHour]:
    """Replace the objects of every hour of the range.

    Parameters
    ----------
    rows_by_hour : dict of datetime to polars.DataFrame
        Each hour's rows in the table's schema and order; an hour that is missing becomes empty.
    parts : sequence of str
        Of a table that is split by a column: its values. Each has objects of its own for every hour.

    Raises
    ------
    LakeError
        A row is of none of the parts. Other hours may have been written.
    """
    empty = table.empty()

    def write(hour: dt.datetime) -> WrittenHour:
        rows = rows_by_hour.get(hour, empty)
        objects = {
            hour_object(place, kind, hour): _encode(own, place, kind)
            for place, own in _placed(rows, table, parts)
            for kind in table.formats
        }
        for key, data in objects.items():
            lake.put(key, data)
        return WrittenHour(tuple(objects), rows.height, sum(map(len, objects.values())))

    return dict(zip(hours, each(hours, write), strict=True))


def _placed(rows: pl.DataFrame, table: Table, parts: Sequence[str]) -> Iterator[tuple[Table, pl.DataFrame]]:
    """Yield the tables whose objects hold the rows, each with its own."""
    split = table.split_by
    if split is None:
        yield table, rows
        return
    strangers = rows.filter(~pl.col(split).is_in(parts))[split].unique()
    if not strangers.is_empty():
        raise LakeError(
            f"{table.name} has rows of {split} {', '.join(map(repr, strangers))}, which has no place",
            f"its places are those of {', '.join(parts) or 'nothing'}",
        )
    for value in parts:
        yield table.part(value), rows.filter(pl.col(split) == value).drop(split)


def _encode(rows: pl.DataFrame, table: Table, kind: str) -> bytes:
    return encode_parquet(rows, table) if kind == "parquet" else encode_json(json_ready(rows, table))


def read_hours(
    lake: Lake,
    table: Table,
    hours: HourRange,
    file_format: str = "parquet",
    parts: Sequence[str] = (),
) -> pl.DataFrame:
    """Return the rows of ``hours`` from their objects in one of the table's formats.

    Parameters
    ----------
    parts : sequence of str
        Of a table that is split by a column: its values.

    Raises
    ------
    MissingObjectError
        An hour was never made, or its object is gone; the message names the first such hour.
    FormatError
        An object is not what its key says.
    """
    split = table.split_by
    if split is not None:
        of_parts = [
            read_hours(lake, table.part(value), hours, file_format).with_columns(pl.lit(value).alias(split))
            for value in parts
        ]
        return pl.concat([one.select(table.column_names) for one in of_parts] or [table.empty()])
    keys = {hour_object(table, file_format, hour): hour for hour in hours}
    try:
        bodies = lake.get_many(keys)
    except MissingObjectError as error:
        raise MissingObjectError(
            f"{table.name} has no object for some hour of {hours}: {error.what}",
            f"materialize {table.name} for it first, as in "
            f"`fin-lake extract --from {hour_key(hours.start)} --to {hour_key(hours.end)}`",
        ) from None
    frames = [_decode(data, table, key, file_format) for key, data in bodies.items()]
    return pl.concat(frames) if frames else table.empty()


def _decode(data: bytes, table: Table, key: str, file_format: str) -> pl.DataFrame:
    if file_format == "parquet":
        return decode_parquet(data, table, key)
    rows, problems = decode_json_lines(data, table)
    if problems:
        text, reason = problems[0]
        raise FormatError(f"object {key} is not JSON lines of {table.name}: {reason}: {text[:80]!r}")
    return rows


def read_stored_hours(lake: Lake, table: Table, hours: HourRange) -> pl.DataFrame:
    """Return the rows of those of ``hours`` that have an object: what a look back finds, however far it goes.

    Raises
    ------
    FormatError
        An object is not what its key says.
    """
    wanted = {hour_object(table, "parquet", hour) for hour in hours}
    listed = lake.list_objects(listing_prefixes(table, "parquet", hours))
    bodies = lake.get_many(info.key for info in listed if info.key in wanted)
    frames = [decode_parquet(data, table, key) for key, data in bodies.items()]
    return pl.concat(frames) if frames else table.empty()
