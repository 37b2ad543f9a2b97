"""The sensor of S3's messages, on a real queue."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import dagster as dg
import pytest

from fin_lake.automation.sensors import build_sensors
from fin_lake.clients import aws_client
from fin_lake.lake import notifications
from fin_lake.lake.notifications import ensure_notifications
from fin_lake.lake.store import Lake
from fin_lake.lake.uploader import S3Uploader
from fin_lake.local.processes import wait_until
from fin_lake.settings import Settings

STOCKS = dg.AssetKey(["raw", "stocks"])
HOUR = "raw/stocks/year=2023/month=01/day=10/hour=15"


@pytest.fixture
def settings(stack_settings: Settings) -> Settings:
    changed = stack_settings.model_copy(update={"notifications_queue": stack_settings.bucket})
    ensure_notifications(changed)
    return changed


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def tick(settings: Settings, instance: dg.DagsterInstance) -> str:
    [sensor] = [one for one in build_sensors(settings) if one.name == "raw_notifications"]
    with dg.build_sensor_context(instance=instance) as context:
        return str(sensor(context).skip_reason)


def line() -> bytes:
    return gzip.compress(json.dumps({"symbol": "AAPL"}).encode() + b"\n", mtime=0)


def recorded(instance: dg.DagsterInstance) -> list[str]:
    records = instance.fetch_materializations(STOCKS, limit=99, ascending=True).records
    made = [one.asset_materialization for one in records]
    return [uri.rpartition("/")[2] for one in made for uri in one.metadata["objects"].value]


def messages(settings: Settings, queue: str) -> int:
    sqs = aws_client(settings, "sqs", settings.sqs_endpoint_url)
    asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"]
    return sum(map(int, found.values()))


def test_a_dropped_object_is_recorded_and_its_message_deleted(settings: Settings, instance):
    lake = Lake(settings)
    lake.put(f"{HOUR}/a b+c.json.gz", line())
    assert messages(settings, settings.notifications_queue) >= 1
    tick(settings, instance)
    assert recorded(instance) == ["a b+c.json.gz"]
    assert messages(settings, settings.notifications_queue) == 0
    tick(settings, instance)
    assert recorded(instance) == ["a b+c.json.gz"]


def test_messages_twice_out_of_order_and_of_deleted_objects_do_no_harm(settings: Settings, instance):
    lake = Lake(settings)
    sqs = aws_client(settings, "sqs", settings.sqs_endpoint_url)
    url = sqs.get_queue_url(QueueName=settings.notifications_queue)["QueueUrl"]
    for name in ("a", "b", "a"):
        lake.put(f"{HOUR}/{name}.json.gz", line())
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": lake.bucket}}}
    for key in (f"{HOUR}/a.json.gz", f"{HOUR}/a.json.gz", f"{HOUR}/gone.json.gz"):
        body = {"Records": [{**record, "s3": {**record["s3"], "object": {"key": key}}}]}
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    tick(settings, instance)
    tick(settings, instance)
    assert sorted(recorded(instance)) == ["a.json.gz", "b.json.gz"]
    assert messages(settings, settings.notifications_queue) == 0


def test_a_message_stays_until_its_hour_is_in_the_event_log(settings: Settings, instance, monkeypatch):
    """The event log fails once, in the middle of a tick."""
    monkeypatch.setattr(notifications, "HIDDEN_SECONDS", 0)  # as if its time were over at once
    ensure_notifications(settings)
    Lake(settings).put(f"{HOUR}/a.json.gz", line())

    def fail(_event: object) -> None:
        raise RuntimeError("the database went away")

    with monkeypatch.context() as patched:
        patched.setattr(instance, "report_runless_asset_event", fail)
        with pytest.raises(RuntimeError):
            tick(settings, instance)
    assert messages(settings, settings.notifications_queue) >= 1
    tick(settings, instance)
    assert recorded(instance) == ["a.json.gz"]


def test_a_poison_message_ends_in_the_dead_letter_queue(settings: Settings, instance, monkeypatch):
    monkeypatch.setattr(notifications, "MOST_RECEIVES", 1)
    monkeypatch.setattr(notifications, "HIDDEN_SECONDS", 1)
    ensure_notifications(settings)
    sqs = aws_client(settings, "sqs", settings.sqs_endpoint_url)
    url = sqs.get_queue_url(QueueName=settings.notifications_queue)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    Lake(settings).put(f"{HOUR}/a.json.gz", line())
    assert "1 not understood" in tick(settings, instance)
    assert recorded(instance) == ["a.json.gz"]

    def is_dead() -> bool:
        tick(settings, instance)
        return messages(settings, f"{settings.notifications_queue}-dead") == 1

    assert wait_until(is_dead, seconds=20)
    assert messages(settings, settings.notifications_queue) == 0


def test_setting_up_twice_changes_nothing_and_leaves_other_notifications(settings: Settings):
    s3 = aws_client(settings, "s3", settings.aws_endpoint_url)
    sqs = aws_client(settings, "sqs", settings.sqs_endpoint_url)
    other = sqs.create_queue(QueueName=f"{settings.bucket}-other")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=other, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    there = s3.get_bucket_notification_configuration(Bucket=settings.bucket)["QueueConfigurations"]
    theirs = {"Id": "theirs", "QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=settings.bucket, NotificationConfiguration={"QueueConfigurations": [*there, theirs]}
    )
    before = s3.get_bucket_notification_configuration(Bucket=settings.bucket)["QueueConfigurations"]
    ensure_notifications(settings)
    after = s3.get_bucket_notification_configuration(Bucket=settings.bucket)["QueueConfigurations"]
    assert sorted(one["Id"] for one in after) == ["fin-lake-raw-objects", "theirs"]
    assert sorted(map(str, after)) == sorted(map(str, before))


def test_what_the_uploader_puts_is_recorded_as_its_hour(settings: Settings, instance):
    bar = {"symbol": "AAPL", "timestamp": "2023-01-10T15:00", "close": 11.0}
    address = S3Uploader(settings).upload_stock_data([bar])
    tick(settings, instance)
    assert recorded(instance) == [address.rpartition("/")[2]]
    [record] = instance.fetch_materializations(STOCKS, limit=9).records
    assert record.partition_key == "2023-01-10-15:00"
