"""dbt's models as assets: a small project, run by Dagster on the stack's Athena."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from fin_lake.analytics.prepare import prepare
from fin_lake.analytics.project import load_manifest
from fin_lake.analytics.runner import run_dbt
from fin_lake.definitions import EXTRACT_JOB, MAINTENANCE_JOB, build_definitions
from fin_lake.operations.athena import Athena
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange, hour_key
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings
from fin_lake.warehouse.locks import tables_to_itself
from fin_lake_tests.conftest import hours
from fin_lake_tests.dbt_projects import prepared_project

pytestmark = pytest.mark.stack
HOUR = hours("2023-01-03T15")
MODELS = ("staging/bars", "aggregations/daily", "reports/summary")
DAILY = "models/aggregations/aggregations_daily.sql"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project, prepared; tests leave it as it is."""
    return prepared_project(tmp_path_factory.mktemp("dbt") / "project")


@pytest.fixture(scope="module")
def settings(module_settings: Settings) -> Settings:
    return module_settings


@pytest.fixture(scope="module")
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as instance:
        yield instance


def key(text: str) -> dg.AssetKey:
    return dg.AssetKey(text.split("/"))


def build(
    settings: Settings,
    project: Path,
    instance: dg.DagsterInstance,
    span: HourRange = HOUR,
    assets: tuple[str, ...] = MODELS,
) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings, dbt_project=project).resolve_job_def(EXTRACT_JOB)
    return job.execute_in_process(
        instance=instance,
        asset_selection=[key(asset) for asset in assets],
        tags={
            "dagster/asset_partition_range_start": span.first_key,
            "dagster/asset_partition_range_end": span.last_key,
        },
        raise_on_error=False,
    )


def built(result: dg.ExecuteInProcessResult) -> dict[str, list[dg.AssetMaterialization]]:
    """Return the materializations by asset."""
    found: dict[str, list[dg.AssetMaterialization]] = {}
    for event in result.get_asset_materialization_events():
        made = event.step_materialization_data.materialization
        found.setdefault(made.asset_key.to_user_string(), []).append(made)
    return found


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    return str(event.step_failure_data.error.message)


def rows(settings: Settings, sql: str) -> list[tuple[str | None, ...]]:
    return list(Athena(settings).run(sql).rows())


