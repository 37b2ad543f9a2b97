"""Rows into the data files of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.io.pyarrow import _dataframe_to_data_files, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata

from fin_lake.local.athena.files import MOST_PARTITIONS, too_many_partitions
from fin_lake.local.athena.iceberg.scan import to_arrow
from fin_lake.local.athena.iceberg.schema import columns_of
from fin_lake.local.athena.types import quote_name

if TYPE_CHECKING:
    from fin_lake.local.athena.session import Session
    from fin_lake.local.athena.storage import Objects


def fitted(session: Session, schema: Schema, sql: str) -> pa.Table:
    """Return a query's rows in a table's columns and types."""
    casts = ", ".join(
        f"CAST({quote_name(name)} AS {type_}) AS {quote_name(name)}" for name, type_ in columns_of(schema)
    )
    rows = to_arrow(session, f"SELECT {casts} FROM ({sql})")  # noqa: S608
    return rows.cast(schema_to_pyarrow(schema, include_field_ids=False))


def write_rows(
    objects: Objects, metadata: TableMetadata, io: Any, rows: pa.Table, *, any_number: bool = False
) -> list[DataFile]:
    """Write rows into new data files, one or more a partition, which no snapshot knows yet.

    Parameters
    ----------
    any_number : bool
        Whether there may be more partitions among them than Athena writes with one statement.

    Raises
    ------
    QueryFailed
        There are too many.
    """
    if not rows.num_rows:
        return []
    written = list(_dataframe_to_data_files(metadata, rows, io))
    if not any_number and len({str(one.partition) for one in written}) > MOST_PARTITIONS:
        objects.delete(one.file_path for one in written)
        raise too_many_partitions("ICEBERG", metadata.location)
    return written
