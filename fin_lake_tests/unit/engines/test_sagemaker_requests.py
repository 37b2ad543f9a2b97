"""What SageMaker is asked, as boto3 itself reads it, and kept by moto."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber
from botocore.validate import ParamValidator
from click.testing import CliRunner

from fin_lake.cli import cli
from fin_lake.clients import aws_client
from fin_lake.engines.sagemaker import requests
from fin_lake.engines.sagemaker.errors import ModelError
from fin_lake.engines.sagemaker.runner import SageMaker, unpacked
from fin_lake.lake.store import Lake
from fin_lake.settings import Settings, SettingsError, load_settings

ROLE = "arn:aws:iam::123456789012:role/fin-lake-sagemaker"
KEY = "arn:aws:kms:us-east-1:123456789012:key/0123"
TRAINED = "Steps.Train.ModelArtifacts.S3ModelArtifacts"


@pytest.fixture
def settings(bucket_settings: Settings, s3_endpoint: str) -> Settings:
    return bucket_settings.model_copy(
        update={"sagemaker_role": ROLE, "sagemaker_endpoint_url": s3_endpoint, "kms_key": KEY}
    )


def resolved(part: Any) -> Any:
    """The arguments with what the references stand for: texts."""
    if isinstance(part, dict):
        return part["Get"] if set(part) == {"Get"} else {name: resolved(one) for name, one in part.items()}
    return [resolved(one) for one in part] if isinstance(part, list) else part


@pytest.mark.parametrize(
    ("step", "operation", "named"),
    [
        ("Train", "CreateTrainingJob", {"TrainingJobName": "one"}),
        ("Register", "CreateModelPackage", {}),
        ("Model", "CreateModel", {"ModelName": "one"}),
        ("Score", "CreateTransformJob", {"TransformJobName": "one"}),
    ],
)
def test_each_step_of_the_pipeline_is_a_request_that_sagemaker_knows(step, operation, named, settings):
    (found,) = [one for one in requests.pipeline(settings, {"folds": "5"})["Steps"] if one["Name"] == step]
    model = botocore.session.get_session().get_service_model("sagemaker").operation_model(operation)
    report = ParamValidator().validate({**resolved(found["Arguments"]), **named}, model.input_shape)
    assert not report.has_errors(), report.generate_report()


def test_volumes_and_outputs_are_encrypted_with_the_key(settings):
    asked = requests.training(settings, "s3://b/data/", {})
    assert asked["OutputDataConfig"]["KmsKeyId"] == KEY
    assert asked["ResourceConfig"]["VolumeKmsKeyId"] == KEY
    scoring = requests.transform(settings, "m", "s3://b/rows/", "s3://b/out/")
    assert scoring["TransformOutput"]["KmsKeyId"] == KEY
    assert scoring["TransformResources"]["VolumeKmsKeyId"] == KEY


def test_the_script_is_packed_the_same_each_time_and_uploaded_where_jobs_look(settings):
    settings = settings.model_copy(update={"kms_key": ""})
    SageMaker(settings).upload_source()
    assert requests.source() == requests.source()
    packed = Lake(settings).get(requests.source_object())
    assert unpacked(packed) == {"train.py": requests.SCRIPT.read_bytes()}


def test_a_version_is_registered_once_and_waits_for_approval(settings):
    sagemaker = SageMaker(settings)
    asked = requests.package(settings, "s3://b/one/model.tar.gz", {"name": "one"}, "s3://b/metrics.json")
    arn = sagemaker.register(asked)
    assert sagemaker.register(asked) == arn
    other = requests.package(settings, "s3://b/two/model.tar.gz", {"name": "two"}, "s3://b/metrics.json")
    assert sagemaker.register(other) != arn
    told = aws_client(settings, "sagemaker", settings.sagemaker_endpoint_url).describe_model_package(
        ModelPackageName=arn
    )
    assert told["ModelApprovalStatus"] == "PendingManualApproval"
    assert told["CustomerMetadataProperties"] == {"name": "one"}


def test_a_pipeline_is_made_and_then_changed(settings):
    settings = settings.model_copy(update={"kms_key": "", "stack_name": "changed"})
    sagemaker = SageMaker(settings)
    arn = sagemaker.apply_pipeline(requests.pipeline(settings, {"folds": "5"}))
    assert sagemaker.apply_pipeline(requests.pipeline(settings, {"folds": "6"})) == arn
    client = aws_client(settings, "sagemaker", settings.sagemaker_endpoint_url)
    told = client.describe_pipeline(PipelineName="changed-hourly-returns")
    kept = json.loads(told["PipelineDefinition"])
    assert kept == requests.pipeline(settings, {"folds": "6"})


@pytest.fixture
def stubbed(settings: Settings) -> Iterator[tuple[SageMaker, Stubber]]:
    """SageMaker that answers what it is told to."""
    settings = settings.model_copy(update={"kms_key": ""})
    client = aws_client(settings, "sagemaker", settings.sagemaker_endpoint_url)
    with Stubber(client) as stubber:
        yield SageMaker(settings, client, poll_seconds=0), stubber


def test_a_job_that_sagemaker_does_not_take_is_told_with_what_it_said(stubbed):
    sagemaker, stubber = stubbed
    stubber.add_client_error("create_training_job", "ResourceLimitExceeded", "no ml.m5.large is left")
    with pytest.raises(ModelError, match=r"ResourceLimitExceeded: no ml\.m5\.large is left"):
        sagemaker.train("one", "analytics/ml/datasets/none/", {}, lambda _: None)


def test_a_job_that_fails_tells_why_and_where_its_log_is(stubbed):
    sagemaker, stubber = stubbed
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/one"
    failed = {**_described("one", arn), "TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: 7"}
    stubber.add_response("create_training_job", {"TrainingJobArn": arn})
    stubber.add_response("describe_training_job", failed)
    stubber.add_response("describe_training_job", failed)
    with pytest.raises(ModelError, match="Failed: AlgorithmError: 7") as raised:
        sagemaker.train("one", "analytics/ml/datasets/none/", {}, lambda _: None)
    assert "/aws/sagemaker/TrainingJobs" in raised.value.remedy


def test_a_run_that_is_cancelled_stops_its_job(stubbed, monkeypatch):
    sagemaker, stubber = stubbed
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/one"
    stubber.add_response("create_training_job", {"TrainingJobArn": arn})
    stubber.add_response("stop_training_job", {}, {"TrainingJobName": "one"})

    def cancelled(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sagemaker.client, "get_waiter", cancelled)
    with pytest.raises(KeyboardInterrupt):
        sagemaker.train("one", "analytics/ml/datasets/none/", {}, lambda _: None)
    stubber.assert_no_pending_responses()


def test_what_cannot_be_cleared_up_does_not_hide_why_scoring_failed(stubbed):
    sagemaker, stubber = stubbed
    told: list[str] = []
    stubber.add_response("create_model", {"ModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/one"})
    stubber.add_client_error("create_transform_job", "ResourceLimitExceeded", "no machine is left")
    stubber.add_client_error("delete_model", "AccessDeniedException", "not yours")
    with pytest.raises(ModelError, match="no machine is left"):
        sagemaker.score("one", "a-model", "rows/", "scored/", told.append)
    assert "one could not be cleared up: SageMaker refuses: AccessDeniedException" in told[0]


def _described(name: str, arn: str) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "TrainingJobArn": arn,
        "SecondaryStatus": "Failed",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/m"},
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 1},
        "CreationTime": dt.datetime(2023, 1, 1, tzinfo=dt.UTC),
    }


def test_another_region_needs_its_own_image(settings):
    elsewhere = settings.model_copy(update={"aws_region": "eu-central-1"})
    with pytest.raises(SettingsError, match="FIN_LAKE_SAGEMAKER_IMAGE"):
        requests.training(elsewhere, "s3://b/data/", {})
    named = elsewhere.model_copy(update={"sagemaker_image": "registry/image:1"})
    assert requests.image(named) == "registry/image:1"


def test_the_command_prints_the_pipeline_or_says_what_is_missing(monkeypatch):
    with pytest.raises(SettingsError, match="FIN_LAKE_SAGEMAKER_ROLE is not set"):
        CliRunner().invoke(cli, ["sagemaker", "pipeline"], catch_exceptions=False)
    monkeypatch.setenv("FIN_LAKE_SAGEMAKER_ROLE", ROLE)
    printed = CliRunner().invoke(cli, ["sagemaker", "pipeline", "--horizon-bars", "4"])
    expected = requests.pipeline(load_settings(), {"horizon-bars": "4", "model": "ridge"})
    assert json.loads(printed.output) == expected
