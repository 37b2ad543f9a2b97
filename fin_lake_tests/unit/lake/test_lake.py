from __future__ import annotations

import datetime as dt
import gzip
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fin_lake.lake.formats import (
    FormatError,
    decode_json_lines,
    decode_parquet,
    encode_json,
    encode_parquet,
    json_ready,
)
from fin_lake.lake.layout import hour_object, listing_prefixes, raw_object
from fin_lake.lake.processed import read_hours, write_hours
from fin_lake.lake.raw import RawAttempt, list_attempts, read_attempts, write_attempt
from fin_lake.lake.store import Lake, LakeError, MissingObjectError
from fin_lake.partitions import HOUR, parse_hour
from fin_lake.settings import load_settings
from fin_lake.tables import PROCESSED, QUARANTINE, RAW
from fin_lake_tests.conftest import CREDENTIALS, hours
from fin_lake_tests.frames import raw_bar, raw_frame, stock_bars

STOCKS = PROCESSED["stocks"]
HOUR_15 = parse_hour("2023-01-03T15")
AT = dt.datetime(2026, 11, 1, 9, 8, 7, 654321, tzinfo=dt.UTC)


def test_objects_lie_where_the_layout_says():
    assert raw_object(RAW["stocks"], HOUR_15, AT) == (
        "raw/stocks/year=2023/month=01/day=03/hour=15/stock_data_20261101_090807.json.gz"
    )
    assert hour_object(STOCKS, "json", HOUR_15) == (
        "processed/stocks/json/year=2023/month=01/day=03/hour=15/stock_data_20230103_150000.json.gz"
    )
    assert hour_object(STOCKS, "parquet", HOUR_15) == (
        "processed/stocks/parquet/year=2023/month=01/day=03/hour=15/stock_data.parquet"
    )
    assert hour_object(QUARANTINE["crypto"], "parquet", HOUR_15) == (
        "processed/_quarantine/crypto/year=2023/month=01/day=03/hour=15/crypto_data.parquet"
    )


def test_later_attempts_of_a_second_sort_behind_the_first():
    names = [raw_object(RAW["stocks"], HOUR_15, AT, n) for n in (1, 2, 10)]
    assert names == sorted(names)


def test_a_long_range_is_listed_by_day():
    assert len(listing_prefixes(RAW["stocks"], "json", hours("2023-01-03T22", 28))) == 3


def test_parquet_keeps_rows_types_and_statistics():
    rows = stock_bars("AAPL", HOUR_15, 2)
    data = encode_parquet(rows, STOCKS)
    assert decode_parquet(data, STOCKS, "k").equals(rows)
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.statistics.max == "AAPL"


def test_the_same_rows_give_the_same_bytes():
    rows = stock_bars("AAPL", HOUR_15, 2)
    assert encode_parquet(rows, STOCKS) == encode_parquet(rows, STOCKS)
    assert encode_json(json_ready(rows, STOCKS)) == encode_json(json_ready(rows, STOCKS))


def test_json_is_what_any_program_reads():
    lines = gzip.decompress(encode_json(json_ready(stock_bars("AAPL", HOUR_15, 1), STOCKS))).decode()
    assert lines.splitlines()[0].startswith('{"symbol":"AAPL","timestamp":"2023-01-03T15:00:00Z","interval"')


def test_bytes_that_are_not_parquet_are_named():
    with pytest.raises(FormatError, match="some/key"):
        decode_parquet(b"not parquet", STOCKS, "some/key")


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable()),
            st.floats(allow_nan=False, allow_infinity=False),
            st.datetimes(timezones=st.just(dt.UTC)).filter(lambda moment: 1990 < moment.year < 2090),
            st.none() | st.text(max_size=30),
        ),
        max_size=8,
    )
)
def test_raw_records_come_back_from_json_as_they_went(rows):
    table = RAW["stocks"]
    frame = pl.DataFrame(
        [
            {
                "symbol": symbol,
                "close_price": price,
                "timestamp": time,
                "payload": payload,
            }
            for symbol, price, time, payload in rows
        ],
        schema=table.polars_schema(),
    )
    records, problems = decode_json_lines(encode_json(json_ready(frame, table)), table)
    assert records.equals(frame)
    assert problems == []


def test_a_broken_line_costs_that_line_alone():
    good = gzip.decompress(
        encode_json(
            json_ready(raw_frame(raw_bar("AAPL", HOUR_15)).select(RAW["stocks"].column_names), RAW["stocks"])
        )
    )
    records, problems = decode_json_lines(gzip.compress(good + b"{oops\n[1]\n" + good), RAW["stocks"])
    assert records["symbol"].to_list() == ["AAPL", "AAPL"]
    assert [text for text, _ in problems] == ["{oops", "[1]"]


def test_a_truncated_object_gives_its_whole_lines_and_says_so():
    lines = b"".join(b'{"symbol":"S%d"}\n' % i for i in range(2000))
    records, problems = decode_json_lines(gzip.compress(lines)[:-600], RAW["stocks"])
    assert 0 < records.height < 2000
    assert "truncated" in problems[0][1]


