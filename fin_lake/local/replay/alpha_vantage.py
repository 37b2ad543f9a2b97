"""Alpha Vantage: TIME_SERIES_INTRADAY and GLOBAL_QUOTE, after its public API documentation.

Errors come with status 200, prices as texts of four decimals, times naive in US/Eastern.
"""

from __future__ import annotations

import re
from typing import Any, Final

import polars as pl

from fin_lake.local.replay.answers import Answer, Asked, as_json
from fin_lake.local.replay.recording import NEW_YORK

_MINUTES: Final = {"1min": 1, "5min": 5, "15min": 15, "30min": 30, "60min": 60}
_COMPACT: Final = 100

NO_KEY: Final = (
    "the parameter apikey is invalid or missing. Please claim your free API key on "
    "(https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds."
)
PREMIUM: Final = (
    "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the premium "
    "plans at https://www.alphavantage.co/premium/ to instantly unlock all premium endpoints"
)
PACING: Final = (
    "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly "
    "(1 request per second). You may subscribe to any of the premium plans to lift the free key rate limit "
    "(25 requests per day), raise the per-second burst limit, and instantly unlock all premium endpoints"
)


def quota(key: str) -> dict[str, str]:
    """Return the answer of a used-up day; like the real one it repeats the caller's key."""
    return {
        "Information": f"We have detected your API key as {key} and our standard API rate limit is 25 requests "
        "per day. Please subscribe to any of the premium plans to instantly remove all daily rate limits."
    }


def answer(asked: Asked) -> Answer:
    """Answer ``/query``."""
    query = asked.query
    if not query.get("apikey"):
        return as_json({"Error Message": NO_KEY})
    function = query.get("function", "")
    symbol = query.get("symbol", "").upper()
    known = asked.market.symbol(symbol, "stocks") is not None
    if function == "GLOBAL_QUOTE":
        return as_json({"Global Quote": _quote(asked, symbol) if known else {}})
    minutes = _MINUTES.get(query.get("interval", ""))
    month = query.get("month", "")
    month_is_one = not month or re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month)
    if function != "TIME_SERIES_INTRADAY" or not known or minutes is None or not month_is_one:
        return as_json(
            {
                "Error Message": "Invalid API call. Please retry or visit the documentation "
                f"(https://www.alphavantage.co/documentation/) for {function or 'this API'}."
            }
        )
    return _intraday(asked, symbol, minutes, month)


def _intraday(asked: Asked, symbol: str, minutes: int, month: str) -> Answer:
    extended = asked.query.get("extended_hours", "true") != "false"
    bars = asked.market.bars(symbol, minutes, regular=not extended)
    local = pl.col("timestamp").dt.convert_time_zone(NEW_YORK)
    if month:
        bars = bars.filter(local.dt.strftime("%Y-%m") == month)
    full = asked.query.get("outputsize", "compact") == "full"
    bars = asked.alter(bars if full else bars.tail(_COMPACT))
    if bars.is_empty():
        return as_json({})
    bars = bars.with_columns(local=local.dt.strftime("%Y-%m-%d %H:%M:%S"))
    interval = f"{minutes}min"
    series = ",".join(f'"{row["local"]}":{_bar(row)}' for row in reversed(bars.rows(named=True)))
    meta = {
        "1. Information": f"Intraday ({interval}) open, high, low, close prices and volume",
        "2. Symbol": symbol,
        "3. Last Refreshed": bars["local"][-1],
        "4. Interval": interval,
        "5. Output Size": "Full size" if full else "Compact",
        "6. Time Zone": "US/Eastern",
    }
    head = as_json({"Meta Data": meta}).body[:-1]
    return Answer(head + f',"Time Series ({interval})":{{{series}}}}}'.encode())


def _bar(row: dict[str, Any]) -> str:
    prices = [
        f'"{i}. {name}":"{_price(row[name])}"' for i, name in enumerate(("open", "high", "low", "close"), 1)
    ]
    volume = "" if row["volume"] is None else f"{row['volume']:.0f}"
    return "{" + ",".join(prices) + f',"5. volume":"{volume}"' + "}"


def _price(value: float | None) -> str:
    return "" if value is None else "NaN" if value != value else f"{value:.4f}"  # noqa: PLR0124 - NaN


def _quote(asked: Asked, symbol: str) -> dict[str, str]:
    bars = asked.market.bars(symbol, 1440, regular=True)
    if bars.is_empty():
        return {}
    last = bars.row(-1, named=True)
    before = bars["close"][-2] if bars.height > 1 else last["open"]
    return {
        "01. symbol": symbol,
        "02. open": _price(last["open"]),
        "03. high": _price(last["high"]),
        "04. low": _price(last["low"]),
        "05. price": _price(last["close"]),
        "06. volume": f"{last['volume']:.0f}",
        "07. latest trading day": f"{last['timestamp']:%Y-%m-%d}",
        "08. previous close": _price(before),
        "09. change": _price(last["close"] - before),
        "10. change percent": f"{(last['close'] / before - 1) * 100:.4f}%",
    }
