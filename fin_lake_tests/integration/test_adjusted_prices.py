"""Adjusted prices in PostgreSQL, against plain pandas on bars and actions made up for it."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import polars as pl
import psycopg
import pytest

from fin_lake.partitions import HourRange, parse_hour, stock_sessions
from fin_lake.settings import Settings
from fin_lake.tables import CORPORATE_ACTIONS, PROCESSED
from fin_lake.warehouse.market import connect, ensure_schema, read_hours, replace_hours

pytestmark = pytest.mark.stack

SPAN = HourRange(parse_hour("2021-03-01"), parse_hour("2021-04-01"))
OPENS = [opens for opens, _ in stock_sessions(SPAN)]
HALF_HOUR = dt.timedelta(minutes=30)
STARTS = [opens + i * HALF_HOUR for opens in OPENS for i in range(13)]
PRICES = ["open_price", "high_price", "low_price", "close_price"]
NEVER, ALWAYS = SPAN.start, SPAN.end

ACTIONS = [  # symbol, session, kind, value
    ("FOUR", 8, "split", 4.0),
    ("TENTH", 5, "split", 0.1),
    ("PAYER", 3, "dividend", 0.5),
    ("PAYER", 15, "dividend", 0.75),
    ("MIXED", 4, "dividend", 1.25),
    ("MIXED", 9, "split", 2.0),
    ("MIXED", 9, "dividend", 0.4),  # per new share
    ("MIXED", 14, "split", 1.5),
    ("MIXED", 19, "dividend", 0.2),
]
SYMBOLS = ("FOUR", "TENTH", "PAYER", "MIXED", "PLAIN")


def made_actions() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "timestamp": OPENS[session],
                "kind": kind,
                "ratio": value if kind == "split" else None,
                "amount": value if kind == "dividend" else None,
                "source": "yahoo",
            }
            for symbol, session, kind, value in ACTIONS
        ],
        schema=CORPORATE_ACTIONS.polars_schema(),
    ).sort(CORPORATE_ACTIONS.key)


def made_bars() -> pl.DataFrame:
    """Return bars whose worth of a holding never jumps: a random walk, cut by splits and dividends."""
    chance = np.random.default_rng(7)
    frames = []
    for symbol in SYMBOLS:
        price, close = 100.0, []
        for start in STARTS:
            for name, session, kind, value in ACTIONS:
                if (name, OPENS[session], kind) == (symbol, start, "split"):
                    price /= value
            for name, session, kind, value in ACTIONS:
                if (name, OPENS[session], kind) == (symbol, start, "dividend"):
                    price -= value
            price *= np.exp(chance.normal(0, 0.003))
            close.append(price)
        closes = np.array(close)
        frames.append(
            pl.DataFrame(
                {
                    "symbol": symbol,
                    "timestamp": STARTS,
                    "interval": "30min",
                    "open_price": closes * 1.001,
                    "high_price": closes * 1.002,
                    "low_price": closes * 0.998,
                    "close_price": closes,
                    "volume": chance.integers(1, 10_000, len(closes)),
                    "source": "yahoo",
                },
                schema=PROCESSED["stocks"].polars_schema(),
            )
        )
    return pl.concat(frames)


@pytest.fixture(scope="module")
def market(module_settings: Settings) -> Iterator[psycopg.Connection]:
    with connect(module_settings.database()) as connection:
        ensure_schema(connection)
        replace_hours(connection, PROCESSED["stocks"], SPAN, made_bars())
        replace_hours(connection, CORPORATE_ACTIONS, SPAN, made_actions())
        connection.commit()
        yield connection


def adjusted(
    market: psycopg.Connection, relation: str = "market.adjusted_stocks()", *parameters: object
) -> pd.DataFrame:
    cursor = market.execute(
        f"select * from {relation} where symbol = any(%s) order by symbol, timestamp",
        (*parameters, list(SYMBOLS)),
    )
    return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description])


def expected(as_of: dt.datetime, *, dividends: bool) -> pd.DataFrame:
    """Walk through the actions from the last to the first, as a person would."""
    bars = made_bars().to_pandas()
    bars["factor"], bars["shares"] = 1.0, 1.0
    for symbol, session, kind, value in sorted(ACTIONS, key=lambda a: (-a[1], a[2] == "split")):
        ex = OPENS[session]
        before = (bars.symbol == symbol) & (bars.timestamp < ex)
        if ex > as_of:
            continue
        if kind == "split":
            bars.loc[before, "factor"] /= value
            bars.loc[before, "shares"] /= value
        elif dividends:
            same_day = [v for s, e, k, v in ACTIONS if (s, e, k) == (symbol, session, "split")]
            last = bars[before].close_price.iloc[-1] / (same_day[0] if same_day else 1)
            bars.loc[before, "factor"] *= 1 - value / last
    bars[PRICES] = bars[PRICES].mul(bars.factor, axis=0)
    bars["volume"] = bars.volume / bars.shares
    return bars.sort_values(["symbol", "timestamp"]).drop(columns="shares").reset_index(drop=True)


@pytest.mark.parametrize("dividends", [False, True])
@pytest.mark.parametrize(
    "as_of",
    [NEVER, OPENS[8] - HALF_HOUR, OPENS[8], OPENS[9], OPENS[14], ALWAYS],
    ids=["none", "before the split", "at the split", "both", "second", "all"],
)
def test_prices_volumes_and_factors_are_those_that_pandas_makes(market, as_of, dividends):
    found = adjusted(market, "market.adjusted_stocks(%s, %s)", as_of, dividends)
    wanted = expected(as_of, dividends=dividends)
    assert list(found.columns) == [*PROCESSED["stocks"].column_names, "factor"]
    assert found[["symbol", "interval", "source"]].equals(wanted[["symbol", "interval", "source"]])
    assert (found.timestamp == wanted.timestamp).all()
    np.testing.assert_allclose(
        found[[*PRICES, "volume", "factor"]].astype(float),
        wanted[[*PRICES, "volume", "factor"]].astype(float),
        rtol=1e-12,
    )


def test_as_of_a_moment_before_every_action_prices_are_as_traded(market):
    found = adjusted(market, "market.adjusted_stocks(%s)", NEVER)
    assert found[PRICES].equals(made_bars().sort("symbol", "timestamp").to_pandas()[PRICES])
    assert (found.factor == 1).all()


def returns_over(frame: pd.DataFrame, symbol: str, session: int) -> float:
    closes = frame[frame.symbol == symbol].set_index("timestamp").close_price
    return float(closes[OPENS[session]] / closes[: OPENS[session] - HALF_HOUR].iloc[-1] - 1)


@pytest.mark.parametrize(("symbol", "session"), [("FOUR", 8), ("TENTH", 5), ("MIXED", 14)])
def test_returns_do_not_jump_over_a_split(market, symbol, session):
    traded = adjusted(market, "market.stocks")
    assert abs(returns_over(traded, symbol, session)) > 0.3
    assert abs(returns_over(adjusted(market), symbol, session)) < 0.02


def test_a_split_leaves_the_value_traded_as_it_was(market):
    traded, split = adjusted(market, "market.stocks"), adjusted(market)
    value = [frame.close_price * frame.volume.astype(float) for frame in (traded, split)]
    np.testing.assert_allclose(*value, rtol=1e-12)


def test_total_return_is_that_of_a_holding_whose_dividends_are_reinvested(market):
    """A share is held; what it pays buys shares at the last price less the dividend; splits multiply."""
    found = adjusted(market, "market.stocks_total_return")
    traded = adjusted(market, "market.stocks")
    for symbol in SYMBOLS:
        closes = traded[traded.symbol == symbol].close_price.to_numpy()
        shares, worth = 1.0, [closes[0]]
        for number, (start, before) in enumerate(itertools.pairwise(STARTS), 1):
            assert start < before
            paid = {
                kind: value
                for name, session, kind, value in ACTIONS
                if (name, OPENS[session]) == (symbol, before)
            }
            shares *= paid.get("split", 1.0)
            price = closes[number - 1] / paid.get("split", 1.0)
            dividend = paid.get("dividend", 0.0)
            shares *= 1 + dividend / (price - dividend)
            worth.append(shares * closes[number])
        total = found[found.symbol == symbol].close_price.to_numpy()
        np.testing.assert_allclose(total / total[0], np.array(worth) / worth[0], rtol=1e-10)


def test_a_dividend_above_the_price_and_one_without_a_bar_before_it_change_nothing(market):
    with market.transaction(force_rollback=True):
        for symbol, session in (("PLAIN", 0), ("PLAIN", 6)):
            market.execute(
                "insert into market.corporate_actions values (%s, %s, 'dividend', null, 1000, 'yahoo')",
                (symbol, OPENS[session]),
            )
        found = adjusted(market, "market.stocks_total_return")
        assert (found[found.symbol == "PLAIN"].factor == 1).all()


def test_the_schema_may_be_ensured_again_and_actions_are_read_as_written(market):
    ensure_schema(market)
    assert read_hours(market, CORPORATE_ACTIONS, SPAN).equals(
        made_actions().sort("symbol", "timestamp", "kind")
    )


def test_a_symbols_history_is_read_by_the_index(market):
    plan = "\n".join(
        row[0]
        for row in market.execute(
            "explain select * from market.stocks_total_return where symbol = 'MIXED'"
        ).fetchall()
    )
    assert "Function Scan" not in plan, "the function is part of the query"
    assert "symbol = 'MIXED'" in plan
