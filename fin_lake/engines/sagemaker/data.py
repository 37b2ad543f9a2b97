"""What a model learns from and what it forecasts: rows of the features, unloaded by Athena to Parquet."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from fin_lake.engines.sagemaker.errors import ModelError
from fin_lake.engines.sagemaker.places import (
    PREDICTIONS,
    TABLE,
    TrainingSet,
    data_prefix,
)

try:
    from fin_lake.engines.sagemaker.train import FEATURES, KEYS, LABEL, TIMES
except ImportError as error:
    raise ModelError(
        f"models need a package that is not installed: {error}", "pip install 'fin_lake[ml]'"
    ) from None

if TYPE_CHECKING:
    from fin_lake.lake.store import Lake
    from fin_lake.operations.athena import Athena

HORIZONS: Final = (1, 4, 24)
_JOINED: Final = (
    "from ml_features_hourly f join ml_features_labels l "
    "on l.trade_date = f.trade_date and l.symbol = f.symbol and l.hour_start = f.hour_start"
)
_COLUMNS: Final = (
    ("symbol", "string", pa.string()),
    ("decision_at", "timestamp", pa.timestamp("us", "UTC")),
    ("predicted_return", "double", pa.float64()),
    ("horizon_bars", "int", pa.int32()),
    ("model", "string", pa.string()),
)
_SAID: Final = pa.schema([(name, kind) for name, _, kind in _COLUMNS[:3]])
"""What scoring says; the rest is the model's."""


def make_training_set(
    athena: Athena, lake: Lake, name: str, *, horizon_bars: int, until: dt.datetime
) -> TrainingSet:
    """Unload the rows whose labels were known at a moment.

    Parameters
    ----------
    until : datetime
        No label is later; the present, unless the past is to be made again.

    Raises
    ------
    AthenaError
        The features are not there, or Athena cannot be asked.
    """
    chosen = f"where l.horizon_bars = {horizon_bars} and l.label_end_at <= {_literal(until)}"
    (counts,) = athena.run(
        f"select count(*), count(distinct f.symbol), count(distinct f.available_at) {_JOINED} {chosen}"
    ).rows()
    rows, symbols, moments = (int(one or 0) for one in counts)
    prefix = data_prefix(name)
    if rows:
        labels = ", ".join(_timestamp(f"l.{one}", one) for one in TIMES)
        _unload(athena, lake.uri(prefix), f"{_features()}, l.{LABEL}, {labels} {_JOINED} {chosen}")
    return TrainingSet(
        prefix=prefix,
        rows=rows,
        symbols=symbols,
        moments=moments,
        until=f"{until:%Y-%m-%dT%H:%M:%SZ}",
        horizon_bars=horizon_bars,
    )


def unload_rows(athena: Athena, lake: Lake, prefix: str, since: str) -> None:
    """Unload the features decided at a moment (``YYYY-MM-DDTHH:MM:SSZ``) or after it; no row, no file."""
    moment = dt.datetime.fromisoformat(since)
    _unload(
        athena,
        lake.uri(prefix),
        f"{_features()} from ml_features_hourly f where f.available_at >= {_literal(moment)}",
    )


def _unload(athena: Athena, place: str, query: str) -> None:
    athena.run(f"unload (select {query}) to '{place}' with (format = 'PARQUET', compression = 'SNAPPY')")


def _features() -> str:
    columns = [f"f.{name}" for name in FEATURES]
    return ", ".join(["f.symbol", _timestamp("f.available_at", KEYS[1]), *columns])


def _timestamp(column: str, name: str) -> str:
    return f"cast({column} as timestamp(3)) as {name}"  # what Athena writes to Parquet is no finer


def _literal(moment: dt.datetime) -> str:
    return f"timestamp '{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}'"


@dataclass(frozen=True, slots=True)
class Forecasts:
    """An object of forecasts, and how many rows it has."""

    data: bytes
    rows: int


def forecasts(parts: list[bytes], model: str, horizon_bars: int) -> Forecasts:
    """Return all that a model forecast as one Parquet object, in order of time and symbol."""
    tables = [pq.read_table(io.BytesIO(part)).cast(_SAID) for part in parts]
    together = pa.concat_tables(tables or [_SAID.empty_table()])
    together = together.append_column(
        "horizon_bars", pa.array([horizon_bars] * together.num_rows, pa.int32())
    ).append_column("model", pa.array([model] * together.num_rows, pa.string()))
    sink = io.BytesIO()
    pq.write_table(
        together.sort_by([("decision_at", "ascending"), ("symbol", "ascending")]),
        sink,
        compression="zstd",
        coerce_timestamps="us",
    )
    return Forecasts(sink.getvalue(), together.num_rows)


def ensure_table(athena: Athena, lake: Lake) -> None:
    """Let SQL see the forecasts of all models as ``ml_predictions``."""
    columns = ", ".join(f"{name} {kind}" for name, kind, _ in _COLUMNS)
    athena.run(
        f"create external table if not exists {TABLE} ({columns}) stored as parquet "
        f"location '{lake.uri(PREDICTIONS)}/'"
    )
