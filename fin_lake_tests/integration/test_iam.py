"""The template's policies on an AWS that enforces them: who may do what, and who may not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document
from pydantic import SecretStr

from fin_lake.operations.deploy import deploy
from fin_lake.settings import Settings
from fin_lake_tests.enforced import EnforcedAws

pytestmark = pytest.mark.stack
ROLES = ("ingest", "analytics", "reader", "snowflake", "spark", "sagemaker")
BUCKET, NAME = "matrix-lake", "matrix"
# who may: the first letters of the roles; S is Spark, W Snowflake, M SageMaker
LETTERS = dict(zip("iarWSM", ROLES, strict=True))
EXPECTED = {
    "read raw": "iaS",
    "write raw": "i",
    "delete raw": "",
    "delete a version of raw": "",
    "list raw": "iaS",
    "read processed": "iarWS",
    "write processed": "iS",
    "delete processed": "",
    "list processed": "iarWS",
    "delete processed/aggregations": "",
    "read jobs": "iS",
    "write jobs": "i",
    "write what a job tells": "iS",
    "read analytics": "ar",
    "write analytics": "a",
    "delete analytics": "a",
    "list analytics": "ar",
    "read analytics/ml_features": "arM",
    "write analytics/ml_features": "a",
    "write analytics/ml": "aM",
    "read athena-results": "ar",
    "write athena-results": "ar",
    "delete athena-results": "a",
    "try the scratch prefix": "ia",
    "write another prefix": "",
    "list the whole bucket": "",
    "write with another encryption": "",
    "write with a key of one's own": "",
    "change the lifecycle": "",
    "change the policy": "",
    "read another bucket": "",
    "receive what is new": "i",
    "send to the queue": "",
    "train a model": "aM",
    "train in another's name": "",
    "put metrics": "i",
    "put metrics of another": "",
    "create a user": "",
}
_TRAINING = "arn:aws:sagemaker:us-east-1:000000000000:training-job"
Act = Callable[[EnforcedAws, Settings], Any]


def s3(method: str, key: str, **more: Any) -> Act:
    def act(aws: EnforcedAws, who: Settings) -> None:
        getattr(aws.client("s3", who), method)(Bucket=BUCKET, Key=key, **more)

    return act


def listing(prefix: str) -> Act:
    return lambda aws, who: aws.client("s3", who).list_objects_v2(Bucket=BUCKET, Prefix=prefix)


def decided(action: str, resource: str, **context: str) -> Act:
    """Ask ministack's evaluator itself: its server does not hand it all of a request's properties."""

    def act(aws: EnforcedAws, who: Settings) -> None:
        decision = decision_on(aws, who, action, resource, context)
        if decision != "Allow":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": decision}}, action)

    return act


def decision_on(
    aws: EnforcedAws, who: Settings, action: str, resource: str, context: Mapping[str, str]
) -> str:
    iam, arn = aws.client("iam"), aws.client("sts", who).get_caller_identity()["Arn"]
    attached = iam.list_attached_user_policies(UserName=arn.rpartition("/")[2])["AttachedPolicies"]
    documents = [
        iam.get_policy_version(PolicyArn=one["PolicyArn"], VersionId="v1")["PolicyVersion"]["Document"]
        for one in attached
    ]
    if resource.startswith("arn:aws:s3:::"):
        bucket = resource.removeprefix("arn:aws:s3:::").partition("/")[0]
        documents.append(aws.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    asked = EvalContext(
        arn, "User", "000000000000", action, resource, "us-east-1", "127.0.0.1", service_context=dict(context)
    )
    return str(evaluate(asked, [parse_policy_document(one) for one in documents]).decision)


def queue(method: str, **more: Any) -> Act:
    def act(aws: EnforcedAws, who: Settings) -> None:
        url = aws.client("sqs").get_queue_url(QueueName=NAME)["QueueUrl"]
        getattr(aws.client("sqs", who), method)(QueueUrl=url, **more)

    return act


def delete_version(aws: EnforcedAws, who: Settings) -> None:
    key = "raw/stocks/of-a-version"
    version = aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"1")["VersionId"]
    aws.client("s3", who).delete_object(Bucket=BUCKET, Key=key, VersionId=version)


ACTS: Mapping[str, Act] = {
    "read raw": s3("get_object", "raw/stocks/one"),
    "write raw": s3("put_object", "raw/stocks/two", Body=b"2"),
    "delete raw": s3("delete_object", "raw/stocks/one"),
    "delete a version of raw": delete_version,
    "list raw": listing("raw/"),
    "read processed": s3("get_object", "processed/stocks/one"),
    "write processed": s3("put_object", "processed/stocks/two", Body=b"2"),
    "delete processed": s3("delete_object", "processed/stocks/one"),
    "list processed": listing("processed/"),
    "delete processed/aggregations": s3("delete_object", "processed/aggregations/one"),
    "read jobs": s3("get_object", "jobs/spark/one"),
    "write jobs": s3("put_object", "jobs/spark/two", Body=b"2"),
    "write what a job tells": s3("put_object", "jobs/told/two", Body=b"2"),
    "read analytics": s3("get_object", "analytics/reports/one"),
    "write analytics": s3("put_object", "analytics/reports/two", Body=b"2"),
    "delete analytics": s3("delete_object", "analytics/reports/one-of-many"),
    "list analytics": listing("analytics/reports/"),
    "read analytics/ml_features": s3("get_object", "analytics/ml_features/one"),
    "write analytics/ml_features": s3("put_object", "analytics/ml_features/two", Body=b"2"),
    "write analytics/ml": s3("put_object", "analytics/ml/two", Body=b"2"),
    "read athena-results": s3("get_object", "athena-results/one"),
    "write athena-results": s3("put_object", "athena-results/two", Body=b"2"),
    "delete athena-results": s3("delete_object", "athena-results/one-of-many"),
    "try the scratch prefix": s3("put_object", "_doctor/one", Body=b"2"),
    "write another prefix": s3("put_object", "elsewhere/two", Body=b"2"),
    "list the whole bucket": listing(""),
    "write with another encryption": s3(
        "put_object", "processed/stocks/two", Body=b"2", ServerSideEncryption="aws:kms"
    ),
    "write with a key of one's own": decided(
        "s3:PutObject",
        f"arn:aws:s3:::{BUCKET}/processed/stocks/two",
        **{"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"},
    ),
    "change the lifecycle": lambda aws, who: aws.client("s3", who).delete_bucket_lifecycle(Bucket=BUCKET),
    "change the policy": lambda aws, who: aws.client("s3", who).delete_bucket_policy(Bucket=BUCKET),
    "read another bucket": lambda aws, who: aws.client("s3", who).get_object(Bucket="of-others", Key="one"),
    "receive what is new": queue("receive_message"),
    "send to the queue": queue("send_message", MessageBody="x"),
    "train a model": decided("sagemaker:CreateTrainingJob", f"{_TRAINING}/{NAME}-20230130"),
    "train in another's name": decided("sagemaker:CreateTrainingJob", f"{_TRAINING}/theirs"),
    "put metrics": decided("cloudwatch:PutMetricData", "*", **{"cloudwatch:namespace": NAME}),
    "put metrics of another": decided("cloudwatch:PutMetricData", "*", **{"cloudwatch:namespace": "Theirs"}),
    "create a user": lambda aws, who: aws.client("iam", who).create_user(UserName="mallory"),
}


def is_allowed(aws: EnforcedAws, who: Settings, act: Act) -> bool:
    try:
        act(aws, who)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        return False
    return True


@pytest.fixture(scope="module")
def matrix(enforced: EnforcedAws) -> Mapping[str, Settings]:
    """The lake deployed, with objects, and a user for the policy of each role."""
    owner = enforced.root.model_copy(
        update={
            "bucket": BUCKET,
            "stack_name": NAME,
            "notifications_queue": NAME,
            "cloudwatch_namespace": NAME,
        }
    )
    deploy(owner)
    client = enforced.client("s3")
    for key in (
        "raw/stocks/one",
        "processed/stocks/one",
        "processed/aggregations/one",
        "analytics/reports/one",
        "analytics/ml_features/one",
        "athena-results/one",
        "jobs/spark/one",
    ):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    client.create_bucket(Bucket="of-others")
    client.put_object(Bucket="of-others", Key="one", Body=b"1")
    return {role: enforced.user(f"arn:aws:iam::000000000000:policy/{NAME}-{role}") for role in ROLES}


def test_who_may_do_what(
    enforced: EnforcedAws, matrix: Mapping[str, Settings], capsys: pytest.CaptureFixture[str]
):
    found = {
        name: "".join(letter for letter, role in LETTERS.items() if is_allowed(enforced, matrix[role], act))
        for name, act in ACTS.items()
    }
    lines = [f"{'':34}" + "".join(f"{role:>11}" for role in ROLES)]
    for name, letters in found.items():
        cells = ("allowed" if letter in letters else "denied" for letter in LETTERS)
        lines.append(f"{name:34}" + "".join(f"{cell:>11}" for cell in cells))
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))
    assert found == EXPECTED


def test_a_role_is_assumed_by_whom_the_account_lets(enforced: EnforcedAws, matrix: Mapping[str, Settings]):
    role = f"arn:aws:iam::000000000000:role/{NAME}-ingest"
    allowed = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}
    person = enforced.user(document=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    given = enforced.client("sts", person).assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    as_ingest = person.model_copy(
        update={
            "aws_access_key_id": SecretStr(given["AccessKeyId"]),
            "aws_secret_access_key": SecretStr(given["SecretAccessKey"]),
            "aws_session_token": SecretStr(given["SessionToken"]),
        }
    )
    assert is_allowed(enforced, as_ingest, ACTS["write raw"])
    assert not is_allowed(enforced, as_ingest, ACTS["delete raw"])
    with pytest.raises(ClientError, match="AccessDenied"):
        enforced.client("sts", matrix["reader"]).assume_role(RoleArn=role, RoleSessionName="test")


def test_plain_http_is_refused_where_the_policy_is_attached(enforced: EnforcedAws):
    """The endpoint speaks plain HTTP, so that nobody gets in, the owner included."""
    owner = enforced.root.model_copy(
        update={
            "bucket": "tls-lake",
            "stack_name": "tls",
            "notifications_queue": "tls",
            "cloudwatch_namespace": "tls",
        }
    )
    deploy(owner)
    person = enforced.user("arn:aws:iam::000000000000:policy/tls-ingest")
    put = {"Bucket": "tls-lake", "Key": "raw/stocks/one", "Body": b"1"}
    enforced.client("s3", person).put_object(**put)
    template = enforced.client("cloudformation").get_template(StackName="tls")["TemplateBody"]
    assert "NoPlainHttp" in json.dumps(template)
    policy = json.loads(enforced.client("s3").get_bucket_policy(Bucket="tls-lake")["Policy"])
    tls_only = {
        "Sid": "NoPlainHttp",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::tls-lake", "arn:aws:s3:::tls-lake/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy["Statement"].append(tls_only)
    enforced.client("s3").put_bucket_policy(Bucket="tls-lake", Policy=json.dumps(policy))
    with pytest.raises(ClientError, match="AccessDenied"):
        enforced.client("s3", person).put_object(**put)


def test_with_a_key_no_other_encryption_and_no_other_key(enforced: EnforcedAws):
    owner = enforced.root.model_copy(
        update={
            "bucket": "key-lake",
            "stack_name": "key",
            "notifications_queue": "key",
            "cloudwatch_namespace": "key",
            "encryption": "aws:kms",
        }
    )
    key = deploy(owner).outputs["KeyArn"][0]
    other = enforced.client("kms").create_key()["KeyMetadata"]["Arn"]
    policies = [f"arn:aws:iam::000000000000:policy/key-{name}" for name in ("ingest", "key")]
    person = enforced.user(*policies)
    client = enforced.client("s3", person)

    def put(**named: str) -> dict[str, Any]:
        client.put_object(Bucket="key-lake", Key="processed/one", Body=b"1", **named)
        found: dict[str, Any] = client.head_object(Bucket="key-lake", Key="processed/one")
        return found

    for named in ({}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}):
        found = put(**named)
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key)
    with pytest.raises(ClientError, match="AccessDenied"):
        put(ServerSideEncryption="AES256")
    for named, decision in ((key, "Allow"), (other, "Deny")):
        context = {
            "s3:x-amz-server-side-encryption": "aws:kms",
            "s3:x-amz-server-side-encryption-aws-kms-key-id": named,
        }
        resource = "arn:aws:s3:::key-lake/processed/one"
        assert decision_on(enforced, person, "s3:PutObject", resource, context) == decision
