"""Alpha Vantage: intraday stock bars, one request per symbol and month.

Format: "TIME_SERIES_INTRADAY" in the API documentation at alphavantage.co/documentation. Bars are
stamped at their start in the local time that the answer names, newest first, all values as text.
Every error comes with status 200 as ``Information``, ``Note`` or ``Error Message``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from fin_lake.partitions import HourRange, floor_hour, stock_session_hours
from fin_lake.settings import Settings
from fin_lake.sources.asking import Answer, Limits, Question, Request, unexplained
from fin_lake.sources.failures import (
    NoData,
    NotFound,
    Pacing,
    PremiumRequired,
    QuotaExhausted,
    SchemaMismatch,
    SourceFailure,
    Unauthorized,
)
from fin_lake.sources.records import decode, raw_records, texts
from fin_lake.sources.redaction import Redactor
from fin_lake.sources.symbols import check_symbol

NAME: Final = "alpha_vantage"
MONTHS_ARE_COUNTED_IN: Final = ZoneInfo("America/New_York")

_HTTP_OK: Final = 200
_ANSWER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SERIES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_META: Final = msgspec.json.Decoder(dict[str, str])
_MESSAGE: Final = msgspec.json.Decoder(str)
_ENTRY: Final = re.compile(r'"([^"]*)"\s*:\s*(\{[^{}]*\})')
_FIELDS: Final = ("1. open", "2. high", "3. low", "4. close", "5. volume")
_COLUMNS: Final = ("open_price", "high_price", "low_price", "close_price", "volume")

# In this order: the sentence about pace mentions the day's limit and the premium plans too, the
# one about the day's limit the premium plans.
_REASONS: Final[tuple[tuple[re.Pattern[str], type[SourceFailure], str], ...]] = (
    (
        re.compile(r"spreading out|per second|calls? per minute|requests? per minute", re.IGNORECASE),
        Pacing,
        "lower ALPHA_VANTAGE_REQUESTS_PER_MINUTE",
    ),
    (
        re.compile(r"detected your API key|per day|daily", re.IGNORECASE),
        QuotaExhausted,
        "wait until tomorrow, or set ALPHA_VANTAGE_REQUESTS_PER_DAY to what the plan allows",
    ),
    (
        re.compile(r"api ?key\b.*\b(invalid|missing)|demo\W* api ?key", re.IGNORECASE | re.DOTALL),
        Unauthorized,
        "set ALPHA_VANTAGE_API_KEY to a valid key",
    ),
    (
        re.compile(r"premium", re.IGNORECASE),
        PremiumRequired,
        "intraday bars need a premium plan; without one, Yahoo's are used",
    ),
    (
        re.compile(r"invalid api call", re.IGNORECASE),
        NotFound,
        "check the symbol in FIN_LAKE_STOCK_SYMBOLS, and whether it was listed in that month",
    ),
)


class _Bar(
    msgspec.Struct, rename=dict(zip(("open", "high", "low", "close", "volume"), _FIELDS, strict=True))
):
    open: msgspec.Raw = msgspec.Raw(b"null")
    high: msgspec.Raw = msgspec.Raw(b"null")
    low: msgspec.Raw = msgspec.Raw(b"null")
    close: msgspec.Raw = msgspec.Raw(b"null")
    volume: msgspec.Raw = msgspec.Raw(b"null")


_BARS: Final = msgspec.json.Decoder(list[_Bar])


class AlphaVantage:
    """The source ``alpha_vantage``."""

    name = NAME

    def __init__(self, settings: Settings, clock: dt.datetime, redact: Redactor) -> None:
        self.symbols = tuple(dict.fromkeys(settings.stock_symbols))
        self.limits = Limits(
            base_url=settings.alpha_vantage_base_url,
            base_url_setting="ALPHA_VANTAGE_BASE_URL",
            per_minute=settings.alpha_vantage_per_minute,
            per_day=settings.alpha_vantage_per_day,
        )
        secret = settings.alpha_vantage_api_key
        self._key = secret.get_secret_value().strip() if secret else ""
        self._interval = settings.stock_interval
        self._clock = clock
        self._redact = redact

    def requests(self, symbol: str, hours: HourRange) -> Sequence[Request]:
        """Return one request per calendar month in New York that has a session hour.

        Only sessions have bars, and a range of whole UTC days begins in the evening of the month
        before. If no hour lies in a session, they are asked for all the same, as they were told.

        Raises
        ------
        NotFound
            The symbol cannot be one.
        Unauthorized
            No key is set.
        """
        question = Question(NAME, symbol, hours, self._clock, self._redact)
        check_symbol(question)
        if not self._key:
            raise question.failure(
                Unauthorized,
                "no API key is set",
                "set ALPHA_VANTAGE_API_KEY; without it, Yahoo's bars are used",
            )
        parts = list(months(hours))
        in_session = [(month, part) for month, part in parts if stock_session_hours(part)]
        return [self._request(symbol, month, part) for month, part in in_session or parts]

    def _request(self, symbol: str, month: str, hours: HourRange) -> Request:
        question = Question(NAME, symbol, hours, self._clock, self._redact)
        interval = self._interval

        def read(answer: Answer) -> pl.DataFrame:
            return parse_intraday(answer, question, interval)

        params = {
            "function": "TIME_SERIES_INTRADAY",
            "symbol": symbol,
            "interval": interval,
            "adjusted": "false",
            "extended_hours": "false",
            "month": month,
            "outputsize": "full",
            "apikey": self._key,
        }
        return Request(question, month, "/query", params, read)


def months(hours: HourRange) -> Iterator[tuple[str, HourRange]]:
    """Split hours at the starts of New York's calendar months, the months of the API.

    Yields
    ------
    month : str
        As the API names it: ``2023-01``.
    hours : HourRange
        The hours in it.
    """
    start = hours.start
    while start < hours.end:
        local = start.astimezone(MONTHS_ARE_COUNTED_IN)
        following = (local.replace(day=1) + dt.timedelta(days=32)).replace(day=1, hour=0, minute=0)
        end = min(floor_hour(following), hours.end)
        yield f"{local:%Y-%m}", HourRange(start, end)
        start = end


def parse_intraday(answer: Answer, question: Question, interval: str) -> pl.DataFrame:
    """Read an answer of TIME_SERIES_INTRADAY.

    Parameters
    ----------
    answer : Answer
        What came.
    question : Question
        What was asked.
    interval : {"1min", "5min", "15min", "30min", "60min"}
        The length of the bars that were asked for.

    Returns
    -------
    polars.DataFrame
        Raw stock records of the question's hours. A repeated time gives a row each.

    Raises
    ------
    SourceFailure
        The answer holds a message instead of bars, or cannot be read.
    """
    if answer.status != _HTTP_OK:
        raise unexplained(question, answer)
    parts = decode(answer.body, _ANSWER, question)
    series_name = next((name for name in parts if name.startswith("Time Series")), None)
    if series_name is None:
        raise _reason(parts, answer, question)
    if series_name != f"Time Series ({interval})":
        raise question.failure(SchemaMismatch, f"asked for {interval} bars, and got {series_name!r}")
    meta = decode(bytes(parts.get("Meta Data", b"{}")), _META, question)
    entries = _entries(bytes(parts[series_name]), question)
    if not entries:
        raise question.failure(NoData, "the month holds no bar")
    stamps = [stamp for stamp, _ in entries]
    fragments = [fragment for _, fragment in entries]
    bars = decode(f"[{','.join(fragments)}]".encode(), _BARS, question)
    tokens = {
        column: texts(getattr(bar, name) for bar in bars)
        for column, name in zip(_COLUMNS, _Bar.__struct_fields__, strict=True)
    }
    for field, written in zip(_FIELDS, tokens.values(), strict=True):
        if all(token == "null" for token in written):  # noqa: S105 - JSON's null, no password
            raise question.failure(
                SchemaMismatch, f"no bar has a {field!r}: {question.excerpt(fragments[0])}"
            )
    columns = {
        **tokens,
        "timestamp": _utc(stamps, meta.get("6. Time Zone", ""), question),
        "payload": [f'{{"{stamp}": {fragment}}}' for stamp, fragment in entries],
    }
    label = "1h" if interval == "60min" else interval
    return raw_records(question, answer, "stocks", columns, interval=label)


def _entries(series: bytes, question: Question) -> list[tuple[str, str]]:
    """Return times and fragments in the order sent, repeated times included.

    A mapping keeps the last of two equal keys, so braces are counted; where they say that one got
    lost, the text itself is searched. It is well-formed by then, and a bar holds no brace.
    """
    unique = decode(series, _SERIES, question)
    text = series.decode()
    if text.count("{") - 1 == len(unique):
        return list(zip(unique, texts(unique.values()), strict=True))
    found = _ENTRY.findall(text)
    if len(found) != text.count("{") - 1 or len(found) < len(unique):
        raise question.failure(
            SchemaMismatch, f"a bar is no flat object in the series that begins {question.excerpt(text)}"
        )
    return found


def _utc(stamps: list[str], zone: str, question: Question) -> pl.Series:
    """Return local times as UTC.

    A time that occurs twice when clocks go back is the earlier; both nights lie outside the
    sessions that are asked for. One that does not occur at all cannot be placed.
    """
    naive = pl.Series(stamps).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    problem = ""
    try:
        local = naive.dt.replace_time_zone(zone or "US/Eastern", ambiguous="earliest", non_existent="null")
    except pl.exceptions.ComputeError:
        problem = f"the answer names an unknown time zone, {zone!r}"
    else:
        if local.null_count():
            wrong = stamps[local.is_null().arg_true()[0]]
            problem = f"{wrong!r} is no time in {zone}"
    if problem:
        raise question.failure(SchemaMismatch, problem)
    return local.dt.convert_time_zone("UTC")


def _reason(parts: dict[str, msgspec.Raw], answer: Answer, question: Question) -> SourceFailure:
    """Return why there are no bars. The absence of data decides that; wording decides only which."""
    for name in ("Information", "Note", "Error Message"):
        if name not in parts:
            continue
        message = decode(bytes(parts[name]), _MESSAGE, question)
        for pattern, reason, remedy in _REASONS:
            if pattern.search(message):
                return question.failure(reason, f"answered {question.excerpt(message, 200)}", remedy)
    if not parts or "Meta Data" in parts:
        return question.failure(NoData, "the answer holds no series of bars")
    return question.failure(
        SchemaMismatch, f"neither bars nor a known message: {question.excerpt(answer.body, 200)}"
    )
