"""The HTTP server in front of the three APIs' modules: prefixes, limits, faults and counts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from fin_lake.local.replay import alpha_vantage, coingecko, yahoo
from fin_lake.local.replay.answers import Answer, Asked, as_json
from fin_lake.local.replay.faults import ALTERATIONS, Fault, FaultError, Faults, refusal, spoil
from fin_lake.local.replay.market import Market

_APIS: Final = {"alpha_vantage": alpha_vantage, "yahoo": yahoo, "coingecko": coingecko}
_DAY: Final = 86400.0
_PREMIUM: Final = "premium"
_YAHOO_PER_MINUTE: Final = 2000
PLANS: Final[Mapping[str, Mapping[str, int]]] = {
    # requests a minute; Alpha Vantage's free plan is counted by the second and the day instead
    "alpha_vantage": {_PREMIUM: 1200},
    "coingecko": {_PREMIUM: 500, "free": 30},
}
_FREE_PER_DAY: Final = 25


class Limits:
    """When each key was last used, to tell when it is used too often."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def wait(self, api: str, key: str, count: int, seconds: float) -> float:
        """Return how long until another request is within ``count`` in ``seconds``; 0 if it is now."""
        now = time.monotonic()
        used = self._used[api, key]
        while used and used[0] <= now - _DAY:
            used.popleft()
        within = [moment for moment in used if moment > now - seconds]
        return within[-count] + seconds - now if len(within) >= count else 0.0

    def note(self, api: str, key: str) -> None:
        """Count a request."""
        self._used[api, key].append(time.monotonic())


class Replay:
    """The server's state: the market, limits, faults, and how many requests each API had."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.limits = Limits()
        self.faults = Faults()
        self.requests: Counter[str] = Counter()

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application()
        app.router.add_get("/_replay/status", self._status)
        app.router.add_get("/_replay/faults", self._list_faults)
        app.router.add_post("/_replay/faults", self._add_fault)
        app.router.add_delete("/_replay/faults", self._clear_faults)
        app.router.add_get(r"/{api:alpha_vantage|yahoo|coingecko}/{path:.*}", self._ask)
        return app

    async def _status(self, _request: web.Request) -> web.Response:
        recording = self.market.recording
        return web.json_response(
            {
                "recording": recording.name,
                "now": self.market.now.isoformat(),
                "start": recording.start.isoformat(),
                "stock_symbols": recording.stock_symbols,
                "crypto_coins": recording.crypto_coins,
                "notes": recording.notes,
                "requests": dict(self.requests),
            }
        )

    async def _list_faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self.faults.as_list())

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self.faults.add(await request.json())
        except (FaultError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.faults.as_list())

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self.faults.clear()
        return web.json_response([])

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        api, path = request.match_info["api"], request.match_info["path"]
        self.requests[api] += 1
        fault = self.faults.take(api, {request.query.get("symbol", ""), *path.split("/")})
        if fault is not None and fault.kind == "reset":
            assert request.transport is not None  # noqa: S101 - it is there while a request is handled
            request.transport.abort()
            raise asyncio.CancelledError
        asked = Asked(
            path,
            request.query,
            request.headers,
            self.market,
            ALTERATIONS.get(fault.kind if fault else "", lambda bars: bars),
        )
        answer = await self._answer(api, asked, fault)
        return web.Response(
            body=answer.body, status=answer.status, content_type=answer.content_type, headers=answer.headers
        )

    async def _answer(self, api: str, asked: Asked, fault: Fault | None) -> Answer:
        key = asked.query.get("apikey", "") if api == "alpha_vantage" else coingecko.key_of(asked)
        if fault is not None and (refused := refusal(fault, key)) is not None:
            return refused
        limited = self._limited(api, key)
        if limited is not None:
            return limited
        self.limits.note(api, key)
        right = _APIS[api].answer(asked)
        return await spoil(fault, right) if fault is not None else right

    def _limited(self, api: str, key: str) -> Answer | None:
        """Return the API's own way of saying "too often", if it is."""
        plan = _PREMIUM if key.startswith(_PREMIUM) else "free"
        if api == "yahoo":
            return yahoo.TOO_MANY if self.limits.wait(api, "", _YAHOO_PER_MINUTE, 60) else None
        if api == "coingecko":
            wait = self.limits.wait(api, key, PLANS[api][plan], 60)
            return coingecko.too_many(int(wait) + 1) if wait else None
        if plan == _PREMIUM:
            too_fast = self.limits.wait(api, key, PLANS[api][plan], 60)
        else:
            if key and self.limits.wait(api, key, _FREE_PER_DAY, _DAY):
                return as_json(alpha_vantage.quota(key))
            too_fast = self.limits.wait(api, key, 1, 1) if key else 0.0
        return as_json({"Information": alpha_vantage.PACING}) if too_fast else None
