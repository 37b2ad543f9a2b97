"""CoinGecko, version 3, after its public API documentation: candles, samples, and lists of coins.

Candles are stamped at their end and have no volume. Samples are the prices that were last known at
some seconds past the hour; the volume beside one is that of the 24 hours before. A recording knows
no supply, so there are no market capitalisations.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl

from fin_lake.local.replay.answers import Answer, Asked, as_json
from fin_lake.local.replay.limits import MINUTE as MINUTE_SECONDS
from fin_lake.local.replay.limits import Limits, Rule, is_invalid, is_premium
from fin_lake.local.replay.market import MINUTE, Market
from fin_lake.local.replay.recording import RecordedSymbol

_DAY: Final = dt.timedelta(days=1)
_HOUR: Final = dt.timedelta(hours=1)
_CANDLE_MINUTES: Final = {"1": 30, "7": 240, "14": 240, "30": 240, "90": 5760, "180": 5760, "365": 5760}
_MAX_DAYS: Final = 36_500
_HOURLY_UP_TO: Final = dt.timedelta(days=90)
_FINEST: Final = dt.timedelta(minutes=5)
_PRO_HEADER: Final = "x-cg-pro-api-key"
_DEMO_HEADER: Final = "x-cg-demo-api-key"

NOT_FOUND: Final = as_json({"error": "coin not found"}, 404)
_NO_PATH: Final = as_json({"error": "Incorrect path. Please check https://docs.coingecko.com"}, 404)


def error(code: int, message: str) -> Answer:
    """Return an error in the form that keys and plans are refused with."""
    return as_json({"error": {"status": {"error_code": code, "error_message": message}}}, 401)


def too_many(retry_after: float) -> Answer:
    """Return the answer to one request too many."""
    message = "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing"
    return as_json(
        {"status": {"error_code": 429, "error_message": message}},
        429,
        {"Retry-After": str(math.ceil(retry_after))},
    )


def premium() -> Answer:
    """Return the answer to a key whose plan does not include what is asked for."""
    return error(10005, "This request is limited to PRO API subscribers.")


def key_of(asked: Asked) -> str:
    """Return the caller's key, by header or parameter, of either plan; empty without one."""
    return _key(asked, _PRO_HEADER) or _key(asked, _DEMO_HEADER)


def _key(asked: Asked, header: str) -> str:
    return asked.headers.get(header, "") or asked.query.get(header.replace("-", "_"), "")


def limited(asked: Asked, limits: Limits) -> Answer | None:
    """Count a request; return an answer if it is one too many. Without a key it counts as a demo's."""
    key, plans = key_of(asked), asked.plans
    allowed = plans.coingecko_premium_per_minute if is_premium(key) else plans.coingecko_demo_per_minute
    refusal = limits.refuse(f"coingecko {key}", Rule(allowed, MINUTE_SECONDS))
    return too_many(refusal.wait) if refusal else None


def answer(asked: Asked) -> Answer:
    """Answer what lies under ``/api/v3``."""
    if not asked.path.startswith("api/v3/"):
        return _NO_PATH
    if refused := _refused_key(asked):
        return refused
    path = asked.path.removeprefix("api/v3/").strip("/").split("/")
    match path:
        case ["coins", coin, "ohlc"]:
            return _of_coin(asked, coin, _candles)
        case ["coins", coin, "market_chart", "range"]:
            return _of_coin(asked, coin, _samples)
    make = _OF_ALL.get("/".join(path))
    return make(asked) if make else _NO_PATH


def _of_coin(asked: Asked, coin: str, make: Callable[[Asked, str], Answer]) -> Answer:
    symbol = asked.market.recording.crypto_coins.get(coin)
    if symbol is None:
        return NOT_FOUND
    # A coin is served in the currency it was recorded in, and in no other.
    if asked.query.get("vs_currency", "").lower() != asked.market.recording.symbols[symbol].currency:
        return as_json({"error": "invalid vs_currency"}, 422)
    return make(asked, symbol)


def _refused_key(asked: Asked) -> Answer | None:
    """Return why a key is not accepted. Without a key the public API answers, as on the demo plan."""
    if is_invalid(key_of(asked)):
        return error(10002, "API Key Missing. Please make sure that you pass a valid key.")
    pro = _key(asked, _PRO_HEADER)
    if pro and not is_premium(pro):
        return error(
            10010,
            "If you are using a Demo API key, please use the root URL api.coingecko.com and its header "
            f"{_DEMO_HEADER}.",
        )
    return None


def _coin(one: RecordedSymbol) -> dict[str, str]:
    return {
        "id": one.coin,
        "symbol": one.symbol.rpartition("-")[0].lower(),
        "name": one.coin.replace("-", " ").title(),
    }


def _candles(asked: Asked, symbol: str) -> Answer:
    market = asked.market
    days = asked.query.get("days", "")
    minutes = _CANDLE_MINUTES.get(days, 5760 if days == "max" else None)
    if minutes is None:
        return as_json({"error": "Invalid days parameter"}, 422)
    since = market.now - (_MAX_DAYS if days == "max" else int(days)) * _DAY
    if refused := _beyond_plan(asked, since):
        return refused
    end = pl.col("timestamp") + minutes * MINUTE
    bars = asked.alter(market.bars(symbol, minutes).filter(end > since))
    return as_json(bars.select(end.dt.timestamp("ms"), "open", "high", "low", "close").rows())


