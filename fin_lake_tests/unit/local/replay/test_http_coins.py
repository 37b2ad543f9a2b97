"""What clients of CoinGecko see of the shipped recording, over HTTP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fin_lake.local.replay.market import Market
from fin_lake.local.replay.recording import PACK, Recording
from fin_lake_tests.unit.local.replay.conftest import PREMIUM, StartReplay, utc

API = "/coingecko/api/v3/"
CANDLES = API + "coins/bitcoin/ohlc"
SAMPLES = API + "coins/bitcoin/market_chart/range"
KEY = {"x-cg-pro-api-key": PREMIUM}
HOUR_MS = 3_600_000
DAY = pd.Timedelta(days=1)


def recorded() -> pd.DataFrame:
    """Return the recorded bars as pandas reads them, on the weeks they are served in."""
    frame = pd.read_parquet(PACK / "BTC-USD.parquet").set_index("timestamp").sort_index()
    return frame.set_axis(frame.index + pd.Timedelta(weeks=57))


async def samples(client: Any, first: str, last: str) -> Any:
    asked = {"vs_currency": "usd", "from": utc(first).timestamp(), "to": utc(last).timestamp()}
    answer = await client.get(SAMPLES, params=asked, headers=KEY)
    assert answer.status == 200
    return await answer.json()


@pytest.mark.parametrize(("days", "every"), [("1", "30min"), ("7", "4h"), ("14", "4h"), ("30", "4h")])
async def test_candles_are_stamped_at_their_end_and_what_pandas_makes_of_the_bars(
    start: StartReplay, market: Market, days: str, every: str
):
    answer = await (await start()).get(CANDLES, params={"vs_currency": "usd", "days": days}, headers=KEY)
    served = pd.DataFrame(await answer.json(), columns=["end", "open", "high", "low", "close"])
    now = pd.Timestamp(market.now)
    over = recorded()
    over = over[over.index + pd.Timedelta(minutes=15) <= now]
    expected = (
        over.resample(every).agg({"open": "first", "high": "max", "low": "min", "close": "last"}).dropna()
    )
    ends = expected.index + pd.Timedelta(every)
    expected = expected[ends > now - int(days) * DAY]
    starts = pd.to_datetime(served["end"], unit="ms", utc=True) - pd.Timedelta(every)
    assert list(starts) == list(expected.index)
    np.testing.assert_array_equal(served.drop(columns="end").to_numpy(), expected.to_numpy())


async def test_samples_are_recorded_closes_taken_after_the_hour(start: StartReplay):
    found = await samples(await start(), "2023-01-10T00:00:00", "2023-01-12T00:00:00")
    closes = recorded()["close"]
    assert len(found["prices"]) == 48
    for stamp, price in found["prices"]:
        assert 0 < stamp % HOUR_MS < 5 * 60_000
        end = pd.Timestamp(stamp // HOUR_MS * HOUR_MS, unit="ms", tz="UTC")
        assert price == closes[end - pd.Timedelta(minutes=15)]


async def test_samples_of_the_last_day_are_as_fine_as_the_recording(start: StartReplay):
    found = await samples(await start(), "2023-01-30T12:00:00", "2023-01-30T14:05:00")
    assert len(found["prices"]) == 9
    assert len({stamp % 60_000 for stamp, _ in found["prices"]}) > 1


async def test_samples_of_more_than_ninety_days_are_one_a_day(start: StartReplay):
    found = await samples(await start(), "2022-10-01T00:00:00", "2023-01-30T00:00:00")
    steps = np.diff([stamp for stamp, _ in found["prices"]])
    assert len(steps) > 20
    assert set(steps) == {24 * HOUR_MS}


async def test_each_sample_has_a_volume_of_24_hours_and_no_market_cap(start: StartReplay):
    found = await samples(await start(), "2023-01-10T12:00:00", "2023-01-10T13:05:00")
    stamps = [stamp for stamp, _ in found["prices"]]
    assert found["market_caps"] == [[stamp, None] for stamp in stamps]
    volumes = recorded()["volume"]
    for stamp, traded in found["total_volumes"]:
        end = pd.Timestamp(stamp // HOUR_MS * HOUR_MS, unit="ms", tz="UTC")
        within = volumes[(volumes.index >= end - DAY) & (volumes.index < end)]
        assert traded == pytest.approx(within.sum())


async def test_a_sample_does_not_exist_before_it_is_taken(start: StartReplay, pack: Recording):
    client = await start(Market(pack, utc("2023-01-10T15:00:00")))
    found = await samples(client, "2023-01-08T00:00:00", "2023-01-20T00:00:00")
    last = pd.Timestamp(found["prices"][-1][0], unit="ms", tz="UTC")
    assert pd.Timestamp("2023-01-10T14:00", tz="UTC") < last < pd.Timestamp("2023-01-10T15:00", tz="UTC")


async def test_the_same_question_has_the_same_answer(start: StartReplay):
    first, second = [
        await samples(await start(), "2023-01-10T00:00:00", "2023-01-11T00:00:00") for _ in range(2)
    ]
    assert first == second


async def test_coins_are_listed_with_their_symbols(start: StartReplay):
    client = await start()
    coins = await (await client.get(API + "coins/list", headers=KEY)).json()
    assert coins == [{"id": "bitcoin", "symbol": "btc", "name": "Bitcoin"}]
    (market,) = await (
        await client.get(API + "coins/markets", params={"vs_currency": "usd"}, headers=KEY)
    ).json()
    assert market["current_price"] == recorded()["close"].asof(pd.Timestamp("2023-01-30T20:45", tz="UTC"))


async def test_a_coin_that_is_none_is_not_found(start: StartReplay):
    answer = await (await start()).get(
        API + "coins/dogecoin/ohlc", params={"vs_currency": "usd", "days": 1}, headers=KEY
    )
    assert answer.status == 404
    assert await answer.json() == {"error": "coin not found"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"vs_currency": "eur", "days": "1"}, "invalid vs_currency"),
        ({"vs_currency": "usd", "days": "2"}, "Invalid days parameter"),
        ({"vs_currency": "usd"}, "Invalid days parameter"),
    ],
)
async def test_coingecko_does_not_guess(start: StartReplay, asked: dict[str, str], said: str):
    answer = await (await start()).get(CANDLES, params=asked, headers=KEY)
    assert (answer.status, await answer.json()) == (422, {"error": said})


async def test_a_demo_key_reaches_back_a_year(start: StartReplay, market: Market):
    now = market.now.timestamp()
    client = await start()
    statuses = {}
    for days in (364, 366):
        asked = {"vs_currency": "usd", "from": now - days * 86400, "to": now}
        answer = await client.get(SAMPLES, params=asked, headers={"x-cg-demo-api-key": "demo"})
        statuses[days] = (answer.status, await answer.json())
    assert statuses[364][0] == 200
    status, body = statuses[366]
    assert (status, body["error"]["status"]["error_code"]) == (401, 10012)
    assert "365 days" in body["error"]["status"]["error_message"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"x-cg-demo-api-key": "invalid-key"}, 10002), ({"x-cg-pro-api-key": "a-demo-key"}, 10010)],
)
async def test_a_wrong_key_is_refused(start: StartReplay, headers: dict[str, str], code: int):
    answer = await (await start()).get(CANDLES, params={"vs_currency": "usd", "days": 1}, headers=headers)
    assert answer.status == 401
    assert (await answer.json())["error"]["status"]["error_code"] == code


async def test_a_path_that_is_none_is_not_found(start: StartReplay):
    answer = await (await start()).get(API + "coins/bitcoin/nonsense", headers=KEY)
    assert answer.status == 404
    assert "Incorrect path" in (await answer.json())["error"]
