"""Technical indicators of hourly bars, by TA-Lib.

A value depends on nothing but the bars of its look-back. EMA, RSI, MACD, ATR and ADX are recursions,
which forget their past without ever losing it: after ``WARM_UP`` bars what is left of the seed is below
1e-8 of the value's scale. So a row is computed where the look-back holds so many bars, or where it
reaches to the very first bar of the series. Elsewhere its indicators are null, and an hour that is
computed alone has what a run of years has.

A series begins anew after a gap that is longer than any closure of its market.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from fin_lake.schema import AssetClass
from fin_lake.tables import TECHNICAL_ANALYSIS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LOOK_BACK: Final[Mapping[AssetClass, dt.timedelta]] = {
    "stocks": dt.timedelta(days=70),
    "crypto": dt.timedelta(days=14),
}
"""How far back the bars lie that a value is computed from: about 320 bars."""
LONGEST_GAP: Final[Mapping[AssetClass, dt.timedelta]] = {
    "stocks": dt.timedelta(days=14),
    "crypto": dt.timedelta(days=2),
}
"""After a longer time without a bar a series begins anew."""
WARM_UP: Final = 300
"""Bars after which a recursion has forgotten its seed: (13/14)**(300-28) is 2e-9."""

_VOLATILITY_BARS: Final = 24
_HOUR: Final = 3_600_000_000  # microseconds, as the timestamps
_DAY: Final = 24 * _HOUR


def indicators(bars: pl.DataFrame, asset_class: AssetClass) -> pl.DataFrame:
    """Return the indicators of every bar.

    Parameters
    ----------
    bars : polars.DataFrame
        In ``transforms.bars.HOURLY_SCHEMA``, sorted by symbol and timestamp. A bar whose high, low
        or close is null, not finite or not positive has no indicators, and those of later bars do not see it.
    asset_class : {'stocks', 'crypto'}
        Whose gaps and look-back apply.

    Returns
    -------
    polars.DataFrame
        In the schema of ``tables.TECHNICAL_ANALYSIS``, a row a bar, in the order of the bars.

    Raises
    ------
    ValueError
        The bars are not sorted, or one comes twice.

    Notes
    -----
    Periods are those of TA-Lib's defaults and of the literature: RSI, ATR, ADX 14 (Wilder 1978), MACD
    12-26-9 (Appel), bands of 20 bars and 2 standard deviations (Bollinger), stochastic 14-3-3 (Lane).
    VWAP and OBV begin with each UTC day, which holds one session of a stock. Volatility is the sample
    standard deviation of 24 hourly log returns, not annualised. VWAP and OBV are null from a session's
    first bar without a volume on.
    """
    sound = _sound(bars)
    made = _of_series(bars if sound.all() else bars.filter(pl.Series(sound)), asset_class)
    if not sound.all():
        key = ("symbol", "timestamp")
        made = bars.select(*key, "close_price").join(
            made.drop("close_price"), on=key, how="left", maintain_order="left"
        )
    return made.with_columns(asset_class=pl.lit(asset_class)).select(
        TECHNICAL_ANALYSIS[asset_class].column_names
    )


def _sound(bars: pl.DataFrame) -> NDArray[np.bool_]:
    prices = [bars[name].to_numpy() for name in ("high_price", "low_price", "close_price")]
    found: NDArray[np.bool_] = np.logical_and.reduce([(one > 0) & (one < np.inf) for one in prices])
    return found


def _of_series(bars: pl.DataFrame, asset_class: AssetClass) -> pl.DataFrame:
    times = bars["timestamp"].to_physical().to_numpy()
    high, low, close = (bars[name].to_numpy() for name in ("high_price", "low_price", "close_price"))
    volume, turnover = (bars[name].to_numpy() for name in ("volume", "turnover"))
    traded = np.nan_to_num(volume)
    back, gap = (int(span[asset_class] / dt.timedelta(microseconds=1)) for span in (LOOK_BACK, LONGEST_GAP))
    columns = {name: np.empty(bars.height) for name in (*_NAMES, "obv")}
    history = np.empty(bars.height, np.int64)
    symbols = bars["symbol"]
    begins = (symbols != symbols.shift()).fill_null(value=True).to_numpy()
    for part in _series(symbols, begins, times, gap):
        places = np.arange(1, times[part].size + 1)
        history[part] = held = np.minimum(places, _held(times[part], back))
        # elsewhere the look-back begins within the series, too few bars ago
        known = (held >= WARM_UP) | (held == places)
        everywhere = bool(known.all())
        for name, values in _of_one(high[part], low[part], close[part], traded[part]):
            columns[name][part] = values if everywhere else np.where(known, values, np.nan)
    sessions = _Sessions(begins, times)
    of_session = sessions.running(volume)
    with np.errstate(invalid="ignore"):  # nothing was traded yet
        columns["vwap"] = sessions.running(turnover) / of_session
    columns["obv"] += sessions.first(traded - columns["obv"])
    columns["obv"][np.isnan(of_session)] = np.nan
    return bars.select("symbol", "timestamp", "close_price").with_columns(
        pl.Series("history_bars", history),
        *(pl.Series(name, values, nan_to_null=True) for name, values in columns.items()),
    )


def _series(
    symbols: pl.Series, begins: NDArray[np.bool_], times: NDArray[np.int64], gap: int
) -> Iterator[slice]:
    """Yield where each series stands: a symbol's bars without a gap."""
    if not times.size:
        return
    steps = np.diff(times, prepend=times[0])
    if (steps[~begins] <= 0).any() or symbols.filter(pl.Series(begins)).is_duplicated().any():
        raise ValueError("bars must be sorted by symbol and timestamp, and have no timestamp twice")
    starts = np.flatnonzero(begins | (steps > gap))
    for first, end in zip(starts, [*starts[1:], times.size], strict=True):
        yield slice(int(first), int(end))


