"""From raw splits and dividends to corporate actions: one per symbol, ex-date and kind.

What an action does to prices is not for here: adjusted prices are computed where they are asked for.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fin_lake.partitions import HourRange, floor_hour, stock_sessions
from fin_lake.tables import CORPORATE_ACTIONS, QUARANTINE, SYMBOL_PATTERN
from fin_lake.transforms.clean import EVENT_KINDS, rank_of_source

_EVENT: Final = ("source", "symbol", "timestamp", "kind")
_TIME: Final = pl.Datetime("us", "UTC")


def corporate_actions(raw: pl.DataFrame, hours: HourRange) -> pl.DataFrame:
    """Return the sound splits and dividends of raw records.

    Of several attempts of a source at an event the latest sound one counts, of several sources that
    tell of it the preferred one. A source that no longer tells of an event does not take it away.

    Parameters
    ----------
    raw : polars.DataFrame
        Every attempt's stock records, in the schema of ``lake.raw.raw_schema``.
    hours : HourRange
        The hours that the records belong to by their objects' prefixes.

    Returns
    -------
    polars.DataFrame
        In the schema of ``CORPORATE_ACTIONS``, by symbol, timestamp and kind. An event within the
        hour in which trading starts is stamped with that start (UTC). Amounts are cash per share as
        traded on the ex-date: what the source divided by later splits is multiplied back.
    """
    sound = _judged(raw, hours).filter(pl.col("rule").is_null())
    factor = pl.col("split_factor").fill_null(1.0)
    return (
        sound.with_columns(
            pl.when(factor == 1.0).then(pl.col("amount")).otherwise((pl.col("amount") * factor).round(6)),
            rank=rank_of_source(),
        )
        .unique(_EVENT, keep="last", maintain_order=True)
        .sort("rank", "source", maintain_order=True)
        .unique(CORPORATE_ACTIONS.key, keep="first", maintain_order=True)
        .select(pl.col(name).cast(kind) for name, kind in CORPORATE_ACTIONS.polars_schema().items())
        .sort(CORPORATE_ACTIONS.key)
    )


def broken_actions(raw: pl.DataFrame, hours: HourRange) -> pl.DataFrame:
    """Return the splits and dividends that break a rule, in the schema of the quarantine of stocks.

    A record that a later one of the same source, symbol, time and kind has replaced is not among them.
    """
    judged = _judged(raw, hours)
    nameless = pl.any_horizontal(pl.col(_EVENT).is_null())
    is_latest = pl.int_range(pl.len()).reverse().over(_EVENT) == 0
    return judged.filter(pl.col("rule").is_not_null() & (nameless | is_latest)).select(
        QUARANTINE["stocks"].column_names
    )


def _judged(raw: pl.DataFrame, hours: HourRange) -> pl.DataFrame:
    """Return the events in the order of their attempts, with what they say and the rule they break."""
    is_split = pl.col("kind") == "split"
    rules = _rules()
    return (
        raw.filter(pl.col("kind").is_in(EVENT_KINDS))
        .sort("fetched_at", "raw_key", "raw_line", nulls_last=False)
        .with_columns(
            _start_of_trading(hours),
            ratio=pl.when(is_split).then(_said("numerator") / _said("denominator")),
            amount=pl.when(~is_split).then(_said("amount")),
        )
        .with_columns(
            rule=pl.coalesce(pl.when(broken).then(pl.lit(rule)) for rule, broken, _ in rules),
            detail=pl.coalesce(pl.when(broken).then(detail) for _, broken, detail in rules),
        )
    )


def _start_of_trading(hours: HourRange) -> pl.Expr:
    """Return the time of an event; one within the hour in which trading starts is stamped with that start."""
    openings = {floor_hour(opens): opens for opens, _ in stock_sessions(hours)}
    time = pl.col("timestamp")
    if not openings:
        return time
    return (
        time.dt.truncate("1h").replace_strict(openings, default=time, return_dtype=_TIME).alias("timestamp")
    )


def _said(field: str) -> pl.Expr:
    """Return a number of the payload; null where there is none."""
    return pl.col("payload").str.json_path_match(f"$.{field}").cast(pl.Float64, strict=False)


def _rules() -> list[tuple[str, pl.Expr, pl.Expr]]:
    """Return name, condition and words of every rule; the first that is broken counts."""
    said = pl.coalesce("ratio", "amount")
    factor = pl.col("split_factor")
    return [
        (
            "missing_field",
            pl.any_horizontal(pl.col("symbol", "timestamp", "source").is_null()),
            pl.lit("no usable symbol, timestamp or source"),
        ),
        (
            "bad_symbol",
            ~pl.col("symbol").str.contains(f"^{SYMBOL_PATTERN}$"),
            pl.format("{} is not a symbol", pl.col("symbol")),
        ),
        (
            "outside_hour",
            pl.col("timestamp").dt.truncate("1h") != pl.col("raw_hour"),
            pl.format("event of {} in an object of another hour", pl.col("timestamp")),
        ),
        (
            "bad_action",
            said.is_null() | ~said.is_finite() | (said <= 0),
            pl.format("{} of {}", pl.col("kind"), said.cast(pl.String).fill_null("no number")),
        ),
        (
            "bad_split_factor",
            (factor <= 0) | ~factor.is_finite(),
            pl.format("split factor {}", factor),
        ),
    ]
