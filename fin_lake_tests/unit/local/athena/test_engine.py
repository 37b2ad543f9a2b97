"""Statements against a bucket: what is written is read again, and what Athena refuses is refused."""

from __future__ import annotations

import random

import pytest

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.session import Engine
from fin_lake.local.athena.storage import Objects
from fin_lake.settings import Settings
from fin_lake_tests.unit.local.athena.conftest import Run

NUMBERS = "select x, 'v' || cast(x as varchar) as v, cast(x % 3 as varchar) as p from unnest(sequence(1, 9)) as t(x)"


def rows(run: Run, sql: str, *parameters: str) -> list[list[str | None]]:
    """Return a query's rows."""
    return [list(row) for row in run(sql, *parameters).rows]


@pytest.mark.parametrize("form", ["parquet", "json", "textfile"])
def test_a_partitioned_table_made_of_a_query_reads_back_the_same(run: Run, form: str) -> None:
    made = run(
        f"create table t with (format = '{form}', external_location = 's3://BUCKET/t/',"
        f" partitioned_by = array['p']) as {NUMBERS}"
    )
    assert made.update_count == 9
    assert rows(run, "select x, v, p from t order by x") == rows(run, f"select * from ({NUMBERS}) order by x")
    assert rows(run, "show partitions t") == [["p=0"], ["p=1"], ["p=2"]]


def test_a_condition_on_the_partition_reads_only_its_files(run: Run) -> None:
    run(
        f"create table t with (external_location = 's3://BUCKET/t/', partitioned_by = array['p']) as {NUMBERS}"
    )
    run("create view w as select x * 10 as y, p as part from t")
    whole = run("select * from t").scanned_bytes
    for sql in (
        "select * from t where p = '1'",
        "select * from w where part = '1'",
        "with c as (select * from t) select y from (select x as y, p from c) where p in ('1') and y > 0",
        "select t.x from t join (values ('1')) as o(p) on t.p = o.p and t.p = '1'",
        "select * from (select *, row_number() over (partition by p order by x) as n from t) where p = '1'",
        "select count(*) from t where p = '1'",
    ):
        assert 0 < run(sql).scanned_bytes < whole, sql
    for sql in (
        "select * from (select *, row_number() over (order by x) as n from t) where p = '1'",
        "select * from (select * from t limit 5) where p = '1'",
        "select * from t where p = '1' or x = 2",
        "select * from t where coalesce(p, '1') = '1'",
    ):
        assert run(sql).scanned_bytes == whole, sql


def test_more_than_a_hundred_partitions_in_one_statement_fail_as_in_athena(run: Run) -> None:
    many = "select x, cast(x as varchar) as p from unnest(sequence(1, 101)) as t(x)"
    with pytest.raises(QueryFailed, match="HIVE_TOO_MANY_OPEN_PARTITIONS"):
        run(
            f"create table t with (external_location = 's3://BUCKET/t/', partitioned_by = array['p']) as {many}"
        )
    with pytest.raises(QueryFailed, match="ICEBERG_TOO_MANY_OPEN_PARTITIONS"):
        run(
            "create table t with (table_type = 'iceberg', is_external = false, location = 's3://BUCKET/i/',"
            f" partitioning = array['p']) as {many}"
        )
    assert rows(run, "show tables") == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select nope from t", "COLUMN_NOT_FOUND: line 1:1: Column 'nope' cannot be resolved"),
        ("select * from nope", "TABLE_NOT_FOUND"),
        ("select * from nowhere.nope", "SCHEMA_NOT_FOUND"),
        ("selec 1", "mismatched input|not supported"),
        ("select 1; select 2", "Only one sql statement"),
        ("select 1/0", "DIVISION_BY_ZERO"),
        ("select cast('x' as integer)", "INVALID_CAST_ARGUMENT"),
        ("select list_value(1)", "FUNCTION_NOT_FOUND"),
        ("insert into t values (1)", "TYPE_MISMATCH"),
        ("delete from t where x = 1", "NOT_SUPPORTED"),
        ("drop table nope", "Table not found"),
        ("create table t as select 1 as x", "TABLE_ALREADY_EXISTS"),
        ("create table u as select count(*) from t", "COLUMN_NAME_NOT_SPECIFIED"),
        (
            "create table u with (partitioned_by = array['p']) as select p, x from t",
            "HIVE_COLUMN_ORDER_MISMATCH",
        ),
        (
            "create table u with (external_location = 's3://BUCKET/t/') as select 1 as x",
            "HIVE_PATH_ALREADY_EXISTS",
        ),
        ("create table u as select now() as t", "Unsupported Hive type"),
        ("create external table u (timestamp string) location 's3://BUCKET/u/'", "reserved word"),
        (
            "create external table u (a string) stored as json location 's3://BUCKET/u/'",
            "Unrecognized file format",
        ),
        ("select ? from t", "Incorrect number of parameters"),
        ("call nothing()", "not supported"),
    ],
)
def test_what_athena_refuses_is_refused_in_its_words(run: Run, sql: str, message: str) -> None:
    run(
        f"create table t with (external_location = 's3://BUCKET/t/', partitioned_by = array['p']) as {NUMBERS}"
    )
    with pytest.raises(QueryFailed, match=message):
        run(sql)


