from __future__ import annotations

import datetime as dt
import time

import empyrical
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fin_lake.partitions import HOUR, HourRange, parse_hour
from fin_lake.portfolios.definitions import Portfolio, PortfolioError
from fin_lake.portfolios.valuation import HOLDING_COLUMNS, VALUATION_COLUMNS, value
from fin_lake.schema import Table

START = parse_hour("2023-01-03")  # a Tuesday
SCHEMA = {"symbol": pl.String, "hour_start": pl.Datetime("us", "UTC"), "close_price": pl.Float64}


def portfolio(*allocations, **changes):
    kinds = [
        {"effective": effective, kind: held} for effective, kind, held in (_dated(a) for a in allocations)
    ]
    fields = {
        "name": "mine",
        "description": "A test's",
        "initial_cash": 1000.0,
        "start": START,
        "benchmark": "IBM",
        "allocations": kinds,
    }
    return Portfolio.model_validate(fields | changes)


def _dated(allocation):
    return allocation if len(allocation) == 3 else (START, *allocation)


def at(text):
    return parse_hour(f"2023-01-{text}")


def prices(**by_symbol):
    """Prices by symbol, each from an hour like 03T15 to its price, or a list of prices from the start on."""
    rows = []
    for symbol, known in by_symbol.items():
        moments = (
            known.items() if isinstance(known, dict) else ((START + i * HOUR, p) for i, p in enumerate(known))
        )
        rows += [
            (symbol.replace("_", "-"), at(moment) if isinstance(moment, str) else moment, float(price))
            for moment, price in moments
            if price is not None
        ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def until(frame):
    return HourRange(START, frame["hour_start"].max() + HOUR)


def valued(mine, frame):
    return value(mine, frame, until(frame))


def column(frame, name, **where):
    return frame.filter(**where)[name].to_list() if where else frame[name].to_list()


def market(days=40, seed=1, gaps=0.3, symbols=("AAPL", "MSFT", "NVDA", "IBM")):
    """Random walks with gaps, a symbol that comes late and one that goes early."""
    rng = np.random.default_rng(seed)
    count = days * 24
    walks = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (count, len(symbols))), axis=0))
    walks[rng.random(walks.shape) < gaps] = np.nan
    walks[: count // 3, 1] = np.nan
    walks[count // 2 :, 2] = np.nan
    return prices(
        **{
            symbol: [None if np.isnan(p) else p for p in walks[:, i].tolist()]
            for i, symbol in enumerate(symbols)
        }
    )


THREE = ("weights", {"AAPL": 0.4, "MSFT": 0.3, "NVDA": 0.2})
LATER = (START + 20 * 24 * HOUR, "units", {"AAPL": 1.0, "MSFT": 1.5})
LAST = (START + 30 * 24 * HOUR, "weights", {"MSFT": 0.5, "IBM": 0.5})
RULES = ("none", "daily", "weekly", "monthly", "quarterly")


def eventful(rebalancing="weekly"):
    return portfolio(THREE, LATER, LAST, rebalancing=rebalancing, risk_free_rate=0.02)


def test_the_frames_have_the_columns_that_are_described():
    result = valued(eventful(), market())
    for frame, columns in ((result.valuations, VALUATION_COLUMNS), (result.holdings, HOLDING_COLUMNS)):
        table = Table("t", "", columns, "stocks", "", "")
        assert frame.schema == table.polars_schema()
        required = [c.name for c in columns if not c.nullable]
        assert frame.select(required).null_count().sum_horizontal()[0] == 0
        assert not frame.select(pl.col(pl.Float64).is_nan().any()).row(0).count(True)
    assert result.valuations["timestamp"].is_sorted()
    assert_frame_equal(result.holdings, result.holdings.sort("timestamp", "symbol"))


@pytest.mark.parametrize("moment", ["2022-12-01", "2023-06-01"])
def test_where_nothing_is_priced_the_frames_are_empty_and_typed(moment):
    empty = pl.DataFrame(schema=SCHEMA)
    result = value(eventful(), empty, HourRange.of(parse_hour(moment)))
    filled = valued(eventful(), market())
    assert result.valuations.schema == filled.valuations.schema
    assert result.holdings.schema == filled.holdings.schema
    assert result.valuations.is_empty()
    assert result.holdings.is_empty()


def test_weights_are_bought_at_the_first_close_and_the_rest_is_cash():
    result = valued(portfolio(("weights", {"AAPL": 0.5, "MSFT": 0.3})), prices(AAPL=[10, 11], MSFT=[20, 20]))
    assert column(result.holdings, "units", timestamp=START) == pytest.approx([50.0, 200.0, 15.0])
    assert column(result.holdings, "symbol", timestamp=START) == ["AAPL", "CASH", "MSFT"]
    assert column(result.valuations, "market_value") == pytest.approx([1000.0, 1050.0])
    assert column(result.valuations, "cash") == pytest.approx([200.0, 200.0])
    assert column(result.valuations, "hourly_return") == pytest.approx([0.0, 0.05])
    assert column(result.valuations, "rebalanced") == [True, False]
    assert column(result.valuations, "holding_count") == [2, 2]


def test_units_are_paid_for_out_of_the_cash():
    result = valued(portfolio(("units", {"AAPL": 30.0})), prices(AAPL=[10, 12]))
    assert column(result.valuations, "cash") == [700.0, 700.0]
    assert column(result.valuations, "market_value") == [1000.0, 1060.0]


def test_units_that_cost_more_than_there_is_are_refused():
    with pytest.raises(PortfolioError) as caught:
        valued(portfolio(("units", {"AAPL": 101.0})), prices(AAPL=[10]))
    assert "portfolio 'mine': the units allocated at 2023-01-03-00:00 cost 1010.00" in str(caught.value)
    assert "raise initial_cash by 10.00" in str(caught.value)


def test_units_that_change_are_bought_and_sold_at_that_hours_close():
    mine = portfolio(("units", {"AAPL": 30.0}), (START + HOUR, "units", {"AAPL": 10.0, "MSFT": 5.0}))
    result = valued(mine, prices(AAPL=[10, 12], MSFT=[20, 20]))
    assert column(result.valuations, "cash") == [700.0, 700.0 + 20 * 12 - 5 * 20]
    assert column(result.valuations, "market_value") == [1000.0, 1060.0]


def test_whole_weights_leave_no_cash():
    mine = portfolio(("weights", {"AAPL": 0.1 + 0.2, "MSFT": 0.7 - 1e-10}), rebalancing="daily")
    result = valued(mine, prices(AAPL=[10] * 50, MSFT=[7, 8] * 25))
    assert set(column(result.valuations, "cash")) == {0.0}


def test_rebalancing_restores_the_weights_on_the_first_hour_of_a_day():
    frame = prices(AAPL={"03T20": 10, "03T21": 20, "04T15": 20, "04T16": 40}, MSFT={"03T20": 10, "04T15": 10})
    result = valued(portfolio(("weights", {"AAPL": 0.5, "MSFT": 0.5}), rebalancing="daily"), frame)
    assert column(result.valuations, "market_value") == pytest.approx([1000, 1500, 1500, 2250])
    assert column(result.valuations, "rebalanced") == [True, False, True, False]
    assert column(result.holdings, "units", symbol="AAPL") == pytest.approx([50, 50, 37.5, 37.5])
    assert column(result.holdings, "units", symbol="MSFT") == pytest.approx([50, 50, 75, 75])


@pytest.mark.parametrize(
    ("rebalancing", "expected"),
    [
        ("none", ["2023-01-03"]),
        ("weekly", ["2023-01-03", "2023-01-09", "2023-01-16", "2023-01-23", "2023-01-30"]),
        ("monthly", ["2023-01-03", "2023-02-01", "2023-03-01", "2023-04-03"]),
        ("quarterly", ["2023-01-03", "2023-04-03"]),
    ],
)
def test_rebalancing_takes_place_on_the_first_traded_day_of_a_period(rebalancing, expected):
    days = pd.bdate_range("2023-01-03", "2023-04-07")
    frame = prices(AAPL={day.to_pydatetime().replace(hour=15, tzinfo=dt.UTC): 10 for day in days})
    result = valued(portfolio(("weights", {"AAPL": 0.5}), rebalancing=rebalancing), frame)
    found = result.valuations.filter("rebalanced")["timestamp"].dt.strftime("%Y-%m-%d").to_list()
    assert found[: len(expected)] == expected
    assert rebalancing == "weekly" or found == expected


def test_units_are_never_rebalanced():
    result = valued(portfolio(("units", {"AAPL": 1.0}), rebalancing="daily"), prices(AAPL=[10] * 60))
    assert result.valuations["rebalanced"].sum() == 1


def test_a_price_that_is_missing_is_carried_and_its_age_shown():
    frame = prices(AAPL=[10, 11, None, 12], MSFT=[20, None, None, 22])
    result = valued(portfolio(("weights", {"AAPL": 0.5, "MSFT": 0.5})), frame)
    assert column(result.valuations, "timestamp") == [START, START + HOUR, START + 3 * HOUR]
    assert column(result.valuations, "oldest_price_age_hours") == [0, 1, 0]
    assert column(result.holdings, "price", symbol="MSFT") == [20.0, 20.0, 22.0]
    assert column(result.holdings, "price_age_hours", symbol="MSFT") == [0, 1, 0]
    assert column(result.holdings, "price_at", symbol="MSFT") == [START, START, START + 3 * HOUR]


def test_an_hour_in_which_only_the_benchmark_trades_is_not_valued():
    result = valued(portfolio(("weights", {"AAPL": 1.0})), prices(AAPL=[10, None, 11], IBM=[1, 2, 3]))
    assert column(result.valuations, "timestamp") == [START, START + 2 * HOUR]
    assert column(result.valuations, "benchmark_return") == [0.0, 2.0]


def test_what_has_no_price_yet_waits_in_cash_until_the_next_rebalancing():
    frame = prices(AAPL={"03T20": 10, "04T15": 10, "05T15": 10}, MSFT={"04T16": 20, "05T15": 20})
    result = valued(portfolio(("weights", {"AAPL": 0.5, "MSFT": 0.5}), rebalancing="daily"), frame)
    assert column(result.valuations, "timestamp") == [at("03T20"), at("04T15"), at("05T15")]
    assert column(result.valuations, "cash") == [500.0, 500.0, 0.0]
    late = result.holdings.filter(symbol="MSFT")
    assert column(late, "units") == [0.0, 0.0, 25.0]
    for name in ("price", "price_at", "price_age_hours", "market_value", "weight"):
        assert column(late, name)[:2] == [None, None]
    assert column(late, "contribution") == [0.0, 0.0, 0.0]


def test_units_without_a_price_are_bought_at_the_next_rebalancing_alone():
    frame = prices(AAPL=[10] * 72, MSFT=[None] * 30 + [20] * 42)
    result = valued(portfolio(("units", {"AAPL": 1.0, "MSFT": 2.0}), rebalancing="daily"), frame)
    bought = result.holdings.filter(pl.col("units") > 0, symbol="MSFT")["timestamp"][0]
    assert bought == START + 48 * HOUR
    assert result.valuations["cash"][-1] == 950.0


def test_a_late_symbol_without_rebalancing_stays_cash_until_the_next_allocation():
    weights = {"AAPL": 0.5, "MSFT": 0.5}
    mine = portfolio(("weights", weights), (START + 3 * HOUR, "weights", weights))
    result = valued(mine, prices(AAPL=[10] * 5, MSFT=[None, 20, 20, 20, 20]))
    assert column(result.valuations, "cash") == [500.0, 500.0, 500.0, 0.0, 0.0]


def test_what_is_delisted_keeps_its_last_price_and_grows_old():
    frame = prices(AAPL=[10, 10, 10, 10], MSFT=[20, 25, None, None])
    result = valued(portfolio(("weights", {"AAPL": 0.5, "MSFT": 0.5})), frame)
    assert column(result.valuations, "market_value") == pytest.approx([1000, 1125, 1125, 1125])
    assert column(result.valuations, "oldest_price_age_hours") == [0, 0, 1, 2]


def test_what_is_delisted_is_sold_at_its_last_price():
    mine = portfolio(("weights", {"MSFT": 1.0}), (START + 2 * HOUR, "weights", {"AAPL": 1.0}))
    result = valued(mine, prices(AAPL=[10, 10, None, 10, 12], MSFT=[20, 25]))
    assert column(result.valuations, "timestamp") == [START + i * HOUR for i in (0, 1, 3, 4)]
    assert column(result.valuations, "market_value") == pytest.approx([1000, 1250, 1250, 1500])


def test_what_was_sold_keeps_what_it_contributed():
    mine = portfolio(("weights", {"MSFT": 1.0}), (START + HOUR, "weights", {"AAPL": 1.0}))
    result = valued(mine, prices(AAPL=[10, 10, 5], MSFT=[20, 30, 99]))
    assert column(result.holdings, "units", symbol="MSFT") == [50.0, 0.0, 0.0]
    assert column(result.holdings, "contribution", symbol="MSFT") == pytest.approx([0, 0.5, 0])
    assert column(result.holdings, "cumulative_contribution", symbol="MSFT") == pytest.approx([0, 0.5, 0.5])
    assert column(result.holdings, "timestamp", symbol="AAPL") == [START + HOUR, START + 2 * HOUR]


def test_of_two_allocations_since_the_last_bar_the_later_counts():
    mine = portfolio(
        ("weights", {"AAPL": 1.0}),
        (START + HOUR, "weights", {"MSFT": 1.0}),
        (START + 2 * HOUR, "weights", {"NVDA": 1.0}),
    )
    result = valued(mine, prices(AAPL=[10], NVDA=[None, None, None, 5]))
    assert column(result.holdings, "units", symbol="NVDA") == [200.0]
    assert "MSFT" not in column(result.holdings, "symbol")


def test_all_cash_is_not_valued_until_something_is_held_again():
    mine = portfolio(
        ("weights", {"AAPL": 1.0}), (START + HOUR, "weights", {}), (START + 3 * HOUR, "weights", {"AAPL": 1})
    )
    result = valued(mine, prices(AAPL=[10, 12, 99, 6, 7]))
    assert column(result.valuations, "timestamp") == [START + i * HOUR for i in (0, 1, 3, 4)]
    assert column(result.valuations, "market_value") == pytest.approx([1000, 1200, 1200, 1400])
    assert column(result.valuations, "oldest_price_age_hours") == [0, None, 0, 0]


def test_prices_that_are_no_prices_are_passed_over():
    frame = prices(AAPL=[10, float("nan"), 0, -1, 12, float("inf")], MSFT=[1] * 6)
    mine = portfolio(("weights", {"AAPL": 1.0}))
    expected = valued(mine, prices(AAPL={START: 10, START + 4 * HOUR: 12}))
    assert_frame_equal(valued(mine, frame).valuations, expected.valuations)


def test_prices_before_the_start_count_for_nothing():
    frame = prices(AAPL={START - HOUR: 9, START + HOUR: 10}, MSFT={START - HOUR: 5})
    result = valued(portfolio(("weights", {"AAPL": 0.5, "MSFT": 0.5})), frame)
    assert column(result.valuations, "cash") == [500.0]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"hour_start": START}, "AAPL has two prices at 2023-01-03-00:00"),
        ({"hour_start": START + dt.timedelta(minutes=30)}, "a price of AAPL is not at the start of an hour"),
    ],
)
def test_prices_that_are_not_one_an_hour_are_refused(extra, message):
    frame = prices(AAPL=[10, 11])
    wrong = pl.DataFrame([{"symbol": "AAPL", "close_price": 1.0, **extra}], schema=SCHEMA)
    with pytest.raises(PortfolioError, match=f"portfolio 'mine': {message}"):
        valued(portfolio(("weights", {"AAPL": 1.0})), pl.concat([frame, wrong]))


