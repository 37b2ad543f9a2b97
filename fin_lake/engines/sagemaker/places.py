"""Where data sets, models and forecasts lie in the lake, and how a model is named."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from fin_lake.engines.sagemaker.errors import ModelError
from fin_lake.lake.store import Lake, MissingObjectError

if TYPE_CHECKING:
    import datetime as dt

ROOT: Final = "analytics/ml"
MODELS: Final = f"{ROOT}/models"
CODE: Final = f"{ROOT}/code"
LATEST_DATA: Final = f"{ROOT}/datasets/latest.json"
LATEST_MODEL: Final = f"{MODELS}/latest.json"
PREDICTIONS: Final = f"{ROOT}/predictions"
TABLE: Final = "ml_predictions"
"""The table over the forecasts of all models."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows to learn from, as they were at a moment.

    Parameters
    ----------
    prefix : str
        The folder of its Parquet files, with a slash at its end.
    rows : int
        Rows with a label.
    until : str
        What was known then, UTC: no label is later.
    """

    prefix: str
    rows: int
    symbols: int
    moments: int
    until: str
    horizon_bars: int


def new_name(stack: str, moment: dt.datetime) -> str:
    """Return a name for a job and the model it makes, as SageMaker's names are (at most 63 characters)."""
    return f"{stack}-{moment:%Y%m%dt%H%M%Sz}-{uuid.uuid4().hex[:8]}"


def data_prefix(name: str) -> str:
    """Return the folder of a training set."""
    return f"{ROOT}/datasets/{name}/"


def model_archive(name: str) -> str:
    """Return where SageMaker leaves a training job's model."""
    return f"{MODELS}/{name}/output/model.tar.gz"


def output_archive(name: str) -> str:
    """Return where SageMaker leaves what else a training job wrote."""
    return f"{MODELS}/{name}/output/output.tar.gz"


def model_object(name: str, file: str) -> str:
    """Return the key of a file beside a model."""
    return f"{MODELS}/{name}/{file}"


def predictions_object(name: str) -> str:
    """Return the key of all that a model has forecast."""
    return f"{PREDICTIONS}/{name}/predictions.parquet"


def scoring_prefix(job: str, what: str) -> str:
    """Return a folder of a scoring job, which expires: its rows, or what it said of them."""
    return f"{ROOT}/scoring/{job}/{what}/"


def keep_training_set(lake: Lake, made: TrainingSet) -> None:
    """Make a training set the latest; its files are there."""
    lake.put(LATEST_DATA, as_json(asdict(made)), content_type="application/json")


def latest_training_set(lake: Lake) -> TrainingSet:
    """Return the training set to learn from.

    Raises
    ------
    ModelError
        There is none.
    """
    return TrainingSet(**_read(lake, LATEST_DATA, "training set", "ml/training_set"))


def latest_model(lake: Lake) -> dict[str, Any]:
    """Return the description of the latest model, with its ``name``.

    Raises
    ------
    ModelError
        There is none.
    """
    return _read(lake, LATEST_MODEL, "model", "ml/model")


def _read(lake: Lake, key: str, what: str, asset: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(lake.get(key))
    except MissingObjectError:
        raise ModelError(
            f"there is no {what} yet: {lake.uri(key)} is missing",
            f"materialize {asset}, or the job train_model",
        ) from None
    return found


def as_json(content: dict[str, Any]) -> bytes:
    """Return JSON that a person reads, too."""
    return json.dumps(content, indent=2).encode() + b"\n"
