"""What the tests share: a bucket for unit tests, and one embedded stack for the whole run."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import dagster as dg
import psycopg
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from fin_lake.analytics.prepare import prepare
from fin_lake.clients import aws_client
from fin_lake.lake.catalog import ensure_catalog
from fin_lake.lake.store import Lake
from fin_lake.local.stack import Stack
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange, parse_hour
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings, load_settings
from fin_lake_tests.enforced import EnforcedAws, enforced_aws
from fin_lake_tests.ui import Ui, dagster_dev

DAGSTERS_TABLES = "dagsters_tables"
_NUMBERS = itertools.count(1)
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


@pytest.fixture(autouse=True)
def no_settings_of_the_shell(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep a developer's own environment, .env and running stack out of the tests."""
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        for variable in getattr(alias, "choices", [alias or name]):
            monkeypatch.delenv(str(variable), raising=False)
    monkeypatch.setenv("FIN_LAKE_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Serve S3 from memory, on a free port of the loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket_settings(s3_endpoint: str, request: pytest.FixtureRequest) -> Settings:
    """Settings with an empty bucket of the test's own."""
    name = f"test-{abs(hash(request.node.nodeid)):x}"
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1", **CREDENTIALS)
    client.create_bucket(Bucket=name)
    return load_settings(
        aws_endpoint_url=s3_endpoint, bucket=name, start=parse_hour("2023-01-01"), **CREDENTIALS
    )


@pytest.fixture
def lake(bucket_settings: Settings) -> Lake:
    """An empty lake."""
    return Lake(bucket_settings)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One embedded stack for the whole run, on the shipped recording."""
    home = tmp_path_factory.mktemp("stack")
    running = Stack(load_settings(home=home))
    running.start()
    settings = load_settings(home=home, step_retries=0)
    with psycopg.connect(settings.dagster_database(), autocommit=True) as connection:
        connection.execute(f"create database {DAGSTERS_TABLES}")
    with open_instance(
        settings.model_copy(update={"dagster_database_url": _database(settings, DAGSTERS_TABLES)})
    ):
        pass  # now its tables are there
    yield settings
    running.stop()


@pytest.fixture(scope="session")
def ui(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """The UI and the daemon on the stack, one for the whole run."""
    with dagster_dev(stack, tmp_path_factory.mktemp("ui") / "dagster.log") as running:
        yield running


@pytest.fixture(scope="session")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnforcedAws]:
    """One AWS that enforces its policies, for the whole run."""
    with enforced_aws(tmp_path_factory.mktemp("enforced")) as running:
        yield running


@pytest.fixture
def stack_settings(stack: Settings) -> Settings:
    """The running stack, with stores of the test's own."""
    return own_stores(stack)


@pytest.fixture(scope="module")
def module_settings(stack: Settings) -> Settings:
    """The running stack, with stores of the module's own."""
    return own_stores(stack)


def own_stores(stack: Settings, **changes: object) -> Settings:
    """Return the stack with a bucket, databases and a name for Glue that no other test uses."""
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(stack.dagster_database(), autocommit=True) as connection:
        connection.execute(f"create database {name}_market")
        connection.execute(f"create database {name}_dagster template {DAGSTERS_TABLES}")
    bucket = name.replace("_", "-")
    client = boto3.client("s3", endpoint_url=stack.aws_endpoint_url, region_name="us-east-1", **CREDENTIALS)
    client.create_bucket(Bucket=bucket)
    stores = {
        "bucket": bucket,
        "glue_database": name,
        "database_url": _database(stack, f"{name}_market"),
        "dagster_database_url": _database(stack, f"{name}_dagster"),
    }
    return stack.model_copy(update={**stores, **changes})


def _database(stack: Settings, name: str) -> SecretStr:
    return SecretStr(f"{stack.dagster_database().rpartition('/')[0]}/{name}")


def hours(first: str, count: int = 1) -> HourRange:
    """Return ``count`` hours from ``first`` on."""
    start = parse_hour(first)
    return HourRange(start, start + dt.timedelta(hours=count))


@contextmanager
def filled(settings: Settings, span: HourRange) -> Iterator[dg.DagsterInstance]:
    """Give a stack's stores the tables of the catalog and some hours, models included."""
    prepare()
    glue = aws_client(settings, "glue", settings.glue_endpoint_url)
    ensure_catalog(glue, database=settings.glue_database, bucket=settings.bucket)
    with open_instance(settings) as instance:
        report = extract(settings, span, ASSET_CLASSES, instance=instance)
        assert report.failures == []
        yield instance
