"""The SQL of Snowflake's objects and loads, from the one description of every table.

Text alone: nothing is executed here. Every statement may be run again. Names are written in capitals
and between quotes, which is what Snowflake makes of names without quotes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fin_lake.errors import FinLakeError
from fin_lake.lake.layout import dataset_prefix, hour_object
from fin_lake.partitions import HourRange
from fin_lake.schema import ColumnType, Table, sql_literal
from fin_lake.settings import Settings
from fin_lake.tables import POSTGRES_TABLES, TABLES_BY_ASSET

Format = Literal["json", "parquet"]

LAYER: Final = "snowflake"
SOURCES: Final[Mapping[str, str]] = {
    key.replace("market/", f"{LAYER}/"): next(
        source
        for source in (key.replace("market/", "processed/"), key.removeprefix("market/"))
        if source in TABLES_BY_ASSET
    )
    for key in TABLES_BY_ASSET
    if key.startswith("market/")
}
"""What is loaded into Snowflake: the key of each asset there, and that of the lake's."""
LOADS: Final = "LOADS"
"""The table that loads write first, so that those into one table wait for each other."""
_STAGED: Final = "processed/"
_MOST_FILES: Final = 1_000  # that Snowflake takes in one FILES = (…)
_TYPES: Final[Mapping[ColumnType, str]] = {
    ColumnType.STRING: "VARCHAR",
    # an instant, whatever the session's zone; TIMESTAMP_NTZ would take that zone's clock for UTC
    ColumnType.TIMESTAMP: "TIMESTAMP_LTZ(6)",
    ColumnType.DOUBLE: "DOUBLE",
    ColumnType.BIGINT: "NUMBER(38, 0)",
    ColumnType.BOOLEAN: "BOOLEAN",
}
_FORMATS: Final[Mapping[Format, tuple[str, str]]] = {
    # without the logical types a time would arrive as the number of its microseconds
    "parquet": ("LAKE_PARQUET", "TYPE = PARQUET USE_LOGICAL_TYPE = TRUE"),
    "json": ("LAKE_JSON", "TYPE = JSON COMPRESSION = GZIP"),
}


class SnowflakeError(FinLakeError):
    """Snowflake refuses something, or what would be asked of it makes no sense."""


@dataclass(frozen=True, slots=True)
class Names:
    """What Snowflake's objects are called in this installation, ready to stand in SQL."""

    settings: Settings

    @property
    def database(self) -> str:
        """The database."""
        return _quoted(self.settings.snowflake_database)

    @property
    def schema(self) -> str:
        """The schema, with its database."""
        return f"{self.database}.{_quoted(self.settings.snowflake_schema)}"

    @property
    def stage(self) -> str:
        """The stage over the lake, with its schema."""
        return self.inside(self.settings.snowflake_stage)

    @property
    def integration(self) -> str:
        """The storage integration, which belongs to the account."""
        return _quoted(self.settings.snowflake_integration)

    def inside(self, name: str) -> str:
        """Return an object of the schema, with it."""
        return f"{self.schema}.{_quoted(name)}"


def objects(settings: Settings) -> list[str]:
    """Return the statements that make all that a load needs, in their order.

    Raises
    ------
    SnowflakeError
        It is not set which role of AWS Snowflake reads the bucket with.
    """
    names = Names(settings)
    return [
        f"CREATE DATABASE IF NOT EXISTS {names.database} COMMENT = 'Market data of fin_lake'",
        f"CREATE SCHEMA IF NOT EXISTS {names.schema} COMMENT = 'Tables of the lake, loaded by the hour'",
        *(
            f"CREATE OR REPLACE FILE FORMAT {names.inside(name)} {options}"
            for name, options in _FORMATS.values()
        ),
        _integration(settings),
        f"CREATE OR REPLACE STAGE {names.stage} URL = '{stage_url(settings)}'"
        f" STORAGE_INTEGRATION = {names.integration}"
        f" FILE_FORMAT = (FORMAT_NAME = {_format(names, 'parquet')})"
        " COMMENT = 'What the lake has cleaned and computed'",
        *(_table(names, table) for table in POSTGRES_TABLES),
        *_loads(names),
        *_grants(names),
    ]


def stage_url(settings: Settings) -> str:
    """Return where the stage lies: all that the role may read."""
    return f"s3://{settings.bucket}/{_STAGED}"


