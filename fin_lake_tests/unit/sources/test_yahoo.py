"""Yahoo Finance: what is asked, how charts are read, and how splits are undone."""

from __future__ import annotations

import datetime as dt
import json
import math
import struct

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fin_lake.partitions import HourRange, parse_hour
from fin_lake.sources.failures import (
    NoData,
    NotFound,
    OutOfReach,
    SchemaMismatch,
    SourceFailure,
    Unauthorized,
)
from fin_lake.sources.redaction import Redactor
from fin_lake.sources.yahoo import Yahoo, parse_chart
from fin_lake.tables import RAW
from fin_lake_tests.unit.sources.answers import FIELDS, answer, chart, chart_error, question, utc

FOUR_TO_ONE = {"date": 1598880600, "numerator": 4, "denominator": 1, "splitRatio": "4:1"}  # 2020-08-31 09:30


def split(day: str, numerator: float, denominator: float = 1) -> dict[str, object]:
    return {"date": int(utc(day).timestamp()), "numerator": numerator, "denominator": denominator}


def test_bar_becomes_a_raw_record_with_its_own_text():
    body = chart(["2023-01-03T14:30"], price=199.3699951171875)

    frame = parse_chart(answer(body), question(), "30min")

    assert frame.schema == RAW["stocks"].polars_schema()
    row = frame.row(0, named=True)
    assert row["payload"] == (
        '{"timestamp":1672756200,"open":199.3699951171875,"high":199.3699951171875,'
        '"low":199.3699951171875,"close":199.3699951171875,"volume":1000}'
    )
    assert (row["timestamp"], row["open_price"], row["volume"]) == (
        utc("2023-01-03T14:30"),
        199.3699951171875,
        1000.0,
    )
    assert (row["kind"], row["interval"], row["split_factor"], row["finished"]) == ("bar", "30min", 1.0, True)


@given(st.lists(st.floats(min_value=0.0078125, max_value=1e6, width=32), min_size=1, max_size=16))
def test_float32_prices_keep_text_and_value(prices):
    body = chart([f"2023-01-03T{14 + i // 2}:{30 * (i % 2):02}" for i in range(len(prices))])
    body["chart"]["result"][0]["indicators"]["quote"][0]["close"] = prices

    frame = parse_chart(answer(body), question(), "30min")

    assert frame["close_price"].to_list() == prices
    assert [json.loads(text)["close"] for text in frame["payload"]] == prices
    assert all(struct.unpack("f", struct.pack("f", price))[0] == price for price in frame["close_price"])


@pytest.mark.parametrize(
    "text", ["1.50", "1E2", "0.1000000000000000055511151231257827", "-0.0", "123456789012345678901"]
)
def test_number_text_is_unchanged(text: str):
    body = json.dumps(chart(["2023-01-03T14:30"])).replace("130.27999877929688", text)

    frame = parse_chart(answer(body), question(), "30min")

    assert f'"open":{text},' in frame["payload"][0]
    assert frame["open_price"][0] == float(text)


def test_a_null_bar_is_a_row_without_prices():
    body = chart(["2023-01-03T14:30", "2023-01-03T15:00"])
    for values in body["chart"]["result"][0]["indicators"]["quote"][0].values():
        values[0] = None

    frame = parse_chart(answer(body), question(), "30min")

    assert frame["open_price"].to_list() == [None, 130.27999877929688]
    assert frame["volume"].to_list() == [None, 1000.0]
    assert json.loads(frame["payload"][0]) == {"timestamp": 1672756200, **dict.fromkeys(FIELDS)}


def test_text_in_place_of_a_number_is_null_and_stays_in_the_payload():
    body = chart(["2023-01-03T14:30"])
    body["chart"]["result"][0]["indicators"]["quote"][0]["high"] = ["NaN"]

    frame = parse_chart(answer(body), question(), "30min")

    assert frame["high_price"].to_list() == [None]
    assert json.loads(frame["payload"][0])["high"] == "NaN"


def test_bars_after_the_window_are_asked_for_and_not_returned():
    body = chart(["2023-01-03T14:30", "2023-01-03T15:00", "2023-01-04T14:30"])

    frame = parse_chart(answer(body), question("2023-01-03T14", 1), "30min")

    assert frame["timestamp"].to_list() == [utc("2023-01-03T14:30")]


def test_splits_after_a_bar_make_its_factor():
    stamps = ["2020-08-28T19:30", "2020-08-31T13:30", "2020-08-31T14:00"]
    body = chart(stamps, price=125.0, events={"splits": {"1598880600": FOUR_TO_ONE}})

    frame = parse_chart(answer(body), question("2020-08-28", 96, clock="2020-09-30"), "30min")

    bars = frame.filter(kind="bar")
    assert bars["split_factor"].to_list() == [4.0, 1.0, 1.0]
    assert (bars["open_price"] * bars["split_factor"]).to_list() == [500.0, 125.0, 125.0]


