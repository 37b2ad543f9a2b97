"""Small answers in the three APIs' formats, and what they answer."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fin_lake.partitions import HourRange, parse_hour
from fin_lake.sources.asking import Answer, Question

ARRIVED = dt.datetime(2023, 2, 1, 12, 0, 0, 250_000, tzinfo=dt.UTC)
FIELDS = ("open", "high", "low", "close", "volume")


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def question(
    first: str = "2023-01-03T14", count: int = 8, *, symbol: str = "AAPL", clock: str = "2023-01-31"
) -> Question:
    start = parse_hour(first)
    return Question("a_source", symbol, HourRange(start, start + dt.timedelta(hours=count)), utc(clock))


def answer(body: Any, status: int = 200, content_type: str = "application/json") -> Answer:
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Answer(status, raw, content_type, ARRIVED)


def av_bar(price: str = "130.2800", volume: str = "1000") -> dict[str, str]:
    values = [price, price, price, price, volume]
    return {
        f"{place}. {name}": value for place, (name, value) in enumerate(zip(FIELDS, values, strict=True), 1)
    }


def av_series(bars: Mapping[str, Any], interval: str = "30min", zone: str = "US/Eastern") -> dict[str, Any]:
    return {
        "Meta Data": {"4. Interval": interval, "6. Time Zone": zone},
        f"Time Series ({interval})": dict(bars),
    }


def chart(
    stamps: Sequence[str],
    price: float | None = 130.27999877929688,
    events: Mapping[str, Any] | None = None,
    granularity: str = "30m",
) -> dict[str, Any]:
    seconds = [int(utc(stamp).timestamp()) for stamp in stamps]
    quote = {name: [price] * len(seconds) for name in FIELDS[:-1]}
    quote["volume"] = [None if price is None else 1000] * len(seconds)
    result: dict[str, Any] = {"meta": {"symbol": "AAPL", "dataGranularity": granularity, "gmtoffset": -18000}}
    if seconds:
        result["timestamp"] = seconds
    if events:
        result["events"] = events
    result["indicators"] = {"quote": [quote if seconds else {}]}
    return {"chart": {"result": [result], "error": None}}


def chart_error(code: str, description: str) -> dict[str, Any]:
    return {"chart": {"result": None, "error": {"code": code, "description": description}}}


def milliseconds(text: str) -> int:
    return int(utc(text).timestamp() * 1000)
