"""Training in SageMaker's script mode: this file runs alone, in AWS's container as on a laptop.

``python train.py`` reads Parquet from ``SM_CHANNEL_TRAIN`` and writes ``model.joblib`` and ``model.json``
to ``SM_MODEL_DIR``, ``metrics.json`` and ``walk_forward.parquet`` to ``SM_OUTPUT_DATA_DIR``. The functions
named ``…_fn`` are the hooks by which SageMaker's container serves the model; ``python train.py score``
applies them to the Parquet files of a folder.

It needs numpy, scipy, pyarrow and scikit-learn, and nothing of fin_lake. Times are UTC, returns are
simple returns (0.01 is one per cent).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import scipy
import sklearn
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

FORMAT = 1
FEATURES = (
    "log_return",
    "log_return_lag_1",
    "log_return_lag_2",
    "log_return_lag_3",
    "return_mean_6",
    "return_std_6",
    "return_min_6",
    "return_max_6",
    "distance_from_mean_6",
    "return_mean_24",
    "return_std_24",
    "return_min_24",
    "return_max_24",
    "distance_from_mean_24",
    "volume_zscore_24",
    "hour_of_session",
    "minutes_since_open",
    "day_of_week",
    "is_last_hour",
    "rsi_14",
    "stochastic_k",
    "stochastic_d",
    "adx_14",
    "macd_histogram_ratio",
    "bollinger_position",
    "atr_ratio",
    "distance_from_sma_50",
    "distance_from_vwap",
)
"""What a model sees: ratios and counts, for prices themselves wander off."""
KEYS = ("symbol", "decision_at")
LABEL = "forward_return"
TIMES = ("label_end_at", "embargo_until")
BASELINES = ("zero", "last_return", "train_mean")
"""Naive forecasts: nothing changes; the last hour happens again; each symbol's mean so far."""
SIGNIFICANT = 0.05
"""Below this chance of a skill by luck a model is said to beat the naive forecast."""
PARQUET = "application/x-parquet"
LEAST_TRAINING_ROWS = 100
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - AWS's container has Python 3.10


class TrainingError(Exception):
    """Data that no model can be made of."""


@dataclass(frozen=True)
class Rows:
    """Labelled rows in order of decision, then symbol; times are microseconds since 1970, UTC.

    ``features`` is (rows, features), NaN where a feature is null.
    """

    symbols: npt.NDArray[Any]
    decided: Integers
    label_end: Integers
    embargo_until: Integers
    features: Floats
    labels: Floats

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: Booleans) -> Rows:
        """Return the chosen rows."""
        return Rows(
            self.symbols[chosen],
            self.decided[chosen],
            self.label_end[chosen],
            self.embargo_until[chosen],
            self.features[chosen],
            self.labels[chosen],
        )

    def sha256(self) -> str:
        """Return the digest of what is learned from, whatever files it came in."""
        digest = hashlib.sha256("\n".join(self.symbols.tolist()).encode())
        for values in (self.decided, self.label_end, self.embargo_until, self.features, self.labels):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Fold:
    """A stretch of time to forecast, and the rows that were known before it."""

    train: Booleans
    test: Booleans
    begins: int
    ends: int


def read_rows(folder: Path) -> Rows:
    """Read the labelled rows of a folder of Parquet files.

    Raises
    ------
    TrainingError
        There is no file, or a column is missing.
    """
    wanted = [*KEYS, *TIMES, LABEL, *FEATURES]
    files = ds.dataset(folder, format="parquet")
    missing = [name for name in wanted if name not in files.schema.names]
    if missing:
        raise TrainingError(f"{folder} has no column {', '.join(missing)}")
    table = files.to_table(columns=wanted)
    table = table.filter(pa.compute.is_valid(table[LABEL])).sort_by(
        [("decision_at", "ascending"), ("symbol", "ascending")]
    )
    return Rows(
        symbols=np.asarray(table["symbol"].to_pylist(), dtype=str),
        decided=_microseconds(table["decision_at"]),
        label_end=_microseconds(table["label_end_at"]),
        embargo_until=_microseconds(table["embargo_until"]),
        features=matrix(table),
        labels=_floats(table[LABEL]),
    )


def matrix(table: pa.Table) -> Floats:
    """Return the features of a table, (rows, features), null as NaN.

    Raises
    ------
    TrainingError
        A feature is missing.
    """
    missing = [name for name in FEATURES if name not in table.column_names]
    if missing:
        raise TrainingError(f"the rows have no feature {', '.join(missing)}")
    return np.column_stack([_floats(table[name]) for name in FEATURES])


