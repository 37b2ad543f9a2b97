"""What is made again when something below it changes, by Dagster's own evaluation of the conditions."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable

import dagster as dg
import pytest

from fin_lake.definitions import build_definitions
from fin_lake.partitions import hour_key, parse_hour
from fin_lake.settings import load_settings

HOUR = "2023-01-10-15:00"
LATER = "2023-01-12-15:00"
LATEST = "2023-01-31-23:00"
ANALYTICS = ("staging", "aggregations", "ml_features", "reports", "analytics")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(load_settings(now="2023-02-01T00:00:00Z", start="2023-01-01"))


class Lake:
    """The event log of a lake whose hours are made by saying so."""

    def __init__(self, definitions: dg.Definitions) -> None:
        self.definitions = definitions
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor = None
        self.tick()

    def make(self, key: str, hours: Iterable[str]) -> None:
        for hour in hours:
            path = key.split("/")
            self.instance.report_runless_asset_event(dg.AssetMaterialization(path, partition=hour))

    def tick(self) -> dict[str, set[str]]:
        """Evaluate the conditions once; return the hours asked for, by asset."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return {
            one.key.to_user_string(): set(one.true_subset.expensively_compute_partition_keys())
            for one in result.results
            if not one.true_subset.is_empty
        }

    def make_what_is_asked(self) -> dict[str, set[str]]:
        asked = self.tick()
        for key, hours in asked.items():
            self.make(key, hours)
        return asked


@pytest.fixture
def lake(definitions: dg.Definitions) -> Lake:
    return Lake(definitions)


def tables(asked: Iterable[str]) -> set[str]:
    return {key for key in asked if not key.startswith(ANALYTICS)}


def test_a_raw_hour_has_everything_on_it_made_for_that_hour_alone(lake: Lake) -> None:
    lake.make("raw/stocks", [HOUR])
    first = lake.make_what_is_asked()
    second = lake.make_what_is_asked()
    third = lake.make_what_is_asked()
    assert tables(first) == {
        "processed/stocks",
        "processed/corporate_actions",
        "quarantine/stocks",
        "market/stocks",
        "market/corporate_actions",
        "portfolios/valuations",
        "portfolios/holdings",
        "market/portfolios/valuations",
        "market/portfolios/holdings",
    }
    # indicators read a window of bars, so they wait for these to be there
    assert tables(second) == {"technical_analysis/stocks", "market/technical_analysis/stocks"}
    assert "ml_features/hourly" in {*second, *third}
    assert {"reports/daily_market_summary", "aggregations/hourly_ohlcv"} <= first.keys()
    assert set().union(*first.values(), *second.values(), *third.values()) == {HOUR}
    assert lake.tick() == {}


def test_an_old_bar_has_the_indicators_after_it_made_again_as_far_as_they_were_made(lake: Lake) -> None:
    for hour in (HOUR, LATER):
        lake.make("raw/stocks", [hour])
        while lake.make_what_is_asked():
            pass
    lake.make("raw/stocks", [HOUR])
    asked: dict[str, set[str]] = {}
    while made := lake.make_what_is_asked():
        for key, hours in made.items():
            asked.setdefault(key, set()).update(hours)
    assert asked["technical_analysis/stocks"] == {HOUR, LATER}
    assert asked["market/technical_analysis/stocks"] == {HOUR, LATER}
    assert asked["market/stocks"] == {HOUR}


def test_crypto_leaves_stocks_alone(lake: Lake) -> None:
    lake.make("raw/crypto", [HOUR])
    asked = tables(lake.tick())
    assert {"processed/crypto", "market/crypto"} <= asked
    assert not {key for key in asked if key.endswith("/stocks")}


def test_what_was_made_before_the_sensor_was_turned_on_is_left_alone(definitions: dg.Definitions) -> None:
    lake = Lake(definitions)
    lake.cursor = None
    lake.make("raw/stocks", [HOUR])
    assert lake.tick() == {}


def test_a_run_that_makes_an_hour_and_all_on_it_leaves_nothing_to_do(lake: Lake) -> None:
    """In the order of a run, between two ticks."""
    for key in ("raw/stocks", "processed/stocks", "processed/corporate_actions", "quarantine/stocks"):
        lake.make(key, [LATEST])
    for key in ("market/stocks", "market/corporate_actions", "technical_analysis/stocks"):
        lake.make(key, [LATEST])
    for key in ("market/technical_analysis/stocks", "portfolios/valuations", "portfolios/holdings"):
        lake.make(key, [LATEST])
    for key in ("market/portfolios/valuations", "market/portfolios/holdings"):
        lake.make(key, [LATEST])
    assert tables(lake.tick()) == set()


def test_conditions_of_five_years_of_hours_are_evaluated_within_budget() -> None:
    """Five seconds a tick; measured at well under one, so the bound is generous on a loaded machine."""
    now = parse_hour("2023-01-01") + dt.timedelta(hours=43_800)
    settings = load_settings(now=now.isoformat(), start="2023-01-01")
    lake = Lake(build_definitions(settings))
    hour = hour_key(parse_hour("2023-01-10T15"))
    lake.make("raw/stocks", [hour])
    lake.make("market/stocks", [hour])
    started = time.monotonic()
    asked = lake.tick()
    assert time.monotonic() - started < 5
    assert asked["processed/stocks"] == {hour}
