"""The doctor, of a stack that is well and of accounts in which permissions and keys are not."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from fin_lake.cli import cli
from fin_lake.clients import aws_client
from fin_lake.lake.catalog import ensure_catalog
from fin_lake.lake.notifications import ensure_notifications
from fin_lake.operations.aws_checks import AwsChecks
from fin_lake.operations.bucket_checks import BucketChecks
from fin_lake.operations.doctor import Doctor
from fin_lake.operations.findings import Finding, Outcome, run_checks
from fin_lake.settings import Settings, environment
from fin_lake.sources.quota import DailyQuota, postgres_bucket
from fin_lake.warehouse.market import connect, ensure_schema
from fin_lake_tests.enforced import EnforcedAws


def examine(settings: Settings) -> dict[str, Finding]:
    doctor = Doctor(settings)
    return {name: finding for name, finding, _ in run_checks(doctor.checks(), doctor.secrets)}


def of_bucket(settings: Settings) -> BucketChecks:
    return BucketChecks(settings, AwsChecks(settings).client)


@pytest.fixture
def well(stack_settings: Settings) -> Settings:
    """An installation in which everything was made."""
    settings = stack_settings.model_copy(update={"notifications_queue": f"{stack_settings.bucket}-raw"})
    ensure_notifications(settings)
    glue = aws_client(settings, "glue", settings.glue_endpoint_url)
    ensure_catalog(glue, database=settings.glue_database, bucket=settings.bucket)
    with connect(settings.database()) as connection:
        ensure_schema(connection)
    return settings


@pytest.mark.stack
def test_where_all_is_well_nothing_fails_and_nothing_is_left(well: Settings, monkeypatch):
    for name, value in environment(well).items():
        monkeypatch.setenv(name, value)
    for name in ("sqs", "sts", "kms"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name.upper()}", str(well.aws_endpoint_url))
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["healthy"] is True
    by_name = {check["name"]: check for check in told["checks"]}
    not_ok = {name for name, check in by_name.items() if check["outcome"] == "warning"}
    assert not_ok == {"versioning", "public access", "lifecycle", "daemon"}
    assert all("fin-lake deploy" in by_name[name]["cure"] for name in not_ok - {"daemon"})
    assert "13 tables" in by_name["glue"]["found"]
    assert by_name["athena"]["outcome"] == by_name["round trip"]["outcome"] == "ok"
    s3 = aws_client(well, "s3", well.aws_endpoint_url)
    assert s3.list_objects_v2(Bucket=well.bucket, Prefix="_doctor/")["KeyCount"] == 0
    assert s3.list_objects_v2(Bucket=well.bucket, Prefix="raw/")["KeyCount"] == 0


@pytest.mark.stack
def test_tables_that_are_missing_or_of_another_version_are_named(well: Settings):
    glue = aws_client(well, "glue", well.glue_endpoint_url)
    glue.delete_table(DatabaseName=well.glue_database, Name="raw_stocks")
    told = glue.get_table(DatabaseName=well.glue_database, Name="raw_crypto")["Table"]
    changed = {key: told[key] for key in ("Name", "StorageDescriptor", "PartitionKeys", "TableType")}
    changed["StorageDescriptor"]["Columns"].pop()
    glue.update_table(DatabaseName=well.glue_database, TableInput={**changed, "Parameters": {}})
    with connect(well.database()) as connection:
        connection.execute("drop view market.latest_prices")
    found = examine(well)
    assert found["glue"].outcome is Outcome.WARNING
    assert "missing: raw_stocks" in found["glue"].found
    assert "of another version: raw_crypto" in found["glue"].found
    assert "another version" in found["database"].found
    # it has looked, and mended nothing
    assert "raw_stocks" not in {
        one["Name"] for one in glue.get_tables(DatabaseName=well.glue_database)["TableList"]
    }


@pytest.mark.stack
def test_a_database_that_was_never_used_stays_so(well: Settings):
    name = well.database().rpartition("/")[2]
    with connect(well.database()) as connection:
        connection.execute("drop schema market cascade")
    found = examine(well.model_copy(update={"dagster_database_url": well.database_url}))
    assert "no schema market yet" in found["database"].found
    assert "no tables of Dagster's yet" in found["dagster"].found
    assert found["daemon"].outcome is Outcome.SKIPPED
    with connect(well.database()) as connection:
        made = connection.execute("select count(*) from pg_class where relkind = 'r' and relname = 'runs'")
        assert made.fetchone() == (0,), name


@pytest.mark.stack
def test_the_quota_that_is_left_is_told_and_not_used(well: Settings):
    settings = well.model_copy(update={"alpha_vantage_per_day": 3, "coingecko_per_day": 2})
    for source, per_day, taken in (("alpha_vantage", 3, 1), ("coingecko", 2, 2)):
        quota = DailyQuota(per_day, lambda s=source, n=per_day: postgres_bucket(settings, s, n))
        for _ in range(taken):
            assert quota._take() is None
        quota.close()
    for _ in range(2):
        finding = examine(settings)["quota"]
        assert "alpha_vantage 2 of 3, coingecko 0 of 2" in finding.found
    assert finding.outcome is Outcome.WARNING
    assert finding.cause.startswith("coingecko will not be asked")


@pytest.mark.stack
def test_wrong_passwords_and_missing_databases_are_told_without_the_password(well: Settings):
    place = well.database().rpartition("/")[0]
    nowhere = well.model_copy(update={"database_url": type(well.database_url)(f"{place}/never_made")})
    found = examine(nowhere)["database"]
    assert found.outcome is Outcome.FAILED
    assert 'database "never_made" does not exist' in found.found
    assert "FIN_LAKE_DATABASE_URL" in found.cure
    password = place.partition("://")[2].partition("@")[0].partition(":")[2]
    assert password
    assert password not in repr(found)


def test_a_role_of_some_layers_is_told_which(enforced: EnforcedAws):
    bucket = "doctor-of-layers"
    enforced.client("s3").create_bucket(Bucket=bucket)
    arn = f"arn:aws:s3:::{bucket}"
    statements = [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{arn}/*"},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"{arn}/analytics/*"},
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": arn,
            "Condition": {"StringLike": {"s3:prefix": ["processed/*", "analytics/*"]}},
        },
        {"Effect": "Allow", "Action": "s3:GetBucketLocation", "Resource": arn},
    ]
    user = enforced.user(document=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    aws = AwsChecks(user.model_copy(update={"bucket": bucket, "profile": "aws"}))
    assert aws.bucket().outcome is Outcome.OK  # it may not list all of it, and need not
    assert aws.get().outcome is Outcome.OK
    assert "may list processed/, analytics/, but not raw/" in aws.list_().found
    assert "may write analytics/, but not raw/, processed/" in aws.put().found
    assert aws.round_trip().outcome is Outcome.WARNING
    assert enforced.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_who_may_nothing_is_told_apart_from_a_bucket_that_is_not_there(enforced: EnforcedAws):
    bucket = "doctor-of-nobody"
    enforced.client("s3").create_bucket(Bucket=bucket)
    nothing = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
    user = enforced.user(document=json.dumps({"Version": "2012-10-17", "Statement": [nothing]}))
    denied = AwsChecks(user.model_copy(update={"bucket": bucket, "profile": "aws"})).bucket()
    missing = AwsChecks(user.model_copy(update={"bucket": "doctor-of-none", "profile": "aws"})).bucket()
    assert "access is refused (403)" in denied.found
    assert "s3:ListBucket" in denied.cure
    assert "does not exist" in missing.found


def test_a_key_that_cannot_be_used_is_told(enforced: EnforcedAws):
    bucket, kms = "doctor-of-keys", enforced.client("kms")
    enforced.client("s3").create_bucket(Bucket=bucket)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    enforced.client("s3").put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )
    settings = {"bucket": bucket, "profile": "aws", "kms_endpoint_url": enforced.endpoint}
    aws = of_bucket(enforced.root.model_copy(update=settings))
    assert aws.encryption().outcome is not Outcome.FAILED
    assert aws.kms().outcome is Outcome.OK
    by_key = {**settings, "encryption": "aws:kms"}
    of_the_buckets = enforced.root.model_copy(update=by_key)
    assert of_bucket(of_the_buckets).encryption().outcome is Outcome.OK, "who names none gets the bucket's"
    of_another = enforced.root.model_copy(update={**by_key, "kms_key": "0" * 36})
    assert of_bucket(of_another).encryption().cure == f"set FIN_LAKE_KMS_KEY={key}"
    kms.disable_key(KeyId=key)
    disabled = aws.kms()
    assert disabled.outcome is Outcome.FAILED
    assert f"enable-key --key-id {key}" in disabled.cure


def test_a_queue_that_is_not_there_and_dead_letters_are_told(enforced: EnforcedAws):
    bucket = "doctor-of-queues"
    enforced.client("s3").create_bucket(Bucket=bucket)
    settings = enforced.root.model_copy(
        update={"bucket": bucket, "notifications_queue": bucket, "profile": "aws"}
    )
    missing = of_bucket(settings).queue()
    untold = of_bucket(settings).notifications()
    assert missing.outcome is untold.outcome is Outcome.FAILED
    assert "FIN_LAKE_NOTIFICATIONS_QUEUE" in missing.cure
    ensure_notifications(settings)
    assert of_bucket(settings).queue().outcome is of_bucket(settings).notifications().outcome is Outcome.OK
    sqs = enforced.client("sqs")
    dead = sqs.get_queue_url(QueueName=f"{bucket}-dead")["QueueUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody="{}")
    given_up = of_bucket(settings).queue()
    assert given_up.outcome is Outcome.WARNING
    assert f"1 in {bucket}-dead" in given_up.found
