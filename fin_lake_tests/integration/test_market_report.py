"""The market report, materialized on a real stack: what it says, and that it asks nobody for anything."""

from __future__ import annotations

import json
import re
import urllib.request
from html.parser import HTMLParser

import dagster as dg
import polars as pl
import psycopg
import pytest

from fin_lake.assets.market_report import MARKET_REPORT, PAGE
from fin_lake.definitions import REPORT_JOB, build_definitions
from fin_lake.lake.raw import RawAttempt, write_attempt
from fin_lake.lake.store import Lake
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import UTC, HourRange, parse_hour
from fin_lake.reports.coverage import coverage
from fin_lake.reports.page import MarketData, market_report
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings
from fin_lake.tables import PORTFOLIOS, PROCESSED, RAW, TECHNICAL_ANALYSIS
from fin_lake.transforms.bars import hourly_bars
from fin_lake_tests.conftest import hours
from fin_lake_tests.frames import raw_bar, stock_bars

pytestmark = pytest.mark.stack
DAY = hours("2023-01-23T00", 24)
HOSTILE = '<img src=x onerror="alert(1)">'


class Page(HTMLParser):
    """What a page loads, what it shows, and its tables' rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._in: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._in = tag
        self.loads += [value for name, value in attrs if name in ("src", "srcset", "data", "poster")]
        if tag == "link":
            self.loads += [value for name, value in attrs if name == "href"]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self._in in ("script", "style"):
            return
        self.text += data
        if self._in in ("td", "th") and self.rows:
            self.rows[-1][-1] += data.strip()

    def handle_endtag(self, _tag):
        self._in = None


def specs(page: str) -> dict:
    return json.loads(re.search(r"const specs = (\{.*\});", page)[1])


def make(settings: Settings) -> tuple[str, dict]:
    with open_instance(settings) as instance:
        job = build_definitions(settings).resolve_job_def(REPORT_JOB)
        result = job.execute_in_process(instance=instance)
    (made,) = result.asset_materializations_for_node("__".join(MARKET_REPORT.path))
    return Lake(settings).get(PAGE).decode(), dict(made.metadata)


@pytest.fixture(scope="module")
def settings(module_settings: Settings) -> Settings:
    """A report of two days, of which one is extracted, with a record that broke a rule."""
    settings = module_settings.model_copy(update={"now": parse_hour("2023-01-25T00"), "report_days": 2})
    at = parse_hour("2023-01-23T16")
    broken = raw_bar("GONE", at, close_price=-1.0)
    columns = RAW["stocks"].column_names
    attempt = pl.DataFrame(
        [{name: broken.get(name) for name in columns}], schema=RAW["stocks"].polars_schema()
    )
    write_attempt(Lake(settings), RAW["stocks"], RawAttempt(attempt, frozenset([at]), broken["fetched_at"]))
    with open_instance(settings) as instance:
        assert extract(settings, DAY, ASSET_CLASSES, instance=instance, analytics=False).succeeded
    return settings


def test_the_report_says_what_is_stored(settings: Settings):
    text, metadata = make(settings)
    page = Page(text)
    by_name = {row[0]: row for row in reversed(page.rows) if row}  # of a name the first row counts
    with psycopg.connect(settings.database()) as connection:
        bars = connection.execute(
            """select symbol, (array_agg(close_price order by timestamp desc))[1], min(low_price),
            max(high_price), count(distinct date_trunc('hour', timestamp))
            from market.stocks where timestamp >= %s and timestamp < %s group by 1""",
            (DAY.start, DAY.end + (DAY.end - DAY.start)),
        ).fetchall()
        value, reached = connection.execute(
            "select market_value, cumulative_return from market.portfolios where timestamp >= %s "
            "and timestamp < %s order by timestamp desc limit 1",
            (DAY.start, DAY.end + (DAY.end - DAY.start)),
        ).fetchone()
    assert {symbol for symbol, *_ in bars} == set(settings.stock_symbols)
    for symbol, close, low, high, count in bars:
        _, shown, _, lowest, highest, _, hours_, _ = by_name[symbol]
        assert (shown, lowest, highest, hours_) == (
            f"{close:,.2f}",
            f"{low:,.2f}",
            f"{high:,.2f}",
            str(count),
        )
    assert by_name["Value, US dollars"][1] == f"{value:,.2f}"
    assert by_name["Return since the start"][1] == f"{reached:+.2%}"
    assert by_name["not_positive"] == ["not_positive", "stocks", "1"]
    assert metadata["quarantined"].value == 1
    assert re.search(r"stocks\s+7 stored · 34 exchange closed · 7 missing: not made", page.text)


def test_the_report_loads_nothing(settings: Settings):
    text, metadata = make(settings)
    page = Page(text)
    assert page.loads == []
    assert "default-src 'none'" in text
    assert '"url"' not in json.dumps(specs(text)), "every figure holds its own data"
    with urllib.request.urlopen(metadata["open"].value) as answer:  # as a browser opens it
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.read().decode() == text


def test_a_report_of_nothing_says_so(stack_settings: Settings):
    first = parse_hour("2020-01-01")
    long_before = stack_settings.model_copy(
        update={"start": first, "now": parse_hour("2020-01-05"), "report_days": 3}
    )
    text, metadata = make(long_before)
    assert "Nothing is stored yet" in Page(text).text
    assert metadata["bars"].value == 0


def test_a_symbol_is_text_whatever_it_is_called():
    span = HourRange.of(parse_hour("2023-01-23T15"))
    bars = stock_bars(HOSTILE, span.start, 2)
    analysis = pl.DataFrame(
        [{"symbol": HOSTILE, "timestamp": span.start, "asset_class": "stocks"}],
        schema=TECHNICAL_ANALYSIS["stocks"].polars_schema(),
    )
    holdings = pl.DataFrame(
        [{"portfolio": HOSTILE, "timestamp": span.start, "symbol": HOSTILE, "cumulative_contribution": 0.1}],
        schema=PORTFOLIOS["holdings"].polars_schema(),
    )
    valuations = pl.DataFrame(
        [{"portfolio": HOSTILE, "timestamp": span.start, "market_value": 1.0, "cumulative_return": 0.0}],
        schema=PORTFOLIOS["valuations"].polars_schema(),
    )
    data = MarketData(
        hours=span,
        bars={"stocks": hourly_bars(bars), "crypto": hourly_bars(PROCESSED["crypto"].empty())},
        analysis={"stocks": analysis, "crypto": TECHNICAL_ANALYSIS["crypto"].empty()},
        coverage={one: coverage(span, bars, [HOSTILE], [], []) for one in ASSET_CLASSES},
        valuations=valuations,
        holdings=holdings,
        quarantined=pl.DataFrame([{"asset_class": "stocks", "rule": "</script><script>", "rows": 1}]),
    )
    text = market_report(data, span.end.astimezone(UTC))
    page = Page(text)
    assert "img" not in page.tags
    assert page.tags.count("script") == 2, "the library and the figures"
    assert HOSTILE in page.text
    assert any(HOSTILE in json.dumps(spec).replace('\\"', '"') for spec in specs(text).values())


def test_the_asset_is_not_partitioned(settings: Settings):
    graph = build_definitions(settings).resolve_asset_graph()
    assert graph.get(MARKET_REPORT).partitions_def is None
    assert dg.AssetKey(["market", "stocks"]) in graph.get(MARKET_REPORT).parent_keys
