"""The estimate against sums worked out by hand, and against AWS's own published examples."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from fin_lake.lake.storage_metrics import AgeBand, Count, Group, StorageMetrics
from fin_lake.operations import prices
from fin_lake.operations.cost import CostError, Usage, estimate
from fin_lake.operations.measured_run import MeasuredRun
from fin_lake.operations.prices import GB, TB, PricesError, load_prices
from fin_lake.operations.usage import attempts_to_come, monthly_usage
from fin_lake.partitions import UTC, HourRange, parse_hour
from fin_lake.settings import load_settings

NOW = dt.datetime(2026, 11, 1, tzinfo=UTC)
PRICES = load_prices("us-east-1")
KIB = 1024
SHIPPED = Path(prices.__file__).with_name("us-east-1.toml")


def lake(*groups: tuple[str, str, AgeBand, Count], hours: int = 0) -> StorageMetrics:
    return StorageMetrics(
        "a-lake",
        NOW,
        groups={Group(name.partition("/")[0], name, kind, age): count for name, kind, age, count in groups},
        hours=hours,
    )


def lines(made):
    return {line.name: line.dollars for line in made.lines}


def test_a_month_is_what_it_is_by_hand():
    stored = lake(
        ("raw/stocks", "STANDARD", AgeBand.FRESH, Count(1_000, 100 * GB)),
        # 50 GiB in large objects, and 1,000 of 1 KiB, which are billed as 128 KiB each
        (
            "raw/stocks",
            "STANDARD_IA",
            AgeBand.MIDDLE,
            Count(1_500, 50 * GB + 1_000 * KIB, 1_000, 1_000 * KIB),
        ),
        ("raw/stocks", "GLACIER_IR", AgeBand.OLD, Count(2_000, 200 * GB)),
    )
    usage = Usage(
        puts=90_000,
        lists=10_000,
        gets=1_000_000,
        statements=40_000,
        athena_billed=40_000 * 10 * KIB**2,
        metrics=20,
        alarms=5,
        cloudwatch_puts=5_000,
        bytes_from_s3=150 * GB,
        outside=True,
    )

    made = estimate(stored, usage, PRICES)

    assert lines(made) == pytest.approx(
        {
            # 100 GB × $0.023
            "S3 storage, STANDARD": 2.30,
            # 50 GB + 1,000 × 128 KiB = 50 + 125/1024 = 50.1220703125 GB, × $0.0125
            "S3 storage, STANDARD_IA": 0.62652587890625,
            # 200 GB × $0.004
            "S3 storage, GLACIER_IR": 0.80,
            # 100 thousand × $0.005
            "S3 requests, PUT and LIST": 0.50,
            # 1,000 thousand × $0.0004
            "S3 requests, GET": 0.40,
            # 400,000 MB / 1,048,576 MB a TB × $5
            "Athena": 1.9073486328125,
            # 20 × $0.30 + 5 × $0.10 + 5 thousand × $0.01
            "CloudWatch": 6.55,
            # 150 GB less the 100 that are free, × $0.09
            "Data transfer out": 4.50,
        }
    )
    assert made.monthly == pytest.approx(17.58387451171875)


def test_the_lifecycle_moves_large_objects_at_30_days_and_at_90():
    stored = lake(("raw/stocks", "STANDARD", AgeBand.FRESH, Count(1_000, 100 * GB)))

    months = estimate(stored, Usage(), PRICES).months

    # all in Standard: 100 GB × $0.023, each month
    assert [month.without for month in months] == pytest.approx([2.3] * 12)
    # month 1: 100 × $0.0125 in IA, and 1 thousand moves × $0.01; month 2: the same without the moves;
    # month 3: 100 × $0.004 in Glacier, and 1 thousand moves × $0.02; then $0.40 each
    assert [month.lifecycle for month in months] == pytest.approx([1.26, 1.25, 0.42, *[0.40] * 9])
    # Intelligent-Tiering: the same storage, 1 thousand × $0.01 once, 1 thousand × $0.0025 each month
    assert [month.tiering for month in months] == pytest.approx([1.2625, 1.2525, *[0.4025] * 10])


def test_intelligent_tiering_is_told_to_cost_more_where_it_does():
    stored = lake(("raw/stocks", "STANDARD", AgeBand.FRESH, Count(1_000, 100 * GB)))
    lifecycle, tiering, *_ = estimate(stored, Usage(), PRICES).changes
    # the table above: 12 × 2.30 − (1.26 + 1.25 + 0.42 + 9 × 0.40) = 27.60 − 6.53
    assert lifecycle.saves == pytest.approx(21.07)
    # 6.53 − (1.2625 + 1.2525 + 10 × 0.4025) = 6.53 − 6.54
    assert tiering.saves == pytest.approx(-0.01)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("analytics/reports/summary", Count(10, 10 * GB)),  # models are rewritten: the lifecycle leaves them
        ("raw/stocks", Count(100_000, 100_000 * KIB, 100_000, 100_000 * KIB)),  # under 128 KiB
    ],
)
def test_what_the_lifecycle_leaves_alone_stays_in_standard(name, count):
    made = estimate(lake((name, "STANDARD", AgeBand.OLD, count)), Usage(), PRICES)
    assert [month.lifecycle for month in made.months] == pytest.approx(
        [month.without for month in made.months]
    )
    assert [month.tiering for month in made.months] == pytest.approx([month.without for month in made.months])
    assert ("under 128 KiB" in made.notes[0]) == bool(count.small_objects)


def test_a_year_grows_by_what_an_hour_of_data_takes_today():
    # 73 hours take 1 GB in 100 objects: 730 hours take 10 GB in 1,000
    stored = lake(("raw/stocks", "STANDARD", AgeBand.FRESH, Count(100, GB)), hours=73)

    months = estimate(stored, Usage(), PRICES).months

    assert [month.size / GB for month in months] == pytest.approx([1 + 10 * n for n in range(1, 13)])
    assert [month.objects for month in months] == [100 + 1_000 * n for n in range(1, 13)]
    # month 3: the first GB in Glacier with its 0.1 thousand moves; of three cohorts of 10 GB and 1 thousand
    # objects one in Standard, two in IA, of which one has just moved:
    # 1 × 0.004 + 0.1 × 0.02 + 10 × 0.023 + 20 × 0.0125 + 1 × 0.01
    assert months[2].lifecycle == pytest.approx(0.496)


def test_raw_grows_by_the_attempts_that_a_live_lake_makes():
    settings = load_settings(reread_hours=3)
    at_one_go = lake(
        ("raw/crypto", "STANDARD", AgeBand.FRESH, Count(730, 730 * KIB)),
        ("processed/crypto/json", "STANDARD", AgeBand.FRESH, Count(730, 730 * KIB)),
        hours=730,
    )
    live = lake(("raw/crypto", "STANDARD", AgeBand.FRESH, Count(4 * 730, KIB)), hours=730)
    attempts = attempts_to_come(settings, at_one_go)
    first = estimate(at_one_go, Usage(), PRICES, attempts=attempts).months[0]
    assert attempts == 4
    assert attempts_to_come(settings, live) == 1
    assert first.objects == 2 * 730 + 4 * 730 + 730


def test_compaction_saves_storage_only_where_days_are_large_enough():
    small = lake(("raw/x", "STANDARD", AgeBand.FRESH, Count(730, 730 * KIB, 730, 730 * KIB)), hours=730)
    half = 64 * KIB  # 24 of which are 1.5 MiB: large enough for IA and Glacier
    large = lake(
        ("raw/x", "STANDARD", AgeBand.FRESH, Count(73_000, 73_000 * half, 73_000, 73_000 * half)), hours=730
    )
    # 730 × 24 hours of work for nothing: 12 × (0.73 × $0.0004 + 0.03 × $0.005)
    assert estimate(small, Usage(), PRICES).changes[2].saves == pytest.approx(
        -12 * (0.73 * 0.0004 + 0.030 * 0.005)
    )
    assert estimate(large, Usage(), PRICES).changes[2].saves > 0


def test_compaction_counts_the_bytes_that_were_measured_to_go():
    stored = lake(("processed/x", "STANDARD", AgeBand.FRESH, Count(10, 100 * GB)), hours=730)
    same, less = (
        estimate(stored, Usage(), PRICES, compacted={"processed/x": left}).changes[2].saves
        for left in (1.0, 0.1)
    )
    # of 100 GB a month 90 are spared: 12 cohorts in Standard for a month, 11 in IA for the next, 10 for the
    # one after, and 9 + 8 + … + 1 = 45 months in Glacier: 90 × (12 × .023 + 21 × .0125 + 45 × .004)
    assert less - same == pytest.approx(90 * (12 * 0.023 + 21 * 0.0125 + 45 * 0.004))


def test_partitions_save_what_statements_would_read_without_them():
    usage = Usage(statements=1_000, athena_billed=1_000 * 10 * KIB**2, athena_scanned=1)
    tiny = lake(("processed/stocks/parquet", "STANDARD", AgeBand.FRESH, Count(10, 5 * KIB**2)))
    wide = lake(("processed/stocks/parquet", "STANDARD", AgeBand.FRESH, Count(10, 10 * GB)))
    # a table of 5 MB costs the least of 10 MB either way
    assert estimate(tiny, usage, PRICES).changes[3].saves == pytest.approx(0)
    # 12 × 1,000 × (10,240 − 10 MB) / 1,048,576 × $5
    assert estimate(wide, usage, PRICES).changes[3].saves == pytest.approx(585.3652954)


def test_models_built_once_a_day_spare_the_statements_of_the_other_runs():
    usage = Usage(runs=730, statements=40_000, athena_billed=40_000 * 10 * KIB**2)
    # a month's $1.9073 of the example above, of which 23 of 24 builds are spared, twelve times
    assert estimate(lake(), usage, PRICES).changes[4].saves == pytest.approx(12 * 1.9073486328125 * 23 / 24)


def test_a_class_without_a_price_is_named():
    with pytest.raises(CostError, match="DEEP_ARCHIVE") as raised:
        estimate(lake(("raw/x", "DEEP_ARCHIVE", AgeBand.OLD, Count(1, 1))), Usage(), PRICES)
    assert "--prices" in raised.value.remedy


# --- examples that AWS and others have published ---


def test_athena_costs_what_awss_examples_say():
    assert PRICES.athena.of(PRICES.athena.billed(3 * TB)) == 15  # a text file of 3 TB
    assert PRICES.athena.of(PRICES.athena.billed(TB // 3)) == pytest.approx(5 / 3, abs=1e-4)  # a column of it
    assert PRICES.athena.of(PRICES.athena.billed(10 * GB)) == pytest.approx(0.0488, abs=5e-5)


def test_athena_bills_whole_megabytes_and_ten_at_least():
    assert PRICES.athena.billed(1) == 10 * KIB**2
    assert PRICES.athena.billed(10 * KIB**2 + 1) == 11 * KIB**2


def test_transfer_is_free_up_to_a_hundred_gigabytes_and_billed_beyond():
    assert PRICES.transfer_out.of(100 * GB) == 0
    assert PRICES.transfer_out.of(107.330 * GB) == pytest.approx(0.66, abs=5e-3)  # a bill shown on re:Post


def test_beyond_fifty_terabytes_storage_is_cheaper():
    # 51,200 GB × $0.023 + 10,240 GB × $0.022
    assert PRICES.storage["STANDARD"].monthly(60 * TB) == pytest.approx(1_177.60 + 225.28)


# --- price lists ---


def test_a_price_list_of_ones_own_takes_the_packages_place(tmp_path: Path):
    own = tmp_path / "eu.toml"
    own.write_text(SHIPPED.read_text().replace("price = 0.023 }", "price = 0.0245 }"))
    stored = lake(("raw/x", "STANDARD", AgeBand.FRESH, Count(1, 100 * GB)))
    made = estimate(stored, Usage(), load_prices("us-east-1", own))
    assert lines(made)["S3 storage, STANDARD"] == pytest.approx(2.45)


def test_a_region_without_a_price_list_says_which_there_are():
    with pytest.raises(PricesError, match=r"mars-north-1.*us-east-1"):
        load_prices("mars-north-1")


def test_a_price_list_with_a_misspelt_name_is_refused(tmp_path: Path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(SHIPPED.read_text().replace("per_tb", "per_terabyte"))
    with pytest.raises(PricesError, match="per_t"):
        load_prices("us-east-1", wrong)


# --- what a month takes ---


def a_run(hours: int) -> MeasuredRun:
    start = parse_hour("2023-01-03T00")
    counts = {"s3_puts": 10 * hours, "s3_gets": 20 * hours, "s3_lists": hours, "bytes_got": 1_000 * hours}
    return MeasuredRun(
        "run", HourRange(start, start + hours * dt.timedelta(hours=1)), NOW, NOW, counts, (5, 7)
    )


def test_a_month_is_of_hourly_runs_that_read_the_last_hours_again():
    settings = load_settings(reread_hours=3)
    for run in (a_run(4), a_run(600)):  # a long run takes more; by the hour it takes as much
        usage = monthly_usage(settings, lake(), run, PRICES, jobs=6)
        assert (usage.puts, usage.gets, usage.lists) == pytest.approx((730 * 40, 730 * 80, 730 * 4))
        assert usage.bytes_from_s3 == pytest.approx(730 * 4_000)
        # the models are built once a run: two statements, of 10 MB at least
        assert (usage.statements, usage.athena_scanned) == (1_460, 730 * 12)
        assert usage.athena_billed == 1_460 * 10 * KIB**2


def test_options_take_the_place_of_what_was_measured():
    usage = monthly_usage(
        load_settings(), lake(), a_run(4), PRICES, jobs=6, runs=10, given={"puts": 7, "statements": 3}
    )
    assert (usage.puts, usage.statements, usage.athena_billed) == (70, 30, 30 * 10 * KIB**2)
    assert usage.gets == 10 * 80


def test_metrics_and_alarms_cost_only_where_cloudwatch_is_named():
    told = monthly_usage(load_settings(cloudwatch_namespace="FinLake"), lake(), None, PRICES, jobs=6)
    untold = monthly_usage(load_settings(), lake(), None, PRICES, jobs=6)
    assert told.metrics > 0
    assert told.alarms == 5
    assert dataclasses.astuple(untold)[-3:] == (0, 0, 0.0)
