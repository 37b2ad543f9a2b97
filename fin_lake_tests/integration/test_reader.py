"""The role for BI tools on a real PostgreSQL: it reads the views, and nothing else, and writes nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from fin_lake.settings import Settings
from fin_lake.tables import POSTGRES_TABLES, PROCESSED
from fin_lake.warehouse.market import connect, ensure_schema, replace_hours
from fin_lake.warehouse.reporting import READER, VIEWS, ReaderError, ensure_reader
from fin_lake_tests.conftest import hours
from fin_lake_tests.frames import stock_bars

pytestmark = pytest.mark.stack
PASSWORD = "a password of the test's own"
HOUR = hours("2023-01-23T15")


@pytest.fixture
def settings(stack_settings: Settings) -> Settings:
    with connect(stack_settings.database()) as connection:
        ensure_schema(connection)
        replace_hours(connection, PROCESSED["stocks"], HOUR, stock_bars("AAPL", HOUR.start, 2))
        ensure_reader(connection, PASSWORD)
    return stack_settings


def signed_in(settings: Settings, password: str = PASSWORD) -> psycopg.Connection:
    return psycopg.connect(
        make_conninfo(settings.database(), user=READER, password=password), autocommit=True
    )


@pytest.fixture
def reader(settings: Settings) -> Iterator[psycopg.Connection]:
    with signed_in(settings) as connection:
        yield connection


@pytest.mark.parametrize("view", ["stocks", "latest_prices", "stocks_split_adjusted", "stocks_total_return"])
def test_the_reader_sees_the_rows_of_the_views(view, settings, reader):
    with connect(settings.database()) as connection:
        expected = connection.execute(f"select * from market.{view} order by symbol").fetchall()
    assert expected
    assert reader.execute(f"select * from {view} order by symbol").fetchall() == expected


def test_there_is_a_view_of_every_table(reader):
    found = reader.execute(
        "select table_name from information_schema.views where table_schema = 'reporting'"
    ).fetchall()
    assert {name for (name,) in found} == set(VIEWS)
    for view in VIEWS:
        reader.execute(f"select * from reporting.{view} limit 1")


@pytest.mark.parametrize("table", [table.postgres for table in POSTGRES_TABLES])
def test_the_tables_themselves_are_closed(table, reader):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(f"select * from market.{table}")


@pytest.mark.parametrize(
    "statement",
    [
        "insert into reporting.stocks select * from reporting.stocks",
        "update reporting.stocks set volume = 0",
        "delete from reporting.stocks",
        "truncate market.stocks",
        "create table reporting.mine (x int)",
        "create table public.mine (x int)",
        "drop view reporting.stocks",
    ],
)
def test_nothing_can_be_written_though_the_session_asks_to_write(statement, reader):
    reader.execute("set default_transaction_read_only = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(statement)


def test_a_new_password_replaces_the_old_one_and_is_kept_as_scram(settings):
    with connect(settings.database()) as connection:
        ensure_reader(connection, "another password")
        (kept,) = connection.execute(
            "select rolpassword from pg_authid where rolname = %s", (READER,)
        ).fetchone()
    assert kept.startswith("SCRAM-SHA-256$")
    signed_in(settings, "another password").close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        signed_in(settings)


def test_a_right_that_somebody_gave_the_reader_is_taken_back(settings):
    with connect(settings.database()) as connection:
        connection.execute(f"grant usage on schema market to {READER}")
        connection.execute(f"grant select, insert on market.stocks to {READER}")
    with connect(settings.database()) as connection:
        ensure_reader(connection, PASSWORD)
    with signed_in(settings) as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("select * from market.stocks")


def test_who_may_not_make_roles_is_told_what_to_do(settings):
    with connect(settings.database()) as connection:
        connection.execute("drop role if exists plain_writer")
        connection.execute("create role plain_writer login password 'writes and no more'")
        name = connection.info.dbname
        connection.execute(f"grant all on database {name} to plain_writer")
        connection.execute("grant all on schema market, reporting to plain_writer")
    plain = make_conninfo(settings.database(), user="plain_writer", password="writes and no more")
    with connect(plain) as connection, pytest.raises(ReaderError) as told:
        ensure_reader(connection, PASSWORD)
    assert "plain_writer" in str(told.value)
    assert PASSWORD not in str(told.value)


def test_a_short_password_is_refused_and_not_repeated(settings):
    with connect(settings.database()) as connection, pytest.raises(ReaderError) as told:
        ensure_reader(connection, "short")
    assert "short " not in str(told.value).replace("shorter", "")


def test_the_password_is_among_the_settings_secrets(settings):
    held = settings.model_copy(update={"reader_password": SecretStr(PASSWORD)})
    assert PASSWORD in held.secrets
    assert PASSWORD not in repr(held)
