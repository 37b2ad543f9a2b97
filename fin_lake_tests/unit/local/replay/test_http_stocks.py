"""What clients of Alpha Vantage and Yahoo Finance see of the shipped recording, over HTTP."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from fin_lake.local.replay.market import Market
from fin_lake.local.replay.recording import PACK, Recording
from fin_lake_tests.unit.local.replay.conftest import BROWSER, PREMIUM, StartReplay, utc

QUERY = "/alpha_vantage/query"
CHART = "/yahoo/v8/finance/chart/"
SERIES = "Time Series (30min)"
FIELDS = ["1. open", "2. high", "3. low", "4. close", "5. volume"]
NEW_YORK = ZoneInfo("America/New_York")


def recorded(symbol: str) -> pd.DataFrame:
    """Return the recorded minutes as pandas reads them, in New York's time."""
    frame = pd.read_parquet(PACK / f"{symbol}.parquet").set_index("timestamp").sort_index()
    return frame.tz_convert(NEW_YORK)


def session(symbol: str, opens: str = "09:30", closes: str = "16:00") -> pd.DataFrame:
    return recorded(symbol).between_time(opens, closes, inclusive="left")


def epoch(text: str) -> str:
    return str(int(utc(text).timestamp()))


async def intraday(client: Any, **changes: str) -> Any:
    asked = {
        "function": "TIME_SERIES_INTRADAY",
        "symbol": "AAPL",
        "interval": "30min",
        "month": "2023-01",
        "outputsize": "full",
        "extended_hours": "false",
        "apikey": PREMIUM,
    }
    answer = await client.get(QUERY, params=asked | changes)
    assert answer.status == 200
    return await answer.json()


async def chart(client: Any, symbol: str = "AAPL", **asked: str) -> tuple[int, Any]:
    answer = await client.get(CHART + symbol, params=asked, headers=BROWSER)
    return answer.status, (await answer.json())["chart"]


async def test_alpha_vantage_gives_texts_of_four_decimals_newest_first(start: StartReplay):
    series = (await intraday(await start()))[SERIES]
    assert list(series) == sorted(series, reverse=True)
    for bar in series.values():
        assert list(bar) == FIELDS
        assert all(re.fullmatch(r"\d+\.\d{4}", bar[name]) for name in FIELDS[:-1])
        assert re.fullmatch(r"\d+", bar["5. volume"])


async def test_alpha_vantages_times_are_new_yorks_and_name_no_zone(start: StartReplay):
    body = await intraday(await start())
    meta = body["Meta Data"]
    assert (meta["2. Symbol"], meta["4. Interval"], meta["6. Time Zone"]) == ("AAPL", "30min", "US/Eastern")
    assert meta["3. Last Refreshed"] == "2023-01-30 15:30:00"
    times = {time[11:] for time in body[SERIES]}
    assert (min(times), max(times)) == ("09:30:00", "15:30:00")


@pytest.mark.parametrize("interval", ["1min", "5min", "15min", "30min", "60min"])
async def test_alpha_vantages_bars_are_what_pandas_makes_of_the_minutes(start: StartReplay, interval: str):
    body = await intraday(await start(), interval=interval, symbol="NVDA")
    expected = (
        session("NVDA")
        .resample(interval)
        .agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
        .dropna()
    )
    served = pd.DataFrame.from_dict(body[f"Time Series ({interval})"], orient="index").sort_index()
    assert list(served.index) == list(expected.index.strftime("%Y-%m-%d %H:%M:%S"))
    assert list(served["5. volume"].astype(int)) == list(expected["volume"])
    prices = served[FIELDS[:-1]].astype(float).to_numpy()
    np.testing.assert_allclose(prices, expected[["open", "high", "low", "close"]].to_numpy(), atol=5.1e-5)


