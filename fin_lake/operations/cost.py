"""What the lake costs a month, what it will cost in a year, and what would make it cheaper or dearer.

Arithmetic alone: what lies there and what a run takes are measured elsewhere, prices are a file. An
estimate, not a bill: taxes, free tiers other than that of data transfer, PostgreSQL and the machines that
the pipeline runs on are not in it, nor are the requests that Athena itself makes to S3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from fin_lake.errors import FinLakeError
from fin_lake.lake.storage_metrics import SMALL, STANDARD, AgeBand, Count, Group, StorageMetrics

if TYPE_CHECKING:
    from fin_lake.operations.prices import Prices

HOURS_A_MONTH: Final = 730
MONTHS: Final = 12
NEVER_MOVED: Final = ("analytics", "athena-results")
"""Layers that the lifecycle leaves in Standard: models are rewritten, results expire after a week."""
_IA: Final = "STANDARD_IA"
_GLACIER: Final = "GLACIER_IR"
_TIERING: Final = "INTELLIGENT_TIERING"
_TO_IA_AFTER, _TO_GLACIER_AFTER = 1, 3  # months
_HOURS_A_DAY: Final = 24
_FILLED_BY_SMALL: Final = ("raw", "processed")

Policy = Literal["none", "lifecycle", "tiering"]


class CostError(FinLakeError):
    """Something is there that has no price."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the pipeline takes in a month.

    Attributes
    ----------
    runs : float
        Runs a month.
    puts, lists, gets : float
        Requests to S3 a month.
    statements : float
        Statements on Athena a month.
    athena_billed, athena_scanned : float
        Bytes that they are billed for, and that they read.
    bytes_from_s3 : float
        Bytes a month that the pipeline reads from S3.
    outside : bool
        Whether the pipeline runs outside of AWS, so that what it reads is transferred out.
    metrics, alarms : int
        Of CloudWatch.
    cloudwatch_puts : float
        ``PutMetricData`` a month.
    """

    runs: float = 0.0
    puts: float = 0.0
    lists: float = 0.0
    gets: float = 0.0
    statements: float = 0.0
    athena_billed: float = 0.0
    athena_scanned: float = 0.0
    bytes_from_s3: float = 0.0
    outside: bool = False
    metrics: int = 0
    alarms: int = 0
    cloudwatch_puts: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the estimate: what, how much of it in words, and US dollars a month."""

    name: str
    amount: str
    dollars: float


@dataclass(frozen=True, slots=True)
class Month:
    """Storage at the end of a month from now: bytes, objects, and dollars of that month by policy."""

    number: int
    size: float
    objects: float
    without: float
    lifecycle: float
    tiering: float