def test_the_benchmarks_return_counts_from_its_first_price():
    frame = prices(AAPL=[10] * 4, IBM=[None, 100, None, 110])
    result = valued(portfolio(("weights", {"AAPL": 1.0})), frame)
    assert column(result.valuations, "benchmark_return") == pytest.approx([None, 0.0, 0.0, 0.1])


@pytest.mark.parametrize("rebalancing", RULES)
def test_weights_sum_to_one_and_contributions_to_the_return(rebalancing):
    result = valued(eventful(rebalancing), market())
    sums = result.holdings.group_by("timestamp", maintain_order=True).agg(
        pl.col("market_value", "weight", "contribution", "cumulative_contribution").sum(),
        count=(pl.col("units") > 0).sum().cast(pl.Int64) - (pl.col("units") > 0).filter(symbol="CASH").sum(),
    )
    rows = result.valuations
    np.testing.assert_allclose(sums["weight"], 1.0, atol=1e-12)
    np.testing.assert_allclose(sums["market_value"], rows["market_value"], rtol=1e-12)
    np.testing.assert_allclose(sums["contribution"], rows["hourly_return"], atol=1e-12)
    np.testing.assert_allclose(sums["cumulative_contribution"], rows["cumulative_return"], atol=1e-12)
    assert sums["count"].to_list() == rows["holding_count"].to_list()
    assert rows["cash"].min() >= 0