def test_a_split_after_the_window_is_undone_too():
    body = chart(["2020-08-03T14:00"], events={"splits": {"1598880600": FOUR_TO_ONE}})

    frame = parse_chart(answer(body), question("2020-08-03T14", 1, clock="2020-09-30"), "30min")

    assert frame.select("kind", "split_factor").rows() == [("bar", 4.0)]


def test_a_reverse_split_has_a_factor_below_one():
    body = chart(["2023-01-03T14:30"], events={"splits": {"a": split("2023-01-20T14:30", 1, 8)}})

    assert parse_chart(answer(body), question(), "30min")["split_factor"].to_list() == [0.125]


@given(
    st.lists(
        st.tuples(st.integers(1, 25), st.integers(1, 20), st.integers(1, 20)),
        max_size=6,
        unique_by=lambda each: each[0],
    ),
    st.integers(1, 25),
)
def test_factor_is_the_product_of_the_later_splits(splits, day):
    events = {str(at): split(f"2023-01-{at:02}T14:30", up, down) for at, up, down in splits}
    body = chart([f"2023-01-{day:02}T14:30"], events={"splits": events})

    frame = parse_chart(answer(body), question(f"2023-01-{day:02}T14", 1), "30min")

    expected = math.prod(up / down for at, up, down in splits if at > day)
    assert frame.filter(kind="bar")["split_factor"][0] == pytest.approx(expected)


def test_events_in_the_window_are_rows_with_their_own_text():
    events = {
        "splits": {"1598880600": FOUR_TO_ONE},
        "dividends": {"1598621400": {"amount": 0.2050, "date": 1598621400}},
    }
    body = chart(["2020-08-31T13:30"], events=events)

    frame = parse_chart(answer(body), question("2020-08-28T13", 96, clock="2020-09-30"), "30min")

    assert frame.select("kind", "timestamp", "interval", "split_factor", "open_price", "finished").rows() == [
        ("dividend", utc("2020-08-28T13:30"), None, 4.0, None, True),
        ("bar", utc("2020-08-31T13:30"), "30min", 1.0, 130.27999877929688, True),
        ("split", utc("2020-08-31T13:30"), None, None, None, True),
    ]
    assert json.loads(frame.filter(kind="split")["payload"][0]) == FOUR_TO_ONE
    assert frame.filter(kind="dividend")["payload"][0] == json.dumps(events["dividends"]["1598621400"])


def test_events_outside_the_window_are_no_rows():
    body = chart(["2023-01-03T14:30"], events={"dividends": {"1": {"amount": 1, "date": 1}}})

    assert parse_chart(answer(body), question(), "30min")["kind"].to_list() == ["bar"]


@pytest.mark.parametrize(
    "wrong", [{"date": 1, "numerator": 0, "denominator": 1}, {"date": 1}, {"numerator": "4"}, 4]
)
def test_a_split_that_cannot_be_undone_is_no_bar_at_a_wrong_price(wrong: object):
    body = chart(["2023-01-03T14:30"], events={"splits": {"1": wrong}})

    with pytest.raises(SchemaMismatch):
        parse_chart(answer(body), question(), "30min")


def test_a_weekend_is_an_answer_without_data():
    with pytest.raises(NoData):
        parse_chart(answer(chart([])), question("2023-01-07", 48), "30min")


