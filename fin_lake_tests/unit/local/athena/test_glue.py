"""The Glue catalog as its clients see it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from fin_lake.local.athena.glue import GlueCatalog, GlueClient
from fin_lake.local.athena.json_protocol import http_answer

HOURS = [("2023", f"{month:02}", f"{hour:02}") for month in (1, 2) for hour in range(24)]
KEYS = [{"Name": name, "Type": "string"} for name in ("year", "month", "hour")]


@pytest.fixture
def glue(tmp_path: Path) -> GlueClient:
    """A catalog with the table ``db.t``, which has a partition an hour."""
    client = GlueClient(GlueCatalog(tmp_path / "glue.db"))
    client.create_database(DatabaseInput={"Name": "DB"})
    client.create_table(DatabaseName="db", TableInput=table("t"))
    client.batch_create_partition(
        DatabaseName="db", TableName="t", PartitionInputList=[partition(*one) for one in HOURS]
    )
    return client


def table(name: str, **more: object) -> dict[str, object]:
    return {"Name": name, "PartitionKeys": KEYS, "StorageDescriptor": {"Columns": []}, **more}


def partition(*values: str) -> dict[str, object]:
    return {"Values": list(values), "StorageDescriptor": {"Location": "s3://b/" + "/".join(values)}}


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("month = '02' and hour < '03'", 3),
        ("month = '02' AND hour IN ('00', '23') OR month = '01' AND hour = '05'", 3),
        ("hour between '10' and '12'", 6),
        ("NOT (month = '01')", 24),
        ("hour like '2%'", 8),
        ("YEAR = '2024'", 0),
        ("month = '01' and hour >= '00'", 24),
    ],
)
def test_partitions_are_chosen_by_expressions(glue: GlueClient, expression: str, found: int) -> None:
    pages = glue.get_paginator("get_partitions").paginate(
        DatabaseName="db", TableName="t", Expression=expression
    )
    assert sum(len(page["Partitions"]) for page in pages) == found


@pytest.mark.parametrize("expression", ["day = '01'", "month = ", "length(month) = 2", "month = '01'; drop"])
def test_an_expression_that_cannot_be_meant_is_refused(glue: GlueClient, expression: str) -> None:
    with pytest.raises(ClientError) as error:
        glue.get_partitions(DatabaseName="db", TableName="t", Expression=expression)
    assert code(error) == "InvalidInputException"


def test_numbers_are_compared_as_numbers(glue: GlueClient) -> None:
    keys = [{"Name": "n", "Type": "int"}]
    glue.create_table(DatabaseName="db", TableInput={**table("numbers"), "PartitionKeys": keys})
    for value in ("9", "10", "__HIVE_DEFAULT_PARTITION__"):
        glue.create_partition(DatabaseName="db", TableName="numbers", PartitionInput=partition(value))
    found = glue.get_partitions(DatabaseName="db", TableName="numbers", Expression="n > 9")["Partitions"]
    assert [one["Values"] for one in found] == [["10"]]


def test_every_item_comes_once_however_short_the_pages(glue: GlueClient) -> None:
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName="db", TableName="t", MaxResults=7)
    values = [tuple(one["Values"]) for page in pages for one in page["Partitions"]]
    assert values == sorted(HOURS)
    for number in range(25):
        glue.create_table(DatabaseName="db", TableInput=table(f"other{number}"))
    pages = glue.get_paginator("get_tables").paginate(DatabaseName="db", Expression="other.*", MaxResults=4)
    names = [one["Name"] for page in pages for one in page["TableList"]]
    assert len(names) == len(set(names)) == 25
    with pytest.raises(ClientError) as error:
        glue.get_tables(DatabaseName="db", NextToken="here")
    assert code(error) == "InvalidInputException"


def test_a_batch_does_what_it_can_and_says_what_it_could_not(glue: GlueClient) -> None:
    answer = glue.batch_delete_partition(
        DatabaseName="db",
        TableName="t",
        PartitionsToDelete=[{"Values": list(HOURS[0])}, {"Values": ["1999", "01", "00"]}],
    )
    (error,) = answer["Errors"]
    assert error["PartitionValues"] == ["1999", "01", "00"]
    assert error["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    assert len(glue.get_partitions(DatabaseName="db", TableName="t")["Partitions"]) == len(HOURS) - 1
    with pytest.raises(ClientError, match="less than or equal to 25"):
        glue.batch_delete_partition(
            DatabaseName="db",
            TableName="t",
            PartitionsToDelete=[{"Values": list(one)} for one in HOURS[:26]],
        )


def test_versions_are_kept_until_they_are_deleted(glue: GlueClient) -> None:
    for number in range(3):
        glue.update_table(DatabaseName="db", TableInput=table("t", Description=f"state {number}"))
    versions = glue.get_table_versions(DatabaseName="db", TableName="t")["TableVersions"]
    assert [one["Table"].get("Description") for one in versions] == ["state 2", "state 1", "state 0", None]
    glue.delete_table_version(DatabaseName="db", TableName="t", VersionId=versions[1]["VersionId"])
    left = glue.get_table_versions(DatabaseName="db", TableName="t")["TableVersions"]
    assert [one["VersionId"] for one in left] == ["3", "1", "0"]
    assert glue.get_table(DatabaseName="db", Name="T")["Table"]["Description"] == "state 2"


def test_of_writers_of_one_version_one_wins(glue: GlueClient) -> None:
    version = glue.get_table(DatabaseName="db", Name="t")["Table"]["VersionId"]
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            glue.update_table(
                DatabaseName="db", TableInput=table("t", Description=str(number)), VersionId=version
            )
            outcomes.append("written")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["ConcurrentModificationException"] * 7 + ["written"]


def test_everything_is_there_after_a_restart(glue: GlueClient, tmp_path: Path) -> None:
    again = GlueClient(GlueCatalog(tmp_path / "glue.db"))
    assert again.get_database(Name="db")["Database"]["Name"] == "db"
    assert len(again.get_partitions(DatabaseName="db", TableName="t")["Partitions"]) == len(HOURS)
    again.delete_database(Name="db")
    with pytest.raises(ClientError) as error:
        glue.get_table(DatabaseName="db", Name="t")
    assert code(error) == "EntityNotFoundException"


@pytest.mark.parametrize(
    ("operation", "body", "status", "code"),
    [
        ("GetTable", b'{"DatabaseName": "db"}', 400, "InvalidInputException"),
        ("GetTable", b'{"DatabaseName": "db", "Name": "none"}', 400, "EntityNotFoundException"),
        ("StartCrawler", b"{}", 400, "OperationNotSupportedException"),
        ("GetTable", b"not json", 400, "SerializationException"),
        ("GetTable", b"[1]", 400, "SerializationException"),
    ],
)
def test_what_is_wrong_with_a_call_is_said_in_glues_protocol(
    tmp_path: Path, operation: str, body: bytes, status: int, code: str
) -> None:
    catalog = GlueCatalog(tmp_path / "glue.db")
    got, answer = http_answer(catalog.call, operation, body, internal="InternalServiceException")
    assert got == status
    assert code.encode() in answer
