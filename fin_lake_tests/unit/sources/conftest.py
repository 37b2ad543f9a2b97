"""A server on a real socket whose answers each test decides, and waits that take no time."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest
import stamina
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from fin_lake.settings import Settings, load_settings

hypothesis.settings.register_profile("unhurried", deadline=None)  # a shared machine stalls at times
hypothesis.settings.load_profile("unhurried")

KEY = "SECRET+KEY/7"  # of characters that a URL has to quote

Reply = Callable[[web.BaseRequest], web.StreamResponse | Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Sent:
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    at: float


@dataclass
class Api:
    """What was asked, and what is answered: ``reply`` is called with each request."""

    url: str = ""
    sent: list[Sent] = field(default_factory=list)
    reply: Reply = lambda _request: web.Response(status=500, text="no reply was set")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.sent.append(
            Sent(request.rel_url.raw_path, dict(request.query), dict(request.headers), time.monotonic())
        )
        answer = self.reply(request)
        return await answer if inspect.isawaitable(answer) else answer

    def answers(self, *bodies: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer with these bodies, one after another and the last one for ever."""
        waiting = list(bodies)

        def reply(_request: web.BaseRequest) -> web.StreamResponse:
            body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if isinstance(body, web.StreamResponse):
                return body
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, text=text, headers=headers)

        self.reply = reply


@pytest.fixture
def api() -> Iterator[Api]:
    """Serve in a thread of its own, so that synchronous code can be the client."""
    served = Api()
    loop = asyncio.new_event_loop()
    server = RawTestServer(served.handle)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start_server(), loop).result()
    served.url = f"http://127.0.0.1:{server.port}"
    yield served
    asyncio.run_coroutine_threadsafe(server.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(autouse=True)
def no_waiting_between_attempts() -> Iterator[None]:
    with stamina.set_testing(testing=True, attempts=10, cap=True):
        yield


@pytest.fixture
def make_settings(api: Api) -> Callable[..., Settings]:
    """Return a function that makes settings for the server, without limits unless they are given."""

    def make(**overrides: Any) -> Settings:
        defaults: dict[str, Any] = {
            "now": "2023-01-31T00:00:00Z",
            "stock_symbols": ("AAPL",),
            "alpha_vantage_api_key": KEY,
            "alpha_vantage_base_url": api.url,
            "alpha_vantage_per_minute": 60_000,
            "alpha_vantage_per_day": 0,
            "yahoo_base_url": api.url,
            "yahoo_per_minute": 60_000,
            "coingecko_base_url": api.url,
            "coingecko_per_minute": 60_000,
            "coingecko_per_day": 0,
            "http_timeout_seconds": 5,
        }
        return load_settings(**(defaults | overrides))

    return make