@pytest.mark.parametrize(("extended", "closes"), [("false", "16:00"), ("true", "16:01")])
async def test_the_row_of_the_auction_counts_only_with_extended_hours(
    start: StartReplay, extended: str, closes: str
):
    series = (await intraday(await start(), symbol="IBM", extended_hours=extended))[SERIES]
    served = sum(int(bar["5. volume"]) for bar in series.values())
    assert served == session("IBM", closes=closes)["volume"].sum()
    assert session("IBM")["volume"].sum() < session("IBM", closes="16:01")["volume"].sum()


async def test_compact_is_the_last_hundred_bars(start: StartReplay):
    client = await start()
    full = (await intraday(client))[SERIES]
    compact = (await intraday(client, outputsize="compact"))[SERIES]
    assert list(compact) == list(full)[:100]


async def test_a_month_without_bars_is_an_empty_object(start: StartReplay):
    assert await intraday(await start(), month="2022-12") == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"symbol": "NOPE"}, "Invalid API call"),
        ({"interval": "7min"}, "Invalid API call"),
        ({"month": "2023-13"}, "Invalid API call"),
        ({"function": "NONSENSE"}, "does not exist"),
        ({"apikey": ""}, "apikey is invalid or missing"),
    ],
)
async def test_alpha_vantage_errs_with_status_200(start: StartReplay, changes: dict[str, str], said: str):
    body = await intraday(await start(), **changes)
    assert list(body) == ["Error Message"]
    assert said in body["Error Message"]


async def test_global_quote_compares_the_last_two_sessions(start: StartReplay):
    client = await start()
    answer = await client.get(QUERY, params={"function": "GLOBAL_QUOTE", "symbol": "MSFT", "apikey": PREMIUM})
    quote = (await answer.json())["Global Quote"]
    closes = session("MSFT")["close"].resample("1D").last().dropna()
    assert quote["07. latest trading day"] == "2023-01-30"
    assert quote["05. price"] == f"{closes.iloc[-1]:.4f}"
    assert quote["08. previous close"] == f"{closes.iloc[-2]:.4f}"


async def test_yahoo_gives_arrays_of_one_length_oldest_first(start: StartReplay):
    first, last = "2023-01-30T14:00:00", "2023-01-30T21:00:00"
    status, found = await chart(await start(), interval="30m", period1=epoch(first), period2=epoch(last))
    assert status == 200
    assert found["error"] is None
    (result,) = found["result"]
    (quote,) = result["indicators"]["quote"]
    starts = pd.date_range("2023-01-30T14:30", "2023-01-30T20:30", freq="30min", tz="UTC")
    assert result["timestamp"] == [int(moment.timestamp()) for moment in starts]
    assert {len(quote[name]) for name in ("open", "high", "low", "close", "volume")} == {13}
    assert result["meta"]["symbol"] == "AAPL"
    assert result["meta"]["dataGranularity"] == "30m"
    assert result["meta"]["exchangeTimezoneName"] == "America/New_York"


async def test_yahoos_hours_begin_at_half_past(start: StartReplay):
    asked = {"interval": "1h", "period1": epoch("2023-01-27"), "period2": epoch("2023-01-28")}
    _, found = await chart(await start(), **asked)
    result = found["result"][0]
    local = [dt.datetime.fromtimestamp(stamp, NEW_YORK).strftime("%H:%M") for stamp in result["timestamp"]]
    assert local == ["09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30"]
    volumes = session("AAPL").loc["2023-01-27"]["volume"].resample("1h", offset="30min").sum()
    assert result["indicators"]["quote"][0]["volume"] == list(volumes)


async def test_yahoos_prices_are_doubles_that_were_floats(start: StartReplay):
    asked = {"interval": "1m", "period1": epoch("2023-01-30T14:31"), "period2": epoch("2023-01-30T21:00")}
    _, found = await chart(await start(), **asked)
    closes = found["result"][0]["indicators"]["quote"][0]["close"]
    expected = session("AAPL", opens="09:31").loc["2023-01-30"]["close"]
    assert closes == [float(np.float32(value)) for value in expected]
    assert closes != list(expected)


