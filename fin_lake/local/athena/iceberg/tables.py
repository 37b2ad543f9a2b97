"""Iceberg tables as the engine uses them."""

from __future__ import annotations

import functools
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyiceberg.catalog.glue import GlueCatalog as PyicebergCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, ValidationException
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.io.pyarrow import _dataframe_to_data_files, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import FileScanTask, Table
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    Transform,
    TruncateTransform,
    YearTransform,
)

from fin_lake.local.athena import types
from fin_lake.local.athena.errors import ICEBERG_COMMIT, QueryFailed, unsupported
from fin_lake.local.athena.files import MOST_PARTITIONS, Rows, too_many_partitions
from fin_lake.local.athena.iceberg import maintenance, row_changes
from fin_lake.local.athena.iceberg.file_io import register
from fin_lake.local.athena.iceberg.filters import row_filter
from fin_lake.local.athena.metastore import TableName
from fin_lake.local.athena.types import quote_name, quote_text

if TYPE_CHECKING:
    from sqlglot import exp

    from fin_lake.local.athena.definitions import Definition, Properties
    from fin_lake.local.athena.glue import GlueClient
    from fin_lake.local.athena.metastore import Columns
    from fin_lake.local.athena.session import Session
    from fin_lake.local.athena.storage import Objects

_ATTEMPTS: Final = 5
_FIRST_FIELD: Final = 1000
_OWN_PROPERTIES: Final = {
    "write.parquet.compression-codec": "zstd",
    # a commit an hour for years: old metadata files go, few manifests stay
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "16",
}
_NOT_PROPERTIES: Final = frozenset(
    {"table_type", "is_external", "location", "partitioning", "format", "write_compression"}
)
_TRANSFORM: Final = re.compile(r"(\w+)\(\s*(\w+)\s*(?:,\s*(\w+)\s*)?\)")
_OF_TIME: Final[Mapping[str, Callable[[], Transform[Any, Any]]]] = {
    "year": YearTransform,
    "month": MonthTransform,
    "day": DayTransform,
    "hour": HourTransform,
}
_INSPECTED: Final = ("snapshots", "history", "files", "partitions", "manifests", "refs")