def _floats(column: pa.ChunkedArray) -> Floats:
    numbers: Floats = column.cast(pa.float64()).to_numpy()
    return np.where(np.isnan(numbers), np.nan, numbers)  # one NaN, whose bytes a digest may see


def _microseconds(column: pa.ChunkedArray) -> Integers:
    zoneless = pa.timestamp("us")  # Athena's Parquet has no zone; its times are UTC
    times: Integers = column.cast(zoneless, safe=False).cast(pa.int64()).to_numpy()
    return times


def walk_forward(rows: Rows, folds: int) -> list[Fold]:
    """Cut the later half of the time into stretches, each forecast by what was known before it.

    A row is trained on only if its embargo is over when the stretch begins: its labels (of any horizon,
    which is the purge) were known, and the embargo's hours have passed since. Rows of one moment are
    never parted.

    Source: López de Prado, Advances in Financial Machine Learning (2018), chapter 7.
    """
    if folds < 2:  # noqa: PLR2004 - one stretch says nothing of another
        raise TrainingError(f"{folds} folds: at least 2 are needed")
    moments = np.unique(rows.decided)
    length = len(moments) // (2 * folds)
    if not length:
        raise TrainingError(f"{len(moments)} moments of decision do not make {folds} folds")
    made = []
    for _, later in TimeSeriesSplit(n_splits=folds, test_size=length).split(moments):
        begins, ends = int(moments[later[0]]), int(moments[later[-1]])
        test = (rows.decided >= begins) & (rows.decided <= ends)
        made.append(Fold(rows.embargo_until <= begins, test, begins, ends))
    return made


def new_model(kind: str, alpha: float, seed: int) -> Any:
    """Return an untrained model: ``ridge`` (linear) or ``boosting`` (trees)."""
    if kind == "boosting":
        return HistGradientBoostingRegressor(
            max_iter=200, learning_rate=0.03, max_leaf_nodes=7, l2_regularization=1.0, random_state=seed
        )
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), Ridge(alpha=alpha)
    )


def naive_forecasts(train: Rows, test: Rows) -> dict[str, Floats]:
    """Return what each baseline says of the test rows."""
    overall = float(train.labels.mean())
    means = {symbol: float(train.labels[train.symbols == symbol].mean()) for symbol in set(train.symbols)}
    return {
        "zero": np.zeros(len(test)),
        "last_return": np.nan_to_num(np.expm1(test.features[:, FEATURES.index("log_return")])),
        "train_mean": np.array([means.get(symbol, overall) for symbol in test.symbols]),
    }


def validate(
    rows: Rows, folds: Sequence[Fold], make: Callable[[], Any], horizon: int
) -> tuple[dict[str, Any], pa.Table]:
    """Forecast each stretch by a model of what was known before; return metrics and the forecasts."""
    told, forecasts = [], []
    for number, fold in enumerate(folds, 1):
        train, test = rows.where(fold.train), rows.where(fold.test)
        if len(train) < LEAST_TRAINING_ROWS:
            raise TrainingError(
                f"fold {number} has {len(train)} rows to learn from, and needs {LEAST_TRAINING_ROWS}: "
                "give it more hours, or fewer folds"
            )
        said = {"model": make().fit(train.features, train.labels).predict(test.features)}
        said.update(naive_forecasts(train, test))
        told.append(
            {
                "fold": number,
                "train_rows": len(train),
                "test_rows": len(test),
                "train_decided_until": _text(int(train.decided.max())),
                "train_labels_known_until": _text(int(train.label_end.max())),
                "train_embargo_until": _text(int(train.embargo_until.max())),
                "test_begins": _text(fold.begins),
                "test_ends": _text(fold.ends),
                **_figures(test, said),
            }
        )
        forecasts.append(_table(test, said, number))
    together = pa.concat_tables(forecasts)
    chosen = rows.where(np.any([fold.test for fold in folds], axis=0))  # in the folds' order, which is time's
    said = {name: _floats(together[name]) for name in ("model", *BASELINES)}
    return {**_figures(chosen, said), **_test(chosen, said, horizon), "folds": told}, together


