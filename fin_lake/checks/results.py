"""Findings as Dagster's asset checks."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import dagster as dg

from fin_lake.checks.laws import BLOCKING, WARNING, Finding
from fin_lake.errors import FinLakeError

_SHOWN: Final = 3


class BrokenLawError(FinLakeError):
    """Rows that break a law that nothing may be stored against."""


def spec(
    name: str, asset: dg.AssetKey, partitions: dg.PartitionsDefinition | None = None
) -> dg.AssetCheckSpec:
    """Return the specification of one of the checks above, of an asset."""
    description = BLOCKING.get(name) or WARNING[name]
    return dg.AssetCheckSpec(
        name, asset=asset, description=description, blocking=name in BLOCKING, partitions_def=partitions
    )


def result(name: str, asset: dg.AssetKey, finding: Finding) -> dg.AssetCheckResult:
    """Return what a check says of an asset: numbers, the offending keys, and a sentence of both."""
    metadata: dict[str, Any] = dict(finding.numbers)
    if finding.offending:
        records = [
            dg.TableRecord({key: _plain(value) for key, value in one.items()}) for one in finding.offending
        ]
        metadata["offending_keys"] = dg.MetadataValue.table(records)
    severity = dg.AssetCheckSeverity.ERROR if name in BLOCKING else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=finding.passed,
        asset_key=asset,
        check_name=name,
        metadata=metadata,
        severity=severity,
        description=None if finding.passed else sentence(name, finding),
    )


def sentence(name: str, finding: Finding) -> str:
    """Return what is wrong in one line: how much, and the first keys."""
    numbers = ", ".join(f"{what} {_short(value)}" for what, value in finding.numbers.items())
    keys = "; ".join(" ".join(_short(value) for value in one.values()) for one in finding.offending[:_SHOWN])
    more = " …" if len(finding.offending) > _SHOWN else ""
    return f"{name}: {numbers}" + (f" ({keys}{more})" if keys else "")


def _short(value: object) -> str:
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%dT%H:%MZ}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(value: object) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
