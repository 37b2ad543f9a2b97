"""What becomes of the raw hours of an asset class, judged before anything of it is stored.

One function for whoever cleans: a run's own process, or a task of Spark's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from fin_lake.checks import laws
from fin_lake.partitions import HourRange
from fin_lake.schema import AssetClass, Table
from fin_lake.tables import CORPORATE_ACTIONS, PROCESSED, QUARANTINE
from fin_lake.transforms.actions import broken_actions, corporate_actions
from fin_lake.transforms.clean import COUNTS, CROSS_SOURCE_TOLERANCE, clean

CHECKS: Final = ("conservation", "ohlc_laws", "duplicates", "completeness", "cross_source")


@dataclass(frozen=True, slots=True)
class Processed:
    """Frames, books and findings of a range of hours.

    Parameters
    ----------
    frames : mapping of str to polars.DataFrame
        What is to be stored: ``bars``, ``quarantined``, and of stocks ``actions``.
    counts : polars.DataFrame
        As :class:`fin_lake.transforms.clean.Cleaned` has them.
    broken_actions : mapping of datetime to int
        How many splits and dividends of an hour were quarantined.
    findings : mapping of str to Finding
        By the name of the check, in the order of ``CHECKS``.
    """

    frames: Mapping[str, pl.DataFrame]
    counts: pl.DataFrame
    broken_actions: Mapping[dt.datetime, int]
    findings: Mapping[str, laws.Finding]


def tables_of(asset_class: AssetClass) -> dict[str, Table]:
    """Return the table of each of the frames."""
    actions = {"actions": CORPORATE_ACTIONS} if asset_class == "stocks" else {}
    return {"bars": PROCESSED[asset_class], "quarantined": QUARANTINE[asset_class], **actions}


def process(
    raw: pl.DataFrame, asset_class: AssetClass, hours: HourRange, symbols: Collection[str]
) -> Processed:
    """Clean the raw records of a range of hours, and look whether the laws hold.

    Parameters
    ----------
    raw : polars.DataFrame
        Every attempt's records of these hours, in the schema of ``lake.raw.raw_schema``.
    symbols : collection of str
        Which should be there.
    """
    cleaned = clean(raw, asset_class, hours)
    frames = {"bars": cleaned.bars, "quarantined": cleaned.quarantined}
    broken: dict[dt.datetime, int] = {}
    if asset_class == "stocks":
        unsound = broken_actions(raw, hours)
        broken = dict(unsound.group_by("raw_hour").len().iter_rows())
        frames["quarantined"] = pl.concat([cleaned.quarantined, unsound])
        frames["actions"] = corporate_actions(raw, hours)
    findings = findings_of_counts(cleaned.counts) | {
        "ohlc_laws": laws.ohlc_laws(cleaned.bars),
        "duplicates": laws.duplicates(cleaned.bars, PROCESSED[asset_class].key),
        "completeness": laws.completeness(cleaned.bars, asset_class, hours, symbols),
    }
    return Processed(frames, cleaned.counts, broken, in_order(findings))


def findings_of_counts(counts: pl.DataFrame) -> dict[str, laws.Finding]:
    """Return what the laws of the books say of the counts of hours."""
    return {
        "conservation": laws.conservation(counts, COUNTS),
        "cross_source": laws.cross_source(counts, CROSS_SOURCE_TOLERANCE),
    }


def in_order(findings: Mapping[str, laws.Finding]) -> dict[str, laws.Finding]:
    """Return the findings in the order of ``CHECKS``."""
    return {name: findings[name] for name in CHECKS}
