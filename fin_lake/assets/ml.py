"""Models: what they learn from, what they are worth, their registration, and what they forecast."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, Final

import dagster as dg

from fin_lake.engines.sagemaker import requests
from fin_lake.engines.sagemaker.errors import ModelError
from fin_lake.engines.sagemaker.places import (
    LATEST_MODEL,
    TABLE,
    as_json,
    keep_training_set,
    latest_model,
    latest_training_set,
    model_archive,
    model_object,
    new_name,
    output_archive,
    predictions_object,
    scoring_prefix,
)
from fin_lake.engines.sagemaker.runner import SageMaker, unpacked
from fin_lake.lake.store import Lake
from fin_lake.partitions import UTC
from fin_lake.reports.model_report import model_report, verdict
from fin_lake.settings import Settings

GROUP: Final = "ml"
RESOURCE: Final = "sagemaker"
TRAINING_SET: Final = dg.AssetKey(["ml", "training_set"])
MODEL: Final = dg.AssetKey(["ml", "model"])
MODEL_PACKAGE: Final = dg.AssetKey(["ml", "model_package"])
PREDICTIONS: Final = dg.AssetKey(["ml", "predictions"])
LEAST_ROWS: Final = 500
LEAST_MOMENTS: Final = 100
_FEATURES: Final = dg.AssetKey(["ml_features", "hourly"])
_LABELS: Final = dg.AssetKey(["ml_features", "labels"])
_ENOUGH, _NO_LEAKAGE, _BEATS = "enough_rows", "no_leakage", "beats_naive"


class TrainingSetConfig(dg.Config):
    """Which labels to learn."""

    horizon_bars: int = 1
    until: str = ""
    """A moment, UTC: only what was known then. The present, if empty."""


class ModelConfig(dg.Config):
    """How to learn."""

    model: str = "ridge"
    alpha: float = 100.0
    folds: int = 5
    seed: int = 0

    def hyperparameters(self, horizon_bars: int) -> dict[str, str]:
        """Return them as the script takes them."""
        named = {"model": self.model, "alpha": self.alpha, "folds": self.folds, "seed": self.seed}
        return {**{name: str(value) for name, value in named.items()}, "horizon-bars": str(horizon_bars)}


def build_ml_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the assets from training set to forecasts."""
    lake = Lake(settings)
    owners, tags = list(settings.owners), {"layer": GROUP}

    @dg.asset(
        key=TRAINING_SET,
        deps=[_FEATURES, _LABELS],
        description="Features with the labels that are known, as a folder of Parquet",
        kinds={"athena", "s3", "parquet"},
        check_specs=[
            dg.AssetCheckSpec(
                _ENOUGH,
                asset=TRAINING_SET,
                blocking=True,
                description=f"At least {LEAST_ROWS} labelled rows, of {LEAST_MOMENTS} hours",
            )
        ],
        group_name=GROUP,
        owners=owners,
        tags=tags,
    )
    def training_set(config: TrainingSetConfig) -> dg.MaterializeResult:  # type: ignore[type-arg] # with checks, Dagster knows the bare class alone
        from fin_lake.engines.sagemaker.data import HORIZONS, make_training_set  # noqa: PLC0415 - the extra
        from fin_lake.operations.athena import Athena  # noqa: PLC0415 - imports boto3

        if config.horizon_bars not in HORIZONS:
            raise ModelError(
                f"horizon_bars is {config.horizon_bars}",
                f"labels look {HORIZONS} bars ahead: take one of them",
            )
        made = make_training_set(
            Athena(settings),
            lake,
            new_name(settings.stack_name, dt.datetime.now(UTC)),
            horizon_bars=config.horizon_bars,
            until=_moment(config.until, settings),
        )
        is_enough = made.rows >= LEAST_ROWS and made.moments >= LEAST_MOMENTS
        if is_enough:
            keep_training_set(lake, made)
        return dg.MaterializeResult(
            metadata={
                "dagster/uri": lake.uri(made.prefix),
                "dagster/row_count": made.rows,
                "symbols": made.symbols,
                "hours": made.moments,
                "horizon_bars": made.horizon_bars,
                "until": made.until,
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=_ENOUGH,
                    passed=is_enough,
                    metadata={"rows": made.rows, "hours": made.moments},
                    description=None
                    if is_enough
                    else f"{made.rows} labelled rows of {made.moments} hours: a model needs {LEAST_ROWS} of "
                    f"{LEAST_MOMENTS}; `fin-lake backfill` fetches more",
                )
            ],
        )

    @dg.asset(
        key=MODEL,
        deps=[TRAINING_SET],
        description="A model of the next hours' returns, validated walk-forward against naive forecasts",
        kinds={"sagemaker", "scikitlearn", "s3"},
        check_specs=[
            dg.AssetCheckSpec(
                _NO_LEAKAGE,
                asset=MODEL,
                blocking=True,
                description="Nothing was learned from labels that were unknown when a forecast began",
            ),
            dg.AssetCheckSpec(
                _BEATS, asset=MODEL, description="The model's error is smaller than the best naive forecast's"
            ),
        ],
        group_name=GROUP,
        owners=owners,
        tags=tags,
    )
    def model(
        context: dg.AssetExecutionContext, config: ModelConfig, sagemaker: dg.ResourceParam[SageMaker]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg] # with checks, Dagster knows the bare class alone
        data = latest_training_set(lake)
        name = new_name(settings.stack_name, dt.datetime.now(UTC))
        sagemaker.train(name, data.prefix, config.hyperparameters(data.horizon_bars), context.log.info)
        described = json.loads(unpacked(lake.get(model_archive(name)))["model.json"])
        metrics = json.loads(unpacked(lake.get(output_archive(name)))["metrics.json"])
        description = {"name": name, **described, "training_set": lake.uri(data.prefix)}
        report = model_report(name, description, metrics)
        lake.put(model_object(name, "model.json"), as_json(description), content_type="application/json")
        lake.put(model_object(name, "metrics.json"), as_json(metrics), content_type="application/json")
        lake.put(
            model_object(name, "report.md"), report.encode(), content_type="text/markdown; charset=utf-8"
        )
        leaks = leakage(metrics)
        if not leaks:  # whoever scores takes what this names: it is whole, and it is last
            lake.put(LATEST_MODEL, as_json(description), content_type="application/json")
        return dg.MaterializeResult(
            metadata={
                "dagster/uri": lake.uri(model_archive(name)),
                "name": name,
                "report": dg.MetadataValue.md(report),
                "open": dg.MetadataValue.url(lake.link(model_object(name, "report.md"))),
                "rows": described["data"]["rows"],
                "rmse": metrics["rmse"],
                "baseline_rmse": metrics["baselines"][metrics["best_baseline"]],
                "skill": metrics["skill"],
                "model_sha256": described["model"]["sha256"],
                "data_sha256": described["data"]["sha256"],
                "features_sha256": described["features_sha256"],
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=_NO_LEAKAGE, passed=not leaks, description="; ".join(leaks) or None
                ),
                dg.AssetCheckResult(
                    check_name=_BEATS,
                    passed=metrics["beats_naive"],
                    severity=dg.AssetCheckSeverity.WARN,
                    description=verdict(metrics),
                    metadata={"skill": metrics["skill"], "p_value": metrics["p_value"]},
                ),
            ],
        )

    @dg.asset(
        key=MODEL_PACKAGE,
        deps=[MODEL],
        description="The model in SageMaker's registry, for a person to approve",
        kinds={"sagemaker"},
        group_name=GROUP,
        owners=owners,
        tags=tags,
    )
    def model_package(sagemaker: dg.ResourceParam[SageMaker]) -> dg.MaterializeResult[None]:
        found = latest_model(lake)
        name = str(found["name"])
        request = requests.package(
            settings,
            lake.uri(model_archive(name)),
            _told(found),
            lake.uri(model_object(name, "metrics.json")),
        )
        place = model_object(name, "model_package.json")
        arn = None if sagemaker.is_here else sagemaker.register(request)
        lake.put(place, as_json({"ModelPackageArn": arn, **request}), content_type="application/json")
        return dg.MaterializeResult(
            metadata={
                "dagster/uri": lake.uri(place),
                "name": name,
                "approval": request["ModelApprovalStatus"],
                "arn": arn or "registered in the lake alone: FIN_LAKE_SAGEMAKER_ROLE is not set",
            }
        )

    @dg.asset(
        key=PREDICTIONS,
        deps=[MODEL, _FEATURES],
        description=f"What the latest model forecasts of the bars it has not learned from; {TABLE} on Athena",
        kinds={"sagemaker", "s3", "parquet"},
        group_name=GROUP,
        owners=owners,
        tags=tags,
    )
    def predictions(
        context: dg.AssetExecutionContext, sagemaker: dg.ResourceParam[SageMaker]
    ) -> dg.MaterializeResult[None]:
        from fin_lake.engines.sagemaker.data import ensure_table, forecasts, unload_rows  # noqa: PLC0415
        from fin_lake.operations.athena import Athena  # noqa: PLC0415 - imports boto3

        found, athena = latest_model(lake), Athena(settings)
        name, since = str(found["name"]), str(found["data"]["labels_known_until"])
        job = new_name(settings.stack_name, dt.datetime.now(UTC))
        rows, scored = scoring_prefix(job, "rows"), scoring_prefix(job, "scored")
        unload_rows(athena, lake, rows, since)
        if lake.list_objects([rows]):
            sagemaker.score(job, name, rows, scored, context.log.info)
        parts = list(lake.get_many(info.key for info in lake.list_objects([scored])).values())
        table = forecasts(parts, name, int(found["horizon_bars"]))
        lake.put(predictions_object(name), table.data)
        ensure_table(athena, lake)
        return dg.MaterializeResult(
            metadata={
                "dagster/uri": lake.uri(predictions_object(name)),
                "dagster/row_count": table.rows,
                "dagster/relation_identifier": f"{settings.glue_database}.{TABLE}",
                "model": name,
                "decided_since": since,
            }
        )

    return [training_set, model, model_package, predictions]


def leakage(metrics: Mapping[str, Any]) -> list[str]:
    """Return where a fold learned from what was not known when its forecasts began."""
    return [
        f"fold {fold['fold']} forecasts from {fold['test_begins']} on and learned from {what} {fold[column]}"
        for fold in metrics["folds"]
        for column, what in (
            ("train_decided_until", "decisions of"),
            ("train_labels_known_until", "labels of"),
            ("train_embargo_until", "rows under embargo until"),
        )
        if fold[column] > fold["test_begins"]  # texts of one format compare as times do
    ]


def _told(found: Mapping[str, Any]) -> dict[str, str]:
    """Return what the registry keeps beside a version."""
    return {
        "name": str(found["name"]),
        "model_sha256": str(found["model"]["sha256"]),
        "data_sha256": str(found["data"]["sha256"]),
        "features_sha256": str(found["features_sha256"]),
    }


def _moment(text: str, settings: Settings) -> dt.datetime:
    if not text:
        return settings.clock
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ModelError(f"until is {text!r}", "a moment is written as in 2023-01-30T21:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
