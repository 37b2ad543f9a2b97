"""The PostgreSQL IO manager by itself, on a real server."""

from __future__ import annotations

import threading

import pandas as pd
import psycopg
import pytest

from fin_lake.io_managers.postgres import PostgresIOManager
from fin_lake.lake.frames import FrameError
from fin_lake.partitions import HOUR, HourRange, parse_hour
from fin_lake.settings import Settings
from fin_lake.tables import PROCESSED
from fin_lake.warehouse.market import connect, ensure_schema, read_hours, replace_hours
from fin_lake_tests.frames import stock_bars
from fin_lake_tests.unit.io_managers.test_s3_io_managers import context_of, reading, run_range

pytestmark = pytest.mark.stack
STOCKS = PROCESSED["stocks"]
AT = parse_hour("2023-01-19T15")
KEY = ["market", "stocks"]
TAGS = {
    "dagster/asset_partition_range_start": "2023-01-19-15:00",
    "dagster/asset_partition_range_end": "2023-01-19-17:00",
}


def rows_between(settings: Settings, start, end) -> list[tuple[str, float]]:
    sql = (
        "select symbol, close_price from market.stocks "
        "where timestamp >= %s and timestamp < %s order by timestamp"
    )
    with psycopg.connect(settings.database()) as connection:
        return connection.execute(sql, (start, end)).fetchall()


def test_one_hour_is_replaced_and_its_neighbours_are_not(stack_settings: Settings):
    manager = PostgresIOManager(stack_settings)
    for hour in (AT, AT + HOUR):
        manager.handle_output(context_of(hour, KEY), stock_bars("AAPL", hour, 2))
    manager.handle_output(context_of(AT, KEY), stock_bars("MSFT", AT, 1))
    assert rows_between(stack_settings, AT, AT + 2 * HOUR) == [("MSFT", 11.0), ("AAPL", 11.0), ("AAPL", 12.0)]


def test_an_hour_without_rows_becomes_empty(stack_settings: Settings):
    manager = PostgresIOManager(stack_settings)
    manager.handle_output(context_of(AT, KEY), stock_bars("AAPL", AT, 2))
    manager.handle_output(context_of(AT, KEY), STOCKS.empty())
    assert rows_between(stack_settings, AT, AT + HOUR) == []


def test_a_range_is_written_twice_and_loaded_as_pandas(stack_settings: Settings):
    seen: list[pd.DataFrame] = []
    reader = reading(pd.DataFrame, seen, key=KEY)
    for _ in range(2):
        result = run_range(
            PostgresIOManager(stack_settings),
            KEY,
            lambda: stock_bars("AAPL", AT, 4),
            reader=reader,
            tags=TAGS,
        )
    assert isinstance(seen[1], pd.DataFrame)
    assert seen[1]["close_price"].tolist() == [11, 12, 13, 14]
    assert str(seen[1]["timestamp"].dt.tz) == "UTC"
    made = {m.partition: m.metadata for m in result.asset_materializations_for_node("market__stocks")}
    counts = {key[-5:]: metadata["dagster/partition_row_count"].value for key, metadata in made.items()}
    assert counts == {"15:00": 2, "16:00": 2, "17:00": 0}
    assert made["2023-01-19-15:00"]["dagster/table_name"].value == "market.stocks"


def test_a_frame_that_does_not_fit_leaves_the_hour_as_it_was(stack_settings: Settings):
    manager = PostgresIOManager(stack_settings)
    manager.handle_output(context_of(AT, KEY), stock_bars("AAPL", AT, 2))
    with pytest.raises(FrameError, match="lie outside"):
        manager.handle_output(context_of(AT, KEY), stock_bars("AAPL", AT + HOUR, 2))
    assert len(rows_between(stack_settings, AT, AT + HOUR)) == 2


def test_two_writers_of_one_hour_leave_the_rows_of_one(stack_settings: Settings):
    """Without a lock the second delete would not see the first writer's rows, and both sets would stay."""
    hour = HourRange.of(parse_hour("2023-01-20T15"))
    with connect(stack_settings.database()) as connection:
        ensure_schema(connection)
        replace_hours(connection, STOCKS, hour, stock_bars("IBM", hour.start, 2))

    def second() -> None:
        with connect(stack_settings.database()) as connection:
            replace_hours(connection, STOCKS, hour, stock_bars("MSFT", hour.start, 2))

    thread = threading.Thread(target=second)
    with connect(stack_settings.database()) as first, first.transaction():
        replace_hours(first, STOCKS, hour, stock_bars("AAPL", hour.start, 2))
        thread.start()
        with psycopg.connect(stack_settings.database(), autocommit=True) as looking:
            waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = %s"
            while looking.execute(waiting, (looking.info.dbname,)).fetchone() == (0,):
                assert thread.is_alive(), "the second writer must wait for the first"
    thread.join()
    with connect(stack_settings.database()) as connection:
        left = read_hours(connection, STOCKS, hour)
    assert left["symbol"].to_list() == ["MSFT", "MSFT"]


def test_comments_tell_what_the_columns_mean(stack_settings: Settings):
    with connect(stack_settings.database()) as connection:
        ensure_schema(connection)
        sql = (
            "select col_description('market.stocks'::regclass, 2), obj_description('market.stocks'::regclass)"
        )
        (row,) = connection.execute(sql).fetchall()
    assert row == ("Start of the bar, UTC", STOCKS.description)


def test_a_writer_does_not_wait_for_who_reads_a_view(stack_settings: Settings):
    with connect(stack_settings.database()) as connection:
        ensure_schema(connection)
    with psycopg.connect(stack_settings.database()) as reader:
        reader.execute("select * from market.latest_prices limit 1")  # and its transaction stays open
        with psycopg.connect(stack_settings.database(), options="-c lock_timeout=500ms") as writer:
            ensure_schema(writer)


@pytest.mark.parametrize(
    "damage", ["drop view market.stocks_total_return", "comment on schema market is 'of an older version'"]
)
def test_what_is_missing_or_old_is_made_again(stack_settings: Settings, damage: str):
    said = "select obj_description(to_regnamespace('market'))"
    with connect(stack_settings.database()) as connection:
        ensure_schema(connection)
        version = connection.execute(said).fetchone()
        connection.execute(damage)
        ensure_schema(connection)
        assert connection.execute("select count(*) from market.stocks_total_return").fetchone()
        assert connection.execute(said).fetchone() == version
