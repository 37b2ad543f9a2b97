"""From raw records to clean bars: typed, checked, one per key, and every row accounted for.

Each raw bar ends in exactly one place: it is kept, quarantined with the rule that it broke, dropped
as a duplicate within its attempt, superseded by a later attempt at the same bar, left out as history
that the source rewrote after a split, or superseded by the preferred source. :func:`clean` proves it
for every hour before it returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from fin_lake.errors import FinLakeError
from fin_lake.partitions import HourRange, stock_sessions
from fin_lake.schema import AssetClass
from fin_lake.tables import INTERVAL_MINUTES, PROCESSED, QUARANTINE, SYMBOL_PATTERN
from fin_lake.transforms.rewrites import BAR, PRICES, revised_bars, rewritten_bars

SOURCE_PRECEDENCE: Final = ("alpha_vantage", "yahoo", "coingecko")
EVENT_KINDS: Final = ("split", "dividend")
"""The kinds of raw records that are no bars."""
CROSS_SOURCE_TOLERANCE: Final = 10e-4  # 10 basis points

_LONGEST_DETAIL: Final = 200

COUNTS: Final = (
    "raw_rows",
    "processed",
    "quarantined",
    "duplicates",
    "earlier_attempts",
    "rewritten",
    "superseded",
)


class ConservationError(FinLakeError):
    """A raw bar ended nowhere, or in two places: a fault of this module, never of the data."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of raw records.

    Parameters
    ----------
    bars : polars.DataFrame
        In the processed table's schema, sorted by symbol, timestamp and interval.
    quarantined : polars.DataFrame
        In the quarantine table's schema; a row belongs to the hour of its raw object.
    counts : polars.DataFrame
        One row per hour that has raw bars: ``hour``, the columns of ``COUNTS``,
        ``cross_source_differences``, the bars whose sources are over 10 basis points apart, and
        ``revised``, the bars of which a later attempt of the same source has other values.
    """

    bars: pl.DataFrame
    quarantined: pl.DataFrame
    counts: pl.DataFrame


def clean(raw: pl.DataFrame, asset_class: AssetClass, hours: HourRange) -> Cleaned:
    """Clean the raw records of a range of hours.

    Parameters
    ----------
    raw : polars.DataFrame
        Every attempt's records, in the schema of ``lake.raw.raw_schema``.
    asset_class : {'stocks', 'crypto'}
        Whose rules apply.
    hours : HourRange
        The hours that the records belong to by their objects' prefixes.

    Raises
    ------
    ConservationError
        The books do not balance.
    """
    bars = raw.filter(pl.col("kind").is_null() | ~pl.col("kind").is_in(EVENT_KINDS))
    judged = _judge(bars, asset_class, hours)
    placed = _place(judged, asset_class)
    kept = _as_traded(placed.filter(pl.col("fate") == "processed"))
    table = PROCESSED[asset_class]
    cleaned = Cleaned(
        bars=kept.select(_shaped(name, kind) for name, kind in table.polars_schema().items()).sort(
            "symbol", "timestamp", "interval"
        ),
        quarantined=placed.filter(pl.col("fate") == "quarantined").select(
            QUARANTINE[asset_class].column_names
        ),
        counts=_counts(placed),
    )
    _check_conservation(raw, cleaned)
    return cleaned


def _shaped(name: str, kind: pl.DataType) -> pl.Expr:
    if name == "sampled":
        return pl.col(name).fill_null(value=False)
    return pl.col(name).round(0).cast(kind) if isinstance(kind, pl.Int64) else pl.col(name).cast(kind)


def _judge(bars: pl.DataFrame, asset_class: AssetClass, hours: HourRange) -> pl.DataFrame:
    """Add ``minutes`` and, for records that break a rule, ``rule`` and ``detail``."""
    bars = bars.with_columns(
        minutes=pl.col("interval").replace_strict(INTERVAL_MINUTES, default=None, return_dtype=pl.Int64)
    )
    rules = [*_record_rules(), *_time_rules(asset_class, hours), *_value_rules(asset_class)]
    return bars.with_columns(
        rule=pl.coalesce(pl.when(broken).then(pl.lit(rule)) for rule, broken, _ in rules),
        detail=pl.coalesce(pl.when(broken).then(detail) for _, broken, detail in rules).str.slice(
            0, _LONGEST_DETAIL
        ),
    )


_Rule = tuple[str, pl.Expr, pl.Expr]


def _record_rules() -> list[_Rule]:
    required = ("symbol", "timestamp", "interval", "source")
    missing = pl.concat_str(
        [pl.when(pl.col(name).is_null()).then(pl.lit(name)) for name in required],
        separator=", ",
        ignore_nulls=True,
    )
    return [
        ("unreadable", pl.col("problem").is_not_null(), pl.col("problem")),
        (
            "missing_field",
            pl.any_horizontal(pl.col(required).is_null()),
            pl.format("no usable {}", missing),
        ),
        (
            "bad_symbol",
            ~pl.col("symbol").str.contains(f"^{SYMBOL_PATTERN}$"),
            pl.format("{} is not a symbol", pl.col("symbol")),
        ),
        (
            "unknown_interval",
            pl.col("minutes").is_null(),
            pl.format("interval {}", pl.col("interval")),
        ),
    ]


def _time_rules(asset_class: AssetClass, hours: HourRange) -> list[_Rule]:
    start, minutes = pl.col("timestamp"), pl.col("minutes")
    end = start + pl.duration(minutes=minutes)
    # Yahoo's hourly bars start at half past, so an hourly bar need only start on a half hour
    step = pl.min_horizontal(minutes, pl.lit(30)) * 60 * 1_000_000
    rules = [
        (
            "outside_hour",
            start.dt.truncate("1h") != pl.col("raw_hour"),
            pl.format("bar of {} in an object of another hour", start),
        ),
        ("unaligned", start.dt.timestamp("us") % step != 0, pl.format("bar starts at {}", start)),
        (
            "unfinished",
            ~pl.coalesce("finished", end <= pl.col("fetched_at"), pl.lit(True)),
            pl.format("bar ends at {}, fetched at {}", end, pl.col("fetched_at")),
        ),
    ]
    if asset_class == "stocks":
        rules.append(("outside_session", ~_in_session(start, hours), pl.format("no trading at {}", start)))
    return rules


def _in_session(start: pl.Expr, hours: HourRange) -> pl.Expr:
    sessions = [start.is_between(opens, closes, closed="left") for opens, closes in stock_sessions(hours)]
    return pl.any_horizontal(sessions) if sessions else pl.lit(False)


def _value_rules(asset_class: AssetClass) -> list[_Rule]:
    prices = pl.col(PRICES)
    shown = pl.format(
        "open {} high {} low {} close {}",
        *(pl.col(name).cast(pl.String).fill_null("none") for name in PRICES),
    )
    highest = pl.max_horizontal("open_price", "close_price")
    lowest = pl.min_horizontal("open_price", "close_price")
    volume = pl.col("volume")
    rules = [
        ("missing_price", pl.any_horizontal(prices.is_null()), shown),
        ("not_finite", pl.any_horizontal(~prices.is_finite()), shown),
        ("not_positive", pl.any_horizontal(prices <= 0), shown),
        ("high_below_low", pl.col("high_price") < pl.col("low_price"), shown),
        (
            "price_outside_range",
            (pl.col("high_price") < highest) | (pl.col("low_price") > lowest),
            shown,
        ),
        (
            "bad_volume",
            (volume < 0) | ~volume.is_finite(),
            pl.format("volume {}", volume),
        ),
        (
            "bad_split_factor",
            (pl.col("split_factor") <= 0) | ~pl.col("split_factor").is_finite(),
            pl.format("split factor {}", pl.col("split_factor")),
        ),
    ]
    if asset_class == "stocks":
        rules.append(("missing_volume", volume.is_null(), pl.lit("no volume")))
    return rules


def _place(judged: pl.DataFrame, asset_class: AssetClass) -> pl.DataFrame:
    """Add ``fate``, one of ``COUNTS`` but the first, to every record, and whether its bar was ``revised``.

    Of several attempts at a bar the latest sound one counts: an answer in which the source has lost
    a bar that it had sent before must not take it away. Nor does one in which it has rewritten its
    history: the bar stays as it was traded.
    """
    sound = pl.col("rule").is_null()
    nameless = pl.any_horizontal(pl.col(BAR).is_null())  # not a bar of anything; each stands for itself
    ordered = judged.sort("fetched_at", "raw_key", "raw_line", nulls_last=False).with_row_index("_order")
    ordered = _compared(ordered, sound & ~nameless, asset_class)
    same_bar = (*BAR, "raw_hour")  # a stray copy in another hour's object is that hour's affair
    latest_key = pl.col("raw_key").last().over(same_bar)
    eligible = sound & ~pl.col("rewritten")
    chosen = pl.col("_order").filter(eligible).max().over(same_bar)
    chosen_key = pl.col("raw_key").filter(eligible).last().over(same_bar)
    placed = ordered.with_columns(
        fate=pl.when(nameless | (~sound & (pl.col("raw_key") == latest_key)))
        .then(pl.lit("quarantined"))
        .when(~sound)
        .then(pl.lit("earlier_attempts"))
        .when(pl.col("rewritten"))
        .then(pl.lit("rewritten"))
        .when(pl.col("_order") == chosen)
        .then(pl.lit("processed"))
        .when(pl.col("raw_key") == chosen_key)
        .then(pl.lit("duplicates"))
        .otherwise(pl.lit("earlier_attempts"))
    )
    return _prefer(placed)


def _compared(ordered: pl.DataFrame, sound: pl.Expr, asset_class: AssetClass) -> pl.DataFrame:
    """Add ``rewritten`` and ``revised``: what the attempts of a source say of each other."""
    versions = _changing(ordered.filter(sound)).unique((*BAR, "raw_key"), keep="last", maintain_order=True)
    if versions.is_empty():
        return ordered.with_columns(rewritten=pl.lit(False), revised=pl.lit(False))
    versions = _as_traded(versions).select(*BAR, "raw_key", *PRICES, "volume")
    # coins are not split, and their bars have no volume that would tell a split from an error
    rewritten = (rewritten_bars(versions) if asset_class == "stocks" else versions.clear()).select(
        *BAR, "raw_key"
    )
    revised = revised_bars(versions.join(rewritten, on=(*BAR, "raw_key"), how="anti", maintain_order="left"))
    return (
        ordered.join(
            rewritten.with_columns(rewritten=pl.lit(True)),
            on=(*BAR, "raw_key"),
            how="left",
            maintain_order="left",
        )
        .join(revised.with_columns(revised=pl.lit(True)), on=BAR, how="left", maintain_order="left")
        .with_columns(pl.col("rewritten", "revised").fill_null(value=False))
    )


def _changing(ordered: pl.DataFrame) -> pl.DataFrame:
    """Return the records of the bars that were not sent with the same values each time.

    Nearly all bars were: what compares attempts is ten times as dear as all the rest of cleaning.
    """
    by_bar = ordered.sort(BAR, maintain_order=True)
    is_same_bar = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in BAR)
    is_changed = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name).shift(1)) for name in (*PRICES, "volume", "split_factor")
    )
    changed = by_bar.filter(is_same_bar & is_changed).select(BAR)
    return (
        ordered.join(changed, on=BAR, how="semi", maintain_order="left")
        if changed.height
        else ordered.clear()
    )


def rank_of_source() -> pl.Expr:
    """Return the place of the column ``source`` in the order of preference, 0 for the most preferred."""
    return pl.col("source").replace_strict(
        {name: i for i, name in enumerate(SOURCE_PRECEDENCE)},
        default=len(SOURCE_PRECEDENCE),
        return_dtype=pl.Int64,
    )


def _prefer(placed: pl.DataFrame) -> pl.DataFrame:
    """Keep one source and interval per symbol and hour, so that no volume is counted twice.

    Traded bars go before samples, the fuller hour before the emptier, Alpha Vantage before Yahoo.
    """
    candidate = pl.col("fate") == "processed"
    by = ("symbol", "raw_hour", "source", "interval")
    groups = (
        placed.filter(candidate)
        .group_by(by)
        .agg(
            sampled=pl.col("sampled").fill_null(value=False).all(),
            covered=pl.col("minutes").sum(),
            minutes=pl.col("minutes").first(),
        )
        .with_columns(rank=rank_of_source())
        .sort(
            "sampled", "covered", "rank", "source", "minutes", descending=[False, True, False, False, False]
        )
        .unique(("symbol", "raw_hour"), keep="first", maintain_order=True)
        .select(*by, preferred=pl.lit(True))
    )
    return (
        placed.join(groups, on=by, how="left", maintain_order="left")
        .with_columns(
            fate=pl.when(candidate & pl.col("preferred").is_null())
            .then(pl.lit("superseded"))
            .otherwise(pl.col("fate"))
        )
        .drop("preferred")
    )


def _as_traded(bars: pl.DataFrame) -> pl.DataFrame:
    """Return prices and volumes as they were traded.

    Yahoo sends decimals that went through a 32-bit float: 199.37 arrives as 199.3699951171875, and
    the shortest decimal that gives the same 32-bit float is the price again. What a source divided
    by later splits is multiplied back.
    """
    factor = pl.col("split_factor").fill_null(1.0)
    narrow = pl.col(PRICES).cast(pl.Float32)
    went_through_float32 = (pl.col("source") == "yahoo") & (narrow.cast(pl.Float64) == pl.col(PRICES))
    restored = (
        pl.when(went_through_float32).then(narrow.cast(pl.String).cast(pl.Float64)).otherwise(pl.col(PRICES))
    )
    return bars.with_columns(restored).with_columns(
        pl.when(factor != 1.0).then((pl.col(PRICES) * factor).round(6)).otherwise(pl.col(PRICES)),
        volume=pl.col("volume") / factor,
    )


def _counts(placed: pl.DataFrame) -> pl.DataFrame:
    fates = [(pl.col("fate") == name).sum().alias(name).cast(pl.Int64) for name in COUNTS[1:]]
    counts = placed.group_by(hour="raw_hour").agg(pl.len().cast(pl.Int64).alias("raw_rows"), *fates)
    return (
        counts.join(_differences(placed), on="hour", how="left")
        .join(_revised(placed), on="hour", how="left")
        .with_columns(pl.col("cross_source_differences", "revised").fill_null(0))
        .sort("hour")
    )


def _revised(placed: pl.DataFrame) -> pl.DataFrame:
    """Return, per hour, how many bars a source has revised."""
    sound = placed.filter(pl.col("revised") & pl.col("rule").is_null()).select(*BAR, hour="raw_hour")
    return sound.unique().group_by("hour").agg(revised=pl.len().cast(pl.Int64))


def _differences(placed: pl.DataFrame) -> pl.DataFrame:
    """Return, per hour, how many bars have sources whose prices are over the tolerance apart."""
    both = _as_traded(placed.filter(pl.col("fate").is_in(["processed", "superseded"])))
    spread = [(pl.col(name).max() / pl.col(name).min() - 1) > CROSS_SOURCE_TOLERANCE for name in PRICES]
    return (
        both.group_by("symbol", "interval", "timestamp", hour="raw_hour")
        .agg(apart=pl.any_horizontal(spread))
        .group_by("hour")
        .agg(cross_source_differences=pl.col("apart").sum().cast(pl.Int64))
    )


def _check_conservation(raw: pl.DataFrame, cleaned: Cleaned) -> None:
    counts = cleaned.counts
    unbalanced = counts.filter(pl.col("raw_rows") != pl.sum_horizontal(COUNTS[1:]))
    events = raw.filter(pl.col("kind").is_in(EVENT_KINDS)).height
    totals = {name: int(counts[name].sum() or 0) for name in COUNTS}
    balanced = (
        unbalanced.is_empty()
        and totals["raw_rows"] == raw.height - events
        and totals["processed"] == cleaned.bars.height
        and totals["quarantined"] == cleaned.quarantined.height
    )
    if not balanced:
        raise ConservationError(
            f"{raw.height - events} raw bars became {totals}; out of balance: {unbalanced.to_dicts()}",
            "nothing was written; please report this with the raw objects of the hour",
        )
