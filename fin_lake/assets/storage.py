"""The lake itself as an asset: what lies in it, how well it is compressed, and what it costs."""

from typing import Any, Final

import dagster as dg

from fin_lake.errors import FinLakeError
from fin_lake.lake.compression import Compression, compression
from fin_lake.lake.storage_metrics import StorageMetrics, storage_metrics
from fin_lake.lake.store import Lake
from fin_lake.operations.cost import CostError, Estimate, estimate
from fin_lake.operations.measured_run import MeasuredRun, latest_measured_run
from fin_lake.operations.prices import Prices, PricesError, load_prices
from fin_lake.operations.usage import attempts_to_come, monthly_usage
from fin_lake.reports.storage_page import storage_report
from fin_lake.settings import Settings

STORAGE: Final = dg.AssetKey(["operations", "storage"])
PAGE: Final = "analytics/reports/storage/storage.html"
"""Where the page lies in the lake."""


def build_storage_asset(settings: Settings, jobs: int) -> dg.AssetsDefinition:
    """Return the asset whose materialization says what lies in the lake, and that writes the page.

    Where CloudWatch is named in the settings, the numbers are sent there, too.

    Parameters
    ----------
    jobs : int
        How many jobs there are that CloudWatch has metrics of.
    """
    lake = Lake(settings)

    @dg.asset(
        key=STORAGE,
        description="Objects and bytes by layer, dataset, storage class and age; compression; what it costs",
        group_name="operations",
        kinds={"s3", "html"},
        metadata={"dagster/uri": lake.uri(PAGE)},
    )
    def storage(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        stored = storage_metrics(lake)
        ratios = compression(lake, stored.samples)
        run = latest_measured_run(context.instance, settings)
        costs = _costs(settings, stored, ratios, run, jobs)
        metadata = _metadata(stored, ratios, run)
        if isinstance(costs, tuple):
            metadata["dollars_a_month"] = round(costs[0].monthly, 4)
        else:
            context.log.warning("there is no estimate of the cost: %s", costs)
        try:
            page = storage_report(stored, ratios, run, costs).encode()
        except FinLakeError as error:  # what was counted is worth having without the page
            context.log.warning("the page is not written: %s", error)
        else:
            lake.put(PAGE, page, content_type="text/html; charset=utf-8")
            metadata["open"] = dg.MetadataValue.url(lake.link(PAGE))
        if settings.cloudwatch_namespace:
            from fin_lake.notices.cloudwatch import CloudWatch, storage_data  # noqa: PLC0415 - imports botocore

            CloudWatch(settings).put(storage_data(stored, run), f"s3://{lake.bucket}")
        return dg.MaterializeResult(metadata=metadata)

    return storage


def _costs(
    settings: Settings,
    stored: StorageMetrics,
    ratios: dict[str, Compression],
    run: MeasuredRun | None,
    jobs: int,
) -> tuple[Estimate, Prices] | str:
    try:
        prices = load_prices(settings.aws_region)
        usage = monthly_usage(settings, stored, run, prices, jobs=jobs)
        compacted = {name: one.compacted for name, one in ratios.items()}
        made = estimate(
            stored, usage, prices, attempts=attempts_to_come(settings, stored), compacted=compacted
        )
    except (PricesError, CostError) as error:
        return str(error)
    return made, prices


def _metadata(
    stored: StorageMetrics, ratios: dict[str, Compression], run: MeasuredRun | None
) -> dict[str, Any]:
    records = []
    for name, count in stored.by(lambda group: group.dataset).items():
        ratio = ratios.get(name)
        saved = ratio.saved if ratio else None
        records.append(
            dg.TableRecord(
                {
                    "dataset": name,
                    "objects": count.objects,
                    "bytes": count.size,
                    "small_objects": count.small_objects,
                    "saved": "" if saved is None else f"{saved:.0%}",
                }
            )
        )
    total = stored.total
    metadata: dict[str, Any] = {
        "objects": total.objects,
        "bytes": total.size,
        "small_objects": total.small_objects,
        **{f"bytes_{name}": count.size for name, count in stored.by(lambda one: one.layer).items()},
        **{f"bytes_{name}": count.size for name, count in stored.by(lambda one: one.storage_class).items()},
    }
    if records:
        metadata["datasets"] = dg.MetadataValue.table(records)
    if run:
        metadata |= {f"last_run_{name}": count for name, count in run.counts.items()}
    return metadata
