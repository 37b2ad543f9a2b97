"""An S3 Inventory, laid out as AWS documents it, gives what a listing would."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fin_lake.lake.inventory import InventoryError, inventory_metrics
from fin_lake.lake.storage_metrics import AgeBand, Count, Group
from fin_lake.lake.store import Lake

BEGUN = dt.datetime(2026, 11, 1, 1, 0, tzinfo=dt.UTC)
CSV_SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"
# key, is latest, is a delete marker, size, days old, class
OBJECTS = [
    ("raw/stocks/year=2023/month=01/day=03/hour=15/a b+c.json.gz", True, False, 200_000, 5, "STANDARD"),
    ("raw/stocks/year=2023/month=01/day=03/hour=16/x.json.gz", True, False, 10, 40, "STANDARD_IA"),
    ("raw/stocks/year=2023/month=01/day=03/hour=16/x.json.gz", False, False, 99, 50, "STANDARD"),
    ("raw/stocks/year=2023/month=01/day=03/hour=17/gone.json.gz", True, True, None, 1, None),
]
EXPECTED = {
    Group("raw", "raw/stocks", "STANDARD", AgeBand.FRESH): Count(1, 200_000),
    Group("raw", "raw/stocks", "STANDARD_IA", AgeBand.MIDDLE): Count(1, 10, 1, 10),
}


def moment(days: int) -> dt.datetime:
    return BEGUN - dt.timedelta(days=days)


def as_csv(bucket: str) -> bytes:
    lines = []
    for key, latest, marker, size, days, kind in OBJECTS:
        cells = [
            bucket, quote_plus(key, safe="/"), "v1", str(latest).lower(), str(marker).lower(),
            "" if size is None else str(size), f"{moment(days):%Y-%m-%dT%H:%M:%S.000Z}", "etag", kind or "",
        ]  # fmt: skip
        lines.append(",".join(f'"{cell}"' for cell in cells))
    return gzip.compress(("\n".join(lines) + "\n").encode())


def as_parquet(bucket: str) -> bytes:
    keys, latest, markers, sizes, days, kinds = map(list, zip(*OBJECTS, strict=True))
    table = pa.table(
        {
            "bucket": [bucket] * len(keys),
            "key": keys,
            "is_latest": latest,
            "is_delete_marker": markers,
            "size": pa.array(sizes, pa.int64()),
            "last_modified_date": pa.array([moment(one) for one in days], pa.timestamp("ms")),
            "storage_class": kinds,
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def deliver(
    lake: Lake, begun: dt.datetime, kind: str, data: bytes, source: str = "", schema: str = ""
) -> str:
    folder = f"inventories/{source or lake.bucket}/daily"
    ending = {"CSV": "csv.gz", "Parquet": "parquet", "ORC": "orc"}[kind]
    lake.put(f"{folder}/data/{begun:%d%H}.{ending}", data)
    manifest = {
        "sourceBucket": source or lake.bucket,
        "destinationBucket": f"arn:aws:s3:::{lake.bucket}",
        "version": "2016-11-30",
        "creationTimestamp": str(int(begun.timestamp() * 1000)),
        "fileFormat": kind,
        "fileSchema": schema or CSV_SCHEMA,
        "files": [{"key": f"{folder}/data/{begun:%d%H}.{ending}", "size": len(data), "MD5checksum": "f111"}],
    }
    key = f"{folder}/{begun:%Y-%m-%dT%H-%MZ}/manifest.json"
    lake.put(key, json.dumps(manifest).encode())
    lake.put(key.replace("json", "checksum"), b"f111")
    return key


@pytest.mark.parametrize(("kind", "encode"), [("CSV", as_csv), ("Parquet", as_parquet)])
def test_current_versions_are_counted_and_replaced_ones_beside_them(lake, kind, encode):
    key = deliver(lake, BEGUN, kind, encode(lake.bucket))
    found = inventory_metrics(lake, lake.uri("inventories"))
    assert found.groups == EXPECTED
    assert found.noncurrent == Count(1, 99, 1, 99)
    assert (found.hours, found.at, found.source) == (2, BEGUN, lake.uri(key))
    assert any(key.endswith("/a b+c.json.gz") for key in found.samples["raw/stocks"])


def test_the_newest_inventory_of_the_bucket_is_read(lake):
    deliver(lake, BEGUN, "Parquet", as_parquet(lake.bucket))
    deliver(lake, BEGUN - dt.timedelta(days=1), "CSV", b"an old one, which is not read")
    deliver(lake, BEGUN + dt.timedelta(days=1), "CSV", b"another bucket's", source="somebody-elses")
    assert inventory_metrics(lake, lake.uri("inventories")).groups == EXPECTED


def test_a_manifest_can_be_named_itself(lake):
    old = deliver(lake, BEGUN, "Parquet", as_parquet(lake.bucket))
    deliver(lake, BEGUN + dt.timedelta(days=1), "CSV", as_csv(lake.bucket))
    assert inventory_metrics(lake, lake.uri(old)).at == BEGUN


@pytest.mark.parametrize(
    ("kind", "schema", "said"),
    [("ORC", "", "ORC"), ("CSV", "Bucket, Key, Size", "has no last_modified_date")],
)
def test_what_an_inventory_lacks_is_said(lake, kind, schema, said):
    deliver(lake, BEGUN, kind, as_csv(lake.bucket), schema=schema)
    with pytest.raises(InventoryError, match=said):
        inventory_metrics(lake, lake.uri("inventories"))


def test_where_no_inventory_is_it_says_so(lake):
    deliver(lake, BEGUN, "CSV", b"", source="somebody-elses")
    with pytest.raises(InventoryError, match=r"no inventory of .*somebody-elses"):
        inventory_metrics(lake, lake.uri("inventories"))
    with pytest.raises(InventoryError, match="no place in S3"):
        inventory_metrics(lake, "inventories")
