"""A recording laid onto the present: whole recorded weeks in turn, week after week, without an end.

Each present week shows one recorded week: weeks are counted from a Monday of 1970, and the count modulo
the number of whole recorded weeks chooses. Stocks keep New York's time of day over daylight saving, coins
keep UTC's. What would lie outside of a present session (a holiday, an early close) is left out; a holiday
of the recorded week that is none now has no bars. Prices jump where one recorded week follows another
that it did not follow then.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from fin_lake.local.replay.market import Market
from fin_lake.local.replay.recording import NEW_YORK, Recording, RecordingError
from fin_lake.partitions import HOUR, HourRange, floor_hour, stock_sessions

PAST_WEEKS: Final = 5
"""How many weeks before the present one there are."""
_MONDAY: Final = dt.date(1970, 1, 5)
_WEEK: Final = dt.timedelta(weeks=1)
Clock = Callable[[], dt.datetime]


def wall_clock() -> dt.datetime:
    """Return the present moment, UTC."""
    return dt.datetime.now(dt.UTC)


class LiveRecording(Recording):
    """A recording whose bars are those of the present week and of some weeks before it.

    Parameters
    ----------
    folder : Path
        Where the recording lies.
    clock : callable
        Tells the present moment.

    Raises
    ------
    RecordingError
        It cannot be read, or holds no whole week.
    """

    def __init__(self, folder: Path, clock: Clock = wall_clock) -> None:
        super().__init__(folder)
        self.clock = clock
        if not self.whole_weeks:
            raise RecordingError(
                f"recording {self.name} holds no whole week, which a live market is made of",
                "import one that does, or leave out --live",
            )

    @functools.cached_property
    def whole_weeks(self) -> list[int]:
        """The recorded weeks in which nothing is missing, as numbers of weeks."""
        played = Recording(self.folder)
        first, last = played.start, played.now
        weeks = range(_week_of(first.date()), _week_of(last.date()) + 1)
        return [week for week in weeks if self._is_whole(week)]

    def _is_whole(self, week: int) -> bool:
        """Return whether every session of the week was recorded, and of coins every hour around the clock."""
        monday = _monday(week)
        sessions = stock_sessions(HourRange(monday, monday + _WEEK))
        for symbol, one in self.symbols.items():
            times = super().bars(symbol)["timestamp"]
            if one.asset_class == "stocks":
                seen = (times.is_between(opens, closes, closed="left").any() for opens, closes in sessions)
                whole = bool(sessions) and all(seen)
            else:
                whole = times[0] < monday + HOUR and times[-1] >= monday + _WEEK - HOUR
            if not whole:
                return False
        return True

    @property
    def week(self) -> int:
        """The number of the present week, in New York if there are stocks."""
        zone = ZoneInfo(NEW_YORK) if self.stock_symbols else dt.UTC
        return _week_of(self.clock().astimezone(zone).date())

    @property
    def now(self) -> dt.datetime:
        """The present moment."""
        return self.clock()

    @property
    def start(self) -> dt.datetime:
        """The first hour of the first week that there is."""
        return _monday(self.week - PAST_WEEKS)

    def recorded_week(self, week: int) -> int:
        """Return the recorded week that a week shows."""
        return self.whole_weeks[week % len(self.whole_weeks)]

    def bars(self, symbol: str) -> pl.DataFrame:
        """Return a symbol's bars of the weeks up to the present one's end, by ``timestamp`` (UTC)."""
        # a coin's week has begun already when New York's has not
        return self._laid(symbol, self.week + 1)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - lives as long as its server
    def _laid(self, symbol: str, last: int) -> pl.DataFrame:
        is_stock = self.symbols[symbol].asset_class == "stocks"
        zone = NEW_YORK if is_stock else "UTC"
        local = super().bars(symbol).with_columns(pl.col("timestamp").dt.convert_time_zone(zone))
        naive = pl.col("timestamp").dt.replace_time_zone(None)
        weeks = []
        for week in range(last - PAST_WEEKS - 1, last + 1):
            recorded = self.recorded_week(week)
            monday = _monday(recorded).replace(tzinfo=None)
            own = local.filter(naive.is_between(monday, monday + _WEEK, closed="left"))
            weeks.append(own.with_columns(pl.col("timestamp").dt.offset_by(f"{week - recorded}w")))
        bars = (
            pl.concat(weeks).with_columns(pl.col("timestamp").dt.convert_time_zone("UTC")).sort("timestamp")
        )
        return _in_sessions(bars) if is_stock and bars.height else bars

    @property
    def notes(self) -> list[str]:
        """What a person must know of these bars, in sentences."""
        shown, recorded = _monday(self.week), _monday(self.recorded_week(self.week))
        said = (
            f"{self.name}, live: the week of {shown:%Y-%m-%d} shows that of {recorded:%Y-%m-%d}, at the "
            f"exchange's time of day; {len(self.whole_weeks)} whole recorded weeks take turns, and prices "
            "jump between weeks that did not follow each other"
        )
        closed = sorted(day for week in self.whole_weeks for day in _holidays(week))
        gaps = f"{', '.join(map(str, closed))} were holidays when recorded: gaps where none is now"
        rest = [note for note in Recording(self.folder).notes if "time stands still" not in note]
        return [said, *([gaps] if closed and self.stock_symbols else []), *rest]


def live_market(recording: LiveRecording) -> Callable[[], Market]:
    """Return what tells the market of now: a new one every minute, which is as often as bars end."""

    @functools.lru_cache(maxsize=1)
    def of_minute(minute: dt.datetime) -> Market:
        return Market(recording, minute)

    return lambda: of_minute(recording.clock().replace(second=0, microsecond=0))


def _in_sessions(bars: pl.DataFrame) -> pl.DataFrame:
    times = bars["timestamp"]
    found = stock_sessions(HourRange(floor_hour(times[0]), floor_hour(times[-1]) + HOUR))
    time = pl.Datetime("us", "UTC")
    sessions = pl.DataFrame(found, schema={"opens": time, "closes": time}, orient="row").sort("opens")
    joined = bars.join_asof(sessions, left_on="timestamp", right_on="opens", coalesce=False)
    return joined.filter(pl.col("timestamp") < pl.col("closes")).drop("opens", "closes")


def _week_of(day: dt.date) -> int:
    return (day - _MONDAY).days // 7


def _monday(week: int) -> dt.datetime:
    return dt.datetime.combine(_MONDAY + week * _WEEK, dt.time(tzinfo=dt.UTC))


def _holidays(week: int) -> list[dt.date]:
    """Return the weekdays of a week on which the stock exchange was closed."""
    monday = _monday(week)
    open_days = {opens.date() for opens, _ in stock_sessions(HourRange(monday, monday + _WEEK))}
    weekdays = [(monday + dt.timedelta(days=number)).date() for number in range(5)]
    return [day for day in weekdays if day not in open_days]
