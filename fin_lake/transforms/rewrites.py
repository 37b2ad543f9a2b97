"""What later attempts of a source changed about bars that it had sent: revisions and rewritten history.

After a split a source may divide all its older prices by the ratio, and not say so. Such an attempt
brings no new prices: taken for a revision, it would put two bases of price into one series.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import polars as pl

PRICES: Final = ("open_price", "high_price", "low_price", "close_price")
BAR: Final = ("source", "symbol", "interval", "timestamp")
_WHOLE: Final = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50)
_BROKEN: Final = (Fraction(3, 2), Fraction(4, 3), Fraction(5, 4), Fraction(5, 2))
SPLIT_RATIOS: Final = tuple(float(one) for n in (*map(Fraction, _WHOLE), *_BROKEN) for one in (n, 1 / n))
"""New shares for each old one, of splits and of reverse splits."""
PRICE_TOLERANCE: Final = 1e-3
VOLUME_TOLERANCE: Final = 1e-2
_HALF_A_SHARE: Final = 0.5  # what rounding to whole shares moves a volume
_ROUNDING: Final = 1e-6  # of prices that were divided by the source and are multiplied back


def rewritten_bars(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the versions of bars by which a source has rewritten its history.

    An attempt has rewritten a symbol's history if each of its bars has the prices that the version
    before it had, or these divided by one split ratio that is common to all such bars, and volumes
    multiplied by it; of a range of hours that holds the ex-date, the bars after it are unchanged. One
    bar that moved otherwise, and the attempt is taken at its word.

    Parameters
    ----------
    versions : polars.DataFrame
        The last sound record of each attempt at each bar, prices and volumes as traded, in the order
        of the attempts: ``BAR``, ``raw_key``, ``PRICES`` and ``volume``.

    Returns
    -------
    polars.DataFrame
        ``BAR`` and ``raw_key`` of the versions whose prices are on another basis than the first ones.
    """
    before = [pl.col(name).shift(1).over(BAR).alias(f"{name}_before") for name in (*PRICES, "volume")]
    steps = versions.with_columns(before).filter(pl.col("close_price_before").is_not_null())
    attempt = ("source", "symbol", pl.col("raw_key").str.extract("([^/]*)$").alias("_attempt"))
    ratio, splits = pl.col("_ratio"), pl.col("_ratio").filter(pl.col("_ratio") != 1)
    is_rewrite = ratio.is_not_null().all().over(attempt) & (splits.n_unique() == 1).over(attempt)
    return (
        steps.with_columns(_ratio=_common_ratio())
        .with_columns(_taken=pl.when(is_rewrite | (ratio == 1)).then(ratio))
        .with_columns(_series=pl.col("_taken").is_null().cum_sum().over(BAR))
        .with_columns(_basis=pl.col("_taken").fill_null(1.0).cum_prod().over(*BAR, "_series"))
        .filter((pl.col("_basis") - 1).abs() > PRICE_TOLERANCE)
        .select(*BAR, "raw_key")
    )


def revised_bars(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the bars, by ``BAR``, of which a version has other prices or another volume than the one before.

    ``versions`` are as for :func:`rewritten_bars`, without those by which history was rewritten.
    """
    before = {name: pl.col(name).shift(1).over(BAR) for name in (*PRICES, "volume")}
    is_later = before["close_price"].is_not_null()
    prices = [(pl.col(name) - before[name]).abs() > _ROUNDING * before[name] for name in PRICES]
    volume = pl.col("volume")
    moved = ((volume - before["volume"]).abs() > _HALF_A_SHARE).fill_null(value=False)
    lost_or_found = volume.is_null() != before["volume"].is_null()
    return versions.filter(is_later & pl.any_horizontal(*prices, moved, lost_or_found)).select(BAR).unique()


def _common_ratio() -> pl.Expr:
    """Return by which split ratio all prices of a step were divided; 1 for none, null for no such ratio."""
    volume, volume_before = pl.col("volume"), pl.col("volume_before")
    found = []
    for ratio in (1.0, *SPLIT_RATIOS):
        matches = [
            (pl.col(name) * ratio - pl.col(f"{name}_before")).abs()
            <= PRICE_TOLERANCE * pl.col(f"{name}_before")
            for name in PRICES
        ]
        if ratio != 1:
            expected = volume_before * ratio
            moved = (volume - expected).abs() <= VOLUME_TOLERANCE * expected + _HALF_A_SHARE
            matches.append(moved.fill_null(value=True))
        found.append(pl.when(pl.all_horizontal(matches)).then(pl.lit(ratio)))
    return pl.coalesce(found)
