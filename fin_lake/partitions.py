"""Hours: keys, hive prefixes, ranges, and the trading sessions they fall into.

Everything about the time axis belongs here; nothing about what is stored on it. All times are UTC
and zone-aware, all ranges half-open: ``[start, end)``.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fin_lake.errors import FinLakeError

if TYPE_CHECKING:
    import dagster as dg
    from exchange_calendars import ExchangeCalendar

UTC: Final = dt.UTC
HOUR: Final = dt.timedelta(hours=1)
KEY_FORMAT: Final = "%Y-%m-%d-%H:%M"  # Dagster's own format for hourly partitions
STOCK_EXCHANGE: Final = "XNYS"

_HIVE: Final = re.compile(r"year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=(\d{2})(?=/|$)")
_HOUR_FORMATS: Final = ("%Y-%m-%dT%H", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", KEY_FORMAT, "%Y-%m-%d")


class HourError(FinLakeError):
    """A text or a moment that names no hour."""


def floor_hour(moment: dt.datetime) -> dt.datetime:
    """Return the start of the hour that holds ``moment`` (zone-aware), in UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hour_key(hour: dt.datetime) -> str:
    """Return the partition key of an hour: ``2023-01-03-14:00``."""
    return hour.strftime(KEY_FORMAT)


def parse_hour(text: str) -> dt.datetime:
    """Read an hour as a person or Dagster writes it.

    ``2023-01-03T14``, ``2023-01-03T14:00Z``, ``2023-01-03-14:00`` and ``2023-01-03`` (midnight) are
    understood; a time without a zone is UTC.

    Raises
    ------
    HourError
        The text is no time, or not the start of an hour.
    """
    moment = _parse_moment(text.strip())
    if moment is None:
        raise HourError(f"{text!r} is not an hour", "write it like 2023-01-03T14 (UTC)")
    if moment != floor_hour(moment):
        raise HourError(f"{text!r} is not the start of an hour", "partitions are whole UTC hours")
    return moment


def _parse_moment(text: str) -> dt.datetime | None:
    for pattern in _HOUR_FORMATS:
        try:
            return dt.datetime.strptime(text.removesuffix("Z"), pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def hive_prefix(hour: dt.datetime) -> str:
    """Return the hour's place in the lake: ``year=2023/month=01/day=03/hour=14``."""
    return hour.strftime("year=%Y/month=%m/day=%d/hour=%H")


def hour_of_object(key: str) -> dt.datetime:
    """Return the hour that an object key names by its hive prefix.

    Raises
    ------
    HourError
        The key has no ``year=…/month=…/day=…/hour=…``, or one that is no date.
    """
    found = _HIVE.search(key)
    if found is None:
        raise HourError(f"object {key!r} lies under no year=/month=/day=/hour= prefix")
    year, month, day, hour = map(int, found.groups())
    try:
        return dt.datetime(year, month, day, hour, tzinfo=UTC)
    except ValueError as error:
        raise HourError(f"object {key!r} names no hour: {error}") from error


@dataclass(frozen=True, slots=True)
class HourRange:
    """The hours from ``start`` to ``end``, the end excluded."""

    start: dt.datetime
    end: dt.datetime

    def __post_init__(self) -> None:
        for moment in (self.start, self.end):
            if moment.tzinfo is None or moment != floor_hour(moment):
                raise HourError(f"{moment!r} is not the start of a UTC hour")
        if self.end <= self.start:
            raise HourError(
                f"the range from {hour_key(self.start)} to {hour_key(self.end)} holds no hour",
                "its end is excluded and must be later than its start",
            )

    @classmethod
    def of(cls, hour: dt.datetime) -> HourRange:
        """Return the range of a single hour."""
        return cls(hour, hour + HOUR)

    @classmethod
    def between_keys(cls, first: str, last: str) -> HourRange:
        """Return the range of two partition keys, both included, as Dagster names ranges."""
        return cls(parse_hour(first), parse_hour(last) + HOUR)

    def __len__(self) -> int:
        return int((self.end - self.start) / HOUR)

    def __iter__(self) -> Iterator[dt.datetime]:
        return (self.start + i * HOUR for i in range(len(self)))

    def __contains__(self, moment: dt.datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        if len(self) == 1:
            return hour_key(self.start)
        return f"{hour_key(self.start)} … {hour_key(self.end - HOUR)}"

    @property
    def first_key(self) -> str:
        """The partition key of the first hour."""
        return hour_key(self.start)

    @property
    def last_key(self) -> str:
        """The partition key of the last hour."""
        return hour_key(self.end - HOUR)

    def by_month(self) -> Iterator[HourRange]:
        """Split at the starts of calendar months (UTC)."""
        start = self.start
        while start < self.end:
            following = (start.replace(day=1) + dt.timedelta(days=32)).replace(day=1, hour=0)
            yield HourRange(start, min(following, self.end))
            start = following


@functools.lru_cache(maxsize=8)
def stock_calendar(first_year: int) -> ExchangeCalendar:
    """Return the New York Stock Exchange's calendar from ``first_year`` on.

    Loading every session since 2006 takes longer than a whole run of one hour, hence the bound.
    """
    import exchange_calendars  # noqa: PLC0415 - half a second, and crypto never needs it

    return exchange_calendars.get_calendar(STOCK_EXCHANGE, start=f"{first_year}-01-01")


def stock_sessions(hours: HourRange) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return opening and closing times (UTC) of the sessions that touch ``hours``."""
    days = (hours.start.date() - dt.timedelta(days=1), hours.end.date() + dt.timedelta(days=1))
    schedule = stock_calendar(hours.start.year - 1).schedule.loc[str(days[0]) : str(days[1])]  # type: ignore[misc]
    sessions = zip(schedule["open"], schedule["close"], strict=True)
    return [
        (opens.to_pydatetime(), closes.to_pydatetime())
        for opens, closes in sessions
        if opens < hours.end and closes > hours.start
    ]


def stock_session_hours(hours: HourRange) -> frozenset[dt.datetime]:
    """Return those of ``hours`` in which the stock exchange trades for at least a minute."""
    return frozenset(
        hour
        for opens, closes in stock_sessions(hours)
        for hour in _hours_touching(opens, closes)
        if hour in hours
    )


def _hours_touching(opens: dt.datetime, closes: dt.datetime) -> Iterator[dt.datetime]:
    hour = floor_hour(opens)
    while hour < closes:
        yield hour
        hour += HOUR


def hourly_partitions(start: dt.datetime, now: dt.datetime | None) -> dg.HourlyPartitionsDefinition:
    """Return the partitions of every table: the closed UTC hours since ``start``.

    Parameters
    ----------
    start : datetime
        The first hour.
    now : datetime, optional
        Where time stands still (a recorded market); the wall clock if omitted.
    """
    import dagster as dg  # noqa: PLC0415 - a second and a half, and the stack's commands do without

    return dg.HourlyPartitionsDefinition(start_date=start, end_date=floor_hour(now) if now else None)
