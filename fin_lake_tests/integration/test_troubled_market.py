"""A month with a split, a delisting, a week of nulls, a clock change and a source that says all twice."""

from __future__ import annotations

import datetime as dt
import itertools
import json

import dagster as dg
import polars as pl
import pytest

from fin_lake.definitions import EXTRACT_JOB, build_definitions
from fin_lake.lake.processed import read_hours
from fin_lake.lake.raw import RawAttempt, read_attempts, write_attempt
from fin_lake.lake.store import Lake
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange, hour_key, parse_hour, stock_session_hours
from fin_lake.settings import Settings
from fin_lake.tables import PORTFOLIOS, PROCESSED, QUARANTINE, RAW, TABLES_BY_ASSET, TECHNICAL_ANALYSIS
from fin_lake.warehouse.market import connect
from fin_lake_tests.conftest import hours, own_stores
from fin_lake_tests.synthetic import synthetic_records

pytestmark = pytest.mark.stack
SPAN = hours("2023-03-06T00", 26 * 24)  # the clocks change on the 12th
SYMBOLS = ("SPLIT", "GONE", "NULLS", "TWICE")
EX_DATE = parse_hour("2023-03-15T13") + dt.timedelta(minutes=30)
DELISTED = parse_hour("2023-03-11")
NULLS = (parse_hour("2023-03-20"), parse_hour("2023-03-25"))
PRICES = ("open_price", "high_price", "low_price", "close_price")
PORTFOLIO = """
portfolios:
  - name: troubled
    description: Half in a share that splits, half in one that is delisted
    initial_cash: 1000000
    start: 2023-03-06
    benchmark: TWICE
    allocations:
      - effective: 2023-03-06
        weights: {SPLIT: 0.5, GONE: 0.5}
"""


def walks() -> pl.DataFrame:
    """Return the bars as they would have been without trouble, adjusted for the split."""
    return synthetic_records("stocks", SPAN, SYMBOLS, seed=11)


def sent() -> pl.DataFrame:
    """Return what the sources sent."""
    time, of = pl.col("timestamp"), lambda symbol: pl.col("symbol") == symbol
    before, is_null = of("SPLIT") & (time < EX_DATE), of("NULLS") & time.is_between(*NULLS)
    bars = walks().filter(~(of("GONE") & (time >= DELISTED)))
    bars = bars.with_columns(
        *(pl.when(is_null).then(None).otherwise(pl.col(name)).alias(name) for name in PRICES),
        split_factor=pl.when(before).then(4.0),
    )
    again = bars.filter(of("TWICE"))
    other = again.with_columns(source=pl.lit("alpha_vantage"))
    split = bars.filter(of("SPLIT") & (time == EX_DATE)).with_columns(
        *(pl.lit(None, pl.Float64).alias(name) for name in (*PRICES, "volume")),
        kind=pl.lit("split"),
        interval=pl.lit(None, pl.String),
        payload=pl.lit(json.dumps({"date": int(EX_DATE.timestamp()), "numerator": 4, "denominator": 1})),
    )
    return pl.concat([bars, again, other, split])


