"""The states of hours: what is there, what need not be, and what should be."""

from __future__ import annotations

import polars as pl

from fin_lake.partitions import HOUR, parse_hour
from fin_lake.reports.coverage import Coverage, coverage
from fin_lake_tests.conftest import hours
from fin_lake_tests.frames import stock_bars

FIRST = parse_hour("2023-01-03T13")


def test_every_hour_has_the_state_that_a_reader_needs():
    span = hours("2023-01-03T13", 5)
    bars = pl.concat(
        [
            stock_bars("AAPL", FIRST + HOUR, 2),
            stock_bars("IBM", FIRST + HOUR, 2),
            stock_bars("IBM", FIRST + 2 * HOUR, 2),
        ]
    )
    made = [FIRST, FIRST + HOUR, FIRST + 2 * HOUR, FIRST + 3 * HOUR]
    found = coverage(span, bars, ["AAPL", "IBM"], list(span)[1:], made)
    assert found["hour"].to_list() == list(span)
    assert found["state"].to_list() == [
        Coverage.CLOSED,
        Coverage.STORED,
        Coverage.PARTIAL,
        Coverage.GAP,
        Coverage.MISSING,
    ]
    assert found["rows"].to_list() == [0, 4, 2, 0, 0]


def test_bars_outside_of_the_session_are_shown_as_stored():
    found = coverage(hours("2023-01-03T13"), stock_bars("AAPL", FIRST, 1), ["AAPL"], [], [FIRST])
    assert found["state"].to_list() == [Coverage.STORED]