@pytest.mark.parametrize("rebalancing", RULES)
def test_an_hour_alone_a_range_and_the_whole_are_the_same_to_the_last_bit(rebalancing):
    mine, frame = eventful(rebalancing), market()
    whole = valued(mine, frame)
    for first, count in ((0, 1), (100, 1), (333, 1), (481, 1), (700, 48), (959, 1), (-5, 10)):
        hours = HourRange(START + first * HOUR, START + (first + count) * HOUR)
        known = frame.filter(pl.col("hour_start") < hours.end).sample(
            fraction=1, shuffle=True, seed=abs(first)
        )
        part = value(mine, known, hours)
        inside = pl.col("timestamp").is_between(hours.start, hours.end, closed="left")
        assert_frame_equal(part.valuations, whole.valuations.filter(inside), check_exact=True)
        assert_frame_equal(part.holdings, whole.holdings.filter(inside), check_exact=True)


@settings(max_examples=30, deadline=None)
@given(hours=st.integers(1, 40 * 24 - 1), seed=st.integers(0, 50), rebalancing=st.sampled_from(RULES))
def test_what_comes_later_changes_nothing_before(hours, seed, rebalancing):
    mine, frame = eventful(rebalancing), market(seed=seed, gaps=0.9)
    past = HourRange(START, START + hours * HOUR)
    later = pl.col("hour_start") >= past.end
    moved = frame.with_columns(pl.when(later).then(pl.col("close_price") * 7).otherwise("close_price"))
    for changed in (frame.filter(~later), moved):
        one, other = value(mine, frame, past), value(mine, changed, past)
        assert_frame_equal(one.valuations, other.valuations, check_exact=True)
        assert_frame_equal(one.holdings, other.holdings, check_exact=True)


