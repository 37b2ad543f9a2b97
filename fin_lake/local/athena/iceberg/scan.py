"""Iceberg tables as relations of DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from sqlglot import exp

from fin_lake.local.athena import translation
from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.iceberg.filters import row_filter
from fin_lake.local.athena.iceberg.manifests import Manifests
from fin_lake.local.athena.iceberg.schema import columns_of
from fin_lake.local.athena.types import quote_name, quote_text

if TYPE_CHECKING:
    from fin_lake.local.athena.glue_tables import TableName
    from fin_lake.local.athena.session import Session
    from fin_lake.local.athena.storage import Objects

INSPECTED: Final = ("snapshots", "history", "files", "partitions", "manifests", "refs")
"""What can be asked of a table by ``"table$snapshots"``."""


def make_relation(
    session: Session, manifests: Manifests, table: Table, node: exp.Table, wanted: Sequence[exp.Expr]
) -> str:
    """Make a temporary view of a table's rows, and return its name.

    Parameters
    ----------
    node : sqlglot.exp.Table
        The table as the query names it, with ``FOR TIMESTAMP AS OF`` and the like.
    wanted : sequence of sqlglot.exp.Expr
        Conditions by which files may be left out.

    Raises
    ------
    QueryFailed
        There is no such version.
    FileNotFoundError
        The files were removed since the table was loaded.
    """
    snapshot = _snapshot(session, table, node)
    schema = _schema(table, snapshot)
    relation = session.new_relation()
    sql = select(session.objects, table, [], schema=schema)
    if not session.schema_only:
        filter_ = row_filter(schema, wanted)
        plan = manifests.plan(table, filter_, snapshot=snapshot, schema=schema)
        session.add_scanned(plan.size)
        if plan.with_deletes:  # somebody else's: ours rewrite files
            identifier = snapshot.snapshot_id if snapshot else None
            rows = table.scan(row_filter=filter_, snapshot_id=identifier).to_arrow()
            session.cursor.register(relation, rows)
            return relation
        sql = select(session.objects, table, plan.urls, schema=schema)
    session.cursor.execute(f"CREATE TEMP VIEW {quote_name(relation)} AS {sql}")
    return relation


def make_inspection(session: Session, table: Table, about: str, full: TableName) -> str:
    """Make a temporary view of what is known of a table, and return its name.

    Raises
    ------
    QueryFailed
        Nothing is known by that name.
    """
    if about not in INSPECTED:
        raise QueryFailed(f"TABLE_NOT_FOUND: line 1:15: Table '{full}' does not exist")
    told = sound(getattr(table.inspect, about)())
    # DuckDB has no struct without fields, as the partition of a table without partitions is
    empty = [one.name for one in told.schema if pa.types.is_struct(one.type) and not one.type.num_fields]
    relation = session.new_relation()
    session.cursor.register(relation, told.drop_columns(empty))
    return relation


def select(
    objects: Objects,
    table: Table,
    urls: Sequence[str],
    *,
    schema: Schema | None = None,
    places: bool = False,
) -> str:
    """Return a select in DuckDB's SQL over data files.

    Parameters
    ----------
    schema : pyiceberg.schema.Schema, optional
        The columns; the table's current ones, unless told.
    places : bool
        Whether each row tells its file, ``__file``, and its number in it, ``__row``.

    Raises
    ------
    FileNotFoundError
        A file was removed.
    """
    chosen = schema or table.schema()
    columns = columns_of(chosen)
    if not urls:
        nulls = ", ".join(f"CAST(NULL AS {type_}) AS {quote_name(name)}" for name, type_ in columns)
        empty = ", NULL::VARCHAR AS __file, NULL::BIGINT AS __row" if places else ""
        return f"SELECT {nulls}{empty} WHERE false"
    files = "[" + ", ".join(quote_text(str(path)) for path in objects.local_immutable(urls)) + "]"
    options = ", filename=true, file_row_number=true" if places else ""
    if len(table.schemas()) > 1:
        # columns were added, renamed or dropped: each is known by its number in the files
        numbered = ", ".join(
            f"{field.field_id}: {{name: {quote_text(name)}, type: {quote_text(type_)}, default_value: NULL}}"
            for field, (name, type_) in zip(chosen.fields, columns, strict=True)
        )
        options += f", schema=MAP {{{numbered}}}"
    casts = ", ".join(f"CAST({quote_name(name)} AS {type_}) AS {quote_name(name)}" for name, type_ in columns)
    beside = ", filename AS __file, file_row_number AS __row" if places else ""
    return f"SELECT {casts}{beside} FROM read_parquet({files}{options}, hive_partitioning=false)"  # noqa: S608


def to_arrow(session: Session, sql: str) -> pa.Table:
    """Return a query's rows."""
    return sound(session.cursor.execute(sql).to_arrow_table())


def sound(rows: pa.Table) -> pa.Table:
    """Return rows with whose maps Arrow can work.

    DuckDB leaves open how many keys of a map are null, and Arrow then ends the whole process at the next
    cast or filter. Written out and read again, they are counted.
    """
    if not any(_has_map(field.type) for field in rows.schema):
        return rows
    held = pa.BufferOutputStream()
    with pa.ipc.new_stream(held, rows.schema) as stream:
        stream.write_table(rows)
    return pa.ipc.open_stream(held.getvalue()).read_all()


def _has_map(type_: Any) -> bool:
    return pa.types.is_map(type_) or any(
        _has_map(type_.field(index).type) for index in range(type_.num_fields)
    )


def _snapshot(session: Session, table: Table, node: exp.Table) -> Snapshot | None:
    """Return the snapshot that a query asks for, ``None`` for the current one."""
    version = node.args.get("version")
    if version is None:
        return None
    sql = translation.to_duckdb(version.expression)
    if version.name.upper() == "VERSION":
        (wanted,) = session.cursor.execute(f"SELECT CAST({sql} AS BIGINT)").fetchall()[0]
        found = table.snapshot_by_id(wanted)
        if found is None:
            raise QueryFailed(f"INVALID_ARGUMENTS: Iceberg snapshot ID does not exist: {wanted}")
        return found
    (moment,) = session.cursor.execute(f"SELECT epoch_ms(CAST({sql} AS TIMESTAMPTZ))").fetchall()[0]
    found = table.snapshot_as_of_timestamp(moment)
    if found is None:
        name = ".".join(table.name())
        asked = version.expression.sql("athena")
        raise QueryFailed(f'INVALID_ARGUMENTS: No version history table "{name}" at or before {asked}')
    return found


def _schema(table: Table, snapshot: Snapshot | None) -> Schema:
    """Return the columns that a table had in a snapshot."""
    if snapshot is None or snapshot.schema_id is None:
        return table.schema()
    return table.schemas()[snapshot.schema_id]