def _figures(test: Rows, said: Mapping[str, Floats]) -> dict[str, Any]:
    errors = {name: float(np.sqrt(np.mean((test.labels - one) ** 2))) for name, one in said.items()}
    best = min(BASELINES, key=errors.__getitem__)
    moved = test.labels != 0
    right = np.sign(said["model"][moved]) == np.sign(test.labels[moved])
    varied = len(np.unique(said["model"])) > 1 and len(np.unique(test.labels)) > 1
    return {
        "rows": len(test),
        "rmse": errors["model"],
        "baselines": {name: errors[name] for name in BASELINES},
        "best_baseline": best,
        "skill": 1 - (errors["model"] / errors[best]) ** 2 if errors[best] else 0.0,
        "hit_rate": float(right.mean()) if moved.any() else None,
        "rank_correlation": float(stats.spearmanr(said["model"], test.labels)[0]) if varied else None,
    }


def _test(test: Rows, said: Mapping[str, Floats], horizon: int) -> dict[str, Any]:
    """Ask whether the model's errors are smaller than the best baseline's by more than luck.

    The squared errors' differences are averaged over the symbols of a moment, which move together, and
    tested as Diebold and Mariano (1995) do, with the correction of Harvey, Leybourne and Newbold (1997)
    for horizons that overlap; one-sided.
    """
    best = min(BASELINES, key=lambda name: float(np.mean((test.labels - said[name]) ** 2)))
    gains = (test.labels - said[best]) ** 2 - (test.labels - said["model"]) ** 2
    moments, place = np.unique(test.decided, return_inverse=True)
    means = np.bincount(place, gains) / np.bincount(place)
    count, lags = len(moments), min(horizon - 1, len(moments) - 1)
    centred = means - means.mean()
    variance = float(centred @ centred) / count
    variance += 2 * sum(float(centred[lag:] @ centred[:-lag]) / count for lag in range(1, lags + 1))
    if count < 3 or variance <= 0:  # noqa: PLR2004 - no spread can be told of two
        return {"statistic": None, "p_value": None, "beats_naive": False}
    correction = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    statistic = float(means.mean() / np.sqrt(variance / count) * np.sqrt(max(correction, 0)))
    p_value = float(stats.t.sf(statistic, count - 1))
    return {"statistic": statistic, "p_value": p_value, "beats_naive": p_value < SIGNIFICANT}


def _table(test: Rows, said: Mapping[str, Floats], fold: int) -> pa.Table:
    times = pa.array(test.decided, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "fold": pa.array([fold] * len(test), pa.int32()),
            "symbol": test.symbols.tolist(),
            "decision_at": times,
            LABEL: test.labels,
            **said,
        }
    )


def train(arguments: argparse.Namespace) -> None:
    """Validate, train on all rows, and write the model, its description and the metrics."""
    rows = read_rows(arguments.train)
    if not len(rows):
        raise TrainingError(f"{arguments.train} has no labelled row")

    def make() -> Any:
        return new_model(arguments.model, arguments.alpha, arguments.seed)

    metrics, forecasts = validate(rows, walk_forward(rows, arguments.folds), make, arguments.horizon_bars)
    arguments.model_dir.mkdir(parents=True, exist_ok=True)
    arguments.output_data_dir.mkdir(parents=True, exist_ok=True)
    file = arguments.model_dir / "model.joblib"
    joblib.dump(make().fit(rows.features, rows.labels), file)
    description = {
        "format": FORMAT,
        "features": list(FEATURES),
        "features_sha256": _of_features(),
        "target": LABEL,
        "horizon_bars": arguments.horizon_bars,
        "model": {
            "kind": arguments.model,
            "alpha": arguments.alpha,
            "seed": arguments.seed,
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        },
        "data": {
            "rows": len(rows),
            "symbols": sorted(set(rows.symbols.tolist())),
            "sha256": rows.sha256(),
            "first_decision_at": _text(int(rows.decided.min())),
            "last_decision_at": _text(int(rows.decided.max())),
            "labels_known_until": _text(int(rows.label_end.max())),
        },
        "script_sha256": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        "versions": versions(),
    }
    _write(arguments.model_dir / "model.json", description)
    _write(arguments.output_data_dir / "metrics.json", metrics)
    pq.write_table(forecasts, arguments.output_data_dir / "walk_forward.parquet")
    for name in ("rmse", "skill", "hit_rate", "p_value"):  # SageMaker reads its metrics from the log
        sys.stdout.write(f"validation:{name}={metrics[name]};\n")
    baseline = metrics["baselines"][metrics["best_baseline"]]
    sys.stdout.write(f"validation:baseline_rmse={baseline};\n")


