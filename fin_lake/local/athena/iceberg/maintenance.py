"""OPTIMIZE and VACUUM."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from sqlglot import exp

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.iceberg.data_files import fitted
from fin_lake.local.athena.iceberg.filters import row_filter
from fin_lake.local.athena.iceberg.manifests import Manifests, PlannedFile
from fin_lake.local.athena.iceberg.scan import select
from fin_lake.local.athena.pruning import strict_parts, unqualified

if TYPE_CHECKING:
    from fin_lake.local.athena.iceberg.tables import IcebergTables
    from fin_lake.local.athena.session import Session
    from fin_lake.local.athena.storage import Objects

_SMALL: Final = 64 * 1024 * 1024
"""Files below this size are put together."""
_AT_ONCE: Final = 256 * 1024 * 1024
_FEWEST: Final = 2
_DEFAULT_AGE: Final = 432_000
ORPHAN_AGE: Final = dt.timedelta(days=3)
"""A file that no snapshot knows may be one whose commit is under way; after this time it is not."""


def optimize(tables: IcebergTables, session: Session, table: Table, where: exp.Expr | None) -> None:
    """Put the small files of each partition together, in one snapshot.

    ``optimize_rewrite_min_data_file_size_bytes`` tells below which size a file is small, and
    ``optimize_rewrite_data_file_threshold`` of how many a partition must have.

    Raises
    ------
    QueryFailed
        The condition is not on partition columns alone.
    """
    properties = table.properties
    small = int(properties.get("optimize_rewrite_min_data_file_size_bytes", _SMALL))
    fewest = int(properties.get("optimize_rewrite_data_file_threshold", _FEWEST))
    groups: defaultdict[str, list[PlannedFile]] = defaultdict(list)
    for one in tables.plan(table, _chosen(table, where)).files:
        if one.file.file_size_in_bytes < small:
            groups[f"{one.file.spec_id} {one.file.partition}"].append(one)
    several = [group for group in groups.values() if len(group) >= max(fewest, _FEWEST)]
    removed: list[PlannedFile] = []
    written: list[DataFile] = []
    for batch in _batches(several):
        urls = [one.file.file_path for one in batch]
        session.add_scanned(_size(batch))
        data = fitted(session, table.schema(), select(session.objects, table, urls))
        written += tables.write(table, data, any_number=True)
        removed += batch
    tables.replace(table, removed, written)


def _chosen(table: Table, where: exp.Expr | None) -> BooleanExpression | None:
    if where is None:
        return None
    schema = table.schema()
    by = {schema.find_column_name(field.source_id) for field in table.spec().fields}
    asked = {column.name.lower() for column in where.find_all(exp.Column)}
    if unknown := asked - {field.name for field in schema.fields}:
        raise QueryFailed(f"COLUMN_NOT_FOUND: line 1:1: Column '{min(unknown)}' cannot be resolved")
    parts = [unqualified(one) for one in strict_parts(where)]
    filters = [row_filter(schema, [one]) for one in parts]
    whole = len(parts) == sum(1 for _ in _conjuncts(where))
    if asked - by or not whole or row_filter(schema, []) in filters:
        raise QueryFailed(
            "NOT_SUPPORTED: line 1:1: OPTIMIZE takes comparisons of partition columns with literals alone:"
            f" {where.sql('athena')}"
        )
    return row_filter(schema, parts)


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    inner = condition.unnest()
    if isinstance(inner, exp.And):
        for one in inner.flatten():
            yield from _conjuncts(one)
    else:
        yield inner


def _batches(groups: Sequence[Sequence[PlannedFile]]) -> Iterator[Sequence[PlannedFile]]:
    """Yield files to be read together: of whole partitions, unless one is more than memory should hold."""
    batch: list[PlannedFile] = []
    for group in groups:
        if batch and _size(batch) + _size(group) > _AT_ONCE:
            yield batch
            batch = []
        for one in group:
            if batch and _size(batch) + one.file.file_size_in_bytes > _AT_ONCE:
                yield batch
                batch = []
            batch.append(one)
    if batch:
        yield batch


def _size(files: Sequence[PlannedFile]) -> int:
    return sum(one.file.file_size_in_bytes for one in files)


def vacuum(objects: Objects, manifests: Manifests, table: Table) -> None:
    """Forget the snapshots that are too old, and delete the files that none of the others needs.

    ``vacuum_max_snapshot_age_seconds`` and ``vacuum_min_snapshots_to_keep`` tell how many stay.
    """
    age = int(table.properties.get("vacuum_max_snapshot_age_seconds", _DEFAULT_AGE))
    keep = int(table.properties.get("vacuum_min_snapshots_to_keep", 1))
    now = dt.datetime.now(dt.UTC)
    limit = (now - dt.timedelta(seconds=age)).timestamp() * 1000
    all_ = sorted(table.snapshots(), key=lambda one: one.timestamp_ms)
    kept = {one.snapshot_id for one in all_[-keep:]} | {ref.snapshot_id for ref in table.refs().values()}
    expired = [one for one in all_ if one.snapshot_id not in kept and one.timestamp_ms < limit]
    unneeded = set(manifests.paths(table.io, expired, removed=True))
    if expired:
        table.maintenance.expire_snapshots().by_ids([one.snapshot_id for one in expired]).commit()
        table.refresh()
    needed = set(manifests.paths(table.io, table.snapshots(), removed=False)) | _metadata(table)
    objects.delete(
        one.url
        for one in objects.list(table.location(), hidden=True)
        if one.url not in needed and (one.url in unneeded or now - one.modified > ORPHAN_AGE)
    )


def _metadata(table: Table) -> set[str]:
    statistics = [*table.metadata.statistics, *table.metadata.partition_statistics]
    return {
        table.metadata_location,
        *(entry.metadata_file for entry in table.metadata.metadata_log),
        *(one.statistics_path for one in statistics),
    }
