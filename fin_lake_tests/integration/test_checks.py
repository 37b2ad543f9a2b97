"""Checks on real stores: faults planted in PostgreSQL and in the lake are found and named."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
import polars as pl
import pytest

from fin_lake.checks import processing
from fin_lake.definitions import build_definitions
from fin_lake.lake.formats import encode_json, encode_parquet, json_ready
from fin_lake.lake.layout import hour_object
from fin_lake.lake.processed import read_hours
from fin_lake.lake.store import Lake
from fin_lake.operations.extract import ExtractReport, extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HOUR, HourRange
from fin_lake.settings import Settings
from fin_lake.tables import PROCESSED
from fin_lake.transforms.clean import clean
from fin_lake.warehouse.market import connect, ensure_schema
from fin_lake_tests.conftest import hours

pytestmark = pytest.mark.stack
STOCKS = PROCESSED["stocks"]
STEP_SYMBOL = "STEP"
SPLITS = "market.corporate_actions (symbol, timestamp, kind, ratio, source)"


def run(settings: Settings, span: HourRange) -> ExtractReport:
    with open_instance(settings) as instance:
        return extract(settings, span, ["stocks"], instance=instance, analytics=False)


def checked(settings: Settings, span: HourRange, asset: str, check: str) -> dg.AssetCheckEvaluation:
    """Run one check alone, over hours that are stored."""
    key = dg.AssetCheckKey(dg.AssetKey.from_user_string(asset), check)
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    with open_instance(settings) as instance:
        made = job.get_subset(asset_selection=set(), asset_check_selection={key}).execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": span.first_key,
                "dagster/asset_partition_range_end": span.last_key,
            },
        )
    (evaluation,) = made.get_asset_check_evaluations()
    return evaluation


def named(evaluation: dg.AssetCheckEvaluation) -> list[dict[str, object]]:
    return [dict(record.data) for record in evaluation.metadata["offending_keys"].records]


def execute(settings: Settings, statement: str, rows: Sequence[Sequence[object]] = ((),)) -> None:
    with connect(settings.database()) as connection:
        ensure_schema(connection)
        for row in rows:
            connection.execute(statement, row)


def test_a_clean_hour_passes_every_check_of_its_run(stack_settings: Settings) -> None:
    at = hours("2023-01-17T15")
    report = run(stack_settings, at)
    assert (report.failures, report.warnings) == ([], [])
    with open_instance(stack_settings) as instance:
        events = instance.all_logs(report.run_ids[0], of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [event.dagster_event.asset_check_evaluation_data for event in events]
    names = {(one.asset_key.to_user_string(), one.check_name) for one in found if one.passed}
    assert len(found) == len(names), "each passes, and once"
    assert names >= {
        *(("processed/stocks", name) for name in ("conservation", "ohlc_laws", "duplicates")),
        *(("processed/stocks", name) for name in ("completeness", "cross_source")),
        *(("market/stocks", name) for name in ("stores_agree", "step_changes")),
    }
    assert "freshness" not in {one.check_name for one in found}


def test_a_price_changed_in_postgres_is_named_in_each_format_of_the_lake(stack_settings: Settings) -> None:
    at = hours("2023-01-17T16")
    run(stack_settings, at)
    assert checked(stack_settings, at, "market/stocks", "stores_agree").passed
    change = "update market.stocks set close_price = close_price + 0.01 where symbol = %s and timestamp = %s"
    execute(stack_settings, change, [("AAPL", at.start)])
    found = checked(stack_settings, at, "market/stocks", "stores_agree")
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert found.blocking
    assert {(one["symbol"], one["timestamp"]) for one in named(found)} == {("AAPL", str(at.start))}
    assert {one["store"] for one in named(found)} == {"parquet", "json"}


@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_a_row_planted_in_one_format_of_the_lake_is_named_with_that_format(
    stack_settings: Settings, kind: str
) -> None:
    at = hours("2023-01-17T17")
    run(stack_settings, at)
    lake = Lake(stack_settings)
    rows = read_hours(lake, STOCKS, at)
    more = pl.concat([rows, rows.head(1).with_columns(symbol=pl.lit("ZZZ"))])
    body = encode_parquet(more, STOCKS) if kind == "parquet" else encode_json(json_ready(more, STOCKS))
    lake.put(hour_object(STOCKS, kind, at.start), body)
    found = checked(stack_settings, at, "market/stocks", "stores_agree")
    assert not found.passed
    assert [(one["symbol"], one["store"]) for one in named(found)] == [("ZZZ", kind)]


def test_what_breaks_a_law_replaces_nothing_and_the_extract_says_so_once(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed blocking check alone stops what is downstream, not the step's own outputs."""
    at = hours("2023-01-17T18")
    assert run(stack_settings, at).succeeded
    lake, key = Lake(stack_settings), hour_object(STOCKS, "parquet", at.start)
    before = lake.get(key)

    def clean_wrongly(*arguments):
        cleaned = clean(*arguments)
        object.__setattr__(cleaned, "bars", cleaned.bars.with_columns(high_price=pl.lit(0.01)))
        return cleaned

    monkeypatch.setattr(processing, "clean", clean_wrongly)
    report = run(stack_settings, at)
    assert lake.get(key) == before
    (failure,) = report.failures
    assert failure.startswith("processed/stocks: ohlc_laws: rows 8, offending 8 (AAPL 2023-01-17T18:00Z")
    assert "market/stocks" not in report.tables


@pytest.mark.parametrize(("ratio", "named_steps"), [(None, 1), (2.0, 1), (4.0, 0)])
def test_a_step_passes_only_with_the_split_that_explains_it(
    stack_settings: Settings, ratio: float | None, named_steps: int
) -> None:
    span = hours("2023-02-01T15", 4)
    at = span.start + 2 * HOUR
    closes = [(span.start + HOUR * n, 100.0 if n < 2 else 25.0) for n in range(4)]
    insert = (
        "insert into market.stocks (symbol, timestamp, interval, open_price, high_price, low_price,"
        " close_price, volume, source) values (%s, %s, '1h', %s, %s, %s, %s, 1, 'yahoo')"
    )
    execute(stack_settings, insert, [(STEP_SYMBOL, when, *[close] * 4) for when, close in closes])
    if ratio is not None:
        split = f"insert into {SPLITS} values (%s, %s, 'split', %s, 'yahoo')"
        execute(stack_settings, split, [(STEP_SYMBOL, at, ratio)])
    found = checked(stack_settings, span, "market/stocks", "step_changes")
    assert found.passed is (named_steps == 0)
    assert found.severity is dg.AssetCheckSeverity.WARN
    if named_steps:
        assert [(one["symbol"], one["timestamp"]) for one in named(found)] == [(STEP_SYMBOL, str(at))]
