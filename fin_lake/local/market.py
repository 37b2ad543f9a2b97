"""The market replay: an HTTP server that answers as the three APIs do, from recorded bars."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fin_lake.local.processes import python, service_environment
from fin_lake.local.service import Launch, Service, http_get


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
        return Launch(
            argv=[*python("fin_lake.local.replay"), "--home", str(self.home), "--port", str(port)],
            env=service_environment(),
            cwd=self.home,
        )

    def answers(self, port: int) -> bool:
        """Return whether it serves requests."""
        return bool(self._status(port))

    def is_current(self, port: int) -> bool:
        """Return whether it plays the recording that is active now."""
        return bool(self._status(port).get("recording") == active_recording(self.home).name)

    @staticmethod
    def _status(port: int) -> dict[str, Any]:
        answer = http_get(port, "/_replay/status")
        if answer is None or answer[0] != HTTPStatus.OK:
            return {}
        return dict(json.loads(answer[1]))


def active_recording(home: Path) -> Any:
    """Return the recording that the replay under ``home`` plays."""
    from fin_lake.local.replay.recording import active_recording as active  # noqa: PLC0415

    return active(home)