def _beyond_plan(asked: Asked, first: dt.datetime) -> Answer | None:
    days = asked.plans.coingecko_demo_days
    # A minute's grace: what is 365 days back when it is asked is a little more when it is answered.
    if is_premium(key_of(asked)) or first >= asked.market.now - days * _DAY - MINUTE:
        return None
    return error(
        10012,
        "Your request exceeds the allowed time range. Public API users are limited to querying "
        f"historical data within the past {days} days.",
    )


def _samples(asked: Asked, symbol: str) -> Answer:
    try:
        first, last = (dt.datetime.fromtimestamp(float(asked.query[name]), dt.UTC) for name in ("from", "to"))
    except (KeyError, ValueError, OverflowError, OSError):
        return as_json({"error": "Invalid from or to parameter"}, 422)
    if refused := _beyond_plan(asked, first):
        return refused
    now = asked.market.now
    points = _points(asked.market, symbol, _step(first, last, now))
    points = asked.alter(points.filter(pl.col("at").is_between(first, min(last, now))))
    stamp = pl.col("at").dt.timestamp("ms").alias("stamp")
    return as_json(
        {
            "prices": points.select(stamp, "close").rows(),
            "market_caps": points.select(stamp, pl.lit(None)).rows(),
            "total_volumes": points.select(stamp, "traded").rows(),
        }
    )


def _step(first: dt.datetime, last: dt.datetime, now: dt.datetime) -> dt.timedelta:
    """Return how far apart samples are: the longer the range, the further."""
    if last - first > _HOURLY_UP_TO:
        return _DAY
    return _HOUR if first < now - _DAY or last - first > _DAY else _FINEST


@functools.lru_cache(maxsize=1024)
def _points(market: Market, symbol: str, step: dt.timedelta) -> pl.DataFrame:
    """Return the closes of the bars that end at multiples of ``step``, as samples taken ``at`` a later time.

    Where no bar ends, there is no sample. ``traded`` is the worth of what was recorded as traded in
    the 24 hours before, null if the recording does not reach back so far.
    """
    one = market.recording.symbols[symbol]
    bars = market.recorded(symbol)
    worth = pl.col("volume") if one.volume_in == "money" else pl.col("volume") * pl.col("close")
    reaches_back = pl.col("end") - _DAY >= pl.col("timestamp").first()
    points = bars.with_columns(
        traded=pl.when(reaches_back).then(worth.rolling_sum_by("timestamp", window_size="24h"))
    ).filter(pl.col("end").dt.truncate(step) == pl.col("end"))
    if step == _DAY:
        return points.with_columns(at=pl.col("end"))
    # Never on the hour, as with the real service, and the same at every request.
    lag = pl.col("end").dt.epoch("s") // 300 * 7919 % 180 + 3
    return points.with_columns(at=pl.col("end") + pl.duration(seconds=lag, milliseconds=417))


def _latest(asked: Asked, symbol: str) -> dict[str, Any]:
    """Return the last price (or nothing), and how it compares to the 24 hours before."""
    market = asked.market
    points = _points(asked.market, symbol, MINUTE)
    if points.is_empty():
        return {}
    last = points.row(-1, named=True)
    day = market.recorded(symbol).filter(pl.col("timestamp") >= last["end"] - _DAY)
    first = day["open"][0]
    return {
        "price": last["close"],
        "volume": last["traded"],
        "high": day["high"].max(),
        "low": day["low"].min(),
        "change": last["close"] - first,
        "percent": (last["close"] / first - 1) * 100,
        "end": last["end"],
    }


def _ping(_asked: Asked) -> Answer:
    return as_json({"gecko_says": "(V3) To the Moon!"})


def _list(asked: Asked) -> Answer:
    return as_json([_coin(one) for one in _coins(asked).values()])


def _coins(asked: Asked) -> dict[str, RecordedSymbol]:
    """Return the recorded coins by id; those of the parameter ``ids`` alone if there is one."""
    ids = asked.query.get("ids", "")
    recording = asked.market.recording
    return {
        coin: recording.symbols[symbol]
        for coin, symbol in recording.crypto_coins.items()
        if not ids or coin in ids.split(",")
    }


def _markets(asked: Asked) -> Answer:
    currency = asked.query.get("vs_currency", "").lower()
    if not currency:
        return as_json({"error": "Missing parameter vs_currency"}, 422)
    rows = []
    for one in _coins(asked).values():
        if one.currency != currency:
            continue
        last = _latest(asked, one.symbol)
        rows.append(
            {
                **_coin(one),
                "current_price": last.get("price"),
                "market_cap": None,
                "market_cap_rank": None,
                "total_volume": last.get("volume"),
                "high_24h": last.get("high"),
                "low_24h": last.get("low"),
                "price_change_24h": last.get("change"),
                "price_change_percentage_24h": last.get("percent"),
                "last_updated": f"{last['end']:%Y-%m-%dT%H:%M:%S}.000Z" if last else None,
            }
        )
    return as_json(rows)


def _simple_prices(asked: Asked) -> Answer:
    currencies = asked.query.get("vs_currencies", "").lower().split(",")
    prices: dict[str, dict[str, Any]] = {}
    for coin, one in _coins(asked).items():
        last = _latest(asked, one.symbol) if one.currency in currencies else {}
        prices[coin] = {one.currency: last["price"]} if last else {}
        if last and asked.query.get("include_last_updated_at") == "true":
            prices[coin]["last_updated_at"] = int(last["end"].timestamp())
    return as_json(prices)


_OF_ALL: Final[Mapping[str, Callable[[Asked], Answer]]] = {
    "ping": _ping,
    "simple/price": _simple_prices,
    "coins/list": _list,
    "coins/markets": _markets,
}
