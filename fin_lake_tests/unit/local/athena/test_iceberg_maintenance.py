"""Upkeep: small files are joined, old versions go, and a table stays quick however often it changes."""

from __future__ import annotations

import pytest

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.session import Engine
from fin_lake.local.athena.storage import Objects
from fin_lake_tests.unit.local.athena.conftest import Run
from fin_lake_tests.unit.local.athena.iceberg_tables import create, files, rows, value

OPTIMIZE = "optimize i rewrite data using bin_pack"


def data_objects(objects: Objects, engine: Engine) -> set[str | None]:
    location = engine.glue.get_table(DatabaseName="db", Name="i")["Table"]["StorageDescriptor"]["Location"]
    return {one.url for one in objects.list(location, hidden=True) if one.url.endswith(".parquet")}


def test_optimize_joins_the_files_of_each_partition_in_one_snapshot(run: Run) -> None:
    create(run, "select x as k, 1 as v from unnest(sequence(1, 90)) as t(x)", ["k"])
    run("insert into i select x, 2 from unnest(sequence(31, 120)) as t(x)")
    before = rows(run, "select k, v from i order by k, v")
    alone = {row[0] for row in rows(run, "select k from i group by k having count(*) = 1")}
    assert len(files(run)) == 180
    kept = files(run)
    run(OPTIMIZE)
    assert len(files(run)) == 120
    assert len(files(run) & kept) == len(alone)  # what stands alone is left as it is
    assert rows(run, "select k, v from i order by k, v") == before
    assert value(run, 'select count(*) from "i$snapshots"') == "3"
    run(OPTIMIZE)
    assert value(run, 'select count(*) from "i$snapshots"') == "3"


def test_optimize_keeps_to_its_condition_and_properties(run: Run) -> None:
    create(run, "select x as k, 1 as v from unnest(sequence(1, 3)) as t(x)", ["k"])
    for v in (2, 3):
        run(f"insert into i select x, {v} from unnest(sequence(1, 3)) as t(x)")
    run(f"{OPTIMIZE} where k = 2")
    assert rows(run, 'select partition, count(*) from "i$files" group by 1 order by 1') == [
        ["{k=1}", "3"],
        ["{k=2}", "1"],
        ["{k=3}", "3"],
    ]
    run("alter table i set tblproperties ('optimize_rewrite_data_file_threshold' = '4')")
    run(OPTIMIZE)
    assert len(files(run)) == 7
    run("alter table i unset tblproperties ('optimize_rewrite_data_file_threshold')")
    run(OPTIMIZE)
    assert len(files(run)) == 3


@pytest.mark.parametrize("where", ["v = 1", "k = 1 and v = 1", "nope = 1", "k + 1 = 2", "k = 1 or v = 2"])
def test_optimize_refuses_a_condition_that_is_not_on_partitions(run: Run, where: str) -> None:
    create(run, "select 1 as k, 1 as v", ["k"])
    run("insert into i values (1, 2)")
    with pytest.raises(QueryFailed, match=r"partition columns|COLUMN_NOT_FOUND"):
        run(f"{OPTIMIZE} where {where}")
    assert len(files(run)) == 2


def test_vacuum_keeps_what_the_properties_say_and_frees_the_rest(
    run: Run, engine: Engine, objects: Objects
) -> None:
    create(run, "select 1 as k, 0 as v")
    for v in range(1, 6):
        run(f"update i set v = {v}")
    run("vacuum i")  # five days have not passed
    assert value(run, 'select count(*) from "i$snapshots"') == "6"
    run(
        "alter table i set tblproperties ('vacuum_max_snapshot_age_seconds' = '0', 'vacuum_min_snapshots_to_keep' = '2')"
    )
    run("vacuum i")
    left = rows(run, 'select snapshot_id from "i$snapshots" order by committed_at')
    assert [value(run, f"select v from i for version as of {one[0]}") for one in left] == ["4", "5"]
    assert len(data_objects(objects, engine)) == 2
    run("alter table i set tblproperties ('vacuum_min_snapshots_to_keep' = '1')")
    run("vacuum i")
    assert data_objects(objects, engine) == files(run)
    assert rows(run, "select k, v from i") == [["1", "5"]]


def test_a_table_that_changes_for_years_keeps_few_manifests_and_metadata_files(
    run: Run, engine: Engine, objects: Objects
) -> None:
    """One that lists removed files only, and that stays, would be read by every query for ever."""
    create(run, "select x as k, 0 as v from unnest(sequence(1, 20)) as t(x)", ["k"])
    for step in range(40):
        run(
            f"merge into i as target using (select {step % 30} as k, {step} as v) as src on target.k = src.k"
            " when matched then update set v = src.v when not matched then insert (k, v) values (src.k, src.v)"
        )
    assert int(value(run, 'select count(*) from "i$manifests"') or 0) <= 18
    assert len(files(run)) == 30
    location = engine.glue.get_table(DatabaseName="db", Name="i")["Table"]["StorageDescriptor"]["Location"]
    metadata = [one for one in objects.list(location, hidden=True) if one.url.endswith(".metadata.json")]
    assert len(metadata) <= 11
    assert value(run, "select sum(v) from i") == str(sum(range(10, 40)))


def test_many_partitions_are_listed_in_order_so_that_a_day_is_found_in_one_manifest(run: Run) -> None:
    create(run, "select x as k, 0 as v from unnest(sequence(1, 100)) as t(x)", ["k"])
    for start in range(101, 601, 100):
        run(f"insert into i select x, 0 from unnest(sequence({start}, {start + 99})) as t(x)")
    for k in range(1, 600, 40):
        run(f"update i set v = 1 where k = {k}")
    counts = [
        int(row[0] or 0)
        for row in rows(run, 'select existing_data_files_count + added_data_files_count from "i$manifests"')
    ]
    assert sum(counts) == 600
    assert max(counts) <= 256
    assert value(run, "select sum(v) from i") == "15"
