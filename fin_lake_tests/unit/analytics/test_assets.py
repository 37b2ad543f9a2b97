from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from fin_lake.assets.analytics import dbt_variables
from fin_lake.definitions import EXTRACT_JOB, MAINTENANCE_JOB, build_definitions
from fin_lake.tables import TABLES_BY_ASSET
from fin_lake_tests.conftest import hours
from fin_lake_tests.dbt_projects import TINY


@pytest.fixture
def definitions(away, tiny_project) -> dg.Definitions:
    return build_definitions(away, dbt_project=tiny_project)


def key(text: str) -> dg.AssetKey:
    return dg.AssetKey(text.split("/"))


@pytest.mark.parametrize(
    ("asset", "group", "parents", "kinds"),
    [
        ("staging/bars", "staging", ["processed/stocks"], {"dbt", "athena", "view"}),
        ("aggregations/daily", "aggregations", ["staging/bars"], {"dbt", "athena", "iceberg"}),
        ("reports/summary", "reports", ["aggregations/daily"], {"dbt", "athena", "iceberg"}),
    ],
)
def test_a_model_is_an_asset_of_its_layer_downstream_of_what_it_reads(
    definitions, asset, group, parents, kinds
):
    node = definitions.resolve_asset_graph().get(key(asset))
    assert node.group_name == group
    assert sorted(parent.to_user_string() for parent in node.parent_keys) == parents
    assert node.kinds == kinds


def test_a_model_has_the_descriptions_of_its_yaml(definitions):
    spec = definitions.resolve_asset_graph().get(key("aggregations/daily"))
    assert spec.description.startswith("The prices of a day")
    columns = {column.name: column.description for column in spec.metadata["dagster/column_schema"].columns}
    assert columns == {"symbol": "What is traded", "price": ""}


def test_models_are_partitioned_as_what_they_read_and_built_by_the_range(definitions):
    graph = definitions.resolve_asset_graph()
    for asset in ("staging/bars", "aggregations/daily", "reports/summary"):
        node = graph.get(key(asset))
        assert node.partitions_def == graph.get(key("processed/stocks")).partitions_def
        assert node.backfill_policy == dg.BackfillPolicy.multi_run(744)


def test_a_test_is_a_check_of_its_model_which_blocks_what_is_downstream_if_it_is_an_error(definitions):
    graph = definitions.resolve_asset_graph()
    checks = {
        check.name: graph.get_check_spec(check).blocking
        for check in graph.asset_check_keys
        if check.asset_key == key("aggregations/daily")
    }
    assert checks == {
        "not_null_aggregations_daily_symbol": True,
        "unique_aggregations_daily_symbol": True,
        "prices_are_low": False,
    }


def test_a_test_that_reads_several_models_is_a_check_of_the_last_of_them(definitions):
    checks = {check.to_user_string() for check in definitions.resolve_asset_graph().asset_check_keys}
    assert "reports/summary:summary_counts_the_symbols" in checks


def test_the_extract_ends_with_the_models_and_maintenance_is_a_job_of_its_own(definitions):
    extracted = definitions.resolve_job_def(EXTRACT_JOB).asset_layer.executable_asset_keys
    assert {key("reports/summary"), key("raw/stocks")} < set(extracted)
    assert key("analytics/maintenance") not in extracted
    maintained = definitions.resolve_job_def(MAINTENANCE_JOB).asset_layer.executable_asset_keys
    assert set(maintained) == {key("analytics/maintenance")}


def test_the_hours_of_a_run_are_half_open_in_utc():
    assert dbt_variables(hours("2023-01-03T15")) == {
        "start_hour": "2023-01-03 15:00:00",
        "end_hour": "2023-01-03 16:00:00",
    }


def materialize_stand_in(definitions: dg.Definitions) -> str:
    loaded = definitions.resolve_asset_graph().get_all_asset_keys()
    assert {key("analytics/dbt"), *map(key, TABLES_BY_ASSET)} <= loaded
    result = dg.materialize(
        [definitions.get_assets_def(key("analytics/dbt"))],
        partition_key="2023-01-03-15:00",
        raise_on_error=False,
    )
    (failure,) = result.get_step_failure_events()
    return str(failure.step_failure_data.error.cause)


def test_without_a_manifest_the_other_layers_load_and_the_models_say_what_to_do(away):
    said = materialize_stand_in(build_definitions(away, dbt_project=TINY))
    assert "python -m fin_lake.analytics.prepare" in said


def test_without_the_extra_the_other_layers_load_and_the_models_name_it(away, tiny_project, monkeypatch):
    monkeypatch.setitem(sys.modules, "dagster_dbt", None)
    said = materialize_stand_in(build_definitions(away, dbt_project=tiny_project))
    assert "pip install 'fin_lake[dbt]'" in said


def test_loading_definitions_does_not_import_what_only_a_run_needs(tiny_project):
    code = f"""
import sys
from pathlib import Path
from fin_lake.definitions import build_definitions
from fin_lake.settings import load_settings
build_definitions(load_settings(), dbt_project=Path({str(tiny_project)!r})).resolve_asset_graph()
print([name for name in ("dbt.cli.main", "dbt.adapters.athena", "boto3", "duckdb") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
