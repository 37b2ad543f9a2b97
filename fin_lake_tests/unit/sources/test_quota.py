"""The daily quota: counted before sending, kept over restarts, and clear when its store is down."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from psycopg import OperationalError
from pyrate_limiter import AbstractBucket, Duration, InMemoryBucket, Rate, SQLiteBucket

from fin_lake.settings import Settings, load_settings
from fin_lake.sources.failures import NotAsked, QuotaExhausted
from fin_lake.sources.quota import DailyQuota, postgres_bucket
from fin_lake_tests.unit.sources.answers import question


def sqlite_bucket(path: Path, per_day: int) -> AbstractBucket:
    return SQLiteBucket.init_from_file([Rate(per_day, Duration.DAY)], table="quota", db_path=str(path))


async def taken(quota: DailyQuota, times: int) -> None:
    for _ in range(times):
        await quota.take(question())


async def test_it_is_exhausted_after_so_many_and_says_until_when():
    quota = DailyQuota(3, lambda: InMemoryBucket([Rate(3, Duration.DAY)]))
    await taken(quota, 3)

    with pytest.raises(QuotaExhausted, match=r"one is free at \d{4}-\d\d-\d\d \d\d:\d\d UTC") as caught:
        await quota.take(question())

    assert caught.value.retry_after == pytest.approx(24 * 3600, abs=60)


async def test_it_survives_a_restart(tmp_path: Path):
    before = DailyQuota(3, lambda: sqlite_bucket(tmp_path / "quota.db", 3))
    await taken(before, 2)
    before.close()

    after = DailyQuota(3, lambda: sqlite_bucket(tmp_path / "quota.db", 3))
    await taken(after, 1)

    with pytest.raises(QuotaExhausted):
        await after.take(question())
    after.close()


async def test_what_is_older_than_a_day_is_forgotten(tmp_path: Path):
    path = tmp_path / "quota.db"
    sqlite_bucket(path, 1).close()
    with sqlite3.connect(path) as database:
        database.execute(
            "insert into quota values ('request', ?)", (int(time.time() * 1000) - 25 * 3600 * 1000,)
        )

    quota = DailyQuota(1, lambda: sqlite_bucket(path, 1))
    await taken(quota, 1)
    quota.close()

    with sqlite3.connect(path) as database:
        assert database.execute("select count(*) from quota").fetchone() == (1,)


async def test_a_store_that_is_down_is_named_and_asked_once():
    opened: list[int] = []

    def refuse() -> AbstractBucket:
        opened.append(1)
        raise OperationalError("connection refused\nIs the server running?")

    quota = DailyQuota(3, refuse)
    for _ in range(3):
        with pytest.raises(NotAsked, match="connection refused") as caught:
            await quota.take(question())

    assert len(opened) == 1
    assert "FIN_LAKE_DATABASE_URL" in str(caught.value)


async def test_without_a_database_it_says_which_setting_is_missing():
    settings = load_settings()

    with pytest.raises(NotAsked, match="FIN_LAKE_DATABASE_URL is not set"):
        await DailyQuota(3, lambda: postgres_bucket(settings, "a_source", 3)).take(question())


async def test_a_database_that_does_not_answer_shows_no_password():
    settings = load_settings(database_url="postgresql://me:hunter2@127.0.0.1:1/market")

    with pytest.raises(NotAsked) as caught:
        await DailyQuota(3, lambda: postgres_bucket(settings, "a_source", 3)).take(question())

    assert "OperationalError" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_closing_what_was_never_opened_does_nothing():
    DailyQuota(3, lambda: pytest.fail("opened")).close()


@pytest.mark.stack
def test_several_workers_share_one_quota_in_postgresql(stack: Settings):
    source = f"test_{uuid.uuid4().hex[:8]}"

    def worker(_number: int) -> int:
        quota = DailyQuota(10, lambda: postgres_bucket(stack, source, 10))
        granted = 0
        try:
            for _ in range(4):
                asyncio.run(quota.take(question()))
                granted += 1
        except QuotaExhausted:
            return granted
        finally:
            quota.close()
        return granted

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(worker, range(4))) == 10
