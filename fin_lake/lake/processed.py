"""The processed layer: one object per table, hour and format, replaced by a single PUT.

An hour that holds no row has its object too, an empty one: the object, not a record elsewhere,
says that the hour was made.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from fin_lake.lake.formats import (
    FormatError,
    decode_json_lines,
    decode_parquet,
    encode_json,
    encode_parquet,
    json_ready,
)
from fin_lake.lake.layout import hour_object
from fin_lake.lake.store import Lake, MissingObjectError, WrittenHour, each
from fin_lake.partitions import HourRange, hour_key
from fin_lake.tables import Table


def write_hours(
    lake: Lake, table: Table, hours: HourRange, rows_by_hour: dict[dt.datetime, pl.DataFrame]
) -> dict[dt.datetime, WrittenHour]:
    """Replace the objects of every hour of the range.

    Parameters
    ----------
    rows_by_hour : dict of datetime to polars.DataFrame
        Each hour's rows in the table's schema and order; an hour that is missing becomes empty.
    """
    empty = table.empty()

    def write(hour: dt.datetime) -> WrittenHour:
        rows = rows_by_hour.get(hour, empty)
        objects = {hour_object(table, kind, hour): _encode(rows, table, kind) for kind in table.formats}
        for key, data in objects.items():
            lake.put(key, data)
        return WrittenHour(tuple(objects), rows.height, sum(map(len, objects.values())))

    return dict(zip(hours, each(hours, write), strict=True))


def _encode(rows: pl.DataFrame, table: Table, kind: str) -> bytes:
    return encode_parquet(rows, table) if kind == "parquet" else encode_json(json_ready(rows, table))


def read_hours(lake: Lake, table: Table, hours: HourRange, file_format: str = "parquet") -> pl.DataFrame:
    """Return the rows of ``hours`` from their objects in one of the table's formats.

    Raises
    ------
    MissingObjectError
        An hour was never made, or its object is gone; the message names the first such hour.
    FormatError
        An object is not what its key says.
    """
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
