"""What a bucket holds, counted from a listing: by layer, dataset, storage class, age and size."""

from __future__ import annotations

import datetime as dt

import pytest

from fin_lake.lake.storage_metrics import SMALL, AgeBand, Counting, storage_metrics
from fin_lake.lake.store import Lake, LakeError
from fin_lake.settings import Settings

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
OF_AN_HOUR = "year=2023/month=01/day=03/hour=15"


def put(lake: Lake, key: str, size: int, storage_class: str = "STANDARD") -> None:
    lake.boto3_client.put_object(Bucket=lake.bucket, Key=key, Body=b"x" * size, StorageClass=storage_class)


def by_dataset(metrics):
    return {name: (count.objects, count.size) for name, count in metrics.by(lambda one: one.dataset).items()}


def test_every_object_is_counted_once_in_its_dataset(lake):
    for hour in range(10, 20):
        put(lake, f"raw/stocks/year=2023/month=01/day=03/hour={hour}/stock_data.json.gz", 100)
        put(lake, f"processed/stocks/parquet/year=2023/month=01/day=03/hour={hour}/stock_data.parquet", 10)
    put(lake, "processed/_quarantine/crypto/year=2023/month=01/day=03/hour=10/crypto.parquet", 7)
    put(lake, "analytics/aggregations/daily/0b6f4a52/data/x.parquet", 5)
    put(lake, "analytics/aggregations/daily/1c6f4a52/data/y.parquet", 6)
    put(lake, "analytics/reports/market_report/market_report.html", 4)
    put(lake, "athena-results/tables/0b6f/manifest.csv", 3)
    put(lake, "somebody/elses.bin", 2)
    put(lake, "at-the-top.txt", 1)

    metrics = storage_metrics(lake, at=NOW)

    assert by_dataset(metrics) == {
        "raw/stocks": (10, 1_000),
        "processed/stocks/parquet": (10, 100),
        "processed/_quarantine/crypto": (1, 7),
        "analytics/aggregations/daily": (2, 11),
        "analytics/reports/market_report": (1, 4),
        "athena-results": (1, 3),
        "other": (2, 3),
    }
    assert (metrics.total.objects, metrics.total.size) == (27, 1_128)
    assert metrics.hours == 10


def test_a_listing_of_many_pages_and_prefixes_is_read_to_its_end(lake):
    for hour in range(24):
        for attempt in range(50):
            lake.put(f"raw/crypto/year=2023/month=01/day=03/hour={hour:02}/crypto_{attempt:04}.json.gz", b"x")
    for number in range(1_050):  # more than a page holds
        lake.put(f"athena-results/{number}.csv", b"xy")
    told: list[int] = []

    metrics = storage_metrics(lake, progress=told.append)

    assert by_dataset(metrics) == {"raw/crypto": (1_200, 1_200), "athena-results": (1_050, 2_100)}
    assert sum(told) == 2_250


def test_storage_classes_and_small_objects_are_told_apart(lake):
    put(lake, f"raw/stocks/{OF_AN_HOUR}/a.json.gz", SMALL - 1)
    put(lake, f"raw/stocks/{OF_AN_HOUR}/b.json.gz", SMALL)
    put(lake, f"raw/stocks/{OF_AN_HOUR}/c.json.gz", 200_000, "STANDARD_IA")
    put(lake, f"raw/stocks/{OF_AN_HOUR}/d.json.gz", 300_000, "GLACIER_IR")

    metrics = storage_metrics(lake)

    classes = metrics.by(lambda one: one.storage_class)
    assert {name: count.size for name, count in classes.items()} == {
        "STANDARD": 2 * SMALL - 1,
        "STANDARD_IA": 200_000,
        "GLACIER_IR": 300_000,
    }
    assert (metrics.total.small_objects, metrics.total.small_size) == (1, SMALL - 1)


@pytest.mark.parametrize(
    ("days", "band"), [(0, "0-30"), (29.9, "0-30"), (30, "30-90"), (89.9, "30-90"), (90, "90+"), (900, "90+")]
)
def test_age_bands_are_those_of_the_lifecycle(days, band):
    counting = Counting("a", NOW)
    counting.add([("raw/stocks/x", 1, NOW - dt.timedelta(days=days), "STANDARD")])
    (group,) = counting.result().groups
    assert group.age is AgeBand(band)


def test_ages_are_reckoned_by_the_clock_of_s3_not_of_the_recording(bucket_settings: Settings):
    lake = Lake(bucket_settings.model_copy(update={"now": dt.datetime(2023, 1, 30, tzinfo=dt.UTC)}))
    lake.put(f"raw/stocks/{OF_AN_HOUR}/a.json.gz", b"x")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=31)
    assert [one.age for one in storage_metrics(lake).groups] == [AgeBand.FRESH]
    assert [one.age for one in storage_metrics(lake, at=later).groups] == [AgeBand.MIDDLE]


def test_an_empty_bucket_holds_nothing(lake):
    metrics = storage_metrics(lake)
    assert (metrics.total.objects, metrics.total.size, metrics.groups) == (0, 0, {})


def test_a_bucket_that_is_not_there_is_named(bucket_settings: Settings):
    lake = Lake(bucket_settings.model_copy(update={"bucket": "nobody-has-made-it"}))
    with pytest.raises(LakeError, match=r"s3://nobody-has-made-it.*NoSuchBucket"):
        storage_metrics(lake)
