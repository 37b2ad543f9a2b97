"""From an API's JSON to raw records: reading strictly, keeping number text, filling the columns.

What every parser needs and no API owns. Numbers are kept twice: parsed in the price columns, and
as the text that was sent in ``payload``, so that no rounding of ours stands between raw and source.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
import polars as pl

from fin_lake.schema import AssetClass
from fin_lake.sources.asking import Answer, Question
from fin_lake.sources.failures import SchemaMismatch
from fin_lake.tables import INTERVAL_MINUTES, RAW, RAW_SCHEMA_VERSION

T = TypeVar("T")

INTERVALS: Final[Mapping[str, dt.timedelta]] = {
    name: dt.timedelta(minutes=minutes) for name, minutes in INTERVAL_MINUTES.items()
}
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_TIMESTAMP: Final = pl.Datetime("us", "UTC")
# Without the bounds an absurd number would overflow a timestamp, and land in some other hour.
UnixSeconds = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800)]
UnixMilliseconds = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]
PRICES: Final = ("open", "high", "low", "close")


def decode(body: bytes, decoder: msgspec.json.Decoder[T], question: Question) -> T:
    """Decode an answer.

    Raises
    ------
    SchemaMismatch
        It is not JSON, or not of the decoder's type. The message says where and shows its start.
    """
    problem = ""
    try:
        body.decode()  # msgspec does not look into what it hands out raw
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = f"the answer has another shape than documented: {error}"
    except UnicodeDecodeError as error:
        problem = f"the answer is not UTF-8 (byte {error.start})"
    except (msgspec.DecodeError, RecursionError) as error:
        kind = "HTML" if body.lstrip()[:1] == b"<" else "not JSON"
        problem = f"the answer is {kind} ({error})"
    # Raised here and not above, so that no exception that quotes the answer hangs on to it.
    raise question.failure(
        SchemaMismatch,
        f"{problem}; it begins {question.excerpt(body)}",
        "if it happens again, the API has changed or the base URL is wrong",
    )


def texts(tokens: Iterable[msgspec.Raw]) -> list[str]:
    """Return JSON tokens as they were written."""
    return [str(token, "utf-8") for token in tokens]


def number(column: str) -> pl.Expr:
    """Read a column of JSON tokens as numbers; quotes are ignored, what is no finite number is null."""
    parsed = pl.col(column).str.strip_chars('"').cast(pl.Float64, strict=False)
    return pl.when(parsed.is_finite()).then(parsed).alias(column)


def moments(stamps: Sequence[int], unit: Literal["s", "ms"] = "s") -> pl.Series:
    """Return Unix times in seconds or milliseconds as UTC timestamps."""
    scale = 1_000_000 if unit == "s" else 1_000
    return (pl.Series(stamps, dtype=pl.Int64) * scale).cast(_TIMESTAMP)


def raw_records(
    question: Question,
    answer: Answer,
    asset_class: AssetClass,
    columns: Mapping[str, Any],
    *,
    interval: str | None,
    kind: str = "bar",
    sampled: bool = False,
    closed_at: dt.datetime | None = None,
) -> pl.DataFrame:
    """Return raw records of the question's hours.

    Parameters
    ----------
    question, answer : Question, Answer
        What was asked, and when the answer came.
    asset_class : {"stocks", "crypto"}
        Which raw table the records are for.
    columns : mapping of str to Series or list of str
        The record's own columns, ``timestamp`` among them, numbers as JSON tokens or as numbers.
        Those left out are null, but a bar's ``split_factor``, which is 1.
    interval : str or None
        The bars' length, a key of ``INTERVALS``; ``None`` for events, which are always finished.
    kind : {"bar", "split", "dividend"}
        What the records are.
    sampled : bool
        Whether the prices are samples.
    closed_at : datetime, optional
        When the exchange closed (UTC): a bar that would reach beyond has ended then.

    Returns
    -------
    polars.DataFrame
        In the raw table's schema, by ``timestamp``, equal ones in the order given.
    """
    length = INTERVALS[interval] if interval else dt.timedelta()
    started_by = question.clock - length
    if closed_at is not None and closed_at <= question.clock:
        started_by = max(started_by, closed_at)
    constants = {
        "kind": kind,
        "symbol": question.symbol,
        "interval": interval,
        "source": question.source,
        "fetched_at": (answer.fetched_at - _EPOCH) // _MICROSECOND,
        "sampled": sampled,
        "split_factor": 1.0 if kind == "bar" else None,
        "schema_version": RAW_SCHEMA_VERSION,
    }
    frame = pl.DataFrame(columns)
    start = pl.col("timestamp")
    wanted = []
    for name, type_ in RAW[asset_class].polars_schema().items():
        if name == "finished":
            wanted.append((start <= _literal(started_by)).alias(name))
        elif name not in columns:
            wanted.append(pl.lit(constants.get(name), dtype=type_).alias(name))
        elif type_ == pl.Float64 and frame.schema[name] == pl.String:
            wanted.append(number(name))
        else:
            wanted.append(pl.col(name).cast(type_))
    in_hours = (start >= _literal(question.hours.start)) & (start < _literal(question.hours.end))
    return frame.filter(in_hours).select(wanted).sort("timestamp", maintain_order=True)


def _literal(moment: dt.datetime) -> pl.Expr:
    """Return a UTC timestamp. ``pl.lit`` of a datetime takes 0.1 ms, of an integer 0.007."""
    return pl.lit((moment - _EPOCH) // _MICROSECOND).cast(_TIMESTAMP)
