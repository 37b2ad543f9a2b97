"""Whatever a source sends, a parser returns raw records or says what is wrong; it never stumbles."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fin_lake.sources.alpha_vantage import parse_intraday
from fin_lake.sources.coingecko import parse_candles, parse_samples
from fin_lake.sources.failures import SourceFailure
from fin_lake.sources.yahoo import parse_chart
from fin_lake.tables import RAW
from fin_lake_tests.unit.sources.answers import answer, av_bar, av_series, chart, milliseconds, question

SPLIT = {"date": 1598880600, "numerator": 4, "denominator": 1}
STAMP = milliseconds("2023-01-03T14:30")
PARSERS = {
    "alpha_vantage": (
        lambda sent: parse_intraday(sent, question(), "30min"),
        av_series({"2023-01-03 09:30:00": av_bar(), "2023-01-03 10:00:00": av_bar()}),
        "stocks",
    ),
    "yahoo": (
        lambda sent: parse_chart(sent, question(), "30min"),
        chart(
            ["2023-01-03T14:30"], events={"splits": {"1": SPLIT}, "dividends": {"1": {"date": 1672756200}}}
        ),
        "stocks",
    ),
    "candles": (lambda sent: parse_candles(sent, question()), [[STAMP, 1, 2, 0.5, 1.5]], "crypto"),
    "samples": (
        lambda sent: parse_samples(sent, question()),
        {"prices": [[STAMP, 1.5]], "market_caps": [[STAMP, None]], "total_volumes": [[STAMP, 7]]},
        "crypto",
    ),
}
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(
        [-1, 0, 2**63, 10**30, 1e308, -0.0, "NaN", "", '"', "{", "\\", "2023-01-03 09:30:00", "Infinity"]
    ),
    st.text(max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        found += places(child, (*path, name))
    return found


def with_value(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    node = copy.deepcopy(node)
    parent = node
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    return node


def reads_or_says_why(name: str, body: Any, status: int = 200) -> None:
    parse, _, asset_class = PARSERS[name]
    try:
        frame = parse(answer(body, status))
    except SourceFailure as failure:
        assert failure.__cause__ is None  # noqa: PT017 - either outcome is right
    else:
        assert frame.schema == RAW[asset_class].polars_schema()
        assert all(json.loads(payload) is not None for payload in frame["payload"])


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data(), status=st.sampled_from([200, 200, 400, 404]))
def test_any_value_anywhere(name: str, data, status):
    body = PARSERS[name][1]
    path = data.draw(st.sampled_from(places(body)))

    reads_or_says_why(name, with_value(body, path, data.draw(values)), status)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_any_damage_to_the_bytes(name: str, data):
    body = json.dumps(PARSERS[name][1]).encode()
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))

    reads_or_says_why(name, body[:start] + data.draw(st.binary(max_size=6)) + body[end:])


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=20)
@given(body=st.binary(max_size=200))
def test_any_bytes(name: str, body):
    reads_or_says_why(name, body)
