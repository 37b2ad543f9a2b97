"""Bars of any length out of recorded ones, and nothing that is not over."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import polars as pl
import pytest

from fin_lake.local.replay.market import DAY_MINUTES, Market
from fin_lake.local.replay.recording import PACK, Recording
from fin_lake_tests.unit.local.replay.conftest import Record, bars, every, utc

STOCKS = ["AAPL", "MSFT", "NVDA", "IBM"]


def in_session(symbol: str) -> pd.DataFrame:
    """Return the recorded minutes without the closing auction, by pandas alone."""
    minutes = pd.read_parquet(PACK / f"{symbol}.parquet").set_index("timestamp")
    return minutes[minutes.index.tz_convert("America/New_York").strftime("%H:%M") != "16:00"]


@pytest.mark.parametrize("symbol", STOCKS)
@pytest.mark.parametrize("minutes", [1, 5, 15, 30, 60])
def test_sums_equal_those_of_the_minutes_without_the_auction(market: Market, symbol: str, minutes: int):
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    expected = in_session(symbol).resample(f"{minutes}min").agg(how).dropna(subset="open")
    found = market.bars(symbol, minutes, regular=True)
    assert found["timestamp"].to_list() == expected.index.to_pydatetime().tolist()
    for name in how:
        assert found[name].to_list() == expected[name].astype(float).tolist(), name


def test_the_auction_is_there_outside_of_sessions(market: Market):
    everything = market.bars("AAPL", 1)
    regular = market.bars("AAPL", 1, regular=True)
    beyond = everything.join(regular, on="timestamp", how="anti")
    assert beyond["timestamp"].dt.convert_time_zone("America/New_York").dt.hour().unique().to_list() == [16]
    assert beyond.height == 19


def test_bars_of_a_session_begin_at_its_open(market: Market):
    hourly = market.bars("AAPL", 60, regular=True, from_open=True)["timestamp"]
    local = hourly.dt.convert_time_zone("America/New_York").dt.strftime("%H:%M")
    assert local[:7].to_list() == ["09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30"]


def test_a_day_of_a_stock_is_its_session(market: Market):
    days = market.bars("AAPL", DAY_MINUTES, regular=True, from_open=True)
    assert days.height == 19
    assert days["timestamp"][0] == utc("2023-01-03T14:30")
    assert days["volume"][0] == in_session("AAPL").loc["2023-01-03"].volume.sum()


def test_an_early_close_ends_the_session(record: Record):
    recording = record(bars(every(30, "2023-07-03T13:30:00", 13)), 30)
    regular = Market(recording, utc("2023-07-04")).bars("AAPL", 30, regular=True)["timestamp"]
    assert regular[-1] == utc("2023-07-03T16:30")


@pytest.mark.parametrize(("day", "opens"), [("2023-03-10", "14:30"), ("2023-03-13", "13:30")])
def test_sessions_follow_new_yorks_clock(record: Record, day: str, opens: str):
    recording = record(bars(every(30, f"{day}T12:00:00", 24)), 30)
    regular = Market(recording, utc("2023-04-01")).bars("AAPL", 30, regular=True)["timestamp"]
    assert regular[0] == utc(f"{day}T{opens}")
    assert len(regular) == 13


def test_what_is_not_over_is_not_there(pack: Recording):
    market = Market(pack, utc("2023-01-10T15:10:30"))
    assert market.recorded("AAPL")["timestamp"][-1] == utc("2023-01-10T15:09")
    assert market.recorded("BTC-USD")["timestamp"][-1] == utc("2023-01-10T14:45")


def test_a_bar_in_progress_is_made_of_the_minutes_that_are_over(pack: Recording):
    now = utc("2023-01-10T15:10:30")
    last = Market(pack, now).bars("AAPL", 30, regular=True).row(-1, named=True)
    minutes = in_session("AAPL").loc["2023-01-10 15:00":"2023-01-10 15:09"]
    assert last["timestamp"] == utc("2023-01-10T15:00")
    assert (last["volume"], last["close"]) == (minutes.volume.sum(), minutes.close.iloc[-1])


def test_the_last_bar_of_a_session_is_over_when_the_session_is(record: Record):
    hourly = record(bars(every(60, "2023-01-03T14:30:00", 7)), 60)  # the last is of half an hour
    assert Market(hourly, utc("2023-01-03T21:05")).recorded("AAPL").height == 7
    assert Market(hourly, utc("2023-01-03T20:55")).recorded("AAPL").height == 6


@pytest.mark.parametrize(("minutes", "from_open"), [(30, False), (30, True), (60, False), (1, True)])
def test_longer_recorded_bars_are_not_divided(record: Record, *, minutes: int, from_open: bool):
    hourly = Market(record(bars(every(60, "2023-01-03T14:30:00", 7)), 60), utc("2023-01-04"))
    assert hourly.bars("AAPL", minutes, regular=True, from_open=from_open).is_empty()


def test_hours_at_half_past_stay_there(record: Record):
    hourly = Market(record(bars(every(60, "2023-01-03T14:30:00", 7)), 60), utc("2023-01-04"))
    assert hourly.bars("AAPL", 60, regular=True, from_open=True)["volume"].to_list() == [10.0] * 7


def test_missing_bars_stay_missing(market: Market):
    half_hours = market.bars("BTC-USD", 30)["timestamp"]
    gap = half_hours.filter(half_hours.is_between(utc("2023-01-04T03:00"), utc("2023-01-04T07:00")))
    assert gap.to_list() == [utc(f"2023-01-04T{at}") for at in ("03:00", "03:30", "06:00", "06:30", "07:00")]


def test_on_a_weekend_the_trading_day_is_fridays(pack: Recording):
    sunday = Market(pack, utc("2023-01-08T12:00"))
    assert sunday.trading_day() == (utc("2023-01-06T14:30"), utc("2023-01-06T21:00"))
    early = Market(pack, utc("2023-01-10T10:00"))  # the day begins at four in New York
    assert early.trading_day()[0] == utc("2023-01-10T14:30")


def test_no_bar_is_invented(market: Market):
    recorded = pl.concat([market.recorded(symbol) for symbol in STOCKS])
    made = pl.concat([market.bars(symbol, 30) for symbol in STOCKS])
    assert made["volume"].sum() == recorded["volume"].sum()
    assert made["high"].is_in(recorded["high"].implode()).all()
    assert (made["timestamp"].dt.date() >= dt.date(2023, 1, 3)).all()
