"""The market replay: an HTTP server that answers as the three APIs do, from recorded bars."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fin_lake.local.processes import LOOPBACK, python, service_environment
from fin_lake.local.service import Launch, Service, http_call
from fin_lake.local.state import StackError, StackState

if TYPE_CHECKING:
    from fin_lake.local.replay.recording import Recording

LIVE: Final = "live-market"
"""The file that tells a home with a live market."""
API_KEY: Final = "premium-replay"
"""A key that the replay serves as a paying customer's."""


class MarketReplay(Service):
    """Alpha Vantage, Yahoo Finance and CoinGecko, from the active recording."""

    name = "replay"
    title = "market replay"
    argument = "fin_lake.local.replay"

    @property
    def data(self) -> Path:
        """The folder of imported recordings."""
        return self.home / "recordings"

    def prepare(self) -> None:
        """Make the folder."""
        self.data.mkdir(parents=True, exist_ok=True)

    def launch(self, port: int) -> Launch:
        """Return how to start it on a port."""
        live = ["--live"] if is_live(self.home) else []
        return Launch(
            argv=[*python("fin_lake.local.replay"), "--home", str(self.home), "--port", str(port), *live],
            env=service_environment(),
            cwd=self.home,
        )

    def answers(self, port: int) -> bool:
        """Return whether it serves requests."""
        return bool(self.playing(port))

    def is_current(self, port: int) -> bool:
        """Return whether it plays the recording that is active now, in the home's own way."""
        playing = self.playing(port)
        is_same = playing.get("recording") == active_recording(self.home).name
        return is_same and playing.get("live") == is_live(self.home)

    def playing(self, port: int) -> dict[str, Any]:
        """Return what it says of the recording it plays; nothing if it does not answer."""
        answer = http_call(port, "/_replay/status")
        if answer is None or answer[0] != HTTPStatus.OK:
            return {}
        try:
            return dict(json.loads(answer[1]))
        except (ValueError, TypeError):
            return {}  # another server's answer

    def environment(self, port: int) -> dict[str, str]:
        """Return the settings with which fin_lake asks it, at the recording's own time unless it is live."""
        playing, base = self.playing(port), f"http://{LOOPBACK}:{port}"
        return {
            **({} if playing["live"] else {"FIN_LAKE_NOW": playing["now"]}),
            "FIN_LAKE_START": playing["start"],
            "FIN_LAKE_STOCK_SYMBOLS": ",".join(playing["stock_symbols"]),
            "FIN_LAKE_CRYPTO_COINS": ",".join(f"{c}={s}" for c, s in playing["crypto_coins"].items()),
            "FIN_LAKE_STOCK_INTERVAL": active_recording(self.home).stock_interval,
            "ALPHA_VANTAGE_API_KEY": API_KEY,
            "ALPHA_VANTAGE_BASE_URL": f"{base}/alpha_vantage",
            "ALPHA_VANTAGE_REQUESTS_PER_MINUTE": "1200",
            "ALPHA_VANTAGE_REQUESTS_PER_DAY": "0",
            "YAHOO_BASE_URL": f"{base}/yahoo",
            "YAHOO_REQUESTS_PER_MINUTE": "1200",
            "COINGECKO_API_KEY": API_KEY,
            "COINGECKO_PLAN": "pro",
            "COINGECKO_BASE_URL": f"{base}/coingecko/api/v3",
            "COINGECKO_REQUESTS_PER_MINUTE": "500",
            "COINGECKO_REQUESTS_PER_DAY": "0",
        }


def is_live(home: Path) -> bool:
    """Return whether the market under ``home`` is laid onto the present."""
    return (home / LIVE).exists()


def make_live(home: Path) -> None:
    """Let the market under ``home`` be laid onto the present, from its next start on.

    Raises
    ------
    StackError
        The home holds hours of the recorded weeks, which would stand among the present ones.
    """
    if is_live(home):
        return
    if StackState.path(home).exists():
        raise StackError(
            f"{home} holds a market whose time stands still, and live hours would stand among its own",
            "give the live one a home of its own: FIN_LAKE_HOME=.fin_lake/live fin-lake up --live",
        )
    home.mkdir(parents=True, exist_ok=True)
    (home / LIVE).touch()


def active_recording(home: Path) -> Recording:
    """Return the recording that a replay under ``home`` plays if it is started now."""
    from fin_lake.local.replay import recording  # noqa: PLC0415 - imports polars, and only `up` needs it

    return recording.active_recording(home)
