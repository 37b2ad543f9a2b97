"""Metrics and cost of a lake that a run has made: counted, shown, published, written as a page."""

from __future__ import annotations

import json

import dagster as dg
import pytest
from click.testing import CliRunner

from fin_lake.assets.storage import PAGE, STORAGE
from fin_lake.cli import cli
from fin_lake.clients import aws_client
from fin_lake.definitions import STORAGE_JOB, build_definitions
from fin_lake.lake.catalog import ensure_catalog
from fin_lake.lake.store import Lake
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.operations.measured_run import latest_measured_run
from fin_lake.settings import Settings
from fin_lake.tables import TABLES_BY_ASSET
from fin_lake.traffic import traffic
from fin_lake_tests.conftest import hours, own_stores

pytestmark = pytest.mark.stack
SPAN = hours("2023-01-17T15", 3)
NAMESPACE = "FinLake/Storage"


@pytest.fixture(scope="module")
def settings(stack: Settings) -> Settings:
    """A lake of three hours of trading."""
    settings = own_stores(stack, cloudwatch_namespace=NAMESPACE)
    glue = aws_client(settings, "glue", settings.glue_endpoint_url)
    ensure_catalog(glue, database=settings.glue_database, bucket=settings.bucket)
    traffic().take()
    with open_instance(settings) as instance:
        report = extract(settings, SPAN, ["stocks", "crypto"], instance=instance)
    assert report.failures == []
    return settings


def objects_in(settings: Settings) -> list[dict]:
    client = Lake(settings).boto3_client
    return client.list_objects_v2(Bucket=settings.bucket)["Contents"]


def run_command(settings: Settings, monkeypatch: pytest.MonkeyPatch, module: str, *words: str) -> dict:
    monkeypatch.setattr(f"fin_lake.operations.{module}.load_settings", lambda: settings)
    done = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_a_run_says_what_it_has_moved(settings: Settings):
    with open_instance(settings) as instance:
        run = latest_measured_run(instance, settings)
    ours = [one for one in objects_in(settings) if one["Key"].startswith(("raw/", "processed/"))]
    assert run is not None
    assert run.hours == SPAN
    # nothing is written twice in a first run: what was put is what lies there
    assert run.counts["s3_puts"] == len(ours)
    assert run.counts["bytes_put"] == sum(one["Size"] for one in ours)
    assert run.counts["s3_gets"] > 0
    assert run.counts["bytes_fetched"] > run.counts["bytes_put"] / 100
    assert run.counts["bytes_to_postgres"] > 0
    assert len(run.statements) > 20
    assert sum(run.statements) > 0


def test_the_numbers_stand_once_with_the_last_hour_of_the_run(settings: Settings):
    with open_instance(settings) as instance:
        records = instance.fetch_materializations(dg.AssetKey(["raw", "stocks"]), limit=10).records
    fetched = {one.partition_key: one.asset_materialization.metadata.get("bytes_fetched") for one in records}
    assert fetched[SPAN.last_key].value > 0
    assert [key for key, value in fetched.items() if value is not None] == [SPAN.last_key]


def test_metrics_counts_the_whole_bucket_and_publishes(settings: Settings, monkeypatch):
    there = objects_in(settings)
    shown = run_command(settings, monkeypatch, "metrics_command", "metrics", "--publish")
    assert shown["total_objects"] == len(there)
    assert shown["total_bytes"] == sum(one["Size"] for one in there)
    assert shown["hours"] == len(SPAN)
    assert shown["last_run"]["hours"] == len(SPAN)
    assert shown["compression"]["raw/stocks"]["saved"] > 0.5
    assert shown["compression"]["processed/technical_analysis/stocks"]["saved"] < 0
    client = aws_client(settings, "cloudwatch", settings.cloudwatch_endpoint_url)
    metrics = client.list_metrics(Namespace=NAMESPACE, MetricName="StorageBytes")["Metrics"]
    layers = {one["Value"] for metric in metrics for one in metric["Dimensions"] if one["Name"] == "Layer"}
    assert layers >= {"raw", "processed", "analytics"}


def test_cost_is_of_what_lies_there_and_of_the_last_run(settings: Settings, monkeypatch):
    shown = run_command(settings, monkeypatch, "cost_command", "cost", "--runs", "100")
    with open_instance(settings) as instance:
        run = latest_measured_run(instance, settings)
    assert run is not None
    stored = sum(one["Size"] for one in objects_in(settings))
    lines = {line["name"]: line["dollars"] for line in shown["lines"]}
    assert lines["S3 storage, STANDARD"] == pytest.approx(stored / 1024**3 * 0.023)
    # a scheduled run is of four hours, the measured one was of three
    assert shown["usage"]["puts"] == pytest.approx(100 * run.counts["s3_puts"] * 4 / 3)
    assert shown["usage"]["statements"] == 100 * len(run.statements)
    assert shown["monthly"] == pytest.approx(sum(lines.values()))
    assert len(shown["months"]) == 12


def test_publishing_without_a_namespace_is_refused(settings: Settings, monkeypatch):
    unnamed = settings.model_copy(update={"cloudwatch_namespace": ""})
    monkeypatch.setattr("fin_lake.operations.metrics_command.load_settings", lambda: unnamed)
    done = CliRunner().invoke(cli, ["metrics", "--publish"])
    assert done.exit_code != 0
    assert "FIN_LAKE_CLOUDWATCH_NAMESPACE" in str(done.exception)


def test_the_asset_writes_a_page_that_loads_nothing(settings: Settings):
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def(STORAGE_JOB)
        result = job.execute_in_process(instance=instance)
    (made,) = result.asset_materializations_for_node("__".join(STORAGE.path))
    page = Lake(settings).get(PAGE).decode()
    assert made.metadata["objects"].value > len(TABLES_BY_ASSET)
    assert made.metadata["dollars_a_month"].value > 0
    assert made.metadata["last_run_bytes_fetched"].value > 0
    assert "processed/technical_analysis/stocks" in page
    assert "over twelve months" in page
    assert 'src="' not in page.partition("<script>")[0]
    assert "<link" not in page
