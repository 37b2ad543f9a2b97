"""The infrastructure's template: what it says of the account, with every switch on and off."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from fin_lake.lake.notifications import HIDDEN_SECONDS, KEPT_SECONDS, MOST_RECEIVES
from fin_lake.notices.cloudwatch import alarms
from fin_lake.operations.bucket_settings import bucket_settings, put_right
from fin_lake.operations.template import Resolver, body, read_template

TEMPLATE = read_template()
NAMES = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "fin-lake",
    "Logs": "financial-trading-data-lake-logs",
    "Bucket": "financial-trading-data-lake",
}
ATTRIBUTES = {
    ("Key", "Arn"): "arn:aws:kms:us-east-1:123456789012:key/k",
    ("Bucket", "Arn"): "arn:aws:s3:::financial-trading-data-lake",
    ("Logs", "Arn"): "arn:aws:s3:::financial-trading-data-lake-logs",
    ("Queue", "Arn"): "arn:aws:sqs:us-east-1:123456789012:fin-lake-raw-objects",
    ("DeadLetters", "Arn"): "arn:aws:sqs:us-east-1:123456789012:fin-lake-raw-objects-dead",
}
POLICIES = (
    "IngestPolicy",
    "AnalyticsPolicy",
    "ReaderPolicy",
    "SnowflakePolicy",
    "SparkPolicy",
    "SageMakerPolicy",
)


def properties(logical_id: str, **parameters: str) -> dict[str, Any]:
    resolver = Resolver(TEMPLATE, parameters, NAMES, ATTRIBUTES)
    found: dict[str, Any] = resolver.value(TEMPLATE["Resources"][logical_id]["Properties"])
    return found


def rules(**parameters: str) -> dict[str, dict[str, Any]]:
    found = properties("Bucket", **parameters)["LifecycleConfiguration"]["Rules"]
    return {rule["Id"]: rule for rule in found}


def made(**parameters: str) -> set[str]:
    """Return the resources whose conditions hold."""
    resolver = Resolver(TEMPLATE, parameters, NAMES)
    return {
        name
        for name, resource in TEMPLATE["Resources"].items()
        if "Condition" not in resource or resolver.holds(resource["Condition"])
    }


def test_cloudformation_takes_a_template_of_this_length():
    assert len(body(TEMPLATE)) <= 51_200


def test_objects_get_colder_at_30_and_90_days_and_raw_never_expires():
    colder = [
        {"StorageClass": "STANDARD_IA", "TransitionInDays": 30},
        {"StorageClass": "GLACIER_IR", "TransitionInDays": 90},
    ]
    found = rules()
    assert {name: rule["Transitions"] for name, rule in found.items() if "Transitions" in rule} == {
        "raw-gets-colder": colder,
        "processed-gets-colder": colder,
    }
    of_raw = [rule for rule in found.values() if "raw/".startswith(rule["Prefix"])]
    assert not [rule for rule in of_raw for name in rule if "Expiration" in name]
    results = found["athena-results-expire"]
    assert (results["Prefix"], results["ExpirationInDays"]) == ("athena-results/", 7)
    assert found["unfinished-uploads-end"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_intelligent_tiering_takes_the_place_of_both_steps():
    at_once = [{"StorageClass": "INTELLIGENT_TIERING", "TransitionInDays": 0}]
    found = rules(Tiering="intelligent")
    assert found["raw-gets-colder"]["Transitions"] == at_once
    assert found["processed-gets-colder"]["Transitions"] == at_once


def test_nothing_is_archived_that_is_not_tagged_for_it():
    """The archive tiers take hours to answer, which a verification could not wait for."""
    for one in properties("Bucket")["IntelligentTieringConfigurations"]:
        assert one["TagFilters"]


def test_the_alarms_are_those_that_the_code_sets():
    found = [
        properties(name)
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    shown = {
        one["AlarmName"]: {name: value for name, value in one.items() if not name.endswith("Actions")}
        for one in found
        if one["Namespace"] == "FinLake"
    }
    wanted = {
        one["AlarmName"]: {name: value for name, value in one.items() if name != "ActionsEnabled"}
        for one in alarms("FinLake")
    }
    assert shown == wanted


def test_alarms_are_sent_to_whom_the_parameter_names():
    resolver = Resolver(
        TEMPLATE, {"AlarmEmail": "a@example.com"}, {**NAMES, "Topic": "arn:topic"}, ATTRIBUTES
    )
    alarm = resolver.value(TEMPLATE["Resources"]["RunFailed"]["Properties"])
    assert alarm["AlarmActions"] == alarm["OKActions"] == ["arn:topic"]
    assert properties("RunFailed")["AlarmActions"] == []


def test_the_queue_is_that_which_the_code_makes():
    queue, dead = properties("Queue"), properties("DeadLetters")
    assert queue["QueueName"] == "fin-lake-raw-objects"
    assert dead["QueueName"] == "fin-lake-raw-objects-dead"
    assert queue["VisibilityTimeout"] == HIDDEN_SECONDS
    assert queue["RedrivePolicy"]["maxReceiveCount"] == MOST_RECEIVES
    assert queue["MessageRetentionPeriod"] == dead["MessageRetentionPeriod"] == KEPT_SECONDS


def test_what_is_off_by_default_costs_nothing():
    off = {"Key", "Cluster", "Distribution", "WayToS3", "WayToAthena", "Budget", "Topic", "SnowflakeRole"}
    assert not off & made()
    assert {"Cluster", "ClusterProfile", "ClusterSecurity", "ClusterServiceRole"} <= made(
        EmrCluster="yes", SubnetIds="subnet-1"
    )
    assert "WayToS3" in made(VpcId="vpc-1")
    assert "WayToAthena" not in made(VpcId="vpc-1")
    assert {"WayToAthena", "WayToGlue", "WayToSqs"} <= made(VpcId="vpc-1", InterfaceEndpoints="yes")
    assert {"Distribution", "OriginAccess"} <= made(CloudFront="yes")
    assert "Budget" in made(MonthlyBudget="50")
    assert "SnowflakeRole" in made(SnowflakePrincipal="arn:aws:iam::1:user/snow")


def test_what_an_emulator_serves_elsewhere_can_be_left_out():
    left = made() - made(GlueAndAthena="no", EmrServerless="no")
    of_glue = {"GlueDatabase", "GlueJob", "GlueCrawler", "GlueSecurity"}
    assert left == {*of_glue, "WorkGroup", "SparkApplication"}


@pytest.mark.parametrize("policy", POLICIES)
def test_no_role_may_delete_raw_or_touch_what_is_not_the_lakes(policy: str):
    for statement in properties(policy)["PolicyDocument"]["Statement"]:
        if statement["Effect"] == "Deny":
            continue
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resources = (
            statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        )
        assert not [action for action in actions if "*" in action]
        if any("Delete" in action for action in actions if action.startswith("s3:")):
            assert not [one for one in resources if "/raw/" in one or one.endswith((":*", "lake/*"))]
        if "*" in resources:
            assert statement["Condition"], "only what names no resource, and then bound by a condition"


def test_the_bucket_refuses_plain_http_and_other_encryption():
    statements = {one["Sid"]: one for one in properties("BucketPolicy")["PolicyDocument"]["Statement"]}
    assert statements["NoPlainHttp"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    other = statements["NoOtherEncryption"]["Condition"]
    assert other["StringNotEqualsIfExists"] == {"s3:x-amz-server-side-encryption": "AES256"}
    assert "NoOtherKey" not in statements
    of_key = properties("BucketPolicy", Encryption="aws:kms")["PolicyDocument"]["Statement"]
    assert "NoOtherKey" in {one["Sid"] for one in of_key}


def test_athena_stops_a_query_that_reads_too_much_and_keeps_results_in_their_place():
    group = properties("WorkGroup", ScanLimitBytes="20000000")["WorkGroupConfiguration"]
    assert group["BytesScannedCutoffPerQuery"] == "20000000"
    assert group["EnforceWorkGroupConfiguration"] is True
    assert group["ResultConfiguration"]["OutputLocation"].endswith("/athena-results/")
    assert group["ResultConfiguration"]["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}


def test_the_dashboard_is_json():
    resources = {**NAMES, **{name: name for name in TEMPLATE["Resources"]}}
    attributes = {(name, "Arn"): f"arn:{name}" for name in TEMPLATE["Resources"]}
    resolver = Resolver(TEMPLATE, {}, resources, attributes)
    text = resolver.value(TEMPLATE["Resources"]["Dashboard"]["Properties"]["DashboardBody"])
    widgets = json.loads(text)["widgets"]
    assert [one["properties"]["title"] for one in widgets][:2] == ["Runs", "Hours behind"]


# what no stand-in for S3 keeps, as it is sent to S3 itself
SENT = {
    "Intelligent-Tiering archive-what-is-tagged": {
        "Id": "archive-what-is-tagged",
        "IntelligentTieringConfiguration": {
            "Id": "archive-what-is-tagged",
            "Status": "Enabled",
            "Filter": {"Tag": {"Key": "archive", "Value": "yes"}},
            "Tierings": [{"AccessTier": "ARCHIVE_ACCESS", "Days": 90}],
        },
    },
    "request metrics EntireBucket": {"Id": "EntireBucket", "MetricsConfiguration": {"Id": "EntireBucket"}},
    "request metrics raw": {
        "Id": "raw",
        "MetricsConfiguration": {"Id": "raw", "Filter": {"Prefix": "raw/"}},
    },
    "storage class analysis storage-classes": {
        "Id": "storage-classes",
        "AnalyticsConfiguration": {
            "Id": "storage-classes",
            "StorageClassAnalysis": {
                "DataExport": {
                    "OutputSchemaVersion": "V_1",
                    "Destination": {
                        "S3BucketDestination": {
                            "Bucket": "arn:aws:s3:::financial-trading-data-lake-logs",
                            "BucketAccountId": "123456789012",
                            "Format": "CSV",
                            "Prefix": "storage-classes",
                        }
                    },
                }
            },
        },
    },
    "inventory every-object": {
        "Id": "every-object",
        "InventoryConfiguration": {
            "Id": "every-object",
            "IsEnabled": True,
            "IncludedObjectVersions": "Current",
            "Schedule": {"Frequency": "Daily"},
            "OptionalFields": [
                "Size",
                "LastModifiedDate",
                "ETag",
                "StorageClass",
                "EncryptionStatus",
                "IsMultipartUploaded",
                "IntelligentTieringAccessTier",
            ],
            "Destination": {
                "S3BucketDestination": {
                    "Bucket": "arn:aws:s3:::financial-trading-data-lake-logs",
                    "AccountId": "123456789012",
                    "Format": "Parquet",
                    "Prefix": "inventory",
                }
            },
        },
    },
}


@pytest.mark.parametrize("name", SENT)
def test_what_is_not_set_is_sent_and_read_back(name: str):
    (setting,) = [one for one in bucket_settings(properties("Bucket")) if one.name == name]
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    operation = setting.put.removeprefix("put_")
    which = {"Bucket": "lake", "Id": SENT[name]["Id"]}
    (argument,) = [key for key in SENT[name] if key != "Id"]
    with Stubber(s3) as stub:
        stub.add_client_error(f"get_{operation}", "NoSuchConfiguration", expected_params=which)
        stub.add_response(f"put_{operation}", {}, {"Bucket": "lake", **SENT[name]})
        stub.add_response(f"get_{operation}", {argument: SENT[name][argument]}, which)
        assert put_right(s3, "lake", setting) == "put right"
        stub.assert_no_pending_responses()
