"""What SageMaker is asked: training, models, batch transform, registration, and a Pipeline of all four.

Requests are what boto3's client takes. A Pipeline's steps have the same arguments, with references in the
place of names (schema version 2020-12-01 of Amazon's pipeline definition).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fin_lake.engines.sagemaker.places import CODE, MODELS, PREDICTIONS
from fin_lake.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fin_lake.settings import Settings

SCRIPT: Final = Path(__file__).with_name("train.py")
"""It is imported by nothing that definitions need: scikit-learn takes a second, and is an extra."""
PARQUET: Final = "application/x-parquet"
_IMAGE: Final = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py310"
_IMAGES_REGION: Final = "us-east-1"
_METRICS: Final = ("rmse", "baseline_rmse", "skill", "hit_rate", "p_value")
_LONGEST_SECONDS: Final = 3600
_OF_RETURNS: Final = "forecasts hourly returns"
_VOLUME_GB: Final = 10
_MOST_MB: Final = 100
"""The most that a batch transform sends at once; SageMaker's own limit."""


def source() -> bytes:
    """Return the script as SageMaker takes it, ``sourcedir.tar.gz``; the same script is the same bytes."""
    return archive({SCRIPT.name: SCRIPT.read_bytes()})


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a ``.tar.gz`` of files, whose bytes depend on nothing but them."""
    import gzip  # noqa: PLC0415 - tarfile's own would write the time

    sink = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=sink, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as made,
    ):
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def source_object() -> str:
    """Return the key of the script's archive, named by its content."""
    return f"{CODE}/{hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:16]}/sourcedir.tar.gz"


def image(settings: Settings) -> str:
    """Return the container's image.

    Raises
    ------
    SettingsError
        Every region has a registry of its own, and this one's is not named.
    """
    if settings.sagemaker_image:
        return settings.sagemaker_image
    if settings.aws_region == _IMAGES_REGION:
        return _IMAGE
    raise SettingsError(
        f"FIN_LAKE_SAGEMAKER_IMAGE is not set, and {settings.aws_region} has a registry of its own",
        "take the scikit-learn image of your region from Amazon's list of Docker registry paths",
    )


def _kms(settings: Settings, name: str) -> dict[str, str]:
    return {name: settings.kms_key} if settings.kms_key else {}


def _uri(settings: Settings, key: str) -> str:
    return f"s3://{settings.bucket}/{key}"


def training(settings: Settings, data: Any, hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of CreateTrainingJob but for the job's name."""
    return {
        "AlgorithmSpecification": {
            "TrainingImage": image(settings),
            "TrainingInputMode": "File",
            "MetricDefinitions": [
                {"Name": f"validation:{name}", "Regex": f"validation:{name}=([0-9.eE+-]+);"}
                for name in _METRICS
            ],
        },
        "RoleArn": settings.sagemaker_role,
        "HyperParameters": {
            **hyperparameters,
            "sagemaker_program": SCRIPT.name,
            "sagemaker_submit_directory": _uri(settings, source_object()),
            "sagemaker_region": settings.aws_region,
            "sagemaker_container_log_level": "20",
        },
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": data,
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
        ],
        "OutputDataConfig": {"S3OutputPath": _uri(settings, MODELS), **_kms(settings, "KmsKeyId")},
        "ResourceConfig": {
            "InstanceType": settings.sagemaker_instance,
            "InstanceCount": 1,
            "VolumeSizeInGB": _VOLUME_GB,
            **_kms(settings, "VolumeKmsKeyId"),
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": _LONGEST_SECONDS},
    }


def container(settings: Settings, archive_uri: Any) -> dict[str, Any]:
    """Return the container that serves a model by the script's hooks."""
    return {
        "Image": image(settings),
        "ModelDataUrl": archive_uri,
        "Environment": {
            "SAGEMAKER_PROGRAM": SCRIPT.name,
            "SAGEMAKER_SUBMIT_DIRECTORY": _uri(settings, source_object()),
            "SAGEMAKER_REGION": settings.aws_region,
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        },
    }


def model(settings: Settings, archive_uri: Any) -> dict[str, Any]:
    """Return the arguments of CreateModel but for the model's name."""
    return {
        "PrimaryContainer": container(settings, archive_uri),
        "ExecutionRoleArn": settings.sagemaker_role,
    }


def transform(settings: Settings, name: Any, rows: Any, output: Any) -> dict[str, Any]:
    """Return the arguments of CreateTransformJob but for the job's name."""
    return {
        "ModelName": name,
        "MaxPayloadInMB": _MOST_MB,
        "MaxConcurrentTransforms": 1,
        "BatchStrategy": "SingleRecord",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": rows}},
            "ContentType": PARQUET,
            "SplitType": "None",
        },
        "TransformOutput": {
            "S3OutputPath": output,
            "Accept": PARQUET,
            "AssembleWith": "None",
            **_kms(settings, "KmsKeyId"),
        },
        "TransformResources": {
            "InstanceType": settings.sagemaker_instance,
            "InstanceCount": 1,
            **_kms(settings, "VolumeKmsKeyId"),
        },
    }


def package(
    settings: Settings, archive_uri: Any, told: Mapping[str, str], metrics_uri: str | None = None
) -> dict[str, Any]:
    """Return the arguments of CreateModelPackage: a version of the group, for a person to approve.

    Parameters
    ----------
    told : mapping of str to str
        What the registry keeps beside the version: digests, and the ``name``, by which it is known again.
    """
    measured = {"ContentType": "application/json", "S3Uri": metrics_uri}
    return {
        "ModelPackageGroupName": group(settings),
        "ModelPackageDescription": " ".join([told.get("name", "pipeline:"), _OF_RETURNS]),
        "InferenceSpecification": {
            "Containers": [container(settings, archive_uri)],
            "SupportedContentTypes": [PARQUET],
            "SupportedResponseMIMETypes": [PARQUET],
            "SupportedTransformInstanceTypes": [settings.sagemaker_instance],
            "SupportedRealtimeInferenceInstanceTypes": [settings.sagemaker_instance],
        },
        "ModelApprovalStatus": "PendingManualApproval",
        **({"CustomerMetadataProperties": dict(told)} if told else {}),
        **({"ModelMetrics": {"ModelQuality": {"Statistics": measured}}} if metrics_uri else {}),
    }


def group(settings: Settings) -> str:
    """Return the group of the models' versions, and the Pipeline's name."""
    return f"{settings.stack_name}-hourly-returns"


def pipeline(settings: Settings, hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the Pipeline that trains, registers and scores; data are its parameters.

    What feeds it are the folders that the assets ``ml/training_set`` and ``ml/predictions`` write.
    """
    trained = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    data, rows = {"Get": "Parameters.TrainingData"}, {"Get": "Parameters.RowsToScore"}
    scored = {"Get": "Parameters.Predictions"}

    def parameter(name: str, default: str | None = None) -> dict[str, str]:
        return {"Name": name, "Type": "String", **({"DefaultValue": default} if default else {})}

    def step(name: str, kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"Name": name, "Type": kind, "Arguments": arguments}

    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [
            parameter("TrainingData"),
            parameter("RowsToScore"),
            parameter("Predictions", _uri(settings, f"{PREDICTIONS}/pipeline/")),
        ],
        "Steps": [
            step("Train", "Training", training(settings, data, hyperparameters)),
            step("Register", "RegisterModel", package(settings, trained, {})),
            step("Model", "Model", model(settings, trained)),
            step(
                "Score",
                "Transform",
                transform(settings, {"Get": "Steps.Model.ModelName"}, rows, scored),
            ),
        ],
    }
