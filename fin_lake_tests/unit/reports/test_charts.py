"""The charts beside a run's hours: whole SVGs, small whatever they show."""

from __future__ import annotations

import datetime as dt
import math
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from fin_lake.partitions import HOUR, parse_hour
from fin_lake.reports.charts import MOST_LINES, chart_of_bars, chart_of_indicators, chart_of_portfolios
from fin_lake.tables import PORTFOLIOS, PROCESSED, TECHNICAL_ANALYSIS
from fin_lake_tests.frames import stock_bars

AT = parse_hour("2023-01-03T15")
SVG = "{http://www.w3.org/2000/svg}"
LIMIT = 20_000 * 3 // 4
"""Bytes of which base64 makes 20 KB."""


def indicators(symbols: int, count: int) -> pl.DataFrame:
    rows = [
        {
            "symbol": f"S{which:03}",
            "timestamp": AT + i * HOUR,
            "asset_class": "stocks",
            "close_price": 100 + math.sin(i),
            "rsi_14": 50 + 40 * math.sin(i + which),
            "bollinger_upper": 102.0,
            "bollinger_lower": 98.0,
        }
        for which in range(symbols)
        for i in range(count)
    ]
    return pl.DataFrame(rows, schema=TECHNICAL_ANALYSIS["stocks"].polars_schema())


def valuations(portfolios: int, count: int) -> pl.DataFrame:
    rows = [
        {
            "portfolio": f"portfolio_{which}",
            "timestamp": AT + i * HOUR,
            "cumulative_return": math.sin(i) / 10,
            "benchmark_return": None if i < 2 else math.cos(i) / 10,
        }
        for which in range(portfolios)
        for i in range(count)
    ]
    return pl.DataFrame(rows, schema=PORTFOLIOS["valuations"].polars_schema())


def texts(chart: bytes) -> list[str]:
    return [node.text or "" for node in ET.fromstring(chart).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("draw", "empty"),
    [
        (chart_of_bars, PROCESSED["stocks"].empty()),
        (chart_of_bars, PROCESSED["crypto"].empty()),
        (chart_of_indicators, TECHNICAL_ANALYSIS["stocks"].empty()),
        (chart_of_portfolios, PORTFOLIOS["valuations"].empty()),
    ],
)
def test_of_no_rows_there_is_no_chart(draw, empty):
    assert draw(empty) is None


@pytest.mark.parametrize(
    "chart",
    [
        chart_of_bars(pl.concat([stock_bars(f"S{i:03}", AT, 1440) for i in range(30)])),
        chart_of_indicators(indicators(30, 744)),
        chart_of_portfolios(valuations(20, 744)),
    ],
)
def test_a_month_of_many_symbols_stays_small(chart: bytes):
    ET.fromstring(chart)
    assert len(chart) <= LIMIT


def test_a_single_bar_goes_from_its_open_at_its_start_to_its_close_at_its_end():
    chart = ET.fromstring(chart_of_bars(stock_bars("AAPL", AT, 1)))
    points = [tuple(map(float, p.split(","))) for p in chart.find(f".//{SVG}polyline").get("points").split()]
    (left, low), (right, high) = points
    assert left < right
    assert low > high, "it closes above its open, and y grows downwards"
    assert "10%" in texts(ET.tostring(chart)), "from 10 to 11"


def test_lines_are_named_and_few():
    bars = pl.concat([stock_bars(f"S{i:03}", AT, 4) for i in range(12)])
    assert [name for name in texts(chart_of_bars(bars)) if name.startswith("S0")] == [
        f"S{i:03}" for i in reversed(range(MOST_LINES))
    ]


def test_an_hour_whose_indicators_are_unknown_has_no_chart():
    rows = indicators(1, 1).with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in ("rsi_14", "bollinger_upper", "bollinger_lower")
    )
    assert chart_of_indicators(rows) is None


def test_a_symbol_is_text_whatever_it_is_called():
    chart = chart_of_bars(stock_bars('<script>&"', AT, 2))
    assert '<script>&"' in texts(chart)
    assert b"<script" not in chart


def test_a_constant_price_is_drawn():
    flat = stock_bars("AAPL", AT, 3).with_columns(pl.lit(10.0).alias("close_price"))
    assert "0%" in texts(chart_of_bars(flat))


def test_times_are_those_of_utc():
    bars = stock_bars("AAPL", AT.astimezone(dt.timezone(dt.timedelta(hours=5))), 2)
    assert {"3 Jan 15:00", "15:30", "16:00"} <= set(texts(chart_of_bars(bars)))
