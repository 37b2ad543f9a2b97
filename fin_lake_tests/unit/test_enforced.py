"""The tests' AWS refuses what a policy does not allow; else every test of a policy would prove nothing."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from fin_lake_tests.enforced import ACCOUNT, EnforcedAws, allow, deny


@pytest.mark.parametrize("kind", ["user", "role"])
def test_a_policy_is_enforced(enforced_aws: EnforcedAws, kind):
    root = enforced_aws.client("s3")
    bucket = f"policies-of-a-{kind}"
    root.create_bucket(Bucket=bucket)
    root.put_object(Bucket=bucket, Key="raw/a", Body=b"1")
    root.put_object(Bucket=bucket, Key="secret/a", Body=b"1")
    of_all = f"arn:aws:s3:::{bucket}/*"
    statements = [allow("s3:GetObject", on=of_all), deny("s3:*", on=f"arn:aws:s3:::{bucket}/secret/*")]
    credentials = getattr(enforced_aws, kind)(*statements)
    limited = enforced_aws.client("s3", **credentials)

    assert enforced_aws.client("sts", **credentials).get_caller_identity()["Account"] == ACCOUNT
    assert limited.get_object(Bucket=bucket, Key="raw/a")["Body"].read() == b"1"
    for refused in (
        lambda: limited.get_object(Bucket=bucket, Key="secret/a"),
        lambda: limited.put_object(Bucket=bucket, Key="raw/b", Body=b"2"),
        lambda: limited.list_objects_v2(Bucket=bucket),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


def test_keys_are_checked(enforced_aws: EnforcedAws):
    key = enforced_aws.user(allow("s3:ListAllMyBuckets"))
    enforced_aws.client("s3", **key).list_buckets()
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        enforced_aws.client("s3", **key | {"aws_secret_access_key": "wrong"}).list_buckets()
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        enforced_aws.client("s3", **key | {"aws_access_key_id": "AKIAUNKNOWN000000000"}).list_buckets()