class IcebergTables:
    """The Iceberg tables of a catalog.

    Parameters
    ----------
    glue : GlueClient
        The catalog.
    objects : Objects
        Where data and metadata lie.
    """

    def __init__(self, glue: GlueClient, objects: Objects) -> None:
        self._objects = objects
        self._catalog = PyicebergCatalog("local", client=glue, **register(objects))  # type: ignore[arg-type]
        self._locks: defaultdict[TableName, threading.Lock] = defaultdict(threading.Lock)

    # tables

    def create_from(self, session: Session, name: TableName, rows: Rows, given: Properties) -> None:
        """Create a table with a query's rows, in one commit.

        Raises
        ------
        QueryFailed
            There is no location; a partition transform is unknown; there are too many partitions.
        """
        location = str(given.get("location", "")).rstrip("/")
        if not location:
            raise QueryFailed("INVALID_TABLE_PROPERTY: an Iceberg table needs the property location")
        columns = [(column, types.storable(type_)) for column, type_ in rows.columns]
        casts = ", ".join(
            f"CAST({quote_name(one)} AS {type_}) AS {quote_name(one)}" for one, type_ in columns
        )
        data = _arrow(session, f"SELECT {casts} FROM {quote_name(rows.relation)}")  # noqa: S608
        partitioning = given.get("partitioning", [])
        properties = {key: str(value) for key, value in given.items() if key not in _NOT_PROPERTIES}
        schema = self._schema(data.schema)
        transaction = self._catalog.create_table_transaction(
            (name.database, name.name),
            schema=schema,
            location=location,
            partition_spec=_spec(schema, [partitioning] if isinstance(partitioning, str) else partitioning),
            properties=_OWN_PROPERTIES | properties,
        )
        with transaction:
            if data.num_rows:
                metadata = transaction.table_metadata
                fitted = data.cast(schema_to_pyarrow(metadata.schema(), include_field_ids=False))
                written = self._write(metadata, transaction._table.io, fitted, location)  # noqa: SLF001
                with transaction.update_snapshot().fast_append() as snapshot:
                    for one in written:
                        snapshot.append_data_file(one)

    def create_defined(self, session: Session, name: TableName, wanted: Definition) -> None:
        """Create an empty table."""
        nulls = ", ".join(
            f"CAST(NULL AS {types.from_hive(type_)}) AS {quote_name(column)}"
            for column, type_ in wanted.columns
        )
        empty = _arrow(session, f"SELECT {nulls} WHERE false")
        schema = self._schema(empty.schema)
        self._catalog.create_table(
            (name.database, name.name),
            schema=schema,
            location=wanted.location.rstrip("/"),
            partition_spec=_spec(schema, wanted.partitioning),
            properties=_OWN_PROPERTIES
            | {key: value for key, value in wanted.parameters.items() if key not in _NOT_PROPERTIES},
        )

    def append_from(self, session: Session, name: TableName, rows: Rows) -> None:
        """Append rows that have the table's columns."""
        if not rows.count:
            return

        def append(table: Table) -> None:
            data = self.fitted(session, table, f"SELECT * FROM {quote_name(rows.relation)}")  # noqa: S608
            self.replace_files(table, [], data)

        self.commit(name, append)

    def drop(self, name: TableName) -> None:
        """Drop a table with its data."""
        location = self.load(name).location()
        self._catalog.drop_table((name.database, name.name))
        self._objects.delete_prefix(location)

    def load(self, name: TableName) -> Table:
        """Return a table as it is now.

        Raises
        ------
        QueryFailed
            It cannot be read.
        """
        try:
            return self._catalog.load_table((name.database, name.name))
        except (NoSuchTableError, FileNotFoundError, KeyError) as error:
            raise QueryFailed(f"ICEBERG_INVALID_METADATA: {name}: {error}") from error

    def commit(self, name: TableName, change: Callable[[Table], Any]) -> Any:
        """Make a change; if somebody else was first, make it again on what they left.

        Raises
        ------
        QueryFailed
            Others were first each time.
        """
        with self._locks[name]:
            for attempt in range(_ATTEMPTS):
                try:
                    return change(self.load(name))
                except (CommitFailedException, ValidationException) as error:
                    last = error
                    time.sleep(0.05 * 2**attempt)
        raise QueryFailed(f"ICEBERG_COMMIT_ERROR: {name}: {last}", error_type=ICEBERG_COMMIT)

    # reading

    def relation(self, session: Session, node: exp.Table, wanted: Sequence[exp.Expr]) -> str:
        """Make a temporary view of a table, and return its name.

        Parameters
        ----------
        node : sqlglot.exp.Table
            The table as the query names it: ``"t$snapshots"``, ``t FOR TIMESTAMP AS OF …``.
        wanted : sequence of sqlglot.exp.Expr
            Conditions by which files may be left out.
        """
        full = session.name_of(node)
        plain, dollar, about = full.name.partition("$")
        table = self.load(TableName(full.database, plain))
        relation = session.new_relation()
        if dollar:
            if about not in _INSPECTED:
                raise QueryFailed(f"TABLE_NOT_FOUND: line 1:15: Table '{full}' does not exist")
            session.cursor.register(relation, getattr(table.inspect, about)())
            return relation
        if session.schema_only:
            sql = self.select(table, [])
            session.cursor.execute(f"CREATE TEMP VIEW {quote_name(relation)} AS {sql}")
            return relation
        snapshot = _snapshot(session, table, node)
        filter_ = row_filter(table.schema(), wanted)
        scan = table.scan(row_filter=filter_, snapshot_id=snapshot)
        tasks = list(scan.plan_files())
        session.add_scanned(sum(task.file.file_size_in_bytes for task in tasks))
        if any(task.delete_files for task in tasks):  # somebody else's: ours rewrite files
            session.cursor.register(relation, scan.to_arrow())
        else:
            sql = self.select(table, tasks)
            session.cursor.execute(f"CREATE TEMP VIEW {quote_name(relation)} AS {sql}")
        return relation

    def select(self, table: Table, tasks: Sequence[FileScanTask], *, places: bool = False) -> str:
        """Return a select in DuckDB's SQL over data files.

        Parameters
        ----------
        places : bool
            Whether each row tells its file, ``__file``, and its number in it, ``__row``.
        """
        names = [field.name for field in table.schema().fields]
        arrow = schema_to_pyarrow(table.schema(), include_field_ids=False)
        columns = [(name, _duckdb_type(arrow.field(name).type)) for name in names]
        beside = ", filename AS __file, file_row_number AS __row" if places else ""
        if not tasks:
            nulls = ", ".join(f"CAST(NULL AS {type_}) AS {quote_name(name)}" for name, type_ in columns)
            empty = ", NULL::VARCHAR AS __file, NULL::BIGINT AS __row" if places else ""
            return f"SELECT {nulls}{empty} WHERE false"
        paths = self._objects.local_immutable([task.file.file_path for task in tasks])
        files = "[" + ", ".join(quote_text(str(path)) for path in paths) + "]"
        options = ", filename=true, file_row_number=true" if places else ""
        if len(table.schemas()) > 1:
            # columns were added, renamed or dropped: each is known by its number in the files
            fields = ", ".join(
                f"{field.field_id}: {{name: {quote_text(field.name)}, type: {quote_text(type_)},"
                " default_value: NULL}"
                for field, (_, type_) in zip(table.schema().fields, columns, strict=True)
            )
            options += f", schema=MAP {{{fields}}}"
        casts = ", ".join(
            f"CAST({quote_name(name)} AS {type_}) AS {quote_name(name)}" for name, type_ in columns
        )
        return f"SELECT {casts}{beside} FROM read_parquet({files}{options}, hive_partitioning=false)"  # noqa: S608

    def plan(self, table: Table, filter_: BooleanExpression = AlwaysTrue()) -> list[FileScanTask]:  # noqa: B008
        """Return the data files that may hold rows that a filter keeps.

        Raises
        ------
        QueryFailed
            Some carry deletes that another program wrote beside them.
        """
        tasks = list(table.scan(row_filter=filter_).plan_files())
        if any(task.delete_files for task in tasks):
            raise unsupported("changing an Iceberg table that has merge-on-read deletes")
        return tasks

    # changing

    def change_rows(self, session: Session, tree: exp.Expr) -> int:
        """Run DELETE, UPDATE or MERGE, and return the number of rows changed."""
        name = session.name_of(tree.this)
        count: int = self.commit(name, lambda table: row_changes.change(self, session, table, tree))
        return count

    def fitted(self, session: Session, table: Table, sql: str) -> pa.Table:
        """Return a query's rows in the table's columns and types."""
        data = _arrow(session, sql)
        target = schema_to_pyarrow(table.schema(), include_field_ids=False)
        return data.select(target.names).cast(target)

    def replace_files(self, table: Table, removed: Iterable[DataFile], data: pa.Table) -> None:
        """Remove data files and write rows, as one snapshot.

        Raises
        ------
        QueryFailed
            The rows are of too many partitions.
        """
        removed = list(removed)
        written = self._write(table.metadata, table.io, data, table.location()) if data.num_rows else []
        if not removed and not written:
            return
        try:
            with table.transaction() as transaction:
                update = transaction.update_snapshot()
                with update.overwrite() if removed else update.fast_append() as snapshot:
                    for one in removed:
                        snapshot.delete_data_file(one)
                    for one in written:
                        snapshot.append_data_file(one)
        except (CommitFailedException, ValidationException):
            self._objects.delete(one.file_path for one in written)
            raise

    def _write(self, metadata: Any, io: Any, data: pa.Table, location: str) -> list[DataFile]:
        written = list(_dataframe_to_data_files(metadata, data, io))
        if len({str(one.partition) for one in written}) > MOST_PARTITIONS:
            self._objects.delete(one.file_path for one in written)
            raise too_many_partitions("ICEBERG", location)
        return written

    # columns and properties

    def add_columns(self, name: TableName, columns: Columns) -> None:
        """Add columns, null in the rows there are."""
        schema = self._schema(pa.schema([(one, _arrow_type(type_)) for one, type_ in columns]))

        def add(table: Table) -> None:
            with table.update_schema() as update:
                for field in schema.fields:
                    update.add_column(field.name, field.field_type)

        self.commit(name, add)

    def drop_columns(self, name: TableName, names: Sequence[str]) -> None:
        """Drop columns."""

        def drop(table: Table) -> None:
            with table.update_schema() as update:
                for one in names:
                    update.delete_column(one)

        self.commit(name, drop)

    def change_column(self, name: TableName, old: str, new: str, type_: str) -> None:
        """Rename a column, and widen its type."""
        wanted = self._schema(pa.schema([(new, _arrow_type(type_))])).fields[0].field_type

        def change(table: Table) -> None:
            current = table.schema().find_field(old).field_type
            with table.update_schema() as update:
                if current != wanted:
                    update.update_column(old, field_type=wanted)
                if old != new:
                    update.rename_column(old, new)

        self.commit(name, change)

    def set_properties(self, name: TableName, pairs: Mapping[str, Any]) -> None:
        """Set table properties."""

        def set_(table: Table) -> None:
            with table.transaction() as transaction:
                transaction.set_properties(dict(pairs))

        self.commit(name, set_)

    def unset_properties(self, name: TableName, names: Sequence[str]) -> None:
        """Remove table properties."""

        def unset(table: Table) -> None:
            with table.transaction() as transaction:
                transaction.remove_properties(*names)

        self.commit(name, unset)

    # maintenance

    def optimize(self, session: Session, name: TableName, where: exp.Expr | None) -> None:
        """Put the small files of each partition together."""
        self.commit(name, lambda table: maintenance.optimize(self, session, table, where))

    def vacuum(self, name: TableName) -> None:
        """Forget old snapshots, and delete the files that none of the others needs."""
        self.commit(name, lambda table: maintenance.vacuum(self._objects, table))

    def _schema(self, schema: pa.Schema) -> Schema:
        # by the numbers of fields a partition spec names its columns
        return assign_fresh_schema_ids(self._catalog._convert_schema_if_needed(schema))  # noqa: SLF001


