"""Yahoo Finance: intraday stock bars, splits and dividends, one request per symbol.

Format: the ``v8/finance/chart`` service behind finance.yahoo.com. It has no documentation of its
own; the shape is as the projects yfinance and yahoo-finance2 describe it. Bars are stamped at their
start in Unix seconds; prices and volumes are adjusted for every split up to the end of the request.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
import polars as pl

from fin_lake.partitions import HourRange
from fin_lake.settings import Settings, StockInterval
from fin_lake.sources.asking import Answer, Limits, Question, Request, unexplained
from fin_lake.sources.failures import NoData, NotFound, OutOfReach, SchemaMismatch, SourceFailure
from fin_lake.sources.records import UnixSeconds, decode, moments, raw_records, texts
from fin_lake.sources.redaction import Redactor
from fin_lake.sources.symbols import check_symbol

NAME: Final = "yahoo"
# The service answers 429 to whatever does not look like a browser.
USER_AGENT: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
)
INTERVALS: Final[Mapping[StockInterval, str]] = {
    "1min": "1m",
    "5min": "5m",
    "15min": "15m",
    "30min": "30m",
    "60min": "1h",
}
MINUTES_REACH: Final = dt.timedelta(days=7)  # of 1-minute bars in one request

_HTTP_OK: Final = 200
_FIELDS: Final = ("open", "high", "low", "close", "volume")
_COLUMNS: Final = ("open_price", "high_price", "low_price", "close_price", "volume")


class _Split(msgspec.Struct):
    date: UnixSeconds
    numerator: float
    denominator: float


class _Dividend(msgspec.Struct):
    date: UnixSeconds


class _Events(msgspec.Struct):
    splits: dict[str, msgspec.Raw] = {}
    dividends: dict[str, msgspec.Raw] = {}


class _Quote(msgspec.Struct):
    open: list[msgspec.Raw] | None = None
    high: list[msgspec.Raw] | None = None
    low: list[msgspec.Raw] | None = None
    close: list[msgspec.Raw] | None = None
    volume: list[msgspec.Raw] | None = None


class _Indicators(msgspec.Struct):
    quote: list[_Quote] = []


class _Period(msgspec.Struct):
    end: UnixSeconds


class _Periods(msgspec.Struct):
    regular: _Period | None = None


class _Meta(msgspec.Struct):
    data_granularity: str | None = msgspec.field(default=None, name="dataGranularity")
    current_trading_period: _Periods | None = msgspec.field(default=None, name="currentTradingPeriod")

    @property
    def closes(self) -> dt.datetime | None:
        """When the session closes that is the current one, or was the last (UTC)."""
        regular = self.current_trading_period.regular if self.current_trading_period else None
        return dt.datetime.fromtimestamp(regular.end, dt.UTC) if regular else None


class _Result(msgspec.Struct):
    meta: _Meta
    indicators: _Indicators
    timestamp: list[UnixSeconds] | None = None
    events: _Events | None = None


class _Error(msgspec.Struct):
    code: str | None = ""
    description: str | None = ""


class _Chart(msgspec.Struct):
    result: list[_Result] | None = None
    error: _Error | None = None


class _Answer(msgspec.Struct):
    chart: _Chart


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_SPLIT: Final = msgspec.json.Decoder(_Split)
_DIVIDEND: Final = msgspec.json.Decoder(_Dividend)


class Yahoo:
    """The source ``yahoo``."""

    name = NAME

    def __init__(self, settings: Settings, clock: dt.datetime, redact: Redactor) -> None:
        self.symbols = tuple(dict.fromkeys(settings.stock_symbols))
        self.limits = Limits(
            base_url=settings.yahoo_base_url,
            base_url_setting="YAHOO_BASE_URL",
            per_minute=settings.yahoo_per_minute,
        )
        self._interval = settings.stock_interval
        self._clock = clock
        self._redact = redact

    def requests(self, symbol: str, hours: HourRange) -> Sequence[Request]:
        """Return the one request that reaches from the first hour to the clock.

        It goes on to the clock since prices are divided by every split up to now, and only the
        splits that the answer names can be undone.

        Raises
        ------
        NotFound
            The symbol cannot be one.
        OutOfReach
            1-minute bars that one request cannot bring together with the splits since.
        """
        question = Question(NAME, symbol, hours, self._clock, self._redact)
        check_symbol(question)
        interval = self._interval
        end = max(hours.end, self._clock)
        if interval == "1min" and end - hours.start > MINUTES_REACH:
            raise question.failure(
                OutOfReach,
                "Yahoo gives 1-minute bars of 7 days at once, and older ones without the splits since",
                "set FIN_LAKE_STOCK_INTERVAL=30min for older hours",
            )

        def read(answer: Answer) -> pl.DataFrame:
            return parse_chart(answer, question, interval)

        params = {
            "period1": str(int(hours.start.timestamp())),
            "period2": str(int(end.timestamp())),
            "interval": INTERVALS[interval],
            "includePrePost": "false",
            "events": "div|split",
        }
        path = f"/v8/finance/chart/{quote(symbol, safe='')}"
        return [Request(question, str(hours), path, params, read, {"User-Agent": USER_AGENT})]


def parse_chart(answer: Answer, question: Question, interval: StockInterval) -> pl.DataFrame:
    """Read an answer of ``v8/finance/chart``.

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
        Raw stock records of the question's hours: bars, splits and dividends. ``split_factor`` of a
        bar or dividend is the product of the splits after it: price as traded = price × factor,
        volume as traded = volume / factor.

    Raises
    ------
    SourceFailure
        The answer holds an error, or nothing, or cannot be read.
    """
    if answer.status != _HTTP_OK and not answer.body.lstrip().startswith(b"{"):
        raise unexplained(question, answer)
    chart = decode(answer.body, _ANSWER, question).chart
    if not chart.result:
        raise _reason(chart.error, answer, question)
    result = chart.result[0]
    granularity = result.meta.data_granularity
    if granularity and granularity not in (INTERVALS[interval], "60m" if interval == "60min" else ""):
        raise question.failure(SchemaMismatch, f"asked for {INTERVALS[interval]} bars, got {granularity}")
    events = result.events or _Events()
    if not result.timestamp and not events.splits and not events.dividends:
        raise question.failure(NoData, "nothing was traded in the hours asked for, nor since")
    splits = _splits(events, question)
    label = "1h" if interval == "60min" else interval
    bars = raw_records(
        question,
        answer,
        "stocks",
        _bars(result, splits, question),
        interval=label,
        closed_at=result.meta.closes,  # Yahoo's last hourly bar is half an hour long
    )
    actions = [
        raw_records(question, answer, "stocks", columns, interval=None, kind=kind)
        for kind, columns in _actions(events, splits, question).items()
        if columns["payload"]
    ]
    return pl.concat([bars, *actions]).sort("timestamp", maintain_order=True) if actions else bars


def _bars(result: _Result, splits: list[_Split], question: Question) -> dict[str, Any]:
    stamps = result.timestamp or []
    quotes = result.indicators.quote[0] if result.indicators.quote else _Quote()
    tokens: list[list[str]] = []
    for name in _FIELDS:
        values: list[msgspec.Raw] | None = getattr(quotes, name)
        if len(values or ()) != len(stamps):
            found = "no values" if values is None else f"{len(values)} values"
            raise question.failure(SchemaMismatch, f"{found} of {name!r} for {len(stamps)} timestamps")
        tokens.append(texts(values or ()))
    template = '{{"timestamp":{},' + ",".join(f'"{name}":{{}}' for name in _FIELDS) + "}}"
    return {
        "timestamp": moments(stamps),
        "payload": [template.format(*row) for row in zip(stamps, *tokens, strict=True)],
        "split_factor": _factors(stamps, splits),
        **dict(zip(_COLUMNS, tokens, strict=True)),
    }


def _splits(events: _Events, question: Question) -> list[_Split]:
    splits = [decode(bytes(fragment), _SPLIT, question) for fragment in events.splits.values()]
    for split in splits:
        if not (split.numerator > 0 and split.denominator > 0):
            raise question.failure(SchemaMismatch, f"a split of {split.numerator}:{split.denominator}")
    return sorted(splits, key=lambda split: split.date)


def _factors(times: Sequence[int], splits: list[_Split]) -> list[float]:
    """Return for each time (Unix seconds) the product of the splits after it."""
    products = [1.0]  # from the last split backwards; in the end products[i] is that of splits[i:]
    for split in reversed(splits):
        products.append(products[-1] * split.numerator / split.denominator)
    products.reverse()
    dates = [split.date for split in splits]
    return [products[bisect.bisect_right(dates, time)] for time in times]


def _actions(events: _Events, splits: list[_Split], question: Question) -> dict[str, dict[str, Any]]:
    paid = [decode(bytes(text), _DIVIDEND, question).date for text in events.dividends.values()]
    done = [decode(bytes(text), _SPLIT, question).date for text in events.splits.values()]
    return {
        "dividend": {
            "timestamp": moments(paid),
            "split_factor": _factors(paid, splits),
            "payload": texts(events.dividends.values()),
        },
        "split": {"timestamp": moments(done), "payload": texts(events.splits.values())},
    }


def _reason(error: _Error | None, answer: Answer, question: Question) -> SourceFailure:
    code, description = (error.code or "", error.description or "") if error else ("", "")
    said = f"answered {code}: {question.excerpt(description, 200)}"
    if (
        "only available for" in description
        or "within the last" in description
        or "not available for" in description
    ):
        return question.failure(
            OutOfReach, said, "backfill older hours from Alpha Vantage, or with FIN_LAKE_STOCK_INTERVAL=60min"
        )
    if "Data doesn't exist for startDate" in description:
        return question.failure(NoData, said)
    if code == "Not Found":
        return question.failure(
            NotFound,
            said,
            "check FIN_LAKE_STOCK_SYMBOLS; Yahoo writes share classes with a dash, as in BRK-B",
        )
    if error is None and answer.status == _HTTP_OK:
        return question.failure(SchemaMismatch, f"neither bars nor an error: {question.excerpt(answer.body)}")
    return unexplained(question, answer)
