"""The processed layer: clean bars, corporate actions and the quarantine, from what raw holds of an hour."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from fin_lake.assets.catalog import entry
from fin_lake.assets.hourly import (
    add_chart,
    add_hour_metadata,
    open_hours,
    partitions_of,
    ranges_of_hours,
    run_hours,
    state_of,
)
from fin_lake.assets.spark import of_hours
from fin_lake.checks.laws import BLOCKING
from fin_lake.checks.processing import CHECKS, Processed, process, tables_of
from fin_lake.checks.results import BrokenLawError, result, sentence, spec
from fin_lake.engines.spark.submit import Spark
from fin_lake.engines.spark.tasks import Reprocessed, reprocessed
from fin_lake.io_managers.hours import Unread
from fin_lake.reports.charts import chart_of_bars
from fin_lake.retries import Retries
from fin_lake.schema import AssetClass, Table
from fin_lake.settings import Settings

_KEYS: Final = {
    "bars": "processed/{}",
    "quarantined": "quarantine/{}",
    "actions": "processed/corporate_actions",
}


def build_processed_assets(asset_class: AssetClass, settings: Settings) -> dg.AssetsDefinition:
    """Return the assets that cleaning makes: bars, quarantined records, and corporate actions of stocks.

    What the settings say is too much for one process is cleaned by Spark, by the same function.
    """
    tables = tables_of(asset_class)
    keys = {name: dg.AssetKey.from_user_string(_KEYS[name].format(asset_class)) for name in tables}
    bars_key = keys["bars"]
    again = Retries(settings.step_retries, settings.step_retry_seconds)

    @dg.multi_asset(
        name=f"clean_{asset_class}",
        ins={"raw": dg.AssetIn(dg.AssetKey(["raw", asset_class]))},
        outs={name: _out(keys[name], table, settings) for name, table in tables.items()},
        check_specs=[spec(name, bars_key, partitions_of(settings)) for name in CHECKS],
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def clean_hours(
        context: dg.AssetExecutionContext, raw: Unread, spark: dg.ResourceParam[Spark]
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        hours = run_hours(context)
        made: Processed | Reprocessed
        with again.after(context.retry_number):
            if spark.takes(bars_key, len(hours)):
                made = reprocessed(of_hours(spark, context, "reprocess", asset_class, hours), asset_class)
            else:
                made = process(raw.read(), asset_class, hours, settings.symbols(asset_class))
        broken_laws = []
        for name, finding in made.findings.items():
            yield result(name, bars_key, finding)
            if name in BLOCKING and not finding.passed:
                broken_laws.append(sentence(name, finding))
        # Dagster itself ends a step only after its outputs are stored: what breaks a law replaces nothing
        if broken_laws:
            raise BrokenLawError(
                f"processed/{asset_class} of {hours} breaks its laws: " + "; ".join(broken_laws),
                "the hours that break one were not written; their rows are in their raw objects",
            )
        counts = {row["hour"]: row for row in made.counts.iter_rows(named=True)}
        is_open = open_hours(asset_class, hours)
        metadata = {}
        for hour in hours:
            books = {name: value for name, value in counts.get(hour, {}).items() if name != "hour"}
            state = state_of(books.get("processed", 0), is_open=hour in is_open)
            metadata[hour] = {"state": state.value, **books}
        add_hour_metadata(context, bars_key, metadata)
        if "actions" in keys:
            broken = {hour: {"broken": made.broken_actions.get(hour, 0)} for hour in hours}
            add_hour_metadata(context, keys["actions"], broken)
        if isinstance(made, Processed):
            add_chart(context, bars_key, hours, chart_of_bars(made.frames["bars"]))
        for name, what in (made.frames if isinstance(made, Processed) else made.stored).items():
            yield dg.Output(what, output_name=name)

    return clean_hours


def _out(key: dg.AssetKey, table: Table, settings: Settings) -> dg.AssetOut:
    return dg.AssetOut(
        key=key,
        description=table.description,
        group_name="processed",
        kinds={"s3", "parquet"},
        **entry(key, settings),
        io_manager_key="s3_processed",
    )
