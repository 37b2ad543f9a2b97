"""Hours into Snowflake: the real connector, a server that answers it, and stages on the stack's S3."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl
import pytest

from fin_lake.assets.hourly import tags_of_hours
from fin_lake.definitions import SNOWFLAKE_JOB, build_definitions
from fin_lake.engines.snowflake import sql
from fin_lake.engines.snowflake.connection import Snowflake
from fin_lake.engines.snowflake.loading import LoadError, make_objects, read_hours, replace_hours
from fin_lake.engines.snowflake.sql import SnowflakeError
from fin_lake.lake.layout import hour_object
from fin_lake.lake.processed import read_hours as read_from_lake
from fin_lake.lake.processed import write_hours
from fin_lake.lake.store import Lake
from fin_lake.partitions import HOUR, HourRange, parse_hour
from fin_lake.portfolios.definitions import load_portfolios
from fin_lake.schema import Table
from fin_lake.settings import Settings
from fin_lake.tables import PORTFOLIOS, PROCESSED, TABLES_BY_ASSET, TECHNICAL_ANALYSIS
from fin_lake_tests.conftest import hours, own_stores
from fin_lake_tests.frames import stock_bars
from fin_lake_tests.snowflake_account import ACCOUNT, snowflake_server

pytestmark = pytest.mark.stack
STOCKS = PROCESSED["stocks"]
AT = parse_hour("2023-01-19T15")
HOURS = HourRange(AT, AT + 3 * HOUR)
NAMES = ("growth", "sixty_forty")


@pytest.fixture(scope="module")
def server(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    assert stack.aws_endpoint_url is not None
    with snowflake_server(stack.aws_endpoint_url, tmp_path_factory.mktemp("snowflake") / "log") as arguments:
        yield arguments


@pytest.fixture
def snowflake(stack: Settings, server: dict[str, Any]) -> Snowflake:
    """A database of the test's own over a lake of its own, with two hours of bars and an empty one."""
    settings = own_stores(stack, **ACCOUNT)
    settings = settings.model_copy(update={"snowflake_database": settings.glue_database})
    write_hours(Lake(settings), STOCKS, HOURS, two_hours())
    made = Snowflake(settings, **server)
    make_objects(made)
    return made


def two_hours() -> dict[dt.datetime, pl.DataFrame]:
    return {
        AT: pl.concat([stock_bars("AAPL", AT, 2), stock_bars("MSFT", AT, 2)]),
        AT + HOUR: stock_bars("AAPL", AT + HOUR, 2),
    }


def in_lake(snowflake: Snowflake, table: Table = STOCKS, parts: tuple[str, ...] = ()) -> pl.DataFrame:
    return read_from_lake(Lake(snowflake.settings), table, HOURS, parts=parts).sort(table.key)


def loaded(snowflake: Snowflake, table: Table = STOCKS) -> pl.DataFrame:
    return read_hours(snowflake, table, HOURS).sort(table.key)


def made_up(table: Table, **of_row: Any) -> pl.DataFrame:
    """Return two rows of any table, the second with nulls wherever there may be some."""
    values = {"string": "text", "timestamp": AT, "double": 0.1, "bigint": 2**53 + 1, "boolean": True}
    full = {c.name: values[c.type] for c in table.columns} | of_row
    sparse = full | {c.name: None for c in table.columns if c.nullable} | {"timestamp": AT + HOUR}
    return pl.DataFrame([full, sparse], schema=table.polars_schema())


def test_hours_loaded_twice_are_the_lakes_row_by_row(snowflake: Snowflake):
    first, second = (replace_hours(snowflake, STOCKS, HOURS) for _ in range(2))
    assert (first.deleted, first.loaded) == (0, {AT: 4, AT + HOUR: 2})
    assert (second.deleted, second.loaded) == (6, {AT: 4, AT + HOUR: 2})
    assert loaded(snowflake).equals(in_lake(snowflake))


def test_an_hour_that_was_made_again_replaces_its_rows_alone(snowflake: Snowflake):
    replace_hours(snowflake, STOCKS, HOURS)
    corrected = stock_bars("NVDA", AT, 1)
    write_hours(Lake(snowflake.settings), STOCKS, HourRange.of(AT), {AT: corrected})
    replace_hours(snowflake, STOCKS, HourRange.of(AT))
    assert loaded(snowflake)["symbol"].to_list() == ["AAPL", "AAPL", "NVDA"]
    assert loaded(snowflake).equals(in_lake(snowflake))


def test_a_failure_in_the_middle_leaves_the_old_rows_and_a_retry_makes_it_good(snowflake: Snowflake):
    replace_hours(snowflake, STOCKS, HOURS)
    before, lake = loaded(snowflake), Lake(snowflake.settings)
    write_hours(lake, STOCKS, HourRange.of(AT), {AT: stock_bars("NVDA", AT, 2)})
    lake.put(hour_object(STOCKS, "parquet", AT + HOUR), b"no Parquet")
    with pytest.raises(SnowflakeError):
        replace_hours(snowflake, STOCKS, HOURS)
    assert loaded(snowflake).equals(before)
    write_hours(lake, STOCKS, HourRange.of(AT + HOUR), {AT + HOUR: stock_bars("AAPL", AT + HOUR, 2)})
    for _ in range(2):
        replace_hours(snowflake, STOCKS, HOURS)
        assert loaded(snowflake).equals(in_lake(snowflake))