@dataclass(frozen=True, slots=True)
class Change:
    """What a change would save over twelve months (below zero: cost), in dollars, and why."""

    name: str
    saves: float
    why: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """The whole estimate, in US dollars."""

    lines: tuple[Line, ...]
    months: tuple[Month, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def monthly(self) -> float:
        """What all lines are together."""
        return sum(line.dollars for line in self.lines)


def estimate(
    stored: StorageMetrics,
    usage: Usage,
    prices: Prices,
    *,
    attempts: float = 1.0,
    compacted: Mapping[str, float] | None = None,
) -> Estimate:
    """Return what the lake costs.

    Parameters
    ----------
    attempts : float
        Raw objects that an hour will have for each that it has now: a lake filled at one go has one
        attempt at each hour, a live one reads the last hours again.
    compacted : mapping of str to float, optional
        By dataset, what is left of its bytes when a day's hours are one object, as it was measured; all
        of them where nothing is said.

    Raises
    ------
    CostError
        The lake holds a storage class that the price list does not.
    """
    growth = monthly_growth(stored, attempts)
    months = tuple(projected(stored, growth, prices))
    changes = (
        _lifecycle(months),
        _tiering(months),
        _compaction(stored, growth, prices, compacted or {}),
        _partitions(stored, usage, prices),
        _daily_builds(usage, prices),
    )
    return Estimate(
        (*_storage_lines(stored, prices), *_usage_lines(usage, prices)),
        months,
        changes,
        _notes(stored, usage),
    )


# --- this month ---


def storage_price(prices: Prices, storage_class: str, count: Count) -> float:
    """Return what objects of a class cost a month; small ones count as the least that the class bills.

    Raises
    ------
    CostError
        The class has no price.
    """
    price = prices.storage.get(storage_class)
    if price is None:
        raise CostError(
            f"the price list of {prices.region} has no storage class {storage_class}, which the lake holds",
            f"add [storage.{storage_class}] to a copy of it, and name that with --prices",
        )
    size = float(count.size)
    if price.least_bytes:
        # the only objects whose size is billed up are those that are counted as small: 128 KiB is both
        size += max(0, count.small_objects * price.least_bytes - count.small_size)
    dollars = price.monthly(size)
    if storage_class == _TIERING:
        watched = count.objects - count.small_objects
        dollars += prices.requests.intelligent_tiering_monitoring.of(watched)
    return dollars


def _storage_lines(stored: StorageMetrics, prices: Prices) -> Iterator[Line]:
    for name, count in stored.by(lambda group: group.storage_class).items():
        amount = f"{_size(count.size)} in {count.objects:,} objects"
        yield Line(f"S3 storage, {name}", amount, storage_price(prices, name, count))
    if stored.noncurrent.objects:
        amount = f"{_size(stored.noncurrent.size)} in {stored.noncurrent.objects:,} replaced versions"
        yield Line("S3 storage, versions", amount, storage_price(prices, STANDARD, stored.noncurrent))


def _usage_lines(usage: Usage, prices: Prices) -> Iterator[Line]:
    written = usage.puts + usage.lists
    yield Line("S3 requests, PUT and LIST", f"{written:,.0f}", prices.requests.put.of(written))
    yield Line("S3 requests, GET", f"{usage.gets:,.0f}", prices.requests.get.of(usage.gets))
    yield Line(
        "Athena",
        f"{usage.statements:,.0f} statements, {_size(usage.athena_billed)} billed, "
        f"{_size(usage.athena_scanned)} scanned",
        prices.athena.of(usage.athena_billed),
    )
    watched = usage.metrics * prices.cloudwatch_metric.each + usage.alarms * prices.cloudwatch_alarm.each
    yield Line(
        "CloudWatch",
        f"{usage.metrics} metrics, {usage.alarms} alarms, {usage.cloudwatch_puts:,.0f} requests",
        watched + prices.requests.cloudwatch_put.of(usage.cloudwatch_puts),
    )
    out = usage.bytes_from_s3 if usage.outside else 0.0
    yield Line(
        "Data transfer out",
        f"{_size(out)}, {prices.transfer_out.free_gb:,.0f} GB of it free"
        if usage.outside
        else "none: within the region",
        prices.transfer_out.of(out),
    )


# --- twelve months ---


def monthly_growth(stored: StorageMetrics, attempts: float = 1.0) -> dict[Group, Count]:
    """Return what a month adds: what an hour of data takes today, for each of a month's hours."""
    if not stored.hours:
        return {}
    added: dict[Group, Count] = {}
    for group, count in stored.groups.items():
        if group.layer == "athena-results":
            continue  # they expire
        times = HOURS_A_MONTH / stored.hours * (attempts if group.layer == "raw" else 1.0)
        new = Group(group.layer, group.dataset, STANDARD, AgeBand.FRESH)
        sums = added.setdefault(new, Count())
        sums.add(
            Count(
                round(count.objects * times),
                round(count.size * times),
                round(count.small_objects * times),
                round(count.small_size * times),
            )
        )
    return added


def projected(stored: StorageMetrics, growth: Mapping[Group, Count], prices: Prices) -> Iterator[Month]:
    """Yield twelve months: storage, transitions and monitoring, by what is done with what grows old.

    What a month adds is paid for from that month on. Objects move in the month in which they become 30
    days old, and 90; what is old already and still in Standard moves in the first.
    """
    for number in range(1, MONTHS + 1):
        cohorts = [
            _Cohort(group, count, age=_months_old(group) + number, is_first=number == 1, is_new=False)
            for group, count in stored.groups.items()
        ]
        cohorts += [
            _Cohort(group, count, age=number - born, is_first=born == number, is_new=True)
            for born in range(1, number + 1)
            for group, count in growth.items()
        ]
        yield Month(
            number,
            sum(one.count.size for one in cohorts),
            sum(one.count.objects for one in cohorts),
            *(_month(cohorts, policy, prices) for policy in _POLICIES),
        )


_POLICIES: Final[tuple[Policy, ...]] = ("none", "lifecycle", "tiering")


@dataclass(frozen=True, slots=True)
class _Cohort:
    """Objects of one age, in months; ``is_first`` in the first month that is reckoned for them."""

    group: Group
    count: Count
    age: int
    is_first: bool
    is_new: bool

    def classes(self, policy: Policy) -> tuple[str, str]:
        """Return the class of the large ones a month ago, and now."""
        now = _class_at(self.group, self.age, policy)
        if not self.is_first:
            return _class_at(self.group, self.age - 1, policy), now
        # what is new is put where it is to be
        return (now if self.is_new else self.group.storage_class), now


def _months_old(group: Group) -> int:
    """Return the age of objects today, in whole months: the youngest of their band."""
    return {AgeBand.FRESH: 0, AgeBand.MIDDLE: _TO_IA_AFTER, AgeBand.OLD: _TO_GLACIER_AFTER}[group.age]


def _month(cohorts: list[_Cohort], policy: Policy, prices: Prices) -> float:
    by_class: dict[str, Count] = {}
    dollars = 0.0
    for one in cohorts:
        count = one.count
        large = Count(count.objects - count.small_objects, count.size - count.small_size)
        small = Count(count.small_objects, count.small_size, count.small_objects, count.small_size)
        before, now = one.classes(policy)
        by_class.setdefault(one.group.storage_class, Count()).add(small)
        by_class.setdefault(now, Count()).add(large)
        if now != before:
            dollars += _moved(before, now, large.objects, prices)
        if policy == "tiering" and now in (_TIERING, _TIERED_IA, _TIERED_ARCHIVE):
            dollars += prices.requests.intelligent_tiering_monitoring.of(large.objects)
    for name, count in by_class.items():
        price = {_TIERED_IA: _IA, _TIERED_ARCHIVE: _GLACIER}.get(name)
        if price:  # its tiers cost what those classes cost, and bill no object up
            dollars += prices.storage[price].monthly(count.size)
        elif policy == "tiering" and name == _TIERING:
            dollars += prices.storage[_TIERING].monthly(count.size)  # its monitoring is in already
        else:
            dollars += storage_price(prices, name, count)
    return dollars


_TIERED_IA: Final = "INTELLIGENT_TIERING, infrequent"
_TIERED_ARCHIVE: Final = "INTELLIGENT_TIERING, archive instant"


def _class_at(group: Group, age: int, policy: Policy) -> str:
    """Return the class of a group's large objects at an age in months."""
    if policy == "none" or group.layer in NEVER_MOVED or group.storage_class != STANDARD:
        return group.storage_class
    later = age >= _TO_GLACIER_AFTER, age >= _TO_IA_AFTER
    if policy == "lifecycle":
        return _GLACIER if later[0] else _IA if later[1] else STANDARD
    return _TIERED_ARCHIVE if later[0] else _TIERED_IA if later[1] else _TIERING


def _moved(before: str, now: str, objects: int, prices: Prices) -> float:
    """Return what a move costs; within Intelligent-Tiering nothing."""
    if now == _IA:
        return prices.requests.to_standard_ia.of(objects)
    if now == _GLACIER:
        return prices.requests.to_glacier_ir.of(objects)
    if before == STANDARD and now in (_TIERING, _TIERED_IA, _TIERED_ARCHIVE):
        return prices.requests.to_intelligent_tiering.of(objects)
    return 0.0


# --- what could be otherwise ---


def _lifecycle(months: tuple[Month, ...]) -> Change:
    saves = sum(month.without - month.lifecycle for month in months)
    return Change(
        "lifecycle: Standard-IA at 30 days, Glacier Instant Retrieval at 90",
        saves,
        "storage less transitions, against leaving all in Standard; nothing for reading old hours",
    )


def _tiering(months: tuple[Month, ...]) -> Change:
    saves = sum(month.lifecycle - month.tiering for month in months)
    return Change(
        "Intelligent-Tiering instead of the lifecycle",
        saves,
        "its monitoring against the transitions, if nobody reads old hours; objects under 128 KiB stay "
        "where they are in both",
    )


def _compaction(
    stored: StorageMetrics, growth: Mapping[Group, Count], prices: Prices, left: Mapping[str, float]
) -> Change:
    """Return what it would bring to put a day's hours of a table into one object, once a day."""
    hourly = {group: count for group, count in growth.items() if group.layer in _FILLED_BY_SMALL}
    objects = sum(count.objects for count in hourly.values())
    compacted = {group: _in_days(count, left.get(group.dataset, 1.0)) for group, count in hourly.items()}
    before, after = (sum(count.size for count in ones.values()) for ones in (hourly, compacted))
    rest = {group: count for group, count in growth.items() if group not in compacted}
    fresh = StorageMetrics(stored.bucket, stored.at)
    now = sum(month.lifecycle for month in projected(fresh, growth, prices))
    then = sum(month.lifecycle for month in projected(fresh, {**rest, **compacted}, prices))
    days = sum(count.objects for count in compacted.values())
    work = MONTHS * (prices.requests.get.of(objects) + prices.requests.put.of(days))
    large = days - sum(count.small_objects for count in compacted.values())
    return Change(
        "compaction: a day's hours in one object, made once a day",
        now - then - work,
        f"{objects:,} objects a month become {days:,} ({large:,} of 128 KiB and more), "
        f"{_size(before)} become {_size(after)}; reading and writing them again is ${work:,.2f}; "
        "what readers save is not in it",
    )


def _in_days(count: Count, left: float) -> Count:
    objects = max(1, round(count.objects / _HOURS_A_DAY)) if count.objects else 0
    size = round(count.size * left)
    is_small = bool(objects) and size / objects < SMALL
    return Count(objects, size, objects if is_small else 0, size if is_small else 0)


def _partitions(stored: StorageMetrics, usage: Usage, prices: Prices) -> Change:
    """Return what the partitions save: without them each statement reads all of the largest table it may."""
    parquet = [count.size for name, count in _datasets(stored) if not name.endswith("/json")]
    largest = max(parquet, default=0)
    without = usage.statements * prices.athena.billed(largest)
    saves = MONTHS * (prices.athena.of(without) - prices.athena.of(usage.athena_billed))
    return Change(
        "partitions by hour, which there are",
        saves,
        f"without them each of {usage.statements:,.0f} statements a month would read the largest table "
        f"whole, {_size(largest)} today; Athena bills {_size(prices.athena.least_bytes)} a statement at "
        "least",
    )


def _daily_builds(usage: Usage, prices: Prices) -> Change:
    """Return what it would save to build the models once a day, not with every run."""
    now = prices.athena.of(usage.athena_billed)
    spared = max(0.0, 1 - HOURS_A_MONTH / _HOURS_A_DAY / usage.runs) if usage.runs else 0.0
    return Change(
        "models built once a day",
        MONTHS * now * spared,
        f"as many statements a build, which takes a day's hours, in {HOURS_A_MONTH / _HOURS_A_DAY:.0f} "
        f"builds a month and not {usage.runs:,.0f}; they would be a day old",
    )


def _datasets(stored: StorageMetrics) -> Iterator[tuple[str, Count]]:
    for name, count in stored.by(lambda group: group.dataset).items():
        if name.startswith("processed/"):
            yield name, count


def _notes(stored: StorageMetrics, usage: Usage) -> tuple[str, ...]:
    notes = []
    total = stored.total
    if total.small_objects:
        notes.append(
            f"{total.small_objects:,} of {total.objects:,} objects are under 128 KiB: a lifecycle leaves "
            "them in Standard, as S3 does by default since September 2024"
        )
    if usage.athena_billed > 2 * usage.athena_scanned:
        notes.append(
            "most of what Athena bills is its least of 10 MB a statement: fewer statements cost less, "
            "smaller scans do not"
        )
    notes.append(
        "not in it: PostgreSQL, the machine that runs the pipeline, Athena's own requests to S3, KMS, taxes"
    )
    return tuple(notes)


def _size(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:  # noqa: PLR2004
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TB"
