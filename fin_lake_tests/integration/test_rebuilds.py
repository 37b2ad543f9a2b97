"""However the hours come, the models end in what one build of everything makes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import boto3
import dagster as dg
import pytest

from fin_lake.analytics import maintenance
from fin_lake.analytics.project import PROJECT, load_manifest
from fin_lake.analytics.runner import run_dbt
from fin_lake.assets.analytics import dbt_variables
from fin_lake.clients import aws_client
from fin_lake.lake.catalog import ensure_catalog
from fin_lake.lake.store import Lake
from fin_lake.operations.athena import Athena, AthenaError
from fin_lake.operations.extract import ExtractReport, extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings, environment
from fin_lake_tests.conftest import CREDENTIALS, hours, own_stores
from fin_lake_tests.synthetic import fill, synthetic_records

pytestmark = pytest.mark.stack
SPAN = hours("2023-01-05T00", 48)
LATE = hours("2023-01-05T16")
MANY_DAYS = hours("2022-03-01T00", 110 * 24)  # more than Athena writes partitions with one statement
MODELS = (
    "aggregations_hourly_ohlcv",
    "aggregations_daily_ohlcv",
    "aggregations_weekly_ohlcv",
    "aggregations_daily_returns",
    "aggregations_volatility",
    "aggregations_volume_leaders",
    "aggregations_cross_asset_correlation",
    "aggregations_cross_source_differences",
    "ml_features_hourly",
    "ml_features_labels",
    "reports_daily_market_summary",
    "reports_data_quality",
)


@pytest.fixture(scope="module")
def instance(module_settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(module_settings) as instance:
        yield instance


def lake(stack: Settings) -> Settings:
    """Return the stack with stores of its own, and the lake's tables in Glue."""
    settings = own_stores(stack)
    glue = aws_client(settings, "glue", settings.glue_endpoint_url)
    ensure_catalog(glue, database=settings.glue_database, bucket=settings.bucket)
    return settings


def extracted(settings: Settings, instance: dg.DagsterInstance, span: HourRange) -> ExtractReport:
    return extract(settings, span, ASSET_CLASSES, instance=instance)


def contents(settings: Settings) -> dict[str, list[tuple[str | None, ...]]]:
    """Return every model's rows, sorted; columns of raw counts left out, which grow with each attempt.

    Floats are compared to ten digits: a sum depends on the order of its rows in the last one.
    """
    athena, found = Athena(settings), {}
    for model in MODELS:
        answer = athena.run(f"select * from {model}")
        kept = [
            (index, column.type == "double")
            for index, column in enumerate(answer.columns)
            if "raw" not in column.name
        ]
        rows = [
            tuple(_digits(row[index]) if real else row[index] for index, real in kept)
            for row in answer.rows()
        ]
        found[model] = sorted(rows, key=str)
    return found


def _digits(text: str | None) -> str | None:
    return None if text is None else f"{float(text):.10g}"


def test_repeated_late_and_interrupted_builds_end_in_the_same_tables(
    stack: Settings, instance: dg.DagsterInstance
) -> None:
    straight = lake(stack)
    assert extracted(straight, instance, SPAN).succeeded
    wanted = contents(straight)
    assert all(wanted[model] for model in MODELS if "source" not in model), "nothing is compared with nothing"

    winding = lake(stack)
    before, after = HourRange(SPAN.start, LATE.start), HourRange(LATE.end, SPAN.end)
    for span in (before, after):
        assert extracted(winding, instance, span).succeeded
    assert contents(winding) != wanted, "an hour is missing yet"

    # a build that fails in the middle: what reads raw fails, what depends on it is not built
    glue = boto3.Session(region_name="us-east-1", **CREDENTIALS).client(
        "glue", endpoint_url=stack.glue_endpoint_url
    )
    glue.delete_table(DatabaseName=winding.glue_database, Name="raw_stocks")
    failed = extracted(winding, instance, LATE)
    assert any("raw_stocks" in failure for failure in failed.failures), failed.failures

    ensure_catalog(glue, database=winding.glue_database, bucket=winding.bucket)
    assert extracted(winding, instance, LATE).succeeded
    late = contents(winding)
    # the indicators of the hours that look back to it are made again by Dagster's automation
    assert {m: late[m] for m in MODELS if m != FEATURES} == {m: wanted[m] for m in MODELS if m != FEATURES}, (
        "after the late hour, and the failure"
    )
    assert extracted(winding, instance, SPAN).succeeded
    assert contents(winding) == wanted, "after the same days again"


FEATURES = "ml_features_hourly"
KILLED_AT = """
import os, re, signal, sys
from botocore.client import BaseClient
from fin_lake.analytics.project import PROJECT, load_manifest
from fin_lake.analytics.runner import run_dbt
from fin_lake.settings import load_settings

call = BaseClient._make_api_call

def killed_at(self, operation, parameters):
    if operation == "StartQueryExecution" and re.search(sys.argv[1], parameters["QueryString"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return call(self, operation, parameters)

BaseClient._make_api_call = killed_at
for _ in run_dbt(load_settings(), PROJECT, ["run", "--vars", sys.argv[2]], known=load_manifest()["nodes"]):
    pass
"""
BATCH_OF_A_MERGE = r"merge into .* using \(select \* from \S+__dbt_tmp\S+ where"
FIRST_BATCH = "insert into .*hourly_ohlcv__dbt_tmp"


def walks(settings: Settings) -> Settings:
    """Put an hour of each of many days into the lake."""
    for asset_class, symbols in (("stocks", ("A", "B")), ("crypto", ("A-USD",))):
        records = synthetic_records(asset_class, MANY_DAYS, symbols)
        fill(Lake(settings), asset_class, records, [hour for hour in MANY_DAYS if hour.hour == 15])
    return settings


def run_models(settings: Settings) -> None:
    command = ["run", "--vars", json.dumps(dbt_variables(MANY_DAYS))]
    for event in run_dbt(settings, PROJECT, command, known=load_manifest()["nodes"]):
        assert event.raw["info"]["level"] != "error", event.raw["info"]["msg"]


def run_models_until(settings: Settings, statement: str) -> None:
    """Build in a process that is killed when it is about to run a statement."""
    command = [sys.executable, "-c", KILLED_AT, statement, json.dumps(dbt_variables(MANY_DAYS))]
    done = subprocess.run(
        command, env=os.environ | environment(settings), capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def test_builds_of_many_days_that_are_killed_leave_no_part_of_a_table_and_no_litter(
    stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = walks(lake(stack))
    run_models(straight)
    wanted = contents(straight)
    killed = walks(lake(stack))
    athena = Athena(killed)

    run_models_until(killed, FIRST_BATCH)
    with pytest.raises(AthenaError, match="TABLE_NOT_FOUND"):
        athena.run("select count(*) from aggregations_hourly_ohlcv")
    run_models_until(killed, "create table .*ml_features_labels")
    run_models_until(killed, "merge into .*hourly_ohlcv")
    run_models_until(killed, BATCH_OF_A_MERGE)
    run_models(killed)
    assert contents(killed) == wanted

    def leftovers() -> list[str]:
        names = [name for (name,) in athena.run("show tables").rows()]
        return [name for name in names if re.search("__dbt_tmp", name or "")]

    assert leftovers()
    list(maintenance.maintain(killed, list(MODELS), print))
    assert leftovers(), "a build may still be at work with what is not a day old"
    monkeypatch.setattr(maintenance, "_LONGEST_BUILD", -maintenance._LONGEST_BUILD)
    list(maintenance.maintain(killed, list(MODELS), print))
    assert leftovers() == []
    assert contents(killed) == wanted
