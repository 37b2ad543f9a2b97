"""Iceberg tables in Glue, by pyiceberg, and changes of them.

pyiceberg reads a table's metadata anew at each load, and copies them at each look that a transaction
takes; both grow with the number of snapshots. Metadata files are never changed, so what was parsed once
is kept here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from cachetools import LRUCache
from pyiceberg.catalog import METADATA_LOCATION
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import AssertTableUUID, TableUpdate

from fin_lake.local.athena.iceberg.file_io import register

if TYPE_CHECKING:
    from fin_lake.local.athena.glue import GlueClient
    from fin_lake.local.athena.storage import Objects

_KEPT: Final = 256


class Catalog(GlueCatalog):
    """pyiceberg's catalog over our Glue and our objects.

    Parameters
    ----------
    glue : GlueClient
        The catalog.
    objects : Objects
        Where data and metadata lie.
    """

    def __init__(self, glue: GlueClient, objects: Objects) -> None:
        super().__init__("local", client=glue, **register(objects))  # type: ignore[arg-type]
        self._parsed: LRUCache[str, TableMetadata] = LRUCache(_KEPT)
        self._parsing = threading.Lock()

    def _convert_glue_to_iceberg(self, glue_table: Any) -> Table:
        location = glue_table.get("Parameters", {}).get(METADATA_LOCATION, "")
        with self._parsing:
            metadata = self._parsed.get(location)
        if metadata is None:
            table = super()._convert_glue_to_iceberg(glue_table)
            with self._parsing:
                self._parsed[location] = table.metadata
            return table
        return Table(
            identifier=(glue_table["DatabaseName"], glue_table["Name"]),
            metadata=metadata,
            metadata_location=location,
            io=self._load_file_io(metadata.properties, location),
            catalog=self,
        )


class Change(Transaction):
    """A transaction that commits once, on the table as it was loaded, or fails.

    pyiceberg's own would put a change that was computed from one snapshot onto a later one.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._made: tuple[tuple[TableUpdate, ...], TableMetadata] = ((), table.metadata)

    @property
    def table_metadata(self) -> TableMetadata:
        """The table's metadata with the updates so far."""
        if self._made[0] is not self._updates:
            self._made = (self._updates, super().table_metadata)
        return self._made[1]

    def commit_transaction(self) -> Table:
        """Commit.

        Raises
        ------
        CommitFailedException
            Somebody else has changed the table since it was loaded.
        """
        if self._updates:
            uuid = AssertTableUUID(uuid=self._table.metadata.table_uuid)
            try:
                self._table._do_commit(self._updates, (*self._requirements, uuid))  # noqa: SLF001
            except (CommitFailedException, ValidationException):
                for producer in self._snapshot_producers:
                    producer._clean_all_uncommitted()  # noqa: SLF001
                raise
        self._updates, self._requirements = (), ()
        return self._table
