"""The HTTP server in front of the three APIs' modules: prefixes, limits, faults and counts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Final

from aiohttp import web

from fin_lake.local.replay import alpha_vantage, coingecko, yahoo
from fin_lake.local.replay.answers import Answer, Asked
from fin_lake.local.replay.faults import APIS, Fault, FaultError, Faults, delay, refusal, spoil
from fin_lake.local.replay.limits import Limits, Plans
from fin_lake.local.replay.market import Market

_APIS: Final[dict[str, ModuleType]] = {
    "alpha_vantage": alpha_vantage,
    "yahoo": yahoo,
    "coingecko": coingecko,
}
_CLOSE_AT_ONCE: Final = struct.pack("ii", 1, 0)  # linger for no time: the peer gets a reset


class Replay:
    """The server's state: the market, limits, faults, and how many requests each API had.

    Parameters
    ----------
    market : Market or callable
        What there is to answer with, or what tells it at each request.
    plans : Plans
        What each key may ask, and how often.
    """

    def __init__(self, market: Market | Callable[[], Market], plans: Plans | None = None) -> None:
        self._market = market
        self.plans = plans or Plans()
        self.limits = Limits()
        self.faults = Faults()
        self.requests: Counter[str] = Counter()

    @property
    def market(self) -> Market:
        """What there is to answer with now."""
        return self._market if isinstance(self._market, Market) else self._market()

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application()
        app.router.add_get("/_replay/status", self._status)
        app.router.add_get("/_replay/faults", self._list_faults)
        app.router.add_post("/_replay/faults", self._add_fault)
        app.router.add_delete("/_replay/faults", self._clear_faults)
        app.router.add_get(f"/{{api:{'|'.join(APIS)}}}/{{path:.*}}", self._ask)
        return app

    async def _status(self, _request: web.Request) -> web.Response:
        recording = self.market.recording
        return web.json_response(
            {
                "recording": recording.name,
                "live": not isinstance(self._market, Market),
                "now": self.market.now.isoformat(),
                "start": recording.start.isoformat(),
                "stock_symbols": recording.stock_symbols,
                "crypto_coins": recording.crypto_coins,
                "stock_interval": recording.stock_interval,
                "notes": recording.notes,
                "plans": self.plans.as_dict(),
                "requests": {api: self.requests[api] for api in APIS},
                "faults": self.faults.as_list(),
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

    async def _ask(self, request: web.Request) -> web.Response:
        api, path = request.match_info["api"], request.match_info["path"]
        self.requests[api] += 1
        fault = self.faults.find(api, self._names(request.query.get("symbol", ""), path))
        asked = Asked(
            path,
            request.query,
            request.headers,
            self.market,
            fault.alter if fault else lambda bars: bars,
            self.plans,
        )
        answer = self._answer(_APIS[api], asked, fault)
        if fault is not None:
            self.faults.count(fault)
            if fault.kind == "reset":
                _reset(request)
            await asyncio.sleep(delay(fault))
        return web.Response(
            body=answer.body, status=answer.status, content_type=answer.content_type, headers=answer.headers
        )

    def _names(self, symbol: str, path: str) -> list[str]:
        """Return what a fault may call the subject of a request: symbol, coin, or the coin's symbol."""
        parts = path.split("/")
        coins = self.market.recording.crypto_coins
        return [symbol, *parts, *(coins[part] for part in parts if part in coins)]

    def _answer(self, api: ModuleType, asked: Asked, fault: Fault | None) -> Answer:
        if fault is not None and (refused := refusal(fault, api.key_of(asked))) is not None:
            return refused
        limited: Answer | None = api.limited(asked, self.limits)
        if limited is not None:
            return limited
        right: Answer = api.answer(asked)
        return spoil(fault, right) if fault is not None else right


def _reset(request: web.Request) -> None:
    """Break the connection off, without an answer and without a farewell."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_AT_ONCE)
        transport.abort()
