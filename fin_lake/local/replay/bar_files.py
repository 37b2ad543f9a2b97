"""Reads bars from files that somebody else wrote: CSV, gzipped CSV or Parquet, whatever their columns.

Each problem is told with the file, the line and the column. What the bars become belongs to
``importing``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from fin_lake.errors import FinLakeError

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")
VALUES: Final = ("open", "high", "low", "close", "volume")
_VALUE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {name: (name, name[0]) for name in VALUES}
_TIMES: Final = ("timestamp", "timestamps", "datetime", "date", "time")
_SYMBOLS: Final = ("symbol", "ticker")
_SYMBOL: Final = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^]{0,19}")
CURRENCIES: Final = ("USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "USDT", "USDC", "BTC", "ETH")
_PAIR: Final = re.compile(rf"[A-Z0-9]+-(?:{'|'.join(CURRENCIES)})(?![A-Z])")

_UTC_TIME: Final = pl.Datetime("us", "UTC")
_EPOCH: Final = r"^\d{9,19}$"
_EPOCH_UNITS: Final = ((10**11, 10**6), (10**14, 10**3), (10**17, 1))  # below it, so many µs each
_WRITE_TIMES: Final = "write times like 2023-01-03T14:30:00+00:00 or as seconds since 1970"
_NOTHING_IS_FILLED_IN: Final = "correct the value or remove the row: nothing is filled in for it"


class UnreadableBarsError(FinLakeError):
    """A file of bars that cannot be taken for one."""


@dataclass(frozen=True, slots=True)
class SymbolBars:
    """What a file holds of a symbol.

    Parameters
    ----------
    symbol : str
        In upper case.
    file : Path
        Where it was read.
    bars : polars.DataFrame
        ``timestamp`` (UTC), ``open``, ``high``, ``low``, ``close``, ``volume`` in the file's order.
    naive : bool
        Whether the file's times have no zone of their own.
    """

    symbol: str
    file: Path
    bars: pl.DataFrame
    naive: bool


def read_bars(place: Path, zone: str) -> list[SymbolBars]:
    """Read a file, or the files of a folder.

    Parameters
    ----------
    place : Path
        A file, or a folder whose files end in ``SUFFIXES``; others are not looked at.
    zone : str
        The zone of times that name none.

    Raises
    ------
    UnreadableBarsError
        There is no such file, one cannot be read, or two hold the same symbol.
    """
    files = sorted(file for file in place.iterdir() if _is_of_bars(file)) if place.is_dir() else [place]
    if not files:
        raise UnreadableBarsError(
            f"{place} holds no file that ends in {', '.join(SUFFIXES)}", "name the folder of the bars"
        )
    found: dict[str, SymbolBars] = {}
    for file in files:
        for one in _read_file(file, zone):
            if one.symbol in found:
                raise UnreadableBarsError(
                    f"{one.symbol} is in two files: {found[one.symbol].file} and {file}",
                    "join them into one, or import a folder with one of them",
                )
            found[one.symbol] = one
    return list(found.values())


def _is_of_bars(file: Path) -> bool:
    return file.is_file() and file.name.lower().endswith(SUFFIXES) and not file.name.startswith(".")


def is_pair(symbol: str) -> bool:
    """Return whether a symbol is a coin in a currency, as BTC-USD, and no stock, as BRK-B."""
    return _PAIR.fullmatch(symbol) is not None


def symbol_of_file(file: Path) -> str:
    """Return the symbol in a file's name: AAPL of ``AAPL_1h.csv.gz``, BTC-USD of ``btc-usd-15-min.csv``."""
    name = file.name
    stem = name[: -len(next(s for s in SUFFIXES if name.lower().endswith(s)))].upper()
    pair = _PAIR.match(stem)
    return pair.group() if pair else re.split(r"[_ ]", stem)[0]


