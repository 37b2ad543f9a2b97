from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fin_lake.lake.raw import raw_schema
from fin_lake.partitions import HOUR, parse_hour
from fin_lake.tables import PROCESSED, QUARANTINE, RAW
from fin_lake.transforms import clean as module
from fin_lake.transforms.clean import COUNTS, ConservationError, clean
from fin_lake_tests.conftest import hours
from fin_lake_tests.frames import HALF_HOUR, raw_bar, raw_frame

AT = parse_hour("2023-01-03T15")
ONE_HOUR = hours("2023-01-03T15")
LATER = {"raw_key": "raw/second", "fetched_at": dt.datetime(2023, 1, 6, tzinfo=dt.UTC)}


def cleaned(*bars, asset_class="stocks", span=ONE_HOUR):
    return clean(raw_frame(*bars), asset_class, span)


def books(result):
    return {name: result.counts[name].sum() for name in COUNTS}


def test_a_sound_bar_is_kept_in_the_tables_own_types():
    result = cleaned(raw_bar("AAPL", AT))
    assert result.bars.schema == PROCESSED["stocks"].polars_schema()
    assert result.bars["volume"].to_list() == [100]
    assert result.quarantined.is_empty()


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("missing_field", {"symbol": None}),
        ("missing_field", {"source": None}),
        ("missing_field", {"interval": None}),
        ("bad_symbol", {"symbol": "../../etc"}),
        ("bad_symbol", {"symbol": "BTC/USD"}),
        ("bad_symbol", {"symbol": "O'Reilly\""}),
        ("unknown_interval", {"interval": "7min"}),
        ("outside_hour", {"timestamp": AT + HOUR}),
        ("unaligned", {"timestamp": AT + dt.timedelta(minutes=7)}),
        ("unfinished", {"finished": False}),
        ("unfinished", {"finished": None, "fetched_at": AT + dt.timedelta(minutes=10)}),
        ("missing_price", {"open_price": None}),
        ("not_finite", {"high_price": float("inf")}),
        ("not_finite", {"open_price": float("nan")}),
        ("not_positive", {"low_price": 0.0}),
        ("not_positive", {"low_price": -9.0}),
        ("high_below_low", {"high_price": 8.0}),
        ("price_outside_range", {"close_price": 11.5}),
        ("price_outside_range", {"open_price": 8.5}),
        ("missing_volume", {"volume": None}),
        ("bad_volume", {"volume": -1.0}),
        ("bad_split_factor", {"split_factor": 0.0}),
        ("unreadable", {"problem": "truncated gzip"}),
    ],
)
def test_a_record_that_breaks_a_rule_is_quarantined_with_rule_and_object(rule, changes):
    result = cleaned({**raw_bar("AAPL", AT), **changes}, raw_bar("MSFT", AT))
    assert result.quarantined.select("rule", "raw_key").rows() == [(rule, "raw/first")]
    assert result.quarantined["detail"][0]
    assert result.quarantined.schema == QUARANTINE["stocks"].polars_schema()
    assert result.bars["symbol"].to_list() == ["MSFT"], "the bar beside it goes on"


def test_a_stock_bar_outside_the_session_is_quarantined_and_a_crypto_bar_is_not():
    night = parse_hour("2023-01-03T03")
    bar = raw_bar("AAPL", night)
    assert cleaned(bar, span=hours("2023-01-03T03")).quarantined["rule"].to_list() == ["outside_session"]
    coin = raw_bar("BTC-USD", night, source="coingecko", volume=None)
    assert cleaned(coin, asset_class="crypto", span=hours("2023-01-03T03")).bars.height == 1


def test_the_latest_attempt_wins():
    result = cleaned(raw_bar("AAPL", AT), raw_bar("AAPL", AT, close_price=10.9, **LATER))
    assert result.bars["close_price"].to_list() == [10.9]
    assert books(result)["earlier_attempts"] == 1


def test_an_answer_that_lost_a_bar_does_not_take_it_away():
    result = cleaned(raw_bar("AAPL", AT), raw_bar("AAPL", AT, open_price=None, **LATER))
    assert result.bars["close_price"].to_list() == [10.5]
    assert result.quarantined["rule"].to_list() == ["missing_price"]


def test_a_bar_sent_twice_in_one_answer_is_kept_once():
    result = cleaned(raw_bar("AAPL", AT), raw_bar("AAPL", AT, close_price=10.6))
    assert result.bars["close_price"].to_list() == [10.6]
    assert books(result)["duplicates"] == 1


def test_alpha_vantage_goes_before_yahoo_and_no_volume_counts_twice():
    result = cleaned(
        *(raw_bar("AAPL", AT + i * HALF_HOUR, source=s) for i in (0, 1) for s in ("yahoo", "alpha_vantage"))
    )
    assert result.bars["source"].unique().to_list() == ["alpha_vantage"]
    assert result.bars["volume"].sum() == 200
    assert books(result)["superseded"] == 2


def test_a_fuller_hour_goes_before_the_preferred_source():
    result = cleaned(
        raw_bar("AAPL", AT), *(raw_bar("AAPL", AT + i * HALF_HOUR, source="yahoo") for i in (0, 1))
    )
    assert result.bars["source"].to_list() == ["yahoo", "yahoo"]


def test_two_intervals_of_one_hour_do_not_add_up():
    fine = [
        raw_bar("AAPL", AT + i * dt.timedelta(minutes=5), interval="5min", volume=10.0) for i in range(12)
    ]
    result = cleaned(*fine, *(raw_bar("AAPL", AT + i * HALF_HOUR, volume=60.0) for i in (0, 1)))
    assert result.bars["volume"].sum() == 120


