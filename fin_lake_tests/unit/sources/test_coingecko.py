"""CoinGecko: which hours are asked of which call, and how candles and samples are read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fin_lake.partitions import HOUR, HourRange, parse_hour
from fin_lake.sources.coingecko import CoinGecko, chunks, parse_candles, parse_samples, split_by_reach
from fin_lake.sources.failures import (
    NoData,
    NotFound,
    OutOfReach,
    Pacing,
    PremiumRequired,
    SchemaMismatch,
    SourceFailure,
    Unauthorized,
    Unavailable,
)
from fin_lake.sources.redaction import Redactor
from fin_lake.tables import RAW
from fin_lake_tests.unit.sources.answers import answer, milliseconds, question, utc

MINUTE_MS = 60_000


def test_a_candle_is_stamped_at_its_end():
    body = [[milliseconds("2023-01-30T14:30"), 23000.5, 23100, 22900.25, 23050]]

    frame = parse_candles(answer(body), question("2023-01-30T14", symbol="BTC-USD"))

    assert frame.schema == RAW["crypto"].polars_schema()
    row = frame.row(0, named=True)
    assert (row["timestamp"], row["interval"], row["sampled"]) == (utc("2023-01-30T14:00"), "30min", False)
    assert (row["open_price"], row["high_price"], row["low_price"], row["close_price"]) == (
        23000.5,
        23100,
        22900.25,
        23050,
    )
    assert (row["volume"], row["volume_24h"]) == (None, None)
    assert row["payload"] == '{"ohlc":[1675089000000, 23000.5, 23100, 22900.25, 23050]}'


def test_the_candle_that_ends_at_the_start_of_the_window_lies_before_it():
    body = [[milliseconds(f"2023-01-30T{stamp}"), 1, 2, 0.5, 1] for stamp in ("14:00", "14:30", "15:00")]

    frame = parse_candles(answer(body), question("2023-01-30T14", 1))

    assert frame["timestamp"].to_list() == [utc("2023-01-30T14:00"), utc("2023-01-30T14:30")]


def test_a_candle_still_open_is_unfinished():
    body = [
        [milliseconds("2023-01-30T14:30"), 1, 2, 0.5, 1],
        [milliseconds("2023-01-30T15:00"), 1, 2, 0.5, 1],
    ]

    frame = parse_candles(answer(body), question("2023-01-30T14", clock="2023-01-30T14:59"))

    assert frame["finished"].to_list() == [True, False]


def test_candles_of_another_length_are_refused():
    body = [[milliseconds(f"2023-01-30T{hour:02}:00"), 1, 2, 0.5, 1] for hour in (4, 8, 12)]

    with pytest.raises(SchemaMismatch, match="14400000 ms apart"):
        parse_candles(answer(body), question("2023-01-30"))


def test_a_null_candle_is_a_row_without_prices():
    body = [[milliseconds("2023-01-30T14:30"), None, None, None, None]]

    assert parse_candles(answer(body), question("2023-01-30T14"))["open_price"].to_list() == [None]


def test_a_sample_is_a_bar_of_its_hour_with_the_exact_time_in_the_payload():
    stamp = milliseconds("2023-01-03T14:03") + 17_456
    body = (
        f'{{"prices":[[{stamp},16675.123456789012345]],"market_caps":[[{stamp},3.2e11]],'
        f'"total_volumes":[[{stamp},1.50]]}}'
    )

    frame = parse_samples(answer(body), question(symbol="BTC-USD"))

    row = frame.row(0, named=True)
    assert (row["timestamp"], row["interval"], row["sampled"]) == (utc("2023-01-03T14:00"), "1h", True)
    prices = {row[f"{name}_price"] for name in ("open", "high", "low", "close")}
    assert prices == {16675.123456789012345}
    assert (row["volume"], row["volume_24h"], row["finished"]) == (None, 1.5, True)
    assert row["payload"] == body.replace("[[", "[").replace("]]", "]")


def test_samples_of_one_hour_follow_each_other_as_they_were_taken():
    start = milliseconds("2023-01-03T14:00")
    prices = [[start + 59 * MINUTE_MS, 3.0], [start + 1 * MINUTE_MS, 1.0], [start + 30 * MINUTE_MS, 2.0]]

    frame = parse_samples(answer({"prices": prices}), question())

    assert frame["close_price"].to_list() == [1.0, 2.0, 3.0]
    assert frame["timestamp"].n_unique() == 1


def test_volume_belongs_to_the_sample_of_the_same_stamp():
    start = milliseconds("2023-01-03T14:00")
    body = {
        "prices": [[start, 1.0], [start + 60 * MINUTE_MS, 2.0]],
        "market_caps": [],
        "total_volumes": [[start + 60 * MINUTE_MS, 99.0]],
    }

    frame = parse_samples(answer(body), question())

    assert frame["volume_24h"].to_list() == [None, 99.0]
    assert [sorted(json.loads(text)) for text in frame["payload"]] == [
        ["prices"],
        ["prices", "total_volumes"],
    ]


def test_the_sample_of_the_hour_now_is_unfinished():
    body = {"prices": [[milliseconds("2023-01-03T14:03"), 1.0]]}

    assert parse_samples(answer(body), question(clock="2023-01-03T14:59"))["finished"].to_list() == [False]


def test_a_null_sample_is_a_row_without_prices():
    body = {"prices": [[milliseconds("2023-01-03T14:03"), None]]}

    assert parse_samples(answer(body), question())["close_price"].to_list() == [None]


@pytest.mark.parametrize("parse", [parse_candles, parse_samples])
@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"status": {"error_code": 429, "error_message": "You've exceeded the Rate Limit"}}, 200, Pacing),
        ({"error_code": 429, "error": "Throttled"}, 200, Pacing),
        ({"error": {"status": {"error_code": 10002, "error_message": "API Key Missing"}}}, 401, Unauthorized),
        ({"status": {"error_code": 10002, "error_message": "API Key Missing"}}, 401, Unauthorized),
        (
            {"error": {"status": {"error_code": 10005, "error_message": "PRO API subscribers"}}},
            401,
            PremiumRequired,
        ),
        ({"error": {"status": {"error_code": 10010, "error_message": "Invalid API Key"}}}, 400, Unauthorized),
        ({"error": {"status": {"error_code": 10011, "error_message": "Invalid API Key"}}}, 400, Unauthorized),
        ({"error": {"status": {"error_code": 10012, "error_message": "past 365 days"}}}, 401, OutOfReach),
        ({"error": {"status": {"error_code": 77777, "error_message": "New"}}}, 401, Unauthorized),
        ({"error": "coin not found"}, 404, NotFound),
        ({"error": "Invalid vs_currency"}, 422, SchemaMismatch),
        ({"status": 500, "error": "Internal Server Error"}, 200, Unavailable),
        ("error code: 1020", 403, Unauthorized),
        ("<html>", 200, SchemaMismatch),
        ("", 200, SchemaMismatch),
        ('{"prices":[[16', 200, SchemaMismatch),
        ("[[16", 200, SchemaMismatch),
        ({"prices": [["1", 2]]}, 200, SchemaMismatch),
        ([[1, 2, 3]], 200, SchemaMismatch),
        ([["x", 1, 1, 1, 1]], 200, SchemaMismatch),
        ([[1, 2, 3, 4, 5, 6]], 200, SchemaMismatch),
        ({"surprise": 1}, 200, SchemaMismatch),
    ],
)
def test_an_answer_without_bars_says_why(parse, body: object, status: int, reason: type[SourceFailure]):
    with pytest.raises(SourceFailure) as caught:
        parse(answer(body, status), question())

    assert type(caught.value) is reason


def test_an_empty_answer_is_no_data():
    with pytest.raises(NoData):
        parse_candles(answer([]), question())
    with pytest.raises(NoData):
        parse_samples(answer({"prices": [], "market_caps": [], "total_volumes": []}), question())


def test_a_window_across_the_border_uses_both_calls_and_no_hour_twice(make_settings):
    settings = make_settings(now="2023-01-31T00:20:00Z")
    source = CoinGecko(settings, settings.clock, Redactor(()))

    requests = source.requests("BTC-USD", HourRange(parse_hour("2023-01-29T22"), parse_hour("2023-01-31T00")))

    assert [(r.path, r.question.hours.first_key, r.question.hours.last_key) for r in requests] == [
        ("/coins/bitcoin/market_chart/range", "2023-01-29-22:00", "2023-01-30-00:00"),
        ("/coins/bitcoin/ohlc", "2023-01-30-01:00", "2023-01-30-23:00"),
    ]
    assert dict(requests[0].params) == {"vs_currency": "usd", "from": "1675029600", "to": "1675040400"}
    assert dict(requests[1].params) == {"vs_currency": "usd", "days": "1"}


def test_the_symbol_names_the_currency(make_settings):
    settings = make_settings(now="2023-01-31T00:20:00Z", crypto_coins={"bitcoin": "BTC-EUR"})
    source = CoinGecko(settings, settings.clock, Redactor(()))

    requests = source.requests("BTC-EUR", HourRange(parse_hour("2023-01-29T22"), parse_hour("2023-01-31T00")))

    assert {request.params["vs_currency"] for request in requests} == {"eur"}


moments = st.datetimes(
    min_value=utc("2023-01-01").replace(tzinfo=None), max_value=utc("2023-06-01").replace(tzinfo=None)
)


@given(moments, st.integers(-72, 72), st.integers(1, 72))
def test_every_hour_is_asked_of_one_call_and_of_candles_only_if_they_cover_it(clock, offset, count):
    clock = clock.replace(tzinfo=utc("2023-01-01").tzinfo)
    start = clock.replace(minute=0, second=0, microsecond=0) + offset * HOUR
    hours = HourRange(start, start + count * HOUR)

    older, recent = split_by_reach(hours, clock)

    assert [*(older or ()), *(recent or ())] == list(hours)
    assert all(hour >= clock - 24 * HOUR for hour in recent or ())
    assert all(hour < clock - 24 * HOUR for hour in older or ())


@given(st.integers(1, 10_000))
def test_no_request_for_samples_is_longer_than_ninety_days(count):
    hours = HourRange(parse_hour("2023-01-01"), parse_hour("2023-01-01") + count * HOUR)

    parts = list(chunks(hours))

    assert [hour for part in parts for hour in part] == list(hours)
    assert max(map(len, parts)) <= 90 * 24


@pytest.mark.parametrize(
    ("plan", "url", "header"),
    [
        ("demo", "https://api.coingecko.com/api/v3", "x-cg-demo-api-key"),
        ("pro", "https://pro-api.coingecko.com/api/v3", "x-cg-pro-api-key"),
    ],
)
def test_the_plan_decides_address_and_header(plan, url, header, make_settings):
    settings = make_settings(coingecko_plan=plan, coingecko_api_key="CG-1234", coingecko_base_url="")
    source = CoinGecko(settings, settings.clock, Redactor(()))

    [request] = source.requests("BTC-USD", question().hours)

    assert source.limits.base_url == url
    assert dict(request.headers) == {header: "CG-1234"}
    assert "CG-1234" not in repr(request)


@pytest.mark.parametrize("coin", ["Bitcoin", "../ping", "a b", "-x", ""])
def test_what_is_no_coin_is_not_asked_for(coin: str, make_settings):
    settings = make_settings(crypto_coins={coin: "X-USD"})

    with pytest.raises(NotFound, match="FIN_LAKE_CRYPTO_COINS"):
        CoinGecko(settings, settings.clock, Redactor(())).requests("X-USD", question().hours)
