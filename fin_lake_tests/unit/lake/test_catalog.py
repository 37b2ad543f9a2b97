"""The lake's tables in Glue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest

from fin_lake.lake.catalog import FIRST_YEAR, LAST_YEAR, ensure_catalog, table_inputs
from fin_lake.lake.layout import hour_object, raw_object
from fin_lake.partitions import parse_hour
from fin_lake.schema import ASSET_CLASSES
from fin_lake.tables import CORPORATE_ACTIONS, PORTFOLIOS, PROCESSED, QUARANTINE, RAW, TECHNICAL_ANALYSIS
from fin_lake_tests.conftest import CREDENTIALS

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

VALUES = {"portfolio": "income", "year": "2023", "month": "01", "day": "05", "hour": "07"}
HOUR = parse_hour("2023-01-05T07")


@pytest.fixture
def glue(s3_endpoint: str) -> GlueClient:
    """A Glue that is not ours."""
    return boto3.client("glue", endpoint_url=s3_endpoint, region_name="us-east-1", **CREDENTIALS)


def objects() -> dict[str, str]:
    """Return the key of an hour's object, by the table that should find it."""
    keys = {}
    for asset_class in ASSET_CLASSES:
        keys[f"raw_{asset_class}"] = raw_object(RAW[asset_class], HOUR, HOUR, 0)
        keys[f"processed_{asset_class}"] = hour_object(PROCESSED[asset_class], "parquet", HOUR)
        keys[f"financial_{asset_class}"] = hour_object(PROCESSED[asset_class], "json", HOUR)
        keys[f"quarantine_{asset_class}"] = hour_object(QUARANTINE[asset_class], "parquet", HOUR)
        keys[f"technical_analysis_{asset_class}"] = hour_object(
            TECHNICAL_ANALYSIS[asset_class], "parquet", HOUR
        )
    for table in PORTFOLIOS.values():
        keys[table.postgres] = hour_object(table.part("income"), "parquet", HOUR)
    keys["corporate_actions"] = hour_object(CORPORATE_ACTIONS, "parquet", HOUR)
    return keys


def test_each_dataset_is_found_where_its_hours_are_written() -> None:
    keys, found = objects(), {}
    for one in table_inputs("lake", ["growth", "income"]):
        template = one["Parameters"]["storage.location.template"]
        for key, value in VALUES.items():
            template = template.replace(f"${{{key}}}", value)
        found[one["Name"]] = template
        assert template.startswith(one["StorageDescriptor"]["Location"])
    assert found.keys() == keys.keys()
    for name, key in keys.items():
        assert f"s3://lake/{key}".rpartition("/")[0] + "/" == found[name]


def test_projection_covers_every_hour_that_there_can_be() -> None:
    for one in table_inputs("lake", ["growth", "income"]):
        said = one["Parameters"]
        assert said["projection.enabled"] == "true"
        assert said["projection.year.range"] == f"{FIRST_YEAR},{LAST_YEAR}"
        assert {key: said[f"projection.{key}.range"] for key in ("month", "day", "hour")} == {
            "month": "1,12",
            "day": "1,31",
            "hour": "0,23",
        }
        assert {said[f"projection.{key}.digits"] for key in ("month", "day", "hour")} == {"2"}


def test_the_catalog_is_brought_up_to_date_and_then_left_alone(glue: GlueClient) -> None:
    names = sorted(objects())
    first = ensure_catalog(glue, database="kept", bucket="lake")
    assert sorted(first.created) == names
    again = ensure_catalog(glue, database="kept", bucket="lake")
    assert (again.created, again.updated, sorted(again.unchanged)) == ([], [], names)

    stale = glue.get_table(DatabaseName="kept", Name="raw_crypto")["Table"]
    columns = stale["StorageDescriptor"]["Columns"][:-1]
    glue.update_table(
        DatabaseName="kept",
        TableInput={"Name": "raw_crypto", "StorageDescriptor": {"Columns": columns}},
    )
    glue.create_table(DatabaseName="kept", TableInput={"Name": "somebodys_own"})
    mended = ensure_catalog(glue, database="kept", bucket="lake")
    assert (mended.created, mended.updated) == ([], ["raw_crypto"])
    assert glue.get_table(DatabaseName="kept", Name="raw_crypto")["Table"]["Parameters"]["EXTERNAL"] == "TRUE"
    assert glue.get_table(DatabaseName="kept", Name="somebodys_own")["Table"]["Name"] == "somebodys_own"
