"""A table as it could have been known at a moment: made again from what had been fetched by then.

Raw keeps every attempt with the time of its answer, so a table of any moment is the very same cleaning
of fewer attempts. Nothing is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

import polars as pl

from fin_lake.errors import FinLakeError
from fin_lake.lake.raw import read_attempts
from fin_lake.lake.store import Lake
from fin_lake.partitions import UTC, HourRange
from fin_lake.portfolios.definitions import Portfolio
from fin_lake.portfolios.splits import value_as_traded
from fin_lake.schema import ASSET_CLASSES, AssetClass, Table
from fin_lake.tables import CORPORATE_ACTIONS, PORTFOLIOS, PROCESSED, RAW, TABLES_BY_ASSET
from fin_lake.transforms.actions import corporate_actions
from fin_lake.transforms.bars import hourly_bars
from fin_lake.transforms.clean import clean
from fin_lake.transforms.indicators import LONGEST_GAP, LOOK_BACK, indicators

Read = Callable[[AssetClass, HourRange], pl.DataFrame]
"""Raw records of some hours, as far as they had been fetched."""


def _bars(asset_class: AssetClass, read: Read, hours: HourRange) -> pl.DataFrame:
    parts = [clean(read(asset_class, part), asset_class, part).bars for part in hours.by_month()]
    return pl.concat([PROCESSED[asset_class].empty(), *parts])


def _actions(read: Read, hours: HourRange) -> pl.DataFrame:
    parts = [corporate_actions(read("stocks", part), part) for part in hours.by_month()]
    return pl.concat([CORPORATE_ACTIONS.empty(), *parts])


def _indicators(asset_class: AssetClass, read: Read, hours: HourRange) -> pl.DataFrame:
    reach = LOOK_BACK[asset_class] + LONGEST_GAP[asset_class]
    bars = _bars(asset_class, read, HourRange(hours.start - reach, hours.end))
    made = indicators(hourly_bars(bars), asset_class)
    return made.filter(pl.col("timestamp") >= hours.start)


def _portfolios(name: str, defined: Collection[Portfolio], read: Read, hours: HourRange) -> pl.DataFrame:
    made = [PORTFOLIOS[name].empty()]
    for portfolio in defined:
        if portfolio.start >= hours.end:
            continue
        path = HourRange(portfolio.start, hours.end)
        bars = [hourly_bars(_bars(asset_class, read, path)) for asset_class in ASSET_CLASSES]
        prices = pl.concat(bars).select("symbol", "close_price", hour_start="timestamp")
        splits = _actions(read, path).filter(pl.col("kind") == "split")
        valued = value_as_traded(portfolio, prices, splits.select("symbol", "timestamp", "ratio"), hours)
        made.append(valued.valuations if name == "valuations" else valued.holdings)
    return pl.concat(made)


_Make = Callable[[Read, HourRange], pl.DataFrame]


def _makers(portfolios: Collection[Portfolio]) -> dict[str, _Make]:
    return {
        **{f"processed/{one}": partial(_bars, one) for one in ASSET_CLASSES},
        "processed/corporate_actions": _actions,
        **{f"technical_analysis/{one}": partial(_indicators, one) for one in ASSET_CLASSES},
        **{f"portfolios/{name}": partial(_portfolios, name, portfolios) for name in PORTFOLIOS},
    }


TABLES: Final = tuple(_makers(()))
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


def as_of(
    lake: Lake,
    name: str,
    moment: dt.datetime,
    hours: HourRange,
    symbol: str | None = None,
    portfolios: Collection[Portfolio] = (),
) -> Known:
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
        The table's hours. Indicators need those of their look-back as well, portfolios all since their start.
    symbol : str, optional
        Only rows of this one.
    portfolios : collection of Portfolio
        Those that there are, for tables of portfolios.

    Raises
    ------
    AsOfError
        The moment lies in the future, the table cannot be made so, or nothing of the hours had been
        fetched by then.
    """
    if name not in TABLES:
        raise AsOfError(f"{name} cannot be made as of a moment", f"choose one of {', '.join(TABLES)}")
    if moment > dt.datetime.now(UTC):
        raise AsOfError(
            f"{moment:%Y-%m-%dT%H:%M:%SZ} lies in the future: what will be known then is not known yet",
            "give a time in the past (UTC, unless it names its zone)",
        )
    table, make, fetched = TABLES_BY_ASSET[name], _makers(portfolios)[name], _Fetched(lake, symbol)
    then, now = make(partial(fetched.read, until=moment), hours), make(fetched.read, hours)
    if fetched.first is None or fetched.first > moment:
        raise _nothing_known(name, hours, symbol, moment, fetched.first)
    return _known(table, then, now)


class _Fetched:
    """Raw records, read once, and when the first of them was fetched."""

    def __init__(self, lake: Lake, symbol: str | None) -> None:
        self._lake = lake
        self._symbol = symbol
        self._held: dict[tuple[AssetClass, HourRange], pl.DataFrame] = {}
        self.first: dt.datetime | None = None

    def read(
        self, asset_class: AssetClass, hours: HourRange, until: dt.datetime | None = None
    ) -> pl.DataFrame:
        """Return the records of some hours, those alone that had been fetched by a moment if one is given."""
        key = (asset_class, hours)
        if key not in self._held:
            raw = read_attempts(self._lake, RAW[asset_class], hours)
            self._held[key] = raw if self._symbol is None else raw.filter(pl.col("symbol") == self._symbol)
            found = [one for one in (self.first, self._held[key]["fetched_at"].min()) if one is not None]
            self.first = min((one for one in found if isinstance(one, dt.datetime)), default=None)
        held = self._held[key]
        return held if until is None else held.filter(pl.col("fetched_at") <= until)


def _known(table: Table, then: pl.DataFrame, now: pl.DataFrame) -> Known:
    leading = [name for name in ("symbol", "timestamp") if name in table.key]
    order = tuple(dict.fromkeys((*leading, *table.key)))
    unchanged = then.join(now, on=table.column_names, how="semi", nulls_equal=True).height
    return Known(
        table=table,
        rows=then.sort(order),
        revised=then.height - unchanged,
        added=now.join(then, on=table.key, how="anti").height,
    )


def _nothing_known(
    name: str, hours: HourRange, symbol: str | None, moment: dt.datetime, first: dt.datetime | None
) -> AsOfError:
    of_symbol = f" of {symbol}" if symbol else ""
    return AsOfError(
        f"raw holds no record{of_symbol} that {name} could be made of for {hours} "
        f"that had been fetched by {moment:%Y-%m-%dT%H:%M:%SZ}",
        f"the first was fetched at {first:%Y-%m-%dT%H:%M:%SZ}"
        if first
        else f"extract the hours: fin-lake extract --from {hours.start:%Y-%m-%dT%H} "
        f"--to {hours.end:%Y-%m-%dT%H}",
    )
