"""A table as it could have been known at a moment: made again from what had been fetched by then.

Raw keeps every attempt with the time of its answer, so a table of any moment is the very same cleaning
of fewer attempts. Nothing is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from fin_lake.errors import FinLakeError
from fin_lake.lake.raw import read_attempts
from fin_lake.lake.store import Lake
from fin_lake.partitions import UTC, HourRange
from fin_lake.tables import CORPORATE_ACTIONS, PROCESSED, RAW, Table
from fin_lake.transforms.actions import corporate_actions
from fin_lake.transforms.clean import clean

_Make = Callable[[pl.DataFrame, HourRange], pl.DataFrame]

_MAKERS: Final[Mapping[str, tuple[Table, _Make]]] = {
    "processed/stocks": (PROCESSED["stocks"], lambda raw, hours: clean(raw, "stocks", hours).bars),
    "processed/crypto": (PROCESSED["crypto"], lambda raw, hours: clean(raw, "crypto", hours).bars),
    "processed/corporate_actions": (CORPORATE_ACTIONS, corporate_actions),
}
TABLES: Final = tuple(_MAKERS)
"""The tables that can be made as of a moment."""


class AsOfError(FinLakeError):
    """A moment or hours of which nothing can be told."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was known at a moment.

    Parameters
    ----------
    table : Table
        The table that it is of.
    rows : polars.DataFrame
        In the table's schema, sorted by symbol, timestamp and the rest of the key.
    revised : int
        How many of the rows have other values by now, or are there no more.
    added : int
        How many rows there are now that were not there then.
    """

    table: Table
    rows: pl.DataFrame
    revised: int
    added: int


def as_of(lake: Lake, name: str, moment: dt.datetime, hours: HourRange, symbol: str | None = None) -> Known:
    """Return a table's rows as the attempts that had been fetched by ``moment`` give them.

    Parameters
    ----------
    lake : Lake
        Where the attempts are.
    name : str
        One of ``TABLES``.
    moment : datetime
        With zone. It is compared with ``fetched_at``, which is by the wall clock whatever time it is
        on the recorded market. A record without it, in a file that somebody dropped, was not known.
    hours : HourRange
        The table's hours; they are read and cleaned month by month.
    symbol : str, optional
        Only rows of this one.

    Raises
    ------
    AsOfError
        The moment lies in the future, the table cannot be made so, or nothing of the hours had been
        fetched by then.
    """
    if name not in _MAKERS:
        raise AsOfError(f"{name} cannot be made as of a moment", f"choose one of {', '.join(TABLES)}")
    if moment > dt.datetime.now(UTC):
        raise AsOfError(
            f"{moment:%Y-%m-%dT%H:%M:%SZ} lies in the future: what will be known then is not known yet",
            "give a time in the past (UTC, unless it names its zone)",
        )
    table, make = _MAKERS[name]
    then, now = [table.empty()], [table.empty()]
    first: dt.datetime | None = None
    for part in hours.by_month():
        raw = read_attempts(lake, RAW[table.asset_class], part)
        if symbol is not None:
            raw = raw.filter(pl.col("symbol") == symbol)
        fetched = [one for one in (first, raw["fetched_at"].min()) if isinstance(one, dt.datetime)]
        first = min(fetched, default=None)
        then.append(make(raw.filter(pl.col("fetched_at") <= moment), part))
        now.append(make(raw, part))
    if first is None or first > moment:
        raise _nothing_known(table, hours, symbol, moment, first)
    return _known(table, pl.concat(then), pl.concat(now))


def _known(table: Table, then: pl.DataFrame, now: pl.DataFrame) -> Known:
    order = tuple(dict.fromkeys(("symbol", "timestamp", *table.key)))
    unchanged = then.join(now, on=table.column_names, how="semi", nulls_equal=True).height
    return Known(
        table=table,
        rows=then.sort(order),
        revised=then.height - unchanged,
        added=now.join(then, on=table.key, how="anti").height,
    )


def _nothing_known(
    table: Table, hours: HourRange, symbol: str | None, moment: dt.datetime, first: dt.datetime | None
) -> AsOfError:
    raw, of_symbol = RAW[table.asset_class].name, f" of {symbol}" if symbol else ""
    return AsOfError(
        f"{raw} holds no record{of_symbol} for {hours} that had been fetched by {moment:%Y-%m-%dT%H:%M:%SZ}",
        f"the first was fetched at {first:%Y-%m-%dT%H:%M:%SZ}"
        if first
        else f"extract the hours: fin-lake extract --from {hours.start:%Y-%m-%dT%H} "
        f"--to {hours.end:%Y-%m-%dT%H}",
    )
