"""Indicators: TA-Lib's own on the same series, wherever an hour is computed from."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fin_lake.partitions import HOUR, HourRange, parse_hour, stock_session_hours
from fin_lake.tables import TECHNICAL_ANALYSIS
from fin_lake.transforms.bars import HOURLY_SCHEMA
from fin_lake.transforms.indicators import LONGEST_GAP, LOOK_BACK, WARM_UP, indicators

START = parse_hour("2023-01-01")
RECURSIONS = ["ema_12", "ema_26", "rsi_14", "macd", "macd_signal", "macd_histogram", "atr_14", "adx_14"]
NAMES = [
    name
    for name in TECHNICAL_ANALYSIS["stocks"].column_names
    if name not in ("symbol", "timestamp", "asset_class", "close_price", "history_bars")
]


def walk(symbol: str, hours: list[dt.datetime], *, seed: int = 1, price: float = 100.0) -> pl.DataFrame:
    """Return hourly bars of a random walk."""
    chance = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(chance.normal(0, 0.01, len(hours))))
    opened = close * np.exp(chance.normal(0, 0.005, len(hours)))
    volume = chance.integers(1, 10_000_000, len(hours)).astype(float)
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(hours),
            "timestamp": hours,
            "open_price": opened,
            "high_price": np.maximum(opened, close) * 1.002,
            "low_price": np.minimum(opened, close) * 0.998,
            "close_price": close,
            "volume": volume,
            "turnover": volume * close * 1.0001,
        },
        schema=HOURLY_SCHEMA,
    )


def every_hour(count: int) -> list[dt.datetime]:
    return [START + HOUR * number for number in range(count)]


def session_hours(days: int) -> list[dt.datetime]:
    return sorted(stock_session_hours(HourRange(START, START + dt.timedelta(days=days))))


def direct(bars: pl.DataFrame) -> dict[str, np.ndarray]:
    """Return what TA-Lib, and pandas where it has nothing, make of one series."""
    high, low, close = (bars[name].to_numpy() for name in ("high_price", "low_price", "close_price"))
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    slow_k, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    frame = bars.to_pandas().set_index("timestamp")
    day = frame.index.floor("D")
    obv = [
        talib.OBV(part["close_price"].to_numpy(), part["volume"].to_numpy()) for _, part in frame.groupby(day)
    ]
    return {
        "sma_20": talib.SMA(close, 20),
        "sma_50": talib.SMA(close, 50),
        "ema_12": talib.EMA(close, 12),
        "ema_26": talib.EMA(close, 26),
        "rsi_14": talib.RSI(close, 14),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "bollinger_upper": upper,
        "bollinger_middle": middle,
        "bollinger_lower": lower,
        "atr_14": talib.ATR(high, low, close, 14),
        "stochastic_k": slow_k,
        "stochastic_d": slow_d,
        "adx_14": talib.ADX(high, low, close, 14),
        "volatility_24": np.log(frame["close_price"]).diff().rolling(24).std(ddof=1).to_numpy(),
        "vwap": (frame.groupby(day)["turnover"].cumsum() / frame.groupby(day)["volume"].cumsum()).to_numpy(),
        "obv": np.concatenate(obv),
    }


def assert_is_direct(made: pl.DataFrame, bars: pl.DataFrame) -> None:
    wanted = direct(bars)
    assert sorted(wanted) == sorted(NAMES)
    for name, values in wanted.items():
        got = made[name].to_numpy()
        scale = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1.0
        np.testing.assert_allclose(got, values, rtol=1e-9, atol=1e-9 * scale, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 200),
    seed=st.integers(0, 2**32),
    price=st.sampled_from([1e-5, 0.08, 1.0, 187.3, 4e5]),
)
def test_each_is_talibs_own_on_the_same_series(count: int, seed: int, price: float) -> None:
    bars = walk("A", every_hour(count), seed=seed, price=price)
    scaled = bars.with_columns(pl.col(name) * 2.0**20 for name in bars.columns if name.endswith("price"))
    if price < 0.01:  # TA-Lib takes the variance of such a coin for zero
        made = indicators(bars, "crypto")
        again = indicators(scaled, "crypto")
        for name in ("rsi_14", "stochastic_k", "adx_14", "volatility_24"):
            assert made[name].equals(again[name])
        band = made["bollinger_upper"].drop_nulls() > made["bollinger_lower"].drop_nulls()
        assert band.all()
    else:
        assert_is_direct(indicators(bars, "crypto"), bars)


def test_stocks_in_sessions_are_talibs_own_too() -> None:
    bars = walk("A", session_hours(60), seed=3)
    assert bars.height > 250
    assert_is_direct(indicators(bars, "stocks"), bars)


def test_symbols_do_not_see_each_other() -> None:
    one, two = walk("A", every_hour(90), seed=1), walk("B", every_hour(70), seed=2, price=1.0)
    both = indicators(pl.concat([one, two]), "crypto")
    apart = pl.concat([indicators(one, "crypto"), indicators(two, "crypto")])
    assert_frame_equal(both, apart)


@pytest.mark.parametrize("asset_class", ["stocks", "crypto"])
def test_an_hour_alone_is_the_hour_of_a_long_run(asset_class: str) -> None:
    hours = session_hours(400) if asset_class == "stocks" else every_hour(2000)
    bars = walk("A", hours, seed=5)
    whole = indicators(bars, asset_class)
    reach = LOOK_BACK[asset_class] + LONGEST_GAP[asset_class]
    for place in (10, 49, 250, 319, 700, len(hours) - 1):
        at = hours[place]
        read = bars.filter(pl.col("timestamp").is_between(at - reach, at))
        alone, wanted = indicators(read, asset_class).tail(1), whole.filter(pl.col("timestamp") == at)
        assert alone["history_bars"].equals(wanted["history_bars"])
        for name in NAMES:
            if place < 250 or name in (
                "obv",
                "vwap",
            ):  # the look-back reaches to the first bar: the same series
                assert alone[name].equals(wanted[name]), (name, at)
            else:
                scale = 100.0 if name[:3] in ("rsi", "adx", "sto") else wanted["close_price"][0]
                assert alone[name][0] == pytest.approx(wanted[name][0], abs=1e-7 * scale), (name, at)


def test_what_comes_later_changes_nothing_earlier() -> None:
    bars = walk("A", every_hour(900), seed=7)
    whole = indicators(bars, "crypto")
    for count in (1, 60, 500, 899):
        assert_frame_equal(indicators(bars.head(count), "crypto"), whole.head(count))


@pytest.mark.parametrize("broken", [None, float("nan"), float("inf"), 0.0, -1.0])
def test_a_broken_bar_has_no_indicators_and_spoils_no_other(broken: float | None) -> None:
    bars = walk("A", every_hour(200), seed=9)
    at = pl.col("timestamp") == START + HOUR * 100
    spoilt = bars.with_columns(
        close_price=pl.when(at).then(pl.lit(broken, pl.Float64)).otherwise("close_price")
    )
    made = indicators(spoilt, "crypto")
    assert made.height == bars.height
    assert made.filter(at).select(NAMES).null_count().row(0) == (1,) * len(NAMES)
    assert_frame_equal(made.filter(~at), indicators(bars.filter(~at), "crypto"))
    assert made.tail(1).select(NAMES).null_count().row(0) == (0,) * len(NAMES)


def test_before_the_warm_up_values_are_null_never_nan() -> None:
    made = indicators(walk("A", every_hour(60), seed=1), "crypto")
    first = {name: made[name].is_not_null().arg_max() for name in NAMES}
    assert first["sma_20"] == first["bollinger_upper"] == 19
    assert first["sma_50"] == 49
    assert first["rsi_14"] == 14
    assert first["macd_signal"] == 33
    assert first["adx_14"] == 27
    assert first["volatility_24"] == 24
    for name in NAMES:
        assert made[name].is_nan().sum() == 0


def test_a_series_begins_anew_after_a_long_gap() -> None:
    gap = LONGEST_GAP["crypto"]
    first, second = every_hour(100), [START + HOUR * 99 + gap + HOUR * n for n in range(1, 80)]
    bars = walk("A", first + second, seed=4)
    made = indicators(bars, "crypto")
    assert_frame_equal(made.tail(79), indicators(bars.tail(79), "crypto"))
    short = bars.with_columns(
        timestamp=pl.when(pl.col("timestamp") > first[-1])
        .then(pl.col("timestamp") - HOUR)
        .otherwise("timestamp")
    )
    assert indicators(short, "crypto")["sma_20"][100] is not None


def test_a_sparse_series_is_null_where_it_would_depend_on_where_one_begins() -> None:
    hours = [START + dt.timedelta(days=1) * number for number in range(60)]
    made = indicators(walk("A", hours, seed=2), "crypto")
    days = LOOK_BACK["crypto"].days
    assert made["history_bars"].max() == days + 1 < WARM_UP
    assert made["rsi_14"].is_not_null().to_list() == [14 <= number <= days for number in range(60)]


def test_without_volume_there_is_no_vwap_and_no_obv() -> None:
    bars = walk("A", every_hour(48), seed=2)
    none = bars.with_columns(volume=pl.lit(None, pl.Float64), turnover=pl.lit(None, pl.Float64))
    made = indicators(none, "crypto")
    assert made.select("vwap", "obv").null_count().row(0) == (48, 48)
    assert made["rsi_14"].null_count() == 14
    some = pl.col("timestamp") == START + HOUR * 10
    gap = bars.with_columns(
        pl.when(some).then(None).otherwise(pl.col(name)).alias(name) for name in ("volume", "turnover")
    )
    found = indicators(gap, "crypto")["obv"].is_null().to_list()
    assert found == [10 <= number < 24 for number in range(48)]


def test_an_empty_frame_has_the_columns() -> None:
    made = indicators(pl.DataFrame(schema=HOURLY_SCHEMA), "stocks")
    assert made.schema == TECHNICAL_ANALYSIS["stocks"].polars_schema()


def test_bars_that_are_not_sorted_are_refused() -> None:
    bars = walk("A", every_hour(10))
    with pytest.raises(ValueError, match="sorted"):
        indicators(bars.reverse(), "crypto")
    with pytest.raises(ValueError, match="sorted"):
        indicators(pl.concat([bars, bars.tail(1)]), "crypto")
    with pytest.raises(ValueError, match="sorted"):
        indicators(pl.concat([bars, walk("B", every_hour(3)), walk("A", every_hour(3))]), "crypto")
