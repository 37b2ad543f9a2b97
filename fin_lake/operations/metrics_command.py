"""`fin-lake metrics`: how much lies in the lake, how well it is compressed, what the last run moved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fin_lake.errors import FinLakeError
from fin_lake.operations.printing import progress_bar
from fin_lake.settings import Settings, load_settings

if TYPE_CHECKING:
    from fin_lake.lake.compression import Compression
    from fin_lake.lake.storage_metrics import Count, StorageMetrics
    from fin_lake.operations.measured_run import MeasuredRun

_COLUMNS: Final = ("objects", "bytes", "under 128 KiB")


@click.command()
@click.option(
    "--inventory",
    metavar="s3://…",
    help="Count from the newest S3 Inventory under this place instead of a listing.",
)
@click.option(
    "--compression/--no-compression",
    "measured",
    default=True,
    help="Whether to read a sample of objects and measure how well they are compressed.",
)
@click.option("--publish", is_flag=True, help="Send the numbers to CloudWatch, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def metrics(inventory: str | None, measured: bool, publish: bool, as_json: bool) -> None:  # noqa: FBT001
    """Show objects and bytes by layer, dataset, storage class and age, and how well they are compressed.

    Ages are those of the objects, by S3's clock. For a bucket of many millions of objects configure an S3
    Inventory and name its destination.

    \b
    Examples:
      fin-lake metrics
      fin-lake metrics --json | jq '.groups[] | select(.layer == "raw")'
      fin-lake metrics --inventory s3://my-inventories/lake --publish
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()
    if publish and not settings.cloudwatch_namespace:
        raise FinLakeError(
            "there is no CloudWatch namespace to publish to",
            "set FIN_LAKE_CLOUDWATCH_NAMESPACE, as in FinLake",
        )
    from fin_lake.lake.compression import compression
    from fin_lake.lake.store import Lake

    lake, console = Lake(settings), Console(stderr=as_json)
    counted = count(settings, inventory, console)
    ratios = compression(lake, counted.samples) if measured else {}
    run = measured_run(settings)
    if as_json:
        click.echo(
            json.dumps(
                {
                    **counted.as_json(),
                    "compression": {name: one.as_json_object() for name, one in ratios.items()},
                    "last_run": run.as_json() if run else None,
                },
                indent=2,
            )
        )
    else:
        _show(console, counted, ratios, run)
    if publish:
        from fin_lake.notices.cloudwatch import CloudWatch, storage_data

        data = storage_data(counted, run)
        CloudWatch(settings).put(data, f"s3://{lake.bucket}")
        console.print(f"{len(data)} numbers sent to CloudWatch, namespace {settings.cloudwatch_namespace}")


def count(settings: Settings, inventory: str | None, console: Console) -> StorageMetrics:
    """Count what the lake holds, with a bar that shows how far it is."""
    from fin_lake.lake.inventory import inventory_metrics
    from fin_lake.lake.storage_metrics import storage_metrics
    from fin_lake.lake.store import Lake

    lake = Lake(settings)
    with progress_bar(console) as bar:
        task = bar.add_task("counting objects", total=None)

        def progress(objects: int) -> None:
            bar.update(task, advance=objects)

        if inventory:
            return inventory_metrics(lake, inventory, progress=progress)
        return storage_metrics(lake, progress=progress)


def measured_run(settings: Settings) -> MeasuredRun | None:
    """Return what the last run moved; none where there is no record of runs."""
    if settings.dagster_database_url is None:
        return None
    from fin_lake.operations.instance import open_instance
    from fin_lake.operations.measured_run import latest_measured_run

    with open_instance(settings) as instance:
        return latest_measured_run(instance, settings)


def _show(
    console: Console, counted: StorageMetrics, ratios: Mapping[str, Compression], run: MeasuredRun | None
) -> None:
    console.print(_by_dataset(counted, ratios))
    total = counted.total
    for title, sums in (
        ("layer", counted.by(lambda one: one.layer)),
        ("storage class", counted.by(lambda one: one.storage_class)),
        ("age, days", counted.by(lambda one: one.age)),
    ):
        table = Table(box=SIMPLE_HEAD)
        table.add_column(f"by {title}")
        for name in _COLUMNS:
            table.add_column(name, justify="right")
        for name, one in sums.items():
            table.add_row(name, *_cells(one))
        console.print(table)
    share = total.small_objects / total.objects if total.objects else 0
    console.print(
        f"{total.small_objects:,} of {total.objects:,} objects ({share:.0%}) are under 128 KiB: a lifecycle "
        "leaves those in their class, and Intelligent-Tiering does not move them",
        highlight=False,
    )
    if counted.noncurrent.objects:
        one = counted.noncurrent
        console.print(f"beside them {one.objects:,} replaced versions of {one.size:,} bytes", highlight=False)
    if run:
        moved = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in run.counts.items())
        console.print(
            f"last run, {run.hours} ({len(run.hours)} h): {moved}; Athena scanned {sum(run.statements):,} "
            f"bytes in {len(run.statements)} statements",
            highlight=False,
        )


def _by_dataset(counted: StorageMetrics, ratios: Mapping[str, Compression]) -> Table:
    title = f"s3://{counted.bucket}, {counted.hours:,} hours in raw, by {counted.source}"
    table = Table(title=title, box=SIMPLE_HEAD)
    table.add_column("dataset", overflow="fold")
    for name in ("objects", "bytes", "a row", "as JSON", "saved"):
        table.add_column(name, justify="right")
    for name, one in counted.by(lambda group: group.dataset).items():
        ratio = ratios.get(name)
        shown = ("", "", "")
        if ratio and ratio.rows and ratio.saved is not None:
            shown = (
                f"{ratio.stored / ratio.rows:,.0f}",
                f"{ratio.as_json / ratio.rows:,.0f}",
                f"{ratio.saved:.0%}",
            )
        table.add_row(name, f"{one.objects:,}", f"{one.size:,}", *shown)
    return table


def _cells(one: Count) -> tuple[str, str, str]:
    return f"{one.objects:,}", f"{one.size:,}", f"{one.small_objects:,}"
