"""Object keys: where each hour of each table lies in the bucket.

Keys alone belong here: no bytes, no S3.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from fin_lake.partitions import HourRange, hive_prefix
from fin_lake.schema import Table


def dataset_prefix(table: Table, file_format: str) -> str:
    """Return the folder above the hours; a table kept in several formats has one for each."""
    return f"{table.lake_prefix}/{file_format}" if len(table.formats) > 1 else table.lake_prefix


def hour_prefix(table: Table, file_format: str, hour: dt.datetime) -> str:
    """Return the folder of an hour, with a slash at its end."""
    return f"{dataset_prefix(table, file_format)}/{hive_prefix(hour)}/"


def hour_object(table: Table, file_format: str, hour: dt.datetime) -> str:
    """Return the key of an hour's one object, which the hour alone decides."""
    name = {
        "parquet": f"{table.file_stem}.parquet",
        "json": f"{table.file_stem}_{hour:%Y%m%d_%H}0000.json.gz",
    }[file_format]
    return hour_prefix(table, file_format, hour) + name


def raw_object(table: Table, hour: dt.datetime, extracted_at: dt.datetime, attempt: int = 1) -> str:
    """Return the key of an attempt's raw object, named by the time of extraction (UTC).

    ``attempt`` tells attempts of one second apart. The first has no suffix, and later ones sort
    behind it.
    """
    suffix = "" if attempt == 1 else f"_{attempt:02d}"
    return (
        hour_prefix(table, "json", hour) + f"{table.file_stem}_{extracted_at:%Y%m%d_%H%M%S}{suffix}.json.gz"
    )


def listing_prefixes(table: Table, file_format: str, hours: HourRange) -> list[str]:
    """Return the fewest prefixes whose listings hold every object of ``hours`` and little else.

    Up to three hours are listed one by one, longer ranges by day.
    """
    if len(hours) <= 3:  # noqa: PLR2004
        return [hour_prefix(table, file_format, hour) for hour in hours]
    base = dataset_prefix(table, file_format)
    return [f"{base}/{day}/" for day in _unique(hive_prefix(hour).rpartition("/")[0] for hour in hours)]


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