def test_parameters_take_the_place_of_question_marks(run: Run) -> None:
    assert rows(run, "with c as (select ? as a) select a, ? from c where '?' = '?'", "1", "'x'") == [
        ["1", "x"]
    ]


def test_a_registered_partition_is_found_by_its_own_location(
    run: Run, objects: Objects, engine: Engine
) -> None:
    run(
        "create external table t (a int) partitioned by (d string) row format delimited location 's3://BUCKET/t/'"
    )
    bucket = engine.metastore.tables("db")[0].location
    objects.write(f"{bucket}/d=1/f", b"1\n")
    objects.write(f"{bucket.removesuffix('/t')}/elsewhere/f", b"2\n")
    assert rows(run, "select * from t") == []
    run("msck repair table t")
    run("alter table t add if not exists partition (d = '2') location 's3://BUCKET/elsewhere/'")
    assert rows(run, "select a, d from t order by 1") == [["1", "1"], ["2", "2"]]
    run("alter table t drop partition (d = '1')")
    assert rows(run, "select a, d from t") == [["2", "2"]]


def test_projected_partitions_need_no_registration_and_stay_within_their_range(
    run: Run, objects: Objects, engine: Engine
) -> None:
    run(
        "create external table t (a int) partitioned by (y string, m int) row format delimited"
        " location 's3://BUCKET/t/' tblproperties ('projection.enabled' = 'true',"
        " 'projection.y.type' = 'integer', 'projection.y.range' = '2023,2024',"
        " 'projection.m.type' = 'integer', 'projection.m.range' = '1,12', 'projection.m.digits' = '2',"
        " 'storage.location.template' = 's3://BUCKET/t/${y}/${m}/')"
    )
    place = engine.metastore.tables("db")[0].location
    for path, value in (("2023/01", 1), ("2023/12", 2), ("2024/02", 3), ("2025/01", 4), ("2023/1", 5)):
        objects.write(f"{place}/{path}/f", f"{value}\n".encode())
    assert rows(run, "select a from t order by 1") == [["1"], ["2"], ["3"]]
    assert rows(run, "select a from t where y = '2023' and m = 12") == [["2"]]
    assert rows(run, "select a from t where y || cast(m as varchar) >= '202312' order by 1") == [["2"], ["3"]]


def test_an_overwritten_object_is_read_anew(run: Run, objects: Objects, engine: Engine) -> None:
    run("create external table t (a int) row format delimited location 's3://BUCKET/t/'")
    place = engine.metastore.tables("db")[0].location
    objects.write(f"{place}/f", b"1\n")
    assert rows(run, "select * from t") == [["1"]]
    objects.write(f"{place}/f", b"2\n")
    assert rows(run, "select * from t") == [["2"]]


def test_json_is_read_by_the_declared_types_and_a_broken_line_fails(
    run: Run, objects: Objects, engine: Engine
) -> None:
    run(
        "create external table t (a bigint, b struct<c:string>, `timestamp` string)"
        " row format serde 'org.openx.data.jsonserde.JsonSerDe' location 's3://BUCKET/t/'"
    )
    place = engine.metastore.tables("db")[0].location
    objects.write(
        f"{place}/f.json", b'{"a": 1, "b": {"c": "x"}, "timestamp": "2023-01-03T00:00:00Z", "z": 1}\n{}\n'
    )
    assert rows(run, 'select a, b.c, "timestamp" from t order by 1') == [
        ["1", "x", "2023-01-03T00:00:00Z"],
        [None, None, None],
    ]
    objects.write(f"{place}/f.json", b'{"a": 1}\n{nonsense\n')
    with pytest.raises(QueryFailed):
        run("select * from t")


def test_a_common_table_expression_may_have_the_name_of_the_table_it_reads(run: Run) -> None:
    run("create table t as select 1 as x")
    run("create view v as select x + 1 as x from t")
    assert rows(run, "with t as (select x * 10 as x from t) select t.x, v.x from t cross join v") == [
        ["10", "2"]
    ]


def test_a_query_beyond_the_limit_of_bytes_is_stopped(run: Run) -> None:
    run(f"create table t as {NUMBERS}")
    with pytest.raises(QueryFailed, match="Bytes scanned limit was exceeded"):
        run("select * from t", scan_limit=10)


def test_unload_leaves_files_and_no_table(run: Run, objects: Objects, bucket_settings: Settings) -> None:
    result = run("unload (select 1 as a) to 's3://BUCKET/u/' with (format = 'json')")
    assert list(result.written) == [one.url for one in objects.list(f"s3://{bucket_settings.bucket}/u")]
    assert rows(run, "show tables") == []


