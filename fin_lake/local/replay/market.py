"""The recorded market at a moment: bars of any length, made of the recorded ones that are over."""

from __future__ import annotations

import datetime as dt
import functools

import polars as pl

from fin_lake.local.replay.recording import RecordedSymbol, Recording
from fin_lake.partitions import HOUR, HourRange, floor_hour, stock_sessions

MINUTE = dt.timedelta(minutes=1)


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
        self.now = now
        self.recorded = functools.lru_cache(maxsize=None)(self._recorded)
        self.bars = functools.lru_cache(maxsize=None)(self._bars)
        self.sessions = functools.lru_cache(maxsize=None)(self._sessions)

    def symbol(self, symbol: str, asset_class: str) -> RecordedSymbol | None:
        """Return the symbol's entry, or nothing if this recording has no such stock or coin."""
        found = self.recording.symbols.get(symbol)
        return found if found is not None and found.asset_class == asset_class else None

    def _recorded(self, symbol: str) -> pl.DataFrame:
        one = self.recording.symbols[symbol]
        return self.recording.bars(symbol).filter(pl.col("timestamp") + one.minutes * MINUTE <= self.now)

    def _sessions(self, symbol: str) -> list[tuple[dt.datetime, dt.datetime]]:
        """Return the sessions (UTC) of the days on which the stock was recorded."""
        times = self.recorded(symbol)["timestamp"]
        if times.is_empty():
            return []
        days = HourRange(floor_hour(times[0]), floor_hour(times[-1]) + HOUR)
        return stock_sessions(days)

    def _bars(
        self, symbol: str, minutes: int, *, regular: bool = False, half_past: bool = False
    ) -> pl.DataFrame:
        """Return bars of ``minutes``, by start; none if the recorded ones are longer.

        Parameters
        ----------
        regular : bool
            Whether to leave out what lies outside the exchange's sessions.
        half_past : bool
            Whether bars begin at half past rather than on the hour.
        """
        bars = self.recorded(symbol)
        if self.recording.symbols[symbol].minutes > minutes:
            return bars.clear()
        if regular:
            inside = [
                pl.col("timestamp").is_between(opens, closes, closed="left")
                for opens, closes in self.sessions(symbol)
            ]
            bars = bars.filter(pl.any_horizontal(inside)) if inside else bars.clear()
        shift = dt.timedelta(minutes=30 if half_past else 0)
        start = (pl.col("timestamp") - shift).dt.truncate(f"{minutes}m") + shift
        return (
            bars.group_by(start.alias("timestamp"), maintain_order=True)
            .agg(
                pl.col("open").first(),
                pl.col("high").max(),
                pl.col("low").min(),
                pl.col("close").last(),
                pl.col("volume").sum(),
            )
            .sort("timestamp")
        )
