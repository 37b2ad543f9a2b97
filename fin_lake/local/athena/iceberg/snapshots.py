"""New snapshots: data files go and come, in one commit.

Manifests are kept few and short. Those that list removed files only are left out, small ones are joined
once there are many, and each lists neighbouring partitions: so a commit reads and writes the same
amount, however many commits and partitions a table has had.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _SnapshotProducer

from fin_lake.local.athena.iceberg.catalog import Change
from fin_lake.local.athena.iceberg.manifests import Manifests, PlannedFile

_MOST_ENTRIES: Final = 256
"""In one manifest: what a change of one of its files writes anew."""
_SMALL: Final = _MOST_ENTRIES // 2
_MOST_SMALL: Final = 16


def replace_files(
    table: Table, manifests: Manifests, removed: Sequence[PlannedFile], added: Iterable[DataFile]
) -> None:
    """Remove data files and add others, as one snapshot after that which the table was loaded with.

    Raises
    ------
    CommitFailedException
        Somebody else was first.
    """
    change = Change(table)
    with change, _Replacement(change, table, manifests, removed) as snapshot:
        for file in added:
            snapshot.append_data_file(file)


class _Replacement(_SnapshotProducer["_Replacement"]):
    def __init__(
        self, change: Change, table: Table, manifests: Manifests, removed: Sequence[PlannedFile]
    ) -> None:
        super().__init__(Operation.OVERWRITE if removed else Operation.APPEND, change, table.io)
        self._known = manifests
        self._parent = table.current_snapshot()
        self._removed = removed
        for one in removed:
            self.delete_data_file(one.file)

    def _build_delete_files_partition_predicate(self) -> None:
        """Leave out a filter by which pyiceberg looks for the manifests that are known here."""

    def _deleted_entries(self) -> list[ManifestEntry]:
        return [
            ManifestEntry.from_args(
                status=ManifestEntryStatus.DELETED,
                snapshot_id=self._snapshot_id,
                sequence_number=one.entry.sequence_number,
                file_sequence_number=one.entry.file_sequence_number,
                data_file=one.file,
            )
            for one in self._removed
        ]

    def _existing_manifests(self) -> list[ManifestFile]:
        if self._parent is None:
            return []
        held = self._known.of(self._io, self._parent)
        changed = {one.manifest.manifest_path for one in self._removed}
        small = {one.manifest_path for one in held if _is_small(one)}
        anew = changed | small if len(small) >= _MOST_SMALL else changed
        kept = [one for one in held if one.manifest_path not in anew]
        return kept + self._written_anew([one for one in held if one.manifest_path in anew])

    def _written_anew(self, manifests: Sequence[ManifestFile]) -> list[ManifestFile]:
        gone = {one.file.file_path for one in self._removed}
        by_spec: defaultdict[int, list[ManifestEntry]] = defaultdict(list)
        for manifest in manifests:
            by_spec[manifest.partition_spec_id] += [
                entry
                for entry in self._known.entries(self._io, manifest)
                if entry.data_file.file_path not in gone
            ]
        written = []
        for spec_id, entries in by_spec.items():
            entries.sort(key=_place)
            for start in range(0, len(entries), _MOST_ENTRIES):
                with self.new_manifest_writer(self.spec(spec_id)) as writer:
                    for entry in entries[start : start + _MOST_ENTRIES]:
                        writer.existing(entry)
                written.append(writer.to_manifest_file())
        return written


def _is_small(manifest: ManifestFile) -> bool:
    count = (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)
    return manifest.content == ManifestContent.DATA and count < _SMALL


def _place(entry: ManifestEntry) -> list[tuple[bool, Any]]:
    """Return where an entry stands among others: by its partition, null first."""
    values = entry.data_file.partition._data  # noqa: SLF001 - a record has no other list of them
    return [(value is not None, value) for value in values]
