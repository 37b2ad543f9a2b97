"""`make test-s3`: what it says of a bucket that is well, and of an account in which something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from fin_lake.clients import aws_client
from fin_lake.lake.notifications import NotificationQueue, ensure_notifications
from fin_lake.operations import s3_check
from fin_lake.operations.aws_checks import AwsChecks
from fin_lake.operations.findings import Outcome
from fin_lake.settings import Settings, environment
from fin_lake_tests.enforced import EnforcedAws

SCRIPT = Path(__file__).parents[2] / "scripts" / "test_s3_integration.py"


def run_script(settings: Settings, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as a person does, with nothing but these settings."""
    return subprocess.run(
        [sys.executable, SCRIPT],
        env={**environment(settings), "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return each check's outcome, by its name."""
    assert done.stderr == ""
    return {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}


def line_of(done: subprocess.CompletedProcess[str], check: str) -> str:
    """Return the one line of a check."""
    (line,) = (line for line in done.stdout.splitlines() if line.split()[1] == check)
    return line


@pytest.fixture
def bucket(enforced: EnforcedAws, request: pytest.FixtureRequest) -> str:
    """A bucket in the account that enforces its policies."""
    name = f"s3-check-{abs(hash(request.node.nodeid)):x}"
    enforced.client("s3").create_bucket(Bucket=name)
    return name


def member(enforced: EnforcedAws, bucket: str, *actions: str) -> Settings:
    """Return the settings of a user who may do this in the bucket."""
    on = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": on}]}
    user = enforced.user(document=json.dumps(policy))
    return user.model_copy(update={"bucket": bucket, "profile": "aws"})


@pytest.mark.stack
def test_a_bucket_that_is_well_passes_and_is_left_as_it_was(stack_settings, tmp_path):
    queue = f"{stack_settings.bucket}-raw"
    settings = stack_settings.model_copy(update={"notifications_queue": queue})
    ensure_notifications(settings)
    s3 = aws_client(settings, "s3", settings.aws_endpoint_url)
    s3.put_bucket_versioning(Bucket=settings.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=settings.bucket, Key="raw/others.json", Body=b"{}")

    done = run_script(settings, tmp_path)

    assert done.returncode == 0, done.stdout
    found = outcomes(done)
    assert [name for name in found if found[name] != "ok"] == ["encryption", "lifecycle"]
    assert "not set: lifecycle" in line_of(done, "lifecycle")
    assert "fin-lake deploy" in line_of(done, "lifecycle")
    held = s3.list_object_versions(Bucket=settings.bucket)
    assert [one["Key"] for one in held.get("Versions", [])] == ["raw/others.json"]
    assert "DeleteMarkers" not in held
    # another's message, which was in the queue before, can be had at once
    (message,) = [one for one in NotificationQueue(settings).receive(10) if "others.json" in one.body]
    assert settings.bucket in message.body


def test_a_bucket_that_is_kept_as_it_should_be_has_no_warning(enforced, bucket, tmp_path):
    s3 = enforced.client("s3")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    ends = {
        "ID": "end",
        "Status": "Enabled",
        "Filter": {"Prefix": "athena-results/"},
        "Expiration": {"Days": 7},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [ends]})

    done = run_script(enforced.root.model_copy(update={"bucket": bucket, "profile": "aws"}), tmp_path)

    assert done.returncode == 0, done.stdout
    assert "AES256" in line_of(done, "encryption")
    assert "athena-results/: ends after 7 d" in line_of(done, "lifecycle")
    assert "warning" not in done.stdout


@pytest.mark.parametrize(
    ("wrong", "said", "cure"),
    [
        ({"aws_access_key_id": "AKIAUNKNOWN000000000"}, "InvalidClientTokenId", "AWS_ACCESS_KEY_ID"),
        ({"aws_secret_access_key": "of-another-key"}, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_wrong_key_is_told_in_one_line(enforced, bucket, tmp_path, wrong, said, cure):
    user = member(enforced, bucket, "s3:*")
    settings = user.model_copy(update={name: SecretStr(value) for name, value in wrong.items()})
    done = run_script(settings, tmp_path)
    assert done.returncode == 1
    found = outcomes(done)
    assert [name for name in found if found[name] == "failed"] == ["identity"]
    assert said in line_of(done, "identity")
    assert cure in line_of(done, "identity")
    assert line_of(done, "clean-up").split() == ["skipped", "clean-up", "needs", "identity"]
    for value in wrong.values():
        assert value not in done.stdout


def test_a_missing_bucket_is_told_in_one_line(enforced, tmp_path):
    settings = enforced.root.model_copy(update={"bucket": "never-made-by-anybody", "profile": "aws"})
    done = run_script(settings, tmp_path)
    assert done.returncode == 1
    found = outcomes(done)
    assert [name for name in found if found[name] == "failed"] == ["bucket"]
    assert "s3://never-made-by-anybody does not exist" in line_of(done, "bucket")
    assert "AWS_S3_BUCKET_NAME" in line_of(done, "bucket")


def test_a_denied_permission_is_told_in_one_line(enforced, bucket, tmp_path):
    done = run_script(member(enforced, bucket, "s3:ListBucket", "s3:GetObject"), tmp_path)
    assert done.returncode == 1
    found = outcomes(done)
    assert [name for name in found if found[name] == "failed"] == ["write"]
    assert "AccessDenied" in line_of(done, "write")
    assert "s3:PutObject" in line_of(done, "write")
    assert found["read"] == found["clean-up"] == "skipped"
    assert found["lifecycle"] == "skipped"  # may not be looked at, and nothing that runs needs it


def test_what_may_not_be_deleted_is_named_and_nothing_is_put_under_raw(enforced, bucket, tmp_path):
    user = member(
        enforced, bucket, "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:GetBucketNotification"
    )
    root = enforced.root.model_copy(update={"bucket": bucket, "notifications_queue": bucket})
    ensure_notifications(root)
    done = run_script(user.model_copy(update={"notifications_queue": bucket}), tmp_path)
    assert done.returncode == 0, done.stdout
    (left,) = enforced.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert left["Key"].startswith("_doctor/")
    assert left["Key"] in line_of(done, "clean-up")
    assert line_of(done, "clean-up").startswith("warning")
    assert "not tried with a file" in line_of(done, "notification")


def test_a_notification_that_does_not_come_is_told(enforced, bucket, tmp_path, monkeypatch):
    settings = enforced.root.model_copy(update={"bucket": bucket, "notifications_queue": f"{bucket}-silent"})
    url = ensure_notifications(settings)
    nobody = {"Version": "2012-10-17", "Statement": []}
    enforced.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(nobody)})
    monkeypatch.setattr(s3_check, "_TOLD_WITHIN_SECONDS", 0.5)

    finding = s3_check.notification(settings, AwsChecks(settings))

    assert finding.outcome is Outcome.FAILED, finding
    assert "no message" in finding.found
    assert enforced.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 0
