"""The engine, and one query's share of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from fin_lake.local.athena import library
from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.glue_tables import TableName
from fin_lake.local.athena.iceberg import IcebergTables
from fin_lake.local.athena.metastore import Metastore
from fin_lake.local.athena.partitions import PartitionReader

if TYPE_CHECKING:
    from sqlglot import exp

    from fin_lake.local.athena.glue import GlueClient
    from fin_lake.local.athena.storage import Objects

DEFAULT_DATABASE: Final = "default"


class Engine:
    """DuckDB, the catalog and the objects: what all queries share.

    Parameters
    ----------
    glue : GlueClient
        The catalog.
    objects : Objects
        S3, and the cache in front of it.
    work : pathlib.Path
        Folder for unfinished files, and for what does not fit into memory.
    threads : int
        How many threads DuckDB may use.
    """

    def __init__(self, glue: GlueClient, objects: Objects, *, work: Path, threads: int = 2) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.glue = glue
        self.objects = objects
        self.work = work
        self.metastore = Metastore(glue)
        self.partitions = PartitionReader(self.metastore, objects)
        self.iceberg = IcebergTables(glue, objects)
        self._database = duckdb.connect(
            config={
                "threads": threads,
                "temp_directory": str(work / "spill"),
                # there is no network to load them from, and none is wanted
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        )
        library.install(self._database)
        self._opening = threading.Lock()

    @contextmanager
    def session(self, database: str, *, scan_limit: int | None = None) -> Iterator[Session]:
        """Open the session of one query.

        Parameters
        ----------
        database : str
            Where names without a database are looked up.
        scan_limit : int, optional
            How many bytes the query may read.
        """
        with self._opening:
            cursor = self._database.cursor()
        try:
            library.open_session(cursor)
            yield Session(self, cursor, database.lower(), scan_limit)
        finally:
            cursor.close()


class Session:
    """One query's connection, names and count of bytes."""

    def __init__(
        self, engine: Engine, cursor: duckdb.DuckDBPyConnection, database: str, scan_limit: int | None
    ) -> None:
        self.engine = engine
        self.cursor = cursor
        self.database = database
        self.scanned_bytes = 0
        self.schema_only = False
        """Whether tables are bound without their rows: a view needs to know its columns only."""
        self._scan_limit = scan_limit
        self._relations = 0

    @property
    def objects(self) -> Objects:
        """S3."""
        return self.engine.objects

    @property
    def glue(self) -> GlueClient:
        """The catalog."""
        return self.engine.glue

    @property
    def metastore(self) -> Metastore:
        """The catalog, with failures as Athena words them."""
        return self.engine.metastore

    def add_scanned(self, count: int) -> None:
        """Count bytes that the query reads.

        Raises
        ------
        QueryFailed
            They are more than its workgroup allows.
        """
        self.scanned_bytes += count
        if self._scan_limit is not None and self.scanned_bytes > self._scan_limit:
            raise QueryFailed(
                f"Query exhausted resources at this scale factor: Bytes scanned limit was exceeded: "
                f"{self.scanned_bytes} bytes would be read, {self._scan_limit} are allowed by the workgroup"
            )

    def name_of(self, table: exp.Table) -> TableName:
        """Return the full name of a table that a statement names."""
        return TableName((table.db or self.database).lower(), table.name.lower())

    def new_relation(self) -> str:
        """Return a name for a temporary relation that the session does not have yet."""
        self._relations += 1
        return f"__relation_{self._relations}"

    def bind(self, tree: exp.Expr) -> exp.Expr:
        """Return a copy of a statement in which each table is a relation of DuckDB.

        Tables whose node has ``meta["bound"]`` are left alone.

        Raises
        ------
        QueryFailed
            A table is missing or cannot be read.
        """
        from fin_lake.local.athena import binding  # noqa: PLC0415 - it needs the session's own type

        return binding.bind(self, tree)
