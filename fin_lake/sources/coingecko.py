"""CoinGecko: crypto bars, from candles for recent hours and from price samples for older ones.

Format: "Coin OHLC Chart by ID" and "Coin Historical Chart Data within Time Range by ID" in the API
documentation at docs.coingecko.com. Candles are stamped at their end; samples are hourly but not on
the hour. Neither has a bar's volume: ``total_volumes`` is that of the 24 hours before.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec
import polars as pl

from fin_lake.partitions import HOUR, HourRange, floor_hour
from fin_lake.settings import Settings
from fin_lake.sources.asking import Answer, Limits, Question, Request, unexplained
from fin_lake.sources.failures import (
    NoData,
    NotFound,
    OutOfReach,
    Pacing,
    PremiumRequired,
    SchemaMismatch,
    SourceFailure,
    Unauthorized,
    Unavailable,
)
from fin_lake.sources.records import PRICES, UnixMilliseconds, decode, moments, raw_records, texts
from fin_lake.sources.redaction import Redactor
from fin_lake.sources.symbols import check_coin

NAME: Final = "coingecko"
BASE_URLS: Final[Mapping[str, str]] = {
    "demo": "https://api.coingecko.com/api/v3",
    "pro": "https://pro-api.coingecko.com/api/v3",
}
KEY_HEADERS: Final[Mapping[str, str]] = {"demo": "x-cg-demo-api-key", "pro": "x-cg-pro-api-key"}
CANDLES_REACH: Final = dt.timedelta(days=1)
SAMPLES_REACH: Final = dt.timedelta(days=90)  # in one request; samples of longer ones are daily
CANDLE_MS: Final = 30 * 60 * 1000

_HTTP_OK: Final = 200
_SERVER_ERROR: Final = 500


class _Point(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    taken: UnixMilliseconds
    value: msgspec.Raw


class _Chart(msgspec.Struct):
    prices: list[_Point]
    market_caps: list[_Point] = []
    total_volumes: list[_Point] = []


class _Candle(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    end: UnixMilliseconds
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw


_CANDLES: Final = msgspec.json.Decoder(list[_Candle])
_FRAGMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_CHART: Final = msgspec.json.Decoder(_Chart)
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

_PLAN: Final = "COINGECKO_PLAN and COINGECKO_BASE_URL must fit the key in COINGECKO_API_KEY"
_REASONS: Final[Mapping[int, tuple[type[SourceFailure], str]]] = {
    429: (Pacing, "lower COINGECKO_REQUESTS_PER_MINUTE"),
    10002: (Unauthorized, "set COINGECKO_API_KEY"),
    10005: (PremiumRequired, "the plan does not include this; see COINGECKO_PLAN"),
    10010: (Unauthorized, _PLAN),
    10011: (Unauthorized, _PLAN),
    10012: (OutOfReach, "the plan does not reach back that far; take a later FIN_LAKE_START"),
}


class CoinGecko:
    """The source ``coingecko``."""

    name = NAME

    def __init__(self, settings: Settings, clock: dt.datetime, redact: Redactor) -> None:
        self._coins = {symbol: coin for coin, symbol in settings.crypto_coins.items()}
        self.symbols = tuple(self._coins)
        self.limits = Limits(
            base_url=settings.coingecko_base_url or BASE_URLS[settings.coingecko_plan],
            base_url_setting="COINGECKO_BASE_URL",
            per_minute=settings.coingecko_per_minute,
            per_day=settings.coingecko_per_day,
        )
        secret = settings.coingecko_api_key
        key = secret.get_secret_value().strip() if secret else ""
        self._headers = {KEY_HEADERS[settings.coingecko_plan]: key} if key else {}
        self._clock = clock
        self._redact = redact

    def requests(self, symbol: str, hours: HourRange) -> Sequence[Request]:
        """Return the requests: candles for hours that began within a day, samples for older ones.

        Raises
        ------
        NotFound
            The coin cannot be one.
        """
        coin = self._coins[symbol]
        check_coin(Question(NAME, symbol, hours, self._clock, self._redact), coin)
        older, recent = split_by_reach(hours, self._clock)
        requests = [
            self._request(
                symbol,
                part,
                f"/coins/{quote(coin, safe='')}/market_chart/range",
                {"from": str(int(part.start.timestamp())), "to": str(int(part.end.timestamp()))},
                parse_samples,
            )
            for part in (chunks(older) if older else ())
        ]
        if recent:
            path = f"/coins/{quote(coin, safe='')}/ohlc"
            requests.append(self._request(symbol, recent, path, {"days": "1"}, parse_candles))
        return requests

    def _request(
        self,
        symbol: str,
        hours: HourRange,
        path: str,
        params: Mapping[str, str],
        parse: Callable[[Answer, Question], pl.DataFrame],
    ) -> Request:
        question = Question(NAME, symbol, hours, self._clock, self._redact)

        def read(answer: Answer) -> pl.DataFrame:
            return parse(answer, question)

        currency = symbol.partition("-")[2].lower() or "usd"
        return Request(question, str(hours), path, {"vs_currency": currency, **params}, read, self._headers)


def split_by_reach(hours: HourRange, clock: dt.datetime) -> tuple[HourRange | None, HourRange | None]:
    """Divide hours into those that candles no longer cover whole, and those that they cover."""
    reach = clock - CANDLES_REACH
    first = floor_hour(reach) if reach == floor_hour(reach) else floor_hour(reach) + HOUR
    border = min(max(first, hours.start), hours.end)
    older = HourRange(hours.start, border) if border > hours.start else None
    recent = HourRange(border, hours.end) if border < hours.end else None
    return older, recent


def chunks(hours: HourRange) -> Iterator[HourRange]:
    """Split hours into parts that one request brings as hourly samples."""
    start = hours.start
    while start < hours.end:
        end = min(start + SAMPLES_REACH, hours.end)
        yield HourRange(start, end)
        start = end


def parse_candles(answer: Answer, question: Question) -> pl.DataFrame:
    """Read an answer of ``/coins/{id}/ohlc`` with ``days=1``: 30-minute candles.

    Returns
    -------
    polars.DataFrame
        Raw crypto records of the question's hours; ``timestamp`` is the start, half an hour before
        the stamp. Volumes are null.

    Raises
    ------
    SourceFailure
        The answer holds an error, or no candle, or cannot be read.
    """
    _raise_for_error(answer, question)
    candles = decode(answer.body, _CANDLES, question)
    if not candles:
        raise question.failure(NoData, "no candle in the 24 hours before now")
    ends = [candle.end for candle in candles]
    steps = [later - earlier for earlier, later in itertools.pairwise(sorted(set(ends)))]
    if steps and min(steps) > CANDLE_MS:
        raise question.failure(SchemaMismatch, f"candles are {min(steps)} ms apart, not {CANDLE_MS}")
    fragments = decode(answer.body, _FRAGMENTS, question)
    columns = {
        "timestamp": moments([end - CANDLE_MS for end in ends], "ms"),
        "payload": [f'{{"ohlc":{fragment}}}' for fragment in texts(fragments)],
        **{f"{name}_price": texts(getattr(candle, name) for candle in candles) for name in PRICES},
    }
    return raw_records(question, answer, "crypto", columns, interval="30min")


def parse_samples(answer: Answer, question: Question) -> pl.DataFrame:
    """Read an answer of ``/coins/{id}/market_chart/range``: samples about an hour apart.

    Returns
    -------
    polars.DataFrame
        Raw crypto records of the question's hours, one per price sample: ``timestamp`` is the start
        of the sample's hour, the sample is open, high, low and close. Samples of one hour follow
        each other as they were taken; the exact time (ms) stands in ``payload``.

    Raises
    ------
    SourceFailure
        The answer holds an error, or no price, or cannot be read.
    """
    _raise_for_error(answer, question)
    chart = decode(answer.body, _CHART, question)
    if not chart.prices:
        raise question.failure(NoData, "no price in the hours asked for")
    points = sorted(chart.prices, key=lambda point: point.taken)
    prices = texts(point.value for point in points)
    caps, volumes = _by_stamp(chart.market_caps), _by_stamp(chart.total_volumes)
    columns = {
        "timestamp": moments([point.taken for point in points], "ms").dt.truncate("1h"),
        "volume_24h": [volumes.get(point.taken) for point in points],
        "payload": [
            _sample(point.taken, price, caps.get(point.taken), volumes.get(point.taken))
            for point, price in zip(points, prices, strict=True)
        ],
        **{f"{name}_price": prices for name in PRICES},
    }
    return raw_records(question, answer, "crypto", columns, interval="1h", sampled=True)


def _by_stamp(points: list[_Point]) -> dict[int, str]:
    return dict(zip([p.taken for p in points], texts(p.value for p in points), strict=True))


def _sample(stamp: int, price: str, cap: str | None, volume: str | None) -> str:
    parts = {"prices": price, "market_caps": cap, "total_volumes": volume}
    return "{" + ",".join(f'"{name}":[{stamp},{value}]' for name, value in parts.items() if value) + "}"


def _raise_for_error(answer: Answer, question: Question) -> None:
    """Raise what an error body means; some come with status 200."""
    if not answer.body.lstrip().startswith(b"{"):
        if answer.status != _HTTP_OK:
            raise unexplained(question, answer)
        return
    parts = decode(answer.body, _OBJECT, question)
    status, error = (
        msgspec.json.decode(parts[name]) if name in parts else None for name in ("status", "error")
    )
    nested = error.get("status") if isinstance(error, dict) else None
    own = msgspec.json.decode(parts["error_code"]) if "error_code" in parts else None
    codes = [part.get("error_code") for part in (status, nested) if isinstance(part, dict)]
    code = next((code for code in [*codes, own, status] if isinstance(code, int)), None)
    message = question.excerpt(answer.body, 200)
    if code is not None and _SERVER_ERROR <= code < _SERVER_ERROR + 100:
        raise question.failure(Unavailable, f"answered {message}", "try again later")
    if code is not None and code in _REASONS:
        reason, remedy = _REASONS[code]
        raise question.failure(reason, f"answered {message}", remedy)
    if isinstance(error, str) and "coin not found" in error:
        raise question.failure(
            NotFound, f"answered {message}", "check the coin's id in FIN_LAKE_CRYPTO_COINS"
        )
    if answer.status != _HTTP_OK or code is not None or error is not None:
        raise unexplained(question, answer)