async def test_a_minute_that_was_not_recorded_is_null_in_every_array(start: StartReplay):
    asked = {"interval": "1m", "period1": epoch("2023-01-30T14:30"), "period2": epoch("2023-01-30T14:33")}
    _, found = await chart(await start(), **asked)
    result = found["result"][0]
    assert result["timestamp"][0] == int(epoch("2023-01-30T14:30"))
    for values in result["indicators"]["quote"][0].values():
        assert values[0] is None
        assert None not in values[1:]


async def test_a_weekend_has_no_timestamps(start: StartReplay):
    asked = {"interval": "30m", "period1": epoch("2023-01-28"), "period2": epoch("2023-01-30")}
    status, found = await chart(await start(), **asked)
    (result,) = found["result"]
    assert status == 200
    assert "timestamp" not in result
    assert result["indicators"] == {"quote": [{}]}


@pytest.mark.parametrize(
    ("interval", "period1", "said"),
    [
        ("1m", "2022-12-30", "30 days"),
        ("30m", "2022-11-30", "60 days"),
        ("1h", "2021-01-29", "730 days"),
        ("7m", "2023-01-30", "not supported"),
    ],
)
async def test_yahoo_refuses_what_it_does_not_reach(
    start: StartReplay, interval: str, period1: str, said: str
):
    asked = {"interval": interval, "period1": epoch(period1), "period2": epoch("2023-01-30T21:00")}
    status, found = await chart(await start(), **asked)
    assert status == 422
    assert found["result"] is None
    assert found["error"]["code"] == "Unprocessable Entity"
    assert said in found["error"]["description"]


async def test_yahoo_gives_minutes_of_seven_days_at_once(start: StartReplay):
    client = await start()
    long, short = [
        await chart(client, interval="1m", period1=epoch(first), period2=epoch("2023-01-30T21:00"))
        for first in ("2023-01-23T20:59", "2023-01-23T21:00")
    ]
    assert (long[0], short[0]) == (422, 200)


@pytest.mark.parametrize("symbol", ["NOPE", "BTC-USD"])
async def test_yahoo_knows_no_stock_that_was_not_recorded(start: StartReplay, symbol: str):
    status, found = await chart(await start(), symbol)
    assert status == 404
    assert found == {
        "result": None,
        "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"},
    }


async def test_yahoo_refuses_what_is_no_browser_in_plain_text(start: StartReplay):
    answer = await (await start()).get(CHART + "AAPL", headers={"User-Agent": "python-requests/2.32"})
    assert answer.status == 429
    assert answer.content_type == "text/plain"
    assert (await answer.text()).strip() == "Too Many Requests"


NOW = "2023-01-10T15:47:00"


async def test_nothing_is_served_that_is_later_than_the_clock(start: StartReplay, pack: Recording):
    client = await start(Market(pack, utc(NOW)))
    series = (await intraday(client, interval="1min"))["Time Series (1min)"]
    assert next(iter(series)) == "2023-01-10 10:46:00"  # the minute of 10:47 has not begun
    asked = {"interval": "1m", "period1": epoch("2023-01-10"), "period2": epoch("2023-01-31")}
    _, found = await chart(client, **asked)
    assert found["result"][0]["timestamp"][-1] == int(epoch("2023-01-10T15:46"))


async def test_a_bar_in_progress_is_made_of_the_minutes_that_are_over(start: StartReplay, pack: Recording):
    client = await start(Market(pack, utc(NOW)))
    time, bar = next(iter((await intraday(client))[SERIES].items()))
    minutes = session("AAPL").loc["2023-01-10 10:30":"2023-01-10 10:46"]  # type: ignore[misc]
    assert time == "2023-01-10 10:30:00"
    assert int(bar["5. volume"]) == minutes["volume"].sum()
    assert bar["4. close"] == f"{minutes['close'].iloc[-1]:.4f}"
    asked = {"interval": "30m", "period1": epoch("2023-01-10T15:30"), "period2": epoch("2023-01-10T16:00")}
    _, found = await chart(client, **asked)
    assert found["result"][0]["indicators"]["quote"][0]["volume"] == [minutes["volume"].sum()]