def test_an_allocation_that_is_added_changes_nothing_before():
    frame = market()
    long, short = eventful(), portfolio(THREE, rebalancing="weekly", risk_free_rate=0.02)
    before = HourRange(START, LATER[0])
    assert_frame_equal(
        value(long, frame, before).valuations, value(short, frame, before).valuations, check_exact=True
    )


def test_holding_without_trading_is_what_pandas_says():
    known = market(gaps=0.4).filter(pl.col("hour_start") > START)
    frame = pl.concat([known, prices(AAPL=[100], NVDA=[90])])
    result = valued(portfolio(("weights", {"AAPL": 0.6, "NVDA": 0.3})), frame)
    wide = frame.to_pandas().pivot(index="hour_start", columns="symbol", values="close_price")
    held = wide[["AAPL", "NVDA"]].dropna(how="all").ffill()
    total = 600 * held["AAPL"] / 100 + 300 * held["NVDA"] / 90 + 100
    np.testing.assert_allclose(result.valuations["market_value"], total, rtol=1e-12)
    days = total.groupby(total.index.date).last()
    before = pd.Series(total.index.date).map(days.shift(fill_value=1000)).to_numpy()
    np.testing.assert_allclose(result.valuations["daily_return"], total / before - 1, atol=1e-12)
    np.testing.assert_allclose(result.valuations["hourly_return"][1:], total.pct_change()[1:], atol=1e-12)
    np.testing.assert_allclose(result.valuations["cumulative_return"], total / 1000 - 1, atol=1e-12)
    moves = held["AAPL"].diff() * 6 / total.shift()
    ours = result.holdings.filter(symbol="AAPL")["contribution"]
    np.testing.assert_allclose(ours[1:], moves[1:], atol=1e-12)


