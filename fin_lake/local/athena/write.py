"""Statements that write rows into files of Hive tables: CREATE TABLE AS, INSERT INTO, UNLOAD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from duckdb.sqltypes import DuckDBPyType
from sqlglot import exp

from fin_lake.local.athena import types
from fin_lake.local.athena.definitions import Properties, properties, with_no_data
from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.files import TEXT_SEPARATOR, Rows, Target, Written, materialize, write
from fin_lake.local.athena.glue_tables import Format, GlueTable, TableName, table_input
from fin_lake.local.athena.results import Result, StatementType, counted
from fin_lake.local.athena.types import quote_name

if TYPE_CHECKING:
    from fin_lake.local.athena.session import Session

_CTAS: Final = "CREATE_TABLE_AS_SELECT"


def create_table_as(session: Session, tree: exp.Create, *, output: str) -> Result:
    """Run CREATE TABLE AS.

    Parameters
    ----------
    output : str
        The folder for a table without ``external_location``.

    Raises
    ------
    QueryFailed
        The query fails; the table or its folder exists; a column has no name, or a type that the
        table's format has not; there are too many partitions.
    """
    name, given = session.name_of(tree.this), properties(tree)
    if session.metastore.find(name) is not None:
        if tree.args.get("exists"):
            return counted(StatementType.DDL, _CTAS, 0)
        raise QueryFailed(
            f"TABLE_ALREADY_EXISTS: line 1:1: Destination table 'awsdatacatalog.{name}' already exists"
        )
    query = tree.expression.unnest()
    _require_names(query)
    rows = materialize(session, query.limit(0) if with_no_data(tree) else query)
    _require_distinct(rows)
    if str(given.get("table_type", "hive")).lower() == "iceberg":
        session.engine.iceberg.create_from(session, name, rows, given)
        return counted(StatementType.DDL, _CTAS, rows.count)
    written = _create_hive(session, name, rows, given, output)
    return counted(StatementType.DDL, _CTAS, rows.count, written.files)


def insert(session: Session, tree: exp.Insert) -> Result:
    """Run INSERT INTO.

    Raises
    ------
    QueryFailed
        The query fails; its columns are not the table's; there are too many partitions.
    """
    target, listed = tree.this, None
    if isinstance(target, exp.Schema):
        listed = [one.name.lower() for one in target.expressions]
        target = target.this
    table = session.metastore.require(session.name_of(target))
    if table.is_view:
        raise QueryFailed("NOT_SUPPORTED: Inserting into views is not supported")
    query = tree.expression.unnest()
    if tree.args.get("with_") is not None:
        query.set("with_", tree.args["with_"])
    rows = _fitted(session, table, materialize(session, query), listed)
    if table.is_iceberg:
        session.engine.iceberg.append_from(session, table.name, rows)
        return counted(StatementType.DML, "INSERT", rows.count)
    written = write(session, rows, _target_of(table))
    session.metastore.add_partitions(table, written.partitions)
    return counted(StatementType.DML, "INSERT", rows.count, written.files)


def unload(session: Session, query: exp.Expr, location: str, given: Properties) -> Result:
    """Run UNLOAD: write a query's rows into a folder that must be empty.

    Raises
    ------
    QueryFailed
        The query fails; the folder holds objects.
    """
    rows = materialize(session, query)
    keys = _texts(given, "partitioned_by")
    _require_keys_last(rows, keys)
    _require_empty(session, location, "UNLOAD")
    columns = [(_stored(one), one[0]) for one in rows.columns if one[0] not in keys]
    compression = str(given.get("compression", ""))
    target = Target(location, _format(given, "parquet"), columns, keys, compression, _delimiter(given))
    written = write(session, rows, target)
    return counted(StatementType.DML, "UNLOAD", rows.count, written.files)


def _create_hive(session: Session, name: TableName, rows: Rows, given: Properties, output: str) -> Written:
    keys = _texts(given, "partitioned_by")
    _require_keys_last(rows, keys)
    for column, type_ in rows.columns:
        bad = types.not_in_hive(type_)
        if bad == "unknown":
            raise QueryFailed(f"COLUMN_TYPE_UNKNOWN: line 1:1: Column type is unknown: {column}")
        if bad:
            raise QueryFailed(f"NOT_SUPPORTED: Unsupported Hive type: {bad}")
    if given.get("bucketed_by"):
        _require_columns(rows, _texts(given, "bucketed_by"), "bucketed_by")
    location = str(given.get("external_location") or output).rstrip("/")
    _require_empty(session, location, str(name))
    form, delimiter = _format(given, "parquet"), _delimiter(given)
    compression = str(given.get("write_compression") or given.get(f"{form}_compression") or "")
    columns = [(_stored(one), one[0]) for one in rows.columns if one[0] not in keys]
    target = Target(location, form, columns, keys, compression, delimiter)
    written = write(session, rows, target)
    hive = [(column, types.to_hive(types.storable(type_))) for column, type_ in rows.columns]
    table = table_input(
        name.name,
        columns=[one for one in hive if one[0] not in keys],
        partition_keys=[one for one in hive if one[0] in keys],
        location=location,
        format=form,
        parameters={"has_encrypted_data": "false", "classification": form.value},
        serde_parameters={"field.delim": delimiter or TEXT_SEPARATOR, "serialization.format": "1"}
        if form is Format.TEXTFILE
        else None,
    )
    session.metastore.create(name.database, table)
    session.metastore.add_partitions(session.metastore.require(name), written.partitions)
    return written


def _target_of(table: GlueTable) -> Target:
    parameters = table.serde_parameters
    return Target(
        table.location,
        table.format,
        [(quote_name(name), name) for name, _ in table.columns],
        [name for name, _ in table.partition_keys],
        delimiter=parameters.get("field.delim", ""),
    )


def _fitted(session: Session, table: GlueTable, rows: Rows, listed: Sequence[str] | None) -> Rows:
    """Return the rows with the table's columns, in its order and types; those not given are null."""
    wanted = [*table.columns, *table.partition_keys]
    given = list(listed) if listed is not None else [name for name, _ in wanted]
    if unknown := [name for name in given if name not in dict(wanted)]:
        raise QueryFailed(
            f"COLUMN_NOT_FOUND: line 1:1: Insert column name does not exist in target: {unknown[0]}"
        )
    if len(given) != len(rows.columns):
        raise QueryFailed(
            "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: "
            f"Table: [{', '.join(type_ for _, type_ in wanted)}], "
            f"Query: [{', '.join(types.athena_column(type_).name for _, type_ in rows.columns)}]"
        )
    source = dict(zip(given, rows.names, strict=True))
    columns = [(name, types.from_hive(type_)) for name, type_ in wanted]
    casts = ", ".join(
        f"CAST({quote_name(source[name]) if name in source else 'NULL'} AS {type_}) AS {quote_name(name)}"
        for name, type_ in columns
    )
    relation = session.new_relation()
    session.cursor.execute(
        f"CREATE TEMP VIEW {quote_name(relation)} AS SELECT {casts} FROM {quote_name(rows.relation)}"  # noqa: S608
    )
    return Rows(relation, columns, rows.count)