@pytest.fixture(scope="module")
def an_hour(settings: Settings, tiny: Path, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """One run of one hour."""
    return build(settings, tiny, instance)


def test_an_hour_is_built_tested_and_described(an_hour):
    assert an_hour.success
    made = built(an_hour)
    assert {name: [each.partition for each in events] for name, events in made.items()} == {
        name: [hour_key(HOUR.start)] for name in MODELS
    }
    metadata = made["aggregations/daily"][0].metadata
    assert metadata["unique_id"].value == "model.tiny.aggregations_daily"
    assert metadata["dagster/row_count"].value == 3
    assert metadata["files"].value == 1
    assert metadata["bytes"].value > 0
    assert metadata["Execution Duration"].value > 0
    columns = [(column.name, column.type) for column in metadata["dagster/column_schema"].value.columns]
    assert columns[:2] == [("symbol", "string"), ("price", "decimal(2,1)")]
    assert "dagster/row_count" not in made["staging/bars"][0].metadata, "a view is not counted"


def test_dbts_lines_are_the_runs_log(an_hour, instance, settings):
    lines = [entry.user_message for entry in instance.all_logs(an_hour.run_id)]
    assert any(f"OK created sql view model {settings.glue_database}.stg_bars" in line for line in lines)
    assert any("WARN 1 prices_are_low" in line for line in lines)
    assert any("dbt build --select fqn:*" in line for line in lines), "the whole is not named piece by piece"
    assert "Done. PASS=6 WARN=1 ERROR=0 SKIP=0 NO-OP=0 TOTAL=7" in lines


def test_tests_are_checks_with_the_rows_that_fail_and_the_sql_that_finds_them(an_hour):
    found = checks(an_hour)
    assert {name: each.passed for name, each in found.items()} == {
        "unique_aggregations_daily_symbol": True,
        "not_null_aggregations_daily_symbol": True,
        "prices_are_low": False,
        "summary_counts_the_symbols": True,
    }, "and what reads no table, such as one_is_two, is not asked"
    warned = found["prices_are_low"]
    assert warned.severity is dg.AssetCheckSeverity.WARN
    assert warned.metadata["dagster_dbt/failed_row_count"].value == 1
    assert "from" in warned.metadata["compiled_sql"].value
    assert "aggregations_daily" in warned.metadata["compiled_sql"].value


def test_a_range_of_hours_is_one_invocation_for_all_of_them(settings, tiny, instance):
    day = hours("2023-01-04T00", 24)
    result = build(settings, tiny, instance, day)
    made = built(result)
    assert {name: len(events) for name, events in made.items()} == dict.fromkeys(MODELS, 24)
    assert {each.partition for each in made["reports/summary"]} == {hour_key(hour) for hour in day}
    described = [
        each.partition for each in made["reports/summary"] if "dagster/column_schema" in each.metadata
    ]
    assert described == ["2023-01-04-23:00"], "columns are said once, with the latest hour"
    assert len({each.metadata["invocation_id"].value for events in made.values() for each in events}) == 1
    assert rows(settings, "select start_hour, end_hour from reports_summary") == [
        ("2023-01-04 00:00:00", "2023-01-05 00:00:00")
    ]


def test_a_later_run_in_the_same_process_has_its_own_hours(an_hour, settings, tiny, instance):
    assert build(settings, tiny, instance, hours("2023-01-05T10")).success
    assert rows(settings, "select start_hour from reports_summary") == [("2023-01-05 10:00:00",)]


def nodes_run(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> int:
    """Return how many nodes dbt says that it has run."""
    lines = [entry.user_message for entry in instance.all_logs(result.run_id)]
    return next(int(line.rpartition("=")[2]) for line in lines if line.startswith("Done. PASS="))


@pytest.mark.parametrize(
    ("asset", "tests"),
    [
        ("aggregations/daily", 3),
        ("reports/summary", 1),  # it reads aggregations/daily too
    ],
)
def test_a_model_alone_is_built_with_its_own_tests(an_hour, settings, tiny, instance, asset, tests):
    result = build(settings, tiny, instance, assets=(asset,))
    assert list(built(result)) == [asset]
    assert len(checks(result)) == tests
    assert nodes_run(instance, result) == 1 + tests


def test_a_test_alone_builds_nothing(an_hour, settings, tiny, instance):
    job = build_definitions(settings, dbt_project=tiny).resolve_job_def(EXTRACT_JOB)
    subset = job.get_subset(
        asset_selection=set(),
        asset_check_selection={dg.AssetCheckKey(key("aggregations/daily"), "prices_are_low")},
    )
    result = subset.execute_in_process(instance=instance, partition_key=hour_key(HOUR.start))
    assert built(result) == {}
    assert list(checks(result)) == ["prices_are_low"]
    assert nodes_run(instance, result) == 1


def test_a_failing_test_is_a_failed_check_and_what_is_downstream_is_not_built(settings, tmp_path, instance):
    twice = (
        "select 'AAPL' as symbol, 1.0 as price, '' as start_hour, '' as end_hour from (values 1, 2) as t (x)"
    )
    project = prepared_project(tmp_path / "project", {DAILY: twice + " -- {{ ref('stg_bars') }}"})
    result = build(settings, project, instance)
    assert not result.success
    assert list(built(result)) == ["staging/bars", "aggregations/daily"]
    failed = checks(result)["unique_aggregations_daily_symbol"]
    assert not failed.passed
    assert failed.severity is dg.AssetCheckSeverity.ERROR
    assert failed.metadata["dagster_dbt/failed_row_count"].value == 1
    assert "test unique_aggregations_daily_symbol: Got 1 result" in failure(result)


def test_a_failing_model_fails_the_step_with_its_name_and_athenas_message(settings, tmp_path, instance):
    project = prepared_project(
        tmp_path / "project", {DAILY: "select nonsense as symbol, 1 as price from {{ ref('stg_bars') }}"}
    )
    result = build(settings, project, instance)
    assert list(built(result)) == ["staging/bars"]
    said = failure(result)
    assert "model aggregations_daily" in said
    assert "COLUMN_NOT_FOUND" in said
    assert "nonsense" in said
    assert "5 nodes were skipped" in said


def test_a_run_that_is_interrupted_stops_the_statement_that_runs(settings, tmp_path):
    endless = """
        select 'A' as symbol, count(*) as price, '' as start_hour, '' as end_hour
        from unnest(sequence(1, 10000)) as a (x) cross join unnest(sequence(1, 10000)) as b (y)
        cross join unnest(sequence(1, 10000)) as c (z)
        where x * y + z % 7 = 3 -- {{ ref('stg_bars') }}
    """
    project = prepared_project(tmp_path / "project", {DAILY: endless})
    with closing(run_dbt(settings, project, ["build"], known=load_manifest(project)["nodes"])) as events:
        assert "stg_bars" in (event.node.name for event in events if event.name == "NodeFinished")
        time.sleep(0.5)  # let the endless statement start
        started = time.monotonic()
    assert time.monotonic() - started < 10
    assert not [thread for thread in threading.enumerate() if thread.name == "dbt"]


def test_maintenance_compacts_the_tables_that_are_there(settings, tiny, instance):
    settings = settings.model_copy(update={"glue_database": "test_maintenance"})
    build(settings, tiny, instance, assets=("staging/bars", "aggregations/daily"))
    athena = Athena(settings)
    for symbol in ("A", "B", "C"):
        athena.run(f"insert into aggregations_daily values ('{symbol}', 1.0, '', '')")
    job = build_definitions(settings, dbt_project=tiny).resolve_job_def(MAINTENANCE_JOB)
    result = job.execute_in_process(instance=instance)
    ((made,),) = built(result).values()
    (record,) = made.metadata["tables"].records
    assert record.data["table"] == "aggregations_daily"
    assert record.data["rows"] == 6
    assert (made.metadata["files_before"].value, made.metadata["files_after"].value) == (4, 1)
    assert rows(settings, "select count(*) from aggregations_daily") == [("6",)]


def test_an_extract_ends_with_the_models_on_its_hours(stack: Settings):
    prepare()
    with open_instance(stack) as instance:
        report = extract(stack, HOUR, ASSET_CLASSES, instance=instance)
        event = instance.get_latest_materialization_event(key("reports/daily_market_summary"))
    assert report.failures == []
    assert report.tables["processed/stocks"].hours == 1
    layers = {name.partition("/")[0] for name in report.models}
    assert layers == {"staging", "aggregations", "ml_features", "reports"}
    assert report.models["aggregations/hourly_ohlcv"].rows >= 5
    assert report.models["staging/stock_bars"].rows is None
    assert report.tests.passed > 0
    assert report.tests.failed == 0
    assert event.asset_materialization.partition == hour_key(HOUR.start)


def test_two_runs_take_turns_at_the_same_tables_and_not_at_others(settings: Settings):
    other = settings.model_copy(update={"glue_database": "another"})
    told, entered = [], threading.Event()

    def second() -> None:
        with tables_to_itself(settings, told.append):
            entered.set()

    with tables_to_itself(settings, told.append):
        thread = threading.Thread(target=second)
        thread.start()
        with tables_to_itself(other, told.append):
            assert not entered.wait(0.5)
    thread.join(10)
    assert entered.is_set()
    assert len(told) == 1
    assert "waiting" in told[0]
