"""Recorded weeks laid onto present ones: the right bars at the right local time, and none of the future."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fin_lake.local.market import is_live, make_live
from fin_lake.local.replay.live import PAST_WEEKS, LiveRecording, live_market
from fin_lake.local.replay.recording import PACK, Recording
from fin_lake.local.state import StackError, StackState
from fin_lake.partitions import HourRange, floor_hour, stock_sessions

NEW_YORK = ZoneInfo("America/New_York")
WEEK = dt.timedelta(weeks=1)
MINUTES = 1_800_000  # three years of them; the calendar knows a year ahead
MOMENTS = st.integers(0, MINUTES).map(
    lambda minutes: dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes)
)


def live(now: str | dt.datetime) -> LiveRecording:
    moment = dt.datetime.fromisoformat(now) if isinstance(now, str) else now
    return LiveRecording(PACK, lambda: moment)


def day_of(recording: LiveRecording, symbol: str, day: str) -> pl.DataFrame:
    date = dt.date.fromisoformat(day)
    local = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.date()
    return recording.bars(symbol).filter(local == date)


def test_the_pack_has_three_weeks_that_are_whole_for_stocks_and_coins():
    assert len(live("2026-11-23T15:00:00+00:00").whole_weeks) == 3


@given(MOMENTS)
@settings(max_examples=25, deadline=None)
def test_every_bar_is_a_recorded_one_of_the_same_weekday_and_local_time(moment: dt.datetime):
    recorded = Recording(PACK)
    recording = live(moment)
    for symbol, zone in (("AAPL", "America/New_York"), ("BTC-USD", "UTC")):
        local = pl.col("timestamp").dt.convert_time_zone(zone)
        key = [local.dt.weekday().alias("weekday"), local.dt.time().alias("time"), "open", "close", "volume"]
        ours = recording.bars(symbol).select(key).unique()
        assert ours.height > 1_000
        assert ours.join(recorded.bars(symbol).select(key).unique(), on=ours.columns, how="anti").is_empty()
        times = recording.bars(symbol)["timestamp"]
        assert times.is_unique().all()
        assert times[0] < moment - (PAST_WEEKS - 1) * WEEK
        assert times[-1] > moment - 5 * dt.timedelta(days=1)


@given(MOMENTS)
@settings(max_examples=25, deadline=None)
def test_nothing_of_the_future_is_known_and_nothing_outside_of_sessions(moment: dt.datetime):
    market = live_market(live(moment))()
    for symbol in ("AAPL", "BTC-USD"):
        assert (market.recorded(symbol)["end"] <= moment).all()
    bars = live(moment).bars("AAPL")["timestamp"]
    sessions = stock_sessions(HourRange(floor_hour(bars[0]), floor_hour(bars[-1]) + dt.timedelta(hours=1)))
    inside = pl.Series([any(opens <= time < closes for opens, closes in sessions) for time in bars[::97]])
    assert inside.all()


def test_half_past_nine_stays_half_past_nine_in_summer():
    recording = live("2026-07-09T18:00:00+00:00")
    first = day_of(recording, "AAPL", "2026-07-08")["timestamp"][0]
    assert first.astimezone(NEW_YORK).time() == dt.time(9, 31)  # the minute of the open was not recorded
    assert first.astimezone(dt.UTC).time() == dt.time(13, 31)


def test_holidays_are_closed_and_early_closes_early():
    recording = live("2026-11-27T23:00:00+00:00")
    assert day_of(recording, "AAPL", "2026-11-26").is_empty()
    short = day_of(recording, "AAPL", "2026-11-27")["timestamp"]
    assert short[-1].astimezone(NEW_YORK).time() == dt.time(12, 59)
    assert day_of(recording, "AAPL", "2026-11-25").height > 380


def test_coins_go_on_over_the_seam_of_two_cycles():
    recording = live("2026-11-23T15:00:00+00:00")
    times = recording.bars("BTC-USD")["timestamp"]
    gaps = times.diff().drop_nulls()
    recorded = Recording(PACK).bars("BTC-USD")["timestamp"].diff().drop_nulls()
    assert gaps.max() <= recorded.max() + dt.timedelta(minutes=15)


def test_notes_say_what_is_shown_and_what_is_not():
    said = " ".join(live("2026-11-23T15:00:00+00:00").notes)
    assert "2026-11-23" in said
    assert "2023-01-16" in said
    assert "prices jump" in said
    assert "stands still" not in said


def test_a_market_is_made_anew_each_minute_and_not_more_often():
    moment = dt.datetime(2026, 11, 24, 15, 0, 10, tzinfo=dt.UTC)
    clock = [moment]
    market = live_market(LiveRecording(PACK, lambda: clock[0]))
    first = market()
    clock[0] = moment + dt.timedelta(seconds=40)
    assert market() is first
    clock[0] = moment + dt.timedelta(minutes=1)
    assert market().recorded("AAPL").height == first.recorded("AAPL").height + 1


def test_a_home_with_a_standing_market_is_not_made_live(tmp_path):
    StackState(tmp_path).save()
    with pytest.raises(StackError, match="stands still"):
        make_live(tmp_path)
    make_live(tmp_path / "own")
    make_live(tmp_path / "own")
    assert is_live(tmp_path / "own")
