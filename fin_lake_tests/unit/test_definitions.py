from __future__ import annotations

import datetime as dt
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from fin_lake.assets.analytics import MAINTENANCE
from fin_lake.assets.deliveries import extract_key, months_behind, months_of
from fin_lake.assets.hourly import HourState, state_of
from fin_lake.assets.hours import HOURS
from fin_lake.assets.market_report import MARKET_REPORT
from fin_lake.assets.ml import MODEL, MODEL_PACKAGE, PREDICTIONS, TRAINING_SET
from fin_lake.assets.spark import AVERAGE_CLOSE
from fin_lake.assets.storage import STORAGE
from fin_lake.definitions import (
    DELIVERIES_JOB,
    EXTRACT_JOB,
    REPORT_JOB,
    SCORING_JOB,
    STORAGE_JOB,
    TRAINING_JOB,
    build_definitions,
)
from fin_lake.engines.tableau import REPORTS
from fin_lake.partitions import parse_hour
from fin_lake.settings import load_settings
from fin_lake.tables import TABLES_BY_ASSET


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(load_settings(now=parse_hour("2023-01-30T21"), start=parse_hour("2023-01-03")))


def test_definitions_load_without_a_stack_and_hold_every_table(definitions: dg.Definitions):
    dg.Definitions.validate_loadable(definitions)
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert keys > set(TABLES_BY_ASSET)


def hourly(assets: AssetGraph) -> list[dg.AssetKey]:
    models = (TRAINING_SET, MODEL, MODEL_PACKAGE, PREDICTIONS)
    without = (MAINTENANCE, HOURS, MARKET_REPORT, STORAGE, AVERAGE_CLOSE, *models, *map(extract_key, REPORTS))
    return [key for key in assets.get_all_asset_keys() if key not in without]


def test_partitions_are_the_closed_hours_of_the_recording(definitions: dg.Definitions):
    assets = definitions.resolve_asset_graph()
    for key in hourly(assets):
        hours = assets.get(key).partitions_def.get_partition_keys()
        assert (hours[0], hours[-1]) == ("2023-01-03-00:00", "2023-01-30-20:00")


def test_ranges_are_taken_in_bounded_runs(definitions: dg.Definitions):
    assets = definitions.resolve_asset_graph()
    policies = {assets.get(key).backfill_policy.max_partitions_per_run for key in hourly(assets)}
    assert policies == {744}


def test_what_looks_at_the_lake_has_jobs_of_its_own(definitions: dg.Definitions):
    def made_by(job: str) -> set[dg.AssetKey]:
        return definitions.resolve_job_def(job).asset_layer.executable_asset_keys

    assert made_by(REPORT_JOB) == {MARKET_REPORT}
    assert made_by(STORAGE_JOB) == {STORAGE}
    assert made_by(DELIVERIES_JOB) == set(map(extract_key, REPORTS))
    assert made_by(TRAINING_JOB) == {TRAINING_SET, MODEL, MODEL_PACKAGE, PREDICTIONS}
    assert made_by(SCORING_JOB) == {PREDICTIONS}
    assert made_by(EXTRACT_JOB).isdisjoint(made_by(TRAINING_JOB))
    assert made_by(EXTRACT_JOB).isdisjoint({MARKET_REPORT, STORAGE, *map(extract_key, REPORTS)})


def test_no_automation_makes_deliveries(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()
    assert {graph.get(extract_key(report)).automation_condition for report in REPORTS} == {None}


def test_an_hour_of_a_report_belongs_to_its_month_of_the_extract(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()
    for report in REPORTS:
        extract = graph.get(extract_key(report))
        assert extract.parent_keys == {dg.AssetKey(["reports", report])}
        assert extract.partitions_def.get_partition_keys() == ["2023-01"]


def test_the_month_that_is_not_over_has_a_partition_by_the_wall_clock_and_by_a_recordings():
    at = dt.datetime(2026, 3, 1, 1, 40, tzinfo=dt.UTC)
    by_wall_clock = months_of(load_settings(start=parse_hour("2023-01-03")))
    assert by_wall_clock.get_partition_keys(at)[-2:] == ["2026-02", "2026-03"]
    recorded = months_of(load_settings(now=parse_hour("2023-12-15"), start=parse_hour("2023-11-03T05")))
    assert recorded.get_partition_keys() == ["2023-11", "2023-12"]


class Built:
    """An event log in which hours of reports were built and extracts were made."""

    def __init__(self, instance: dg.DagsterInstance | None = None) -> None:
        self.instance = instance or dg.DagsterInstance.ephemeral()
        self.settings = load_settings(now=parse_hour("2023-04-10"), start=parse_hour("2023-01-03"))

    def report(self, *hours: str) -> None:
        for hour in hours:
            for report in REPORTS:
                event = dg.AssetMaterialization(dg.AssetKey(["reports", report]), partition=f"{hour}:00")
                self.instance.report_runless_asset_event(event)

    def extracts(self, *months: str) -> None:
        for month in months:
            for report in REPORTS:
                self.instance.report_runless_asset_event(
                    dg.AssetMaterialization(extract_key(report), partition=month)
                )

    def behind(self) -> list[str]:
        return months_behind(self.settings, self.instance)


def test_months_without_hours_are_left_alone_and_those_with_hours_are_made():
    built = Built()
    assert built.behind() == []
    built.report("2023-01-05-14", "2023-03-01-00")
    assert built.behind() == ["2023-01", "2023-03"]
    built.extracts("2023-01", "2023-03")
    assert built.behind() == []


def test_an_hour_that_is_built_again_makes_its_month_and_the_one_after_again():
    built = Built()
    built.report("2023-01-05-14", "2023-02-05-14", "2023-03-05-14")
    built.extracts("2023-01", "2023-02", "2023-03")
    built.report("2023-01-05-15")
    assert built.behind() == ["2023-01", "2023-02"]


def test_a_day_asks_for_a_run_of_each_month_that_is_behind():
    def tick(built: Built) -> list[str]:
        time = dt.datetime(2023, 3, 6, 1, 40, tzinfo=dt.UTC)
        with dg.build_schedule_context(
            instance=built.instance,
            scheduled_execution_time=time,
            repository_def=definitions.get_repository_def(),
        ) as context:
            asked = schedule.evaluate_tick(context).run_requests or []
        return [request.tags["dagster/partition"] for request in asked]

    with dg.instance_for_test() as instance:
        built = Built(instance)
        definitions = build_definitions(built.settings)
        schedule = definitions.get_schedule_def(f"{DELIVERIES_JOB}_daily")
        assert tick(built) == []
        built.report("2023-01-05-14", "2023-02-05-14")
        assert tick(built) == ["2023-01", "2023-02"]


@pytest.mark.parametrize(
    ("rows", "is_open", "unserved", "state"),
    [
        (8, True, False, HourState.STORED),
        (0, False, False, HourState.MARKET_CLOSED),
        (0, False, True, HourState.MARKET_CLOSED),
        (0, True, False, HourState.GAP),
        (6, True, True, HourState.PARTIAL),
        (0, True, True, HourState.FAILED),
    ],
)
def test_the_state_of_an_hour(rows, is_open, unserved, state):
    assert state_of(rows, is_open=is_open, unserved=unserved) is state


def test_no_import_reads_the_environment_or_starts_anything():
    """An import with a broken environment must not fail: only building definitions may."""
    code = "import fin_lake.definitions, fin_lake.cli, fin_lake.operations.extract"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"FIN_LAKE_PROFILE": "nonsense"}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
