"""The recorded market at a moment: bars of any length, made of the recorded ones that are over.

What the bars look like in an API's answer belongs to the API's module.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import Final

import polars as pl

from fin_lake.local.replay.recording import RecordedSymbol, Recording
from fin_lake.partitions import HOUR, HourRange, floor_hour, stock_sessions

MINUTE: Final = dt.timedelta(minutes=1)
DAY_MINUTES: Final = 1440
PRE_MARKET: Final = dt.timedelta(hours=5, minutes=30)
"""How long before the stock exchange's open its day begins."""

_LONGEST_CLOSURE: Final = dt.timedelta(days=14)
_TIME: Final = pl.Datetime("us", "UTC")


class Market:
    """What the APIs can know at ``now``.

    Parameters
    ----------
    recording : Recording
        The bars.
    now : datetime
        The moment (UTC). Recorded bars that end later do not exist yet; a longer bar that is in
        progress is made of those that do, as the APIs do it.
    """

    def __init__(self, recording: Recording, now: dt.datetime) -> None:
        self.recording = recording
        self.now = now.astimezone(dt.UTC)
        self.recorded = functools.cache(self._recorded)
        self.sessions = functools.cache(self._sessions)
        self.bars = functools.lru_cache(maxsize=2048)(self._bars)
        self.trading_day = functools.cache(self._trading_day)

    def symbol(self, symbol: str, asset_class: str) -> RecordedSymbol | None:
        """Return the symbol's entry, or nothing if this recording has no such stock or coin."""
        found = self.recording.symbols.get(symbol)
        return found if found is not None and found.asset_class == asset_class else None

    def _recorded(self, symbol: str) -> pl.DataFrame:
        """Return the recorded bars that are over.

        Returns
        -------
        polars.DataFrame
            Beside a bar's own columns, its ``end`` and the opening ``opens`` of the session it
            starts in (UTC; null outside of sessions, and for coins).
        """
        one = self.recording.symbols[symbol]
        bars = self.recording.bars(symbol)
        opens, closes = pl.col("opens"), pl.col("closes")
        in_session = pl.col("timestamp") < closes  # null, and so false below, before the first one
        sessions = self._all_sessions(symbol)
        return (
            bars.join_asof(sessions, left_on="timestamp", right_on="opens", coalesce=False)
            .with_columns(
                opens=pl.when(in_session).then(opens),
                closes=pl.when(in_session).then(closes),
            )
            .with_columns(end=pl.min_horizontal(pl.col("timestamp") + one.minutes * MINUTE, closes))
            .filter(pl.col("end") <= self.now)
            .drop("closes")
        )

    def _all_sessions(self, symbol: str) -> pl.DataFrame:
        times = self.recording.bars(symbol)["timestamp"]
        found: list[tuple[dt.datetime, dt.datetime]] = []
        if self.recording.symbols[symbol].asset_class == "stocks":
            found = stock_sessions(HourRange(floor_hour(times[0]), floor_hour(times[-1]) + HOUR))
        return pl.DataFrame(found, schema={"opens": _TIME, "closes": _TIME}, orient="row").sort("opens")

    def _sessions(self, symbol: str) -> list[tuple[dt.datetime, dt.datetime]]:
        """Return opening and closing times (UTC) of the sessions in which the stock was recorded."""
        seen = self.recorded(symbol)["opens"].drop_nulls().unique()
        return self._all_sessions(symbol).filter(pl.col("opens").is_in(seen.implode())).rows()

    def last_traded(self, symbol: str) -> dt.datetime | None:
        """Return when the last bar of a session ended (UTC)."""
        in_session = self.recorded(symbol).filter(pl.col("opens").is_not_null())
        ends: list[dt.datetime] = in_session["end"].tail(1).to_list()
        return ends[0] if ends else None

    def _trading_day(self) -> tuple[dt.datetime, dt.datetime]:
        """Return open and close (UTC) of today's session of stocks, or else of the latest before."""
        hour = floor_hour(self.now)
        around = stock_sessions(HourRange(hour - _LONGEST_CLOSURE, hour + 24 * HOUR))
        return [session for session in around if session[0] - PRE_MARKET <= self.now][-1]

    def _bars(
        self, symbol: str, minutes: int, *, regular: bool = False, from_open: bool = False
    ) -> pl.DataFrame:
        """Return bars of ``minutes``, by start.

        Parameters
        ----------
        symbol : str
            A recorded symbol.
        minutes : int
            Their length; 1440 from the open is a session whole.
        regular : bool
            Whether to leave out what lies outside the exchange's sessions.
        from_open : bool
            Whether the bars of a session begin at its open rather than at the clock's multiples.

        Returns
        -------
        polars.DataFrame
            ``timestamp`` (UTC), ``open``, ``high``, ``low``, ``close``, ``volume``. Without a row
            if recorded bars reach across the bars' borders: they cannot be divided.
        """
        bars = self.recorded(symbol)
        if regular:
            bars = bars.filter(pl.col("opens").is_not_null())
        time, opens = pl.col("timestamp"), pl.col("opens")
        start = time.dt.truncate(f"{minutes}m")
        if from_open:
            since_open = (time - opens).dt.total_minutes() // minutes * minutes
            start = pl.coalesce(opens + pl.duration(minutes=since_open), start)
        bars = bars.with_columns(start=start)
        if bars.filter(pl.col("end") > pl.col("start") + minutes * MINUTE).height:
            bars = bars.clear()
        return (
            bars.group_by("start", maintain_order=True)
            .agg(
                pl.col("open").first(),
                pl.col("high").max(),
                pl.col("low").min(),
                pl.col("close").last(),
                pl.col("volume").sum(),
            )
            .rename({"start": "timestamp"})
            .sort("timestamp")
        )
