"""How much lies in the bucket: objects and bytes by layer, dataset, storage class and age.

Here objects are counted as a listing or an inventory streams past; none is kept, so a bucket of
millions costs no more memory than one of hundreds. What they cost is ``operations.cost``'s business.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import heapq
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock
from typing import Any, Final

from fin_lake.lake.store import CONCURRENCY, Lake, LakeError, LakeUnavailableError, each
from fin_lake.partitions import UTC
from fin_lake.traffic import traffic

LAYERS: Final = ("raw", "processed", "analytics", "athena-results")
OTHER: Final = "other"
"""The layer, and the dataset, of what lies outside of the layers."""
SMALL: Final = 128 * 1024
"""Bytes under which a lifecycle leaves an object where it is, unless told otherwise.

`Since September 2024 <https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html>`_
``TransitionDefaultMinimumObjectSize`` is ``all_storage_classes_128K``.
"""
STANDARD: Final = "STANDARD"
SAMPLED: Final = 24
"""Objects of a dataset whose keys are remembered, for a sample of their content."""
_DATASET_DEPTH: Final = 3
_ENOUGH_PREFIXES: Final = 4 * CONCURRENCY
_MOST_LEVELS: Final = 6
_HOUR: Final = re.compile(r"/year=(\d{4})/month=(\d\d)/day=(\d\d)/hour=(\d\d)/")

Progress = Callable[[int], None]
"""Called with the number of objects just counted."""


class AgeBand(StrEnum):
    """How long ago an object was written, in days: the bands of the lifecycle."""

    FRESH = "0-30"
    MIDDLE = "30-90"
    OLD = "90+"

    @classmethod
    def of(cls, age: dt.timedelta) -> AgeBand:
        """Return the band of an age."""
        days = age / dt.timedelta(days=1)
        return cls.FRESH if days < 30 else cls.MIDDLE if days < 90 else cls.OLD  # noqa: PLR2004 - their names


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """Objects that are counted together."""

    layer: str
    dataset: str
    storage_class: str
    age: AgeBand


@dataclass(slots=True)
class Count:
    """Objects and bytes, and how many of both are objects under 128 KiB."""

    objects: int = 0
    size: int = 0
    small_objects: int = 0
    small_size: int = 0

    def add(self, other: Count) -> None:
        """Add another count to this one."""
        self.objects += other.objects
        self.size += other.size
        self.small_objects += other.small_objects
        self.small_size += other.small_size


@dataclass(slots=True)
class StorageMetrics:
    """What a bucket holds.

    Attributes
    ----------
    bucket : str
    at : datetime
        The moment that ages are reckoned from, UTC.
    source : str
        ``listing``, or the address of an inventory's manifest.
    groups : dict of Group to Count
    noncurrent : Count
        Versions that were replaced or deleted and are still paid for. Only an inventory shows them.
    hours : int
        Distinct hours that raw has an object of.
    samples : dict of str to tuple of str
        Some keys of each dataset, chosen evenly.
    """

    bucket: str
    at: dt.datetime
    source: str = "listing"
    groups: dict[Group, Count] = field(default_factory=dict)
    noncurrent: Count = field(default_factory=Count)
    hours: int = 0
    samples: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def total(self) -> Count:
        """All objects; versions that were replaced are not among them."""
        return self.by(lambda _group: "").get("", Count())

    def by(self, name: Callable[[Group], str]) -> dict[str, Count]:
        """Return sums by what ``name`` makes of a group, in its order."""
        sums: dict[str, Count] = {}
        for group, count in sorted(self.groups.items()):
            sums.setdefault(name(group), Count()).add(count)
        return sums

    def as_json(self) -> dict[str, Any]:
        """Return what ``json.dumps`` takes."""
        total = self.total
        return {
            "bucket": self.bucket,
            "at": self.at.isoformat(),
            "source": self.source,
            "hours": self.hours,
            "total_objects": total.objects,
            "total_bytes": total.size,
            "total_size_mb": total.size / 1024**2,
            "small_objects": total.small_objects,
            "small_bytes": total.small_size,
            "noncurrent_objects": self.noncurrent.objects,
            "noncurrent_bytes": self.noncurrent.size,
            "groups": [
                {
                    "layer": group.layer,
                    "dataset": group.dataset,
                    "storage_class": group.storage_class,
                    "age_days": str(group.age),
                    "objects": count.objects,
                    "bytes": count.size,
                    "small_objects": count.small_objects,
                    "small_bytes": count.small_size,
                }
                for group, count in sorted(self.groups.items())
            ],
        }


def storage_metrics(
    lake: Lake, *, at: dt.datetime | None = None, progress: Progress = lambda _objects: None
) -> StorageMetrics:
    """Count what lies in a bucket, from listings that run side by side.

    Parameters
    ----------
    at : datetime, optional
        The moment that ages are reckoned from; now by default. The lake's own clock may stand still
        in a recording, that of S3 does not.
    progress : callable, optional
        Told of the objects that were counted, page by page.

    Raises
    ------
    LakeError
        The bucket cannot be listed.
    """
    counting = Counting(lake.bucket, at or dt.datetime.now(UTC))

    def add(page: Mapping[str, Any]) -> None:
        found = page.get("Contents", [])
        counting.add(
            (one["Key"], one["Size"], one["LastModified"], one.get("StorageClass", STANDARD)) for one in found
        )
        progress(len(found))

    def open_up(prefix: str) -> list[str]:
        below: list[str] = []
        for page in _pages(lake, prefix, "/"):
            add(page)
            below += [one["Prefix"] for one in page.get("CommonPrefixes", [])]
        return below

    def read_whole(prefix: str) -> None:
        for page in _pages(lake, prefix):
            add(page)

    prefixes = [""]
    for _ in range(_MOST_LEVELS):
        if not prefixes or len(prefixes) >= _ENOUGH_PREFIXES:
            break
        prefixes = [name for below in each(prefixes, open_up) for name in below]
    each(prefixes, read_whole)
    return counting.result()


def _pages(lake: Lake, prefix: str, delimiter: str = "") -> Iterable[Mapping[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - definitions load without

    # obstore lists five times as fast, but says nothing of storage classes
    paginator = lake.boto3_client.get_paginator("list_objects_v2")
    try:
        for page in paginator.paginate(Bucket=lake.bucket, Prefix=prefix, Delimiter=delimiter):
            traffic().listed(1)
            yield page
    except ClientError as error:
        told = error.response["Error"]
        raise LakeError(
            f"{lake.uri(prefix)} cannot be listed: {told.get('Code')}: {told.get('Message')}",
            f"check AWS_S3_BUCKET_NAME, and that the policy allows s3:ListBucket on {lake.bucket}",
        ) from None
    except BotoCoreError as error:
        raise LakeUnavailableError(
            f"S3 does not answer at {lake.uri(prefix)}: {type(error).__name__}",
            "check the network, the credentials and, on the local stack, `fin-lake status`",
        ) from None


Stored = tuple[str, int, dt.datetime, str]
"""A key, its size, when it was written (UTC), and its storage class."""


class Counting:
    """Counts objects as they come, from any thread."""

    def __init__(self, bucket: str, at: dt.datetime, source: str = "listing") -> None:
        self._result = StorageMetrics(bucket, at, source)
        self._hours: set[str] = set()
        self._samples: dict[str, list[tuple[int, str]]] = {}
        self._lock = Lock()

    def add(self, objects: Iterable[Stored]) -> None:
        """Count objects."""
        groups: dict[Group, Count] = {}
        picked: dict[str, list[tuple[int, str]]] = {}
        hours: set[str] = set()
        at = self._result.at
        for key, size, written, storage_class in objects:
            layer, dataset, hour = _place(key.rpartition("/")[0])
            if hour:
                hours.add(hour)
            group = Group(layer, dataset, storage_class, AgeBand.of(at - written))
            count = groups.setdefault(group, Count())
            count.objects += 1
            count.size += size
            if size < SMALL:
                count.small_objects += 1
                count.small_size += size
            _pick(picked.setdefault(dataset, []), key)
        with self._lock:
            for group, count in groups.items():
                self._result.groups.setdefault(group, Count()).add(count)
            for dataset, keys in picked.items():
                known = self._samples.setdefault(dataset, [])
                self._samples[dataset] = heapq.nlargest(SAMPLED, [*known, *keys])
            self._hours |= hours

    def add_noncurrent(self, size: int) -> None:
        """Count a version that another has replaced."""
        with self._lock:
            self._result.noncurrent.add(Count(1, size, int(size < SMALL), size if size < SMALL else 0))

    def result(self) -> StorageMetrics:
        """Return what was counted."""
        self._result.hours = len(self._hours)
        self._result.samples = {
            dataset: tuple(sorted(key for _, key in picked))
            for dataset, picked in sorted(self._samples.items())
        }
        return self._result


def _pick(picked: list[tuple[int, str]], key: str) -> None:
    """Keep the keys of the highest digests: an even choice, the same however the keys arrive."""
    digest = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
    if len(picked) < SAMPLED:
        heapq.heappush(picked, (digest, key))
    elif digest > picked[0][0]:
        heapq.heapreplace(picked, (digest, key))


@functools.lru_cache(maxsize=65_536)  # objects of a folder come one after the other
def _place(folder: str) -> tuple[str, str, str]:
    """Return the layer and the dataset of a folder, and the hour, if it is one of raw's."""
    parts = folder.split("/")
    layer = parts[0]
    if layer not in LAYERS:
        return OTHER, OTHER, ""
    if layer == "athena-results":
        return layer, layer, ""
    names: list[str] = []
    for part in parts[:_DATASET_DEPTH]:
        if "=" in part:
            break
        names.append(part)
    found = _HOUR.search(f"{folder}/") if layer == "raw" else None
    return layer, "/".join(names), "-".join(found.groups()) if found else ""
