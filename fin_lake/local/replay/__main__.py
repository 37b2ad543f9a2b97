"""`python -m fin_lake.local.replay`: serves the active recording on the loopback until SIGTERM."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from fin_lake.errors import FinLakeError
from fin_lake.local.replay.limits import Plans
from fin_lake.local.replay.live import LiveRecording, live_market
from fin_lake.local.replay.market import Market
from fin_lake.local.replay.recording import active_recording
from fin_lake.local.replay.server import Replay

_SHUTDOWN_SECONDS = 0.2  # for answers under way; those that a fault holds back never come


def _moment(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m fin_lake.local.replay", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where the stack keeps its data")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--now", type=_moment, help="the moment to serve (UTC if without a zone)")
    parser.add_argument(
        "--premium-intraday",
        action="store_true",
        help="refuse Alpha Vantage's intraday bars to free keys, as the real API does",
    )
    parser.add_argument("--live", action="store_true", help="lay the recorded weeks onto the present ones")
    options = parser.parse_args()
    market: Market | Callable[[], Market]
    try:
        recording = active_recording(options.home)
        if options.live:
            market = live_market(LiveRecording(recording.folder))
        else:
            market = Market(recording, options.now or recording.now)
        now = market if isinstance(market, Market) else market()
        for symbol in recording.symbols:
            now.recorded(symbol)  # what cannot be read is told now, not at the first request
    except FinLakeError as error:
        sys.exit(f"error: {error}")
    replay = Replay(market, Plans(alpha_vantage_intraday_is_premium=options.premium_intraday))
    web.run_app(
        replay.application(),
        host="127.0.0.1",
        port=options.port,
        print=None,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