class _File:
    """A file's cells as they are, and how a person finds one of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_parquet = path.name.lower().endswith(".parquet")
        if not _is_of_bars(path):
            what = "does not exist" if not path.exists() else f"ends in none of {', '.join(SUFFIXES)}"
            raise UnreadableBarsError(f"{path} {what}", "name a folder or a file of bars")
        problem = ""
        try:
            cells = pl.read_parquet(path) if self.is_parquet else pl.read_csv(path, infer_schema=False)
        except pl.exceptions.NoDataError:
            problem = "is empty"
        except (OSError, pl.exceptions.PolarsError) as error:
            problem = f"cannot be read: {str(error).partition(chr(10))[0]}"
        if problem:
            raise UnreadableBarsError(f"{path} {problem}", "remove the file, or write it again")
        self.cells = cells
        if cells.is_empty():
            raise UnreadableBarsError(f"{path} has columns and no rows", "remove the file")
        self.names = self._columns()

    def _columns(self) -> dict[str, str]:
        """Return the file's name of each column of ours."""
        by_name: dict[str, list[str]] = {}
        for name in self.cells.columns:
            by_name.setdefault(name.strip().strip("\ufeff").lower(), []).append(name)
        found: dict[str, str] = {}
        for ours, theirs in {"timestamp": _TIMES, "symbol": _SYMBOLS, **_VALUE_NAMES}.items():
            named = [name for their in theirs for name in by_name.get(their, [])]
            if len(named) > 1:
                raise UnreadableBarsError(
                    f"{self.path} has several columns for the {ours}: {', '.join(named)}",
                    "keep the one that counts",
                )
            if named:
                found[ours] = named[0]
            elif ours != "symbol":
                raise UnreadableBarsError(
                    f"{self.path} has no column for the {ours}, only: {', '.join(self.cells.columns)}",
                    f"name it {' or '.join(theirs)} in the first line (upper and lower case are one)",
                )
        return found

    def refuse(self, wrong: pl.Series, ours: str, said: str, remedy: str) -> None:
        """Raise for the first row that is wrong, if one is."""
        rows = wrong.arg_true()
        if not len(rows):
            return
        row, column = rows[0], self.names[ours]
        value = self.cells[column][row]
        shown = (
            "nothing" if value is None or value == "" else repr(value) if isinstance(value, str) else value
        )
        place = f"row {row + 1}" if self.is_parquet else f"line {row + 2}"
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise UnreadableBarsError(f"{self.path}, {place}, column {column}: {shown} {said}{more}", remedy)

    def column(self, ours: str) -> pl.Series:
        """Return a column's cells; texts without blanks around them."""
        cells = self.cells[self.names[ours]].rename(ours)
        return cells.str.strip_chars() if cells.dtype == pl.String else cells


def _read_file(path: Path, zone: str) -> Iterator[SymbolBars]:
    file = _File(path)
    times, naive = _times(file, zone)
    bars = pl.DataFrame([times, *(_numbers(file, name) for name in VALUES)])
    if "symbol" not in file.names:
        yield SymbolBars(_checked(symbol_of_file(path), f"{path} is named after"), path, bars, naive)
        return
    symbols = file.column("symbol").cast(pl.String).str.to_uppercase()
    file.refuse(symbols.is_null() | (symbols == ""), "symbol", "is no symbol", "name the symbol of the row")
    for (symbol,), part in bars.with_columns(symbol=symbols).group_by("symbol", maintain_order=True):
        yield SymbolBars(_checked(str(symbol), f"{path} holds"), path, part.drop("symbol"), naive)


def _checked(symbol: str, where: str) -> str:
    if not _SYMBOL.fullmatch(symbol):
        raise UnreadableBarsError(
            f"{where} {symbol!r}, which is no symbol",
            "name the file like AAPL_1h.csv or BTC-USD.parquet, or add a column symbol",
        )
    return symbol


