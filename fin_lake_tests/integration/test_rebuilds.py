"""However the hours come, the models end in what one build of everything makes."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import dagster as dg
import pytest

from fin_lake.lake.catalog import ensure_catalog
from fin_lake.operations.athena import Athena
from fin_lake.operations.extract import ExtractReport, extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange
from fin_lake.settings import Settings
from fin_lake.tables import ASSET_CLASSES
from fin_lake_tests.conftest import CREDENTIALS, hours

pytestmark = pytest.mark.stack
SPAN = hours("2023-01-05T00", 48)
LATE = hours("2023-01-05T16")
MODELS = (
    "aggregations_hourly_ohlcv",
    "aggregations_daily_ohlcv",
    "aggregations_weekly_ohlcv",
    "aggregations_daily_returns",
    "aggregations_volatility",
    "aggregations_volume_leaders",
    "aggregations_cross_asset_correlation",
    "aggregations_cross_source_differences",
    "ml_features_hourly",
    "ml_features_labels",
    "reports_daily_market_summary",
    "reports_data_quality",
)


@pytest.fixture(scope="module")
def instance(stack: Settings) -> Iterator[dg.DagsterInstance]:
    """The stack's Dagster instance."""
    with open_instance(stack) as instance:
        yield instance


def lake(stack: Settings, name: str) -> Settings:
    """Return the stack with a bucket and a Glue database of that name."""
    session = boto3.Session(region_name="us-east-1", **CREDENTIALS)
    session.client("s3", endpoint_url=stack.aws_endpoint_url).create_bucket(Bucket=name)
    database = name.replace("-", "_")
    glue = session.client("glue", endpoint_url=stack.glue_endpoint_url)
    ensure_catalog(glue, database=database, bucket=name)
    return stack.model_copy(update={"bucket": name, "glue_database": database})


def extracted(settings: Settings, instance: dg.DagsterInstance, span: HourRange) -> ExtractReport:
    return extract(settings, span, ASSET_CLASSES, instance=instance)


def contents(settings: Settings) -> dict[str, list[tuple[str | None, ...]]]:
    """Return every model's rows, sorted; columns of raw counts left out, which grow with each attempt.

    Floats are compared to ten digits: a sum depends on the order of its rows in the last one.
    """
    athena, found = Athena(settings), {}
    for model in MODELS:
        answer = athena.run(f"select * from {model}")
        kept = [
            (index, column.type == "double")
            for index, column in enumerate(answer.columns)
            if "raw" not in column.name
        ]
        rows = [
            tuple(_digits(row[index]) if real else row[index] for index, real in kept)
            for row in answer.rows()
        ]
        found[model] = sorted(rows, key=str)
    return found


def _digits(text: str | None) -> str | None:
    return None if text is None else f"{float(text):.10g}"


def test_repeated_late_and_interrupted_builds_end_in_the_same_tables(
    stack: Settings, instance: dg.DagsterInstance
) -> None:
    straight = lake(stack, "test-rebuilds-straight")
    assert extracted(straight, instance, SPAN).succeeded
    wanted = contents(straight)
    assert all(wanted[model] for model in MODELS if "source" not in model), "nothing is compared with nothing"

    winding = lake(stack, "test-rebuilds-winding")
    before, after = HourRange(SPAN.start, LATE.start), HourRange(LATE.end, SPAN.end)
    for span in (before, after):
        assert extracted(winding, instance, span).succeeded
    assert contents(winding) != wanted, "an hour is missing yet"

    # a build that fails in the middle: what reads raw fails, what depends on it is not built
    glue = boto3.Session(region_name="us-east-1", **CREDENTIALS).client(
        "glue", endpoint_url=stack.glue_endpoint_url
    )
    glue.delete_table(DatabaseName=winding.glue_database, Name="raw_stocks")
    failed = extracted(winding, instance, LATE)
    assert any("raw_stocks" in failure for failure in failed.failures), failed.failures

    ensure_catalog(glue, database=winding.glue_database, bucket=winding.bucket)
    assert extracted(winding, instance, LATE).succeeded
    assert contents(winding) == wanted, "after the late hour, and the failure"
    assert extracted(winding, instance, SPAN).succeeded
    assert contents(winding) == wanted, "after the same days again"
