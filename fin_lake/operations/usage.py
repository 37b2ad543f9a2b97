"""What a month of runs takes, reckoned from the last one: requests, statements, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fin_lake.operations.cost import HOURS_A_MONTH, Usage

if TYPE_CHECKING:
    from fin_lake.lake.storage_metrics import StorageMetrics
    from fin_lake.operations.measured_run import MeasuredRun
    from fin_lake.operations.prices import Prices
    from fin_lake.settings import Settings

_NOTICES_AN_HOUR: Final = 7
"""Runs that CloudWatch is told of: extract, hours, market report, and freshness every quarter."""


def monthly_usage(
    settings: Settings,
    stored: StorageMetrics,
    run: MeasuredRun | None,
    prices: Prices,
    *,
    jobs: int,
    runs: float = HOURS_A_MONTH,
    outside: bool = False,
    given: Mapping[str, float | None] | None = None,
) -> Usage:
    """Return what a month of runs takes: each as the last one, by the hour, but for what is given.

    A scheduled run takes the hour just closed and ``FIN_LAKE_REREAD_HOURS`` before it.

    Parameters
    ----------
    jobs : int
        How many jobs CloudWatch has metrics of.
    given : mapping of {'puts', 'gets', 'lists', 'statements'} to float, optional
        Requests and statements a run, instead of those of ``run``.
    """
    from fin_lake.notices.cloudwatch import alarms, metric_count  # noqa: PLC0415 - imports botocore

    own = given or {}
    hours = 1 + settings.reread_hours
    share = runs * hours / len(run.hours) if run else 0.0
    counts = run.counts if run else {}

    def monthly(name: str, count: str) -> float:
        asked = own.get(name)
        return runs * asked if asked is not None else share * counts.get(count, 0)

    scanned = run.statements if run else ()
    number = own.get("statements")
    if number is not None:
        billed, read, statements = number * float(prices.athena.billed(0)), 0.0, float(number)
    else:
        billed, read = sum(prices.athena.billed(one) for one in scanned), float(sum(scanned))
        statements = float(len(scanned))
    told = bool(settings.cloudwatch_namespace)
    metrics = metric_count(jobs, len(stored.by(lambda one: one.layer)))
    return Usage(
        runs=runs,
        puts=monthly("puts", "s3_puts"),
        gets=monthly("gets", "s3_gets"),
        lists=monthly("lists", "s3_lists"),
        # the models are built once a run, however many hours it is of
        statements=runs * statements,
        athena_billed=runs * billed,
        athena_scanned=runs * read,
        bytes_from_s3=share * counts.get("bytes_got", 0),
        outside=outside,
        metrics=metrics if told else 0,
        alarms=len(alarms(settings.cloudwatch_namespace)) if told else 0,
        cloudwatch_puts=runs * _NOTICES_AN_HOUR if told else 0.0,
    )


def attempts_to_come(settings: Settings, stored: StorageMetrics) -> float:
    """Return how many raw objects an hour will have for each that it has now."""
    raw = [count.objects for name, count in stored.by(lambda one: one.dataset).items() if name[:4] == "raw/"]
    now = max(raw, default=0) / stored.hours if stored.hours else 1.0
    return max(1.0, (1 + settings.reread_hours) / now) if now else 1.0
