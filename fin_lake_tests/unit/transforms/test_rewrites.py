"""Sources that change what they had sent: revisions, and history rewritten after a split."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fin_lake.partitions import HOUR, parse_hour
from fin_lake.transforms import rewrites
from fin_lake.transforms.clean import COUNTS, clean
from fin_lake_tests.conftest import hours
from fin_lake_tests.frames import HALF_HOUR, raw_bar, raw_frame

AT = parse_hour("2023-01-03T15")
SPAN = hours("2023-01-03T15", 3)
STARTS = [AT + i * HALF_HOUR for i in range(6)]
FETCHED = dt.datetime(2023, 1, 5, tzinfo=dt.UTC)
PRICES = ("open_price", "high_price", "low_price", "close_price")


def attempt(number, ratio=1.0, starts=STARTS, symbol="AAPL", **changes):
    """Return an attempt's bars, prices divided by ``ratio`` and volumes multiplied by it."""
    made = []
    for i, start in enumerate(starts):
        bar = raw_bar(
            symbol,
            start,
            **{
                "raw_key": f"raw/{start:%H}/{number}",
                "fetched_at": FETCHED + number * HOUR,
                "volume": 1000.0 + 10 * i,
                **changes,
            },
        )
        prices = {name: round(bar[name] / ratio, 4) for name in PRICES}
        made.append({**bar, **prices, "volume": float(round(bar["volume"] * ratio))})
    return made


def cleaned(*attempts, asset_class="stocks"):
    return clean(raw_frame(*(bar for bars in attempts for bar in bars)), asset_class, SPAN)


def books(result):
    counts = {name: result.counts[name].sum() for name in (*COUNTS, "revised")}
    assert counts["raw_rows"] == sum(counts[name] for name in COUNTS[1:])
    return {name: count for name, count in counts.items() if count and name != "raw_rows"}


@pytest.mark.parametrize("ratio", [4.0, 2.0, 1.5, 4 / 3, 50.0, 0.1, 0.04])
def test_rewritten_history_leaves_bars_as_they_were_traded(ratio):
    result = cleaned(attempt(1), attempt(2, ratio))
    assert books(result) == {"processed": 6, "rewritten": 6}
    assert result.bars.equals(cleaned(attempt(1)).bars)


def test_what_comes_after_the_rewrite_is_on_the_new_basis_too():
    result = cleaned(attempt(1), attempt(2, 4.0), attempt(3, 4.0), attempt(4, 8.0))
    assert books(result) == {"processed": 6, "rewritten": 18}
    assert result.bars["close_price"].unique().to_list() == [10.5]


def test_a_source_that_goes_back_to_prices_as_traded_is_followed():
    result = cleaned(attempt(1), attempt(2, 4.0), attempt(3))
    assert books(result) == {"processed": 6, "rewritten": 6, "earlier_attempts": 6}


def test_bars_after_the_ex_date_are_unchanged_in_the_attempt_that_rewrites_those_before():
    later = attempt(2, 4.0, STARTS[:3]) + attempt(2, 1.0, STARTS[3:])
    result = cleaned(attempt(1), later)
    assert books(result)["rewritten"] == 3
    assert result.bars["close_price"].unique().to_list() == [10.5]


def test_bars_that_were_never_sent_as_traded_do_not_tell_against_a_rewrite():
    result = cleaned(attempt(1, starts=STARTS[:4]), attempt(2, 4.0))
    assert books(result) == {"processed": 6, "rewritten": 4}


@pytest.mark.parametrize(
    "change",
    [
        {"close_price": 2.5},
        {"open_price": 2.51},
        {"volume": 1000.0},
        {"volume": 4200.0},
        {"open_price": 5.0, "high_price": 5.5, "low_price": 4.5, "close_price": 5.25, "volume": 2000.0},
    ],
    ids=["a close", "an open", "volume as before", "volume 5 % off", "another ratio"],
)
def test_one_bar_that_moved_otherwise_and_the_attempt_is_taken_at_its_word(change):
    later = attempt(2, 4.0)
    later[0] |= change
    result = cleaned(attempt(1), later)
    assert books(result) == {"processed": 6, "earlier_attempts": 6, "revised": 6}
    assert result.bars["high_price"].max() < 6


