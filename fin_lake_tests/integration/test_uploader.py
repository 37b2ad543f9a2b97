"""The uploader on the stack: its documented examples, an S3 that misbehaves, and keys."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fin_lake.clients import aws_client
from fin_lake.lake.store import Lake
from fin_lake.lake.uploader import S3Uploader
from fin_lake.operations.deploy import deploy
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.settings import Settings, environment
from fin_lake_tests.conftest import hours
from fin_lake_tests.faulty_s3 import faulty_s3

pytestmark = pytest.mark.stack
REPOSITORY = Path(__file__).parents[2]
EXAMPLES = """
from scripts.s3_data_uploader import create_s3_uploader_from_env

# Initialize uploader
uploader = create_s3_uploader_from_env()

# Upload stock data
stock_data = [{"symbol": "AAPL", "price": 245.40}]
s3_path = uploader.upload_stock_data(stock_data)
print(f"Uploaded to: {s3_path}")

# Upload as Parquet for analytics
import pandas as pd
df = pd.DataFrame(stock_data)
parquet_path = uploader.upload_parquet_data(df, "processed/stocks/parquet/aapl_data")

# Get storage statistics
metrics = uploader.get_storage_metrics()
print(f"Total objects: {metrics['total_objects']}")
print(f"Total size: {metrics['total_size_mb']:.2f} MB")
"""
# a process's peak memory, in MiB, and the SHA-256 of what it sent
UPLOAD = """
import hashlib, json, resource, sys
from pathlib import Path
from fin_lake.lake.uploader import create_s3_uploader_from_env
uploader = create_s3_uploader_from_env()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
uploader.upload_file(Path(sys.argv[1]), "exports/big")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"before": before / 1024, "after": after / 1024}))
"""


def run(settings: Settings, code: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment(settings), **more},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_documented_examples_run_as_they_stand(stack_settings: Settings):
    done = run(stack_settings, EXAMPLES)
    assert done.returncode == 0, done.stderr
    uploaded, objects, size = done.stdout.splitlines()
    assert uploaded.startswith(f"Uploaded to: s3://{stack_settings.bucket}/raw/stocks/year=")
    assert (objects, size) == ("Total objects: 2", "Total size: 0.00 MB")
    found = Lake(stack_settings).list_objects(["processed/"])
    assert [info.key for info in found] == ["processed/stocks/parquet/aapl_data.parquet"]


def test_a_big_file_arrives_whole_through_an_s3_that_fails_and_in_bounded_memory(
    stack_settings: Settings, tmp_path: Path
):
    content = os.urandom(1024**2) * 160
    file = tmp_path / "big"
    file.write_bytes(content)
    rates = {"slow_down": 0.1, "internal_error": 0.05, "reset": 0.1, "lost_answer": 0.05, "latency": 0.2}
    with faulty_s3(str(stack_settings.aws_endpoint_url), rates) as faulty:
        done = run(stack_settings, UPLOAD, str(file), AWS_ENDPOINT_URL=faulty.endpoint)
        injected = faulty.injected
    assert done.returncode == 0, done.stderr
    assert set(injected) == set(rates), "every fault was met"
    stored = Lake(stack_settings).get("exports/big")
    assert hashlib.sha256(stored).digest() == hashlib.sha256(content).digest()
    used = json.loads(done.stdout)
    assert used["after"] - used["before"] < 130, "8 parts of 8 MiB, sent and copied once, not the file"


def test_an_upload_whose_last_answer_is_lost_is_there(stack_settings: Settings):
    content = os.urandom(1024**2) * 12
    # the parts are put together, and nobody hears of it; asked again, S3 knows no such upload
    lost = {r"POST .*\?uploadId=": "lost_answer", r"POST .*uploadId=": "no_such_upload"}
    with faulty_s3(str(stack_settings.aws_endpoint_url), once=lost) as faulty:
        uploader = S3Uploader(stack_settings.model_copy(update={"aws_endpoint_url": faulty.endpoint}))
        assert uploader.upload_file(io.BytesIO(content), "exports/big").endswith("/exports/big")
        assert faulty.injected == {"lost_answer": 1, "no_such_upload": 1}
    assert Lake(stack_settings).get("exports/big") == content


def test_small_uploads_through_an_s3_that_fails_are_whole(stack_settings: Settings):
    rates = {"slow_down": 0.15, "reset": 0.15, "lost_answer": 0.1}
    rows = [{"symbol": f"S{number}", "price": float(number)} for number in range(100)]
    with faulty_s3(str(stack_settings.aws_endpoint_url), rates, seed=7) as faulty:
        uploader = S3Uploader(stack_settings.model_copy(update={"aws_endpoint_url": faulty.endpoint}))
        for number in range(20):
            uploader.upload_json_data(rows, f"exports/{number}")
        assert sum(faulty.injected.values()) >= 5
    stored = Lake(stack_settings).list_objects(["exports/"])
    assert len(stored) == 20
    assert len({info.etag for info in stored}) == 1


def test_every_writer_uses_the_key(stack_settings: Settings):
    """Raw and processed by the pipeline, models and results by Athena, and what is uploaded."""
    name = stack_settings.bucket
    settings = stack_settings.model_copy(
        update={
            "encryption": "aws:kms",
            "stack_name": name,
            "notifications_queue": name,
            "athena_workgroup": name,
        }
    )
    key = deploy(settings).outputs["KeyArn"][0]
    settings = settings.model_copy(update={"kms_key": key})
    with open_instance(settings) as instance:
        report = extract(settings, hours("2023-01-03T15"), ["stocks"], instance=instance)
    assert report.failures == []
    S3Uploader(settings).upload_json_data([{"a": 1}], "exports/one")
    s3 = aws_client(settings, "s3", settings.aws_endpoint_url)
    unencrypted: list[str] = []
    layers: set[Any] = set()
    for info in Lake(settings).list_objects([""]):
        head = s3.head_object(Bucket=settings.bucket, Key=info.key)
        layers.add(info.key.partition("/")[0])
        if (head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")) != ("aws:kms", key):
            unencrypted.append(info.key)
    assert unencrypted == []
    assert layers >= {"raw", "processed", "analytics", "athena-results", "exports"}
    with psycopg.connect(settings.database()) as connection:
        assert connection.execute("select count(*) from market.stocks").fetchone() == (8,)
