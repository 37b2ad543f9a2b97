"""Makes a recording out of somebody's bars: intervals, grids, coins, weeks, and what was left out.

How files are read belongs to ``bar_files``. No bar is made up: what is missing stays missing.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl

from fin_lake.local.replay.bar_files import CURRENCIES, SymbolBars, UnreadableBarsError, is_pair, read_bars
from fin_lake.local.replay.recording import (
    ACTIVE,
    NEW_YORK,
    RecordedSymbol,
    Recording,
    RecordingError,
    activate,
    recordings_folder,
    said_once,
    write_recording,
)
from fin_lake.schema import AssetClass

PACK_NAME: Final = "pack"
COINS: Final[Mapping[str, str]] = {
    "ADA": "cardano",
    "AVAX": "avalanche-2",
    "BCH": "bitcoin-cash",
    "BNB": "binancecoin",
    "BTC": "bitcoin",
    "DOGE": "dogecoin",
    "DOT": "polkadot",
    "ETC": "ethereum-classic",
    "ETH": "ethereum",
    "LINK": "chainlink",
    "LTC": "litecoin",
    "SOL": "solana",
    "TRX": "tron",
    "UNI": "uniswap",
    "USDC": "usd-coin",
    "USDT": "tether",
    "XLM": "stellar",
    "XRP": "ripple",
}
"""CoinGecko's ids of common coins."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_INTERVAL: Final = re.compile(r"(\d+)\s*(m|min|h)?", re.IGNORECASE)
_LONGEST_MINUTES: Final = 60
_CANDLE_MINUTES: Final = 30
_SHARE_OFF_GRID: Final = 0.1
_WEEK_US: Final = 7 * 24 * 3600 * 1_000_000
_DAY_US: Final = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class ImportedSymbol:
    """One symbol as it was imported.

    Parameters
    ----------
    entry : RecordedSymbol
        What the manifest says of it.
    bars : polars.DataFrame
        Its bars by start, with their own times (UTC).
    repeated, off_grid : int
        Rows left out: later ones of the same start; those that do not begin where bars begin.
    """

    entry: RecordedSymbol
    bars: pl.DataFrame
    repeated: int
    off_grid: int


@dataclass(frozen=True, slots=True)
class Options:
    """How files are to be understood.

    Parameters
    ----------
    minutes : int, optional
        Length of a bar; the commonest step if not given.
    zone : str, optional
        Zone of times that name none.
    asset_class : {'stocks', 'crypto'}, optional
        Of all symbols; told by each symbol if not given.
    coins : mapping
        CoinGecko's id of a symbol, beside the common ones.
    volume_in : {'units', 'money'}
        What a coin's volume counts.
    align : bool
        Whether to lay coins onto the stocks' weeks.
    replace : bool
        Whether an earlier recording of the same name may go.
    """

    minutes: int | None = None
    zone: str | None = None
    asset_class: AssetClass | None = None
    coins: Mapping[str, str] = field(default_factory=dict)
    volume_in: Literal["units", "money"] = "units"
    align: bool = False
    replace: bool = False


def parse_interval(text: str) -> int:
    """Return the minutes of ``30min``, ``5m``, ``1h`` or ``60``.

    Raises
    ------
    UnreadableBarsError
        The text is no interval of 1 to 60 minutes.
    """
    found = _INTERVAL.fullmatch(text.strip())
    minutes = int(found[1]) * (60 if (found[2] or "").lower() == "h" else 1) if found else 0
    if not 1 <= minutes <= _LONGEST_MINUTES:
        raise UnreadableBarsError(
            f"{text!r} is no interval of up to an hour", "write it like 1min, 15min, 30min or 1h"
        )
    return minutes