def test_the_measures_are_those_of_the_days_until_now():
    frame = market(days=60, gaps=0.2)
    mine = eventful()
    rows = valued(mine, frame).valuations.to_pandas().set_index("timestamp")
    bench = frame.filter(symbol="IBM").to_pandas().set_index("hour_start")["close_price"]
    rate = 1.02 ** (1 / 252) - 1
    for i in (30, 300, 700, len(rows) - 1):
        known = rows.iloc[: i + 1]
        daily = known["daily_return"].groupby(known.index.date).last()
        last = known.index.to_series().groupby(known.index.date).last()
        price = bench.reindex(bench.index.union(rows.index)).ffill().reindex(pd.DatetimeIndex(last))
        start = bench.reindex(bench.index.union(rows.index)).ffill().reindex(rows.index).iloc[0]
        other = pd.Series(price.to_numpy(), daily.index)
        other = other / other.shift(fill_value=start) - 1
        fresh = bench[bench.index <= known.index[-1]].index
        fresh = [any(f.date() == d and f <= last[d] for f in fresh) for d in daily.index]
        expected = {
            "volatility": empyrical.annual_volatility(daily, annualization=252),
            "sharpe": empyrical.sharpe_ratio(daily, rate, annualization=252),
            "sortino": empyrical.sortino_ratio(daily, rate, annualization=252),
            "max_drawdown": empyrical.max_drawdown(daily),
            "var_95": empyrical.value_at_risk(daily) if len(daily) >= 20 else np.nan,
            "cvar_95": empyrical.conditional_value_at_risk(daily) if len(daily) >= 20 else np.nan,
            "beta": empyrical.beta_aligned(daily[fresh], other[fresh]),
        }
        for name, figure in expected.items():
            assert rows[name].iloc[i] == pytest.approx(figure, rel=1e-9, nan_ok=True), name


