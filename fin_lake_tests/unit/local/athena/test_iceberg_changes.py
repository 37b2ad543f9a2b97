"""DELETE, UPDATE and MERGE: what becomes of the rows is what DuckDB makes of them in a table of its own."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence

import duckdb
import pytest

from fin_lake.local.athena.errors import QueryFailed
from fin_lake_tests.unit.local.athena.conftest import Run
from fin_lake_tests.unit.local.athena.iceberg_tables import create, files, rows, value

COLUMNS = {"k": "bigint", "ts": "timestamp", "tag": "varchar", "v": "double", "xs": "array(integer)"}
EMPTY = "select " + ", ".join(f"cast(null as {type_}) as {name}" for name, type_ in COLUMNS.items())


class Twin:
    """A table in Athena, and one in DuckDB to which the same happens."""

    def __init__(self, run: Run, partitioning: Sequence[str], chance: random.Random) -> None:
        self._run = run
        self._plain = duckdb.connect()
        self._plain.execute("create table i (k bigint, ts timestamp, tag varchar, v double, xs integer[])")
        self._chance = chance
        self.columns = list(COLUMNS)
        create(run, f"{EMPTY} where false", partitioning)

    def both(self, sql: str, *, plain: str | None = None, counted: bool = True) -> None:
        changed = self._run(sql)
        told = self._plain.execute(plain or sql).fetchall()
        if counted:
            assert changed.update_count == told[0][0], sql

    def only_athena(self, sql: str) -> None:
        self._run(sql)

    def agree(self) -> None:
        listed = ", ".join(f"cast({name} as varchar)" for name in self.columns)
        athena = sorted(map(str, rows(self._run, f"select {self.listed()} from i")))
        texts = [
            list(map(self._text, row))
            for row in self._plain.execute(f"select {self.listed()} from i").fetchall()
        ]
        assert athena == sorted(map(str, texts)), listed

    def listed(self) -> str:
        return ", ".join(self.columns)

    @staticmethod
    def _text(one: object) -> str | None:
        if isinstance(one, dt.datetime):
            return f"{one:%Y-%m-%d %H:%M:%S}.{one.microsecond // 1000:03d}"
        return None if one is None else str(one)

    def key(self) -> tuple[int, str]:
        day = dt.datetime(2023, 1, 3, tzinfo=dt.UTC) + dt.timedelta(
            days=self._chance.randrange(5), hours=self._chance.randrange(3)
        )
        return self._chance.randrange(8), f"timestamp '{day:%Y-%m-%d %H:%M:%S}'"

    def source(self, count: int) -> str:
        keys = {self.key(): None for _ in range(count)}
        values = ", ".join(f"({k}, {ts}, {self._tag()}, {self._chance.randrange(100)}.5)" for k, ts in keys)
        return f"(select * from (values {values}) as s(k, ts, tag, v)) as src"

    def _tag(self) -> str:
        return self._chance.choice(["'a'", "'b'", "cast(null as varchar)"])

    def step(self) -> None:
        kinds = ["merge"] * 4 + ["update", "delete", "insert", "insert", "optimize", "vacuum", "columns"]
        getattr(self, f"do_{self._chance.choice(kinds)}")()
        self.agree()

    def do_merge(self) -> None:
        clauses = [
            self._chance.choice(["", "when matched and src.v > 80 then delete"]),
            self._chance.choice(
                ["", "when matched and target.tag = 'a' then update set tag = 'z', v = target.v + 1"]
            ),
            self._chance.choice(
                ["when matched then update set v = src.v, tag = src.tag", "when matched then delete", ""]
            ),
            self._chance.choice(
                ["when not matched and src.v < 90 then insert (v, k, ts) values (src.v, src.k, src.ts)", ""]
            ),
            "when not matched then insert (k, ts, tag) values (src.k, src.ts, src.tag)",
        ]
        on = self._chance.choice(
            [
                "src.k = target.k and target.ts = src.ts",
                "(target.k = src.k and target.ts = src.ts and target.tag = 'b')",
            ]
        )
        self.both(f"merge into i as target using {self.source(6)} on {on} {' '.join(clauses)}")

    def do_update(self) -> None:
        k, ts = self.key()
        where = self._chance.choice(
            [f"k > {k} and ts = {ts}", f"ts >= {ts}", f"tag is null and k < {k}", f"v > {k}.25"]
        )
        self.both(f"update i set v = v + k, k = k where {where}")

    def do_delete(self) -> None:
        k, ts = self.key()
        where = self._chance.choice(
            [f"k = {k}", f"ts < {ts} and k < 3", f"k in (select max(k) from i) and ts <> {ts}"]
        )
        self.both(f"delete from i where {where}")

    def do_insert(self) -> None:
        # keys of their own: those of the merges stay unique
        k, ts = self.key()
        self.both(
            f"insert into i (k, ts, v) select 100 + {k} + x, {ts}, 1.5 from unnest(sequence(1, 3)) as t(x)",
            plain=f"insert into i (k, ts, v) select 100 + {k} + x, {ts}, 1.5 from range(1, 4) as t(x)",
        )

    def do_optimize(self) -> None:
        self.only_athena("optimize i rewrite data using bin_pack")

    def do_vacuum(self) -> None:
        self.only_athena("vacuum i")

    def do_columns(self) -> None:
        if "xs" in self.columns and "w" not in self.columns:
            self.both(
                "alter table i add columns (w int)", plain="alter table i add column w int", counted=False
            )
            self.columns.append("w")
        elif "xs" in self.columns:
            self.both("alter table i drop column xs", counted=False)
            self.columns.remove("xs")
        elif "w" in self.columns:
            self.both("update i set w = 7 where k > 2")
            self.both(
                "alter table i change column w wide bigint",
                plain="alter table i rename w to wide",
                counted=False,
            )
            self.columns[self.columns.index("w")] = "wide"
        else:
            self.both("update i set wide = coalesce(wide, 1) + k")


@pytest.mark.parametrize("partitioning", [[], ["day(ts)"], ["bucket(3, k)", "tag"]], ids=str)
def test_random_changes_give_what_a_plain_table_gives(run: Run, partitioning: list[str]) -> None:
    twin = Twin(run, partitioning, random.Random(str(partitioning)))
    for _ in range(45):
        twin.step()


def test_an_assignment_reads_the_row_as_it_was(run: Run) -> None:
    create(run, "select 1 as a, 2 as b, 3 as c")
    assert run("update i set a = b, b = a, c = a + b").update_count == 1
    assert rows(run, "select a, b, c from i") == [["2", "1", "3"]]


def test_a_value_of_another_type_changes_only_its_own_row(run: Run) -> None:
    """In a CASE of both, DuckDB would take the large number through a double."""
    create(run, "select * from (values (1, 9007199254740993), (2, 5)) as t(k, big)")
    run(
        "merge into i as target using (select * from (values (1, 2e0), (2, 7e0)) as s(k, d)) as src on target.k = src.k"
        " when matched and src.d > 5 then update set big = src.d when matched then update set k = target.k"
    )
    assert rows(run, "select k, big from i order by k") == [["1", "9007199254740993"], ["2", "7"]]


def test_a_field_of_a_row_is_no_column_of_its_name(run: Run) -> None:
    create(run, "select cast(row(1) as row(x integer)) as r, 5 as x")
    assert run("delete from i where r.x = 1").update_count == 1


def test_rows_without_a_partition_value_are_changed_as_others(run: Run) -> None:
    create(run, "select * from (values ('a', 1), (cast(null as varchar), 2)) as t(p, v)", ["p"])
    assert run("update i set v = 3 where p is null").update_count == 1
    assert run("delete from i where p = 'a'").update_count == 1
    assert rows(run, "select p, v from i") == [[None, "3"]]


def test_nested_values_and_times_survive_a_change(run: Run) -> None:
    create(
        run,
        "select 1 as k, map(array['x', 'y'], array[1, null]) as m, array[map(array[1], array['q'])] as ms,"
        " cast(row(1, array['z']) as row(i integer, js array(varchar))) as r,"
        " timestamp '2023-01-03 05:30:00.123' as ts, timestamp '2023-01-03 05:30:00 UTC' as tz,"
        " x'00ff' as b, cast(1.50 as decimal(10, 2)) as d, date '2023-01-03' as day, real '0.1' as f, true as t",
        ["day"],
    )
    before = rows(run, "select m, ms, r, ts, tz, b, d, day, f, t from i")
    run("update i set k = 2")
    run("alter table i add columns (z struct<a:int,b:map<string,int>>)")
    run("update i set k = 3, m = m where m['x'] = 1")
    run("insert into i select * from i")
    run("optimize i rewrite data using bin_pack")
    assert rows(run, "select m, ms, r, ts, tz, b, d, day, f, t from i") == before * 2
    assert rows(run, "select k, z from i") == [["3", None]] * 2


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("update i set nope = 1", "COLUMN_NOT_FOUND.*nope"),
        ("update i set v = 1, v = 2", "DUPLICATE_COLUMN_NAME.*v"),
        ("update i set v = 'x'", "INVALID_CAST_ARGUMENT"),
        ("merge into i as t using (select 2 as k) as s on t.k = s.k when not matched then insert (k, no) values (1, 2)", "COLUMN_NOT_FOUND.*no"),
        ("merge into i as t using (select 2 as k) as s on t.k = s.k when not matched then insert (k, v) values (1)", "TYPE_MISMATCH"),
        ("merge into i as t using (select 1 as k) as s on t.k = s.k when matched then update set no = 1", "COLUMN_NOT_FOUND.*no"),
        ("merge into i as t using (select 1 as k) as s on t.k = s.k when not matched by source then delete", "NOT_SUPPORTED"),
        ("merge into i as t using (values (1), (1)) as s(k) on t.k = s.k when matched then delete", "MERGE_TARGET_ROW_MULTIPLE_MATCHES"),
        ("delete from nope", "TABLE_NOT_FOUND"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_and_leaves_no_trace(run: Run, sql: str, message: str) -> None:
    create(run, "select 1 as k, 2 as v")
    before = files(run)
    with pytest.raises(QueryFailed, match=message):
        run(sql)
    assert rows(run, "select k, v from i") == [["1", "2"]]
    assert (files(run), value(run, 'select count(*) from "i$snapshots"')) == (before, "1")


def test_a_row_is_inserted_by_position_without_a_list_of_columns(run: Run) -> None:
    create(run, "select 1 as k, 2 as v")
    run(
        "merge into i as t using (select 5 as k) as s on t.k = s.k when not matched then insert values (s.k, 6)"
    )
    assert rows(run, "select k, v from i order by k") == [["1", "2"], ["5", "6"]]


def test_the_merge_that_dbt_issues_with_conditions_does_what_they_say(run: Run) -> None:
    create(run, "select * from (values (1, 'old', 1), (2, 'gone', 1), (3, 'kept', 9)) as t(id, what, at)")
    result = run(
        "merge into \"db\".\"i\" as target using (select * from (values (1, 'new', 2), (2, 'drop', 2),"
        " (3, 'late', 2), (4, 'first', 2), (5, 'drop', 2)) as s(id, what, at)) as src"
        " on ( target.id = src.id )"
        " when matched and (src.what = 'drop') then delete"
        ' when matched and src.at > target.at then update set "what" = src."what", "at" = src."at"'
        ' when not matched and src.what <> \'drop\' then insert ("id", "what", "at") values (src."id", src."what", src."at")'
    )
    assert result.update_count == 3
    assert rows(run, "select id, what, at from i order by id") == [
        ["1", "new", "2"],
        ["3", "kept", "9"],
        ["4", "first", "2"],
    ]


def test_a_merge_by_day_replaces_that_days_file_however_the_source_says_the_time(run: Run) -> None:
    create(
        run,
        "select x as k, date_add('day', x, timestamp '2023-01-01 05:00:00') as ts from unnest(sequence(1, 60)) as t(x)",
        ["day(ts)"],
    )
    before = files(run)
    merged = run(
        "merge into i as target using (select cast('2023-01-08 05:00:00' as timestamp) as ts, 70 as k) as src"
        " on target.ts = src.ts when matched then update set k = src.k"
        " when not matched then insert (k, ts) values (src.k, src.ts)"
    )
    assert (merged.update_count, len(before - files(run)), len(files(run) - before)) == (1, 1, 1)
    assert merged.scanned_bytes < run("select * from i").scanned_bytes / 30


def test_deleting_from_more_partitions_than_one_statement_may_write_is_no_write(run: Run) -> None:
    create(run, "select x as k, 0 as v from unnest(sequence(1, 80)) as t(x)", ["k"])
    run(
        "insert into i select x, y from unnest(sequence(41, 120)) as t(x) cross join unnest(sequence(0, 1)) as u(y)"
    )
    assert run("delete from i where v = 0").update_count == 160
    assert value(run, "select count(*) from i") == "80"
    run("insert into i select x, 1 from unnest(sequence(1, 40)) as t(x)")
    with pytest.raises(QueryFailed, match="ICEBERG_TOO_MANY_OPEN_PARTITIONS"):
        run("update i set v = 5")


def test_a_merge_reads_those_files_of_its_source_that_the_source_asks_for(run: Run) -> None:
    run(
        "create table s with (external_location = 's3://BUCKET/s/', partitioned_by = array['p']) as"
        " select x as k, cast(x % 3 as varchar) as p from unnest(sequence(1, 9)) as t(x)"
    )
    create(run, "select 1 as k, 'old' as v")
    merged = run(
        "merge into i as target using (with c as (select * from s) select k from c where p = '1') as src"
        " on target.k = src.k when matched then update set v = 'new'"
        " when not matched then insert (k, v) values (src.k, 'new')"
    )
    assert rows(run, "select k, v from i order by k") == [["1", "new"], ["4", "new"], ["7", "new"]]
    part = run("select * from s where p = '1'").scanned_bytes + run("select * from i").scanned_bytes
    assert merged.scanned_bytes < part + run("select * from s where p = '2'").scanned_bytes
