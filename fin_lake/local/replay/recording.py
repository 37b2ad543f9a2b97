"""Recordings: real bars of some symbols over some weeks, and what is known of where they come from.

A recording is a folder: ``manifest.json`` and a Parquet file for each symbol (``timestamp`` in UTC,
``open``, ``high``, ``low``, ``close``, ``volume``; the times are the bars' own, whatever weeks they
are laid onto). How bars get into one is ``importing``'s business, what is served of them ``market``'s.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import polars as pl

from fin_lake.errors import FinLakeError
from fin_lake.partitions import HOUR, HourRange, floor_hour, stock_sessions
from fin_lake.settings import StockInterval

MANIFEST: Final = "manifest.json"
ACTIVE: Final = "active"
PACK: Final = Path(__file__).parent / "pack"
AFTER_THE_LAST_HOUR: Final = dt.timedelta(minutes=5)
NEW_YORK: Final = "America/New_York"
BAR_COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "volume")

_FORMAT: Final = 1
_HALF_HOUR: Final = 30
_LONGEST_MINUTES: Final = 60
_ZSTD_LEVEL: Final = 19  # packed once, shipped often


class RecordingError(FinLakeError):
    """A recording that is not there or not whole."""


@dataclass(frozen=True, slots=True)
class RecordedSymbol:
    """One symbol of a recording.

    Parameters
    ----------
    symbol : str
        As it is asked for: AAPL, BTC-USD.
    asset_class : {'stocks', 'crypto'}
        What trades in it, and so which API has it.
    minutes : int
        Length of a recorded bar.
    shift_weeks : int
        By how many whole weeks the bars are laid onto later ones; stocks keep New York's time of
        day, crypto keeps UTC's.
    source : str
        Where the bars come from, in words.
    coin : str
        CoinGecko's id of a coin; empty for a stock.
    volume_in : {'units', 'money'}
        Whether a volume counts shares or coins, or their worth in the quote currency.
    """

    symbol: str
    asset_class: Literal["stocks", "crypto"]
    minutes: int
    shift_weeks: int
    source: str
    coin: str = ""
    volume_in: Literal["units", "money"] = "units"

    def __post_init__(self) -> None:
        if self.asset_class not in ("stocks", "crypto") or self.volume_in not in ("units", "money"):
            raise ValueError(f"{self.symbol} is {self.asset_class!r} with volume in {self.volume_in!r}")
        if not 1 <= self.minutes <= _LONGEST_MINUTES:
            raise ValueError(f"{self.symbol} has bars of {self.minutes} minutes, not of 1 to 60")
        if (self.asset_class == "crypto") != bool(self.coin):
            raise ValueError(f"{self.symbol} is {self.asset_class} with coin id {self.coin!r}")

    @property
    def currency(self) -> str:
        """What a coin is quoted in, in lower case: ``usd`` of BTC-USD."""
        return self.symbol.rpartition("-")[2].lower()


class Recording:
    """A recording, read from its folder.

    Parameters
    ----------
    folder : Path
        Where it lies.

    Raises
    ------
    RecordingError
        The folder has no manifest, or one that is not understood.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
            if manifest["format"] != _FORMAT:
                raise ValueError(f"format {manifest['format']} was written by another version of fin_lake")  # noqa: TRY301
            self.name = str(manifest["name"])
            self.symbols = {one["symbol"]: RecordedSymbol(**one) for one in manifest["symbols"]}
            self._remarks = [str(remark) for remark in manifest["notes"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecordingError(
                f"recording {folder} cannot be read: {type(error).__name__}: {error}",
                "import it again with `fin-lake replay import`, or `fin-lake replay use pack`",
            ) from error
        if not self.symbols:
            raise RecordingError(f"recording {folder} has no symbol", "import one that has")

    def bars(self, symbol: str) -> pl.DataFrame:
        """Return a symbol's bars, laid onto the weeks they are served in, by ``timestamp`` (UTC).

        Raises
        ------
        RecordingError
            Its file is missing or cannot be read.
        """
        one = self.symbols[symbol]
        return _load(self.folder / bars_file(symbol), one)

    @property
    def stock_symbols(self) -> list[str]:
        """The stocks, in the manifest's order."""
        return [one.symbol for one in self.symbols.values() if one.asset_class == "stocks"]

    @property
    def crypto_coins(self) -> dict[str, str]:
        """CoinGecko's id of each coin, and its symbol."""
        return {one.coin: one.symbol for one in self.symbols.values() if one.coin}

    @property
    def stock_interval(self) -> StockInterval:
        """The interval to ask stocks for: 30 minutes, or an hour if they cannot be made of the bars."""
        minutes = (one.minutes for one in self.symbols.values() if one.asset_class == "stocks")
        return "60min" if any(_HALF_HOUR % length for length in minutes) else "30min"

    @functools.cached_property
    def start(self) -> dt.datetime:
        """The first hour of the day (UTC) on which the stocks, or else the coins, begin."""
        return self._span[0].replace(hour=0, minute=0, second=0, microsecond=0)

    @functools.cached_property
    def now(self) -> dt.datetime:
        """Just after the last session hour of the stocks, or else after the last whole hour of the coins."""
        first, last = self._span
        if not self.stock_symbols:
            lengths = (dt.timedelta(minutes=one.minutes) for one in self.symbols.values())
            return floor_hour(last + min(lengths)) + AFTER_THE_LAST_HOUR
        sessions = stock_sessions(HourRange(floor_hour(first), floor_hour(last) + HOUR))
        ends = [closes for opens, closes in sessions if opens <= last]
        end = max(ends, default=floor_hour(last) + HOUR)
        return floor_hour(end - dt.timedelta(seconds=1)) + HOUR + AFTER_THE_LAST_HOUR

    @functools.cached_property
    def _span(self) -> tuple[dt.datetime, dt.datetime]:
        chosen = self.stock_symbols or list(self.symbols)
        times = [self.bars(symbol)["timestamp"] for symbol in chosen]
        return min(t[0] for t in times), max(t[-1] for t in times)

    @property
    def notes(self) -> list[str]:
        """What a person must know of these bars, in sentences."""
        clock = f"time stands still at {self.now:%Y-%m-%d %H:%M} UTC"
        symbols = self.symbols.values()
        return [
            f"{self.name}: recorded bars from {self.start:%Y-%m-%d} on; {clock}",
            *said_once((one.symbol, f"{one.minutes}-minute bars from {one.source}") for one in symbols),
            *said_once((one.symbol, self._shift(one)) for one in symbols if one.shift_weeks),
            *self._remarks,
        ]

    def _shift(self, one: RecordedSymbol) -> str:
        served = self.bars(one.symbol)["timestamp"]
        shift = dt.timedelta(weeks=one.shift_weeks)
        return (
            f"bars of {served[0] - shift:%Y-%m-%d}…{served[-1] - shift:%Y-%m-%d} laid onto "
            f"{served[0]:%Y-%m-%d}…{served[-1]:%Y-%m-%d} by {one.shift_weeks} whole weeks"
        )


def said_once(remarks: Iterable[tuple[str, str]]) -> list[str]:
    """Join symbols of which the same is to be said into one sentence: ``AAPL, MSFT: …``."""
    by_text: dict[str, list[str]] = {}
    for symbol, text in remarks:
        by_text.setdefault(text, []).append(symbol)
    return [f"{', '.join(symbols)}: {text}" for text, symbols in by_text.items()]


def bars_file(symbol: str) -> str:
    """Return the name of a symbol's file; a symbol may hold what a file name may not."""
    return f"{quote(symbol, safe='^=')}.parquet"


@functools.lru_cache(maxsize=512)
def _load(path: Path, one: RecordedSymbol) -> pl.DataFrame:
    try:
        bars = pl.read_parquet(path, columns=list(BAR_COLUMNS))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RecordingError(
            f"bars of {one.symbol} cannot be read from {path}: {error}",
            "import the recording again, or `fin-lake replay use pack`",
        ) from error
    if bars.is_empty():
        raise RecordingError(f"{path} holds no bar", "import the recording again")
    time = pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    if one.shift_weeks:
        zone = NEW_YORK if one.asset_class == "stocks" else "UTC"
        time = time.dt.convert_time_zone(zone).dt.offset_by(f"{one.shift_weeks}w").dt.convert_time_zone("UTC")
    return bars.with_columns(time, pl.col("volume").cast(pl.Float64)).sort("timestamp")


def recordings_folder(home: Path) -> Path:
    """Return where imported recordings lie."""
    return home / "recordings"


def active_recording(home: Path) -> Recording:
    """Return the recording in use: the imported one that was chosen, else the shipped pack.

    Raises
    ------
    RecordingError
        The chosen one is not there, or cannot be read.
    """
    chosen = recordings_folder(home) / ACTIVE
    try:
        name = chosen.read_text().strip()
    except FileNotFoundError:
        return Recording(PACK)
    return Recording(recordings_folder(home) / name)


def activate(home: Path, name: str | None) -> None:
    """Make an imported recording the active one, or the shipped pack if ``name`` is None."""
    chosen = recordings_folder(home) / ACTIVE
    if name is None:
        chosen.unlink(missing_ok=True)
        return
    chosen.parent.mkdir(parents=True, exist_ok=True)
    temporary = chosen.with_name(f".{ACTIVE}-{os.getpid()}")
    temporary.write_text(name + "\n")
    temporary.replace(chosen)


def write_recording(
    folder: Path,
    name: str,
    symbols: Sequence[RecordedSymbol],
    bars: Mapping[str, pl.DataFrame],
    notes: Sequence[str] = (),
) -> None:
    """Write a recording into an empty folder, the same input to the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for symbol, frame in bars.items():
        frame.select(BAR_COLUMNS).write_parquet(
            folder / bars_file(symbol),
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            statistics=False,
        )
    manifest = {
        "format": _FORMAT,
        "name": name,
        "symbols": [asdict(one) for one in symbols],
        "notes": list(notes),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
