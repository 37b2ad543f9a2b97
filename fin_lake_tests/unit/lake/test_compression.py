"""Compression is measured on the objects that are there."""

from __future__ import annotations

import gzip
import io

import polars as pl
import pytest

from fin_lake.lake.compression import compression
from fin_lake.lake.formats import FormatError, encode_json, encode_parquet, json_ready
from fin_lake.partitions import HOUR, parse_hour
from fin_lake.tables import PROCESSED
from fin_lake_tests.frames import stock_bars

STOCKS = PROCESSED["stocks"]


def test_gzipped_json_is_compared_with_the_same_json(lake):
    text = b'{"symbol": "AAPL"}\n' * 500
    lake.put("raw/stocks/a.json.gz", gzip.compress(text))
    found = compression(lake, {"raw/stocks": ["raw/stocks/a.json.gz"]})["raw/stocks"]
    assert (found.rows, found.as_json, found.stored) == (500, len(text), len(gzip.compress(text)))
    assert found.saved == pytest.approx(1 - len(gzip.compress(text)) / len(text))


def test_parquet_is_compared_with_its_rows_as_our_own_json(lake):
    rows = stock_bars("AAPL", parse_hour("2023-01-03T15"), 200)
    text = gzip.decompress(encode_json(json_ready(rows, STOCKS)))
    lake.put("processed/a.parquet", encode_parquet(rows, STOCKS))
    found = compression(lake, {"processed": ["processed/a.parquet"]})["processed"]
    assert (found.rows, found.as_json) == (200, len(text))
    assert found.saved > 0.8


def test_parquet_of_a_single_row_is_told_to_be_larger_than_json(lake):
    lake.put(
        "processed/a.parquet", encode_parquet(stock_bars("AAPL", parse_hour("2023-01-03T15"), 1), STOCKS)
    )
    lake.put("processed/b.parquet", encode_parquet(STOCKS.empty(), STOCKS))
    found = compression(lake, {"processed": ["processed/a.parquet", "processed/b.parquet"]})["processed"]
    assert found.saved < -1
    assert (found.objects, found.empty) == (2, 1)


def test_what_one_object_in_the_stead_of_many_would_take_is_measured(lake):
    keys = [f"processed/{number}.parquet" for number in range(24)]
    for number, key in enumerate(keys):
        lake.put(
            key, encode_parquet(stock_bars("AAPL", parse_hour("2023-01-03T15") + number * HOUR, 2), STOCKS)
        )
    rows = pl.concat(
        stock_bars("AAPL", parse_hour("2023-01-03T15") + number * HOUR, 2) for number in range(24)
    )
    found = compression(lake, {"processed": keys})["processed"]
    assert found.together == pytest.approx(len(encode_parquet(rows, STOCKS)), rel=0.02)
    assert found.compacted < 0.1


def test_formats_that_are_not_ours_and_objects_that_have_gone_are_left_out(lake):
    sink = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_avro(sink)
    lake.put("analytics/manifest.avro", sink.getvalue())
    assert compression(lake, {"analytics": ["analytics/manifest.avro", "analytics/gone.parquet"]}) == {}


def test_an_object_that_is_not_what_its_name_says_is_named(lake):
    lake.put("processed/a.parquet", b"nothing of the kind")
    with pytest.raises(FormatError, match=r"processed/a\.parquet is not Parquet"):
        compression(lake, {"processed": ["processed/a.parquet"]})
