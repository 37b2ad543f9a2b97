"""Spark on real workers against the stack's S3: what it makes is what a process makes, byte for byte."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pyspark
import pytest
from polars.testing import assert_frame_equal

from fin_lake.assets.hourly import tags_of_hours
from fin_lake.assets.spark import AVERAGE_CLOSE
from fin_lake.definitions import EXTRACT_JOB, SPARK_JOB, build_definitions
from fin_lake.engines.spark.averages import AVERAGES_KEY
from fin_lake.engines.spark.errors import SparkError
from fin_lake.engines.spark.submit import JOB_KEY, MESSAGES_PREFIX, Spark
from fin_lake.lake.processed import read_hours
from fin_lake.lake.raw import read_attempts
from fin_lake.lake.store import Lake
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange, parse_hour
from fin_lake.settings import SPARK_ASSETS, Settings, environment
from fin_lake.tables import PROCESSED, RAW, TECHNICAL_ANALYSIS
from fin_lake.transforms.bars import hourly_bars
from fin_lake_tests.conftest import hours
from fin_lake_tests.spark_cluster import Cluster, spark_cluster

pytestmark = pytest.mark.stack

PACK = HourRange(parse_hour("2023-01-03"), parse_hour("2023-01-30T21"))
DAY = hours("2023-01-03", 24)
SMALL = {"spark.executor.memory": "512m", "spark.driver.memory": "512m"}
STOCKS = ("processed/stocks", "quarantine/stocks", "processed/corporate_actions")
CLEANED = (*STOCKS, "processed/crypto", "quarantine/crypto")
Etags = dict[str, str]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with spark_cluster(tmp_path_factory.mktemp("spark")) as running:
        yield running


@pytest.fixture(scope="module")
def made(module_settings: Settings) -> tuple[Settings, Etags]:
    """The whole recording, made in process, and what it left in the lake."""
    for assets in (("raw/stocks", "raw/crypto"), CLEANED):
        assert run(module_settings, PACK, *assets).success
    return module_settings, processed(module_settings)


def processed(settings: Settings) -> Etags:
    """Return the ETags of what is computed of raw: of equal bytes they are equal."""
    prefixes = [
        "processed/stocks/",
        "processed/crypto/",
        "processed/corporate_actions/",
        "processed/_quarantine/",
        "processed/technical_analysis/",
    ]
    return {info.key: info.etag for info in Lake(settings).list_objects(prefixes)}


def wipe(settings: Settings) -> None:
    client = Lake(settings).boto3_client
    keys = [{"Key": key} for key in processed(settings)]
    for start in range(0, len(keys), 1_000):
        client.delete_objects(Bucket=settings.bucket, Delete={"Objects": keys[start : start + 1_000]})
    assert not processed(settings)


def on_spark(settings: Settings, master: str, **conf: str) -> Settings:
    return settings.model_copy(
        update={
            "spark_master": master,
            "spark_from_hours": dict.fromkeys(SPARK_ASSETS, 2),
            "spark_conf": SMALL | conf,
        }
    )


def run(
    settings: Settings, span: HourRange, *assets: str, spark: Spark | None = None
) -> dg.ExecuteInProcessResult:
    resources = {"spark": spark} if spark else None
    job = build_definitions(settings, resources=resources).resolve_job_def(EXTRACT_JOB)
    keys = {dg.AssetKey.from_user_string(name) for name in assets}
    with open_instance(settings) as instance:
        return job.get_subset(asset_selection=keys).execute_in_process(
            instance=instance, raise_on_error=False, tags=tags_of_hours(span)
        )


def test_the_whole_recording_reprocessed_on_two_workers_equals_what_a_process_makes(
    made: tuple[Settings, Etags], cluster: Cluster
) -> None:
    settings, before = made
    wipe(settings)
    settings = on_spark(settings, cluster.url)
    assert run(settings, PACK, *CLEANED).success
    assert processed(settings) == before
    assert len(before) == 7 * len(PACK)


def test_books_and_checks_come_back_to_the_hours(made: tuple[Settings, Etags], cluster: Cluster) -> None:
    settings, _ = made
    here = run(settings, DAY, *CLEANED)
    there = run(on_spark(settings, cluster.url), DAY, *CLEANED)

    def told(done: dg.ExecuteInProcessResult) -> tuple[Any, Any]:
        numbers = {
            (event.asset_key, event.partition): {
                name: value.value
                for name, value in event.materialization.metadata.items()
                if isinstance(value, (dg.IntMetadataValue, dg.TextMetadataValue))
                and not name.startswith(("s3_", "bytes_"))
            }
            for event in done.get_asset_materialization_events()
        }
        checks = {
            (one.asset_key, one.check_name): (one.passed, one.metadata)
            for one in done.get_asset_check_evaluations()
        }
        return numbers, checks

    (numbers, checks), (numbers_there, checks_there) = told(here), told(there)
    assert numbers_there == numbers
    assert checks_there == checks
    assert len(checks) == 10


def test_indicators_of_hours_come_from_the_lake_where_spark_computes(
    made: tuple[Settings, Etags], cluster: Cluster
) -> None:
    settings = on_spark(made[0], cluster.url)
    assert run(settings, DAY, "technical_analysis/stocks").success
    rows = read_hours(Lake(settings), TECHNICAL_ANALYSIS["stocks"], DAY)
    bars = read_hours(Lake(settings), PROCESSED["stocks"], DAY)
    of_bars = hourly_bars(bars).select("symbol", "timestamp", "close_price")
    assert_frame_equal(rows.select(of_bars.columns), of_bars, check_row_order=False)


def test_a_worker_killed_in_the_middle_loses_nothing(made: tuple[Settings, Etags], cluster: Cluster) -> None:
    settings, before = made
    of_stocks = {
        key for key in before if key.startswith(("processed/stocks/", "processed/_quarantine/stocks"))
    }
    wipe(settings)
    results: list[dg.ExecuteInProcessResult] = []
    running = threading.Thread(
        target=lambda: results.append(run(on_spark(settings, cluster.url), PACK, *STOCKS))
    )
    running.start()
    while running.is_alive() and not processed(settings):
        running.join(0.05)
    assert running.is_alive(), "it ended before it could be disturbed"
    cluster.kill_worker()
    running.join()
    assert results[0].success
    after = processed(settings)
    assert {key: after.get(key) for key in of_stocks} == {key: before[key] for key in of_stocks}


def test_fewer_hours_than_the_setting_says_stay_in_process(made: tuple[Settings, Etags]) -> None:
    settings = on_spark(made[0], "spark://127.0.0.1:1")  # where nothing answers
    assert run(settings, hours("2023-01-03T15"), *STOCKS).success


def test_the_average_close_is_that_of_the_latest_attempts(made: tuple[Settings, Etags]) -> None:
    settings = on_spark(made[0], "local[2]")
    job = build_definitions(settings).resolve_job_def(SPARK_JOB)
    config = {"ops": {AVERAGE_CLOSE.to_python_identifier(): {"config": {"minimum_volume": 500_000.0}}}}
    with open_instance(settings) as instance:
        done = job.execute_in_process(instance=instance, run_config=config)
    lake = Lake(settings)
    stored = pl.read_parquet(lake.get(AVERAGES_KEY))
    raw = read_attempts(lake, RAW["stocks"], PACK).filter(pl.col("kind") == "bar")
    latest = raw.sort("fetched_at").unique(("symbol", "source", "interval", "timestamp"), keep="last")
    large = latest.filter(pl.col("volume") > 500_000)
    expected = large.group_by("symbol").agg(
        avg_price=pl.col("close_price").mean(), bars=pl.len().cast(pl.Int64)
    )
    assert_frame_equal(stored, expected.sort("symbol"), rel_tol=1e-12)
    (event,) = done.get_asset_materialization_events()
    assert event.materialization.metadata["dagster/row_count"].value == stored.height


class StandIn:
    """Answers as a service of AWS does, and really submits the job, with its environment and no other."""

    class meta:  # noqa: N801 - boto3's name
        region_name = "us-east-1"

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder, self._jobs = settings, folder, {}

    def submit(self, entry: str, arguments: list[str], conf: list[str], **env: str) -> str:
        bucket, _, key = entry.removeprefix("s3://").partition("/")
        assert bucket == self._settings.bucket
        (self._folder / "job.py").write_bytes(Lake(self._settings).get(key))
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")
        of_role = {name: value for name, value in environment(self._settings).items() if name in keys}
        here = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "JAVA_HOME", "PYTHONPATH")
            if name in os.environ
        }
        command = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", "local[1]"]
        command += [*conf, str(self._folder / "job.py"), *arguments]
        env = {**here, **of_role, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1", **env}
        log = (self._folder / "log").open("wb")
        name = uuid.uuid4().hex
        self._jobs[name] = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=self._folder)
        return name

    def state(self, name: str, *, done: str) -> str:
        code = self._jobs[name].poll()
        return "RUNNING" if code is None else done if code == 0 else "FAILED"


class EmrServerless(StandIn):
    def start_job_run(self, *, applicationId, jobDriver, **_):  # noqa: N803
        submit = jobDriver["sparkSubmit"]
        conf = shlex.split(submit["sparkSubmitParameters"])
        prefix = "spark.emr-serverless.driverEnv."
        pairs = [one.removeprefix(prefix).partition("=") for one in conf if one.startswith(prefix)]
        env = {name: value for name, _, value in pairs}
        name = self.submit(submit["entryPoint"], submit["entryPointArguments"], conf, **env)
        return {"jobRunId": name, "applicationId": applicationId, "arn": "arn"}

    def get_job_run(self, *, applicationId, jobRunId):  # noqa: N803
        state = self.state(jobRunId, done="SUCCESS")
        return {"jobRun": {"applicationId": applicationId, "jobRunId": jobRunId, "state": state}}

    def get_dashboard_for_job_run(self, **_):
        return {"url": "http://127.0.0.1/"}

    def get_application(self, **_):
        return {"application": {"type": "Spark"}}


class Glue(StandIn):
    def start_job_run(self, *, JobName, Arguments):  # noqa: N803
        given = {"--JOB_NAME": JobName, **Arguments}
        entry = f"s3://{self._settings.bucket}/{JOB_KEY}"
        return {"JobRunId": self.submit(entry, [text for pair in given.items() for text in pair], [])}

    def get_job_run(self, *, RunId, **_):  # noqa: N803
        return {"JobRun": {"Id": RunId, "JobRunState": self.state(RunId, done="SUCCEEDED")}}


class Emr(StandIn):
    """A cluster that has one step, and is terminated when that has ended."""

    def run_job_flow(self, *, Name, Steps, Configurations, **_):  # noqa: N803
        assert Name == "of the file"
        (step,) = Steps
        program, *given = step["HadoopJarStep"]["Args"]
        assert program == "spark-submit"
        (entry,) = [place for place, text in enumerate(given) if text.startswith("s3://")][:1]
        (of_spark,) = [one for one in Configurations if one["Classification"] == "spark-env"]
        (exported,) = of_spark["Configurations"]
        name = self.submit(given[entry], given[entry + 1 :], given[:entry], **exported["Properties"])
        return {"JobFlowId": name}

    def describe_cluster(self, *, ClusterId):  # noqa: N803
        state = self.state(ClusterId, done="TERMINATING")
        state = {"FAILED": "TERMINATED_WITH_ERRORS"}.get(state, state)
        return {"Cluster": {"Id": ClusterId, "Status": {"State": state}}}

    def get_waiter(self, name):
        def wait(*, ClusterId):  # noqa: N803
            if name == "cluster_terminated":
                self._jobs[ClusterId].wait()

        return SimpleNamespace(wait=wait)


@pytest.mark.parametrize(
    ("master", "client"),
    [("emr-serverless:00f1", EmrServerless), ("glue:fin-lake", Glue), ("emr:cluster.json", Emr)],
)
def test_the_same_job_runs_where_aws_runs_it(
    made: tuple[Settings, Etags],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    master: str,
    client: Callable[..., StandIn],
) -> None:
    settings, before = made
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.json").write_text('{"Name": "of the file"}')
    settings = on_spark(settings, master).model_copy(
        update={"spark_role": "arn:aws:iam::123456789012:role/spark"}
    )
    service = master.partition(":")[0]
    spark = Spark(settings, {service: client(settings, tmp_path)}, poll_seconds=0.5)
    wipe(settings)
    done = run(settings, DAY, *CLEANED, spark=spark)
    assert done.success, (tmp_path / "log").read_text()[-3_000:]
    after = processed(settings)
    assert after
    assert after == {key: before[key] for key in after}
    assert Lake(settings).list_objects([MESSAGES_PREFIX])
    secret = str(settings.aws_secret_access_key and settings.aws_secret_access_key.get_secret_value())
    assert f'"{secret}"' not in (tmp_path / "log").read_text()


def test_a_job_that_cannot_start_is_named_with_its_master(made: tuple[Settings, Etags]) -> None:
    settings = on_spark(made[0], "local[2]", **{"spark.driver.memory": "plenty"})
    done = run(settings, hours("2023-01-03T15", 2), *STOCKS)
    assert not done.success
    (failure,) = [e for e in done.all_events if e.is_step_failure]
    error = failure.step_failure_data.error
    assert error.cause.cls_name == SparkError.__name__
    assert "local[2]" in error.cause.message


def test_a_cluster_that_ends_without_a_result_is_told(
    made: tuple[Settings, Etags], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.json").write_text('{"Name": "of the file"}')
    settings = on_spark(made[0], "emr:cluster.json", **{"spark.driver.memory": "plenty"})
    spark = Spark(settings, {"emr": Emr(settings, tmp_path)}, poll_seconds=0.5)
    done = run(settings, hours("2023-01-03T15", 2), *STOCKS, spark=spark)
    assert not done.success
    (failure,) = [e for e in done.all_events if e.is_step_failure]
    error = failure.step_failure_data.error
    assert error.cause.cls_name == SparkError.__name__
    assert "emr:cluster.json ended and told no result" in error.cause.message
