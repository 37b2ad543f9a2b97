from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config

from fin_lake.analytics.clients import shared_clients

KEYS = {"aws_access_key_id": "one", "aws_secret_access_key": "secret"}


def glue(*, region: str = "us-east-1", session: dict | None = None, **options):
    return boto3.Session(region_name=region, **(session or KEYS)).client("glue", **options)


def test_equal_clients_of_many_sessions_and_threads_are_one():
    with shared_clients(), ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: glue(config=Config(retries={"max_attempts": 1})), range(16)))
    assert len({id(client) for client in made}) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"region": "eu-west-1"},
        {"region_name": "eu-west-1"},
        {"endpoint_url": "http://127.0.0.1:1"},
        {"config": Config(retries={"max_attempts": 7})},
        {"session": {"aws_access_key_id": "two", "aws_secret_access_key": "secret"}},
        {"session": {**KEYS, "aws_session_token": "token"}},
    ],
)
def test_clients_that_would_act_differently_stay_apart(other):
    with shared_clients():
        assert glue() is not glue(**other)


def test_a_client_of_another_service_is_another():
    with shared_clients():
        session = boto3.Session(region_name="us-east-1", **KEYS)
        assert session.client("s3").meta.service_model.service_name == "s3"
        assert session.client("sts").meta.service_model.service_name == "sts"


def test_boto3_is_itself_again_afterwards_even_after_an_error():
    def fail() -> None:
        with shared_clients():
            raise RuntimeError

    original = boto3.Session.client
    with pytest.raises(RuntimeError):
        fail()
    assert boto3.Session.client is original
    assert glue() is not glue()
