"""S3's messages: which objects they name, and which are none."""

from __future__ import annotations

import json

import pytest

from fin_lake.lake.notifications import NotificationError, created_objects


def event(key: str, *, bucket: str = "lake", name: str = "ObjectCreated:Put") -> dict[str, object]:
    """Return a record in AWS's documented form, shortened to what varies."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 3, "eTag": "1", "sequencer": "0A"}},
    }


def message(*records: dict[str, object]) -> str:
    return json.dumps({"Records": list(records)})


def test_keys_are_decoded_and_named_once():
    body = message(
        event("raw/stocks/year%3D2023/month%3D01/a+b%2Bc.json.gz"),
        event("raw/x", name="ObjectCreated:CompleteMultipartUpload"),
        event("raw/x"),
    )
    assert created_objects(body, "lake") == ["raw/stocks/year=2023/month=01/a b+c.json.gz", "raw/x"]


def test_deletions_other_buckets_and_the_test_of_the_queue_name_nothing():
    assert created_objects(message(event("raw/x", name="ObjectRemoved:Delete")), "lake") == []
    assert created_objects(message(event("raw/x", bucket="other")), "lake") == []
    assert created_objects(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}), "lake") == []
    assert created_objects(message(), "lake") == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        "{}",
        "null",
        '{"Records": 3}',
        '{"Records": [{}]}',
        '{"Records": [{"s3": null}]}',
        '{"Event": "other"}',
        "\ud800",
    ],
)
def test_what_is_no_message_of_s3_is_refused(body: str):
    with pytest.raises(NotificationError, match="none of S3's"):
        created_objects(body, "lake")
