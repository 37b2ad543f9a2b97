"""OPTIMIZE and VACUUM."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from pyiceberg.table import FileScanTask, Table

from fin_lake.local.athena.iceberg.filters import row_filter
from fin_lake.local.athena.pruning import strict_parts, unqualified

if TYPE_CHECKING:
    from sqlglot import exp

    from fin_lake.local.athena.iceberg.tables import IcebergTables
    from fin_lake.local.athena.session import Session
    from fin_lake.local.athena.storage import Objects

_SMALL: Final = 64 * 1024 * 1024
"""Files below this size are put together."""
_DEFAULT_AGE: Final = 432_000
_ORPHAN_AGE: Final = dt.timedelta(days=3)
"""A file that no snapshot knows may be one whose commit is under way; after this time it is not."""


def optimize(tables: IcebergTables, session: Session, table: Table, where: exp.Expr | None) -> None:
    """Put the small files of each partition together, in one snapshot."""
    parts = [unqualified(one) for one in strict_parts(where)] if where is not None else []
    groups: defaultdict[str, list[FileScanTask]] = defaultdict(list)
    for task in tables.plan(table, row_filter(table.schema(), parts)):
        if task.file.file_size_in_bytes < _SMALL:
            groups[str(task.file.partition)].append(task)
    tasks = [task for group in groups.values() if len(group) > 1 for task in group]
    if not tasks:
        return
    data = tables.fitted(session, table, tables.select(table, tasks))
    tables.replace_files(table, [task.file for task in tasks], data)


def vacuum(objects: Objects, table: Table) -> None:
    """Forget the snapshots that are too old, and delete the files that none of the others needs."""
    age = int(table.properties.get("vacuum_max_snapshot_age_seconds", _DEFAULT_AGE))
    keep = int(table.properties.get("vacuum_min_snapshots_to_keep", 1))
    now = dt.datetime.now(dt.UTC)
    limit = (now - dt.timedelta(seconds=age)).timestamp() * 1000
    old = sorted(table.snapshots(), key=lambda one: one.timestamp_ms)
    kept = {one.snapshot_id for one in old[-keep:]} | {ref.snapshot_id for ref in table.refs().values()}
    expired = [one for one in old if one.snapshot_id not in kept and one.timestamp_ms < limit]
    before = _files(table, {one.snapshot_id for one in old})
    if expired:
        table.maintenance.expire_snapshots().by_ids([one.snapshot_id for one in expired]).commit()
        table.refresh()
    needed = _files(table, {one.snapshot_id for one in table.snapshots()}) | _metadata(table)
    orphans = [
        one.url
        for one in objects.list(table.location(), hidden=True)
        if one.url not in needed and (one.url in before or now - one.modified > _ORPHAN_AGE)
    ]
    objects.delete(orphans)


def _files(table: Table, snapshots: set[int]) -> set[str]:
    """Return the data files, manifests and lists of manifests of snapshots."""
    found: set[str] = set()
    for snapshot in table.snapshots():
        if snapshot.snapshot_id not in snapshots:
            continue
        found.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            found.add(manifest.manifest_path)
            found |= {
                entry.data_file.file_path
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
            }
    return found


def _metadata(table: Table) -> set[str]:
    return {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
