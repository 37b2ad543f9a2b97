"""A run that fails is seen by a listener of DogStatsD and by CloudWatch, with its alarm."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from collections.abc import Iterator

import dagster as dg
import pytest

from fin_lake.automation.notices import build_notices, listeners, notice_of, tell
from fin_lake.clients import aws_client
from fin_lake.definitions import EXTRACT_JOB, build_definitions
from fin_lake.errors import FinLakeError
from fin_lake.notices.cloudwatch import alarms, ensure_alarms
from fin_lake.notices.notice import RunNotice
from fin_lake.settings import Settings
from fin_lake.sources.redaction import Redactor
from fin_lake_tests.ui import wait_for

pytestmark = pytest.mark.stack
HOUR = "2023-01-17-16:00"


class Agent:
    """What DataDog's agent is to its clients: a UDP port."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                self.received += self._socket.recv(65_536).decode().splitlines()
            except OSError:
                return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def agent() -> Iterator[Agent]:
    running = Agent()
    yield running
    running.close()


@pytest.fixture
def settings(stack_settings: Settings, agent: Agent) -> Settings:
    return stack_settings.model_copy(
        update={
            "datadog_host": "127.0.0.1",
            "datadog_port": agent.port,
            "cloudwatch_namespace": f"FinLake-{stack_settings.bucket}",
        }
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def run_to_failure(settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run the platform's own job on a bucket that is not there."""
    broken = settings.model_copy(update={"bucket": "no-such-bucket-anywhere"})
    job = build_definitions(broken).resolve_job_def(EXTRACT_JOB)
    return job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(["raw", "stocks"])],
        partition_key=HOUR,
        raise_on_error=False,
    )


def test_a_failed_run_is_seen_by_both_and_its_alarm_turns(settings: Settings, instance, agent: Agent):
    ensure_alarms(settings)
    result = run_to_failure(settings, instance)
    assert not result.success
    [failure, _] = build_notices(settings)
    context = dg.build_run_status_sensor_context(
        sensor_name=failure.name,
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    )
    failure(context)

    def kinds() -> bool:
        said = agent.received
        return all(any(line.startswith(kind) for line in said) for kind in ("_e{", "_sc|", "fin_lake.run"))

    wait_for("event, service check and gauges", kinds, seconds=10)
    [event] = [line for line in agent.received if line.startswith("_e{")]
    assert "fin_lake: extract of 2023-01-17-16:00 failed" in event
    assert "no-such-bucket-anywhere does not exist" in event
    assert "t:error" in event
    assert any(line.startswith("_sc|fin_lake.run|2") for line in agent.received)
    client = aws_client(settings, "cloudwatch", settings.cloudwatch_endpoint_url)
    now = dt.datetime.now(dt.UTC)
    found = client.get_metric_statistics(
        Namespace=settings.cloudwatch_namespace,
        MetricName="RunsFailed",
        Dimensions=[{"Name": "Job", "Value": EXTRACT_JOB}],
        StartTime=now - dt.timedelta(minutes=30),
        EndTime=now + dt.timedelta(minutes=30),
        Period=3600,
        Statistics=["Sum"],
    )
    assert sum(point["Sum"] for point in found["Datapoints"]) == 1

    def turned() -> bool:
        [alarm] = client.describe_alarms(AlarmNames=["fin-lake-run-failed"])["MetricAlarms"]
        return alarm["Namespace"] == settings.cloudwatch_namespace and alarm["StateValue"] == "ALARM"

    wait_for("the alarm", turned, seconds=60)


def test_alarms_are_set_again_without_harm(settings: Settings):
    names = ensure_alarms(settings)
    assert ensure_alarms(settings) == names
    client = aws_client(settings, "cloudwatch", settings.cloudwatch_endpoint_url)
    there = client.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert sorted(alarm["AlarmName"] for alarm in there) == sorted(names)
    wanted = {alarm["AlarmName"]: alarm for alarm in alarms(settings.cloudwatch_namespace)}
    for alarm in there:
        for name, value in wanted[alarm["AlarmName"]].items():
            assert alarm.get(name, value) == value, name


def test_a_listener_that_is_down_keeps_nothing_from_the_other(settings: Settings, agent: Agent):
    deaf = settings.model_copy(update={"cloudwatch_endpoint_url": "http://127.0.0.1:9"})
    notice = RunNotice("1", "extract", succeeded=False, ended_at=dt.datetime.now(dt.UTC), seconds=1.0)
    warned: list[str] = []
    with pytest.raises(FinLakeError, match="CloudWatch"):
        tell(listeners(deaf), notice, warned.append)
    wait_for("the event", lambda: any(line.startswith("_e{") for line in agent.received), seconds=10)
    assert len(warned) == 1


def test_no_secret_is_in_a_notice(settings: Settings, instance):
    password = "a-password-of-nobody"

    @dg.asset
    def leaks() -> None:
        raise RuntimeError(f"cannot connect to postgresql://me:{password}@host/db")

    result = dg.materialize([leaks], instance=instance, raise_on_error=False)
    notice = notice_of(instance, result.dagster_run, Redactor([f"postgresql://me:{password}@host/db"]))
    assert "cannot connect" in notice.text
    assert password not in repr(notice)
    assert password not in notice.text


def test_freshness_and_checks_are_told(settings: Settings, instance):
    job = build_definitions(settings).resolve_job_def("check_freshness")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    notice = notice_of(instance, result.dagster_run, Redactor([]))
    assert notice.job == "check_freshness"
    assert notice.checks_passed + notice.checks_warned == 2


def test_where_nobody_listens_there_is_no_sensor(stack_settings: Settings):
    quiet = stack_settings.model_copy(update={"datadog_host": "", "cloudwatch_namespace": ""})
    assert build_notices(quiet) == []
