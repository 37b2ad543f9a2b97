"""Objects that others drop under raw/ are recorded once for each version; nobody else's work is."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator

import boto3
import dagster as dg
import polars as pl
import pytest

from fin_lake.automation import arrivals
from fin_lake.automation.arrivals import TakenIn, take_in
from fin_lake.automation.sensors import build_sensors
from fin_lake.io_managers.s3_raw import S3RawIOManager
from fin_lake.lake.layout import raw_object
from fin_lake.lake.raw import RawAttempt
from fin_lake.lake.store import Lake
from fin_lake.partitions import HOUR, hour_key, hourly_partitions, parse_hour
from fin_lake.settings import Settings
from fin_lake.tables import RAW
from fin_lake_tests.conftest import CREDENTIALS

AT = parse_hour("2023-01-10T15")
STOCKS = dg.AssetKey(["raw", "stocks"])
NOW = dt.datetime(2023, 1, 10, 18, tzinfo=dt.UTC)


@pytest.fixture
def settings(bucket_settings: Settings) -> Settings:
    return bucket_settings.model_copy(update={"now": NOW, "start": parse_hour("2023-01-01")})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def dropped(name: str, hour: dt.datetime = AT, asset_class: str = "stocks") -> str:
    return f"raw/{asset_class}/{hour:year=%Y/month=%m/day=%d/hour=%H}/{name}.json.gz"


def line(symbol: str = "AAPL") -> bytes:
    text = json.dumps({"symbol": symbol, "timestamp": AT.isoformat()})
    return gzip.compress(f"{text}\n".encode(), mtime=0)


def take_in_all(instance: dg.DagsterInstance, lake: Lake, settings: Settings) -> TakenIn:
    return take_in(instance, lake, settings, lake.list_objects(["raw/"]))


def recorded(instance: dg.DagsterInstance, key: dg.AssetKey = STOCKS) -> list[tuple[str, str]]:
    """Return the objects that are recorded, by hour, in the order of recording."""
    records = instance.fetch_materializations(key, limit=10_000, ascending=True).records
    made = [one.asset_materialization for one in records]
    return [
        (str(one.partition), uri.rpartition("/")[2])
        for one in made
        for uri in list(one.metadata["objects"].value)
    ]


def test_a_dropped_object_is_recorded_at_its_hour_with_what_it_holds(settings, instance):
    lake = Lake(settings)
    lake.put(dropped("mine"), line() + line("MSFT"))
    lake.put(dropped("theirs", AT + HOUR, "crypto"), line())
    taken = take_in_all(instance, lake, settings)
    assert (taken.recorded, taken.unreadable, taken.waiting) == (2, 0, 0)
    [made] = instance.fetch_materializations(STOCKS, limit=9).records
    assert made.asset_materialization.partition == hour_key(AT)
    assert made.asset_materialization.metadata["dagster/partition_row_count"].value == 2
    assert recorded(instance, dg.AssetKey(["raw", "crypto"])) == [("2023-01-10-16:00", "theirs.json.gz")]


def test_a_version_is_recorded_once_and_a_new_version_once_more(settings, instance):
    lake = Lake(settings)
    lake.put(dropped("a"), line())
    assert take_in_all(instance, lake, settings).recorded == 1
    assert take_in_all(instance, lake, settings).recorded == 0
    lake.put(dropped("a"), line("IBM"))
    assert take_in_all(instance, lake, settings).recorded == 1
    assert len(take_in_all(instance, lake, settings).settled) == 1


def fetch_by_run(lake: Lake, instance: dg.DagsterInstance, settings: Settings, *, look=lambda: None) -> None:
    """Let a run write the hour as the platform's own does; ``look`` is called before it is recorded."""
    attempt = RawAttempt(RAW["stocks"].empty(), frozenset({AT}), dt.datetime.now(dt.UTC))

    class LookingIOManager(S3RawIOManager):
        def store(self, context, obj):
            super().store(context, obj)
            look()

    @dg.asset(
        key=STOCKS, io_manager_key="s3_raw", partitions_def=hourly_partitions(settings.start, settings.now)
    )
    def raw():
        return attempt

    job = dg.define_asset_job("fetch", selection=[raw])
    definitions = dg.Definitions([raw], jobs=[job], resources={"s3_raw": LookingIOManager(lake)})
    definitions.resolve_job_def("fetch").execute_in_process(instance=instance, partition_key=hour_key(AT))


def test_what_a_run_wrote_is_its_own_and_causes_no_second_one(settings, instance):
    lake = Lake(settings)
    fetch_by_run(lake, instance, settings)
    taken = take_in_all(instance, lake, settings)
    assert (taken.recorded, len(taken.settled)) == (0, 1)


def test_an_hour_is_left_alone_while_a_run_is_at_work_on_it(settings, instance):
    lake, during = Lake(settings), []
    elsewhere = dropped("elsewhere", AT + HOUR)

    def look() -> None:
        lake.put(dropped("dropped-meanwhile"), line())
        lake.put(elsewhere, line())
        during.append(take_in_all(instance, lake, settings))

    fetch_by_run(lake, instance, settings, look=look)
    assert [(one.recorded, one.waiting, len(one.settled)) for one in during] == [(1, 2, 1)]
    after = take_in_all(instance, lake, settings)
    assert (after.recorded, after.waiting, len(after.settled)) == (1, 0, 3)
    assert ("2023-01-10-15:00", "dropped-meanwhile.json.gz") in recorded(instance)


def test_what_a_run_wrote_that_died_before_it_recorded_it_is_recorded(settings, instance):
    lake = Lake(settings)
    lake.put(raw_object(RAW["stocks"], AT, dt.datetime.now(dt.UTC)), line())
    assert take_in_all(instance, lake, settings).recorded == 1


