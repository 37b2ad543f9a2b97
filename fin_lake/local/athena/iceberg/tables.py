"""Iceberg tables as the engine uses them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchTableError,
    ResolveError,
    TableAlreadyExistsError,
    ValidationError,
    ValidationException,
)
from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from fin_lake.local.athena import types
from fin_lake.local.athena.errors import ICEBERG_COMMIT, QueryFailed, unsupported
from fin_lake.local.athena.files import Rows
from fin_lake.local.athena.glue_tables import TableName
from fin_lake.local.athena.iceberg import maintenance, row_changes
from fin_lake.local.athena.iceberg.catalog import Catalog
from fin_lake.local.athena.iceberg.data_files import fitted, write_rows
from fin_lake.local.athena.iceberg.manifests import Manifests, Plan, PlannedFile
from fin_lake.local.athena.iceberg.scan import make_inspection, make_relation, to_arrow
from fin_lake.local.athena.iceberg.schema import arrow_type, partition_spec, schema_of
from fin_lake.local.athena.iceberg.snapshots import replace_files
from fin_lake.local.athena.types import quote_name

if TYPE_CHECKING:
    from sqlglot import exp

    from fin_lake.local.athena.definitions import Definition, Properties
    from fin_lake.local.athena.glue import GlueClient
    from fin_lake.local.athena.glue_tables import Columns
    from fin_lake.local.athena.session import Session
    from fin_lake.local.athena.storage import Objects

_ATTEMPTS: Final = 5
_OWN_PROPERTIES: Final = {
    "write.parquet.compression-codec": "zstd",
    # a commit an hour for years: old metadata files go
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
}
_NOT_PROPERTIES: Final = frozenset(
    {"table_type", "is_external", "location", "partitioning", "format", "write_compression"}
)


class IcebergTables:
    """The Iceberg tables of a catalog.

    Every change is one snapshot: a reader sees the table before it or after it. Who changes a table while
    somebody else does starts again from what the other has left.

    Parameters
    ----------
    glue : GlueClient
        The catalog.
    objects : Objects
        Where data and metadata lie.
    """

    def __init__(self, glue: GlueClient, objects: Objects) -> None:
        self._objects = objects
        self._catalog = Catalog(glue, objects)
        self._locks: defaultdict[TableName, threading.Lock] = defaultdict(threading.Lock)
        self.manifests = Manifests()

    # tables

    def create_from(self, session: Session, name: TableName, rows: Rows, given: Properties) -> None:
        """Create a table with a query's rows, in one commit.

        Raises
        ------
        QueryFailed
            There is no location, or there are objects in it; a partition transform or a column's type is
            unknown; there are too many partitions; the table exists.
        """
        location = str(given.get("location", "")).rstrip("/")
        if not location:
            raise QueryFailed("INVALID_TABLE_PROPERTY: an Iceberg table needs the property location")
        if self._objects.list(location, hidden=True):
            raise QueryFailed(
                f"ICEBERG_FILESYSTEM_ERROR: Cannot create a table on a non-empty location: {location}"
            )
        columns = [(column, types.storable(type_)) for column, type_ in rows.columns]
        casts = ", ".join(
            f"CAST({quote_name(one)} AS {type_}) AS {quote_name(one)}" for one, type_ in columns
        )
        sql = f"SELECT {casts} FROM {quote_name(rows.relation)}"  # noqa: S608
        schema = schema_of(to_arrow(session, f"{sql} LIMIT 0").schema)
        partitioning = given.get("partitioning", [])
        properties = {key: str(value) for key, value in given.items() if key not in _NOT_PROPERTIES}
        transaction = self._catalog.create_table_transaction(
            (name.database, name.name),
            schema=schema,
            location=location,
            partition_spec=partition_spec(
                schema, [partitioning] if isinstance(partitioning, str) else partitioning
            ),
            properties=_OWN_PROPERTIES | properties,
        )
        metadata, io = transaction.table_metadata, transaction._table.io  # noqa: SLF001
        written = write_rows(self._objects, metadata, io, fitted(session, metadata.schema(), sql))
        with self._discarded(written), _new(name), transaction:
            if written:
                with transaction.update_snapshot().fast_append() as snapshot:
                    for one in written:
                        snapshot.append_data_file(one)

    def create_defined(self, session: Session, name: TableName, wanted: Definition) -> None:
        """Create an empty table.

        Raises
        ------
        QueryFailed
            A partition transform or a column's type is unknown; the table exists.
        """
        nulls = ", ".join(
            f"CAST(NULL AS {types.from_hive(type_)}) AS {quote_name(column)}"
            for column, type_ in wanted.columns
        )
        schema = schema_of(to_arrow(session, f"SELECT {nulls} WHERE false").schema, wanted.comments)
        with _new(name):
            self._catalog.create_table(
                (name.database, name.name),
                schema=schema,
                location=wanted.location.rstrip("/"),
                partition_spec=partition_spec(schema, wanted.partitioning),
                properties=_OWN_PROPERTIES
                | {key: value for key, value in wanted.parameters.items() if key not in _NOT_PROPERTIES},
            )

    def append_from(self, session: Session, name: TableName, rows: Rows) -> None:
        """Append rows that have the table's columns.

        Raises
        ------
        QueryFailed
            They are of too many partitions.
        """
        if not rows.count:
            return

        def append(table: Table) -> None:
            data = fitted(session, table.schema(), f"SELECT * FROM {quote_name(rows.relation)}")  # noqa: S608
            self.replace(table, [], self.write(table, data))

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
        for _ in range(_ATTEMPTS):
            try:
                return self._catalog.load_table((name.database, name.name))
            except FileNotFoundError as error:  # of a version that was replaced, and removed, just now
                last: Exception = error
            except (NoSuchTableError, KeyError, ValueError) as error:
                last = error
                break
        raise QueryFailed(f"ICEBERG_INVALID_METADATA: {name}: {last}") from last

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
        raise QueryFailed(f"ICEBERG_COMMIT_ERROR: {name}: {last}", error_type=ICEBERG_COMMIT) from last

    # reading

    def relation(self, session: Session, node: exp.Table, wanted: Sequence[exp.Expr]) -> str:
        """Make a temporary view of a table, and return its name.

        Parameters
        ----------
        node : sqlglot.exp.Table
            The table as the query names it: ``"t$snapshots"``, ``t FOR TIMESTAMP AS OF …``.
        wanted : sequence of sqlglot.exp.Expr
            Conditions by which files may be left out.

        Raises
        ------
        QueryFailed
            The table cannot be read; there is no such version of it.
        """
        full = session.name_of(node)
        plain, dollar, about = full.name.partition("$")
        name = TableName(full.database, plain)
        for _ in range(_ATTEMPTS):
            table = self.load(name)
            try:
                if dollar:
                    return make_inspection(session, table, about, full)
                return make_relation(session, self.manifests, table, node, wanted)
            except FileNotFoundError as error:  # vacuumed since the table was loaded
                last = error
        raise QueryFailed(f"ICEBERG_MISSING_METADATA: {name}: {last}") from last

    def plan(self, table: Table, filter_: BooleanExpression | None = None) -> Plan:
        """Return the data files that may hold rows that a filter keeps, to be replaced.

        Raises
        ------
        QueryFailed
            Some carry deletes that another program wrote beside them.
        """
        plan = self.manifests.plan(table, filter_)
        if plan.with_deletes:
            raise unsupported("changing an Iceberg table that has merge-on-read deletes")
        return plan

    # changing rows

    def change_rows(self, session: Session, tree: exp.Expr) -> int:
        """Run DELETE, UPDATE or MERGE, and return the number of rows changed.

        Raises
        ------
        QueryFailed
            The statement is wrong; a target row is matched by several source rows; others changed the
            table each time.
        """
        name = session.name_of(tree.this)
        count: int = self.commit(name, lambda table: row_changes.change(self, session, table, tree))
        return count

    def write(self, table: Table, rows: pa.Table, *, any_number: bool = False) -> list[DataFile]:
        """Write rows into new data files, for ``replace``."""
        return write_rows(self._objects, table.metadata, table.io, rows, any_number=any_number)

    def replace(self, table: Table, removed: Sequence[PlannedFile], written: Sequence[DataFile]) -> None:
        """Remove data files and add those that were written, as one snapshot.

        Raises
        ------
        CommitFailedException
            Somebody else was first. What was written is deleted.
        """
        if removed or written:
            with self._discarded(written):
                replace_files(table, self.manifests, removed, written)

    @contextmanager
    def _discarded(self, written: Iterable[DataFile]) -> Iterator[None]:
        """Delete files whose commit certainly has not happened."""
        try:
            yield
        except (CommitFailedException, ValidationException, QueryFailed):
            self._objects.delete(one.file_path for one in written)
            raise

    # columns and properties

    def add_columns(self, name: TableName, columns: Columns) -> None:
        """Add columns, null in the rows there are.

        Raises
        ------
        QueryFailed
            One is there already.
        """
        schema = schema_of(pa.schema([(one, arrow_type(type_)) for one, type_ in columns]))

        def add(table: Table) -> None:
            with _accepted(), table.update_schema() as update:
                for field in schema.fields:
                    update.add_column(field.name, field.field_type)

        self.commit(name, add)

    def drop_columns(self, name: TableName, names: Sequence[str]) -> None:
        """Drop columns.

        Raises
        ------
        QueryFailed
            One is not there, or the table is partitioned by it.
        """

        def drop(table: Table) -> None:
            by = {table.schema().find_column_name(field.source_id) for field in table.spec().fields}
            if kept := by & set(names):
                raise QueryFailed(
                    f"FAILED: SemanticException: the table is partitioned by {min(map(str, kept))}"
                )
            with _accepted(), table.update_schema() as update:
                for one in names:
                    update.delete_column(one)

        self.commit(name, drop)

    def change_column(self, name: TableName, old: str, new: str, type_: str) -> None:
        """Rename a column, and widen its type.

        Raises
        ------
        QueryFailed
            It is not there; the new name is taken; the new type has not all of the old one's values.
        """
        wanted = schema_of(pa.schema([(new, arrow_type(type_))])).fields[0].field_type

        def change(table: Table) -> None:
            with _accepted(), table.update_schema() as update:
                current = table.schema().find_field(old).field_type
                if not wanted.is_primitive and str(current) != str(wanted):
                    # numbers of inner fields differ, and say nothing
                    raise ValueError(f"Cannot change column type: {old}: {current} -> {wanted}")
                if wanted.is_primitive and current != wanted:
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
        """Remove table properties, those that there are."""

        def unset(table: Table) -> None:
            if present := [one for one in names if one in table.properties]:
                with table.transaction() as transaction:
                    transaction.remove_properties(*present)

        self.commit(name, unset)

    # maintenance

    def optimize(self, session: Session, name: TableName, where: exp.Expr | None) -> None:
        """Put the small files of each partition together, as one snapshot.

        Raises
        ------
        QueryFailed
            The condition is not on partition columns alone.
        """
        self.commit(name, lambda table: maintenance.optimize(self, session, table, where))

    def vacuum(self, name: TableName) -> None:
        """Forget old snapshots, and delete the files that none of the others needs."""
        self.commit(name, lambda table: maintenance.vacuum(self._objects, self.manifests, table))


@contextmanager
def _new(name: TableName) -> Iterator[None]:
    try:
        yield
    except (TableAlreadyExistsError, CommitFailedException) as error:
        raise QueryFailed(
            f"TABLE_ALREADY_EXISTS: line 1:1: Destination table 'awsdatacatalog.{name}' already exists"
        ) from error


@contextmanager
def _accepted() -> Iterator[None]:
    """Word what pyiceberg refuses of a schema as a failure of the query."""
    try:
        yield
    except (ValueError, ValidationError, ResolveError) as error:
        raise QueryFailed(f"FAILED: SemanticException: {error}") from error
