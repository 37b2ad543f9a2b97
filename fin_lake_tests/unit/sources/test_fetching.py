"""Fetching from every source at once: what comes back, what is asked, and what a failure costs."""

from __future__ import annotations

import json
import threading
import time
import traceback
from typing import Any

import pytest
from aiohttp import web
from psycopg import OperationalError
from pyrate_limiter import Duration, InMemoryBucket, Rate

from fin_lake.partitions import HourRange, parse_hour
from fin_lake.sources import alpha_vantage, fetching
from fin_lake.sources.failures import (
    NoData,
    NotAsked,
    NotFound,
    PremiumRequired,
    QuotaExhausted,
    SchemaMismatch,
    Unauthorized,
    Unavailable,
)
from fin_lake.sources.fetching import fetch_crypto, fetch_stocks
from fin_lake.tables import RAW
from fin_lake_tests.unit.sources.answers import (
    av_bar,
    av_series,
    chart,
    chart_error,
    milliseconds,
    utc,
)
from fin_lake_tests.unit.sources.conftest import KEY, Api

WINDOW = HourRange(parse_hour("2023-01-03T14"), parse_hour("2023-01-03T22"))
AV_BODY = av_series({"2023-01-03 10:00:00": av_bar(), "2023-01-03 09:30:00": av_bar()})
YAHOO_BODY = chart(["2023-01-03T14:30", "2023-01-03T15:00"])


