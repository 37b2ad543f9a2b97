"""A replay of the shipped recording, and of small ones that a test makes up."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from aiohttp.test_utils import TestClient, TestServer

from fin_lake.local.replay.answers import Answer, Asked
from fin_lake.local.replay.limits import Plans
from fin_lake.local.replay.market import Market
from fin_lake.local.replay.recording import PACK, RecordedSymbol, Recording, write_recording
from fin_lake.local.replay.server import Replay

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
PREMIUM = "premium-test"


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def bars(starts: Sequence[str], *, price: float = 100.0, volume: float = 10.0) -> pl.DataFrame:
    """Return bars that rise by one from each to the next."""
    opens = [price + i for i in range(len(starts))]
    return pl.DataFrame(
        {
            "timestamp": pl.Series([utc(start) for start in starts], dtype=pl.Datetime("us", "UTC")),
            "open": opens,
            "high": [value + 0.75 for value in opens],
            "low": [value - 0.75 for value in opens],
            "close": [value + 0.5 for value in opens],
            "volume": [volume] * len(opens),
        }
    )


def every(minutes: int, start: str, count: int) -> list[str]:
    first = utc(start)
    return [f"{first + i * dt.timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S}" for i in range(count)]


Record = Callable[..., Recording]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Write a recording of one symbol."""

    def write(
        frame: pl.DataFrame,
        minutes: int,
        *,
        symbol: str = "AAPL",
        coin: str = "",
        shift_weeks: int = 0,
        volume_in: Literal["units", "money"] = "units",
    ) -> Recording:
        folder = tmp_path / f"recording-{symbol}"
        kind: Literal["stocks", "crypto"] = "crypto" if coin else "stocks"
        entry = RecordedSymbol(symbol, kind, minutes, shift_weeks, "a test", coin, volume_in)
        write_recording(folder, "made-up", [entry], {symbol: frame})
        return Recording(folder)

    return write


@pytest.fixture(scope="session")
def pack() -> Recording:
    """The shipped recording."""
    return Recording(PACK)


@pytest.fixture(scope="session")
def market(pack: Recording) -> Market:
    """The shipped recording at its own moment."""
    return Market(pack, pack.now)


def asked(
    market: Market,
    path: str,
    query: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Asked:
    texts = {name: str(value) for name, value in (query or {}).items()}
    return Asked(path, texts, headers or {}, market, **more)


def content(answer: Answer) -> Any:
    return json.loads(answer.body)


StartReplay = Callable[..., Any]


@pytest.fixture
async def start(market: Market) -> AsyncIterator[StartReplay]:
    """Serve a market on a free port of the loopback."""
    clients: list[TestClient] = []

    async def serve(served: Market | None = None, plans: Plans | None = None) -> TestClient:
        client = TestClient(TestServer(Replay(served or market, plans).application()))
        await client.start_server()
        clients.append(client)
        return client

    yield serve
    for client in clients:
        await client.close()
