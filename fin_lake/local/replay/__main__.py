"""`python -m fin_lake.local.replay`: serves the active recording on the loopback until SIGTERM."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from aiohttp import web

from fin_lake.local.replay.market import Market
from fin_lake.local.replay.recording import active_recording
from fin_lake.local.replay.server import Replay


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m fin_lake.local.replay", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where the stack keeps its data")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--now", type=dt.datetime.fromisoformat, help="the moment to serve, with its zone")
    options = parser.parse_args()
    recording = active_recording(options.home)
    replay = Replay(Market(recording, options.now or recording.now))
    web.run_app(
        replay.application(),
        host="127.0.0.1",
        port=options.port,
        print=None,
        access_log=None,
        shutdown_timeout=1,
    )


if __name__ == "__main__":
    main()
