"""The schema ``reporting``: views for BI tools, and the role that may read them and nothing else.

Views are read by their owner's right, so the role needs none on ``market``. Of a function in a view
PostgreSQL asks what its caller may: prices adjusted for splits and dividends therefore come from
functions that run by their owner's right.
"""

from __future__ import annotations

from typing import Final, LiteralString

import psycopg
from psycopg import sql

from fin_lake.errors import FinLakeError
from fin_lake.tables import POSTGRES_TABLES
from fin_lake.warehouse.market import ensure_schema

REPORTING: Final = "reporting"
READER: Final = "fin_lake_reader"
_LOCK: Final = 0x7265706F72746572  # "reporter" in hexadecimal: one set-up at a time, of any database
_LEAST_PASSWORD: Final = 12
_VIEW: Final[LiteralString] = "create or replace view {} as select * from {}"
_ADJUSTED: Final[LiteralString] = """
    create or replace function {function}() returns setof {of}
    language sql stable security definer set search_path = pg_catalog, pg_temp
    as $body$ select * from {of} $body$
"""
_ADJUSTED_VIEWS: Final = ("stocks_split_adjusted", "stocks_total_return")
VIEWS: Final = (*(table.postgres for table in POSTGRES_TABLES), "latest_prices", *_ADJUSTED_VIEWS)
"""What the reader sees."""


class ReaderError(FinLakeError):
    """A reader's role that cannot be made."""


def ensure_reader(connection: psycopg.Connection, password: str) -> None:
    """Make the views and the role that reads them, or bring both up to date.

    The password leaves this process as its SCRAM verifier alone, so no log of the server holds it.

    Raises
    ------
    ReaderError
        The password is too short, or the user of the connection may not make roles.
    """
    if len(password) < _LEAST_PASSWORD:
        raise ReaderError(
            f"the reader's password is shorter than {_LEAST_PASSWORD} characters",
            "set a longer FIN_LAKE_READER_PASSWORD",
        )
    ensure_schema(connection)
    try:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            _ensure_views(connection)
            _ensure_role(connection, password)
    except psycopg.errors.InsufficientPrivilege as error:
        user = connection.info.user
        raise ReaderError(
            f"PostgreSQL does not let {user} make the role {READER}: {str(error).splitlines()[0]}",
            f"let an administrator run `alter role {user} createrole`, or name one in FIN_LAKE_DATABASE_URL",
        ) from None


def _ensure_views(connection: psycopg.Connection) -> None:
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(REPORTING)))
    for name in VIEWS:
        view, source = sql.Identifier(REPORTING, name), sql.Identifier("market", name)
        if name in _ADJUSTED_VIEWS:
            connection.execute(sql.SQL(_ADJUSTED).format(function=view, of=source))
            connection.execute(sql.SQL("revoke execute on function {}() from public").format(view))
            source_sql: sql.Composable = sql.SQL("{}()").format(view)
        else:
            source_sql = source
        connection.execute(sql.SQL(_VIEW).format(view, source_sql))


def _ensure_role(connection: psycopg.Connection, password: str) -> None:
    role, schema = sql.Identifier(READER), sql.Identifier(REPORTING)
    known = connection.execute("select 1 from pg_roles where rolname = %s", (READER,)).fetchone()
    if known is None:
        connection.execute(sql.SQL("create role {}").format(role))
    verifier = connection.pgconn.encrypt_password(password.encode(), READER.encode(), b"scram-sha-256")
    options = "login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 32"
    for statement in (
        sql.SQL("alter role {} with " + options + " password {}").format(role, verifier.decode()),
        # writing is refused by the lack of rights; this says so before anything is looked up
        sql.SQL("alter role {} set default_transaction_read_only = on").format(role),
        sql.SQL("alter role {} set statement_timeout = '5min'").format(role),
        sql.SQL("alter role {} set search_path = {}").format(role, schema),
        sql.SQL("revoke all on schema market from {}").format(role),
        sql.SQL("revoke all on all tables in schema market from {}").format(role),
        sql.SQL("grant usage on schema {} to {}").format(schema, role),
        sql.SQL("grant select on all tables in schema {} to {}").format(schema, role),
        sql.SQL("grant execute on all functions in schema {} to {}").format(schema, role),
    ):
        connection.execute(statement)
