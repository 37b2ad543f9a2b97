"""Alpha Vantage: TIME_SERIES_INTRADAY and GLOBAL_QUOTE, after its public API documentation.

Errors come with status 200, prices as texts of four decimals, times naive in US/Eastern. Bars are
aligned to the clock. A recording knows no splits, so ``adjusted`` changes nothing.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import polars as pl

from fin_lake.local.replay.answers import Answer, Asked, as_json, as_text
from fin_lake.local.replay.limits import DAY, MINUTE, SECOND, Limits, Rule, is_invalid, is_premium
from fin_lake.local.replay.market import DAY_MINUTES
from fin_lake.local.replay.recording import NEW_YORK

_MINUTES: Final = {"1min": 1, "5min": 5, "15min": 15, "30min": 30, "60min": 60}
_MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_COMPACT: Final = 100
_TRAILING_DAYS: Final = 30
_PRICES: Final = ("open", "high", "low", "close")

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


def quota(key: str) -> Answer:
    """Return the answer of a used-up day; like the real one it repeats the caller's key."""
    return _information(
        f"We have detected your API key as {key} and our standard API rate limit is 25 requests "
        "per day. Please subscribe to any of the premium plans to instantly remove all daily rate limits."
    )


def pacing() -> Answer:
    """Return the answer to a request that came too soon."""
    return _information(PACING)


def premium() -> Answer:
    """Return the answer to a free key that asks for what is paid for."""
    return _information(PREMIUM)


def key_of(asked: Asked) -> str:
    """Return the caller's key."""
    return asked.query.get("apikey", "")


def limited(asked: Asked, limits: Limits) -> Answer | None:
    """Count a request; return an answer if it is one too many."""
    key, plans = key_of(asked), asked.plans
    if not key or is_invalid(key):
        return None
    if is_premium(key):
        rules = [Rule(plans.alpha_vantage_premium_per_minute, MINUTE)]
    else:
        rules = [
            Rule(plans.alpha_vantage_free_per_second, SECOND),
            Rule(plans.alpha_vantage_free_per_day, DAY),
        ]
    refusal = limits.refuse(f"alpha_vantage {key}", *rules)
    if refusal is None:
        return None
    return quota(key) if refusal.rule.seconds == DAY else pacing()


def answer(asked: Asked) -> Answer:
    """Answer ``/query``."""
    if asked.path != "query":
        return as_text("Not Found", 404)
    key = key_of(asked)
    if not key or is_invalid(key):
        return _error(NO_KEY)
    function = asked.query.get("function", "")
    if function == "GLOBAL_QUOTE":
        return as_json({"Global Quote": _quote(asked)})
    if function != "TIME_SERIES_INTRADAY":
        return _error(f"This API function ({function}) does not exist.")
    if asked.plans.alpha_vantage_intraday_is_premium and not is_premium(key):
        return premium()
    return _intraday(asked)


def _error(message: str) -> Answer:
    return as_json({"Error Message": message})


def _information(message: str) -> Answer:
    return as_json({"Information": message})


def _symbol(asked: Asked) -> str:
    """Return the symbol, or nothing if there is no such stock."""
    symbol = asked.query.get("symbol", "").upper()
    return symbol if asked.market.symbol(symbol, "stocks") else ""


def _intraday(asked: Asked) -> Answer:
    query, symbol = asked.query, _symbol(asked)
    minutes, month = _MINUTES.get(query.get("interval", "")), query.get("month", "")
    month_is_one = not month or _MONTH.fullmatch(month)
    if not symbol or minutes is None or not month_is_one or query.get("datatype", "json") != "json":
        return _error(
            "Invalid API call. Please retry or visit the documentation "
            "(https://www.alphavantage.co/documentation/) for TIME_SERIES_INTRADAY."
        )
    extended = query.get("extended_hours", "true") != "false"
    full = query.get("outputsize", "compact") == "full"
    bars = asked.market.bars(symbol, minutes, regular=not extended)
    local = pl.col("timestamp").dt.convert_time_zone(NEW_YORK)
    if month:
        bars = bars.filter(local.dt.strftime("%Y-%m") == month)
    elif full:
        bars = bars.filter(pl.col("timestamp") > asked.market.now - pl.duration(days=_TRAILING_DAYS))
    bars = asked.alter(bars if full else bars.tail(_COMPACT))
    if bars.is_empty():
        return as_json({})
    bars = bars.with_columns(local=local.dt.strftime("%Y-%m-%d %H:%M:%S"))
    interval = f"{minutes}min"
    meta = {
        "1. Information": f"Intraday ({interval}) open, high, low, close prices and volume",
        "2. Symbol": symbol,
        "3. Last Refreshed": bars["local"].max(),
        "4. Interval": interval,
        "5. Output Size": "Full size" if full else "Compact",
        "6. Time Zone": "US/Eastern",
    }
    # Written by hand, since a fault may repeat a time, and a dictionary cannot.
    series = ",".join(f'"{row[-1]}":{_bar(row)}' for row in _rows(bars))
    head = as_json({"Meta Data": meta}).body[:-1]
    return Answer(head + f',"Time Series ({interval})":{{{series}}}}}'.encode())


def _rows(bars: pl.DataFrame) -> list[tuple[Any, ...]]:
    newest_first = bars.sort("timestamp", descending=True, maintain_order=True)
    return newest_first.select(*_PRICES, "volume", "local").rows()


def _bar(row: tuple[Any, ...]) -> str:
    prices = [f'"{i}. {name}":{_price(row[i - 1])}' for i, name in enumerate(_PRICES, 1)]
    volume = "null" if row[4] is None else f'"{row[4]:.0f}"'
    return "{" + ",".join(prices) + f',"5. volume":{volume}' + "}"


def _price(value: float | None) -> str:
    if value is None:
        return "null"
    return '"NaN"' if math.isnan(value) else f'"{value:.4f}"'


def _quote(asked: Asked) -> dict[str, str]:
    symbol = _symbol(asked)
    if not symbol:
        return {}
    sessions = asked.market.bars(symbol, DAY_MINUTES, regular=True, from_open=True)
    if sessions.is_empty():
        return {}
    last = sessions.row(-1, named=True)
    before = sessions["close"][-2] if sessions.height > 1 else last["open"]
    return {
        "01. symbol": symbol,
        "02. open": f"{last['open']:.4f}",
        "03. high": f"{last['high']:.4f}",
        "04. low": f"{last['low']:.4f}",
        "05. price": f"{last['close']:.4f}",
        "06. volume": f"{last['volume']:.0f}",
        "07. latest trading day": f"{last['timestamp']:%Y-%m-%d}",
        "08. previous close": f"{before:.4f}",
        "09. change": f"{last['close'] - before:.4f}",
        "10. change percent": f"{(last['close'] / before - 1) * 100:.4f}%",
    }
