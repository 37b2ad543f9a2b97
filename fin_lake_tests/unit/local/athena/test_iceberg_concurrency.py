"""Several at once: no change is lost or made twice, and nobody sees half of one."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.exceptions import CommitFailedException

from fin_lake.local.athena.errors import ICEBERG_COMMIT, QueryFailed
from fin_lake.local.athena.iceberg import maintenance
from fin_lake.local.athena.iceberg.catalog import Catalog
from fin_lake.local.athena.session import Engine
from fin_lake.local.athena.statements import Statement, execute
from fin_lake.local.athena.storage import Objects
from fin_lake_tests.unit.local.athena.conftest import Run
from fin_lake_tests.unit.local.athena.iceberg_tables import create, files, rows, value

COUNT = (
    "merge into i as target using (select 1 as k) as src on target.k = src.k"
    " when matched then update set n = target.n + 1 when not matched then insert (k, n) values (1, 1)"
)


@pytest.fixture
def other(engine: Engine, objects: Objects, tmp_path: Path) -> Callable[[str], Any]:
    """Another service on the same catalog and bucket: it shares no lock with the first."""
    second = Engine(engine.glue, objects, work=tmp_path / "other")

    def run(sql: str) -> Any:
        with second.session("db") as session:
            return execute(session, Statement(sql))

    return run


@pytest.fixture
def before_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something happen between a change's files and its commit, once."""

    def arrange(happens: Callable[[], object]) -> None:
        commit, left = Catalog.commit_table, iter([happens])

        def interrupted(catalog: Catalog, *given: Any) -> Any:
            next(left, lambda: None)()
            return commit(catalog, *given)

        monkeypatch.setattr(Catalog, "commit_table", interrupted)

    return arrange


def objects_of(objects: Objects, engine: Engine, name: str = "i") -> set[str]:
    location = engine.glue.get_table(DatabaseName="db", Name=name)["Table"]["StorageDescriptor"]["Location"]
    return {one.url for one in objects.list(location, hidden=True)}


def test_merges_from_two_threads_and_two_services_all_count(run: Run, other: Callable[[str], Any]) -> None:
    create(run, "select 1 as k, 0 as n")
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda each: each(COUNT).update_count, [run, other, run, other, run, run]))
    assert told == [1] * 6
    assert rows(run, "select k, n from i") == [["1", "6"]]


def test_a_row_that_somebody_inserts_meanwhile_is_updated_and_not_inserted_again(
    run: Run, other: Callable[[str], Any], before_commit: Callable[[Callable[[], object]], None]
) -> None:
    """A commit put onto the other's snapshot as it is would leave the key twice."""
    create(run, "select 7 as k, 0 as n")
    before_commit(lambda: other("insert into i values (1, 5)"))
    run(COUNT)
    assert rows(run, "select k, n from i order by k") == [["1", "6"], ["7", "0"]]


def test_a_change_that_starts_again_leaves_no_file_behind(
    run: Run,
    other: Callable[[str], Any],
    engine: Engine,
    objects: Objects,
    before_commit: Callable[[Callable[[], object]], None],
) -> None:
    create(run, "select 1 as k, 0 as n")
    before_commit(lambda: other("insert into i values (9, 9)"))
    run("update i set n = 5 where k = 1")
    data = {one for one in objects_of(objects, engine) if one.endswith(".parquet")}
    assert len(data - files(run)) == 1  # the one that the update replaced, for the snapshot before it


def test_who_is_never_first_fails_as_in_athena(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    create(run, "select 1 as k, 0 as n")

    def never(*_: Any) -> Any:
        raise CommitFailedException("somebody was first")

    monkeypatch.setattr(Catalog, "commit_table", never)
    monkeypatch.setattr("fin_lake.local.athena.iceberg.tables.time.sleep", lambda _: None)
    with pytest.raises(QueryFailed, match=r"ICEBERG_COMMIT_ERROR: db\.i") as failed:
        run(COUNT)
    assert failed.value.error_type == ICEBERG_COMMIT
    assert rows(run, "select k, n from i") == [["1", "0"]]


def test_a_reader_sees_whole_states_only(run: Run) -> None:
    """Every merge writes all rows of all partitions; compaction and expiry go on beside it."""
    create(run, "select x as k, x % 3 as p, 0 as n from unnest(sequence(1, 9)) as t(x)", ["p"])
    run("alter table i set tblproperties ('vacuum_max_snapshot_age_seconds' = '0')")
    done = threading.Event()

    def read() -> list[list[list[str | None]]]:
        seen = []
        while not done.is_set():
            seen.append(rows(run, "select count(*), min(n), max(n), count(distinct k) from i"))
        return seen

    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(read) for _ in range(2)]
        try:
            for number in range(1, 13):
                run(
                    f"merge into i as target using (select x as k, {number} as n from unnest(sequence(1, 9)) as t(x))"
                    " as src on target.k = src.k when matched then update set n = src.n"
                )
                run("optimize i rewrite data using bin_pack" if number % 2 else "vacuum i")
        finally:
            done.set()
        seen = [one for each in reading for one in each.result()]
    assert all(one[0][0] == one[0][3] == "9" and one[0][1] == one[0][2] for one in seen), seen
    numbers = [int(one[0][1] or 0) for one in reading[0].result()]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 2


class _Killed(BaseException):
    """The process ends: nobody tidies up."""


def _killed() -> Iterator[None]:
    raise _Killed


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        (COUNT, "2"),
        ("delete from i where k = 2", "1"),
        ("insert into i values (5, 5)", "3"),
        ("optimize i rewrite data using bin_pack", "2"),
    ],
    ids=["merge", "delete", "insert", "optimize"],
)
def test_killed_before_the_commit_the_old_state_stands_and_a_vacuum_removes_what_is_left(
    run: Run,
    engine: Engine,
    objects: Objects,
    before_commit: Callable[[Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
    sql: str,
    count: str,
) -> None:
    create(run, "select 1 as k, 0 as n")
    run("insert into i values (2, 2)")
    before, held = objects_of(objects, engine), rows(run, "select k, n from i order by k")
    before_commit(_killed)
    with pytest.raises(_Killed):
        run(sql)
    left = objects_of(objects, engine) - before
    assert left or "delete" in sql
    assert rows(run, "select k, n from i order by k") == held

    run("vacuum i")
    assert left <= objects_of(objects, engine)  # they may be of a commit that is under way
    monkeypatch.setattr(maintenance, "ORPHAN_AGE", dt.timedelta(seconds=-5))
    run("vacuum i")
    assert objects_of(objects, engine) == before
    run(sql)
    assert value(run, "select count(*) from i") == count


def test_two_who_create_the_same_table_leave_one(
    run: Run, other: Callable[[str], Any], objects: Objects, before_commit: Callable[[Callable[[], object]], None], engine: Engine, bucket_settings: Any
) -> None:  # fmt: skip
    place = f"s3://{bucket_settings.bucket}"
    before_commit(
        lambda: other(
            f"create table i with (table_type = 'iceberg', is_external = false, location = '{place}/other/')"
            " as select 2 as k"
        )
    )
    with pytest.raises(QueryFailed, match="TABLE_ALREADY_EXISTS"):
        create(run, "select 1 as k")
    assert rows(run, "select k from i") == [["2"]]
    assert not [one for one in objects.list(f"{place}/i", hidden=True) if one.url.endswith(".parquet")]
