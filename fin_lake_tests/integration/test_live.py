"""A live market, watched by the wall clock."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import psycopg

from fin_lake.local.market import make_live
from fin_lake.local.replay.live import LiveRecording
from fin_lake.local.replay.recording import PACK
from fin_lake.local.stack import Stack
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HOUR, HourRange
from fin_lake.settings import load_settings


def candles(hour: dt.datetime) -> int:
    """Return in how many half hours of an hour there is a bar: the recording has gaps of its own."""
    times = LiveRecording(PACK).bars("BTC-USD")["timestamp"]
    inside = times.filter(times.is_between(hour, hour + HOUR, closed="left"))
    return inside.dt.truncate("30m").n_unique()


def test_the_hour_just_closed_is_fetched_from_a_live_market(tmp_path: Path):
    home = tmp_path / "live"
    make_live(home)
    running = Stack(load_settings(home=home))
    status = running.start()
    try:
        assert any(", live: the week of" in note for note in status.notes)
        settings = load_settings(home=home)
        assert settings.now is None
        hour = settings.latest_closed_hour
        with open_instance(settings) as instance:
            report = extract(settings, HourRange.of(hour), ["crypto"], instance=instance, analytics=False)
        assert report.failures == []
        with psycopg.connect(settings.database()) as connection:
            sql = "select count(*) from market.crypto where timestamp >= %s"
            assert connection.execute(sql, (hour,)).fetchone() == (candles(hour),)
    finally:
        running.stop()
