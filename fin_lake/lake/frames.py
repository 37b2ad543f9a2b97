"""Frames of hours: those that fit their table, split by the hour.

Whoever stores hours asks here first, Dagster's IO managers and Spark's tasks alike.
"""

from __future__ import annotations

import datetime as dt
from typing import TypeAlias

import pandas as pd
import polars as pl
import pyarrow as pa

from fin_lake.errors import FinLakeError
from fin_lake.partitions import HourRange
from fin_lake.schema import Table

Frame: TypeAlias = pl.DataFrame | pd.DataFrame | pa.Table


class FrameError(FinLakeError):
    """A frame that does not fit the table that it is meant for."""


def fitting(frame: Frame, table: Table, hours: HourRange) -> pl.DataFrame:
    """Return a frame in the table's schema and order of rows.

    Parameters
    ----------
    frame : polars.DataFrame, pandas.DataFrame or pyarrow.Table
        Columns in any order.

    Raises
    ------
    FrameError
        A column is missing, unknown, of another type, or null where it must not be; a row repeats
        a key, or lies outside of ``hours``. Nothing is written then.
    """
    rows = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
    _require(
        set(rows.columns) == set(table.column_names),
        f"{table.name}: missing columns {sorted(set(table.column_names) - set(rows.columns))}, "
        f"unknown columns {sorted(set(rows.columns) - set(table.column_names))}",
    )
    try:
        rows = rows.select(pl.col(name).cast(kind) for name, kind in table.polars_schema().items())
    except pl.exceptions.PolarsError as error:
        raise FrameError(f"{table.name}: a column is of another type: {error}") from error
    for column in table.columns:
        nulls = 0 if column.nullable else rows[column.name].null_count()
        _require(nulls == 0, f"{table.name}: {column.name} is null in {nulls} rows")
    if table.key:
        repeated = rows.filter(pl.struct(table.key).is_duplicated()).select(table.key).head(3).rows()
        _require(not repeated, f"{table.name}: repeated keys, such as {repeated}")
    outside = rows.filter(~pl.col(table.hour_column).is_between(hours.start, hours.end, closed="left"))
    _require(
        outside.is_empty(),
        f"{table.name}: {outside.height} rows lie outside of {hours}, "
        f"the first at {outside[table.hour_column].min()!s}",
    )
    leading = [name for name in ("symbol", "timestamp") if name in rows.columns]
    return rows.sort(*leading, *(name for name in table.key if name not in leading))


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise FrameError(what, "correct the asset that returned this frame; nothing was written")


def by_hour(rows: pl.DataFrame, hour_column: str = "timestamp") -> dict[dt.datetime, pl.DataFrame]:
    """Split rows by the hour that they belong to."""
    hours = pl.col(hour_column).dt.truncate("1h").alias("_hour")
    parts = rows.with_columns(hours).partition_by("_hour", as_dict=True, maintain_order=True)
    return {hour: part.drop("_hour") for (hour,), part in parts.items()}