def _held(times: NDArray[np.int64], back: int) -> NDArray[np.int64] | int:
    """Return how many bars lie in the look-back of each, if there were bars enough before the first."""
    if times[-1] - times[0] == (times.size - 1) * _HOUR:  # without a gap: no need to search
        return back // _HOUR + 1
    return np.arange(1, times.size + 1) - np.searchsorted(times, times - back)


class _Sessions:
    """The UTC days of each symbol. What is counted within one depends on no bar outside of it."""

    def __init__(self, begins: NDArray[np.bool_], times: NDArray[np.int64]) -> None:
        day = times // _DAY
        self._starts = np.flatnonzero(begins | (np.diff(day, prepend=-1) != 0))
        self._lengths = np.diff(self._starts, append=times.size)
        self._number = np.repeat(np.arange(self._starts.size), self._lengths)
        self._width = int(self._lengths.max(initial=0))
        place = np.arange(times.size) - self._starts[self._number]
        self._cell = self._number * self._width + place  # of a table with a row a session

    def first(self, values: Floats) -> Floats:
        """Return at each bar the value of its session's first."""
        return values[self._starts][self._number]

    def running(self, values: Floats) -> Floats:
        """Return the sum since the session's first bar; NaN from the first NaN on."""
        table = np.zeros((self._starts.size, self._width))
        table.put(self._cell, values)
        found: Floats = table.cumsum(axis=1).take(self._cell)
        return found


_NAMES: Final = (
    "sma_20", "sma_50", "ema_12", "ema_26", "rsi_14", "macd", "macd_signal", "macd_histogram",
    "bollinger_upper", "bollinger_middle", "bollinger_lower", "atr_14", "stochastic_k", "stochastic_d",
    "adx_14", "volatility_24",
)  # fmt: skip


def _of_one(high: Floats, low: Floats, close: Floats, volume: Floats) -> Iterator[tuple[str, Floats]]:
    """Yield the indicators of one series by name."""
    import talib  # noqa: PLC0415 - definitions load without it

    # TA-Lib takes what is below 1e-14 for zero, which the variance of a coin of a hundredth of a cent
    # is. By a power of two no digit changes.
    scale = 2.0 ** np.floor(np.log2(close[0]))
    high, low, close = high / scale, low / scale, close / scale
    yield "sma_20", scale * talib.SMA(close, 20)
    yield "sma_50", scale * talib.SMA(close, 50)
    yield "ema_12", scale * talib.EMA(close, 12)
    yield "ema_26", scale * talib.EMA(close, 26)
    yield "rsi_14", talib.RSI(close, 14)
    for name, values in zip(
        ("macd", "macd_signal", "macd_histogram"), talib.MACD(close, 12, 26, 9), strict=True
    ):
        yield name, scale * values
    bands = talib.BBANDS(close, 20, 2.0, 2.0)
    for name, values in zip(("upper", "middle", "lower"), bands, strict=True):
        yield f"bollinger_{name}", scale * values
    yield "atr_14", scale * talib.ATR(high, low, close, 14)
    slow = talib.STOCH(high, low, close, fastk_period=14, slowk_period=3, slowd_period=3)
    yield from zip(("stochastic_k", "stochastic_d"), slow, strict=True)
    yield "adx_14", talib.ADX(high, low, close, 14)
    yield "volatility_24", _volatility(close)
    yield "obv", talib.OBV(close, volume)


def _volatility(close: Floats) -> Any:
    import talib  # noqa: PLC0415

    found = np.full(close.size, np.nan)
    if close.size > _VOLATILITY_BARS:
        count = _VOLATILITY_BARS
        found[1:] = talib.STDDEV(np.diff(np.log(close)), count) * np.sqrt(count / (count - 1))
    return found
