"""Bytes and requests are counted once, by the run that causes them."""

from __future__ import annotations

import threading

import pytest

from fin_lake.lake.store import MissingObjectError
from fin_lake.traffic import traffic


@pytest.fixture(autouse=True)
def nothing_counted():
    traffic().take()


def test_objects_written_read_and_listed_are_counted(lake):
    lake.put("raw/a", b"12345")
    lake.put_new("raw/b", b"123")
    lake.put_new("raw/b", b"123")  # refused, but sent
    lake.get("raw/a")
    lake.head("raw/b")
    lake.list_objects(["raw"])
    counted = traffic().take()
    assert {name: count for name, count in counted.items() if count} == {
        "s3_puts": 3,
        "bytes_put": 11,
        "s3_gets": 2,
        "bytes_got": 5,
        "s3_lists": 1,
    }
    assert not any(traffic().take().values())


def test_what_threads_of_the_lake_move_counts_where_they_were_started(lake):
    for number in range(40):
        lake.put(f"raw/{number}", b"x" * number)
    traffic().take()
    lake.get_many([f"raw/{number}" for number in range(40)])
    counted = traffic().take()
    assert (counted["s3_gets"], counted["bytes_got"]) == (40, sum(range(40)))


def test_runs_in_threads_of_their_own_do_not_count_each_others(lake):
    lake.put("raw/a", b"12345")
    traffic().take()
    counted: dict[str, dict[str, int]] = {}
    ready = threading.Barrier(2)

    def run(name: str, times: int) -> None:
        ready.wait()
        for _ in range(times):
            lake.get_many(["raw/a"] * 3)
        counted[name] = traffic().take()

    threads = [threading.Thread(target=run, args=one) for one in (("one", 2), ("other", 5))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted["one"]["bytes_got"] == 2 * 3 * 5
    assert counted["other"]["bytes_got"] == 5 * 3 * 5
    assert not any(traffic().take().values())


def test_a_request_that_brings_nothing_counts_no_byte(lake):
    with pytest.raises(MissingObjectError):
        lake.get("raw/not-there")
    assert traffic().take()["bytes_got"] == 0