def _integration(settings: Settings) -> str:
    if not settings.snowflake_storage_role:
        raise SnowflakeError(
            "SNOWFLAKE_STORAGE_ROLE_ARN is not set: Snowflake reads the bucket with a role of yours",
            "set it to arn:aws:iam::ACCOUNT:role/"
            f"{settings.stack_name}-snowflake, which `fin-lake deploy` makes of SnowflakePrincipal",
        )
    # never replaced: a new one has another external id, and the role trusts the old one
    return (
        f"CREATE STORAGE INTEGRATION IF NOT EXISTS {Names(settings).integration} TYPE = EXTERNAL_STAGE"
        f" STORAGE_PROVIDER = 'S3' ENABLED = TRUE STORAGE_AWS_ROLE_ARN = '{settings.snowflake_storage_role}'"
        f" STORAGE_ALLOWED_LOCATIONS = ('{stage_url(settings)}')"
    )


def _table(names: Names, table: Table) -> str:
    columns = [
        f"{_quoted(c.name)} {_TYPES[c.type]}{'' if c.nullable else ' NOT NULL'}"
        f" COMMENT {sql_literal(c.description)}"
        for c in table.columns
    ]
    # Snowflake enforces NOT NULL and believes the key: that it holds is for the loads to see to
    columns.append(f"PRIMARY KEY ({', '.join(map(_quoted, table.key))})")
    body = ",\n    ".join(columns)
    return (
        f"CREATE TABLE IF NOT EXISTS {names.inside(table.postgres)} (\n    {body}\n)"
        f" COMMENT = {sql_literal(table.description)}"
    )


def _loads(names: Names) -> Iterator[str]:
    place = names.inside(LOADS)
    yield (
        f"CREATE TABLE IF NOT EXISTS {place} ("
        "\"TABLE_NAME\" VARCHAR NOT NULL COMMENT 'The table that was loaded',"
        " \"FIRST_HOUR\" TIMESTAMP_LTZ(6) COMMENT 'The first hour of its latest load, UTC',"
        " \"LAST_HOUR\" TIMESTAMP_LTZ(6) COMMENT 'The last hour of its latest load, UTC',"
        " \"LOADED_AT\" TIMESTAMP_LTZ(6) COMMENT 'When that was',"
        " PRIMARY KEY (\"TABLE_NAME\")) COMMENT = 'The latest load into each table'"
    )
    for table in POSTGRES_TABLES:
        name = sql_literal(table.postgres.upper())
        yield (
            f'MERGE INTO {place} AS known USING (SELECT {name} AS "TABLE_NAME") AS wanted'
            ' ON known."TABLE_NAME" = wanted."TABLE_NAME"'
            ' WHEN NOT MATCHED THEN INSERT ("TABLE_NAME") VALUES (wanted."TABLE_NAME")'
        )


def _grants(names: Names) -> Iterator[str]:
    if not names.settings.snowflake_role:
        return
    role = _quoted(names.settings.snowflake_role)
    for privileges, what in (
        ("USAGE", f"DATABASE {names.database}"),
        ("USAGE", f"SCHEMA {names.schema}"),
        ("USAGE", f"STAGE {names.stage}"),
        *(("USAGE", f"FILE FORMAT {names.inside(name)}") for name, _ in _FORMATS.values()),
        *(
            ("SELECT, INSERT, UPDATE, DELETE", f"TABLE {names.inside(name)}")
            for name in (*(table.postgres for table in POSTGRES_TABLES), LOADS)
        ),
    ):
        yield f"GRANT {privileges} ON {what} TO ROLE {role}"


def replacement(
    settings: Settings,
    table: Table,
    hours: HourRange,
    parts: Sequence[str] = (),
    file_format: Format = "parquet",
) -> list[str]:
    """Return the transaction that replaces the rows of hours by those of their objects.

    An object keeps its name when its hour is made again, and Snowflake's load history knows objects by
    name and ETag: it would pass over an hour whose rows were deleted here, and load a changed one beside
    its old rows. So the hours are deleted and copied whatever the history says, all of them or none.

    Parameters
    ----------
    parts : sequence of str
        Of a table that is split by a column: its values.

    Returns
    -------
    list of str
        ``BEGIN``, the update of ``LOADS``, the deletion, at least one ``COPY``, ``COMMIT``.
    """
    names = Names(settings)
    return [
        "BEGIN TRANSACTION",
        f'UPDATE {names.inside(LOADS)} SET "FIRST_HOUR" = {_moment(hours.start)},'
        f' "LAST_HOUR" = {_moment(max(hours))}, "LOADED_AT" = CURRENT_TIMESTAMP()'
        f' WHERE "TABLE_NAME" = {sql_literal(table.postgres.upper())}',
        f"DELETE FROM {names.inside(table.postgres)} WHERE {_of_hours(table, hours)}",
        *_copies(names, table, hours, parts, file_format),
        "COMMIT",
    ]


