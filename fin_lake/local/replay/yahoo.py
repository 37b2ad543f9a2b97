"""Yahoo Finance: the chart API, version 8, after answers recorded by public clients.

Times are epoch seconds at a bar's start; prices are doubles that were 32-bit floats; a bar that is
missing within a session is null in every array. Bars of a session begin at its open, so those of an
hour begin at half past. A recording knows no dividends and splits: there are no ``events``.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from fin_lake.local.replay.answers import Answer, Asked, as_json, as_text
from fin_lake.local.replay.limits import MINUTE, Limits, Rule
from fin_lake.local.replay.market import DAY_MINUTES, PRE_MARKET, Market
from fin_lake.local.replay.recording import NEW_YORK

_MINUTES: Final = {
    "1m": 1,
    "2m": 2,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "60m": 60,
    "90m": 90,
    "1h": 60,
    "1d": DAY_MINUTES,
}
_REACH_DAYS: Final = {1: 30, 2: 60, 5: 60, 15: 60, 30: 60, 90: 60, 60: 730}
_MINUTE_SPAN_DAYS: Final = 7
_RANGE_DAYS: Final = {
    "1d": 1,
    "5d": 7,
    "1mo": 31,
    "3mo": 92,
    "6mo": 183,
    "1y": 366,
    "2y": 731,
    "5y": 1827,
    "10y": 3653,
}
_RANGES: Final = (*_RANGE_DAYS, "ytd", "max")
_PRICES: Final = ("open", "high", "low", "close")
_LATEST_EPOCH: Final = 253_402_300_799  # the end of the year 9999, where datetime ends
_YEAR: Final = dt.timedelta(days=365)
_POST_MARKET: Final = dt.timedelta(hours=4)

TOO_MANY: Final = as_text("Too Many Requests\r\n", 429)


def key_of(_asked: Asked) -> str:
    """Return nothing: Yahoo knows no keys."""
    return ""


def limited(asked: Asked, limits: Limits) -> Answer | None:
    """Count a request; return an answer if it is one too many."""
    refusal = limits.refuse("yahoo", Rule(asked.plans.yahoo_per_minute, MINUTE))
    return TOO_MANY if refusal else None


def answer(asked: Asked) -> Answer:
    """Answer ``/v8/finance/chart/{symbol}``."""
    if "Mozilla/" not in asked.headers.get("User-Agent", ""):
        return TOO_MANY
    head, _, symbol = asked.path.rpartition("/")
    if head != "v8/finance/chart":
        return as_text("Not Found", 404)
    symbol = symbol.upper()
    if asked.market.symbol(symbol, "stocks") is None:
        return _error(404, "Not Found", "No data found, symbol may be delisted")
    interval = asked.query.get("interval", "1d")
    minutes = _MINUTES.get(interval)
    if minutes is None:
        return _unprocessable(
            f"Invalid input - interval={interval} is not supported. Valid intervals: [{', '.join(_MINUTES)}]"
        )
    period = _period(asked)
    if isinstance(period, Answer):
        return period
    refusal = _reach(minutes, interval, *period, asked.market.now)
    return refusal or _chart(asked, symbol, interval, minutes, *period)


def _error(status: int, code: str, description: str) -> Answer:
    return as_json({"chart": {"result": None, "error": {"code": code, "description": description}}}, status)


def _unprocessable(description: str) -> Answer:
    return _error(422, "Unprocessable Entity", description)


def _period(asked: Asked) -> tuple[dt.datetime, dt.datetime] | Answer:
    """Return start and end of what is asked for (UTC, the end excluded), or why it cannot be told."""
    query, market = asked.query, asked.market
    if "period1" not in query and "period2" not in query:
        return _range(query.get("range", "1d"), market)
    now = str(int(market.now.timestamp()))
    first, last = query.get("period1", now), query.get("period2", now)
    try:
        start, end = (min(max(int(text), 0), _LATEST_EPOCH) for text in (first, last))
    except ValueError:
        return _error(400, "Bad Request", "Invalid input - period1 and period2 must be epoch seconds")
    if start >= end:
        return _error(
            400,
            "Bad Request",
            f"Invalid input - start date cannot be after end date. startDate = {first}, endDate = {last}",
        )
    return dt.datetime.fromtimestamp(start, dt.UTC), dt.datetime.fromtimestamp(end, dt.UTC)


def _range(name: str, market: Market) -> tuple[dt.datetime, dt.datetime] | Answer:
    if name not in _RANGES:
        return _unprocessable(
            f"Invalid input - range={name} is not supported. Valid ranges: [{', '.join(_RANGES)}]"
        )
    today = market.now.astimezone(ZoneInfo(NEW_YORK)).replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "ytd":
        start = today.replace(month=1, day=1)
    elif name == "max":
        start = today.replace(year=1970, month=1, day=1)
    else:
        start = today - dt.timedelta(days=_RANGE_DAYS[name] - 1)
    return start.astimezone(dt.UTC), market.now


def _reach(
    minutes: int, interval: str, first: dt.datetime, last: dt.datetime, now: dt.datetime
) -> Answer | None:
    days = _REACH_DAYS.get(minutes)
    if days is None:
        return None
    asked = (
        f"{interval} data not available for startTime={first.timestamp():.0f} "
        f"and endTime={last.timestamp():.0f}."
    )
    if first < now - dt.timedelta(days=days):
        return _unprocessable(f"{asked} The requested range must be within the last {days} days.")
    if minutes == 1 and min(last, now) - first > dt.timedelta(days=_MINUTE_SPAN_DAYS):
        return _unprocessable(
            f"{asked} Only {_MINUTE_SPAN_DAYS} days worth of 1m granularity data are allowed to be fetched "
            "per request."
        )
    return None


def _chart(
    asked: Asked, symbol: str, interval: str, minutes: int, first: dt.datetime, last: dt.datetime
) -> Answer:
    extended = asked.query.get("includePrePost") == "true" and minutes != DAY_MINUTES
    bars = _with_missing(asked.market, symbol, minutes, extended=extended)
    bars = asked.alter(bars.filter(pl.col("timestamp").is_between(first, last, closed="left")))
    result: dict[str, Any] = {"meta": _meta(asked, symbol, interval, first)}
    if bars.is_empty():
        result["indicators"] = {"quote": [{}]}
        return as_json({"chart": {"result": [result], "error": None}})
    quote: dict[str, list[Any]] = {name: _float32(bars[name]) for name in _PRICES}
    quote["volume"] = bars["volume"].cast(pl.Int64).to_list()
    result["timestamp"] = (bars["timestamp"].dt.epoch("s")).to_list()
    result["indicators"] = {"quote": [quote]}
    if minutes == DAY_MINUTES:
        result["indicators"]["adjclose"] = [{"adjclose": quote["close"]}]
    return as_json({"chart": {"result": [result], "error": None}})


@functools.lru_cache(maxsize=2048)
def _with_missing(market: Market, symbol: str, minutes: int, *, extended: bool) -> pl.DataFrame:
    """Return bars, with a row of nulls for each that is over and was not recorded in its session."""
    bars = market.bars(symbol, minutes, regular=not extended, from_open=True)
    if minutes == DAY_MINUTES or bars.is_empty():
        return bars
    step = dt.timedelta(minutes=minutes)
    starts = [
        start
        for opens, closes in market.sessions(symbol)
        for start in (opens + i * step for i in range(-((opens - closes) // step)))
        if min(start + step, closes) <= market.now
    ]
    expected = pl.DataFrame({"timestamp": starts}, schema={"timestamp": bars.schema["timestamp"]})
    return bars.join(expected, on="timestamp", how="full", coalesce=True).sort("timestamp")


def _float32(prices: pl.Series) -> list[float | None]:
    """Return prices as doubles that were 32-bit floats: 125.07 becomes 125.06999969482422."""
    return [None if value is None else float(np.float32(value)) for value in prices]


def _meta(asked: Asked, symbol: str, interval: str, first: dt.datetime) -> dict[str, Any]:
    days = asked.market.bars(symbol, DAY_MINUTES, regular=True, from_open=True)
    before = days["timestamp"].search_sorted(first) if days.height else 0
    return {
        **_standing(asked.market, symbol),
        "chartPreviousClose": _float32(days["close"].slice(before - 1, 1))[0] if before else None,
        "priceHint": 2,
        "dataGranularity": interval,
        "range": "" if "period1" in asked.query else asked.query.get("range", "1d"),
        "validRanges": list(_RANGES),
    }


@functools.lru_cache(maxsize=1024)
def _standing(market: Market, symbol: str) -> dict[str, Any]:
    """Return what Yahoo says of a stock whatever is asked: its exchange, and how it stands now."""
    now = market.now.astimezone(ZoneInfo(NEW_YORK))
    offset = int((now.utcoffset() or dt.timedelta()).total_seconds())
    days = market.bars(symbol, DAY_MINUTES, regular=True, from_open=True)
    year = days.filter(pl.col("timestamp") > market.now - _YEAR)
    traded = market.last_traded(symbol)
    opens, closes = market.trading_day()

    def period(start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
        return {
            "timezone": now.tzname(),
            "start": int(start.timestamp()),
            "end": int(end.timestamp()),
            "gmtoffset": offset,
        }

    def price(column: pl.Series) -> float | None:
        return _float32(column)[-1] if len(column) else None

    return {
        "currency": "USD",
        "symbol": symbol,
        "exchangeName": "REC",
        "fullExchangeName": "Recorded",
        "instrumentType": "EQUITY",
        "firstTradeDate": int(days["timestamp"][0].timestamp()) if days.height else None,
        "regularMarketTime": int(traded.timestamp()) if traded else None,
        "hasPrePostMarketData": True,
        "gmtoffset": offset,
        "timezone": now.tzname(),
        "exchangeTimezoneName": NEW_YORK,
        "regularMarketPrice": price(days["close"]),
        "fiftyTwoWeekHigh": price(year.select(pl.col("high").max()).to_series()),
        "fiftyTwoWeekLow": price(year.select(pl.col("low").min()).to_series()),
        "regularMarketDayHigh": price(days["high"]),
        "regularMarketDayLow": price(days["low"]),
        "regularMarketVolume": int(days["volume"][-1]) if days.height else None,
        "longName": symbol,
        "shortName": symbol,
        "currentTradingPeriod": {
            "pre": period(opens - PRE_MARKET, opens),
            "regular": period(opens, closes),
            "post": period(closes, closes + _POST_MARKET),
        },
    }
