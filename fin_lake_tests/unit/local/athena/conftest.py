"""An engine over an empty bucket and an empty catalog."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from fin_lake.local.athena.glue import GlueCatalog, GlueClient
from fin_lake.local.athena.results import Result
from fin_lake.local.athena.session import Engine
from fin_lake.local.athena.statements import Statement, execute
from fin_lake.local.athena.storage import Objects
from fin_lake.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def objects(bucket_settings: Settings, tmp_path: Path) -> Objects:
    """The bucket."""
    assert bucket_settings.aws_endpoint_url is not None
    return Objects(
        endpoint=bucket_settings.aws_endpoint_url,
        access_key_id="test",
        secret_access_key="test",
        region="us-east-1",
        cache=tmp_path / "cache",
    )


@pytest.fixture
def engine(objects: Objects, tmp_path: Path) -> Engine:
    """An engine whose catalog has the database ``db``."""
    engine = Engine(GlueClient(GlueCatalog(tmp_path / "glue.db")), objects, work=tmp_path / "work")
    engine.glue.create_database(DatabaseInput={"Name": "db"})
    return engine


@pytest.fixture
def run(engine: Engine, bucket_settings: Settings) -> Run:
    """Run a statement in ``db``; ``BUCKET`` in it is the test's bucket."""

    def run(sql: str, *parameters: str, scan_limit: int | None = None) -> Result:
        with engine.session("db", scan_limit=scan_limit) as session:
            text = sql.replace("BUCKET", bucket_settings.bucket)
            return execute(
                session, Statement(text, parameters, output=f"s3://{bucket_settings.bucket}/{uuid.uuid4()}")
            )

    return run
