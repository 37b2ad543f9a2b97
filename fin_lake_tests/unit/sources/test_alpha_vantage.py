"""Alpha Vantage: what is asked, how bars are read, and what its messages mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fin_lake.partitions import HourRange, parse_hour
from fin_lake.sources.alpha_vantage import AlphaVantage, months, parse_intraday
from fin_lake.sources.failures import (
    NoData,
    NotFound,
    Pacing,
    PremiumRequired,
    QuotaExhausted,
    SchemaMismatch,
    SourceFailure,
    Unauthorized,
)
from fin_lake.sources.redaction import Redactor
from fin_lake.tables import RAW
from fin_lake_tests.unit.sources.answers import ARRIVED, answer, av_bar, av_series, question, utc

SPREAD_OUT = (
    "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly "
    "(1 request per second). You may subscribe to any of the premium plans to lift the free key rate limit "
    "(25 requests per day), raise the per-second burst limit, and instantly unlock all premium endpoints"
)
DAY_IS_OVER = (
    "We have detected your API key as ABCDEF and our standard API rate limit is 25 requests per day. Please "
    "subscribe to any of the premium plans to instantly remove all daily rate limits."
)
PREMIUM = (
    "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the plans"
)
OLD_NOTE = "Our standard API call frequency is 5 calls per minute and 500 calls per day. Please visit …"
BAD_KEY = "the parameter apikey is invalid or missing. Please claim your free API key."
BAD_CALL = "Invalid API call. Please retry or visit the documentation for TIME_SERIES_INTRADAY."
DEMO = "The **demo** API key is for demo purposes only. Please claim your free API key."


def test_bar_becomes_a_raw_record_with_its_own_text():
    body = av_series({"2023-01-03 09:30:00": av_bar("130.2800", "4242")})

    frame = parse_intraday(answer(body), question(), "30min")

    assert frame.schema == RAW["stocks"].polars_schema()
    assert frame.row(0, named=True) == {
        "kind": "bar",
        "symbol": "AAPL",
        "timestamp": utc("2023-01-03T14:30"),
        "interval": "30min",
        "open_price": 130.28,
        "high_price": 130.28,
        "low_price": 130.28,
        "close_price": 130.28,
        "volume": 4242.0,
        "volume_24h": None,
        "source": "a_source",
        "fetched_at": ARRIVED,
        "finished": True,
        "sampled": False,
        "split_factor": 1.0,
        "payload": json.dumps({"2023-01-03 09:30:00": av_bar("130.2800", "4242")}),
        "schema_version": 1,
    }


def test_fragment_is_kept_verbatim_with_its_whitespace():
    text = json.dumps(av_series({"2023-01-03 09:30:00": av_bar()}), indent=4)

    payload = parse_intraday(answer(text), question(), "30min")["payload"][0]

    assert payload.removeprefix('{"2023-01-03 09:30:00": ').removesuffix("}") in text


def test_bars_come_sorted_and_those_outside_the_window_do_not_come():
    stamps = ["2023-01-03 17:00:00", "2023-01-03 10:00:00", "2023-01-03 09:30:00", "2023-01-03 08:30:00"]

    frame = parse_intraday(answer(av_series({stamp: av_bar() for stamp in stamps})), question(), "30min")

    assert frame["timestamp"].to_list() == [utc("2023-01-03T14:30"), utc("2023-01-03T15:00")]


def test_the_open_moves_by_an_hour_in_utc_when_clocks_change():
    body = av_series({"2023-03-13 09:30:00": av_bar(), "2023-03-10 09:30:00": av_bar()})

    frame = parse_intraday(answer(body), question("2023-03-10", 96, clock="2023-03-31"), "30min")

    assert frame["timestamp"].to_list() == [utc("2023-03-10T14:30"), utc("2023-03-13T13:30")]


def test_a_time_that_occurs_twice_is_the_earlier():
    body = av_series({"2023-11-05 01:30:00": av_bar()})

    frame = parse_intraday(answer(body), question("2023-11-05", 24, clock="2023-11-30"), "30min")

    assert frame["timestamp"].to_list() == [utc("2023-11-05T05:30")]


@pytest.mark.parametrize("stamp", ["2023-03-12 02:30:00", "yesterday", "2023-01-03"])
def test_a_time_that_does_not_exist_is_named(stamp: str):
    with pytest.raises(SchemaMismatch, match=stamp):
        parse_intraday(answer(av_series({stamp: av_bar()})), question(), "30min")


def test_an_unknown_zone_is_named():
    body = av_series({"2023-01-03 09:30:00": av_bar()}, zone="Mars/Olympus")

    with pytest.raises(SchemaMismatch, match="Mars/Olympus"):
        parse_intraday(answer(body), question(), "30min")


@pytest.mark.parametrize("text", ["NaN", "abc", "", "Infinity", "1e999", "-"])
def test_text_that_is_no_number_is_null_and_stays_in_the_payload(text: str):
    body = av_series({"2023-01-03 09:30:00": av_bar(text), "2023-01-03 10:00:00": av_bar("1.5")})

    frame = parse_intraday(answer(body), question(), "30min")

    assert frame["open_price"].to_list() == [None, 1.5]
    assert json.loads(frame["payload"][0])["2023-01-03 09:30:00"]["1. open"] == text


def test_a_repeated_time_gives_a_row_each():
    one, two = json.dumps(av_bar("1.0")), json.dumps(av_bar("2.0"))
    body = json.dumps(av_series({})).replace(
        "{}", f'{{"2023-01-03 09:30:00": {one}, "2023-01-03 09:30:00": {two}}}'
    )

    frame = parse_intraday(answer(body), question(), "30min")

    assert frame["open_price"].to_list() == [1.0, 2.0]
    assert frame["timestamp"].n_unique() == 1


def test_one_bar_without_a_field_is_null_there_but_all_bars_without_it_are_another_format():
    incomplete = {name: value for name, value in av_bar().items() if name != "5. volume"}
    some = av_series({"2023-01-03 09:30:00": incomplete, "2023-01-03 10:00:00": av_bar()})
    all_of_them = av_series({"2023-01-03 09:30:00": incomplete})

    assert parse_intraday(answer(some), question(), "30min")["volume"].to_list() == [None, 1000.0]
    with pytest.raises(SchemaMismatch, match=r"5\. volume"):
        parse_intraday(answer(all_of_them), question(), "30min")


def test_a_bar_that_ends_after_the_clock_is_unfinished():
    body = av_series({"2023-01-03 09:30:00": av_bar(), "2023-01-03 10:00:00": av_bar()})

    frame = parse_intraday(answer(body), question(clock="2023-01-03T15:29"), "30min")

    assert frame["finished"].to_list() == [True, False]


def test_sixty_minutes_are_an_hour():
    body = av_series({"2023-01-03 10:00:00": av_bar()}, interval="60min")

    assert parse_intraday(answer(body), question(), "60min")["interval"].to_list() == ["1h"]


def test_bars_of_another_length_are_refused():
    body = av_series({"2023-01-03 10:00:00": av_bar()}, interval="5min")

    with pytest.raises(SchemaMismatch, match="asked for 30min bars"):
        parse_intraday(answer(body), question(), "30min")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"Information": SPREAD_OUT}, Pacing),
        ({"Information": DAY_IS_OVER}, QuotaExhausted),
        ({"Information": PREMIUM}, PremiumRequired),
        ({"Information": DEMO}, Unauthorized),
        ({"Note": OLD_NOTE}, Pacing),
        ({"Error Message": BAD_KEY}, Unauthorized),
        ({"Error Message": BAD_CALL}, NotFound),
        ({"Information": "Something new"}, SchemaMismatch),
        ({"surprise": 1}, SchemaMismatch),
        ({}, NoData),
        (av_series({}), NoData),
        ({"Meta Data": {}}, NoData),
        ("", SchemaMismatch),
        ("<!DOCTYPE html><h1>Maintenance</h1>", SchemaMismatch),
        (json.dumps(av_series({"2023-01-03 09:30:00": av_bar()}))[:-20], SchemaMismatch),
        (b'{"Information": "\xff"}', SchemaMismatch),
        ([1, 2], SchemaMismatch),
        ({"Time Series (30min)": [1]}, SchemaMismatch),
        ({"Time Series (30min)": {"2023-01-03 09:30:00": {"1. open": {}}}}, SchemaMismatch),
        ({"Information": ["a", "list"]}, SchemaMismatch),
    ],
)
def test_an_answer_without_bars_says_why(body: object, reason: type[SourceFailure]):
    with pytest.raises(SourceFailure) as caught:
        parse_intraday(answer(body), question(), "30min")

    assert type(caught.value) is reason


def test_html_is_called_html_and_shown():
    with pytest.raises(SchemaMismatch, match=r"HTML.*Maintenance"):
        parse_intraday(answer("<h1>Maintenance</h1>"), question(), "30min")


def test_no_exception_that_quotes_the_answer_hangs_on_to_a_failure():
    with pytest.raises(SchemaMismatch) as caught:
        parse_intraday(answer("<h1>"), question(), "30min")

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_an_unknown_status_is_shown():
    with pytest.raises(SchemaMismatch, match="418"):
        parse_intraday(answer("teapot", 418, "text/plain"), question(), "30min")


def test_one_request_per_month_however_many_hours(make_settings):
    settings = make_settings(stock_interval="60min")
    source = AlphaVantage(settings, settings.clock, Redactor(()))

    requests = source.requests("AAPL", HourRange(parse_hour("2023-01-02"), parse_hour("2023-01-31")))

    assert [dict(request.params) for request in requests] == [
        {
            "function": "TIME_SERIES_INTRADAY",
            "symbol": "AAPL",
            "interval": "60min",
            "adjusted": "false",
            "extended_hours": "false",
            "month": "2023-01",
            "outputsize": "full",
            "apikey": settings.alpha_vantage_api_key.get_secret_value(),
        }
    ]


def test_a_month_without_a_session_hour_costs_no_request(make_settings):
    settings = make_settings()
    source = AlphaVantage(settings, settings.clock, Redactor(()))

    whole_month = source.requests("AAPL", HourRange(parse_hour("2023-01-01"), parse_hour("2023-02-01")))
    night = source.requests("AAPL", HourRange(parse_hour("2023-01-03T02"), parse_hour("2023-01-03T03")))

    assert [request.label for request in whole_month] == ["2023-01"]
    assert [request.label for request in night] == ["2023-01"]


def test_months_begin_at_midnight_in_new_york():
    hours = HourRange(parse_hour("2023-02-28T20"), parse_hour("2023-04-01T06"))

    parts = list(months(hours))

    assert [(month, str(part.start)[:16], str(part.end)[:16]) for month, part in parts] == [
        ("2023-02", "2023-02-28 20:00", "2023-03-01 05:00"),
        ("2023-03", "2023-03-01 05:00", "2023-04-01 04:00"),
        ("2023-04", "2023-04-01 04:00", "2023-04-01 06:00"),
    ]


@given(
    st.datetimes(
        min_value=utc("2006-01-01").replace(tzinfo=None), max_value=utc("2030-01-01").replace(tzinfo=None)
    ),
    st.integers(1, 3000),
)
def test_months_cover_every_hour_once(start, count):
    first = parse_hour(start.strftime("%Y-%m-%dT%H"))
    hours = HourRange.between_keys(first.strftime("%Y-%m-%d-%H:00"), first.strftime("%Y-%m-%d-%H:00"))
    hours = HourRange(hours.start, hours.start + count * (hours.end - hours.start))

    assert [hour for _, part in months(hours) for hour in part] == list(hours)


def test_without_a_key_nothing_is_asked(make_settings):
    settings = make_settings(alpha_vantage_api_key=None)

    with pytest.raises(Unauthorized, match="ALPHA_VANTAGE_API_KEY"):
        AlphaVantage(settings, settings.clock, Redactor(())).requests("AAPL", question().hours)


@pytest.mark.parametrize("symbol", ["", "A B", "AAPL&apikey=x", "../etc", "Ä", "A" * 21, "AAPL\n", "-A"])
def test_what_is_no_symbol_is_not_asked_for(symbol: str, make_settings):
    settings = make_settings()

    with pytest.raises(NotFound, match="FIN_LAKE_STOCK_SYMBOLS"):
        AlphaVantage(settings, settings.clock, Redactor(())).requests(symbol, question().hours)


def test_a_request_shows_no_key(make_settings):
    settings = make_settings()

    [request] = AlphaVantage(settings, settings.clock, Redactor(())).requests("AAPL", question().hours)

    assert settings.alpha_vantage_api_key.get_secret_value() not in repr(request)
