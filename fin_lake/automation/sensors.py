"""Sensors of the lake: raw objects that others drop are found and recorded, by listing or by messages.

They record hours of raw and nothing else; what stands on them is rebuilt by the conditions of
``automation.conditions``. Both may be on at once: an object that one has recorded is known to the
other.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import dagster as dg

from fin_lake.automation.arrivals import take_in
from fin_lake.lake import watching
from fin_lake.lake.notifications import Message, NotificationError, NotificationQueue, created_objects
from fin_lake.lake.raw import list_attempts
from fin_lake.lake.store import Lake, MissingObjectError, ObjectInfo, each
from fin_lake.partitions import UTC, HourRange
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings
from fin_lake.tables import RAW
from fin_lake.warehouse.locks import only_one

MOST_MESSAGES: Final = 200
"""Messages that a tick reads."""
_TICK_SECONDS: Final = 30


def build_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Return the sensor that lists raw, and the one of S3's messages if the settings name their queue."""
    sensors = [_build_listing(settings)]
    if settings.notifications_queue:
        sensors.append(_build_notified(settings))
    return sensors


def _build_listing(settings: Settings) -> dg.SensorDefinition:
    lake = Lake(settings)

    @dg.sensor(
        name="raw_objects",
        minimum_interval_seconds=_TICK_SECONDS,
        description=(
            "Records hours of raw into which others have put objects, by listing the last two days at every "
            f"tick and, in turn, {watching.DAYS_SWEPT} of the older ones"
        ),
    )
    def raw_objects(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = watching.Memory.from_json(context.cursor)
        now = settings.clock
        sweep = watching.hours_to_sweep(settings.start, now, memory.swept)
        recent = _listed(lake, watching.recent_hours(settings.start, now))
        swept = _listed(lake, sweep) if sweep else []
        known = {watching.version_id(info) for info in recent}
        older = [info for info in swept if watching.version_id(info) not in known]
        fresh = watching.unseen(memory, recent)
        found = sorted(fresh, key=lambda info: info.last_modified) + older
        with _turn(settings, context):
            taken = take_in(context.instance, lake, settings, found, context.log.info)
        reached = memory.swept
        if sweep and not taken.left:  # otherwise these days are swept once more
            reached = sweep.end.date() - dt.timedelta(days=1)
        after = watching.remember(memory, recent, taken.settled, dt.datetime.now(UTC), reached)
        looked = f"{len(recent)} recent objects"
        if sweep:
            looked += f" and {len(swept)} of {sweep}"
        return dg.SensorResult(skip_reason=f"{taken}; looked at {looked}", cursor=after.to_json())

    return raw_objects


def _turn(settings: Settings, context: dg.SensorEvaluationContext) -> AbstractContextManager[None]:
    """Let the two sensors take turns: both at once could find the same object unrecorded."""
    if not settings.notifications_queue:
        return nullcontext()
    return only_one(settings, "recording of raw objects", context.log.info)


def _listed(lake: Lake, hours: HourRange) -> list[ObjectInfo]:
    listings = each(ASSET_CLASSES, lambda asset_class: list_attempts(lake, RAW[asset_class], hours))
    return [info for listing in listings for info in listing]


def _build_notified(settings: Settings) -> dg.SensorDefinition:
    lake, queue = Lake(settings), NotificationQueue(settings)

    @dg.sensor(
        name="raw_notifications",
        minimum_interval_seconds=_TICK_SECONDS,
        description=(
            "Records hours of raw into which others have put objects, by S3's messages in the queue "
            f"{settings.notifications_queue}, for lakes too large to list"
        ),
    )
    def raw_notifications(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        messages, bad = _read(queue, lake.bucket, context.log.warning)
        found = _there(lake, dict.fromkeys(key for _, keys in messages for key in keys))
        with _turn(settings, context):
            taken = take_in(context.instance, lake, settings, list(found.values()), context.log.info)
        # The hours are in the event log by now, and only now may their messages go. Messages that came
        # twice, or out of order, name objects that are known or gone.
        settled = {info.key for info in taken.settled}
        done = [message for message, keys in messages if all(k in settled or k not in found for k in keys)]
        queue.delete(done)
        queue.postpone([message for message, _ in messages if message not in done])
        said = f"{taken}; {len(messages)} messages read"
        return dg.SensorResult(
            skip_reason=f"{said}, {bad} not understood, which the queue gives up in time" if bad else said
        )

    return raw_notifications


def _read(
    queue: NotificationQueue, bucket: str, warn: Callable[[str], None]
) -> tuple[list[tuple[Message, list[str]]], int]:
    """Return messages with the keys that they name, and how many were not understood and stay."""
    understood: list[tuple[Message, list[str]]] = []
    bad = 0
    for message in queue.receive(MOST_MESSAGES):
        try:
            understood.append((message, created_objects(message.body, bucket)))
        except NotificationError as error:
            warn(str(error))
            bad += 1
    return understood, bad


def _there(lake: Lake, keys: Iterable[str]) -> dict[str, ObjectInfo]:
    """Return those objects that are still there, as they are now."""

    def look(key: str) -> ObjectInfo | None:
        try:
            return lake.head(key)
        except MissingObjectError:
            return None

    wanted = list(keys)
    return {info.key: info for info in each(wanted, look) if info is not None}
