"""The account made by the template, on the local AWS, and read back by boto3 and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fin_lake.clients import aws_client
from fin_lake.lake.notifications import ensure_notifications
from fin_lake.lake.store import Lake
from fin_lake.local.aws import ELSEWHERE
from fin_lake.operations.deploy import DeployError, deploy
from fin_lake.settings import Settings, environment, load_settings

pytestmark = pytest.mark.stack
FIN_LAKE = Path(sys.executable).with_name("fin-lake")
NOT_KEPT = {
    "Intelligent-Tiering archive-what-is-tagged",
    "inventory every-object",
    "request metrics EntireBucket",
    "request metrics analytics",
    "request metrics processed",
    "request metrics raw",
    "storage class analysis storage-classes",
}


@pytest.fixture
def settings(stack_settings: Settings) -> Settings:
    """Names of the test's own; the bucket is there already and holds an object, and the queue is, too."""
    name = stack_settings.bucket
    mine = stack_settings.model_copy(
        update={
            "stack_name": name,
            "notifications_queue": name,
            "cloudwatch_namespace": name,
            "athena_workgroup": name,
        }
    )
    Lake(mine).put("raw/stocks/kept", b"before the stack")
    ensure_notifications(mine)
    return mine


def client(settings: Settings, service: str) -> Any:
    return aws_client(settings, service, settings.aws_endpoint_url)


def test_a_bucket_that_is_there_becomes_the_stacks_and_a_second_deployment_changes_nothing(
    settings: Settings,
):
    first = deploy(settings)
    found = {(one.action, one.logical_id) for one in first.changes}
    assert found >= {("Import", "Bucket"), ("Import", "Queue"), ("Add", "Logs"), ("Modify", "Queue")}
    assert Lake(settings).get("raw/stocks/kept") == b"before the stack"
    assert {name.partition(": ")[2] for name in first.not_kept} == NOT_KEPT

    second = deploy(settings)
    assert (second.changes, second.put_right) == ([], [])


def test_what_the_template_says_is_what_s3_has(settings: Settings):
    deploy(settings)
    s3, bucket = client(settings, "s3"), settings.bucket
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    lifecycle = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert lifecycle["raw-gets-colder"]["Transitions"] == [
        {"Days": 30, "StorageClass": "STANDARD_IA"},
        {"Days": 90, "StorageClass": "GLACIER_IR"},
    ]
    assert lifecycle["athena-results-expire"]["Expiration"] == {"Days": 7}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}
    owner = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert owner == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert {"Key": "project", "Value": "fin-lake"} in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    logged = s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]
    assert logged["TargetBucket"] == f"{bucket}-logs"
    (queue,) = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert queue["QueueArn"].endswith(f":{bucket}")
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert {"NoOtherEncryption", "NoKeyThatOnlyTheWriterHas"} <= {one["Sid"] for one in policy["Statement"]}
    group = aws_client(settings, "athena", settings.athena_endpoint_url).get_work_group(WorkGroup=bucket)
    assert group["WorkGroup"]["Configuration"]["BytesScannedCutoffPerQuery"] == 107374182400


def test_who_changes_a_setting_by_hand_has_it_put_right(settings: Settings):
    deploy(settings)
    s3, bucket = client(settings, "s3"), settings.bucket
    s3.delete_bucket_lifecycle(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "of", "Value": "another"}]})
    athena = aws_client(settings, "athena", settings.athena_endpoint_url)
    less = {"BytesScannedCutoffPerQuery": 20_000_000}
    athena.update_work_group(WorkGroup=bucket, ConfigurationUpdates=less)
    put_right = {f"{bucket}: lifecycle", f"{bucket}: tags", f"Athena: workgroup {bucket}"}
    assert set(deploy(settings).put_right) == put_right
    assert deploy(settings).put_right == []
    assert len(s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]) == 8
    tags = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    assert {tag["Key"] for tag in tags} == {"of", "project", "cost-center"}


def test_a_plan_changes_nothing(settings: Settings):
    plan = deploy(settings, plan=True)
    assert {one.logical_id for one in plan.changes} >= {"Bucket", "Logs", "IngestRole", "Dashboard"}
    with pytest.raises(ClientError, match="does not exist"):
        client(settings, "cloudformation").describe_stacks(StackName=settings.stack_name)
    deploy(settings)
    (change,) = [
        one
        for one in deploy(settings, {"MetricsNamespace": "Other"}, plan=True).changes
        if one.logical_id == "RunFailed"
    ]
    assert (change.action, change.replaced) == ("Modify", False)
    assert deploy(settings).changes == []


def test_a_parameter_stays_until_it_is_set_again(settings: Settings):
    deploy(settings, {"CostCenter": "quants"})
    tags = client(settings, "s3").get_bucket_tagging(Bucket=settings.bucket)["TagSet"]
    assert {"Key": "cost-center", "Value": "quants"} in tags
    assert deploy(settings).changes == []


def test_what_holds_data_is_not_replaced_unasked(settings: Settings):
    deploy(settings)
    other = settings.model_copy(update={"bucket": f"{settings.bucket}-other"})
    with pytest.raises(DeployError, match=r"would replace or remove what holds data: .*Bucket"):
        deploy(other)
    assert deploy(settings).changes == []


def test_with_a_key_objects_are_encrypted_by_it(settings: Settings):
    done = deploy(settings.model_copy(update={"encryption": "aws:kms"}))
    key, setting = done.outputs["KeyArn"]
    assert setting == "FIN_LAKE_KMS_KEY"
    s3, bucket = client(settings, "s3"), settings.bucket
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    assert rule["BucketKeyEnabled"] is True
    Lake(settings).put("processed/one", b"1")
    assert s3.head_object(Bucket=bucket, Key="processed/one")["ServerSideEncryption"] == "aws:kms"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"Bucket": "x"}, "the template has no parameter Bucket"),
        ({"Tiering": "never"}, "Tiering"),
        ({"InterfaceEndpoints": "yes"}, "VpcId"),
    ],
)
def test_what_cannot_be_is_said_and_leaves_nothing(settings: Settings, parameters, words: str):
    with pytest.raises(DeployError, match=words):
        deploy(settings, parameters)
    assert deploy(settings).changes != []


def test_the_command_says_what_it_did(settings: Settings):
    told = environment(settings) | {
        "FIN_LAKE_STACK": settings.stack_name,
        "FIN_LAKE_DEPLOY_PARAMETERS": ELSEWHERE,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [FIN_LAKE, "deploy", *arguments],
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"]["BucketName"] == [settings.bucket, "AWS_S3_BUCKET_NAME"]
    again = run()
    assert f"{settings.stack_name}: no change" in again.stdout
    assert f"  AWS_S3_BUCKET_NAME={settings.bucket}" in again.stdout
    wrong = run("--set", "Nonsense")
    assert wrong.returncode != 0
    assert "'Nonsense' is not NAME=VALUE" in wrong.stderr
    assert load_settings(deploy_parameters=ELSEWHERE).deploy_parameters["TlsOnly"] == "no"
