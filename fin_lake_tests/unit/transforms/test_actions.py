"""Splits and dividends, as raw holds them and as they come out."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from fin_lake.partitions import HOUR, parse_hour
from fin_lake.tables import CORPORATE_ACTIONS, QUARANTINE
from fin_lake.transforms.actions import broken_actions, corporate_actions
from fin_lake_tests.conftest import hours
from fin_lake_tests.frames import raw_bar, raw_frame

OPEN = parse_hour("2020-08-31T13") + dt.timedelta(minutes=30)
DAY = hours("2020-08-31T00", 24)
LATER = {"raw_key": "raw/second", "fetched_at": dt.datetime(2023, 1, 6, tzinfo=dt.UTC)}


def event(kind, said, symbol="AAPL", timestamp=OPEN, **changes):
    nothing = dict.fromkeys(("interval", "open_price", "high_price", "low_price", "close_price", "volume"))
    payload = said if isinstance(said, str) else json.dumps(said)
    return raw_bar(
        symbol,
        timestamp,
        **{
            **nothing,
            "kind": kind,
            "source": "yahoo",
            "payload": payload,
            "split_factor": None,
            "raw_hour": OPEN.replace(minute=0),
            **changes,
        },
    )


def split(up=4, down=1, **changes):
    return event("split", {"date": 1, "numerator": up, "denominator": down, "splitRatio": "?"}, **changes)


def dividend(amount=0.205, **changes):
    return event("dividend", {"amount": amount, "date": 1}, **changes)


def rows(*records):
    return (
        corporate_actions(raw_frame(*records), DAY)
        .select("symbol", "timestamp", "kind", "ratio", "amount", "source")
        .rows()
    )


def test_a_split_and_a_dividend_of_one_day_are_two_actions_in_the_tables_own_types():
    actions = corporate_actions(raw_frame(raw_bar("AAPL", OPEN), split(), dividend()), DAY)
    assert actions.schema == CORPORATE_ACTIONS.polars_schema()
    assert actions.rows() == [
        ("AAPL", OPEN, "dividend", None, 0.205, "yahoo"),
        ("AAPL", OPEN, "split", 4.0, None, "yahoo"),
    ]


def test_a_dividend_is_told_as_it_was_paid_whatever_was_split_since():
    assert rows(dividend(0.05125, split_factor=4.0)) == [("AAPL", OPEN, "dividend", None, 0.205, "yahoo")]


def test_the_latest_sound_attempt_counts_and_a_lost_event_stays():
    assert rows(dividend(0.2), dividend(0.205, **LATER))[0][4] == 0.205
    assert rows(dividend(0.2), dividend(-1, **LATER))[0][4] == 0.2
    assert rows(split(), raw_bar("AAPL", OPEN, **LATER))[0][3] == 4.0


def test_the_preferred_source_tells_of_an_event():
    assert rows(split(3), split(4, source="alpha_vantage"))[0][3:] == (4.0, None, "alpha_vantage")


def test_an_event_is_stamped_with_the_start_of_trading():
    assert rows(split(timestamp=OPEN - dt.timedelta(minutes=25)))[0][1] == OPEN


@pytest.mark.parametrize(
    ("rule", "record"),
    [
        ("bad_action", split(0)),
        ("bad_action", split(-4)),
        ("bad_action", split(4, 0)),
        ("bad_action", dividend(0)),
        ("bad_action", dividend(None)),
        ("bad_action", event("dividend", "{nonsense")),
        ("bad_action", event("split", {"date": 1})),
        ("bad_split_factor", dividend(split_factor=0.0)),
        ("missing_field", split(symbol=None)),
        ("missing_field", {**split(), "timestamp": None}),
        ("missing_field", split(source=None)),
        ("bad_symbol", split(symbol="a/b")),
        ("outside_hour", split(timestamp=OPEN + HOUR)),
    ],
)
def test_a_broken_event_is_quarantined_and_the_others_go_on(rule, record):
    records = raw_frame(record, split(symbol="TSLA"))
    broken = broken_actions(records, DAY)
    assert broken.schema == QUARANTINE["stocks"].polars_schema()
    assert broken.select("rule", "raw_key").rows() == [(rule, "raw/first")]
    assert broken["detail"][0]
    assert corporate_actions(records, DAY)["symbol"].to_list() == ["TSLA"]


def test_a_broken_event_that_was_mended_is_quarantined_no_more():
    assert broken_actions(raw_frame(split(0), split(4, **LATER)), DAY).is_empty()


def test_nothing_gives_nothing():
    assert corporate_actions(raw_frame(), DAY).is_empty()
    assert broken_actions(raw_frame(), hours("2020-08-29T00")).is_empty()
