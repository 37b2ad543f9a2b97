"""Manifests: which data files a snapshot has, and which of them may hold the rows that are looked for.

Manifests are never changed, so their entries are kept once read: a table of years is planned in the time
that its evaluators take.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.expressions.visitors import (
    _InclusiveMetricsEvaluator,
    expression_evaluator,
    inclusive_projection,
    manifest_evaluator,
)
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntry, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

_KEPT_ENTRIES: Final = 200_000
_KEPT_LISTS: Final = 64

Entries = Sequence[ManifestEntry]
_Evaluator = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A data file, and the manifest that lists it."""

    manifest: ManifestFile
    entry: ManifestEntry

    @property
    def file(self) -> DataFile:
        """The file."""
        return self.entry.data_file


@dataclass(frozen=True, slots=True)
class Plan:
    """The files of a snapshot that may hold the rows that are looked for.

    Parameters
    ----------
    with_deletes : bool
        Whether rows of some are marked as deleted in files beside them, which others may write.
    """

    files: Sequence[PlannedFile]
    with_deletes: bool = False

    @property
    def urls(self) -> list[str]:
        """The files' addresses."""
        return [one.file.file_path for one in self.files]

    @property
    def size(self) -> int:
        """The files' bytes."""
        return sum(one.file.file_size_in_bytes for one in self.files)


class Manifests:
    """The manifests of all tables, as far as they were read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lists: LRUCache[str, Sequence[ManifestFile]] = LRUCache(_KEPT_LISTS)
        self._entries: LRUCache[str, Entries] = LRUCache(_KEPT_ENTRIES, getsizeof=lambda held: len(held) + 1)

    def of(self, io: FileIO, snapshot: Snapshot) -> Sequence[ManifestFile]:
        """Return the manifests of a snapshot, without those that list removed files only."""
        with self._lock:
            known = self._lists.get(snapshot.manifest_list)
        if known is None:
            known = [one for one in snapshot.manifests(io) if _is_live(one)]
            with self._lock:
                self._lists[snapshot.manifest_list] = known
        return known

    def entries(self, io: FileIO, manifest: ManifestFile) -> Entries:
        """Return a manifest's entries, without those of removed files."""
        with self._lock:
            known = self._entries.get(manifest.manifest_path)
        if known is None:
            known = manifest.fetch_manifest_entry(io)
            if len(known) < _KEPT_ENTRIES:
                with self._lock:
                    self._entries[manifest.manifest_path] = known
        return known

    def plan(
        self,
        table: Table,
        filter_: BooleanExpression | None = None,
        *,
        snapshot: Snapshot | None = None,
        schema: Schema | None = None,
    ) -> Plan:
        """Return the data files that may hold rows that a filter keeps.

        Parameters
        ----------
        filter_ : pyiceberg.expressions.BooleanExpression, optional
            On the names of the schema; without it, all files count.
        snapshot : pyiceberg.table.snapshots.Snapshot, optional
            The table's current one, unless told.
        schema : pyiceberg.schema.Schema, optional
            The table's current one, unless told.
        """
        chosen = snapshot or table.current_snapshot()
        if chosen is None:
            return Plan([])
        evaluators = _Evaluators(table, schema or table.schema(), filter_ or AlwaysTrue())
        found: list[PlannedFile] = []
        with_deletes = False
        for manifest in self.of(table.io, chosen):
            if not evaluators.manifest(manifest):
                continue
            if manifest.content == ManifestContent.DELETES:
                with_deletes = True
                continue
            keeps = evaluators.file(manifest.partition_spec_id)
            found += [
                PlannedFile(manifest, entry)
                for entry in self.entries(table.io, manifest)
                if keeps(entry.data_file)
            ]
        return Plan(found, with_deletes)

    def paths(self, io: FileIO, snapshots: Sequence[Snapshot], *, removed: bool) -> Iterator[str]:
        """Yield the addresses of all that snapshots consist of: lists of manifests, manifests, files.

        Parameters
        ----------
        removed : bool
            Whether the files count that a snapshot has removed.
        """
        seen: set[str] = set()
        for snapshot in snapshots:
            yield snapshot.manifest_list
            for manifest in snapshot.manifests(io):
                if manifest.manifest_path in seen:
                    continue
                seen.add(manifest.manifest_path)
                yield manifest.manifest_path
                found = (
                    manifest.fetch_manifest_entry(io, discard_deleted=False)
                    if removed
                    else self.entries(io, manifest)
                )
                yield from (entry.data_file.file_path for entry in found)


def _is_live(manifest: ManifestFile) -> bool:
    return manifest.has_added_files() or manifest.has_existing_files()


class _Evaluators:
    """A filter, prepared for each way in which the table was partitioned."""

    def __init__(self, table: Table, schema: Schema, filter_: BooleanExpression) -> None:
        self._specs = table.specs()
        self._schema = schema
        self._filter = filter_
        self._all = isinstance(filter_, AlwaysTrue)
        self._metrics: _Evaluator = _InclusiveMetricsEvaluator(schema, filter_).eval
        self._prepared: dict[int, tuple[_Evaluator, _Evaluator]] = {}

    def manifest(self, manifest: ManifestFile) -> bool:
        return self._all or self._of(manifest.partition_spec_id)[0](manifest)

    def file(self, spec_id: int) -> Callable[[DataFile], bool]:
        if self._all:
            return lambda _: True
        partition, metrics = self._of(spec_id)[1], self._metrics
        return lambda file: partition(file.partition) and metrics(file)

    def _of(self, spec_id: int) -> tuple[_Evaluator, _Evaluator]:
        if spec_id not in self._prepared:
            spec = self._specs[spec_id]
            projected = inclusive_projection(self._schema, spec)(self._filter)
            partition = Schema(*spec.partition_type(self._schema).fields)
            self._prepared[spec_id] = (
                manifest_evaluator(spec, self._schema, projected),
                expression_evaluator(partition, projected, case_sensitive=True),
            )
        return self._prepared[spec_id]
