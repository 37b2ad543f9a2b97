"""CoinGecko, version 3, after its public API documentation: candles, samples, and lists of coins.

Candles are stamped at their end and have no volume. Samples are the prices that were last known at
some seconds past the hour; the volume beside one is that of the 24 hours before.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import polars as pl

from fin_lake.local.replay.answers import Answer, Asked, as_json
from fin_lake.local.replay.market import MINUTE

_CANDLE_MINUTES: Final = {1: 30, 7: 240, 14: 240, 30: 240, 90: 5760, 180: 5760, 365: 5760}
_HOURLY_UP_TO: Final = dt.timedelta(days=90)
_FINE_WITHIN: Final = dt.timedelta(days=1)
_DEMO_REACH: Final = dt.timedelta(days=365)
_DAY: Final = dt.timedelta(days=1)

NOT_FOUND: Final = as_json({"error": "coin not found"}, 404)


def error(status: int, code: int, message: str) -> Answer:
    """Return an error in the form that keys and plans are refused with."""
    return as_json({"error": {"status": {"error_code": code, "error_message": message}}}, status)


def too_many(retry_after: int) -> Answer:
    """Return the answer to one request too many."""
    message = "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing"
    return as_json(
        {"status": {"error_code": 429, "error_message": message}}, 429, {"Retry-After": str(retry_after)}
    )


def key_of(asked: Asked) -> str:
    """Return the caller's key, by header or parameter, of either plan."""
    names = ("x-cg-pro-api-key", "x-cg-demo-api-key")
    found = [asked.headers.get(name, "") or asked.query.get(name.replace("-", "_"), "") for name in names]
    return next(filter(None, found), "")


def answer(asked: Asked) -> Answer:
    """Answer what lies under ``/api/v3``."""
    path = asked.path.removeprefix("api/v3/").strip("/").split("/")
    market = asked.market
    coins = market.recording.crypto_coins
    if path == ["ping"]:
        return as_json({"gecko_says": "(V3) To the Moon!"})
    if not key_of(asked):
        return error(401, 10002, "API Key Missing. Please make sure you're passing the right key.")
    match path:
        case ["coins", "list"]:
            return as_json([_coin(coin, symbol) for coin, symbol in coins.items()])
        case ["coins", "markets"]:
            wanted = asked.query.get("ids", ",".join(coins)).split(",")
            return as_json([_market(asked, coin, coins[coin]) for coin in wanted if coin in coins])
        case ["coins", coin, "ohlc"] if coin in coins:
            return _candles(asked, coins[coin])
        case ["coins", coin, "market_chart", "range"] if coin in coins:
            return _samples(asked, coins[coin])
        case ["coins", _, *_]:
            return NOT_FOUND
        case _:
            return as_json({"error": "Incorrect path. Please check https://www.coingecko.com/api/"}, 404)


def _coin(coin: str, symbol: str) -> dict[str, str]:
    return {"id": coin, "symbol": symbol.partition("-")[0].lower(), "name": coin.capitalize()}


def _quoted_in(asked: Asked, symbol: str) -> bool:
    """Return whether the coin is recorded in the currency that is asked for."""
    return asked.query.get("vs_currency", "").upper() == symbol.partition("-")[2].upper()


_INVALID_CURRENCY: Final = as_json({"error": "invalid vs_currency"}, 422)


def _candles(asked: Asked, symbol: str) -> Answer:
    if not _quoted_in(asked, symbol):
        return _INVALID_CURRENCY
    days = asked.query.get("days", "")
    minutes = _CANDLE_MINUTES.get(int(days)) if days.isdigit() else None
    if minutes is None:
        return as_json({"error": "Invalid days parameter"}, 422)
    bars = asked.market.bars(symbol, minutes)
    end = pl.col("timestamp") + minutes * MINUTE
    bars = bars.filter((end > asked.market.now - int(days) * _DAY) & (end <= asked.market.now))
    rows = asked.alter(bars).with_columns(stamp=end.dt.timestamp("ms"))
    return as_json(rows.select("stamp", "open", "high", "low", "close").rows())


def _samples(asked: Asked, symbol: str) -> Answer:
    if not _quoted_in(asked, symbol):
        return _INVALID_CURRENCY
    market = asked.market
    try:
        first, last = (dt.datetime.fromtimestamp(float(asked.query[name]), dt.UTC) for name in ("from", "to"))
    except (KeyError, ValueError):
        return as_json({"error": "Invalid from or to parameter"}, 422)
    if not asked.headers.get("x-cg-pro-api-key") and first < market.now - _DEMO_REACH:
        return error(
            401,
            10012,
            "Your request exceeds the allowed time range. Public API users are limited to querying "
            "historical data within the past 365 days.",
        )
    points = _points(asked, symbol, first, last)
    points = asked.alter(points.filter(pl.col("at").is_between(first, min(last, market.now))))
    stamped = points.with_columns(stamp=pl.col("at").dt.timestamp("ms"))
    return as_json(
        {
            "prices": stamped.select("stamp", "close").rows(),
            "market_caps": stamped.select("stamp", pl.lit(None)).rows(),
            "total_volumes": stamped.select("stamp", "traded").rows(),
        }
    )


def _points(asked: Asked, symbol: str, first: dt.datetime, last: dt.datetime) -> pl.DataFrame:
    """Return the closes of recorded bars as samples: a bar's end, and some seconds more."""
    market = asked.market
    minutes = market.recording.symbols[symbol].minutes
    end = pl.col("timestamp") + minutes * MINUTE
    points = market.recorded(symbol).with_columns(
        traded=pl.col("volume").rolling_sum_by("timestamp", window_size="24h"), end=end
    )
    if last - first > _HOURLY_UP_TO:
        points = points.filter(pl.col("end").dt.truncate("1d") == pl.col("end"))
    elif first < market.now - _FINE_WITHIN:
        points = points.filter(pl.col("end").dt.truncate("1h") == pl.col("end"))
    # never on the hour, as with the real service, and the same at every request
    lag = (pl.col("end").dt.timestamp("us") // 60_000_000 * 37 % 180 + 3) * 1_000_000 + 417_000
    return points.with_columns(at=pl.col("end") + pl.duration(microseconds=lag))


def _market(asked: Asked, coin: str, symbol: str) -> dict[str, Any]:
    points = _points(asked, symbol, asked.market.now, asked.market.now)
    last = points.row(-1, named=True) if points.height else {}
    return {
        **_coin(coin, symbol),
        "current_price": last.get("close"),
        "market_cap": None,
        "total_volume": last.get("traded"),
        "last_updated": last["end"].isoformat().replace("+00:00", "Z") if last else None,
    }