def by_path(**bodies: Any):
    """Answer each API, and where a dictionary says so each symbol, with a body of its own."""

    def reply(request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.path
        if path == "/query":
            name, symbol = "av", request.query["symbol"]
        elif path.startswith("/v8/"):
            name, symbol = "yahoo", path.rpartition("/")[2]
        else:
            name, symbol = ("ohlc" if path.endswith("ohlc") else "range"), path.split("/")[2]
        body = bodies[name]
        if callable(body):
            body = body(symbol)
        if isinstance(body, web.StreamResponse):
            return body
        return web.Response(text=body if isinstance(body, str) else json.dumps(body))

    return reply


def kinds(fetched: fetching.Fetched) -> list[tuple[str, str, type]]:
    return sorted(((failure.source, failure.symbol, type(failure)) for failure in fetched.failures), key=str)


def test_both_sources_are_asked_for_every_symbol(api: Api, make_settings):
    api.reply = by_path(av=AV_BODY, yahoo=YAHOO_BODY)
    lines: list[str] = []

    fetched = fetch_stocks(make_settings(stock_symbols=("MSFT", "AAPL")), WINDOW, lines.append)

    assert fetched.records.schema == RAW["stocks"].polars_schema()
    assert fetched.records.select("symbol", "source", "timestamp").rows() == [
        (symbol, source, utc(f"2023-01-03T{start}"))
        for symbol in ("AAPL", "MSFT")
        for source in ("alpha_vantage", "yahoo")
        for start in ("14:30", "15:00")
    ]
    assert (fetched.failures, fetched.unserved) == ((), ())
    assert fetched.requests == {"alpha_vantage": 2, "yahoo": 2}
    assert sorted(line.split(":")[0] for line in lines) == [
        "alpha_vantage AAPL 2023-01",
        "alpha_vantage MSFT 2023-01",
        "yahoo AAPL 2023-01-03-14",
        "yahoo MSFT 2023-01-03-14",
    ]


def test_a_month_of_hours_is_one_request_per_symbol_and_source(api: Api, make_settings):
    api.reply = by_path(av=AV_BODY, yahoo=YAHOO_BODY)
    month = HourRange(parse_hour("2023-01-02"), parse_hour("2023-01-31"))

    fetched = fetch_stocks(make_settings(stock_symbols=("AAPL", "MSFT")), month, lambda _line: None)

    assert fetched.requests == {"alpha_vantage": 2, "yahoo": 2}
    assert len(api.sent) == 4


def test_yahoo_is_asked_as_a_browser(api: Api, make_settings):
    api.reply = by_path(av=AV_BODY, yahoo=YAHOO_BODY)

    fetch_stocks(make_settings(stock_symbols=("^GSPC",)), WINDOW, lambda _line: None)

    [yahoo] = [sent for sent in api.sent if sent.path.startswith("/v8/")]
    assert yahoo.headers["User-Agent"].startswith("Mozilla/5.0")
    assert yahoo.path == "/v8/finance/chart/%5EGSPC"
    assert yahoo.query["events"] == "div|split"


def test_one_bad_symbol_costs_only_itself(api: Api, make_settings):
    api.reply = by_path(
        av=lambda symbol: {"Error Message": "Invalid API call."} if symbol == "NOPE" else AV_BODY,
        yahoo=lambda symbol: (
            web.json_response(chart_error("Not Found", "No data found"), status=404)
            if symbol == "NOPE"
            else YAHOO_BODY
        ),
    )
    settings = make_settings(stock_symbols=("AAPL", "NOPE", "no symbol"))

    fetched = fetch_stocks(settings, WINDOW, lambda _line: None)

    assert fetched.records["symbol"].unique().to_list() == ["AAPL"]
    assert fetched.records.height == 4
    assert fetched.unserved == ("NOPE", "no symbol")
    assert kinds(fetched) == [
        ("alpha_vantage", "NOPE", NotFound),
        ("alpha_vantage", "no symbol", NotFound),
        ("yahoo", "NOPE", NotFound),
        ("yahoo", "no symbol", NotFound),
    ]


def test_a_source_without_a_key_leaves_the_symbols_to_the_other(api: Api, make_settings):
    api.reply = by_path(yahoo=YAHOO_BODY)
    lines: list[str] = []
    settings = make_settings(stock_symbols=("AAPL", "MSFT"), alpha_vantage_api_key=None)

    fetched = fetch_stocks(settings, WINDOW, lines.append)

    assert fetched.unserved == ()
    assert fetched.requests == {"alpha_vantage": 0, "yahoo": 2}
    assert [type(failure) for failure in fetched.failures] == [Unauthorized, Unauthorized]
    assert len([line for line in lines if "no API key is set" in line]) == 1


def test_a_source_that_is_down_leaves_the_symbols_to_the_other(api: Api, make_settings):
    api.reply = by_path(yahoo=YAHOO_BODY)
    settings = make_settings(alpha_vantage_base_url="http://127.0.0.1:1")

    fetched = fetch_stocks(settings, WINDOW, lambda _line: None)

    assert kinds(fetched) == [("alpha_vantage", "AAPL", Unavailable)]
    assert (fetched.records["source"].unique().to_list(), fetched.unserved) == (["yahoo"], ())


def test_nothing_traded_is_an_answer_and_silence_is_none(api: Api, make_settings):
    api.reply = by_path(
        av={"Information": "This is a premium endpoint."},
        yahoo=lambda symbol: chart([]) if symbol == "AAPL" else "<html>",
    )

    fetched = fetch_stocks(make_settings(stock_symbols=("AAPL", "MSFT")), WINDOW, lambda _line: None)

    assert fetched.records.schema == RAW["stocks"].polars_schema()
    assert fetched.records.is_empty()
    assert fetched.unserved == ("MSFT",)
    assert kinds(fetched) == [
        ("alpha_vantage", "AAPL", PremiumRequired),
        ("alpha_vantage", "MSFT", PremiumRequired),
        ("yahoo", "AAPL", NoData),
        ("yahoo", "MSFT", SchemaMismatch),
    ]


def test_half_an_answer_does_not_serve_a_symbol_but_is_kept(api: Api, make_settings):
    window = HourRange(parse_hour("2023-01-31T20"), parse_hour("2023-02-01T16"))
    february = av_series({"2023-02-01 10:00:00": av_bar()})

    def reply(request: web.BaseRequest) -> web.StreamResponse:
        if request.query.get("month") == "2023-02":
            return web.json_response(february)
        return web.Response(text="<html>")

    api.reply = reply

    fetched = fetch_stocks(make_settings(now="2023-02-02T00:00:00Z"), window, lambda _line: None)

    assert fetched.records.height == 1
    assert fetched.unserved == ("AAPL",)


def test_a_used_up_quota_stops_before_sending(api: Api, make_settings):
    api.reply = by_path(av=AV_BODY, yahoo=YAHOO_BODY)
    settings = make_settings(stock_symbols=("A", "B", "C", "D"), alpha_vantage_per_day=2)
    bucket = InMemoryBucket([Rate(2, Duration.DAY)])

    fetched = fetch_stocks(settings, WINDOW, lambda _line: None, open_bucket=lambda *_about: bucket)

    assert fetched.requests == {"alpha_vantage": 2, "yahoo": 4}
    assert [type(failure) for failure in fetched.failures] == [QuotaExhausted, QuotaExhausted]
    assert "one is free at" in str(fetched.failures[-1])
    assert len([sent for sent in api.sent if sent.path.startswith("/query")]) == 2


def test_a_quota_store_that_is_down_costs_only_its_source(api: Api, make_settings):
    api.reply = by_path(av=AV_BODY, yahoo=YAHOO_BODY)

    def down(*_about: object) -> InMemoryBucket:
        raise OperationalError("connection refused")

    fetched = fetch_stocks(
        make_settings(alpha_vantage_per_day=25), WINDOW, lambda _line: None, open_bucket=down
    )

    assert kinds(fetched) == [("alpha_vantage", "AAPL", NotAsked)]
    assert (fetched.requests["alpha_vantage"], fetched.unserved) == (0, ())


def test_without_a_quota_no_store_is_opened(api: Api, make_settings):
    api.reply = by_path(av=AV_BODY, yahoo=YAHOO_BODY)

    fetch_stocks(
        make_settings(), WINDOW, lambda _line: None, open_bucket=lambda *_about: pytest.fail("opened")
    )


def test_a_source_that_never_answers_does_not_hold_up_many_symbols(api: Api, make_settings):
    api.reply = by_path(av=lambda _symbol: web.Response(status=503), yahoo=YAHOO_BODY)
    symbols = tuple(f"S{number}" for number in range(80))
    settings = make_settings(stock_symbols=symbols)

    started = time.monotonic()
    fetched = fetch_stocks(settings, WINDOW, lambda _line: None)

    assert time.monotonic() - started < 5
    assert len(fetched.failures) == 80
    assert all(isinstance(failure, Unavailable) for failure in fetched.failures)
    assert fetched.requests["alpha_vantage"] < 40
    assert fetched.unserved == ()


def test_crypto_uses_candles_for_recent_hours_and_samples_for_older_ones(api: Api, make_settings):
    window = HourRange(parse_hour("2023-01-29T22"), parse_hour("2023-01-31T00"))
    sample = milliseconds("2023-01-29T22:04")
    api.reply = by_path(
        ohlc=[[milliseconds("2023-01-30T14:30"), 1, 2, 0.5, 1.5]],
        range={"prices": [[sample, 9.0]], "market_caps": [], "total_volumes": [[sample, 7.0]]},
    )
    settings = make_settings(crypto_coins={"bitcoin": "BTC-USD"}, coingecko_api_key="CG-1")

    fetched = fetch_crypto(settings, window, lambda _line: None)

    assert fetched.records.select("symbol", "timestamp", "interval", "sampled", "volume_24h").rows() == [
        ("BTC-USD", utc("2023-01-29T22:00"), "1h", True, 7.0),
        ("BTC-USD", utc("2023-01-30T14:00"), "30min", False, None),
    ]
    assert fetched.requests == {"coingecko": 2}
    assert {sent.headers["x-cg-demo-api-key"] for sent in api.sent} == {"CG-1"}


def test_it_runs_in_a_thread_that_has_no_loop(api: Api, make_settings):
    api.reply = by_path(av=AV_BODY, yahoo=YAHOO_BODY)
    settings, results = make_settings(), []

    thread = threading.Thread(
        target=lambda: results.append(fetch_stocks(settings, WINDOW, lambda _line: None))
    )
    thread.start()
    thread.join()

    assert results[0].records.height == 4


def test_a_fault_in_a_parser_is_raised_and_shows_no_key(
    api: Api, make_settings, monkeypatch: pytest.MonkeyPatch
):
    api.reply = by_path(av=AV_BODY, yahoo=YAHOO_BODY)

    def stumble(*_about: object) -> None:
        raise KeyError(KEY)

    monkeypatch.setattr(alpha_vantage, "parse_intraday", stumble)

    with pytest.raises(Exception, match=r"KeyError: '\*\*\*'") as caught:
        fetch_stocks(make_settings(), WINDOW, lambda _line: None)

    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_an_echoed_key_reaches_neither_failures_nor_log(api: Api, make_settings):
    echo = f"We have detected your API key as {KEY} and our standard API rate limit is 25 requests per day."
    api.reply = by_path(av={"Information": echo}, yahoo=f"<html>{KEY}</html>")
    lines: list[str] = []

    fetched = fetch_stocks(make_settings(), WINDOW, lines.append)

    shown = "\n".join([*lines, *map(str, fetched.failures), repr(fetched)])
    assert "API key as ***" in shown
    assert KEY not in shown
