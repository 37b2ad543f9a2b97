"""What a source module gives the client, and gets from it: questions, requests, answers.

No request is sent and no answer is read here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import polars as pl

from fin_lake.partitions import HourRange
from fin_lake.sources.failures import SchemaMismatch, SourceFailure, Unauthorized
from fin_lake.sources.redaction import Redactor

SHOWN: Final = 80  # characters of an answer that an error quotes

F = TypeVar("F", bound=SourceFailure)


@dataclass(frozen=True, slots=True)
class Question:
    """Whose bars a request is for, of which hours, and as of when.

    Parameters
    ----------
    source, symbol : str
        The API, and the symbol as fin_lake calls it.
    hours : HourRange
        The hours whose bars are wanted.
    clock : datetime
        The moment that counts as now (UTC): a bar that ends later is unfinished.
    redact : Redactor
        Removes the secrets from whatever a failure quotes.
    """

    source: str
    symbol: str
    hours: HourRange
    clock: dt.datetime
    redact: Redactor = field(default_factory=lambda: Redactor(()), compare=False)

    def failure(self, reason: type[F], what: str, remedy: str = "", *, retry_after: float | None = None) -> F:
        """Return the failure of this question, without any secret in its text."""
        return reason(
            self.source,
            self.symbol,
            str(self.hours),
            self.redact(what),
            self.redact(remedy),
            retry_after=retry_after,
        )

    def excerpt(self, body: bytes | str, length: int = SHOWN) -> str:
        """Return the start of an answer, redacted before it is cut: half a key is half known."""
        text = body if isinstance(body, str) else body[:4096].decode(errors="replace")
        text = " ".join(self.redact(text).split())
        return repr(text if len(text) <= length else text[:length] + "…")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came for a request, other than the statuses that mean the same at every source.

    Parameters
    ----------
    status : int
        The HTTP status.
    body : bytes
        The body, decompressed.
    content_type : str
        What the body claims to be.
    fetched_at : datetime
        When it had arrived (UTC).
    retry_after : float, optional
        What the header ``Retry-After`` says, in seconds.
    """

    status: int
    body: bytes = field(repr=False)
    content_type: str
    fetched_at: dt.datetime
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A GET request and the function that reads its answer.

    Parameters
    ----------
    question : Question
        What is asked.
    label : str
        What of it this request covers, in words for the log: ``2023-01``.
    path : str
        The path below the source's base URL, quoted.
    params, headers : mapping
        The query and additional headers. They may hold the key, so they are in no representation.
    read : callable
        Turns the answer into raw records; raises a SourceFailure.
    """

    question: Question
    label: str
    path: str
    params: Mapping[str, str] = field(repr=False)
    read: Callable[[Answer], pl.DataFrame] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a source is, and how often it may be asked.

    Parameters
    ----------
    base_url : str
        Its address, without a slash at the end.
    base_url_setting : str
        The variable that sets the address, for errors to name.
    per_minute : float
        Requests per minute, evenly spaced.
    per_day : int
        Requests in 24 hours; 0 means no limit.
    """

    base_url: str
    base_url_setting: str
    per_minute: float
    per_day: int = 0


class Source(Protocol):
    """A market data API: adding one means writing this, and naming it in ``fetching``."""

    name: str
    symbols: tuple[str, ...]
    limits: Limits

    def requests(self, symbol: str, hours: HourRange) -> Sequence[Request]:
        """Return the requests that bring a symbol's bars of the hours.

        Raises
        ------
        SourceFailure
            There is no point in asking: no key, no such symbol, out of reach.
        """
        ...


def unexplained(question: Question, answer: Answer) -> SourceFailure:
    """Return the failure of an error status whose body the source's module does not recognise."""
    shown = question.excerpt(answer.body)
    if answer.status in (401, 403):
        return question.failure(Unauthorized, f"refuses the request with status {answer.status}: {shown}")
    return question.failure(
        SchemaMismatch,
        f"answered with status {answer.status} and an unknown {answer.content_type} body: {shown}",
        "check the source's base URL",
    )
