"""How each API refuses who asks too often, and what each fault does to an answer, over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest

from fin_lake.local.replay.faults import ALTERATIONS, KINDS
from fin_lake.local.replay.limits import DAY, Limits, Plans, Rule
from fin_lake.local.replay.recording import Recording
from fin_lake_tests.unit.local.replay.conftest import BROWSER, PREMIUM, StartReplay, utc

FAULTS = "/_replay/faults"


async def ask(client: Any, api: str, key: str = PREMIUM, symbol: str = "AAPL") -> tuple[int, str, Any]:
    """Ask an API for bars: status, body and headers."""
    if api == "alpha_vantage":
        path, headers = "/alpha_vantage/query", {}
        asked = {"function": "TIME_SERIES_INTRADAY", "symbol": symbol, "interval": "30min", "apikey": key}
    elif api == "yahoo":
        path, headers = f"/yahoo/v8/finance/chart/{symbol}", BROWSER
        asked = {"interval": "30m", "range": "5d"}
    else:
        header = "x-cg-pro-api-key" if key == PREMIUM else "x-cg-demo-api-key"
        path, headers = "/coingecko/api/v3/coins/bitcoin/market_chart/range", {header: key}
        first, last = (utc(f"2023-01-{day}").timestamp() for day in ("10", "11"))
        asked = {"vs_currency": "usd", "from": str(first), "to": str(last)}
    async with client.get(path, params=asked, headers=headers) as answer:
        return answer.status, await answer.text(), answer.headers


async def spoilt(client: Any, api: str, kind: str, **more: Any) -> tuple[int, str, Any]:
    """Order a fault and return the answer it hits; the next one must be right again."""
    ordered = await client.post(FAULTS, json={"source": api, "kind": kind, **more})
    assert ordered.status == 200
    found = await ask(client, api)
    status, body, _ = await ask(client, api)
    assert status == 200
    assert json.loads(body)
    assert await (await client.get(FAULTS)).json() == []
    return found


def bars_of(api: str, body: str) -> list[dict[str, Any]]:
    """Return the bars of an answer, oldest first, under the same names for all APIs."""
    names = ("open", "high", "low", "close")
    if api == "alpha_vantage":
        pairs = json.loads(body, object_pairs_hook=list)
        series = next(value for name, value in pairs if name.startswith("Time Series"))
        rows = [{"time": at, **{name[3:]: value for name, value in bar}} for at, bar in reversed(series)]
        return [
            {"time": row["time"], **{name: None if row[name] is None else float(row[name]) for name in names}}
            for row in rows
        ]
    (result,) = json.loads(body)["chart"]["result"]
    (quote,) = result["indicators"]["quote"]
    return [
        {"time": at, **{name: quote[name][i] for name in names}} for i, at in enumerate(result["timestamp"])
    ]


async def test_alpha_vantage_asks_a_free_key_to_slow_down(start: StartReplay):
    client = await start()
    first, second = [json.loads((await ask(client, "alpha_vantage", "free"))[1]) for _ in range(2)]
    assert "Meta Data" in first
    assert list(second) == ["Information"]
    assert "spreading out" in second["Information"]


async def test_alpha_vantage_repeats_the_key_whose_day_is_used_up(start: StartReplay):
    client = await start(plans=Plans(alpha_vantage_free_per_second=99))
    answers = [await ask(client, "alpha_vantage", "free-key") for _ in range(26)]
    assert {status for status, _, _ in answers} == {200}
    assert all("Meta Data" in body for _, body, _ in answers[:25])
    assert "detected your API key as free-key" in answers[25][1]
    assert "Meta Data" in (await ask(client, "alpha_vantage", "another"))[1]


async def test_alpha_vantage_can_keep_intraday_bars_to_premium_keys(start: StartReplay):
    client = await start(plans=Plans(alpha_vantage_intraday_is_premium=True))
    assert "premium endpoint" in (await ask(client, "alpha_vantage", "free"))[1]
    assert "Meta Data" in (await ask(client, "alpha_vantage"))[1]


async def test_coingecko_says_how_long_to_wait(start: StartReplay):
    client = await start()
    answers = [await ask(client, "coingecko", "demo") for _ in range(31)]
    assert [status for status, _, _ in answers] == [200] * 30 + [429]
    assert json.loads(answers[30][1])["status"]["error_code"] == 429
    assert 1 <= int(answers[30][2]["Retry-After"]) <= 60


async def test_yahoo_refuses_in_plain_text_and_says_no_time(start: StartReplay):
    client = await start(plans=Plans(yahoo_per_minute=2))
    answers = [await ask(client, "yahoo") for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert answers[2][1].strip() == "Too Many Requests"
    assert answers[2][2]["Content-Type"].startswith("text/plain")
    assert "Retry-After" not in answers[2][2]


def test_who_keeps_the_pace_is_not_refused_and_who_is_refused_is_not_counted():
    now = 0.0
    limits = Limits(clock=lambda: now)
    rules = (Rule(1, 1.0), Rule(3, DAY))
    for now in (0.0, 1.0):  # noqa: B007 - the clock reads it
        assert limits.refuse("key", *rules) is None
        hurried = limits.refuse("key", *rules)
        assert hurried is not None
        assert hurried.rule == rules[0]
    now = 2.0
    assert limits.refuse("key", *rules) is None
    now = 3.0
    used_up = limits.refuse("key", *rules)
    assert used_up is not None
    assert used_up.rule == rules[1]
    now = DAY
    assert limits.refuse("key", *rules) is None


async def test_every_request_is_counted_by_its_api(start: StartReplay, pack: Recording):
    client = await start()
    for api in ("yahoo", "yahoo", "coingecko"):
        await ask(client, api)
    status = await (await client.get("/_replay/status")).json()
    assert status["requests"] == {"alpha_vantage": 0, "yahoo": 2, "coingecko": 1}
    assert status["recording"] == pack.name


@pytest.mark.parametrize("api", ["alpha_vantage", "yahoo", "coingecko"])
async def test_a_rate_limit_is_each_apis_own(start: StartReplay, api: str):
    status, body, headers = await spoilt(await start(), api, "rate_limit", retry_after=7)
    if api == "alpha_vantage":
        assert (status, "spreading out" in body) == (200, True)
    else:
        assert (status, headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize(
    ("api", "kind", "status", "said"),
    [
        ("yahoo", "server_error", 503, "upstream"),
        ("yahoo", "html", 200, "<!DOCTYPE html>"),
        ("alpha_vantage", "premium", 200, "premium endpoint"),
        ("coingecko", "premium", 401, "PRO API"),
        ("alpha_vantage", "quota", 200, f"API key as {PREMIUM}"),
        ("alpha_vantage", "pacing", 200, "spreading out"),
    ],
)
async def test_a_refusal_stands_in_the_place_of_the_answer(
    start: StartReplay, api: str, kind: str, status: int, said: str
):
    found = await spoilt(await start(), api, kind)
    assert found[0] == status
    assert said in found[1]


@pytest.mark.parametrize("kind", ["truncated", "malformed"])
async def test_a_garbled_answer_is_no_json(start: StartReplay, kind: str):
    status, body, _ = await spoilt(await start(), "coingecko", kind)
    assert status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_a_slow_answer_is_late_and_right(start: StartReplay):
    client = await start()
    await client.post(FAULTS, json={"source": "yahoo", "kind": "slow", "seconds": 0.2})
    begun = time.monotonic()
    late = await ask(client, "yahoo")
    assert time.monotonic() - begun >= 0.2
    assert late[1] == (await ask(client, "yahoo"))[1]


async def test_a_timeout_gives_no_answer(start: StartReplay):
    client = await start()
    await client.post(FAULTS, json={"source": "yahoo", "kind": "timeout", "seconds": 5})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(client, "yahoo"), 0.2)
    assert (await ask(client, "yahoo"))[0] == 200


async def test_a_reset_breaks_the_connection_off(start: StartReplay):
    client = await start()
    # Twice, since the client of the test asks again when a kept connection breaks.
    await client.post(FAULTS, json={"source": "yahoo", "kind": "reset", "times": 0})
    with pytest.raises(aiohttp.ClientError):
        await ask(client, "yahoo")
    await client.delete(FAULTS)
    assert (await ask(client, "yahoo"))[0] == 200


@pytest.mark.parametrize("api", ["alpha_vantage", "yahoo"])
@pytest.mark.parametrize("kind", ALTERATIONS)
async def test_a_bad_bar_is_the_only_one_that_differs(start: StartReplay, api: str, kind: str):
    client = await start()
    right = bars_of(api, (await ask(client, api))[1])
    wrong = bars_of(api, (await spoilt(client, api, kind))[1])
    changed = [bar for bar in wrong if bar not in right]
    kept = [bar for bar in wrong if bar in right]
    if kind == "duplicate_bar":
        assert wrong.count(right[0]) == 2
        assert len(wrong) == len(right) + 1
        return
    assert [bar for bar in right if bar not in wrong] == right[:1]
    assert kept == right[1:]
    (bar,) = changed
    holds = {
        "null_bar": lambda: bar["open"] is bar["close"] is None,
        "nan": lambda: bar["close"] != bar["close"],
        "negative_price": lambda: bar["close"] < 0,
        "zero_price": lambda: bar["close"] == 0,
        "high_below_low": lambda: bar["high"] < bar["low"],
        "bar_outside_hour": lambda: bar["time"] < right[0]["time"],
        "unaligned_bar": lambda: bar["time"] != right[0]["time"],
    }
    assert holds[kind]()


@pytest.mark.parametrize("kind", ["null_bar", "negative_price", "unaligned_bar", "duplicate_bar"])
async def test_a_sample_can_be_bad_too(start: StartReplay, kind: str):
    client = await start()
    right = json.loads((await ask(client, "coingecko"))[1])["prices"]
    wrong = json.loads((await spoilt(client, "coingecko", kind))[1])["prices"]
    assert wrong != right
    assert wrong[2:] == right[1 if kind == "duplicate_bar" else 2 :]


async def test_a_fault_waits_for_its_symbol_and_its_number_of_answers(start: StartReplay):
    client = await start()
    await client.post(FAULTS, json={"source": "yahoo", "kind": "server_error", "symbol": "MSFT", "times": 2})
    statuses = [(await ask(client, "yahoo", symbol=symbol))[0] for symbol in ("AAPL", "MSFT", "MSFT", "MSFT")]
    assert statuses == [200, 503, 503, 200]


async def test_the_bar_to_spoil_can_be_chosen(start: StartReplay):
    client = await start()
    right = bars_of("yahoo", (await ask(client, "yahoo"))[1])
    _, body, _ = await spoilt(client, "yahoo", "negative_price", at="2023-01-27T15:00")
    (spoiled,) = [bar for bar in bars_of("yahoo", body) if bar not in right]
    assert (spoiled["time"], spoiled["close"] < 0) == (utc("2023-01-27T15:00").timestamp(), True)


async def test_an_answer_without_a_bar_to_spoil_does_not_use_a_fault_up(start: StartReplay):
    client = await start()
    later = {"source": "yahoo", "kind": "nan", "at": "2023-02-01T00:00"}
    await client.post(FAULTS, json=later)
    await ask(client, "yahoo")
    (waiting,) = await (await client.get(FAULTS)).json()
    assert waiting["times"] == 1


async def test_a_fault_without_a_number_lasts_until_it_is_cleared(start: StartReplay):
    client = await start()
    await client.post(FAULTS, json={"source": "coingecko", "kind": "server_error", "times": 0})
    assert {(await ask(client, "coingecko"))[0] for _ in range(3)} == {503}
    assert await (await client.delete(FAULTS)).json() == []
    assert (await ask(client, "coingecko"))[0] == 200


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"source": "yahoo", "kind": "nonsense"}, KINDS[0]),
        ({"source": "bloomberg", "kind": "html"}, "coingecko"),
        ({"source": "yahoo", "kind": "quota"}, "alpha_vantage"),
        ({"source": "yahoo", "kind": "html", "times": -1}, "times"),
        ({"source": "yahoo", "kind": "html", "at": "noon"}, "2023-01-03T15:00"),
        ({"source": "yahoo", "kind": "html", "sometimes": 1}, "sometimes"),
        ({"kind": "html"}, "source"),
        ([], "object"),
    ],
)
async def test_a_fault_that_is_none_is_refused_with_what_there_is(start: StartReplay, fault: Any, said: str):
    client = await start()
    answer = await client.post(FAULTS, json=fault)
    assert answer.status == 400
    assert said in (await answer.json())["error"]
    assert await (await client.get(FAULTS)).json() == []