@pytest.fixture(scope="module")
def troubled(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake whose raw layer holds the month."""
    file = tmp_path_factory.mktemp("portfolios") / "portfolios.yaml"
    file.write_text(PORTFOLIO)
    settings = own_stores(
        stack,
        start=SPAN.start,
        now=SPAN.end + dt.timedelta(minutes=5),
        stock_symbols=SYMBOLS,
        portfolios_file=file,
    )
    lake, asked = Lake(settings), stock_session_hours(SPAN)
    write_attempt(lake, RAW["stocks"], RawAttempt(sent(), asked, SPAN.end))
    write_attempt(lake, RAW["crypto"], RawAttempt(RAW["crypto"].empty(), frozenset(SPAN), SPAN.end))
    return settings


@pytest.fixture(scope="module")
def made(troubled: Settings) -> dg.ExecuteInProcessResult:
    """The run that makes everything of it."""
    job = build_definitions(troubled).resolve_job_def(EXTRACT_JOB)
    keys = [dg.AssetKey.from_user_string(name) for name in TABLES_BY_ASSET if not name.startswith("raw/")]
    tags = {
        "dagster/asset_partition_range_start": hour_key(SPAN.start),
        "dagster/asset_partition_range_end": SPAN.last_key,
    }
    with open_instance(troubled) as instance:
        return job.execute_in_process(instance=instance, asset_selection=keys, tags=tags)


def check(made: dg.ExecuteInProcessResult, asset: str, name: str) -> dg.AssetCheckEvaluation:
    (found,) = [
        one
        for one in made.get_asset_check_evaluations()
        if one.asset_key.to_user_string() == asset and one.check_name == name
    ]
    return found


def test_every_sound_bar_is_there_once_and_as_traded(troubled: Settings, made: object) -> None:
    got = read_hours(Lake(troubled), PROCESSED["stocks"], SPAN)
    time, symbol = pl.col("timestamp"), pl.col("symbol")
    wanted = walks().filter(
        ~((symbol == "GONE") & (time >= DELISTED)) & ~((symbol == "NULLS") & time.is_between(*NULLS))
    )
    assert got.height == wanted.height
    both = got.join(wanted, on=("symbol", "timestamp"), suffix="_sent")
    factor = pl.when((symbol == "SPLIT") & (time < EX_DATE)).then(4.0).otherwise(1.0)
    off = both.select((pl.col("close_price") / (pl.col("close_price_sent") * factor) - 1).abs().max())
    assert both.height == got.height
    assert off.item() < 1e-6
    assert set(got.filter(symbol == "TWICE")["source"]) == {"alpha_vantage"}
    opened = got.group_by(time.dt.date().alias("day")).agg(time.min().dt.strftime("%H:%M"))
    assert dict(
        opened.filter(pl.col("day").is_between(dt.date(2023, 3, 10), dt.date(2023, 3, 13))).iter_rows()
    ) == {
        dt.date(2023, 3, 10): "14:30",
        dt.date(2023, 3, 13): "13:30",
    }


def test_nothing_is_lost_and_the_nulls_are_in_quarantine(troubled: Settings, made: object) -> None:
    lake = Lake(troubled)
    raw = read_attempts(lake, RAW["stocks"], SPAN)
    assert raw.height == sent().height
    bad = read_hours(lake, QUARANTINE["stocks"], SPAN)
    assert set(bad["rule"]) == {"missing_price"}
    assert set(bad["symbol"]) == {"NULLS"}
    assert bad.height == 5 * 13
    books = check(made, "processed/stocks", "conservation")
    assert books.passed
    assert books.metadata["raw_rows"].value == raw.height - 1  # the split is no bar
    assert books.metadata["duplicates"].value == walks().filter(pl.col("symbol") == "TWICE").height


def test_the_checks_tell_what_is_wrong_and_nothing_else(made: dg.ExecuteInProcessResult) -> None:
    evaluations = made.get_asset_check_evaluations()
    failed = {(one.asset_key.to_user_string(), one.check_name) for one in evaluations if not one.passed}
    assert failed == {
        ("processed/stocks", "completeness"),
        ("processed/crypto", "completeness"),
        ("market/crypto", "freshness"),  # no coin has a bar
    }
    short = check(made, "processed/stocks", "completeness")
    sessions = len(stock_session_hours(SPAN))
    gone = sessions - len(stock_session_hours(HourRange(SPAN.start, DELISTED)))
    assert short.metadata["missing"].value == gone + len(stock_session_hours(HourRange(*NULLS)))
    assert short.metadata["expected"].value == sessions * len(SYMBOLS)
    assert short.metadata["offending_keys"].records[0].data["symbol"] == "GONE"
    assert made.success


def test_adjusted_prices_and_indicators_go_on_over_the_trouble(troubled: Settings, made: object) -> None:
    with connect(troubled.database()) as connection:
        query = (
            "select close_price from market.stocks_split_adjusted where symbol = 'SPLIT'"
            " and timestamp >= %s and timestamp < %s order by timestamp"
        )
        adjusted = [close for (close,) in connection.execute(query, (SPAN.start, SPAN.end)).fetchall()]
    assert max(abs(b / a - 1) for a, b in itertools.pairwise(adjusted)) < 0.05
    analysis = read_hours(Lake(troubled), TECHNICAL_ANALYSIS["stocks"], SPAN)
    last = analysis.filter(pl.col("symbol") == "NULLS").tail(1)
    assert last["timestamp"].item() > NULLS[1]
    assert last.select("rsi_14", "ema_26", "macd_signal", "adx_14", "vwap").null_count().row(0) == (0,) * 5
    assert analysis.select(pl.col(pl.Float64).is_nan().any()).row(0) == (False,) * len(
        analysis.select(pl.col(pl.Float64)).columns
    )


def test_a_portfolio_loses_nothing_by_the_split_and_keeps_the_last_price_of_what_is_gone(
    troubled: Settings, made: object
) -> None:
    lake = Lake(troubled)
    values = read_hours(lake, PORTFOLIOS["valuations"].part("troubled"), SPAN)
    assert values["hourly_return"].abs().max() < 0.05
    held = read_hours(lake, PORTFOLIOS["holdings"].part("troubled"), SPAN)
    units = held.filter(pl.col("symbol") == "SPLIT").sort("timestamp")["units"]
    assert units[-1] / units[0] == pytest.approx(4)
    gone = held.filter(pl.col("symbol") == "GONE").sort("timestamp").tail(1)
    assert gone["price_age_hours"].item() > 24 * 19
    assert gone["price_at"].item() < DELISTED
    worth = held.group_by("timestamp").agg(pl.col("market_value").sum()).sort("timestamp")
    assert (worth["market_value"] / values.sort("timestamp")["market_value"] - 1).abs().max() < 1e-12


def test_an_hour_alone_a_range_and_the_whole_are_equal(troubled: Settings, made: object) -> None:
    lake, instance_of = Lake(troubled), open_instance
    job = build_definitions(troubled).resolve_job_def(EXTRACT_JOB)
    names = [name for name in TABLES_BY_ASSET if not name.startswith("raw/")]
    tables = {
        "processed": PROCESSED["stocks"],
        "analysis": TECHNICAL_ANALYSIS["stocks"],
        "values": PORTFOLIOS["valuations"].part("troubled"),
        "holdings": PORTFOLIOS["holdings"].part("troubled"),
    }
    alone, ranged = hours("2023-03-30T18"), hours("2023-03-28T12", 30)
    whole = {name: read_hours(lake, table, SPAN) for name, table in tables.items()}
    with instance_of(troubled) as instance:
        for span in (alone, ranged):
            tags = {
                "dagster/asset_partition_range_start": span.first_key,
                "dagster/asset_partition_range_end": span.last_key,
            }
            keys = [dg.AssetKey.from_user_string(name) for name in names]
            assert job.execute_in_process(instance=instance, asset_selection=keys, tags=tags).success
    for name, table in tables.items():
        again = read_hours(lake, table, SPAN)
        if name != "analysis":
            assert again.equals(whole[name]), name
            continue
        exact = ("symbol", "timestamp", "close_price", "vwap", "obv", "history_bars")
        assert again.select(exact).equals(whole[name].select(exact))
        for column in again.select(pl.col(pl.Float64)).columns:
            assert again[column].is_null().equals(whole[name][column].is_null())
            apart = (again[column] - whole[name][column]).abs().max()
            assert apart is None or apart < 1e-6, column


def test_a_row_that_somebody_changed_in_postgresql_is_named(troubled: Settings, made: object) -> None:
    day = hours("2023-03-08T00", 24)
    key = dg.AssetCheckKey(dg.AssetKey(["market", "stocks"]), "stores_agree")
    job = build_definitions(troubled).resolve_job_def(EXTRACT_JOB)
    alone = job.get_subset(asset_selection=set(), asset_check_selection={key})
    tags = {
        "dagster/asset_partition_range_start": day.first_key,
        "dagster/asset_partition_range_end": day.last_key,
    }
    change = (
        "update market.stocks set close_price = close_price {} 1"
        " where symbol = 'TWICE' and timestamp = '2023-03-08T15:00Z'"
    )

    def evaluated() -> dg.AssetCheckEvaluation:
        with open_instance(troubled) as instance:
            done = alone.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        (found,) = done.get_asset_check_evaluations()
        return found

    assert evaluated().passed
    with connect(troubled.database()) as connection:
        connection.execute(change.format("+"))
    try:
        found = evaluated()
        assert not found.passed
        assert found.severity is dg.AssetCheckSeverity.ERROR
        named = {
            (one.data["symbol"], one.data["timestamp"]) for one in found.metadata["offending_keys"].records
        }
        assert named == {("TWICE", "2023-03-08 15:00:00+00:00")}
        differing = {name: found.metadata[f"{name}_differing"].value for name in ("json", "parquet")}
        assert differing == {"json": 1, "parquet": 1}
    finally:
        with connect(troubled.database()) as connection:
            connection.execute(change.format("-"))
