"""What the IO managers share: the hours of a run, the type that an asset asks for, metadata."""

from __future__ import annotations

import datetime as dt
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa

from fin_lake.lake.frames import Frame, FrameError
from fin_lake.lake.store import Lake, WrittenHour
from fin_lake.partitions import HourRange, hour_key
from fin_lake.retries import Retries
from fin_lake.schema import Table
from fin_lake.tables import TABLES_BY_ASSET
from fin_lake.traffic import traffic

PREVIEW_ROWS: Final = 5
NO_RETRIES: Final = Retries(most=0)
_WIDE: Final = 7
"""Columns above which a preview is turned."""
_LONG: Final = 120
"""Characters of a text that a preview shows."""
_MARKDOWN: Final = re.compile(r"[\\`*\[\]<|]")


@dataclass(frozen=True, slots=True)
class Unread:
    """Hours that an asset reads itself, if it needs to: who lets another engine read them does not.

    An asset whose parameter is annotated so is given one.
    """

    read: Callable[[], Any]


class HourlyIOManager(dg.IOManager):
    """What every IO manager of hours knows: which table stands behind which asset, and when to try again.

    Parameters
    ----------
    tables : mapping of str to Table
        The table of each asset, by asset key.
    retries : Retries
        How often a step is run again whose store does not answer.
    """

    def __init__(
        self, tables: Mapping[str, Table] = TABLES_BY_ASSET, *, retries: Retries = NO_RETRIES
    ) -> None:
        self._tables = tables
        self._retries = retries

    @abstractmethod
    def store(self, context: dg.OutputContext, obj: Any) -> None:
        """Replace the hours of the run by what the asset returned."""

    @abstractmethod
    def load(self, context: dg.InputContext) -> Any:
        """Return what the store has of the hours that are asked for."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store what the asset returned; what may heal is tried again by Dagster."""
        with self._retries.after(_attempts(context)):
            self.store(context, obj)
        add_traffic(context)

    def load_input(self, context: dg.InputContext) -> Any:
        """Load what the asset asks for; what may heal is tried again by Dagster."""

        def read() -> Any:
            with self._retries.after(_attempts(context)):
                return self.load(context)

        return Unread(read) if _asked_type(context) is Unread else read()

    def table_of(self, context: dg.OutputContext | dg.InputContext) -> Table:
        """Return the table that is written, or that is read: the upstream asset's."""
        upstream = context.upstream_output if isinstance(context, dg.InputContext) else None
        return self._tables[(upstream or context).asset_key.to_user_string()]


def _attempts(context: dg.OutputContext | dg.InputContext) -> int:
    """Return how often the step was run before; an IO manager tried alone has no step."""
    try:
        return context.step_context.previous_attempt_count
    except dg.DagsterInvariantViolationError:
        return 0


def _asked_type(context: dg.InputContext) -> Any:
    """Return what the asset's parameter is annotated with; an IO manager tried alone has no asset."""
    try:
        return context.dagster_type.typing_type
    except dg.DagsterInvariantViolationError:
        return None


def hours_of(context: dg.OutputContext | dg.InputContext) -> HourRange:
    """Return the hours that a step writes or reads: its partition, or its range of partitions."""
    if not context.has_asset_partitions:
        raise FrameError(f"{context.asset_key.to_user_string()} is not partitioned by hour")
    keys = context.asset_partition_key_range
    return HourRange.between_keys(keys.start, keys.end)


def as_asked(rows: pl.DataFrame, context: dg.InputContext) -> Frame:
    """Return a loaded frame as the type that the asset's parameter is annotated with."""
    wanted = _asked_type(context)
    if wanted is pd.DataFrame:
        return rows.to_pandas()
    if wanted is pa.Table:
        return rows.to_arrow()
    return rows


def add_hour_metadata(
    context: dg.OutputContext,
    metadata: Mapping[dt.datetime, Mapping[str, Any]],
    everywhere: Mapping[str, Any] | None = None,
) -> None:
    """Attach metadata to each hour's materialization.

    In a run of many hours each hour's record gets its own numbers. Where there is no step (an IO
    manager tried alone) the sums stand on the output.
    """
    context.add_output_metadata(dict(everywhere or {}))
    try:
        step = context.step_context
    except dg.DagsterInvariantViolationError:
        return
    for hour, values in metadata.items():
        step.add_asset_metadata(
            metadata=dict(values), asset_key=context.asset_key, partition_key=hour_key(hour)
        )


def add_traffic(context: dg.OutputContext) -> None:
    """Attach to the last hour of a run what has crossed the network since the output before.

    It is the step's, what the asset itself has read and fetched included. Checks are steps without an
    output: what they read counts with the next table of the run.
    """
    try:
        step = context.step_context
    except dg.DagsterInvariantViolationError:
        return  # an IO manager tried alone
    counted = {name: count for name, count in traffic().take().items() if count}
    if counted and context.has_asset_partitions:
        last = context.asset_partition_key_range.end
        step.add_asset_metadata(metadata=counted, asset_key=context.asset_key, partition_key=last)


def object_metadata(lake: Lake, stored: WrittenHour, rows: pl.DataFrame | None) -> dict[str, Any]:
    """Return what an hour's materialization says of its objects: rows, bytes, addresses, links, a preview.

    What another engine has written is not at hand (None), and has no preview.
    """
    return {
        "dagster/partition_row_count": stored.rows,
        "bytes": stored.size,
        "objects": [lake.uri(key) for key in stored.keys],
        **({"etags": list(stored.etags)} if stored.etags else {}),
        **{label: dg.MetadataValue.url(lake.link(key)) for label, key in _labelled(stored.keys)},
        **({} if rows is None else {"preview": preview(rows)}),
    }


def _labelled(keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each object with a label: its format where that tells them apart, else its number."""
    kinds = [key.removesuffix(".gz").rpartition(".")[2] for key in keys]
    for number, (key, kind) in enumerate(zip(keys, kinds, strict=True), start=1):
        yield f"open {kind}" if kinds.count(kind) == 1 else f"open {kind} {number}", key


def preview(rows: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """Return the first rows as a Markdown table; one with many columns is turned, a column a line.

    The UI shows a table of under a thousand characters at once, and a longer one when it is asked to.
    """
    shown = rows.head(PREVIEW_ROWS)
    if shown.is_empty():
        return dg.MetadataValue.md("*no rows*")
    lines = [shown.columns, *([_cell(value) for value in row] for row in shown.iter_rows())]
    ruler = ["---:" if kind.is_numeric() else "---" for kind in shown.dtypes]
    if shown.width > _WIDE:
        lines, ruler = [list(line) for line in zip(*lines, strict=True)], ["---"] * len(lines)
    head, *body = lines
    return dg.MetadataValue.md("\n".join("| " + " | ".join(line) + " |" for line in [head, ruler, *body]))


def _cell(value: object) -> str:
    """Return a value as Markdown shows it as it is: text of a source must not become a link or an image."""
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(":00")
    text = "" if value is None else str(value)
    text = text if len(text) <= _LONG else text[:_LONG] + "…"
    return _MARKDOWN.sub(r"\\\g<0>", text.replace("\n", " "))
