"""Raw objects that others have put into the lake: recorded as hours of raw, once for each version.

The event log is the book of what was recorded: every materialization of a raw hour names its objects
and their versions, whether a run wrote them or they were found here. An object that no
materialization claims came from outside, or from a run that died before it could record it; either
way its hour is now recorded, and automation rebuilds what stands on it. An object is left alone
while a run is at work on its hour, for that run may be its author.

How objects are found is the business of the sensors.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from fin_lake.assets.hourly import HourState, hours_of_run
from fin_lake.lake.formats import decode_json_lines
from fin_lake.lake.store import Lake, MissingObjectError, ObjectInfo, each
from fin_lake.partitions import HourError, HourRange, hour_key, hour_of_object
from fin_lake.schema import ASSET_CLASSES, AssetClass
from fin_lake.settings import Settings
from fin_lake.tables import RAW

MOST_RECORDED: Final = 200
"""Objects recorded at a time: some two seconds of work."""
MOST_READ: Final = 64 * 2**20
"""Bytes of an object that is looked into before it is recorded; a larger one is recorded unread."""
_SHOWN: Final = 10
_PAGE: Final = 1_000
_AT_WORK: Final = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]

Place = tuple[AssetClass, dt.datetime]


@dataclass(slots=True)
class TakenIn:
    """What was done with objects.

    Attributes
    ----------
    settled : list of ObjectInfo
        Those that need not be looked at again.
    recorded, unreadable, waiting, left : int
        How many were recorded now; how many of these hold nothing that can be read; how many wait because
        their hour is not over or a run is at work on it; how many were too many for one time.
    """

    settled: list[ObjectInfo]
    recorded: int = 0
    unreadable: int = 0
    waiting: int = 0
    left: int = 0

    def __str__(self) -> str:
        broken = f" ({self.unreadable} unreadable)" if self.unreadable else ""
        more = f", {self.left} left for the next tick" if self.left else ""
        return f"{self.recorded} recorded{broken}, {self.waiting} waiting{more}"


def take_in(
    instance: dg.DagsterInstance,
    lake: Lake,
    settings: Settings,
    found: Sequence[ObjectInfo],
    log: Callable[[str], None] = lambda _: None,
) -> TakenIn:
    """Record the hours of those objects that nobody has recorded yet.

    Parameters
    ----------
    found : sequence of ObjectInfo
        Objects of the raw layer, as they were when they were listed. At most ``MOST_RECORDED`` of them,
        and the rest of the last one's hour, are recorded, the hours in the order in which they are named.
    log : callable
        Is told of every hour that is recorded, and of every object that cannot be.
    """
    taken = TakenIn([])
    placed: dict[Place, list[ObjectInfo]] = defaultdict(list)
    for info in found:
        place = _place(info.key)
        if place is None or place[1] < settings.start:
            log(f"{lake.uri(info.key)}: not of an hour that has a partition; left alone")
            taken.settled.append(info)
        elif place[1] > settings.latest_closed_hour:
            taken.waiting += 1
        else:
            placed[place].append(info)
    # Runs first and then what they recorded: a run that ends in between has its objects in the book.
    # In the other order an object of its would look like a stranger's.
    busy = list(_at_work(instance))
    claims = _claims(instance, lake, placed)
    for place, objects in placed.items():
        unclaimed = [info for info in objects if not _is_claimed(info, claims[place])]
        taken.settled += [info for info in objects if info not in unclaimed]
        if unclaimed and any(classes & {place[0]} and place[1] in hours for classes, hours in busy):
            taken.waiting += len(unclaimed)
        elif taken.recorded >= MOST_RECORDED:
            taken.left += len(unclaimed)
        elif unclaimed:
            _record(instance, lake, place, unclaimed, taken, log)
    return taken


def _place(key: str) -> Place | None:
    for asset_class in ASSET_CLASSES:
        if key.startswith(f"{RAW[asset_class].lake_prefix}/"):
            try:
                return asset_class, hour_of_object(key)
            except HourError:
                return None
    return None


def _raw_key(asset_class: AssetClass) -> dg.AssetKey:
    return dg.AssetKey(["raw", asset_class])


def _at_work(instance: dg.DagsterInstance) -> Iterator[tuple[frozenset[AssetClass], HourRange]]:
    """Yield what the runs that are going on may write: asset classes of raw, and hours."""
    for run in instance.get_runs(dg.RunsFilter(statuses=_AT_WORK)):
        hours = hours_of_run(run.tags)
        if hours is None:
            continue
        chosen = run.asset_selection  # of a whole job it is empty, or none
        yield (
            frozenset(one for one in ASSET_CLASSES if not chosen or _raw_key(one) in chosen),
            hours,
        )


@dataclass(frozen=True, slots=True)
class _Claim:
    """A version that a materialization names; without a modification it is any of that content."""

    etag: str | None
    modified: float | None
    recorded_at: float


def _claims(
    instance: dg.DagsterInstance, lake: Lake, places: Iterable[Place]
) -> Mapping[Place, Mapping[str, Sequence[_Claim]]]:
    """Return what the book says of some hours: by hour and object key, the versions recorded."""
    claims: dict[Place, dict[str, list[_Claim]]] = defaultdict(lambda: defaultdict(list))
    hours: dict[AssetClass, list[str]] = defaultdict(list)
    for asset_class, hour in places:
        hours[asset_class].append(hour_key(hour))
    for asset_class, keys in hours.items():
        for record in _materializations(instance, _raw_key(asset_class), keys):
            made = record.asset_materialization
            if made is None or made.partition is None:
                continue
            place = (asset_class, HourRange.between_keys(made.partition, made.partition).start)
            for key, claim in _claimed(made, lake, record.timestamp):
                claims[place][key].append(claim)
    return claims


def _materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str]
) -> Iterator[dg.EventLogRecord]:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions)
    cursor = None
    while True:
        page = instance.fetch_materializations(wanted, limit=_PAGE, cursor=cursor)
        yield from page.records
        if not page.has_more:
            return
        cursor = page.cursor


def _claimed(made: dg.AssetMaterialization, lake: Lake, at: float) -> Iterator[tuple[str, _Claim]]:
    objects, etags = _list(made, "objects"), _list(made, "etags")
    modified = _list(made, "modified")
    prefix = lake.uri("")
    for number, uri in enumerate(objects):
        yield (
            uri.removeprefix(prefix),
            _Claim(
                etags[number] if number < len(etags) else None,
                float(modified[number]) if number < len(modified) else None,
                at,
            ),
        )


def _list(made: dg.AssetMaterialization, name: str) -> list[Any]:
    value = made.metadata.get(name)
    return list(value.value) if value is not None and isinstance(value.value, Sequence) else []


def _is_claimed(info: ObjectInfo, claims: Mapping[str, Sequence[_Claim]]) -> bool:
    modified = info.last_modified.timestamp()
    for claim in claims.get(info.key, ()):
        if claim.etag is None:  # recorded before versions were kept: whatever lay there by then
            if modified <= claim.recorded_at:
                return True
        elif claim.etag == info.etag and claim.modified in (None, modified):
            return True
    return False


@dataclass(slots=True)
class _Look:
    """What an object holds."""

    rows: int | None
    problems: list[str]


def _look(lake: Lake, asset_class: AssetClass, info: ObjectInfo) -> _Look | None:
    """Return what an object holds, or None if it is gone."""
    if info.size > MOST_READ:
        return _Look(None, [])
    try:
        records, problems = decode_json_lines(lake.get(info.key), RAW[asset_class])
    except MissingObjectError:
        return None
    return _Look(
        records.height, [f"{reason}: {text[:80]!r}" if text else reason for text, reason in problems]
    )


def _record(
    instance: dg.DagsterInstance,
    lake: Lake,
    place: Place,
    objects: Collection[ObjectInfo],
    taken: TakenIn,
    log: Callable[[str], None],
) -> None:
    """Record an hour with all of its new objects, in one event: it holds either all of them or none."""
    asset_class, hour = place
    looks = each(objects, lambda info: _look(lake, asset_class, info))
    taken.settled += objects
    there = {info.key: (info, look) for info, look in zip(objects, looks, strict=True) if look is not None}
    if not there:
        return
    for info, look in there.values():
        if look.problems:
            _tell_of_problems(instance, lake, place, info, look)
            log(f"{lake.uri(info.key)}: {look.problems[0]}")
            taken.unreadable += not look.rows
    rows = sum(look.rows or 0 for _, look in there.values())
    uris = [lake.uri(key) for key in there]
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=_raw_key(asset_class),
            partition=hour_key(hour),
            description=f"{len(there)} object(s) that no run of fin_lake wrote",
            metadata={
                "objects": uris,
                "etags": [info.etag for info, _ in there.values()],
                "modified": [info.last_modified.timestamp() for info, _ in there.values()],
                "bytes": sum(info.size for info, _ in there.values()),
                "dagster/partition_row_count": rows,
                **({"state": HourState.STORED.value} if rows else {}),
            },
        )
    )
    taken.recorded += len(there)
    log(f"recorded {_raw_key(asset_class).to_user_string()} of {hour_key(hour)}: {', '.join(uris)}")


def _tell_of_problems(
    instance: dg.DagsterInstance, lake: Lake, place: Place, info: ObjectInfo, look: _Look
) -> None:
    asset_class, hour = place
    nothing = "nothing in it can be read" if not look.rows else f"{look.rows} records can be read"
    instance.report_runless_asset_event(
        dg.AssetObservation(
            asset_key=_raw_key(asset_class),
            partition=hour_key(hour),
            description=f"{lake.uri(info.key)} is broken: {nothing}; the rest goes to the quarantine",
            metadata={
                "object": lake.uri(info.key),
                "records_read": look.rows or 0,
                "problems": len(look.problems),
                "first_problems": look.problems[:_SHOWN],
                "remedy": "put a mended file beside it: raw is never changed, cleaning takes what is sound",
            },
        )
    )