def test_traded_candles_go_before_samples():
    sample = raw_bar("BTC-USD", AT, source="coingecko", interval="1h", sampled=True)
    candle = raw_bar("BTC-USD", AT, source="coingecko")
    result = cleaned(sample, candle, asset_class="crypto")
    assert result.bars.select("interval", "sampled").rows() == [("30min", False)]


def test_sources_that_disagree_are_counted():
    near = raw_bar("MSFT", AT, source="yahoo", close_price=10.505)
    far = raw_bar("AAPL", AT, source="yahoo", close_price=10.6)
    result = cleaned(raw_bar("AAPL", AT), far, raw_bar("MSFT", AT), near)
    assert result.counts["cross_source_differences"].to_list() == [1]


def test_yahoos_widened_floats_become_the_decimals_that_they_were():
    price = float(np.float32(199.37))
    bar = raw_bar(
        "AAPL", AT, source="yahoo", open_price=price, high_price=price, low_price=price, close_price=price
    )
    assert price != 199.37
    assert cleaned(bar).bars["close_price"].to_list() == [199.37]


def test_a_sources_split_adjustment_is_undone():
    bar = raw_bar("AAPL", AT, source="yahoo", split_factor=4.0, volume=400.0)
    kept = cleaned(bar).bars
    assert kept.select("open_price", "high_price", "low_price", "close_price", "volume").rows() == [
        (40.0, 44.0, 36.0, 42.0, 100)
    ]


def test_splits_and_dividends_are_no_bars():
    event = {"kind": "split", "symbol": "AAPL", "timestamp": AT, "raw_key": "raw/first", "raw_hour": AT}
    result = clean(raw_frame(raw_bar("AAPL", AT), event), "stocks", ONE_HOUR)
    assert books(result)["raw_rows"] == 1


def test_nothing_gives_nothing():
    result = clean(pl.DataFrame(schema=raw_schema(RAW["stocks"])), "stocks", ONE_HOUR)
    assert (result.bars.height, result.quarantined.height, result.counts.height) == (0, 0, 0)


def test_an_hour_alone_equals_the_same_hour_in_a_range():
    stray = raw_bar("AAPL", AT + HOUR, raw_hour=AT, raw_key="raw/third", close_price=10.7)
    bars = raw_frame(raw_bar("AAPL", AT), raw_bar("AAPL", AT + HOUR), stray)
    together = clean(bars, "stocks", hours("2023-01-03T15", 2))
    for hour in hours("2023-01-03T15", 2):
        alone = clean(bars.filter(pl.col("raw_hour") == hour), "stocks", hours(hour.isoformat()))
        assert alone.bars.equals(together.bars.filter(pl.col("timestamp").dt.truncate("1h") == hour))
        assert alone.counts.equals(together.counts.filter(pl.col("hour") == hour))


def test_books_that_do_not_balance_are_refused(monkeypatch):
    monkeypatch.setattr(module, "_prefer", lambda placed: placed.with_columns(fate=pl.lit("lost")))
    with pytest.raises(ConservationError, match="out of balance"):
        cleaned(raw_bar("AAPL", AT))


bars_of_any_quality = st.builds(
    raw_bar,
    symbol=st.sampled_from(["AAPL", "MSFT", None, "a/b"]),
    start=st.sampled_from([AT, AT + HALF_HOUR, AT + HOUR]),
    source=st.sampled_from(["alpha_vantage", "yahoo", None]),
    close_price=st.sampled_from([9.5, 10.5, -1.0, None, float("nan"), 99.0]),
    volume=st.sampled_from([0.0, 100.0, None, -5.0]),
    raw_key=st.sampled_from(["raw/first", "raw/second"]),
    fetched_at=st.sampled_from([dt.datetime(2023, 1, 5, tzinfo=dt.UTC), LATER["fetched_at"], None]),
    finished=st.sampled_from([True, False, None]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(bars_of_any_quality, max_size=25))
def test_every_raw_bar_ends_in_exactly_one_place(bars):
    result = cleaned(*bars, span=hours("2023-01-03T15", 2))
    counts = books(result)
    assert counts["raw_rows"] == len(bars) == sum(counts[name] for name in COUNTS[1:])
    key = list(PROCESSED["stocks"].key)
    assert not result.bars.select(key).is_duplicated().any()
    assert (result.bars["high_price"] >= result.bars["low_price"]).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(bars_of_any_quality, max_size=25))
def test_kept_volumes_equal_what_pandas_keeps(bars):
    """An independent reading of the rules, written with pandas' own operations."""
    result = cleaned(*bars, span=hours("2023-01-03T15", 2))
    frame = pd.DataFrame(bars)
    if frame.empty:
        return
    sound = frame[
        frame.symbol.isin(["AAPL", "MSFT"])
        & frame.source.notna()
        & (frame.timestamp.dt.floor("h") == frame.raw_hour)
        & frame.finished.fillna(True).astype(bool)
        & frame.close_price.between(9.0, 11.0)
        & frame.volume.ge(0)
    ]
    sound = sound.sort_values(["fetched_at", "raw_key"], na_position="first", kind="stable")
    last = sound.groupby(["symbol", "source", "timestamp"]).tail(1)
    best = (
        last.groupby(["symbol", "raw_hour", "source"])
        .size()
        .reset_index(name="n")
        .sort_values(["n", "source"], ascending=[False, True])
        .drop_duplicates(["symbol", "raw_hour"])
    )
    expected = last.merge(best[["symbol", "raw_hour", "source"]])
    assert result.bars["volume"].sum() == expected.volume.sum()
    assert result.bars.height == len(expected)