def test_rows_of_another_hour_are_not_let_in(snowflake: Snowflake):
    replace_hours(snowflake, STOCKS, HOURS)
    strangers = stock_bars("AAPL", AT - HOUR, 3)  # two of them of the hour before
    write_hours(Lake(snowflake.settings), STOCKS, HourRange.of(AT), {AT: strangers})
    with pytest.raises(LoadError, match="3 rows were read, 1 are of these hours"):
        replace_hours(snowflake, STOCKS, HourRange.of(AT))
    assert loaded(snowflake).height == 6
    assert read_hours(snowflake, STOCKS, HourRange.of(AT - HOUR)).is_empty()


def test_tables_that_share_one_replace_their_own_part(snowflake: Snowflake):
    lake = Lake(snowflake.settings)
    for asset_class, table in TECHNICAL_ANALYSIS.items():
        rows = made_up(table, asset_class=asset_class, symbol=asset_class)
        write_hours(lake, table, HOURS, {AT: rows[:1], AT + HOUR: rows[1:]})
    for table in (*TECHNICAL_ANALYSIS.values(), TECHNICAL_ANALYSIS["stocks"]):
        replace_hours(snowflake, table, HOURS)
    for table in TECHNICAL_ANALYSIS.values():
        assert loaded(snowflake, table).equals(in_lake(snowflake, table))


@pytest.mark.parametrize("name", PORTFOLIOS)
def test_what_the_folder_says_and_the_object_does_not_is_loaded_too(snowflake: Snowflake, name: str):
    table = PORTFOLIOS[name]
    rows = pl.concat([made_up(table, portfolio=one) for one in NAMES])
    by_hour = {hour: rows.filter(pl.col("timestamp") == hour) for hour in (AT, AT + HOUR)}
    write_hours(Lake(snowflake.settings), table, HOURS, by_hour, NAMES)
    for _ in range(2):
        replace_hours(snowflake, table, HOURS, NAMES)
    assert loaded(snowflake, table).equals(in_lake(snowflake, table, NAMES))


def test_the_job_loads_a_range_twice_and_the_checks_compare_it_with_the_lake(snowflake: Snowflake):
    settings, lake = snowflake.settings, Lake(snowflake.settings)
    parts = tuple(load_portfolios(settings.portfolios_file))
    for source in sql.SOURCES.values():
        if source != "processed/stocks":
            write_hours(lake, TABLES_BY_ASSET[source], HOURS, {}, parts)
    definitions = build_definitions(settings, resources={"snowflake": snowflake})
    job = definitions.resolve_job_def(SNOWFLAKE_JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            run = job.execute_in_process(instance=instance, tags=tags_of_hours(HOURS))
            assert run.success
        event = instance.get_latest_materialization_event(dg.AssetKey(["snowflake", "stocks"]))
    checks = {one.asset_key.to_user_string(): one for one in run.get_asset_check_evaluations()}
    assert set(checks) == set(sql.SOURCES)
    assert all(one.passed for one in checks.values())
    assert checks["snowflake/stocks"].metadata["rows_there"].value == 6
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["rows_replaced"].value == 6


def test_the_check_finds_an_hour_that_is_no_longer_the_lakes(snowflake: Snowflake):
    replace_hours(snowflake, STOCKS, HOURS)
    with snowflake.connect() as connection:
        place = sql.Names(snowflake.settings).inside("stocks")
        connection.cursor().execute(f'UPDATE {place} SET "VOLUME" = 0 WHERE "SYMBOL" = \'MSFT\'')
    definitions = build_definitions(snowflake.settings, resources={"snowflake": snowflake})
    key = dg.AssetKey(["snowflake", "stocks"])
    check = dg.AssetCheckKey(key, "equals_lake")
    job = definitions.resolve_job_def(SNOWFLAKE_JOB).get_subset(
        asset_selection=set(), asset_check_selection={check}
    )
    run = job.execute_in_process(tags=tags_of_hours(HOURS), raise_on_error=False)
    (found,) = run.get_asset_check_evaluations()
    assert not found.passed
    assert found.description is not None
    assert "volume" in found.description


def test_the_stage_and_copy_of_the_overview_load_every_bar(snowflake: Snowflake):
    """As it is written it reads Parquet as JSON; with ``json/`` behind the folder it loads all bars once."""
    with snowflake.connect() as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE financial_stocks (record VARIANT)")
        cursor.execute(
            "CREATE STAGE financial_stage_by_key\n"
            f"URL = 's3://{snowflake.settings.bucket}/processed/'\n"
            "CREDENTIALS = (AWS_KEY_ID = 'test' AWS_SECRET_KEY = 'test')"
        )
        for _ in range(2):
            cursor.execute(
                "COPY INTO financial_stocks\nFROM @financial_stage_by_key/stocks/json/\n"
                "FILE_FORMAT = (TYPE = JSON)"
            )
        bars = cursor.execute(
            "SELECT record:symbol::VARCHAR, record:timestamp::TIMESTAMP_LTZ, record:close_price::DOUBLE,"
            " record:volume::NUMBER FROM financial_stocks ORDER BY 1, 2"
        ).fetchall()
    wanted = in_lake(snowflake).sort("symbol", "timestamp")
    assert bars == wanted.select("symbol", "timestamp", "close_price", "volume").rows()


def test_a_load_without_its_objects_in_snowflake_says_what_makes_them(
    stack: Settings, server: dict[str, Any]
):
    settings = own_stores(stack, **ACCOUNT)
    nowhere = Snowflake(settings.model_copy(update={"snowflake_database": settings.glue_database}), **server)
    with pytest.raises(SnowflakeError, match="fin-lake snowflake ddl --apply"):
        replace_hours(nowhere, STOCKS, hours("2023-01-19T15"))
