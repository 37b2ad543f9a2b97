"""Why a source did not give what it was asked for: one class per reason.

Here belong the reasons; which answer means which reason is the business of the source's module.
"""

from __future__ import annotations

from typing import ClassVar

from fin_lake.errors import FinLakeError


class SourceFailure(FinLakeError):  # noqa: N818 - a reason, as most of its subclasses are named
    """A request that brought no bars.

    Parameters
    ----------
    source : str
        The API: ``alpha_vantage``, ``yahoo``, ``coingecko``.
    symbol : str
        The symbol that was asked for.
    window : str
        The hours that were asked for (UTC).
    what : str
        What was wrong. The error's ``what`` is this text behind source, symbol and window.
    remedy : str, optional
        What to do next.
    retry_after : float, optional
        Seconds after which asking again makes sense; ``None`` where the source did not say.

    Attributes
    ----------
    whole_source : bool
        Whether every other symbol of this source would fail in the same way.
    """

    whole_source: ClassVar[bool] = False

    def __init__(
        self,
        source: str,
        symbol: str,
        window: str,
        what: str,
        remedy: str = "",
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{source} {symbol} {window}: {what}", remedy)
        self.source = source
        self.symbol = symbol
        self.window = window
        self.reason = what
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is pickled by its args, which are the joined message; this one takes more.
        arguments = (self.source, self.symbol, self.window, self.reason, self.remedy)
        return type(self), arguments, {"retry_after": self.retry_after}


class Pacing(SourceFailure):
    """Requests came faster than the source allows."""

    heals = True


class QuotaExhausted(SourceFailure):
    """The day's requests are used up; ``retry_after`` says when one is free again, if that is known."""

    whole_source = True


class PremiumRequired(SourceFailure):
    """The plan does not include what was asked for."""

    whole_source = True


class Unauthorized(SourceFailure):
    """The key is missing or not accepted."""

    whole_source = True


class NotFound(SourceFailure):
    """The source does not know the symbol, or it is no symbol at all."""


class NoData(SourceFailure):
    """The source answered that it has nothing for the hours: an answer, not a fault."""


class OutOfReach(SourceFailure):
    """The hours are older than the source gives."""


class SchemaMismatch(SourceFailure):
    """The answer cannot be read: truncated, HTML, or of another shape than documented."""


class Unavailable(SourceFailure):
    """The source did not answer: a time-out, a broken connection, a server error."""

    heals = True


class NotAsked(Unavailable):
    """The request was not sent: the circuit is open, or the store of the daily quota is down."""