def test_another_symbols_revision_does_not_tell_against_a_rewrite():
    other = attempt(1, symbol="MSFT")
    revised = attempt(2, symbol="MSFT", close_price=10.0)
    result = cleaned(attempt(1) + other, attempt(2, 4.0) + revised)
    assert books(result) == {"processed": 12, "rewritten": 6, "earlier_attempts": 6, "revised": 6}


def test_no_split_has_the_ratio_of_a_moved_decimal_point_in_prices_alone():
    right = [{**bar, "volume": 1000.0} for bar in attempt(2)]
    wrong = [{**bar, "volume": 1000.0} for bar in attempt(1, 0.1)]
    assert cleaned(wrong, right).bars["close_price"].unique().to_list() == [10.5]


def test_a_source_that_tells_its_factor_rewrites_and_revises_nothing():
    told = [{**bar, "split_factor": 4.0} for bar in attempt(2, 4.0)]
    assert books(cleaned(attempt(1), told)) == {"processed": 6, "earlier_attempts": 6}


def test_a_bar_twice_in_the_attempt_that_rewrites_is_rewritten_twice():
    result = cleaned(attempt(1), attempt(2, 4.0) + attempt(2, 4.0, STARTS[:1]))
    assert books(result) == {"processed": 6, "rewritten": 7}


def test_coins_are_not_split():
    bars = [attempt(n, r, source="coingecko", symbol="BTC-USD") for n, r in ((1, 1.0), (2, 2.0))]
    assert cleaned(*bars, asset_class="crypto").bars["close_price"].unique().to_list() == [5.25]


@pytest.mark.parametrize(
    ("change", "revised"),
    [
        ({}, 0),
        ({"close_price": 10.51}, 6),
        ({"volume": 1234.0}, 6),
        ({"payload": "[]"}, 0),
        ({"close_price": 99.0}, 0),
    ],
    ids=["the same", "a price", "a volume", "no value", "an unsound one"],
)
def test_revised_bars_are_counted_once_however_often_they_change(change, revised):
    result = cleaned(attempt(1), attempt(2, **change), attempt(3, **change))
    assert result.counts["revised"].sum() == revised


one_bar = st.tuples(
    st.sampled_from(STARTS[:4]),
    st.sampled_from(["raw/15/1", "raw/15/2", "raw/16/1", "raw/16/3"]),
    st.floats(0.9, 1.1),
    st.sampled_from(["alpha_vantage", "yahoo"]),
    st.integers(0, 2000),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(one_bar, max_size=16))
def test_without_a_rewrite_nothing_changes(bars):
    """No pair of these prices is as far apart as the smallest split."""
    records = [
        raw_bar(
            "AAPL",
            start,
            source=source,
            raw_key=key,
            volume=float(volume),
            fetched_at=FETCHED + int(key[-1]) * HOUR,
            **{name: raw_bar("AAPL", start)[name] * scale for name in PRICES},
        )
        for start, key, scale, source, volume in bars
    ]
    result = cleaned(records)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rewrites, "SPLIT_RATIOS", ())
        without = cleaned(records)
    assert result.bars.equals(without.bars)
    assert result.counts.equals(without.counts)
    assert result.counts["rewritten"].sum() == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1.0, *rewrites.SPLIT_RATIOS]), st.integers(0, 6)), max_size=5))
def test_whatever_is_rewritten_the_books_balance_and_each_bar_is_kept_once(later):
    attempts = [
        attempt(number, ratio, STARTS[:count], open_price=1000.0, high_price=1100.0, low_price=900.0)
        for number, (ratio, count) in enumerate(later)
    ]
    attempts = [[{**bar, "close_price": bar["open_price"]} for bar in bars] for bars in attempts]
    result = cleaned(*attempts)
    books(result)
    assert result.bars["timestamp"].is_unique().all()
    assert result.bars.height == max([count for _, count in later], default=0)