def test_measures_are_unknown_until_there_are_returns_enough():
    rows = valued(portfolio(("weights", {"AAPL": 1.0})), market(days=30, gaps=0.0)).valuations
    days = (pl.col("timestamp") - START).dt.total_days()
    for name, least in (("volatility", 2), ("sharpe", 2), ("sortino", 2), ("beta", 2), ("var_95", 20)):
        assert rows.filter(days < least - 1)[name].is_null().all()
    for name, least in (("volatility", 2), ("sharpe", 2), ("beta", 2), ("var_95", 20), ("cvar_95", 20)):
        assert rows.filter(days >= least - 1)[name].is_not_null().all()


def test_five_years_of_ten_symbols_take_less_than_a_second():
    rng = np.random.default_rng(1)
    count, names = 43_800, [f"S{i}" for i in range(10)]
    walks = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, (count, 10)), axis=0))
    moments = [START + i * HOUR for i in range(count)]
    frame = pl.concat(
        pl.DataFrame({"symbol": [name] * count, "hour_start": moments, "close_price": walks[:, i]}, SCHEMA)
        for i, name in enumerate(names)
    )
    mine = portfolio(("weights", dict.fromkeys(names, 0.1)), rebalancing="daily", benchmark="S0")
    took = []
    for _ in range(3):
        began = time.perf_counter()
        valued(mine, frame)
        took.append(time.perf_counter() - began)
    assert min(took) < 1
