"""What these tests share: a prepared project, and settings with an Athena that is away."""

from __future__ import annotations

import contextlib
from pathlib import Path

import boto3
import pytest

from fin_lake.partitions import parse_hour
from fin_lake.settings import Settings, load_settings
from fin_lake_tests.dbt_projects import prepared_project

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="session")
def tiny_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project, prepared; tests leave it as it is."""
    return prepared_project(tmp_path_factory.mktemp("dbt") / "project")


@pytest.fixture
def mute(bucket_settings: Settings, away: Settings) -> Settings:
    """Settings with S3 and Glue, in which Athena alone does not answer: every statement fails."""
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    glue = boto3.client("glue", endpoint_url=bucket_settings.aws_endpoint_url, **credentials)
    for database in ("a_database", "another_database"):
        with contextlib.suppress(glue.exceptions.AlreadyExistsException):
            glue.create_database(DatabaseInput={"Name": database})
    endpoints = {
        "aws_endpoint_url": bucket_settings.aws_endpoint_url,
        "glue_endpoint_url": bucket_settings.aws_endpoint_url,
    }
    return away.model_copy(update={"bucket": bucket_settings.bucket, **endpoints})


@pytest.fixture
def away(tmp_path: Path) -> Settings:
    """Settings of a local stack in which nothing answers."""
    return load_settings(
        home=tmp_path / "home",
        now=parse_hour("2023-01-30T21"),
        start=parse_hour("2023-01-03"),
        aws_access_key_id="test",
        aws_secret_access_key="test",
        aws_endpoint_url=NOWHERE,
        athena_endpoint_url=NOWHERE,
        glue_endpoint_url=NOWHERE,
        bucket="a-bucket",
        glue_database="a_database",
    )
