"""Where answers begin and end: defaults, reach, the clock, gaps, and what a recording cannot say."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pandas as pd
import pytest

from fin_lake.local.replay import alpha_vantage, coingecko, yahoo
from fin_lake.local.replay.answers import Answer
from fin_lake.local.replay.limits import Plans
from fin_lake.local.replay.market import Market
from fin_lake.local.replay.recording import PACK, Recording
from fin_lake_tests.unit.local.replay.conftest import (
    BROWSER,
    PREMIUM,
    Record,
    asked,
    bars,
    content,
    every,
    utc,
)

HOUR_MS = 3_600_000
DEMO = {"x-cg-demo-api-key": "demo"}
PRO = {"x-cg-pro-api-key": PREMIUM}
OPEN, CLOSE = "2023-01-03T14:30:00", "2023-01-03T21:00:00"


def epoch(text: str) -> int:
    return int(utc(text).timestamp())


def intraday(market: Market, *, plans: Plans | None = None, **changes: str) -> Any:
    query = {
        "function": "TIME_SERIES_INTRADAY",
        "symbol": "AAPL",
        "interval": "30min",
        "month": "2023-01",
        "outputsize": "full",
        "apikey": PREMIUM,
    } | changes
    return content(alpha_vantage.answer(asked(market, "query", query, plans=plans or Plans())))


def times(body: Any) -> list[str]:
    return list(next(value for name, value in body.items() if name.startswith("Time Series")))


def chart(market: Market, **query: Any) -> Answer:
    symbol = query.pop("symbol", "AAPL")
    defaults = {} if "range" in query else {"period1": epoch(OPEN), "period2": epoch(CLOSE)}
    found = {"interval": "30m"} | defaults | query
    return yahoo.answer(asked(market, f"v8/finance/chart/{symbol}", found, BROWSER))


def result(reply: Answer) -> Any:
    assert reply.status == 200
    return content(reply)["chart"]["result"][0]


def gecko(market: Market, path: str, headers: dict[str, str] | None = None, **query: Any) -> Answer:
    return coingecko.answer(asked(market, f"api/v3/{path}", {"vs_currency": "usd"} | query, headers or DEMO))


def samples(market: Market, first: str, last: str, headers: dict[str, str] | None = None) -> Answer:
    span = {"from": epoch(first), "to": epoch(last)}
    return gecko(market, "coins/bitcoin/market_chart/range", headers, **span)


def hour_of(stamp: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(stamp / 1000, dt.UTC).replace(minute=0, second=0, microsecond=0)


def test_alpha_vantages_extended_hours_are_on_unless_switched_off(market: Market):
    assert "2023-01-03 16:00:00" in times(intraday(market))
    assert "2023-01-03 16:00:00" not in times(intraday(market, extended_hours="false"))


def test_alpha_vantage_without_a_month_has_the_last_thirty_days(pack: Recording):
    later = Market(pack, utc("2023-02-10"))
    assert min(times(intraday(later, month="")))[:10] == "2023-01-11"


def test_alpha_vantages_bars_are_on_the_clock_and_others_are_not_bent_to_it(record: Record, market: Market):
    assert {time[13:] for time in times(intraday(market, interval="60min"))} == {":00:00"}
    at_half_past = Market(record(bars(every(60, OPEN, 7)), 60), utc("2023-01-04"))
    assert intraday(at_half_past, interval="60min") == {}


def test_alpha_vantages_intraday_may_be_for_premium_keys_alone(market: Market):
    plans = Plans(alpha_vantage_intraday_is_premium=True)
    assert "premium endpoint" in intraday(market, plans=plans, apikey="free")["Information"]
    assert times(intraday(market, plans=plans))
    assert times(intraday(market, apikey="free"))


@pytest.mark.parametrize(
    "changes", [{"symbol": ""}, {"symbol": "BTC-USD"}, {"interval": ""}, {"datatype": "csv"}]
)
def test_alpha_vantage_takes_no_call_that_makes_no_sense(market: Market, changes: dict[str, str]):
    assert "Invalid API call" in intraday(market, **changes)["Error Message"]


def test_a_quote_of_what_was_not_recorded_is_empty(market: Market):
    assert intraday(market, function="GLOBAL_QUOTE", symbol="NOPE") == {"Global Quote": {}}


def test_yahoos_period_excludes_its_end(market: Market):
    assert result(chart(market, period2=epoch(OPEN) + 1800))["timestamp"] == [epoch(OPEN)]


@pytest.mark.parametrize(("interval", "days"), [("1m", 30), ("15m", 60), ("30m", 60), ("1h", 730)])
def test_yahoo_reaches_back_to_the_second(market: Market, interval: str, days: int):
    edge = int(market.now.timestamp()) - days * 86_400
    assert chart(market, interval=interval, period1=edge, period2=edge + 86_400).status == 200
    refused = chart(market, interval=interval, period1=edge - 1, period2=edge + 86_400)
    assert refused.status == 422
    assert f"within the last {days} days" in content(refused)["chart"]["error"]["description"]


def test_yahoos_offset_is_that_of_today_and_not_of_the_bars(record: Record):
    winter = Market(record(bars(every(30, OPEN, 13)), 30), utc("2023-07-04T12:00"))
    meta = result(chart(winter, interval="1d"))["meta"]
    assert (meta["gmtoffset"], meta["timezone"]) == (-14400, "EDT")


def test_yahoos_chart_leaves_a_bar_out_of_which_nothing_is_over(pack: Recording):
    just_begun = Market(pack, utc("2023-01-10T15:00:30"))
    found = result(chart(just_begun, range="1d"))
    assert found["timestamp"][-1] == epoch("2023-01-10T14:30")
    assert found["meta"]["regularMarketTime"] == epoch("2023-01-10T15:00")


def test_yahoos_extended_hours_hold_the_auction(market: Market):
    span = {"interval": "1m", "period1": epoch("2023-01-24T14:30"), "period2": epoch("2023-01-24T23:00")}
    regular = result(chart(market, **span))["timestamp"]
    extended = result(chart(market, includePrePost="true", **span))["timestamp"]
    assert set(extended) - set(regular) == {epoch("2023-01-24T21:00")}


@pytest.mark.parametrize(("name", "sessions"), [("1d", 1), ("5d", 5), ("1mo", 19), ("ytd", 19), ("max", 19)])
def test_yahoos_ranges_count_back_from_today(market: Market, name: str, sessions: int):
    found = result(chart(market, range=name, interval="1d"))
    assert len(found["timestamp"]) == sessions
    assert found["indicators"]["adjclose"][0]["adjclose"] == found["indicators"]["quote"][0]["close"]
    assert found["meta"]["range"] == name


def test_yahoo_says_at_what_price_the_chart_began(market: Market):
    first = result(chart(market, interval="1d"))
    second = result(chart(market, interval="1d", period1=epoch("2023-01-04"), period2=epoch("2023-01-05")))
    assert first["meta"]["chartPreviousClose"] is None
    assert second["meta"]["chartPreviousClose"] == first["indicators"]["quote"][0]["close"][0]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"period1": epoch(CLOSE), "period2": epoch(OPEN)}, 400),
        ({"period1": "yesterday"}, 400),
        ({"interval": "7m"}, 422),
        ({"range": "7y"}, 422),
        ({"period1": -(10**30), "interval": "1d"}, 200),
        ({"period2": 10**30, "interval": "1d"}, 200),
    ],
)
def test_yahoo_tells_what_makes_no_sense_and_bears_any_moment(
    market: Market, query: dict[str, Any], status: int
):
    reply = chart(market, **query)
    assert reply.status == status
    assert (content(reply)["chart"]["error"] is None) == (status == 200)


@pytest.mark.parametrize("days", ["90", "180", "365", "max"])
def test_coingeckos_candles_of_many_days_are_of_four(market: Market, days: str):
    rows = content(gecko(market, "coins/bitcoin/ohlc", PRO, days=days))
    assert {later[0] - earlier[0] for earlier, later in itertools.pairwise(rows)} == {96 * HOUR_MS}
    assert rows[-1][0] > market.now.timestamp() * 1000, "the last one is in progress"


def test_a_plan_that_is_paid_for_reaches_further_back(market: Market):
    assert samples(market, "2021-01-01", "2021-02-01").status == 401
    assert content(samples(market, "2021-01-01", "2021-02-01", PRO))["prices"] == []


def test_a_volume_that_the_recording_does_not_reach_back_for_is_unknown(market: Market):
    volumes = content(samples(market, "2023-01-03", "2023-01-04"))["total_volumes"]
    known = [stamp for stamp, value in volumes if value is not None]
    assert hour_of(known[0]) == utc("2023-01-03T14:00"), "the recording begins a day and a quarter earlier"
    assert len(volumes) == 24


def test_a_volume_in_coins_is_told_as_what_they_were_worth(record: Record):
    frame = bars(every(60, "2023-01-01", 30), price=1000.0, volume=2.0)
    market = Market(record(frame, 60, symbol="BTC-USD", coin="bitcoin"), utc("2023-01-03"))
    volumes = content(samples(market, "2023-01-02T00:00", "2023-01-02T01:00"))["total_volumes"]
    assert volumes[0][1] == (2.0 * frame["close"][:24]).sum()


def test_where_no_bar_ends_there_is_no_sample(market: Market):
    prices = content(samples(market, "2023-01-04T02:00", "2023-01-04T08:00"))["prices"]
    hours = [hour_of(stamp).hour for stamp, _ in prices]
    assert hours == [2, 3, 7], "nothing was recorded from 03:45 to 06:00"


def test_samples_are_taken_some_seconds_after_the_hour_and_never_the_same(market: Market):
    prices = content(samples(market, "2023-01-10", "2023-01-12"))["prices"]
    late = [stamp % HOUR_MS for stamp, _ in prices]
    assert min(late) >= 3_000
    assert len(set(late)) > 10


def test_hours_make_no_half_hours(record: Record):
    hourly = record(bars(every(60, "2023-01-01", 48)), 60, symbol="BTC-USD", coin="bitcoin")
    assert content(gecko(Market(hourly, utc("2023-01-03")), "coins/bitcoin/ohlc", days="1")) == []


def test_prices_and_markets_are_those_of_the_clock(market: Market):
    frame = pd.read_parquet(PACK / "BTC-USD.parquet")
    seen = frame[frame.timestamp + pd.Timedelta(weeks=57, minutes=15) <= pd.Timestamp(market.now)]
    price = content(gecko(market, "simple/price", ids="bitcoin,ethereum", vs_currencies="usd,eur"))
    assert price == {"bitcoin": {"usd": seen.close.iloc[-1]}}
    (row,) = content(gecko(market, "coins/markets"))
    assert (row["high_24h"], row["low_24h"]) == (seen.high.iloc[-96:].max(), seen.low.iloc[-96:].min())
    assert content(gecko(market, "coins/markets", vs_currency="eur")) == []


@pytest.mark.parametrize("span", [{}, {"from": "x", "to": 1}, {"from": 1}, {"from": "1e99", "to": 1}])
def test_coingecko_refuses_a_range_that_is_none(market: Market, span: dict[str, Any]):
    assert gecko(market, "coins/bitcoin/market_chart/range", **span).status == 422


def test_the_public_api_answers_without_a_key_as_on_the_demo_plan(market: Market):
    reply = coingecko.answer(asked(market, "api/v3/ping"))
    assert (reply.status, content(reply)) == (200, {"gecko_says": "(V3) To the Moon!"})
