"""Which raw objects to look at next, so that none is missed however it came.

A watch remembers little and for a bounded time: the newest modification that it has dealt with, the
versions of the minutes before it, and the day up to which older hours were swept. S3 lists by key
and not by time, and gives the time of a multipart upload as that of its beginning; so an object may
appear with a time that has passed long ago. What the memory does not reach the sweep finds.

Nothing here knows what was done with an object: see ``automation.arrivals``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from fin_lake.lake.store import ObjectInfo
from fin_lake.partitions import HOUR, HourRange, floor_hour

RECENT: Final = dt.timedelta(hours=48)
"""Hours whose objects are listed at every look."""
LOOK_BACK: Final = dt.timedelta(minutes=10)
"""How long before the newest object another may be stamped that is seen only after it."""
PATIENCE: Final = dt.timedelta(hours=6)
"""How long the memory waits for an object that cannot be dealt with yet; then the sweep takes it over."""
DAYS_SWEPT: Final = 2
"""Days of older hours that a look lists besides: five years in 900 looks."""
MOST_REMEMBERED: Final = 2_000
_LONG_AGO: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Memory(msgspec.Struct, frozen=True):
    """What a watch knows between two looks.

    Parameters
    ----------
    watermark : datetime
        Recent objects modified earlier than this, less ``LOOK_BACK``, have been dealt with (UTC).
    versions : frozenset of str
        Those modified later that have been dealt with too, as :func:`version_id` names them.
    swept : date, optional
        The last day that was swept.
    """

    watermark: dt.datetime = _LONG_AGO
    versions: frozenset[str] = frozenset()
    swept: dt.date | None = None

    def to_json(self) -> str:
        """Return it as text, which is at most some 40 kB."""
        return msgspec.json.encode(self, order="sorted").decode()

    @classmethod
    def from_json(cls, text: str | None) -> Memory:
        """Return what :meth:`to_json` wrote; a text that is nothing of the kind is an empty memory.

        Nothing is lost by forgetting: whoever looks asks what was done with each object.
        """
        try:
            return msgspec.json.decode(text or "", type=cls)
        except msgspec.DecodeError:
            return cls()


def version_id(info: ObjectInfo) -> str:
    """Return a short name of a version: of its key, ETag and modification together."""
    text = f"{info.key}\0{info.etag}\0{info.last_modified.timestamp():.6f}"
    return hashlib.blake2s(text.encode(), digest_size=8).hexdigest()


def recent_hours(first: dt.datetime, now: dt.datetime) -> HourRange:
    """Return the hours that are listed at every look: the last ones, the current one included."""
    end = floor_hour(now) + HOUR
    return HourRange(max(min(first, end - HOUR), floor_hour(now - RECENT)), end)


def hours_to_sweep(first: dt.datetime, now: dt.datetime, swept: dt.date | None) -> HourRange | None:
    """Return the older days that are listed now: those behind ``swept``, from the first again at the end."""
    end = recent_hours(first, now).start.date()
    day = first.date() if swept is None else swept + dt.timedelta(days=1)
    if not first.date() <= day <= end:
        day = first.date()
    if day > end:
        return None
    until = min(day + dt.timedelta(days=DAYS_SWEPT), end + dt.timedelta(days=1))
    midnight = dt.time(tzinfo=dt.UTC)
    return HourRange(dt.datetime.combine(day, midnight), dt.datetime.combine(until, midnight))


def unseen(memory: Memory, recent: Iterable[ObjectInfo]) -> list[ObjectInfo]:
    """Return those of the recent objects that the memory does not know to have been dealt with."""
    since = _since(memory.watermark)
    return [
        info for info in recent if info.last_modified >= since and version_id(info) not in memory.versions
    ]


def remember(
    memory: Memory,
    recent: Collection[ObjectInfo],
    settled: Collection[ObjectInfo],
    now: dt.datetime,
    swept: dt.date | None,
) -> Memory:
    """Return the memory after a look.

    Parameters
    ----------
    recent : collection of ObjectInfo
        All recent objects that were listed.
    settled : collection of ObjectInfo
        Those of the listed objects that have been dealt with.
    now : datetime
        By the wall clock, UTC.
    swept : date, optional
        The last day that was swept.
    """
    done = {version_id(info) for info in settled} | memory.versions
    waiting = [
        info.last_modified
        for info in unseen(memory, recent)
        if version_id(info) not in done and info.last_modified > now - PATIENCE
    ]
    newest = max((info.last_modified for info in recent), default=memory.watermark)
    watermark = min([max(newest, memory.watermark), *waiting])
    kept = sorted(
        (info for info in recent if info.last_modified >= _since(watermark) and version_id(info) in done),
        key=lambda info: info.last_modified,
    )
    return Memory(watermark, frozenset(map(version_id, kept[-MOST_REMEMBERED:])), swept)


def _since(watermark: dt.datetime) -> dt.datetime:
    return watermark if watermark == _LONG_AGO else watermark - LOOK_BACK
