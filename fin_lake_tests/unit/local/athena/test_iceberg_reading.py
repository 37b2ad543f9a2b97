"""What a query sees of an Iceberg table: its columns as they were or are, its versions, its metadata."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyiceberg.catalog.glue import GlueCatalog as PyicebergCatalog

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.iceberg.file_io import register
from fin_lake.local.athena.session import Engine
from fin_lake.local.athena.storage import Objects
from fin_lake.settings import Settings
from fin_lake_tests.unit.local.athena.conftest import Run
from fin_lake_tests.unit.local.athena.iceberg_tables import create, rows, value

DAYS = "select x as k, date_add('day', x, timestamp '2023-01-01 05:00:00') as ts from unnest(sequence(1, 60)) as t(x)"


@pytest.mark.parametrize(
    ("condition", "count", "most_files"),
    [
        ("ts >= timestamp '2023-01-10 00:00:00' and ts < timestamp '2023-01-11 00:00:00'", 1, 1),
        ("ts between date '2023-01-10' and date '2023-01-12'", 2, 3),
        ("date '2023-02-20' < ts", 11, 11),
        ("k in (3, 5)", 2, 2),
        ("k = 3 or k = 5", 2, 2),
        ("k > -1 and k < 2.5", 2, 60),
        ("k + 0 = 3", 1, 60),
    ],
)
def test_a_query_reads_the_files_of_its_condition_only(
    run: Run, condition: str, count: int, most_files: int
) -> None:
    create(run, DAYS, ["day(ts)"])
    largest = int(value(run, 'select max(file_size_in_bytes) from "i$files"') or 0)
    found = run(f"select count(*) from i where {condition}")
    assert list(found.rows[0]) == [str(count)]
    assert 0 < found.scanned_bytes <= most_files * largest


@pytest.mark.parametrize(
    ("transform", "partition"),
    [
        ("year(ts)", "{ts_year=53}"),
        ("month(ts)", "{ts_month=636}"),
        ("day(ts)", "{ts_day=2023-01-01}"),
        ("hour(ts)", "{ts_hour=464597}"),
        ("bucket(16, k)", "{k_bucket=4}"),
        ("bucket(k, 16)", "{k_bucket=4}"),
        ("truncate(2, s)", "{s_truncate=ab}"),
        ("truncate(s, 2)", "{s_truncate=ab}"),
        ("s", "{s=abc}"),
    ],
)
def test_partition_transforms_are_as_athena_writes_them(run: Run, transform: str, partition: str) -> None:
    create(run, "select 1 as k, 'abc' as s, timestamp '2023-01-01 05:00:00' as ts", [transform])
    assert value(run, 'select partition from "i$files"') == partition
    assert value(run, "select k from i where s = 'abc' and ts = timestamp '2023-01-01 05:00:00'") == "1"


@pytest.mark.parametrize("transform", ["day(nope)", "week(ts)", "bucket(ts)", "day(k)", "year(ts, 3)"])
def test_a_transform_that_is_none_is_refused(run: Run, transform: str) -> None:
    with pytest.raises(QueryFailed, match="INVALID_TABLE_PROPERTY: partitioning"):
        create(run, "select 1 as k, timestamp '2023-01-01 05:00:00' as ts", [transform])
    assert rows(run, "show tables") == []


def test_a_version_has_the_rows_and_the_columns_of_its_time(run: Run) -> None:
    create(run, "select 1 as k, 2 as v")
    snapshot, moment = rows(run, 'select snapshot_id, cast(committed_at as varchar) from "i$snapshots"')[0]
    run("alter table i change column v w bigint")
    run("alter table i add columns (x string)")
    run("update i set w = 5, x = 'new'")
    assert [one.name for one in run(f"select * from i for version as of {snapshot}").columns] == ["k", "v"]
    assert rows(run, f"select v from i for version as of {snapshot} where v = 2") == [["2"]]
    assert rows(run, f"select v from i for timestamp as of timestamp '{moment} UTC'") == [["2"]]
    assert rows(run, "select w, x from i for timestamp as of current_timestamp") == [["5", "new"]]
    assert rows(run, f"select a.v, b.w from i for version as of {snapshot} a join i b on a.k = b.k") == [
        ["2", "5"]
    ]


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("version as of 123", "snapshot ID does not exist: 123"),
        (
            "timestamp as of timestamp '2001-01-01 00:00:00 UTC'",
            'No version history table "db.i" at or before',
        ),
    ],
)
def test_a_version_that_is_not_there_is_no_empty_table(run: Run, version: str, message: str) -> None:
    create(run, "select 1 as k")
    with pytest.raises(QueryFailed, match=message):
        run(f"select * from i for {version}")


@pytest.mark.parametrize("partitioning", [[], ["k"]], ids=str)
def test_what_is_known_of_a_table_can_be_asked(run: Run, partitioning: list[str]) -> None:
    create(run, "select 1 as k", partitioning)
    run("insert into i values (2)")
    counts = {
        about: value(run, f'select count(*) from "i${about}"')
        for about in ("snapshots", "history", "files", "manifests", "refs")
    }
    assert counts == {"snapshots": "2", "history": "2", "files": "2", "manifests": "2", "refs": "1"}
    assert value(run, 'select sum(record_count) from "i$partitions"') == "2"
    with pytest.raises(QueryFailed, match="TABLE_NOT_FOUND"):
        run('select * from "i$nothing"')


def test_a_column_that_was_dropped_does_not_come_back_under_its_name(run: Run) -> None:
    create(run, "select 1 as k, 2 as v")
    run("alter table i drop column v")
    run("alter table i add columns (v string)")
    assert rows(run, "select k, v from i") == [["1", None]]
    run("update i set v = 'x'")
    assert rows(run, "select k, v from i where v = 'x'") == [["1", "x"]]


@pytest.mark.parametrize(
    ("old", "new", "held", "later"),
    [
        ("integer", "bigint", "5", "9007199254740993"),
        ("real", "double", "0.5", "0.25"),
        ("decimal(5,2)", "decimal(10,2)", "1.50", "12345678.25"),
    ],
)
def test_a_widened_column_holds_old_and_new_values(
    run: Run, old: str, new: str, held: str, later: str
) -> None:
    create(run, f"select 1 as k, cast({held} as {old}) as v")
    run(f"alter table i change column v v {new}")
    run(f"insert into i values (2, {later})")
    assert rows(run, f"select v from i where v >= {held} or v >= {later} order by k") == [[held], [later]]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("alter table i drop column nope", "nope"),
        ("alter table i drop column p", "partitioned by p"),
        ("alter table i add columns (k int)", "k"),
        ("alter table i change column k k string", "Cannot change column type"),
        ("alter table i change column big big int", "Cannot change column type"),
        ("alter table i change column k big int", "big"),
        ("alter table i change column xs xs array<bigint>", "Cannot change column type"),
        ("create table i (k int) location 's3://BUCKET/j/' tblproperties ('table_type' = 'iceberg')", "ALREADY_EXISTS"),
        ("create table j with (table_type = 'iceberg', location = 's3://BUCKET/i/') as select 1 as k", "non-empty location"),
        ("create table j with (table_type = 'iceberg') as select 1 as k", "location"),
    ],
)  # fmt: skip
def test_a_definition_that_cannot_be_is_refused_and_changes_nothing(run: Run, sql: str, message: str) -> None:
    create(run, "select 1 as k, cast(2 as bigint) as big, array[1] as xs, 'a' as p", ["p"])
    before = rows(run, "describe i")
    with pytest.raises(QueryFailed, match=message) as failed:
        run(sql)
    assert "Internal" not in str(failed.value)
    assert rows(run, "describe i") == before
    assert rows(run, "select k, big, xs, p from i") == [["1", "2", "[1]", "a"]]


def test_a_defined_table_shows_its_columns_and_comments_in_glue(run: Run, engine: Engine) -> None:
    run(
        "create table i (id bigint comment 'the number', ts timestamp, tags array<string>,"
        " r struct<a:int,b:decimal(10,2)>) partitioned by (day(ts), bucket(4, id))"
        " location 's3://BUCKET/i/' tblproperties ('table_type' = 'ICEBERG', 'format' = 'parquet')"
    )
    table = engine.glue.get_table(DatabaseName="db", Name="i")["Table"]
    assert [(one["Name"], one["Type"]) for one in table["StorageDescriptor"]["Columns"]] == [
        ("id", "bigint"),
        ("ts", "timestamp"),
        ("tags", "array<string>"),
        ("r", "struct<a:int,b:decimal(10,2)>"),
    ]
    assert table["StorageDescriptor"]["Columns"][0]["Comment"] == "the number"
    assert (table["TableType"], table["Parameters"]["table_type"]) == ("EXTERNAL_TABLE", "ICEBERG")
    assert table["Parameters"]["metadata_location"].endswith(".metadata.json")
    run(
        "insert into i values (1, timestamp '2023-01-03 05:00:00', array['a'], cast(row(1, 1.5) as row(a integer, b decimal(10, 2))))"
    )
    assert rows(run, "select id, ts, tags, r from i") == [
        ["1", "2023-01-03 05:00:00.000", "[a]", "{a=1, b=1.50}"]
    ]


def test_files_are_parquet_in_zstd_and_another_program_reads_the_same(
    run: Run, engine: Engine, objects: Objects
) -> None:
    create(run, DAYS, ["month(ts)"])
    run("delete from i where k % 2 = 0")
    catalog = PyicebergCatalog("another", client=engine.glue, **register(objects))  # type: ignore[arg-type]
    table = catalog.load_table(("db", "i"))
    assert sorted(table.scan().to_arrow()["k"].to_pylist()) == list(range(1, 60, 2))
    assert table.properties["write.parquet.compression-codec"] == "zstd"
    assert {one.as_py()["k"]["value_count"] for one in table.inspect.files()["readable_metrics"]} > {1}


def test_what_another_program_appends_is_read_and_merged(run: Run, engine: Engine, objects: Objects) -> None:
    create(run, "select 1 as k, 'a' as s", ["s"])
    catalog = PyicebergCatalog("another", client=engine.glue, **register(objects))  # type: ignore[arg-type]
    rows_ = pa.table({"s": ["b"], "k": pa.array([2], pa.int32())})
    catalog.load_table(("db", "i")).append(rows_)
    run("update i set k = k + 10")
    assert rows(run, "select k, s from i order by k") == [["11", "a"], ["12", "b"]]


def test_a_dropped_table_takes_its_data_and_no_others(
    run: Run, objects: Objects, bucket_settings: Settings
) -> None:
    create(run, "select 1 as k")
    create(run, "select 2 as k", name="i_too")
    run("drop table i")
    assert not objects.list(f"s3://{bucket_settings.bucket}/i", hidden=True)
    assert rows(run, "select k from i_too") == [["2"]]


def test_a_renamed_table_is_the_same_table(run: Run) -> None:
    create(run, "select 1 as k")
    run("alter table i rename to j")
    run("insert into j values (2)")
    assert rows(run, "select k from j order by k") == [["1"], ["2"]]
    with pytest.raises(QueryFailed, match="TABLE_NOT_FOUND"):
        run("select * from i")
