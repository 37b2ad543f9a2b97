"""Tableau's extracts on a real stack: the rows that Athena gives, month by month, and nothing left behind."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pantab
import pytest

from fin_lake.assets.deliveries import extract_key
from fin_lake.definitions import DELIVERIES_JOB, build_definitions
from fin_lake.engines.tableau import REPORTS, extract_object
from fin_lake.lake.store import Lake
from fin_lake.operations.athena import Athena
from fin_lake.settings import Settings
from fin_lake_tests.conftest import filled, hours

pytestmark = pytest.mark.stack
JANUARY = dt.date(2023, 1, 1)
DAYS = hours("2023-01-23T14", 32)  # two sessions, and the night between


@pytest.fixture(scope="module")
def settings(module_settings: Settings) -> Settings:
    return module_settings


@pytest.fixture(scope="module")
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with filled(settings, DAYS) as instance:
        yield instance


def deliver(settings: Settings, instance: dg.DagsterInstance, month: str) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings).resolve_job_def(DELIVERIES_JOB)
    return job.execute_in_process(instance=instance, partition_key=month)


@pytest.fixture(scope="module")
def january(settings: Settings, instance: dg.DagsterInstance) -> dict[dg.AssetKey, dg.AssetMaterialization]:
    result = deliver(settings, instance, "2023-01")
    made = [event.materialization for event in result.get_asset_materialization_events()]
    return {one.asset_key: one for one in made}


def opened(data: bytes, report: str, folder: Path):
    path = folder / f"{report}.hyper"
    path.write_bytes(data)
    return pantab.frame_from_hyper(
        path, table=report, return_type="pyarrow", process_params={"log_dir": str(folder)}
    )


def text(value: object, type_: str) -> str | None:
    """A value as Athena prints it, as far as values can be compared by their texts."""
    if value is None:
        return None
    if type_ == "timestamp":
        return f"{value:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    return repr(value) if isinstance(value, float) else str(value)


def as_athena(value: str | None, type_: str) -> str | None:
    return repr(float(value)) if value is not None and type_ == "double" else value


@pytest.mark.parametrize("report", REPORTS)
def test_an_extract_has_the_reports_rows_as_athena_gives_them(report, settings, january, tmp_path):
    found = opened(Lake(settings).get(extract_object(report, JANUARY)), report, tmp_path)

    answer = Athena(settings).run(f"select * from reports_{report}")
    types = [column.type for column in answer.columns]
    expected = [tuple(map(as_athena, row, types)) for row in answer.rows()]
    assert found.column_names == [column.name for column in answer.columns]
    rows = [tuple(map(text, row.values(), types)) for row in found.to_pylist()]
    assert expected
    assert sorted(rows, key=str) == sorted(expected, key=str)


def test_days_numbers_and_times_are_of_their_own_types(settings, january, tmp_path):
    report = "daily_market_summary"
    found = opened(Lake(settings).get(extract_object(report, JANUARY)), report, tmp_path)
    types = {name: str(found.schema.field(name).type) for name in found.column_names}
    assert types["trade_date"] == "date32[day]"
    assert types["mean_return"] == "double"
    assert types["symbol_count"] == "int64"
    assert types["first_bar_at"] == "timestamp[us]"


def test_a_materialization_tells_rows_bytes_and_where_the_extract_is(settings, january):
    made = january[extract_key("daily_market_summary")]
    stored = Lake(settings).head(extract_object("daily_market_summary", JANUARY))
    (rows,) = Athena(settings).run("select count(*) from reports_daily_market_summary").rows()
    assert made.partition == "2023-01"
    assert made.metadata["bytes"].value == stored.size
    assert (str(made.metadata["rows"].value),) == rows
    assert made.metadata["open"].value == Lake(settings).link(stored.key)


def test_making_a_month_again_leaves_one_extract_and_no_other_month(settings, instance, january):
    deliver(settings, instance, "2023-01")
    keys = [info.key for info in Lake(settings).list_objects(["analytics/deliveries/"])]
    assert keys == sorted(extract_object(report, JANUARY) for report in REPORTS)


def test_hyper_leaves_nothing_in_the_working_folder(settings, instance, january, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    deliver(settings, instance, "2023-01")
    assert list(tmp_path.iterdir()) == []