def _stored(column: tuple[str, DuckDBPyType]) -> str:
    name, type_ = column
    return f"CAST({quote_name(name)} AS {types.storable(type_)})"


def _require_names(query: exp.Expr) -> None:
    while isinstance(query, exp.SetOperation):
        query = query.this.unnest()
    for position, one in enumerate(query.expressions if isinstance(query, exp.Select) else (), start=1):
        if not isinstance(one, (exp.Alias, exp.Column, exp.Dot, exp.Star)):
            raise QueryFailed(
                f"COLUMN_NAME_NOT_SPECIFIED: line 1:1: Column name not specified at position {position}"
            )


def _require_distinct(rows: Rows) -> None:
    seen: set[str] = set()
    for name in rows.names:
        if name in seen:
            raise QueryFailed(
                f"DUPLICATE_COLUMN_NAME: line 1:1: Column name '{name}' specified more than once"
            )
        seen.add(name)


def _require_keys_last(rows: Rows, keys: Sequence[str]) -> None:
    _require_columns(rows, keys, "partitioned_by")
    if keys and rows.names[-len(keys) :] != list(keys):
        raise QueryFailed(
            "HIVE_COLUMN_ORDER_MISMATCH: Partition keys must be the last columns in the table and in the same"
            f" order as the table properties: [{', '.join(keys)}]"
        )


def _require_columns(rows: Rows, names: Sequence[str], what: str) -> None:
    if missing := [name for name in names if name not in rows.names]:
        raise QueryFailed(
            f"INVALID_TABLE_PROPERTY: {what} names the column {missing[0]}, which the query has not"
        )


def _require_empty(session: Session, location: str, what: str) -> None:
    if session.objects.list(location, hidden=True):
        raise QueryFailed(
            f"HIVE_PATH_ALREADY_EXISTS: Target directory for table '{what}' already exists: {location}."
            " You may need to manually clean the data at that location before retrying. Athena will not"
            " delete data in your account."
        )


def _format(given: Properties, default: str) -> Format:
    wanted = str(given.get("format", default)).lower()
    try:
        return Format(wanted)
    except ValueError:
        known = ", ".join(one.value.upper() for one in Format)
        raise QueryFailed(f"INVALID_TABLE_PROPERTY: format {wanted!r} is none of {known}") from None


def _delimiter(given: Properties) -> str:
    return str(given.get("field_delimiter", ""))


def _texts(given: Properties, name: str) -> list[str]:
    value = given.get(name, [])
    return [value.lower()] if isinstance(value, str) else [one.lower() for one in value]
