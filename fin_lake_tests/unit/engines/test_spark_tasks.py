from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fin_lake.checks import processing
from fin_lake.checks.processing import process
from fin_lake.engines.spark.errors import SparkError
from fin_lake.engines.spark.tasks import Task, carry_out, from_plain, plain, reprocessed, tasks_of
from fin_lake.lake.layout import hour_object
from fin_lake.lake.processed import read_hours
from fin_lake.lake.raw import RawAttempt, read_attempts, write_attempt
from fin_lake.lake.store import Lake, LakeUnavailableError
from fin_lake.partitions import HOUR, HourRange, parse_hour
from fin_lake.settings import Settings, SettingsError, load_settings
from fin_lake.tables import PROCESSED, RAW, TECHNICAL_ANALYSIS
from fin_lake.transforms.bars import hourly_bars
from fin_lake.transforms.indicators import indicators
from fin_lake_tests.conftest import hours
from fin_lake_tests.synthetic import synthetic_records

WEEK = hours("2023-01-09T05", 120)
STOCKS = PROCESSED["stocks"]


@pytest.fixture
def settings(bucket_settings: Settings) -> Settings:
    """A lake with a week of raw bars, of which some are bad and one symbol is missing."""
    records = synthetic_records("stocks", WEEK, ["AAPL", "MSFT", "NVDA"])
    bad = records.with_row_index().with_columns(
        pl.when(pl.col("index") % 50 == 7).then(-1.0).otherwise(pl.col("low_price")).alias("low_price")
    )
    attempt = RawAttempt(bad.drop("index"), frozenset(WEEK), WEEK.end)
    write_attempt(Lake(bucket_settings), RAW["stocks"], attempt)
    return bucket_settings


@given(
    first=st.integers(0, 23),
    count=st.integers(1, 24 * 400),
    cores=st.integers(1, 64),
    work=st.sampled_from(["reprocess", "indicators"]),
)
def test_tasks_are_the_range_split_at_midnights(first: int, count: int, cores: int, work: Any) -> None:
    start = parse_hour("2023-01-01") + first * HOUR
    span = HourRange(start, start + count * HOUR)
    tasks = [task.hours for task in tasks_of(work, "stocks", span, cores)]
    assert (tasks[0].start, tasks[-1].end) == (span.start, span.end)
    assert all(one.end == other.start and one.end.hour == 0 for one, other in pairwise(tasks))
    assert max(map(len, tasks)) <= 31 * 24


def test_tasks_together_find_and_store_what_one_process_does(settings: Settings) -> None:
    tasks = tasks_of("reprocess", "stocks", WEEK, 1)
    assert len(tasks) > 2
    results = [from_plain(plain(carry_out(task, settings))) for task in tasks]
    made = reprocessed(results, "stocks")
    lake = Lake(settings)
    whole = process(read_attempts(lake, RAW["stocks"], WEEK), "stocks", WEEK, settings.symbols("stocks"))
    assert made.counts.equals(whole.counts.select(made.counts.columns))
    assert list(made.findings) == list(whole.findings)
    for name, finding in whole.findings.items():
        assert (made.findings[name].passed, made.findings[name].numbers) == (finding.passed, finding.numbers)
    assert not made.findings["completeness"].passed
    assert set(made.stored) == set(whole.frames)
    for name, frame in whole.frames.items():
        assert set(made.stored[name].written) == set(WEEK)
        assert sum(one.rows for one in made.stored[name].written.values()) == frame.height


def test_indicators_are_those_of_the_bars_that_lie_in_the_lake(settings: Settings) -> None:
    for task in tasks_of("reprocess", "stocks", WEEK, 1):
        carry_out(task, settings)
    lake = Lake(settings)
    for task in tasks_of("indicators", "stocks", WEEK, 1):
        carry_out(task, settings)
    bars = read_hours(lake, STOCKS, WEEK)
    expected = indicators(hourly_bars(bars), "stocks")
    found = read_hours(lake, TECHNICAL_ANALYSIS["stocks"], WEEK)
    assert found.height > 0
    assert_frame_equal(found, expected.select(found.columns), check_row_order=False)


def test_hours_that_break_a_law_are_not_written(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = processing.clean

    def clean_wrongly(raw: pl.DataFrame, *arguments: Any) -> Any:
        made = clean(raw, *arguments)
        if arguments[1].start.day == 11:
            object.__setattr__(made, "bars", made.bars.with_columns(high_price=pl.lit(0.01)))
        return made

    monkeypatch.setattr(processing, "clean", clean_wrongly)
    made = reprocessed(
        [carry_out(task, settings) for task in tasks_of("reprocess", "stocks", WEEK, 64)], "stocks"
    )
    assert not made.findings["ohlc_laws"].passed
    stored = {info.key for info in Lake(settings).list_objects([f"{STOCKS.lake_prefix}/parquet/"])}
    broken = dt.date(2023, 1, 11)
    assert stored == {hour_object(STOCKS, "parquet", hour) for hour in WEEK if hour.date() != broken}


def test_a_failure_names_the_hours_and_the_remedy(settings: Settings) -> None:
    task = tasks_of("indicators", "stocks", WEEK, 1)[0]
    key = hour_object(STOCKS, "parquet", WEEK.start)
    Lake(settings).put(key, b"no parquet")
    with pytest.raises(SparkError, match=key):
        reprocessed([carry_out(task, settings)], "stocks")


def test_what_may_heal_is_raised_so_that_spark_tries_again(settings: Settings) -> None:
    away = settings.model_copy(update={"aws_endpoint_url": "http://127.0.0.1:1"})
    with pytest.raises(LakeUnavailableError):
        carry_out(Task("reprocess", "stocks", "2023-01-09-05:00", "2023-01-09-05:00"), away)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("processed/stock=5", "does not make 'processed/stock'"),
        ("processed/stocks=0", "at least 1"),
        ("processed/stocks", "is not NAME=VALUE"),
        ("processed/stocks=many", "FIN_LAKE_SPARK_FROM_HOURS"),
    ],
)
def test_a_wrong_choice_of_tables_is_named(monkeypatch: pytest.MonkeyPatch, given: str, said: str) -> None:
    monkeypatch.setenv("FIN_LAKE_SPARK_FROM_HOURS", given)
    with pytest.raises(SettingsError, match=said):
        load_settings()


@pytest.mark.parametrize("master", ["yarn", "local[x]", "emr-serverless:", "local[2]; rm"])
def test_a_master_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch, master: str) -> None:
    monkeypatch.setenv("FIN_LAKE_SPARK_MASTER", master)
    with pytest.raises(SettingsError, match="FIN_LAKE_SPARK_MASTER"):
        load_settings()
