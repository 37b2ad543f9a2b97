"""Models on a real stack: learned from Athena's rows here and under Amazon's toolkit, registered, asked."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from fin_lake.assets.ml import MODEL, MODEL_PACKAGE, PREDICTIONS, TRAINING_SET
from fin_lake.clients import aws_client
from fin_lake.definitions import SCORING_JOB, TRAINING_JOB, build_definitions
from fin_lake.engines.sagemaker.places import (
    latest_model,
    latest_training_set,
    model_archive,
    model_object,
    output_archive,
    predictions_object,
)
from fin_lake.engines.sagemaker.runner import SageMaker, unpacked
from fin_lake.lake.store import Lake
from fin_lake.operations.athena import Athena
from fin_lake.settings import Settings
from fin_lake_tests.conftest import filled, hours
from fin_lake_tests.sagemaker_container import Container

pytestmark = pytest.mark.stack
UNTIL = "2023-01-19T01:00:00+01:00"
ROLE = "arn:aws:iam::123456789012:role/fin-lake-sagemaker"


@pytest.fixture(scope="module")
def settings(module_settings: Settings) -> Settings:
    return module_settings


@pytest.fixture(scope="module")
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with filled(settings, hours("2023-01-03T00", 17 * 24)) as instance:
        yield instance


def run(
    settings: Settings,
    instance: dg.DagsterInstance,
    job: str = TRAINING_JOB,
    until: str = UNTIL,
    **given: Any,
) -> dg.ExecuteInProcessResult:
    found = build_definitions(settings, resources=given).resolve_job_def(job)
    config = {"ops": {"ml__training_set": {"config": {"until": until}}}} if job == TRAINING_JOB else {}
    return found.execute_in_process(instance=instance, run_config=config, raise_on_error=False)


@pytest.fixture(scope="module")
def here(settings: Settings, instance: dg.DagsterInstance) -> dict[str, Any]:
    result = run(settings, instance)
    assert result.success
    return {**latest_model(Lake(settings)), "result": result}


def metrics_of(lake: Lake, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(unpacked(lake.get(output_archive(name)))["metrics.json"])
    return found


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    (made,) = [one for one in result.get_asset_materialization_events() if one.asset_key == key]
    return {name: getattr(value, "value", value) for name, value in made.materialization.metadata.items()}


def test_the_training_set_is_the_rows_whose_labels_were_known(settings, here):
    lake = Lake(settings)
    made = latest_training_set(lake)
    files = [info.key for info in lake.list_objects([made.prefix])]
    found = sum(pq.read_metadata(io.BytesIO(lake.get(key))).num_rows for key in files)
    (row,) = (
        Athena(settings)
        .run(
            "select count(*), max(label_end_at) from ml_features_labels where horizon_bars = 1 "
            "and label_end_at <= timestamp '2023-01-19 00:00:00'"
        )
        .rows()
    )
    assert (str(found), here["data"]["labels_known_until"]) == (row[0], f"{row[1][:10]}T{row[1][11:19]}Z")
    assert metadata(here["result"], TRAINING_SET)["dagster/row_count"] == found
    assert made.until == "2023-01-19T00:00:00Z"


def test_the_run_says_what_the_model_is_worth(settings, here):
    checks = {one.check_name: one for one in here["result"].get_asset_check_evaluations()}
    metrics = metrics_of(Lake(settings), here["name"])
    assert checks["enough_rows"].passed
    assert checks["no_leakage"].passed
    assert checks["beats_naive"].passed == metrics["beats_naive"]
    assert metadata(here["result"], MODEL)["report"].startswith(f"# {here['name']}")
    assert checks["beats_naive"].description in metadata(here["result"], MODEL)["report"]


def test_the_model_waits_for_approval(settings, here):
    kept = json.loads(Lake(settings).get(model_object(here["name"], "model_package.json")))
    assert kept["ModelApprovalStatus"] == "PendingManualApproval"
    assert kept["CustomerMetadataProperties"]["model_sha256"] == here["model"]["sha256"]
    assert metadata(here["result"], MODEL_PACKAGE)["approval"] == "PendingManualApproval"


def test_sql_sees_a_forecast_of_every_bar_that_was_not_learned_from(settings, here):
    asked = Athena(settings)
    (row,) = asked.run(
        "select count(*), count(p.predicted_return), count(l.forward_return), min(p.decision_at) "
        "from ml_features_hourly f left join ml_predictions p "
        "on p.symbol = f.symbol and p.decision_at = f.available_at "
        "left join ml_features_labels l on l.symbol = p.symbol and l.decision_at = p.decision_at "
        "and l.horizon_bars = p.horizon_bars where f.available_at >= timestamp '2023-01-19 00:00:00'"
    ).rows()
    assert row[0] == row[1]
    assert int(row[2] or 0) > 0
    assert row[3].startswith("2023-01-19 00:00:00")


def test_scoring_again_leaves_the_same_object(settings, instance, here):
    lake = Lake(settings)
    before = lake.head(predictions_object(here["name"]))
    result = run(settings, instance, SCORING_JOB)
    assert result.success
    assert lake.head(before.key).etag == before.etag
    assert metadata(result, PREDICTIONS)["model"] == here["name"]


def test_under_the_toolkit_the_same_model_is_trained_registered_and_asked(
    settings, instance, here, s3_endpoint
):
    there = settings.model_copy(update={"sagemaker_role": ROLE, "sagemaker_endpoint_url": s3_endpoint})
    client = aws_client(there, "sagemaker", s3_endpoint)
    container = Container(client, there, Path(sys.executable).with_name("uv"))
    result = run(there, instance, sagemaker=SageMaker(there, container, poll_seconds=0))
    assert result.success
    lake, name = Lake(settings), str(metadata(result, MODEL)["name"])
    assert name != here["name"]
    assert metrics_of(lake, name) == metrics_of(lake, here["name"])
    described = latest_model(lake)
    for part in ("data", "features_sha256", "model", "script_sha256", "versions"):
        assert described[part] == here[part]
    files = unpacked(lake.get(model_archive(name)))
    assert files["model.joblib"] == unpacked(lake.get(model_archive(here["name"])))["model.joblib"]
    forecast, same = (
        pq.read_table(io.BytesIO(lake.get(predictions_object(one)))).drop_columns(["model"])
        for one in (name, here["name"])
    )
    assert forecast.num_rows
    assert forecast.equals(same)
    arn = metadata(result, MODEL_PACKAGE)["arn"]
    registered = client.describe_model_package(ModelPackageName=arn)
    assert registered["ModelApprovalStatus"] == "PendingManualApproval"
    assert "delete_model" in container.asked


def test_too_few_rows_train_nothing_and_leave_the_model_that_is_there(settings, instance, here):
    lake = Lake(settings)
    before = latest_model(lake), latest_training_set(lake)
    result = run(settings, instance, until="2023-01-04T00:00:00Z")
    assert not result.success
    assert [one.asset_key for one in result.get_asset_materialization_events()] == [TRAINING_SET]
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("enough_rows", False)
    assert "fin-lake backfill" in str(check.description)
    assert (latest_model(lake), latest_training_set(lake)) == before