def _arrow(session: Session, sql: str) -> pa.Table:
    return session.cursor.execute(sql).to_arrow_table()


@functools.lru_cache(256)
def _arrow_type(hive: str) -> pa.DataType:
    import duckdb  # noqa: PLC0415 - for one conversion of a type

    with duckdb.connect() as connection:
        return (
            connection.execute(f"SELECT CAST(NULL AS {types.from_hive(hive)})")
            .to_arrow_table()
            .schema[0]
            .type
        )


def _duckdb_type(type_: pa.DataType) -> str:
    return str(_of_arrow(str(type_), type_))


_arrow_types: dict[str, Any] = {}


def _of_arrow(key: str, type_: pa.DataType) -> Any:
    if key not in _arrow_types:
        import duckdb  # noqa: PLC0415 - for one conversion of a type

        empty = pa.table({"x": pa.array([], type_)})  # noqa: F841 - DuckDB reads it by its name
        with duckdb.connect() as connection:
            _arrow_types[key] = connection.execute("SELECT * FROM empty").description[0][1]
    return _arrow_types[key]


def _spec(schema: Schema, partitioning: Sequence[str]) -> PartitionSpec:
    fields = []
    for index, text in enumerate(partitioning):
        found = _TRANSFORM.fullmatch(text.strip())
        kind, first, second = found.groups() if found else ("identity", text.strip(), None)
        column, size = (str(second), first) if first.isdigit() else (first, second)
        try:
            source = schema.find_field(column.lower())
        except ValueError as error:
            raise QueryFailed(f"INVALID_TABLE_PROPERTY: partitioning: no column {column!r}") from error
        transform = _transform(kind, size)
        name = source.name if kind == "identity" else f"{source.name}_{kind}"
        fields.append(PartitionField(source.field_id, _FIRST_FIELD + index, transform, name))
    return PartitionSpec(*fields)


def _transform(kind: str, size: str | None) -> Transform[Any, Any]:
    if kind == "identity":
        return IdentityTransform()
    if kind in _OF_TIME:
        return _OF_TIME[kind]()
    if kind in ("bucket", "truncate") and size:
        return BucketTransform(int(size)) if kind == "bucket" else TruncateTransform(int(size))
    raise QueryFailed(f"INVALID_TABLE_PROPERTY: partitioning: unknown transform {kind!r}")


def _snapshot(session: Session, table: Table, node: exp.Table) -> int | None:
    version = node.args.get("version")
    if version is None:
        return None
    text = version.expression.sql("duckdb")
    if version.name.upper() == "VERSION":
        return int(text)
    row = session.cursor.execute(f"SELECT epoch_ms(CAST({text} AS TIMESTAMPTZ))").fetchone()
    found = table.snapshot_as_of_timestamp(row[0]) if row else None
    if found is None:
        raise QueryFailed(f"INVALID_ARGUMENTS: No version history table {table.name()} at or before {text}")
    return found.snapshot_id
