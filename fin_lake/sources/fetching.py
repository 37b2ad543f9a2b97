"""Asking every source for every symbol of an asset class, each within its limits.

A source or symbol that fails costs its own bars and nothing else. Which source is preferred where
two have a bar is decided later, in cleaning.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from fin_lake.partitions import HourRange
from fin_lake.schema import AssetClass
from fin_lake.settings import Settings
from fin_lake.sources.alpha_vantage import AlphaVantage
from fin_lake.sources.asking import Source
from fin_lake.sources.coingecko import CoinGecko
from fin_lake.sources.failures import NoData, SourceFailure
from fin_lake.sources.http import SourceClient
from fin_lake.sources.quota import DailyQuota, OpenBucket, postgres_bucket
from fin_lake.sources.redaction import Redactor
from fin_lake.sources.yahoo import Yahoo
from fin_lake.tables import RAW

Log = Callable[[str], None]
MakeSource = Callable[[Settings, dt.datetime, Redactor], Source]

SOURCES: Final[Mapping[AssetClass, tuple[MakeSource, ...]]] = {
    "stocks": (AlphaVantage, Yahoo),
    "crypto": (CoinGecko,),
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the sources gave for some hours.

    Attributes
    ----------
    records : polars.DataFrame
        Raw records whose timestamp lies in the hours, by symbol, source and timestamp.
    failures : tuple of SourceFailure
        Why a request brought none. A ``NoData`` among them is an answer: nothing was traded.
    requests : dict of str to int
        Requests sent to each source, repeated ones included.
    unserved : tuple of str
        Symbols that no source has answered for all of the hours. A symbol with no record that is
        not among them was asked for, and had no bar.
    """

    records: pl.DataFrame
    failures: tuple[SourceFailure, ...]
    requests: dict[str, int]
    unserved: tuple[str, ...]


def fetch_stocks(
    settings: Settings, window: HourRange, log: Log, *, open_bucket: OpenBucket = postgres_bucket
) -> Fetched:
    """Ask Alpha Vantage and Yahoo for the bars of all symbols, and return what both gave.

    It runs an event loop of its own, so it is called from a thread that has none.

    Parameters
    ----------
    settings : Settings
        The symbols, keys, addresses and limits.
    window : HourRange
        The hours (UTC). A month's hours cost as many requests as one hour.
    log : callable
        Gets a line per answered request and per failure.
    open_bucket : callable
        Opens the store of the daily quota; not called where there is no quota.

    Raises
    ------
    SettingsError
        A base URL is none.
    """
    return asyncio.run(_fetch("stocks", settings, window, log, open_bucket))


def fetch_crypto(
    settings: Settings, window: HourRange, log: Log, *, open_bucket: OpenBucket = postgres_bucket
) -> Fetched:
    """Ask CoinGecko for the bars of all coins; see :func:`fetch_stocks`."""
    return asyncio.run(_fetch("crypto", settings, window, log, open_bucket))


async def _fetch(
    asset_class: AssetClass, settings: Settings, window: HourRange, log: Log, open_bucket: OpenBucket
) -> Fetched:
    redact = Redactor(settings.secrets)
    clock = settings.clock
    sources = [make(settings, clock, redact) for make in SOURCES[asset_class]]
    failed = _FailureLog(log)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(_client(source, settings, redact, log, open_bucket))
            for source in sources
        ]
        served = await _all(
            [
                _serve(source, client, symbol, window, failed)
                for source, client in zip(sources, clients, strict=True)
                for symbol in source.symbols
            ]
        )
    frames = [frame for one in served for frame in one.frames]
    records = pl.concat([RAW[asset_class].empty(), *frames])
    answered = {one.symbol for one in served if one.answered}
    asked = dict.fromkeys(symbol for source in sources for symbol in source.symbols)
    return Fetched(
        records=records.sort("symbol", "source", "timestamp", maintain_order=True),
        failures=tuple(failure for one in served for failure in one.failures),
        requests={client.name: client.requests_sent for client in clients},
        unserved=tuple(symbol for symbol in asked if symbol not in answered),
    )


def _client(
    source: Source, settings: Settings, redact: Redactor, log: Log, open_bucket: OpenBucket
) -> SourceClient:
    per_day = source.limits.per_day
    bucket = functools.partial(open_bucket, settings, source.name, per_day)
    return SourceClient(
        source.name,
        source.limits,
        redact=redact,
        log=log,
        timeout_seconds=settings.http_timeout_seconds,
        attempts=settings.http_attempts,
        quota=DailyQuota(per_day, bucket) if per_day else None,
    )


@dataclass(frozen=True, slots=True)
class _Served:
    symbol: str
    frames: list[pl.DataFrame]
    failures: list[SourceFailure]

    @property
    def answered(self) -> bool:
        return all(isinstance(failure, NoData) for failure in self.failures)


async def _serve(
    source: Source, client: SourceClient, symbol: str, window: HourRange, log_failure: _FailureLog
) -> _Served:
    """Bring what one source has of one symbol."""
    served = _Served(symbol, [], [])
    try:
        requests = source.requests(symbol, window)
    except SourceFailure as failure:
        log_failure(failure)
        served.failures.append(failure)
        return served
    for request in requests:
        try:
            served.frames.append(await client.get(request))
        except SourceFailure as failure:
            log_failure(failure)
            served.failures.append(failure)
    return served


class _FailureLog:
    """Logs failures; those that hit a whole source only once, not again for each of its symbols."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._said: set[tuple[str, str]] = set()

    def __call__(self, failure: SourceFailure) -> None:
        kind = type(failure).__name__
        if not failure.whole_source:
            self._log(f"{kind}: {failure.what}")
        elif (failure.source, kind) not in self._said:
            self._said.add((failure.source, kind))
            self._log(f"{kind}: {failure.what} (not repeated for further symbols)")


async def _all(coroutines: Sequence[Coroutine[None, None, _Served]]) -> list[_Served]:
    """Run all at once; a fault in one ends the others and is raised as itself, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except ExceptionGroup as errors:
        fault = errors.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise fault