def import_recording(home: Path, place: Path, name: str, options: Options) -> list[ImportedSymbol]:
    """Read bars, and write them as the recording ``name``, which becomes the active one.

    An earlier recording of that name is replaced, if it may be, once the new one is whole.

    Raises
    ------
    UnreadableBarsError
        The bars cannot be read, or make no recording.
    RecordingError
        There is a recording of that name, which is to stay.
    """
    if not _NAME.fullmatch(name) or name in (PACK_NAME, ACTIVE):
        raise UnreadableBarsError(
            f"{name!r} cannot be a recording's name",
            "choose one of small letters, digits, dots and dashes: --name summer-2023",
        )
    folder = recordings_folder(home)
    if (folder / name).exists() and not options.replace:
        raise RecordingError(
            f"there is a recording {name!r} already", "choose another name with --name, or give --replace"
        )
    symbols = [_imported(read, options) for read in read_bars(place, options.zone or "UTC")]
    _check_coins(symbols)
    if options.align:
        symbols = _aligned(symbols)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".importing-", dir=folder))
    try:
        written = temporary / "new"
        bars = {one.entry.symbol: one.bars for one in symbols}
        write_recording(written, name, [one.entry for one in symbols], bars, _notes(symbols))
        _ = Recording(written).notes  # read back whole, before it takes the place of another
        if (folder / name).exists():
            (folder / name).rename(temporary / "old")
        written.rename(folder / name)
    finally:
        shutil.rmtree(temporary)
    activate(home, name)
    return symbols


def _imported(read: SymbolBars, options: Options) -> ImportedSymbol:
    """Return a symbol's bars in order: one for each start, each on the grid."""
    asset_class = options.asset_class or ("crypto" if is_pair(read.symbol) else "stocks")
    if asset_class == "stocks" and read.naive and options.zone is None:
        raise UnreadableBarsError(
            f"the times of {read.file} name no zone, and stocks are quoted in more than one",
            f"say which it is: --zone {NEW_YORK} or --zone UTC",
        )
    bars = read.bars.unique("timestamp", keep="first", maintain_order=True).sort("timestamp")
    repeated = read.bars.height - bars.height
    minutes = options.minutes or _commonest_minutes(bars, read)
    on_grid = _on_grid(bars, minutes)
    off_grid = bars.height - on_grid.height
    if off_grid > _SHARE_OFF_GRID * bars.height:
        raise UnreadableBarsError(
            f"{read.file}: {off_grid} of {bars.height} bars of {read.symbol} do not begin {minutes} minutes "
            "apart",
            "name their length: --interval 30min",
        )
    entry = RecordedSymbol(
        symbol=read.symbol,
        asset_class=asset_class,
        minutes=minutes,
        shift_weeks=0,
        source=f"{read.file.name}, imported",
        coin=_coin(read.symbol, options.coins) if asset_class == "crypto" else "",
        volume_in=options.volume_in if asset_class == "crypto" else "units",
    )
    return ImportedSymbol(entry, on_grid, repeated, off_grid)


def _commonest_minutes(bars: pl.DataFrame, read: SymbolBars) -> int:
    steps = bars["timestamp"].diff().drop_nulls().dt.total_seconds()
    if steps.is_empty():
        raise UnreadableBarsError(
            f"{read.file} holds a single bar of {read.symbol}, whose length cannot be told",
            "name it: --interval 1h",
        )
    seconds = steps.value_counts(sort=True).sort("count", steps.name, descending=[True, False])[0, 0]
    minutes, rest = divmod(int(seconds), 60)
    if rest or not 1 <= minutes <= _LONGEST_MINUTES:
        raise UnreadableBarsError(
            f"{read.file}: bars of {read.symbol} are {seconds} s apart; from 1 to 60 whole minutes can be "
            "replayed",
            "export finer bars, or name their length if some are missing: --interval 30min",
        )
    return minutes


def _on_grid(bars: pl.DataFrame, minutes: int) -> pl.DataFrame:
    """Return the bars that begin where most do: on the hour, or at half past, or a minute after."""
    phase = pl.col("timestamp").dt.epoch("us") % (minutes * 60_000_000)
    return bars.filter(phase == phase.mode().min())


def _coin(symbol: str, coins: Mapping[str, str]) -> str:
    base = symbol.rpartition("-")[0]
    coin = coins.get(symbol) or COINS.get(base)
    if not base or symbol.rpartition("-")[2] not in CURRENCIES:
        raise UnreadableBarsError(
            f"{symbol} does not name its currency", "name the file or the symbol like BTC-USD"
        )
    if coin is None:
        raise UnreadableBarsError(
            f"CoinGecko's id of {symbol} is not known here", f"name it: --coin {symbol}=coin-id"
        )
    return coin


