"""A live market, watched by the wall clock."""

from __future__ import annotations

from pathlib import Path

import psycopg

from fin_lake.local.market import make_live
from fin_lake.local.stack import Stack
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange
from fin_lake.settings import load_settings


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
            assert connection.execute(sql, (hour,)).fetchone() == (2,)
    finally:
        running.stop()
