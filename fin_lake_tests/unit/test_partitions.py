from __future__ import annotations

import datetime as dt

import pytest

from fin_lake.partitions import (
    HourError,
    HourRange,
    hive_prefix,
    hour_key,
    hour_of_object,
    parse_hour,
    stock_session_hours,
)
from fin_lake_tests.conftest import hours


@pytest.mark.parametrize(
    "text",
    [
        "2023-01-03T14",
        "2023-01-03T14:00",
        "2023-01-03T14:00Z",
        "2023-01-03-14:00",
        "2023-01-03T09:00-05:00",
        " 2023-01-03T14:00:00Z ",
    ],
)
def test_an_hour_is_read_as_people_and_dagster_write_it(text):
    assert parse_hour(text) == dt.datetime(2023, 1, 3, 14, tzinfo=dt.UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2023-13-01", "2023-01-03T14:30", "2023-01-03T25"])
def test_what_is_no_hour_is_refused_with_the_text_and_an_example(text):
    with pytest.raises(HourError, match="is not"):
        parse_hour(text)


def test_key_prefix_and_object_name_the_same_hour():
    hour = parse_hour("2025-10-13T04")
    assert hour_key(hour) == "2025-10-13-04:00"
    assert hive_prefix(hour) == "year=2025/month=10/day=13/hour=04"
    assert hour_of_object(f"raw/stocks/{hive_prefix(hour)}/stock_data_20251013_043022.json.gz") == hour


@pytest.mark.parametrize(
    "key", ["raw/stocks/x.json", "raw/year=2023/month=02/day=30/hour=01/x", "year=2023/month=1/day=1/hour=1/"]
)
def test_an_object_of_no_hour_is_refused(key):
    with pytest.raises(HourError):
        hour_of_object(key)


def test_a_range_is_half_open_and_splits_at_months():
    january = HourRange(parse_hour("2023-01-03"), parse_hour("2023-03-02T05"))
    parts = list(january.by_month())
    assert [(p.first_key, p.last_key) for p in parts] == [
        ("2023-01-03-00:00", "2023-01-31-23:00"),
        ("2023-02-01-00:00", "2023-02-28-23:00"),
        ("2023-03-01-00:00", "2023-03-02-04:00"),
    ]
    assert sum(map(len, parts)) == len(january)


def test_a_range_without_an_hour_is_refused():
    with pytest.raises(HourError, match="holds no hour"):
        HourRange(parse_hour("2023-01-03"), parse_hour("2023-01-03"))


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        ("2023-01-03", 14, 20),  # standard time: 14:30 to 21:00 UTC
        ("2025-03-10", 13, 19),  # the Monday after clocks went forward: 13:30 to 20:00
        ("2025-03-07", 14, 20),  # the Friday before
        ("2022-11-25", 14, 17),  # day after Thanksgiving: closes at 13:00 in New York
    ],
)
def test_session_hours_follow_new_york(day, first, last):
    open_hours = sorted(stock_session_hours(hours(f"{day}T00", 24)))
    assert [hour.hour for hour in open_hours] == list(range(first, last + 1))


@pytest.mark.parametrize("day", ["2023-01-01", "2023-01-02", "2023-01-07", "2025-01-09"])
def test_no_session_on_weekends_holidays_and_days_of_mourning(day):
    assert stock_session_hours(hours(f"{day}T00", 24)) == frozenset()
