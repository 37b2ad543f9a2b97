"""The uploader by itself, on an S3 in memory and on one that misbehaves."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import math

import boto3
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fin_lake.lake.raw import read_attempts
from fin_lake.lake.store import Lake, LakeError
from fin_lake.lake.uploader import S3Uploader, UploadError
from fin_lake.partitions import HourRange, parse_hour
from fin_lake.settings import Settings, SettingsError, load_settings
from fin_lake.tables import RAW
from fin_lake.transforms.clean import clean
from fin_lake_tests.conftest import CREDENTIALS

BARS = [
    {
        "symbol": "AAPL",
        "timestamp": f"2023-01-03T{hour}:00:00Z",
        "open": 10.0,
        "high": 12.0,
        "low": 9.0,
        "close": 11.0,
        "volume": 100,
        "note": "kept",
    }
    for hour in (15, 16)
]
AS = {
    "dicts": lambda rows: rows,
    "pandas": pd.DataFrame,
    "pandas by time": lambda rows: pd.DataFrame(rows).set_index("timestamp"),
    "polars": pl.DataFrame,
    "lazy": pl.LazyFrame,
    "arrow": pa.Table.from_pylist,
    "times": lambda rows: pd.DataFrame(rows).assign(timestamp=lambda f: pd.to_datetime(f["timestamp"])),
    "naive times": lambda rows: [
        {**row, "timestamp": dt.datetime.fromisoformat(row["timestamp"]).replace(tzinfo=None)} for row in rows
    ],
    "seconds": lambda rows: [
        {**row, "timestamp": dt.datetime.fromisoformat(row["timestamp"]).timestamp()} for row in rows
    ],
    "milliseconds": lambda rows: [
        {**row, "timestamp": int(dt.datetime.fromisoformat(row["timestamp"]).timestamp() * 1000)}
        for row in rows
    ],
}


@pytest.fixture
def uploader(bucket_settings: Settings) -> S3Uploader:
    return S3Uploader(bucket_settings)


@pytest.mark.parametrize("kind", AS)
def test_bars_of_any_form_become_clean_bars_of_their_hours(uploader, lake: Lake, kind: str):
    addresses = uploader.upload_bars("stocks", AS[kind](BARS))
    assert [address.rpartition("/stock_data_")[0] for address in addresses] == [
        f"s3://{lake.bucket}/raw/stocks/year=2023/month=01/day=03/hour={hour}" for hour in (15, 16)
    ]
    span = HourRange(parse_hour("2023-01-03T15"), parse_hour("2023-01-03T17"))
    cleaned = clean(read_attempts(lake, RAW["stocks"], span), "stocks", span)
    assert (
        cleaned.bars.select("symbol", "close_price", "volume", "source").rows()
        == [("AAPL", 11.0, 100, "upload")] * 2
    )
    payload = json.loads(read_attempts(lake, RAW["stocks"], span)["payload"][0])
    assert payload["note"] == "kept"


def test_a_price_alone_is_kept_and_quarantined_for_what_it_lacks(uploader, lake: Lake):
    quote = {"symbol": "AAPL", "price": 245.40, "timestamp": "2023-01-03T15:00"}
    address = uploader.upload_stock_data([quote])
    (record,) = gzip.decompress(lake.get(address.removeprefix(f"s3://{lake.bucket}/"))).splitlines()
    assert json.loads(record)["close_price"] == 245.40
    assert json.loads(json.loads(record)["payload"]) == quote
    span = HourRange.of(parse_hour("2023-01-03T15"))
    cleaned = clean(read_attempts(lake, RAW["stocks"], span), "stocks", span)
    assert cleaned.quarantined["rule"].to_list() == ["missing_price"]


def test_a_row_without_a_time_is_of_now(uploader, bucket_settings: Settings):
    settings = bucket_settings.model_copy(update={"now": dt.datetime(2023, 1, 5, 17, 3, tzinfo=dt.UTC)})
    address = S3Uploader(settings).upload_crypto_data({"symbol": "BTC-USD", "price": 1.0})
    assert "/raw/crypto/year=2023/month=01/day=05/hour=17/crypto_data_" in address


def test_the_same_data_again_is_another_attempt(uploader):
    first, second = (uploader.upload_stock_data(BARS[:1]) for _ in range(2))
    assert first != second


def test_bars_of_several_hours_have_the_folder_for_an_address(uploader, lake: Lake):
    assert uploader.upload_stock_data(BARS) == f"s3://{lake.bucket}/raw/stocks/"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "there is no row"),
        ([{"price": 1.0}], "row 0 has no symbol"),
        ([{"symbol": 5, "price": 1.0}], "row 0 has no symbol"),
        ([*BARS, {"symbol": "A", "timestamp": "soon"}], "row 2: 'soon' is not a time"),
        ([{"symbol": "A", "timestamp": math.nan}], "row 0: nan is not a time"),
        ([{"symbol": "A", "timestamp": 10**400}], "is not a time"),
        ([{"symbol": "A", "volume": "many"}], "row 0: volume is 'many'"),
        ([{"symbol": "A", "open": True}], "row 0: open_price is True"),
        ("AAPL", "str is nothing that can be uploaded"),
        (42, "int is nothing that can be uploaded"),
        ([1, 2], "list is nothing that can be uploaded"),
    ],
)
def test_what_is_no_bar_at_all_is_refused_whole(uploader, lake: Lake, rows, words: str):
    with pytest.raises(UploadError, match=words):
        uploader.upload_stock_data(rows)
    assert lake.list_objects(["raw/"]) == []


def test_nan_and_infinity_are_kept_and_quarantined(uploader, lake: Lake):
    uploader.upload_bars("stocks", [{**BARS[0], "close": math.inf}, {**BARS[0], "open": math.nan}])
    span = HourRange.of(parse_hour("2023-01-03T15"))
    cleaned = clean(read_attempts(lake, RAW["stocks"], span), "stocks", span)
    assert (cleaned.bars.height, cleaned.quarantined.height) == (0, 2)


@pytest.mark.parametrize("kind", ["dicts", "pandas", "polars", "arrow"])
def test_parquet_is_what_was_given(uploader, lake: Lake, kind: str):
    address = uploader.upload_parquet_data(AS[kind](BARS), "processed/stocks/parquet/aapl_data")
    assert address == f"s3://{lake.bucket}/processed/stocks/parquet/aapl_data.parquet"
    table = pq.read_table(io.BytesIO(lake.get("processed/stocks/parquet/aapl_data.parquet")))
    assert table.to_pylist() == BARS


def test_json_is_a_line_a_row(uploader, lake: Lake):
    when = dt.datetime(2023, 1, 3, 15, tzinfo=dt.UTC)
    address = uploader.upload_json_data([{"a": 1, "at": when}, {"a": None, "at": when}], "exports/one")
    assert address.endswith("/exports/one.json.gz")
    lines = gzip.decompress(lake.get("exports/one.json.gz")).splitlines()
    assert [json.loads(line)["a"] for line in lines] == [1, None]
    assert dt.datetime.fromisoformat(json.loads(lines[0])["at"]) == when


@pytest.mark.parametrize(
    "path",
    [
        "",
        " ",
        "/processed/x",
        "../x",
        "a/../b",
        "s3://bucket/x",
        "a//b",
        "a/",
        "a\nb",
        "a\\b",
        "x" * 1100,
        ".",
    ],
)
def test_a_path_that_is_no_key_is_refused(uploader, path: str):
    with pytest.raises(UploadError, match=r"no key of the lake|names no object"):
        uploader.upload_parquet_data(BARS, path)


def test_raw_is_never_overwritten(uploader):
    uploader.upload_json_data(BARS, "raw/stocks/mine")
    with pytest.raises(UploadError, match="is there already"):
        uploader.upload_json_data(BARS, "raw/stocks/mine")
    with pytest.raises(UploadError, match="raw is never overwritten"):
        uploader.upload_file(io.BytesIO(b"x"), "raw/stocks/file")


def test_a_file_goes_in_parts_and_arrives_whole(bucket_settings, lake: Lake, tmp_path):
    part = 5 * 1024**2
    content = bytes(range(256)) * (2 * part // 256) + b"and a bit"
    file = tmp_path / "big"
    file.write_bytes(content)
    uploader = S3Uploader(bucket_settings, part_bytes=part)
    assert uploader.upload_file(file, "exports/big") == f"s3://{lake.bucket}/exports/big"
    assert lake.get("exports/big") == content
    assert lake.head("exports/big").etag.endswith("-3")
    uploader.upload_file(io.BytesIO(b""), "exports/nothing")
    assert lake.get("exports/nothing") == b""
    with pytest.raises(UploadError, match="cannot be read: No such file"):
        uploader.upload_file(tmp_path / "none", "exports/none")


def test_what_arrives_otherwise_is_sent_again_and_then_told(bucket_settings, monkeypatch):
    uploader = S3Uploader(bucket_settings)
    sent: list[bytes] = []
    put_parts = Lake.put_parts

    def spoiled(self, key, parts, **more):
        sent.append(b"".join(parts))
        return put_parts(self, key, [b"something else"], **more)

    monkeypatch.setattr(Lake, "put_parts", spoiled)
    with pytest.raises(UploadError, match="3 times what S3 holds was not what was sent"):
        uploader.upload_file(io.BytesIO(b"the right thing"), "exports/one")
    assert sent == [b"the right thing"] * 3


def test_metrics_count_what_is_there(uploader):
    uploader.upload_stock_data(BARS[:1])
    uploader.upload_parquet_data(BARS, "processed/one")
    metrics = uploader.get_storage_metrics()
    assert metrics["total_objects"] == 2
    assert metrics["total_size_mb"] == pytest.approx(metrics["total_bytes"] / 1024**2)
    assert {layer: of["objects"] for layer, of in metrics["by_layer"].items()} == {"raw": 1, "processed": 1}


def test_a_bucket_that_is_not_there_is_named(bucket_settings):
    nowhere = S3Uploader(bucket_settings.model_copy(update={"bucket": "nobodys-bucket"}))
    with pytest.raises(LakeError, match="bucket nobodys-bucket does not exist"):
        nowhere.upload_stock_data(BARS)


def test_objects_have_the_class_and_the_encryption_that_are_set(bucket_settings):
    settings = bucket_settings.model_copy(
        update={
            "storage_class": "STANDARD_IA",
            "encryption": "aws:kms",
            "kms_key": "arn:aws:kms:us-east-1:1:key/k",
        }
    )
    uploader = S3Uploader(settings, part_bytes=5 * 1024**2)
    uploader.upload_stock_data(BARS)
    uploader.upload_json_data(BARS, "processed/one")
    uploader.upload_file(io.BytesIO(b"x" * 6_000_000), "processed/parts")
    s3 = boto3.client("s3", endpoint_url=settings.aws_endpoint_url, region_name="us-east-1", **CREDENTIALS)
    keys = [info.key for info in Lake(settings).list_objects([""])]
    assert len(keys) == 4
    for key in keys:
        head = s3.head_object(Bucket=settings.bucket, Key=key)
        assert (head["StorageClass"], head["ServerSideEncryption"], head["SSEKMSKeyId"]) == (
            "STANDARD_IA",
            "aws:kms",
            "arn:aws:kms:us-east-1:1:key/k",
        )


def test_a_key_without_kms_is_a_mistake():
    with pytest.raises(SettingsError, match="FIN_LAKE_ENCRYPTION is not aws:kms"):
        load_settings(kms_key="alias/lake")


def test_acceleration_has_its_own_host():
    settings = load_settings(profile="aws", bucket="fast-lake", accelerate=True, **CREDENTIALS)
    config = Lake(settings)._store.config
    assert config["endpoint"] == "https://fast-lake.s3-accelerate.amazonaws.com"
