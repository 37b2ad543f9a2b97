"""The one HTTP client: even pace, retries, a circuit breaker, a daily quota, and no key in any text.

What a request asks and how an answer is read is the source module's business. aiohttp's exceptions
carry URLs, and a URL may carry a key; none of them leaves this module, not even as a cause.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email.utils
import logging
import math
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import aiohttp
import polars as pl
import stamina.instrumentation
import yarl
from aiolimiter import AsyncLimiter
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import Context as CircuitContext
from purgatory.domain.model import OpenedState
from stamina.instrumentation import RetryDetails

from fin_lake.errors import FinLakeError
from fin_lake.settings import SettingsError
from fin_lake.sources.asking import Answer, Limits, Question, Request
from fin_lake.sources.failures import (
    NotAsked,
    Pacing,
    SchemaMismatch,
    SourceFailure,
    Unavailable,
)
from fin_lake.sources.quota import DailyQuota
from fin_lake.sources.redaction import Redactor
from fin_lake.traffic import traffic

_logger = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS: Final = 60.0
LARGEST_BODY_BYTES: Final = 64 * 1024 * 1024
AT_ONCE: Final = 16

_REDIRECTION, _TIMEOUT, _TOO_EARLY, _TOO_MANY, _SERVER_ERROR = 300, 408, 425, 429, 500
_FIRST_ERROR: Final = 400


class UnexpectedError(FinLakeError):
    """A fault of fin_lake whose traceback held a secret: its redacted text stands here instead."""


class SourceClient:
    """Sends requests to one source.

    Use it as an async context manager, in one event loop.

    Parameters
    ----------
    name : str
        The source.
    limits : Limits
        Its address and pace.
    redact : Redactor
        Removes the secrets from what is shown.
    log : callable
        Gets a line per answered request and per pause.
    timeout_seconds : float
        For a whole exchange, from connecting to the last byte.
    attempts : int
        How often a request is sent at most. Only time-outs, broken connections, 408, 425, 429,
        messages that mean 429, and 5xx are sent again, after 1, 2, 4 … seconds and a jitter, or
        after what ``Retry-After`` says.
    quota : DailyQuota, optional
        Counts the day's requests; ``None`` for no limit.
    broken_after : int, optional
        So many attempts in a row that the source did not answer open the circuit: others fail at
        once. By default more than a single request can make.
    broken_seconds : float
        How long the circuit stays open before a request is tried again.

    Raises
    ------
    SettingsError
        The base URL is none.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        *,
        redact: Redactor,
        log: Callable[[str], None] = lambda _line: None,
        timeout_seconds: float = 20,
        attempts: int = 4,
        quota: DailyQuota | None = None,
        broken_after: int | None = None,
        broken_seconds: float = 30,
    ) -> None:
        self.name = name
        self.requests_sent = 0
        self._limits = limits
        self._base_url = _base_url(limits)
        self._redact = redact
        self._log = log
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._retry = stamina.AsyncRetryingCaller(
            attempts=attempts, timeout=None, wait_initial=1.0, wait_max=30.0, wait_jitter=1.0
        )
        self._quota = quota
        self._circuits = AsyncCircuitBreakerFactory(
            default_threshold=broken_after or 2 * attempts + 1,
            default_ttl=broken_seconds,
            # an answer that refuses is an answer
            exclude=[
                (SourceFailure, lambda failure: not isinstance(failure, Unavailable)),
                asyncio.CancelledError,
            ],
        )
        self._limiter = AsyncLimiter(1, 60 / limits.per_minute)  # burst 1: evenly spaced
        self._turn = asyncio.Lock()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._paused_until = 0.0
        self._refusal: SourceFailure | None = None
        self._last_silence = ""

    def __repr__(self) -> str:
        return f"<SourceClient {self.name}, {self._limits.per_minute:g} requests per minute>"

    async def __aenter__(self) -> Self:
        # Its own choice, structlog where that is installed, prints among what a command prints.
        stamina.instrumentation.set_on_retry_hooks((_log_retry,))
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=AT_ONCE),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "fin_lake", "Accept": "application/json"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        if self._quota is not None:
            await asyncio.to_thread(self._quota.close)

    async def get(self, request: Request) -> pl.DataFrame:
        """Send a request, again if that may help, and return what its reader made of the answer.

        Raises
        ------
        SourceFailure
            Why there is no answer, or what it says instead of bars.
        """
        try:
            return await self._retry(_pause_before_retry, self._attempt, request)
        except SourceFailure:
            raise
        except Exception as bug:
            shown = "".join(traceback.format_exception(bug))
            if (redacted := self._redact(shown)) == shown:
                raise
        raise UnexpectedError(redacted)

    async def _attempt(self, request: Request) -> pl.DataFrame:
        async with self._places:
            circuit = await self._circuits.get_breaker(self.name)
            # The turn makes the others wait here and not in the limiter, so that a refusal of the
            # whole source reaches all of them at once, not one by one at its pace.
            async with self._turn:
                await self._wait_for_turn(request, circuit.context)
            with contextlib.suppress(OpenedState):
                async with circuit:
                    return await self._exchange(request)
        raise self._circuit_is_open(request)

    async def _wait_for_turn(self, request: Request, circuit: CircuitContext) -> None:
        while True:
            if self._refusal is not None:
                known = self._refusal
                raise request.question.failure(
                    type(known), known.reason, known.remedy, retry_after=known.retry_after
                )
            try:
                circuit.handle_new_request()
            except OpenedState:
                raise self._circuit_is_open(request) from None
            await self._limiter.acquire()
            if (remaining := self._paused_until - time.monotonic()) <= 0:
                break
            await asyncio.sleep(remaining)
        if self._quota is not None:
            try:
                await self._quota.take(request.question)
            except SourceFailure as failure:
                self._remember(failure)
                raise

    def _circuit_is_open(self, request: Request) -> NotAsked:
        return request.question.failure(
            NotAsked,
            f"not asked, since the source failed several times in a row, lastly: {self._last_silence}",
            f"try again later; if it goes on, check {self._limits.base_url_setting} and the network",
        )

    def _remember(self, failure: SourceFailure) -> None:
        """Keep what concerns the other requests too: a refusal of them all, or a wish for a pause."""
        if isinstance(failure, Unavailable):
            self._last_silence = failure.reason
        pause = failure.retry_after or 0.0
        if failure.whole_source or pause > LONGEST_PAUSE_SECONDS:
            self._refusal = failure
        elif pause and time.monotonic() + pause > self._paused_until:
            self._paused_until = time.monotonic() + pause
            self._log(f"{self.name}: pausing for {pause:.1f} s, as the source asks")

    async def _exchange(self, request: Request) -> pl.DataFrame:
        started = time.monotonic()
        self.requests_sent += 1
        retry_after: float | None = None
        try:
            answer = await self._send(request)
            retry_after = answer.retry_after
            records = request.read(answer)
        except SourceFailure as failure:
            if failure.heals and failure.retry_after is None:
                failure.retry_after = retry_after  # of a message that came with status 200
            self._remember(failure)
            raise
        self._log(
            f"{self.name} {request.question.symbol} {request.label}: {records.height} bars "
            f"in {time.monotonic() - started:.2f} s"
        )
        return records

    async def _send(self, request: Request) -> Answer:
        question = request.question
        url = yarl.URL(self._base_url + request.path, encoded=True).with_query(dict(request.params))
        try:
            # A redirect is not followed: it would carry the key in the query to another host.
            async with self._session.get(url, headers=request.headers, allow_redirects=False) as response:
                status, headers, content_type = response.status, response.headers, response.content_type
                body = await _read(response)
        except TimeoutError:
            problem = f"no answer within {self._timeout.total:g} s"
        except (aiohttp.ClientError, OSError) as error:
            problem = f"no answer ({type(error).__name__})"
        else:
            if body is None:
                raise question.failure(
                    SchemaMismatch, f"the answer is larger than {LARGEST_BODY_BYTES:,} bytes"
                )
            pause = _retry_after(headers.get("Retry-After"))
            answer = Answer(status, body, content_type, dt.datetime.now(dt.UTC), pause)
            self._raise_for_status(question, answer, headers.get("Location", ""))
            return answer
        # Raised here, outside the handlers, so that aiohttp's exception does not hang on to it.
        raise question.failure(Unavailable, problem, f"check {self._limits.base_url_setting} and the network")

    def _raise_for_status(self, question: Question, answer: Answer, location: str) -> None:
        """Raise for the statuses that mean the same at every source."""
        status = answer.status
        if _REDIRECTION <= status < _FIRST_ERROR:
            raise question.failure(
                SchemaMismatch,
                f"redirects to {question.excerpt(location)} (status {status}), which is not followed",
                f"correct {self._limits.base_url_setting}",
            )
        if status not in (_TIMEOUT, _TOO_EARLY, _TOO_MANY) and status < _SERVER_ERROR:
            return
        pause = answer.retry_after
        reason: type[SourceFailure] = Pacing if status == _TOO_MANY else Unavailable
        what = f"answered with status {status}: {question.excerpt(answer.body)}"
        remedy = "lower its …_REQUESTS_PER_MINUTE" if reason is Pacing else "try again later"
        if pause is not None and pause > LONGEST_PAUSE_SECONDS:
            what += (
                f"; it asks to wait {pause:.0f} s, longer than the {LONGEST_PAUSE_SECONDS:.0f} s that we do"
            )
            remedy = f"try again in {pause / 60:.0f} minutes"
        raise question.failure(reason, what, remedy, retry_after=pause)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the decompressed body, or None if it is too large."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > LARGEST_BODY_BYTES:
                return None
        return bytes(body)
    finally:
        traffic().fetched(response.content.total_raw_bytes)


def _retry_after(header: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` (RFC 9110: seconds, or a date)."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        seconds = (moment - dt.datetime.now(dt.UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _log_retry(details: RetryDetails) -> None:
    _logger.info("asking again in %.1f s, after %s", details.wait_for, details.caused_by)


def _pause_before_retry(error: Exception) -> bool | float:
    """Say whether to send a request again: no, yes after the usual wait, or yes after so many seconds."""
    if not isinstance(error, SourceFailure) or isinstance(error, NotAsked) or not error.heals:
        return False
    if error.retry_after is None:
        return True
    return error.retry_after if error.retry_after <= LONGEST_PAUSE_SECONDS else False


def _base_url(limits: Limits) -> str:
    try:
        url = yarl.URL(limits.base_url)
        usable = url.scheme in ("http", "https") and bool(url.host) and not url.query_string
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(
            f"{limits.base_url_setting} is not an http(s) address", "write it like https://api.example.com"
        )
    return limits.base_url.rstrip("/")