def test_a_window_before_the_first_of_the_bars_is_empty_and_no_failure():
    frame = parse_chart(answer(chart(["2023-01-09T14:30"])), question("2023-01-07", 48), "30min")

    assert frame.is_empty()
    assert frame.schema == RAW["stocks"].polars_schema()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (chart_error("Not Found", "No data found, symbol may be delisted"), 404, NotFound),
        (
            chart_error(
                "Unprocessable Entity",
                "30m data not available for startTime=1 and endTime=2. "
                "The requested range must be within the last 60 days.",
            ),
            422,
            OutOfReach,
        ),
        (
            chart_error("Unprocessable Entity", "15m data only available for the last 60 days"),
            422,
            OutOfReach,
        ),
        (chart_error("Bad Request", "Data doesn't exist for startDate = 1, endDate = 2"), 400, NoData),
        (chart_error("Unauthorized", "Invalid Crumb"), 401, Unauthorized),
        (chart_error("Internal", "Something new"), 400, SchemaMismatch),
        ("<html>blocked</html>", 403, Unauthorized),
        ("Not here", 404, SchemaMismatch),
        ({"chart": {"result": None, "error": None}}, 200, SchemaMismatch),
        ({"chart": {"result": [], "error": None}}, 200, SchemaMismatch),
        ({"finance": {}}, 200, SchemaMismatch),
        (json.dumps(chart(["2023-01-03T14:30"]))[:-9], 200, SchemaMismatch),
        ("<!DOCTYPE html>", 200, SchemaMismatch),
        ("", 200, SchemaMismatch),
        (chart(["2023-01-03T14:30"], granularity="1d"), 200, SchemaMismatch),
    ],
)
def test_an_answer_without_bars_says_why(body: object, status: int, reason: type[SourceFailure]):
    with pytest.raises(SourceFailure) as caught:
        parse_chart(answer(body, status), question(), "30min")

    assert type(caught.value) is reason


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], None])
def test_values_that_do_not_fit_the_timestamps_are_refused(values: list[float] | None):
    body = chart(["2023-01-03T14:30", "2023-01-03T15:00"])
    body["chart"]["result"][0]["indicators"]["quote"][0]["low"] = values

    with pytest.raises(SchemaMismatch, match="'low' for 2 timestamps"):
        parse_chart(answer(body), question(), "30min")


def test_one_request_reaches_from_the_window_to_the_clock(make_settings):
    settings = make_settings()
    source = Yahoo(settings, settings.clock, Redactor(()))

    [request] = source.requests("AAPL", HourRange(parse_hour("2023-01-03T14"), parse_hour("2023-01-20T21")))

    assert request.path == "/v8/finance/chart/AAPL"
    assert dict(request.params) == {
        "period1": "1672754400",
        "period2": str(int(settings.clock.timestamp())),
        "interval": "30m",
        "includePrePost": "false",
        "events": "div|split",
    }


@pytest.mark.parametrize(
    ("symbol", "path"),
    [("^GSPC", "%5EGSPC"), ("BTC-USD", "BTC-USD"), ("INR=X", "INR%3DX"), ("BRK.B", "BRK.B")],
)
def test_index_currency_and_share_class_symbols_are_quoted(symbol: str, path: str, make_settings):
    settings = make_settings()

    [request] = Yahoo(settings, settings.clock, Redactor(())).requests(symbol, question().hours)

    assert request.path == f"/v8/finance/chart/{path}"


@pytest.mark.parametrize(("ours", "theirs", "raw"), [("60min", "1h", "1h"), ("15min", "15m", "15min")])
def test_intervals_are_called_as_each_side_calls_them(ours, theirs, raw, make_settings):
    settings = make_settings(stock_interval=ours)

    [request] = Yahoo(settings, settings.clock, Redactor(())).requests("AAPL", question().hours)
    frame = parse_chart(answer(chart(["2023-01-03T14:30"], granularity=theirs)), question(), ours)

    assert request.params["interval"] == theirs
    assert frame["interval"].to_list() == [raw]


def test_minutes_are_not_asked_for_without_the_splits_since(make_settings):
    settings = make_settings(stock_interval="1min")
    source = Yahoo(settings, settings.clock, Redactor(()))

    assert len(source.requests("AAPL", question("2023-01-30T14", 1).hours)) == 1
    with pytest.raises(OutOfReach, match="7 days"):
        source.requests("AAPL", question("2023-01-03T14", 1).hours)


def test_what_is_no_symbol_is_not_asked_for(make_settings):
    settings = make_settings()

    with pytest.raises(NotFound, match="is not a symbol"):
        Yahoo(settings, settings.clock, Redactor(())).requests("AAPL/../x", question().hours)


def test_dividend_and_bar_times_are_utc():
    frame = parse_chart(answer(chart(["2023-01-03T14:30"])), question(), "30min")

    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert frame["timestamp"][0].utcoffset() == dt.timedelta()


@pytest.mark.parametrize(("closes", "finished"), [("2023-01-03T21:00", True), ("2023-01-03T21:30", False)])
def test_the_sessions_last_hourly_bar_has_ended_when_the_exchange_has_closed(closes, finished):
    """It begins half an hour before the close, so its nominal end lies half an hour behind it."""
    body = chart(["2023-01-03T20:30"])
    meta = body["chart"]["result"][0]["meta"]
    meta["dataGranularity"] = "1h"
    meta["currentTradingPeriod"] = {"regular": {"end": int(utc(closes).timestamp())}}
    asked = question(clock="2023-01-03T21:05")

    frame = parse_chart(answer(body), asked, "60min")

    assert frame["finished"].to_list() == [finished]
