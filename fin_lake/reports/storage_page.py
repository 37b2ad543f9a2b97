"""The storage report's page: what lies in the lake and what it costs, in one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from fin_lake.lake.compression import Compression
from fin_lake.lake.storage_metrics import StorageMetrics
from fin_lake.operations.cost import Estimate
from fin_lake.operations.measured_run import MeasuredRun
from fin_lake.operations.prices import Prices
from fin_lake.reports.page import page_template

TEMPLATE: Final = Path(__file__).with_name("storage_report.html")


def storage_report(
    stored: StorageMetrics,
    ratios: Mapping[str, Compression],
    run: MeasuredRun | None,
    estimate: tuple[Estimate, Prices] | str,
) -> str:
    """Return the page.

    Parameters
    ----------
    estimate : tuple of Estimate and Prices, or str
        What it costs by which prices, or why that is not known.

    Raises
    ------
    FinLakeError
        The extra ``reports`` is not installed.
    """
    template = page_template(TEMPLATE)
    from fin_lake.reports import figures  # noqa: PLC0415 - imports altair, which not everybody has

    specs: dict[str, figures.Spec] = {}
    known = estimate if isinstance(estimate, tuple) else None
    if stored.groups:
        specs["figure-datasets"] = figures.stored_bytes(_bytes(stored))
    if known:
        specs["figure-months"] = figures.storage_costs(_months(known[0]))
    return template.render(
        bucket=stored.bucket,
        at=stored.at,
        source=stored.source,
        hours=stored.hours,
        total=stored.total,
        datasets=[
            {"name": name, "count": count, **_ratio(ratios.get(name))}
            for name, count in stored.by(lambda group: group.dataset).items()
        ],
        cuts=[
            ("layer", stored.by(lambda group: group.layer)),
            ("storage class", stored.by(lambda group: group.storage_class)),
            ("age, days", stored.by(lambda group: group.age)),
        ],
        run=run,
        moved={**run.counts, "athena_bytes_scanned": sum(run.statements)} if run else {},
        estimate=known[0] if known else None,
        prices=known[1] if known else None,
        no_estimate=estimate,
        figure_of_datasets="figure-datasets" if stored.groups else None,
        figure_of_months="figure-months",
        specs=specs,
        bundle=figures.bundle(),
    )


def _ratio(one: Compression | None) -> dict[str, Any]:
    if one is None or not one.rows or one.saved is None:
        return {"a_row": "", "as_json": "", "saved": ""}
    return {
        "a_row": f"{one.stored / one.rows:,.0f}",
        "as_json": f"{one.as_json / one.rows:,.0f}",
        "saved": f"{one.saved:.0%}",
    }


def _bytes(stored: StorageMetrics) -> pl.DataFrame:
    rows = [
        {"dataset": group.dataset, "storage_class": group.storage_class, "bytes": count.size}
        for group, count in stored.groups.items()
    ]
    return pl.DataFrame(rows).group_by("dataset", "storage_class").agg(pl.col("bytes").sum()).sort("dataset")


def _months(estimate: Estimate) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"month": month.number, "policy": policy, "dollars": dollars}
            for month in estimate.months
            for policy, dollars in (
                ("all in Standard", month.without),
                ("lifecycle", month.lifecycle),
                ("Intelligent-Tiering", month.tiering),
            )
        ]
    )
