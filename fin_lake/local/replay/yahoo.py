"""Yahoo Finance: the chart API, version 8, after answers recorded by public clients.

Times are epoch seconds at a bar's start; prices are doubles that were 32-bit floats; a bar that is
missing within a session is null in every array.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from fin_lake.local.replay.answers import Answer, Asked, as_json
from fin_lake.local.replay.recording import NEW_YORK

_MINUTES: Final = {
    "1m": 1,
    "2m": 2,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "60m": 60,
    "1h": 60,
    "1d": 1440,
}
_REACH_DAYS: Final = {1: 30, 2: 60, 5: 60, 15: 60, 30: 60, 60: 730}
_MINUTE_SPAN_DAYS: Final = 8
_RANGES: Final = ("1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max")
_PRICES: Final = ("open", "high", "low", "close")
TOO_MANY: Final = Answer(b"Too Many Requests\r\n", 429, "text/plain")


def answer(asked: Asked) -> Answer:
    """Answer ``/v8/finance/chart/{symbol}``."""
    if "Mozilla" not in asked.headers.get("User-Agent", ""):
        return TOO_MANY
    head, _, symbol = asked.path.rpartition("/")
    if head != "v8/finance/chart":
        return _error(404, "Not Found", "HTTP 404 Not Found")
    if asked.market.symbol(symbol, "stocks") is None:
        return _error(404, "Not Found", "No data found, symbol may be delisted")
    interval = asked.query.get("interval", "1d")
    minutes = _MINUTES.get(interval)
    if minutes is None:
        return _error(
            422,
            "Unprocessable Entity",
            f"Invalid input - interval={interval} is not supported. Valid intervals: [{', '.join(_MINUTES)}]",
        )
    try:
        first, last = (_moment(asked.query[name]) for name in ("period1", "period2"))
    except (KeyError, ValueError):
        return _error(400, "Bad Request", "Invalid input - period1 and period2 must be epoch seconds")
    if first >= last:
        return _error(400, "Bad Request", "Invalid input - start date cannot be after end date")
    refusal = _reach(minutes, interval, first, last, asked.market.now)
    return refusal or _chart(asked, symbol, interval, minutes, first, last)


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(text), dt.UTC)


def _error(status: int, code: str, description: str) -> Answer:
    return as_json({"chart": {"result": None, "error": {"code": code, "description": description}}}, status)


def _reach(
    minutes: int, interval: str, first: dt.datetime, last: dt.datetime, now: dt.datetime
) -> Answer | None:
    days = _REACH_DAYS.get(minutes)
    if days is None:
        return None
    if first < now - dt.timedelta(days=days):
        return _error(
            422,
            "Unprocessable Entity",
            f"{interval} data not available for startTime={first.timestamp():.0f} and "
            f"endTime={last.timestamp():.0f}. The requested range must be within the last {days} days.",
        )
    if minutes == 1 and last - first > dt.timedelta(days=_MINUTE_SPAN_DAYS):
        return _error(
            422,
            "Unprocessable Entity",
            "1m data not available: only 8 days worth of 1m granularity data are allowed to be fetched "
            "per request.",
        )
    return None


def _chart(
    asked: Asked, symbol: str, interval: str, minutes: int, first: dt.datetime, last: dt.datetime
) -> Answer:
    market = asked.market
    bars = _with_missing(asked, symbol, minutes).filter(
        pl.col("timestamp").is_between(first, last, closed="left")
    )
    bars = asked.alter(bars)
    result: dict[str, Any] = {"meta": _meta(asked, symbol, interval)}
    if bars.is_empty():
        result["indicators"] = {"quote": [{}]}
        return as_json({"chart": {"result": [result], "error": None}})
    quote = {name: _float32(bars[name]) for name in _PRICES}
    quote["volume"] = [None if value is None else int(value) for value in bars["volume"]]
    result["timestamp"] = [int(moment.timestamp()) for moment in bars["timestamp"]]
    result["indicators"] = {"quote": [quote]}
    if minutes == _MINUTES["1d"]:
        result["indicators"]["adjclose"] = [{"adjclose": quote["close"]}]
    assert bars["timestamp"][-1] < market.now  # noqa: S101 - the clock is the replay's one promise
    return as_json({"chart": {"result": [result], "error": None}})


def _with_missing(asked: Asked, symbol: str, minutes: int) -> pl.DataFrame:
    """Return the session's bars, with a row of nulls for each that was not recorded."""
    market = asked.market
    extended = asked.query.get("includePrePost") == "true"
    bars = market.bars(symbol, minutes, regular=not extended, half_past=minutes == _MINUTES["1h"])
    if minutes == _MINUTES["1d"] or bars.is_empty():
        return bars
    step = dt.timedelta(minutes=minutes)
    starts = [
        opens + i * step
        for opens, closes in market.sessions(symbol)
        for i in range(-(-int((closes - opens).total_seconds()) // (60 * minutes)))
        if opens + i * step < market.now
    ]
    expected = pl.DataFrame({"timestamp": starts}, schema={"timestamp": bars.schema["timestamp"]})
    return bars.join(expected, on="timestamp", how="full", coalesce=True).sort("timestamp")


def _float32(prices: pl.Series) -> list[float | None]:
    return [None if value is None else float(np.float32(value)) for value in prices]


def _meta(asked: Asked, symbol: str, interval: str) -> dict[str, Any]:
    market = asked.market
    now = market.now.astimezone(ZoneInfo(NEW_YORK))
    offset = int((now.utcoffset() or dt.timedelta()).total_seconds())
    recorded = market.recorded(symbol)
    sessions = market.sessions(symbol)
    opens, closes = sessions[-1] if sessions else (market.now, market.now)

    def period(start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
        return {
            "timezone": now.tzname(),
            "start": int(start.timestamp()),
            "end": int(end.timestamp()),
            "gmtoffset": offset,
        }

    return {
        "currency": "USD",
        "symbol": symbol,
        "exchangeName": "NMS",
        "fullExchangeName": "NasdaqGS",
        "instrumentType": "EQUITY",
        "firstTradeDate": int(recorded["timestamp"][0].timestamp()) if recorded.height else None,
        "regularMarketTime": int(min(closes, market.now).timestamp()),
        "hasPrePostMarketData": True,
        "gmtoffset": offset,
        "timezone": now.tzname(),
        "exchangeTimezoneName": NEW_YORK,
        "regularMarketPrice": _float32(recorded["close"].tail(1))[0] if recorded.height else None,
        "priceHint": 2,
        "currentTradingPeriod": {
            "pre": period(opens - dt.timedelta(hours=5, minutes=30), opens),
            "regular": period(opens, closes),
            "post": period(closes, closes + dt.timedelta(hours=4)),
        },
        "dataGranularity": interval,
        "range": "",
        "validRanges": list(_RANGES),
    }