def _numbers(file: _File, ours: str) -> pl.Series:
    numbers = file.column(ours).cast(pl.Float64, strict=False)
    file.refuse(numbers.is_null(), ours, "is no number", _NOTHING_IS_FILLED_IN)
    file.refuse(~numbers.is_finite(), ours, "is no finite number", _NOTHING_IS_FILLED_IN)
    if ours == "volume":
        file.refuse(numbers < 0, ours, "is no volume: it is below 0", _NOTHING_IS_FILLED_IN)
    else:
        file.refuse(numbers <= 0, ours, "is no price: it is not above 0", _NOTHING_IS_FILLED_IN)
    return numbers


def _times(file: _File, zone: str) -> tuple[pl.Series, bool]:
    """Return the times in UTC, and whether some had no zone."""
    cells = file.column("timestamp")
    if isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone:
        times, naive = cells.cast(_UTC_TIME), pl.Series([False])
    elif isinstance(cells.dtype, pl.Datetime | pl.Date):
        local = cells.cast(pl.Datetime("us"))
        times, naive = _in_zone(local, zone), local.is_not_null()
    elif cells.dtype.is_integer():
        times, naive = _of_epoch(cells.cast(pl.Int64)), pl.Series([False])
    elif cells.dtype == pl.String:
        times, naive = _of_text(cells, zone)
    else:
        times, naive = pl.Series([None] * len(cells), dtype=_UTC_TIME), pl.Series([False])
    file.refuse(times.is_null() & naive, "timestamp", f"is no time in {zone}", _WRITE_TIMES)
    file.refuse(times.is_null(), "timestamp", "is no time that is understood", _WRITE_TIMES)
    return times.rename("timestamp"), bool(naive.any())


def _in_zone(local: pl.Series, zone: str) -> pl.Series:
    """Return local times as UTC; of an hour that clocks show twice, the first."""
    try:
        placed = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    except pl.exceptions.PolarsError:
        raise UnreadableBarsError(
            f"{zone!r} is no time zone", "name one like UTC or America/New_York"
        ) from None
    return placed.cast(_UTC_TIME)


def _of_epoch(numbers: pl.Series) -> pl.Series:
    """Return seconds, milli-, micro- or nanoseconds since 1970 as times; their size tells which."""
    micros = numbers // 1000
    for limit, factor in reversed(_EPOCH_UNITS):
        micros = pl.select(
            pl.when(numbers.abs() < limit).then(numbers * factor).otherwise(micros)
        ).to_series()
    return micros.cast(_UTC_TIME)


_SPELLINGS: Final[Mapping[str, str]] = {
    r"^(\d{4}-\d{2}-\d{2}) +": "${1}T",
    r"^(\d{4}-\d{2}-\d{2})$": "${1}T00:00:00",
    r" *(?:Z|UTC)$": "+00:00",
    r"([+-]\d{2}):?(\d{2})$": "${1}:${2}",
    r"T(\d{2}:\d{2})([+-].*)?$": "T${1}:00${2}",
}


def _of_text(texts: pl.Series, zone: str) -> tuple[pl.Series, pl.Series]:
    """Return ISO times and epochs in UTC, and which of them had no zone."""
    dated = texts
    for pattern, replacement in _SPELLINGS.items():
        # A date alone ends in what looks like an offset, hence only behind a time.
        behind_a_time = dated.str.contains("T") | (pattern.startswith("^"))
        dated = pl.select(
            pl.when(behind_a_time).then(dated.str.replace(pattern, replacement)).otherwise(dated)
        ).to_series()
    epochs = (
        pl.select(pl.when(texts.str.contains(_EPOCH)).then(texts)).to_series().cast(pl.Int64, strict=False)
    )
    aware = dated.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", strict=False)
    local = dated.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    times = pl.select(
        pl.coalesce(aware.cast(_UTC_TIME), _in_zone(local, zone), _of_epoch(epochs))
    ).to_series()
    return times, local.is_not_null() & aware.is_null()
