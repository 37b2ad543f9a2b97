"""No raw object is missed, whatever the order in which objects come and are listed."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fin_lake.lake.store import ObjectInfo
from fin_lake.lake.watching import (
    LOOK_BACK,
    MOST_REMEMBERED,
    PATIENCE,
    Memory,
    hours_to_sweep,
    recent_hours,
    remember,
    unseen,
    version_id,
)
from fin_lake.partitions import parse_hour

NOW = dt.datetime(2023, 1, 10, 12, 30, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def listed(name: str, modified: dt.datetime = NOW, etag: str = "1") -> ObjectInfo:
    return ObjectInfo(f"raw/stocks/{name}", 10, modified, etag)


def look(memory: Memory, there: list[ObjectInfo], *, settle: bool = True) -> tuple[set[str], Memory]:
    fresh = unseen(memory, there)
    after = remember(memory, there, fresh if settle else [], NOW, None)
    return {info.key.rpartition("/")[2] for info in fresh}, Memory.from_json(after.to_json())


def test_objects_of_the_same_second_are_all_seen_and_each_once():
    seen, memory = look(Memory(), [listed("a")])
    assert seen == {"a"}
    seen, memory = look(memory, [listed("a"), listed("b")])
    assert seen == {"b"}
    seen, memory = look(memory, [listed("0"), listed("a"), listed("b")])
    assert seen == {"0"}
    assert look(memory, [listed("0"), listed("a"), listed("b")])[0] == set()


def test_an_object_that_is_rewritten_is_seen_again():
    _, memory = look(Memory(), [listed("a")])
    seen, memory = look(memory, [listed("a", NOW, etag="2")])
    assert seen == {"a"}
    seen, memory = look(memory, [listed("a", NOW + SECOND, etag="2")])
    assert seen == {"a"}


def test_an_object_stamped_earlier_than_one_that_was_seen_before_it_is_not_lost():
    _, memory = look(Memory(), [listed("late", NOW)])
    early = NOW - LOOK_BACK + SECOND
    assert look(memory, [listed("late", NOW), listed("early", early)])[0] == {"early"}


def test_deletions_bring_nothing_back():
    there = [listed("a"), listed("b"), listed("c", NOW - dt.timedelta(hours=2))]
    _, memory = look(Memory(), there)
    for rest in ([there[1]], [], there[2:]):
        seen, memory = look(memory, rest)
        assert seen == set()
    # the ones that held the mark are gone too, and what comes after them is seen
    assert look(memory, [listed("d", NOW + SECOND)])[0] == {"d"}


def test_what_could_not_be_dealt_with_is_seen_again_until_patience_ends():
    waiting = listed("waiting", NOW - dt.timedelta(hours=1))
    memory = remember(Memory(), [waiting, listed("a")], [listed("a")], NOW, None)
    assert unseen(memory, [waiting, listed("a")]) == [waiting]
    later = NOW + PATIENCE
    memory = remember(memory, [waiting, listed("b", later)], [listed("b", later)], later, None)
    assert unseen(memory, [waiting, listed("b", later)]) == []  # the sweep has it now


def test_the_memory_is_bounded_and_forgets_nothing_but_work():
    many = [listed(str(i)) for i in range(3 * MOST_REMEMBERED)]
    memory = remember(Memory(), many, many, NOW, dt.date(2023, 1, 1))
    assert len(memory.versions) == MOST_REMEMBERED
    assert len(memory.to_json()) < 50_000


@pytest.mark.parametrize(
    "text", [None, "", "nonsense", "[1]", '{"watermark": "yesterday"}', '{"versions": 3}']
)
def test_a_cursor_that_is_none_is_an_empty_memory(text: str | None):
    assert Memory.from_json(text) == Memory()


def test_a_memory_survives_its_text():
    memory = Memory(NOW, frozenset({version_id(listed("a"))}), dt.date(2023, 1, 5))
    assert Memory.from_json(memory.to_json()) == memory


@given(st.integers(0, 2**32), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_every_version_is_seen_once_whatever_comes_between_looks(seed: int, count: int):
    """Objects come, are rewritten and vanish at random, with times up to the look-back old."""
    rng = random.Random(seed)
    there: dict[str, ObjectInfo] = {}
    memory, clock = Memory(), NOW
    seen: list[str] = []
    expected: set[str] = set()
    for _ in range(count):
        clock += rng.choice([dt.timedelta(), SECOND, dt.timedelta(minutes=3)])
        for _ in range(rng.randint(0, 4)):
            age = rng.choice([dt.timedelta(), SECOND, LOOK_BACK - SECOND])
            info = listed(str(rng.randint(0, 9)), clock - age, etag=str(rng.random()))
            there[info.key] = info
        if there and rng.random() < 0.2:
            del there[rng.choice(list(there))]
        objects = list(there.values())
        rng.shuffle(objects)
        expected |= {version_id(info) for info in objects}
        fresh = unseen(memory, objects)
        seen += [version_id(info) for info in fresh]
        memory = Memory.from_json(remember(memory, objects, fresh, clock, None).to_json())
    assert len(seen) == len(set(seen))
    assert set(seen) == expected


def test_recent_hours_reach_two_days_back_and_hold_the_current_one():
    hours = recent_hours(parse_hour("2023-01-01"), NOW)
    assert (hours.first_key, hours.last_key) == ("2023-01-08-12:00", "2023-01-10-12:00")
    assert recent_hours(parse_hour("2023-01-10T03"), NOW).first_key == "2023-01-10-03:00"
    assert len(recent_hours(parse_hour("2023-01-11"), NOW)) == 1  # before the first hour is over


def test_the_sweep_goes_round_every_older_day_and_begins_again():
    first, swept, days = parse_hour("2023-01-01T05"), None, []
    for _ in range(8):
        hours = hours_to_sweep(first, NOW, swept)
        assert hours is not None
        swept = hours.end.date() - dt.timedelta(days=1)
        days.append((hours.start.day, swept.day))
    assert days == [(1, 2), (3, 4), (5, 6), (7, 8), (1, 2), (3, 4), (5, 6), (7, 8)]
    assert hours_to_sweep(first, NOW, dt.date(2030, 1, 1)).start.day == 1  # the clock was put back