def versions() -> dict[str, str]:
    """Return the versions that a stored model depends on."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }


def _of_features() -> str:
    return hashlib.sha256("\n".join(FEATURES).encode()).hexdigest()


def _text(moment: int) -> str:
    return f"{_EPOCH + moment * _MICROSECOND:%Y-%m-%dT%H:%M:%SZ}"


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n")


# --- serving ---


def model_fn(model_dir: str) -> tuple[Any, dict[str, Any]]:
    """Return the model of a folder and its description.

    Raises
    ------
    TrainingError
        It is not what was described, sees other features, or was stored by another scikit-learn.
    """
    description = json.loads((Path(model_dir) / "model.json").read_text())
    data = (Path(model_dir) / description["model"]["file"]).read_bytes()
    if hashlib.sha256(data).hexdigest() != description["model"]["sha256"]:
        raise TrainingError(f"{description['model']['file']} is not the model that model.json describes")
    if description["features_sha256"] != _of_features():
        raise TrainingError("the model was trained on other features than this script has: train it again")
    stored = description["versions"]["scikit-learn"]
    if stored != sklearn.__version__:
        raise TrainingError(
            f"the model was stored by scikit-learn {stored}, and this is {sklearn.__version__}: "
            "train it again"
        )
    return joblib.load(io.BytesIO(data)), description


def input_fn(body: bytes, content_type: str) -> pa.Table:
    """Return the rows of a request: Parquet with the keys and the features."""
    if content_type != PARQUET:
        raise TrainingError(f"rows come as {PARQUET}, not as {content_type}")
    return pq.read_table(pa.BufferReader(body))


def predict_fn(rows: pa.Table, model: tuple[Any, dict[str, Any]]) -> pa.Table:
    """Return symbol, time of decision and the forecast return over the model's horizon, in order."""
    fitted, _ = model
    rows = rows.sort_by([("decision_at", "ascending"), ("symbol", "ascending")])
    features = matrix(rows)  # in one order, for a sum's last bit depends on it
    return pa.table(
        {
            **{name: rows[name] for name in KEYS},
            "predicted_return": fitted.predict(features) if len(features) else np.zeros(0),
        }
    )


def output_fn(predicted: pa.Table, accept: str) -> bytes:
    """Return the forecasts as Parquet; SageMaker adds the content type that was asked for."""
    if accept not in (PARQUET, "*/*", ""):
        raise TrainingError(f"forecasts are {PARQUET}, not {accept}")
    sink = io.BytesIO()
    pq.write_table(predicted, sink)
    return sink.getvalue()


def score(arguments: argparse.Namespace) -> None:
    """Write a file ``….out`` for each file of a folder, as SageMaker's batch transform does."""
    model = model_fn(str(arguments.model_dir))
    arguments.output.mkdir(parents=True, exist_ok=True)
    for file in _files(arguments.input):
        predicted = predict_fn(input_fn(file.read_bytes(), PARQUET), model)
        (arguments.output / f"{file.name}.out").write_bytes(output_fn(predicted, PARQUET))


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.iterdir()) if file.is_file())


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments; SageMaker passes hyperparameters so, and paths by environment."""
    told = argparse.ArgumentParser(description="Train a model of hourly returns, or score rows by it")
    told.add_argument("work", nargs="?", choices=["train", "score"], default="train")
    told.add_argument("--model", choices=["ridge", "boosting"], default="ridge")
    told.add_argument("--alpha", type=float, default=100.0)
    told.add_argument("--folds", type=int, default=5)
    told.add_argument("--horizon-bars", type=int, default=1)
    told.add_argument("--seed", type=int, default=0)
    told.add_argument("--train", type=Path, default=_place("SM_CHANNEL_TRAIN", "input/data/train"))
    told.add_argument("--model-dir", type=Path, default=_place("SM_MODEL_DIR", "model"))
    told.add_argument("--output-data-dir", type=Path, default=_place("SM_OUTPUT_DATA_DIR", "output/data"))
    told.add_argument("--input", type=Path)
    told.add_argument("--output", type=Path)
    return told


def _place(variable: str, usual: str) -> Path:
    return Path(os.environ.get(variable) or Path("/opt/ml", usual))


def main() -> None:
    """Train or score, as the arguments say."""
    arguments = parser().parse_args()
    try:
        (score if arguments.work == "score" else train)(arguments)
    except TrainingError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