def _copies(
    names: Names, table: Table, hours: HourRange, parts: Sequence[str], file_format: Format
) -> Iterator[str]:
    if file_format not in table.formats:
        raise SnowflakeError(
            f"the lake does not keep {table.name} as {file_format}",
            f"its formats are {', '.join(table.formats)}",
        )
    split = table.split_by
    places = [(table, "")] if split is None else [(table.part(value), value) for value in parts]
    for place, value in places:
        source = f"{dataset_prefix(place, file_format)}/"
        files = [hour_object(place, file_format, hour).removeprefix(source) for hour in hours]
        for first in range(0, len(files), _MOST_FILES):
            listed = ", ".join(map(sql_literal, files[first : first + _MOST_FILES]))
            yield (
                f"COPY INTO {_copied(names, table, source.removeprefix(_STAGED), value)}"
                f" FILES = ({listed}) FILE_FORMAT = (FORMAT_NAME = {_format(names, file_format)})"
                + ("" if split else " MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE")
                + " FORCE = TRUE"
            )


def _copied(names: Names, table: Table, folder: str, value: str) -> str:
    """Return the table and its source; a column that is no part of the objects is put in beside theirs."""
    place, stage = names.inside(table.postgres), f"@{names.stage}/{folder}"
    if not value:
        return f"{place} FROM {stage}"
    columns = [
        sql_literal(value) if c.name == table.split_by else f"$1:{c.name}::{_TYPES[c.type]}"
        for c in table.columns
    ]
    named = ", ".join(map(_quoted, table.column_names))
    return f"{place} ({named}) FROM (SELECT {', '.join(columns)} FROM {stage})"


def rows_of_hours(settings: Settings, table: Table, hours: HourRange) -> str:
    """Return the query of the rows of hours: the table's columns, by its key."""
    columns = ", ".join(map(_quoted, table.column_names))
    return (
        f"SELECT {columns} FROM {Names(settings).inside(table.postgres)} WHERE {_of_hours(table, hours)}"
        f" ORDER BY {', '.join(map(_quoted, table.key))}"
    )


def sums_of_hours(settings: Settings, table: Table, hours: HourRange) -> str:
    """Return the query of each hour's number of rows and sums of numbers: ``hour``, ``rows``, the columns."""
    summed = ", ".join(f"SUM({_quoted(name)})" for name in table.number_names)
    return (
        f"SELECT DATE_TRUNC('HOUR', {_quoted(table.hour_column)}), COUNT(*), {summed}"
        f" FROM {Names(settings).inside(table.postgres)} WHERE {_of_hours(table, hours)} GROUP BY 1 ORDER BY 1"
    )


def counts_of_hours(settings: Settings, table: Table, hours: HourRange) -> str:
    """Return the query of the number of rows of each hour that has any: ``hour``, ``rows``."""
    return (
        f"SELECT DATE_TRUNC('HOUR', {_quoted(table.hour_column)}), COUNT(*)"
        f" FROM {Names(settings).inside(table.postgres)} WHERE {_of_hours(table, hours)} GROUP BY 1"
    )


def _of_hours(table: Table, hours: HourRange) -> str:
    column = _quoted(table.hour_column)
    condition = f"{column} >= {_moment(hours.start)} AND {column} < {_moment(hours.end)}"
    if table.postgres_part is None:
        return condition
    name, value = table.postgres_part
    return f"{condition} AND {_quoted(name)} = {sql_literal(value)}"


def _moment(moment: dt.datetime) -> str:
    return f"'{moment:%Y-%m-%d %H:%M:%S} +00:00'::TIMESTAMP_LTZ"


def _format(names: Names, file_format: Format) -> str:
    """Return a file format as the value of an option, which is a text."""
    return sql_literal(names.inside(_FORMATS[file_format][0]).replace('"', ""))


def _quoted(name: str) -> str:
    return '"' + name.upper().replace('"', '""') + '"'