def test_values_of_another_type_become_null_not_errors():
    line = (
        b'{"symbol":"X","timestamp":"2023-01-03 15:00:00","open_price":"12",'
        b'"volume":NaN,"schema_version":1.5}\n'
    )
    records, _ = decode_json_lines(line, RAW["stocks"])
    assert records["timestamp"].to_list() == [HOUR_15]
    assert records["open_price"].to_list() == [None]
    assert records["schema_version"].to_list() == [None]


def test_raw_is_appended_never_overwritten(lake: Lake):
    records = raw_frame(raw_bar("AAPL", HOUR_15)).select(RAW["stocks"].column_names)
    attempt = RawAttempt(records, frozenset({HOUR_15, HOUR_15 + HOUR}), AT)
    first = write_attempt(lake, RAW["stocks"], attempt)
    second = write_attempt(lake, RAW["stocks"], attempt)
    assert not set(first[HOUR_15].keys) & set(second[HOUR_15].keys)
    read = read_attempts(lake, RAW["stocks"], hours("2023-01-03T15", 2))
    assert read["raw_key"].to_list() == [*first[HOUR_15].keys, *second[HOUR_15].keys]
    assert len(list_attempts(lake, RAW["stocks"], hours("2023-01-03T16"))) == 2, "asked, and nothing there"


def test_strangers_in_raw_do_not_stop_anybody(lake: Lake):
    lake.put("raw/stocks/year=2023/month=01/day=03/notes.txt", b"hello")
    lake.put("raw/stocks/year=2023/month=01/day=03/hour=15/dropped.json", b'{"symbol":"TSLA"}\nnonsense')
    read = read_attempts(lake, RAW["stocks"], hours("2023-01-03T00", 24))
    assert read.select("symbol", "problem").rows()[0] == ("TSLA", None)
    assert "not JSON" in read["problem"][1]


def test_an_hour_is_replaced_whole_and_an_empty_one_has_its_object(lake: Lake):
    span = hours("2023-01-03T15", 2)
    write_hours(lake, STOCKS, span, {HOUR_15: stock_bars("AAPL", HOUR_15, 2)})
    assert read_hours(lake, STOCKS, span).height == 2
    write_hours(lake, STOCKS, span, {})
    assert read_hours(lake, STOCKS, span).height == 0
    assert len(lake.list_objects(["processed/"])) == 4


def test_a_missing_hour_says_which_and_how_to_make_it(lake: Lake):
    with pytest.raises(MissingObjectError, match=r"hour=15/stock_data.parquet(.|\n)*fin-lake extract"):
        read_hours(lake, STOCKS, hours("2023-01-03T15"))


def test_a_bucket_that_does_not_exist_is_named(s3_endpoint):
    lake = Lake(load_settings(aws_endpoint_url=s3_endpoint, bucket="not-there", **CREDENTIALS))
    for attempt in (lambda: lake.put("k", b""), lambda: lake.get("k"), lambda: lake.list_objects(["k/"])):
        with pytest.raises(LakeError, match=r"bucket not-there does not exist(.|\n)*AWS_S3_BUCKET_NAME"):
            attempt()


def test_a_dead_endpoint_is_named_without_credentials():
    lake = Lake(
        load_settings(
            aws_endpoint_url="http://127.0.0.1:1",
            aws_access_key_id="KEYID99",
            aws_secret_access_key="SECRET99",
        )
    )
    with pytest.raises(LakeError, match=r"127\.0\.0\.1:1") as caught:
        lake.get("k")
    assert "99" not in str(caught.value).replace("127.0.0.1:1", "")


def test_other_programs_see_the_same_objects(lake: Lake, s3_endpoint):
    lake.put("a/b", b"bytes")
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1", **CREDENTIALS)
    assert client.get_object(Bucket=lake.bucket, Key="a/b")["Body"].read() == b"bytes"
    assert lake.put_new("a/b", b"other") is None
    assert lake.get("a/b") == b"bytes"


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"])
def test_wrong_credentials_are_told_with_s3s_own_code_and_not_shown(code):
    body = f"<Error><Code>{code}</Code><Message>No.</Message><AWSAccessKeyId>KEYID99</AWSAccessKeyId></Error>"

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = load_settings(
            aws_endpoint_url=f"http://127.0.0.1:{server.server_port}",
            aws_access_key_id="KEYID99",
            aws_secret_access_key="SECRET99",
        )
        with pytest.raises(LakeError, match=rf"{code}(.|\n)*AWS_SECRET_ACCESS_KEY") as caught:
            Lake(settings).get("k")
        server.shutdown()
    assert "99" not in str(caught.value)


def test_a_link_opens_the_object_and_holds_no_signature():
    key = "processed/stocks/parquet/year=2023/a b.parquet"
    in_aws = Lake(load_settings(profile="aws", bucket="lake", aws_region="eu-west-1"))
    assert in_aws.link(key) == (
        "https://eu-west-1.console.aws.amazon.com/s3/object/lake?region=eu-west-1"
        "&prefix=processed%2Fstocks%2Fparquet%2Fyear%3D2023%2Fa%20b.parquet"
    )
    at_endpoint = Lake(load_settings(bucket="lake", aws_endpoint_url="http://127.0.0.1:9000/"))
    assert (
        at_endpoint.link(key) == "http://127.0.0.1:9000/lake/processed/stocks/parquet/year=2023/a%20b.parquet"
    )