def _check_coins(symbols: Sequence[ImportedSymbol]) -> None:
    seen: dict[str, str] = {}
    for one in symbols:
        coin = one.entry.coin
        if coin and coin in seen:
            raise UnreadableBarsError(
                f"{seen[coin]} and {one.entry.symbol} are the same coin, {coin}",
                "import one of them, or correct --coin",
            )
        seen[coin] = one.entry.symbol


def _aligned(symbols: list[ImportedSymbol]) -> list[ImportedSymbol]:
    """Lay all coins onto the stocks' weeks by one number of weeks, so that they stay together."""
    by_class: dict[str, list[pl.Series]] = {"stocks": [], "crypto": []}
    for one in symbols:
        by_class[one.entry.asset_class].append(one.bars["timestamp"])
    if not all(by_class.values()):
        raise UnreadableBarsError(
            "--align needs stocks and coins, and there are only " + next(k for k, v in by_class.items() if v),
            "leave --align out, or import both together",
        )
    weeks = best_shift(by_class["stocks"], by_class["crypto"])
    return [
        one
        if one.entry.asset_class == "stocks"
        else replace(one, entry=replace(one.entry, shift_weeks=weeks))
        for one in symbols
    ]


def best_shift(stocks: Sequence[pl.Series], coins: Sequence[pl.Series]) -> int:
    """Return by how many whole weeks most bars of the coins fall onto the stocks' days.

    Parameters
    ----------
    stocks, coins : sequence of polars.Series
        Starts of bars (UTC), in order, one series for each symbol.

    Returns
    -------
    int
        Of several as good, the one nearest to none at all.
    """
    first = min(int(s.to_physical()[0]) for s in stocks) // _DAY_US * _DAY_US
    last = -(-max(int(s.to_physical()[-1]) for s in stocks) // _DAY_US) * _DAY_US
    starts = np.sort(np.concatenate([s.to_physical().to_numpy() for s in coins]))
    weeks = np.arange((first - starts[-1]) // _WEEK_US, -((starts[0] - last) // _WEEK_US) + 1)
    served = np.searchsorted(starts, last - weeks * _WEEK_US) - np.searchsorted(
        starts, first - weeks * _WEEK_US
    )
    best = weeks[served == served.max()]
    return int(best[np.argmin(np.abs(best))])


def _notes(symbols: Sequence[ImportedSymbol]) -> list[str]:
    """Return what a person must know of the bars, beside where they come from."""
    remarks: list[tuple[str, str]] = []
    for one in symbols:
        entry, first = one.entry, one.bars["timestamp"][0]
        found = {
            f"{one.repeated} repeated bars, of which the first was kept": one.repeated,
            f"{one.off_grid} bars off the {entry.minutes}-minute grid left out": one.off_grid,
            "bars begin past the hour, so Alpha Vantage, whose bars are on the clock, has none; Yahoo has": (
                entry.asset_class == "stocks" and first.minute % entry.minutes
            ),
            "bars are too long for CoinGecko's 30-minute candles, so it has prices by the hour alone": (
                entry.asset_class == "crypto" and _CANDLE_MINUTES % entry.minutes
            ),
        }
        remarks += [(entry.symbol, text) for text, holds in found.items() if holds]
    notes = said_once(remarks)
    spans = {
        name: [one.bars["timestamp"] for one in symbols if one.entry.asset_class == name]
        for name in ("stocks", "crypto")
    }
    if all(spans.values()) and not any(one.entry.shift_weeks for one in symbols):
        ends = {name: (min(s[0] for s in own), max(s[-1] for s in own)) for name, own in spans.items()}
        (first, last), (coins_first, coins_last) = ends["stocks"], ends["crypto"]
        if coins_first > last or coins_last < first:
            notes.append(
                f"stocks are of {first:%Y-%m-%d} to {last:%Y-%m-%d}, coins of {coins_first:%Y-%m-%d} to "
                f"{coins_last:%Y-%m-%d}: import with --align to lay the coins onto the stocks' weeks"
            )
    return notes