ICEBERG = (
    "create table i with (table_type = 'iceberg', is_external = false, location = 's3://BUCKET/i/',"
    " partitioning = array['d']) as select k, v, d from (values (0, 0, 0)) as t(k, v, d)"
)


def test_random_changes_of_an_iceberg_table_give_what_a_dictionary_gives(run: Run) -> None:  # noqa: C901
    """Merges, updates, deletes, inserts, compaction and expiry, compared after every step."""
    chance = random.Random(20230103)
    run(ICEBERG)
    held = {(0, 0): 0}
    for step in range(40):
        kind = chance.choice(["merge", "merge", "merge", "update", "delete", "insert", "optimize", "vacuum"])
        day, key = chance.randrange(4), chance.randrange(12)
        if kind == "merge":
            source = {(chance.randrange(12), chance.randrange(4)): chance.randrange(100) for _ in range(5)}
            values = ", ".join(f"({k}, {v}, {d})" for (k, d), v in source.items())
            result = run(
                f"merge into i as target using (select * from (values {values}) as s(k, v, d)) as src"
                " on (target.k = src.k and target.d = src.d)"
                " when matched and src.v % 7 = 0 then delete"
                " when matched then update set v = src.v"
                " when not matched and src.v % 7 > 0 then insert (k, v, d) values (src.k, src.v, src.d)"
            )
            changed = 0
            for place, value in source.items():
                if place in held and value % 7 == 0:
                    del held[place]
                    changed += 1
                elif place in held or value % 7:
                    held[place] = value
                    changed += 1
            assert result.update_count == changed, step
        elif kind == "update":
            run(f"update i set v = v + 1 where d = {day} and k > {key}")
            held = {(k, d): v + 1 if d == day and k > key else v for (k, d), v in held.items()}
        elif kind == "delete":
            run(f"delete from i where d = {day} and k = {key}")
            held.pop((key, day), None)
        elif kind == "insert":
            if (100 + step, day) not in held:
                run(f"insert into i (d, k, v) values ({day}, {100 + step}, {step})")
                held[100 + step, day] = step
        elif kind == "optimize":
            run("optimize i rewrite data using bin_pack")
        else:
            run("vacuum i")
        got = {(int(k or 0), int(d or 0)): int(v or 0) for k, v, d in rows(run, "select k, v, d from i")}
        assert got == held, (step, kind)


def test_a_merge_reads_and_replaces_only_the_partitions_that_it_touches(run: Run) -> None:
    run(
        "create table i with (table_type = 'iceberg', is_external = false, location = 's3://BUCKET/i/',"
        " partitioning = array['d']) as"
        " select x as k, x as v, date_add('day', x, date '2023-01-01') as d from unnest(sequence(1, 60)) as t(x)"
    )
    files = {row[0] for row in rows(run, 'select file_path from "i$files"')}
    whole = run("select * from i").scanned_bytes
    merged = run(
        "merge into i as target using (select 7 as k, 70 as v, date '2023-01-08' as d) as src"
        " on (target.k = src.k and target.d = src.d) when matched then update set v = src.v"
        " when not matched then insert (k, v, d) values (src.k, src.v, src.d)"
    )
    assert merged.update_count == 1
    assert merged.scanned_bytes < whole / 30
    after = {row[0] for row in rows(run, 'select file_path from "i$files"')}
    assert (len(files - after), len(after - files)) == (1, 1)
    assert rows(run, "select v from i where d = date '2023-01-08'") == [["70"]]


def test_a_target_row_that_two_source_rows_match_fails_and_changes_nothing(run: Run) -> None:
    run(ICEBERG)
    with pytest.raises(QueryFailed, match="MERGE_TARGET_ROW_MULTIPLE_MATCHES"):
        run(
            "merge into i as target using (select * from (values (0, 1), (0, 2)) as s(k, v)) as src"
            " on target.k = src.k when matched then update set v = src.v"
        )
    assert rows(run, "select v from i") == [["0"]]


def test_columns_of_an_iceberg_table_come_go_and_change(run: Run) -> None:
    run(ICEBERG)
    run("alter table i add columns (w string)")
    run("insert into i values (1, 1, 1, 'x')")
    run("alter table i change column v amount bigint")
    run("alter table i drop column k")
    assert rows(run, "select amount, d, w from i order by 1") == [["0", "0", None], ["1", "1", "x"]]
    assert rows(run, "describe i")[0][0].split() == ["amount", "bigint"]  # type: ignore[union-attr]


def test_an_iceberg_table_can_be_read_as_it_was(run: Run) -> None:
    run(ICEBERG)
    snapshot = rows(run, 'select snapshot_id from "i$snapshots" order by committed_at')[0][0]
    run("update i set v = 5")
    assert rows(run, "select v from i") == [["5"]]
    assert rows(run, f"select v from i for version as of {snapshot}") == [["0"]]
