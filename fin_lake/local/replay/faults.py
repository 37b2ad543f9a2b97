"""Misbehaviour on request: what the APIs do on a bad day, as often as one asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import polars as pl

from fin_lake.local.replay import alpha_vantage, coingecko, yahoo
from fin_lake.local.replay.answers import Alter, Answer, as_json

Api = Literal["alpha_vantage", "yahoo", "coingecko"]
Kind = Literal[
    "rate_limit",
    "server_error",
    "timeout",
    "slow",
    "reset",
    "truncated",
    "malformed",
    "html",
    "premium",
    "quota",
    "pacing",
    "null_bar",
    "nan",
    "negative_price",
    "zero_price",
    "high_below_low",
    "duplicate_bar",
    "unaligned_bar",
]
_LATE: Final = 3600.0


class FaultError(ValueError):
    """A fault that is not understood."""


@dataclass(slots=True)
class Fault:
    """One fault: whose answers it spoils, how, and how often (0: until cleared)."""

    source: Api
    kind: Kind
    symbol: str = ""
    times: int = 1
    retry_after: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.source not in get_args(Api) or self.kind not in get_args(Kind):
            raise FaultError(
                f"no fault {self.kind!r} of {self.source!r}; sources: {', '.join(get_args(Api))}; "
                f"kinds: {', '.join(get_args(Kind))}"
            )


class Faults:
    """The faults that wait for their requests."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, values: Mapping[str, Any]) -> None:
        """Add a fault, given by its fields.

        Raises
        ------
        FaultError
            A field is missing or unknown.
        """
        try:
            self._waiting.append(Fault(**values))
        except TypeError as error:
            raise FaultError(str(error)) from error

    def clear(self) -> None:
        """Forget them all."""
        self._waiting.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """Return those that wait."""
        return [asdict(fault) for fault in self._waiting]

    def take(self, source: str, symbols: set[str]) -> Fault | None:
        """Return the fault for a request, if there is one, and count it off."""
        for fault in self._waiting:
            if fault.source == source and (not fault.symbol or fault.symbol in symbols):
                if fault.times == 1:
                    self._waiting.remove(fault)
                elif fault.times > 1:
                    fault.times -= 1
                return fault
        return None


def _first(**changes: pl.Expr) -> Alter:
    """Return what changes the first bar alone."""
    is_first = pl.int_range(pl.len()) == 0

    def alter(bars: pl.DataFrame) -> pl.DataFrame:
        return bars.with_columns(
            pl.when(is_first).then(change).otherwise(pl.col(name)).alias(name)
            for name, change in changes.items()
            if name in bars.columns
        )

    return alter


_VALUES: Final = ("open", "high", "low", "close", "volume")
ALTERATIONS: Final[Mapping[str, Alter]] = {
    "null_bar": _first(**{name: pl.lit(None) for name in _VALUES}),
    "nan": _first(open=pl.lit(float("nan")), close=pl.lit(float("nan"))),
    "negative_price": _first(low=-pl.col("low"), close=-pl.col("close")),
    "zero_price": _first(low=pl.lit(0.0), close=pl.lit(0.0)),
    "high_below_low": _first(high=pl.col("low"), low=pl.col("high")),
    "duplicate_bar": lambda bars: pl.concat([bars.head(1), bars]),
    "unaligned_bar": _first(
        timestamp=pl.col("timestamp") + pl.duration(minutes=7), at=pl.col("at") + pl.duration(minutes=7)
    ),
}

_REFUSALS: Final[Mapping[str, Callable[[str], Answer]]] = {
    "premium": lambda _key: as_json({"Information": alpha_vantage.PREMIUM}),
    "pacing": lambda _key: as_json({"Information": alpha_vantage.PACING}),
    "quota": lambda key: as_json(alpha_vantage.quota(key)),
    "html": lambda _key: Answer(b"<!DOCTYPE html><html><body>Sorry</body></html>", 200, "text/html"),
    "server_error": lambda _key: Answer(b"upstream request failed", 503, "text/plain"),
}


def refusal(fault: Fault, key: str) -> Answer | None:
    """Return the answer that a fault gives in the place of the right one, if it is of that sort."""
    if fault.kind == "rate_limit":
        if fault.source == "coingecko":
            return coingecko.too_many(fault.retry_after)
        if fault.source == "alpha_vantage":
            return as_json({"Information": alpha_vantage.PACING})
        headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
        return Answer(yahoo.TOO_MANY.body, 429, "text/plain", headers)
    make = _REFUSALS.get(fault.kind)
    return make(key) if make else None


async def spoil(fault: Fault, right: Answer) -> Answer:
    """Return the right answer late, or cut, or garbled."""
    if fault.kind in ("timeout", "slow"):
        await asyncio.sleep(fault.seconds or _LATE)
    if fault.kind == "truncated":
        return Answer(right.body[: len(right.body) // 2], right.status, right.content_type)
    if fault.kind == "malformed":
        return Answer(right.body.replace(b":", b";", 1) + b"}", right.status, right.content_type)
    return right
