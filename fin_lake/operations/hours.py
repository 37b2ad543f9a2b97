"""How every hour came out: done, empty on purpose, a gap, or still to be made.

The answer is in Dagster's event log. Here it is read, in one query however many hours there are, and
judged; drawing it belongs to ``hours_calendar``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import polars as pl

from fin_lake.assets.hourly import HourState
from fin_lake.partitions import HOUR, KEY_FORMAT, UTC, HourRange
from fin_lake.schema import ASSET_CLASSES, AssetClass
from fin_lake.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

LAYERS: Final = ("raw", "processed", "market")
"""Through which an hour must have gone, in this order."""


class State(StrEnum):
    """How an hour stands, of one asset class.

    ``missing`` was never made, or not all the way to PostgreSQL since it was last fetched.
    """

    DONE = "done"
    EMPTY = "empty"
    GAP = "gap"
    PARTIAL = "partial"
    FAILED = "failed"
    RUNNING = "running"
    MISSING = "missing"


TO_MEND: Final = (State.PARTIAL, State.FAILED, State.MISSING)
"""What another run makes good."""

_FRAME: Final = {"asset_class": pl.String, "hour": pl.Datetime("us", "UTC"), "state": pl.String}
_READ: Final = {
    "asset_key": pl.String,
    "partition": pl.String,
    "id": pl.Int64,
    "planned_id": pl.Int64,
    "planned_by": pl.String,
    "before": pl.String,
}
_LABEL: Final = '"label": "state"'
_BEFORE_LABEL: Final = 60
_STATE: Final = r'"text": "(\w+)"\}, $'
_OF_PROCESSED: Final = {
    HourState.STORED.value: State.DONE.value,
    HourState.MARKET_CLOSED.value: State.EMPTY.value,
    HourState.GAP.value: State.GAP.value,
}


def hour_states(
    instance: dg.DagsterInstance,
    settings: Settings,
    hours: HourRange | None = None,
    asset_classes: Sequence[AssetClass] = ASSET_CLASSES,
) -> pl.DataFrame:
    """Return the state of each hour, by asset class.

    Parameters
    ----------
    instance : DagsterInstance
        Where the hours' materializations are recorded; its event log is one in SQL.
    hours : HourRange, optional
        All that there are partitions for, if omitted.
    asset_classes : sequence of {'stocks', 'crypto'}, optional
        Which of them.

    Returns
    -------
    polars.DataFrame
        ``asset_class``, ``hour`` (UTC) and ``state`` (of :class:`State`), in this order.
    """
    span = hours or HourRange(settings.start, settings.latest_closed_hour + HOUR)
    events = _read_events(instance, span, asset_classes)
    return judge(events, _status_by_run(instance, events), span, asset_classes)


def judge(
    events: pl.DataFrame,
    status_by_run: dict[str, str],
    hours: HourRange,
    asset_classes: Sequence[AssetClass] = ASSET_CLASSES,
) -> pl.DataFrame:
    """Return the state of each hour from what was recorded of it.

    Parameters
    ----------
    events : polars.DataFrame
        A row for each ``asset_class``, ``layer`` and ``partition`` that anything is known of: ``id`` of
        the last materialization, ``planned_id`` and ``planned_by`` (a run) of the last attempt,
        ``state`` as the materialization tells it (of ``HourState``).
    status_by_run : dict of str to str
        ``FAILURE`` or ``STARTED``, by run; others do not matter.
    """
    unfinished = pl.col("planned_id") > pl.col("id").fill_null(-1)
    attempted = events.with_columns(
        attempt=pl.when(unfinished).then(
            pl.col("planned_by").replace_strict(status_by_run, default=None, return_dtype=pl.String)
        )
    )
    wide = {
        layer: attempted.filter(pl.col("layer") == layer).select(
            "asset_class",
            "partition",
            pl.col("id").alias(f"{layer}_id"),
            pl.col("state").alias(f"{layer}_state"),
            pl.col("attempt").alias(f"{layer}_attempt"),
        )
        for layer in LAYERS
    }
    found = _every_hour(hours, asset_classes)
    for layer in LAYERS:
        found = found.join(wide[layer], on=["asset_class", "partition"], how="left")
    attempts = [pl.col(f"{layer}_attempt") for layer in LAYERS]
    through = (pl.col("processed_id") >= pl.col("raw_id").fill_null(0)) & (
        pl.col("market_id") >= pl.col("processed_id")
    )
    state = (
        pl.when(pl.any_horizontal(attempt == "STARTED" for attempt in attempts))
        .then(pl.lit(State.RUNNING.value))
        .when(pl.any_horizontal(attempt == "FAILURE" for attempt in attempts))
        .then(pl.lit(State.FAILED.value))
        .when(pl.col("raw_state") == HourState.FAILED.value)
        .then(pl.lit(State.FAILED.value))
        .when(pl.col("raw_state") == HourState.PARTIAL.value)
        .then(pl.lit(State.PARTIAL.value))
        .when(through.fill_null(value=False))
        .then(
            pl.col("processed_state").replace_strict(
                _OF_PROCESSED, default=State.MISSING.value, return_dtype=pl.String
            )
        )
        .otherwise(pl.lit(State.MISSING.value))
    )
    return found.select("asset_class", "hour", state=state).cast(_FRAME)  # type: ignore[arg-type]


def to_mend(states: pl.DataFrame, asset_class: str | None = None) -> list[dt.datetime]:
    """Return the hours that another run makes good, of one asset class or of any."""
    wanted = pl.col("state").is_in(list(TO_MEND))
    if asset_class is not None:
        wanted &= pl.col("asset_class") == asset_class
    return states.filter(wanted)["hour"].unique().sort().to_list()


def ranges(hours: Iterable[dt.datetime]) -> list[HourRange]:
    """Return sorted hours as ranges without a hole."""
    found: list[HourRange] = []
    for hour in hours:
        if found and found[-1].end == hour:
            found[-1] = HourRange(found[-1].start, hour + HOUR)
        else:
            found.append(HourRange.of(hour))
    return found


def _every_hour(hours: HourRange, asset_classes: Sequence[AssetClass]) -> pl.DataFrame:
    moments = pl.datetime_range(
        hours.start, hours.end, "1h", closed="left", time_unit="us", time_zone="UTC", eager=True
    )
    times = pl.DataFrame({"hour": moments}).with_columns(partition=pl.col("hour").dt.strftime(KEY_FORMAT))
    classes = pl.DataFrame({"asset_class": list(asset_classes)}, schema={"asset_class": pl.String})
    return classes.join(times, how="cross", maintain_order="left_right")


def _read_events(
    instance: dg.DagsterInstance, hours: HourRange, asset_classes: Sequence[AssetClass]
) -> pl.DataFrame:
    import dagster as dg  # noqa: PLC0415 - a second and a half, and drawing does without
    import sqlalchemy as sa  # noqa: PLC0415
    from dagster._core.storage.event_log import SqlEventLogStorage  # noqa: PLC0415
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Log  # noqa: PLC0415

    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)  # noqa: S101 - Dagster's own storages all are
    made, planned = (
        dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
    )
    names = {
        dg.AssetKey([layer, asset_class]).to_string(): (asset_class, layer)
        for layer in LAYERS
        for asset_class in asset_classes
    }
    of_type = Log.c.dagster_event_type
    last = (
        sa.select(
            Log.c.asset_key,
            Log.c.partition,
            sa.func.max(sa.case((of_type == made, Log.c.id))).label("id"),
            sa.func.max(sa.case((of_type == planned, Log.c.id))).label("planned_id"),
        )
        .where(
            Log.c.asset_key.in_(names),
            of_type.in_([made, planned]),
            Log.c.partition.between(hours.first_key, hours.last_key),
        )
        .group_by(Log.c.asset_key, Log.c.partition)
        .subquery()
    )
    told, attempt = Log.alias("told"), Log.alias("attempt")
    # an event is 10 kB of JSON, of which one word is wanted
    with storage.index_connection() as connection:
        if connection.dialect.name == "postgresql":
            before = sa.func.right(sa.func.split_part(told.c.event, _LABEL, 1), _BEFORE_LABEL)
        else:
            at = sa.func.instr(told.c.event, _LABEL)
            before = sa.func.substr(told.c.event, at - _BEFORE_LABEL, _BEFORE_LABEL)
        query = (
            sa.select(
                last.c.asset_key, last.c.partition, last.c.id, last.c.planned_id, attempt.c.run_id, before
            )
            .select_from(last)
            .outerjoin(told, (told.c.id == last.c.id) & last.c.asset_key.notlike('["market%'))
            .outerjoin(
                attempt,
                (attempt.c.id == last.c.planned_id) & (last.c.planned_id > sa.func.coalesce(last.c.id, -1)),
            )
        )
        rows = [tuple(row) for row in connection.execute(query)]
    read = pl.DataFrame(rows, schema=_READ, orient="row")
    key = pl.col("asset_key")
    return read.select(
        key.replace_strict({text: name[0] for text, name in names.items()}).alias("asset_class"),
        key.replace_strict({text: name[1] for text, name in names.items()}).alias("layer"),
        "partition",
        "id",
        "planned_id",
        "planned_by",
        state=pl.col("before").str.extract(_STATE),
    )


def _status_by_run(instance: dg.DagsterInstance, events: pl.DataFrame) -> dict[str, str]:
    import dagster as dg  # noqa: PLC0415

    unfinished = events.filter(pl.col("planned_id") > pl.col("id").fill_null(-1))
    run_ids = unfinished["planned_by"].unique().drop_nulls().to_list()
    if not run_ids:
        return {}
    statuses: dict[str, str] = {}
    for run in instance.get_runs(filters=dg.RunsFilter(run_ids=run_ids)):
        if run.status is dg.DagsterRunStatus.FAILURE:
            statuses[run.run_id] = "FAILURE"
        elif not run.is_finished:
            statuses[run.run_id] = "STARTED"
    return statuses


def days(hours: HourRange) -> Iterable[dt.date]:
    """Return the UTC days that hold an hour of the range."""
    day = hours.start.astimezone(UTC).date()
    while day <= (hours.end - HOUR).date():
        yield day
        day += dt.timedelta(days=1)
