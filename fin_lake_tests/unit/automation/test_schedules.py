"""Which hours the hourly schedule fetches."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from fin_lake.assets.hourly import hours_of_run, tags_of_hours
from fin_lake.automation.schedules import build_hourly_schedule, hours_of_tick
from fin_lake.partitions import HourRange, hour_key, parse_hour
from fin_lake.settings import Settings, load_settings

FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.fixture
def settings() -> Settings:
    return load_settings(start="2023-01-01", reread_hours=3)


def tick(settings: Settings, at: str, made: tuple[str, ...] = ()) -> dg.RunRequest | dg.SkipReason:
    schedule = build_hourly_schedule(settings, "extract")
    with dg.instance_for_test() as instance:
        for hour in made:
            for asset_class in ("stocks", "crypto"):
                key = dg.AssetKey(["raw", asset_class])
                instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=hour))
        moment = dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC)
        with dg.build_schedule_context(instance=instance, scheduled_execution_time=moment) as context:
            result = schedule(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def test_a_tick_fetches_the_hour_just_closed_and_reads_the_last_ones_again(settings: Settings):
    request = tick(settings, "2023-01-10T15:05", made=("2023-01-10-13:00",))
    assert isinstance(request, dg.RunRequest)
    assert (request.tags[FIRST], request.tags[LAST]) == ("2023-01-10-11:00", "2023-01-10-14:00")
    assert request.run_key == "2023-01-10-14:00"


def test_a_tick_after_a_standstill_takes_the_missing_hours_along(settings: Settings):
    # an old hour that was fetched again later is not the newest one
    request = tick(settings, "2023-01-10T15:05", made=("2023-01-09-20:00", "2023-01-03-20:00"))
    assert isinstance(request, dg.RunRequest)
    assert (request.tags[FIRST], request.tags[LAST]) == ("2023-01-09-21:00", "2023-01-10-14:00")


@pytest.mark.parametrize(
    ("newest", "first"),
    [
        (None, "2023-01-10-11:00"),
        ("2023-01-10-14:00", "2023-01-10-11:00"),
        ("2023-01-10-05:00", "2023-01-10-06:00"),
        ("2023-01-01-05:00", "2023-01-03-15:00"),  # as many hours as a run may take, and not more
    ],
)
def test_hours_missing_behind_the_newest_one(settings: Settings, newest: str | None, first: str):
    settings = settings.model_copy(update={"hours_per_run": 168})
    hours = hours_of_tick(settings, parse_hour("2023-01-10T14"), parse_hour(newest) if newest else None)
    assert (hours.first_key, hours.last_key) == (first, "2023-01-10-14:00")


def test_nothing_is_read_again_from_before_the_first_hour(settings: Settings):
    hours = hours_of_tick(settings, settings.start, None)
    assert (hours.first_key, hours.last_key) == (hour_key(settings.start), hour_key(settings.start))


def test_where_time_stands_still_ticks_ask_for_the_same_hour_once():
    settings = load_settings(start="2023-01-01", now="2023-01-30T21:00:00Z")
    requests = [tick(settings, at) for at in ("2026-11-23T10:05", "2026-11-23T11:05")]
    assert {request.run_key for request in requests if isinstance(request, dg.RunRequest)} == {
        "2023-01-30-20:00"
    }


def test_before_the_first_hour_is_over_a_tick_says_so(settings: Settings):
    assert "no hour is over" in str(tick(settings, "2023-01-01T00:05"))


@pytest.mark.parametrize("partition", ["2023-01", "2023-01-03"])
def test_a_run_of_a_month_or_a_day_is_for_no_hours(partition: str):
    assert hours_of_run({"dagster/partition": partition}) is None
    ranged = {
        "dagster/asset_partition_range_start": partition,
        "dagster/asset_partition_range_end": partition,
    }
    assert hours_of_run(ranged) is None


def test_the_tags_of_hours_are_read_back():
    hours = HourRange(parse_hour("2023-01-03T14"), parse_hour("2023-01-05T02"))
    assert hours_of_run(tags_of_hours(hours)) == hours
    assert hours_of_run({"dagster/partition": "2023-01-03-14:00"}) == HourRange.of(hours.start)
