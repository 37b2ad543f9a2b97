"""Misbehaviour on request: answers that are late, cut, garbled, refused, or right but for one bar.

Which answers there are to spoil, and how an API words a refusal, belongs to the API's module.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

import polars as pl

from fin_lake.local.replay import alpha_vantage, coingecko, yahoo
from fin_lake.local.replay.answers import Answer, as_text

Api = Literal["alpha_vantage", "yahoo", "coingecko"]
APIS: Final[tuple[Api, ...]] = get_args(Api)

_LATE_SECONDS: Final = 2.0
_NEVER_SECONDS: Final = 3600.0
_OUTSIDE: Final = pl.duration(days=40)
_ASKEW: Final = pl.duration(minutes=7)
_VALUES: Final = ("open", "high", "low", "close", "volume")
_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>Please wait</title></head>"
    b"<body><h1>We will be back soon</h1></body></html>\n"
)

_CHANGES: Final[Mapping[str, Mapping[str, pl.Expr]]] = {
    "null_bar": {name: pl.lit(None, pl.Float64) for name in _VALUES},
    "nan": {"open": pl.lit(float("nan")), "close": pl.lit(float("nan"))},
    "negative_price": {"low": -pl.col("low"), "close": -pl.col("close")},
    "zero_price": {"low": pl.lit(0.0), "close": pl.lit(0.0)},
    "high_below_low": {"high": pl.col("low") * 0.99, "low": pl.col("high") * 1.01},
    "bar_outside_hour": {"timestamp": pl.col("timestamp") - _OUTSIDE, "at": pl.col("at") - _OUTSIDE},
    "unaligned_bar": {"timestamp": pl.col("timestamp") + _ASKEW, "at": pl.col("at") + _ASKEW},
}
ALTERATIONS: Final = (*_CHANGES, "duplicate_bar")
KINDS: Final = (
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
    *ALTERATIONS,
)
_OF_SOME: Final[Mapping[str, tuple[Api, ...]]] = {
    "premium": ("alpha_vantage", "coingecko"),
    "quota": ("alpha_vantage",),
    "pacing": ("alpha_vantage",),
}


class FaultError(ValueError):
    """A fault that is not understood."""


@dataclass(slots=True)
class Fault:
    """One fault: whose answers it spoils, how, and how often.

    Parameters
    ----------
    source : {'alpha_vantage', 'yahoo', 'coingecko'}
        The API.
    kind : str
        One of ``KINDS``.
    symbol : str
        A symbol or a coin's id; empty for any.
    times : int
        How many answers; 0 until the fault is cleared.
    retry_after : float
        Seconds for the header ``Retry-After`` of a refusal; 0 for CoinGecko's own, or none.
    seconds : float
        How late an answer of ``slow`` is, or how long one of ``timeout`` is not given; 0 for 2
        seconds or an hour.
    at : str
        For a bar that is spoiled: the first one at or after this time (ISO, UTC without a zone)
        rather than the first of the answer.

    Raises
    ------
    FaultError
        A field has no such value, or the API has no such fault.
    """

    source: Api
    kind: str
    symbol: str = ""
    times: int = 1
    retry_after: float = 0
    seconds: float = 0
    at: str = ""
    altered: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.source not in APIS:
            raise FaultError(f"source {self.source!r} is none of {', '.join(APIS)}")
        if self.kind not in KINDS:
            raise FaultError(f"kind {self.kind!r} is none of {', '.join(KINDS)}")
        if self.source not in _OF_SOME.get(self.kind, APIS):
            raise FaultError(f"{self.source} has no fault {self.kind!r}, only {_OF_SOME[self.kind]} have")
        for name in ("times", "retry_after", "seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise FaultError(f"{name} is {value!r}, not a number from 0 up")
        if not isinstance(self.times, int):
            raise FaultError(f"times is {self.times!r}, not a whole number")
        if not isinstance(self.symbol, str):
            raise FaultError(f"symbol is {self.symbol!r}, not a text")
        self._moment()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by which the fault was given."""
        fields = asdict(self)
        del fields["altered"]
        return fields

    def _moment(self) -> dt.datetime | None:
        if not self.at:
            return None
        try:
            moment = dt.datetime.fromisoformat(self.at)
        except (TypeError, ValueError):
            raise FaultError(f"at is {self.at!r}, not a time like 2023-01-03T15:00") from None
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)

    def alter(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Spoil one of the bars, if the fault is of that sort and there is one."""
        if self.kind not in ALTERATIONS:
            return bars
        later = (pl.col("timestamp") >= moment) if (moment := self._moment()) else pl.lit(value=True)
        places = bars.with_row_index("place").filter(later)["place"].head(1)
        if places.is_empty():
            return bars
        self.altered = True
        place = places[0]
        if self.kind == "duplicate_bar":
            return pl.concat([bars.head(place + 1), bars.slice(place)])
        is_it = pl.int_range(pl.len()) == place
        return bars.with_columns(
            pl.when(is_it).then(change).otherwise(pl.col(name)).alias(name)
            for name, change in _CHANGES[self.kind].items()
            if name in bars.columns
        )


class Faults:
    """The faults that wait for their requests."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, values: Any) -> Fault:
        """Add a fault, given by its fields.

        Raises
        ------
        FaultError
            A field is missing, unknown or wrong.
        """
        if not isinstance(values, Mapping):
            raise FaultError('a fault is an object like {"source": "yahoo", "kind": "rate_limit"}')
        try:
            fault = Fault(**values)
        except TypeError as error:
            raise FaultError(str(error).replace("Fault.__init__() ", "")) from error
        self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        """Forget them all."""
        self._waiting.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """Return those that wait."""
        return [fault.as_dict() for fault in self._waiting]

    def find(self, source: str, names: Collection[str]) -> Fault | None:
        """Return the fault for a request about what bears these names, if there is one."""
        wanted = {name.upper() for name in names}
        for fault in self._waiting:
            if fault.source == source and (not fault.symbol or fault.symbol.upper() in wanted):
                fault.altered = False
                return fault
        return None

    def count(self, fault: Fault) -> None:
        """Count an answer off, unless there was no bar to spoil in it."""
        if fault.kind in ALTERATIONS and not fault.altered:
            return
        if fault.times == 1:
            self._waiting.remove(fault)
        elif fault.times > 1:
            fault.times -= 1


_REFUSALS: Final[Mapping[str, Callable[[Fault, str], Answer]]] = {
    "premium": lambda fault, _key: (
        alpha_vantage.premium() if fault.source == "alpha_vantage" else coingecko.premium()
    ),
    "pacing": lambda _fault, _key: alpha_vantage.pacing(),
    "quota": lambda _fault, key: alpha_vantage.quota(key),
    "html": lambda _fault, _key: Answer(_PAGE, 200, "text/html"),
    "server_error": lambda fault, _key: _with_retry_after(as_text("upstream request failed", 503), fault),
    "rate_limit": lambda fault, _key: _too_many(fault),
}


def refusal(fault: Fault, key: str) -> Answer | None:
    """Return the answer that a fault gives in the place of the right one, if it is of that sort."""
    make = _REFUSALS.get(fault.kind)
    return make(fault, key) if make else None


def _too_many(fault: Fault) -> Answer:
    if fault.source == "alpha_vantage":
        return alpha_vantage.pacing()
    if fault.source == "coingecko":
        return coingecko.too_many(fault.retry_after or 1)
    return _with_retry_after(yahoo.TOO_MANY, fault)


def _with_retry_after(answer: Answer, fault: Fault) -> Answer:
    headers = {"Retry-After": f"{fault.retry_after:g}"} if fault.retry_after else {}
    return Answer(answer.body, answer.status, answer.content_type, headers)


def delay(fault: Fault) -> float:
    """Return the seconds by which a fault makes an answer late."""
    if fault.kind == "timeout":
        return fault.seconds or _NEVER_SECONDS
    return (fault.seconds or _LATE_SECONDS) if fault.kind == "slow" else 0.0


def spoil(fault: Fault, right: Answer) -> Answer:
    """Return the right answer's body cut or garbled, if the fault is of that sort."""
    body = right.body
    if fault.kind == "truncated":
        body = body[: len(body) // 2]
    elif fault.kind == "malformed":
        body = body.replace(b":", b";", 1) + b"}"
    return Answer(body, right.status, right.content_type, right.headers)