def test_hours_recorded_before_versions_were_kept_are_known(settings, instance):
    lake = Lake(settings)
    lake.put(dropped("old"), line())
    old = dg.AssetMaterialization(
        STOCKS, partition=hour_key(AT), metadata={"objects": [lake.uri(dropped("old"))]}
    )
    instance.report_runless_asset_event(old)
    assert take_in_all(instance, lake, settings).recorded == 0


def test_an_object_that_cannot_be_read_is_told_of_and_the_others_go_on(settings, instance):
    lake = Lake(settings)
    lake.put(dropped("broken"), b"\x1f\x8b this is no gzip")
    lake.put(dropped("sound", AT + HOUR), line())
    lake.put(dropped("half", AT + 2 * HOUR), line() + b"\x1f\x8b\x08 cut off")
    taken = take_in_all(instance, lake, settings)
    assert (taken.recorded, taken.unreadable) == (3, 1)
    told = {
        one.asset_observation.partition: one.asset_observation
        for one in instance.fetch_observations(STOCKS, limit=9).records
    }
    assert set(told) == {"2023-01-10-15:00", "2023-01-10-17:00"}
    assert "nothing in it can be read" in told["2023-01-10-15:00"].description
    assert "broken gzip" in told["2023-01-10-15:00"].metadata["first_problems"].value[0]
    assert take_in_all(instance, lake, settings).recorded == 0


def test_the_current_hour_waits_until_it_is_over(settings, instance):
    lake = Lake(settings)
    lake.put(dropped("early", NOW), line())
    assert take_in_all(instance, lake, settings).waiting == 1
    later = settings.model_copy(update={"now": NOW + HOUR})
    assert take_in_all(instance, lake, later).recorded == 1


@pytest.mark.parametrize(
    "key",
    ["raw/stocks/loose.json", dropped("x", parse_hour("2019-01-01")), "raw/stocks/year=2023/month=13/a"],
)
def test_what_lies_under_no_partition_is_left_alone(key, settings, instance):
    lake = Lake(settings)
    lake.put(key, line())
    taken = take_in_all(instance, lake, settings)
    assert (taken.recorded, taken.waiting, len(taken.settled)) == (0, 0, 1)


def test_an_object_deleted_after_it_was_listed_stops_nothing(settings, instance, s3_endpoint):
    lake = Lake(settings)
    lake.put(dropped("gone"), line())
    lake.put(dropped("stays", AT + HOUR), line())
    listed = lake.list_objects(["raw/"])
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1", **CREDENTIALS)
    client.delete_object(Bucket=lake.bucket, Key=dropped("gone"))
    taken = take_in(instance, lake, settings, listed)
    assert (taken.recorded, len(taken.settled)) == (1, 2)


class Ticks:
    """The listing sensor, tick by tick."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.sensor, self.instance = build_sensors(settings)[0], instance
        self.cursor: str | None = None

    def tick(self) -> str:
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = self.sensor(context)
        self.cursor = result.cursor
        return str(result.skip_reason)


def test_ticks_find_recent_objects_at_once_and_old_ones_in_turn(settings, instance):
    lake, ticks = Lake(settings), Ticks(settings, instance)
    lake.put(dropped("recent"), line())
    lake.put(dropped("old", parse_hour("2023-01-03T04")), line())
    ticks.tick()
    assert recorded(instance) == [("2023-01-10-15:00", "recent.json.gz")]
    ticks.tick()
    assert recorded(instance)[1:] == [("2023-01-03-04:00", "old.json.gz")]
    for _ in range(8):
        ticks.tick()
    assert len(recorded(instance)) == 2


def test_a_thousand_objects_dropped_in_random_order_while_ticks_run_are_each_recorded_once(
    settings, instance, monkeypatch
):
    """Over ten days of hours, some rewritten, with a tick now and then that the daemon did not finish."""
    monkeypatch.setattr(arrivals, "MOST_RECORDED", 60)
    rng = random.Random(11)
    lake, ticks = Lake(settings), Ticks(settings, instance)
    hours = [settings.start + i * HOUR for i in range(220)]
    names = [dropped(f"{i:04d}", rng.choice(hours)) for i in range(1_000)]
    rng.shuffle(names)
    expected: Counter[str] = Counter()
    while names:
        for name in names[:25]:
            lake.put(name, line())
            expected[name.rpartition("/")[2]] += 1
        names = names[25:]
        cursor = ticks.cursor
        ticks.tick()
        if rng.random() < 0.2:
            ticks.cursor = cursor  # what was recorded is; the cursor was not kept
    for _ in range(30):
        ticks.tick()
    assert Counter(name for _, name in recorded(instance)) == expected
    assert len(ticks.cursor or "") < 50_000


def test_objects_of_one_hour_are_one_event_a_tick(settings, instance):
    lake, ticks = Lake(settings), Ticks(settings, instance)
    for i in range(30):
        lake.put(dropped(f"{i:04d}"), line())
    ticks.tick()
    assert len(instance.fetch_materializations(STOCKS, limit=99).records) == 1
    assert len(recorded(instance)) == 30


def test_rows_of_dropped_objects_reach_cleaning(settings, instance):
    lake = Lake(settings)
    lake.put(dropped("mine"), line())
    manager = S3RawIOManager(lake)
    context = dg.build_input_context(
        asset_key=STOCKS,
        partition_key=hour_key(AT),
        asset_partitions_def=hourly_partitions(settings.start, settings.now),
        asset_partition_key_range=dg.PartitionKeyRange(hour_key(AT), hour_key(AT)),
    )
    rows = manager.load_input(context)
    assert rows.filter(pl.col("raw_key") == dropped("mine")).height == 1
