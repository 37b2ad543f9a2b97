"""How the bucket is kept: each setting of the template as S3's own API puts it and gives it back.

CloudFormation sets them; here they are read back, and put where they are not as the template says:
somebody changed them by hand, or what stands in for CloudFormation left them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

State = Literal["as in the template", "put right", "not kept"]
_UNSET: Final = frozenset(
    {
        "ServerSideEncryptionConfigurationNotFoundError",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "OwnershipControlsNotFoundError",
        "NoSuchConfiguration",
        "NoSuchTagSet",
    }
)


@dataclass(frozen=True)
class BucketSetting:
    """One setting: the call that puts it, and the call that gives it back.

    Attributes
    ----------
    name : str
        As a person calls it.
    put, get : str
        Methods of boto3's S3 client.
    wanted : dict
        Arguments of ``put`` besides the bucket's name and ``of``.
    of : dict
        Arguments that both calls take: which configuration, where a bucket has several.
    """

    name: str
    put: str
    get: str
    wanted: Mapping[str, Any]
    of: Mapping[str, str] = field(default_factory=dict)


def bucket_settings(properties: Mapping[str, Any]) -> Iterator[BucketSetting]:
    """Yield the settings that a template's bucket has.

    Parameters
    ----------
    properties : mapping
        Of ``AWS::S3::Bucket``, functions worked out. What CloudFormation calls otherwise than S3 is
        renamed as in the reference of both.
    """
    if "VersioningConfiguration" in properties:
        yield _setting(
            "versioning", "versioning", VersioningConfiguration=properties["VersioningConfiguration"]
        )
    if "BucketEncryption" in properties:
        yield _setting(
            "encryption",
            "encryption",
            ServerSideEncryptionConfiguration={"Rules": _encryption(properties["BucketEncryption"])},
        )
    if "PublicAccessBlockConfiguration" in properties:
        blocks = properties["PublicAccessBlockConfiguration"]
        yield BucketSetting(
            "public access block",
            "put_public_access_block",
            "get_public_access_block",
            {"PublicAccessBlockConfiguration": blocks},
        )
    if "OwnershipControls" in properties:
        controls = properties["OwnershipControls"]
        yield _setting("ownership", "ownership_controls", OwnershipControls=controls)
    if "AccelerateConfiguration" in properties:
        status = properties["AccelerateConfiguration"]["AccelerationStatus"]
        yield _setting("acceleration", "accelerate_configuration", AccelerateConfiguration={"Status": status})
    if "LoggingConfiguration" in properties:
        to = properties["LoggingConfiguration"]
        target = {"TargetBucket": to["DestinationBucketName"], "TargetPrefix": to["LogFilePrefix"]}
        yield _setting("request log", "logging", BucketLoggingStatus={"LoggingEnabled": target})
    if "LifecycleConfiguration" in properties:
        yield _lifecycle(properties["LifecycleConfiguration"])
    if "Tags" in properties:
        yield _setting("tags", "tagging", Tagging={"TagSet": properties["Tags"]})
    yield from _several(properties)


def _setting(name: str, of: str, **wanted: Any) -> BucketSetting:
    return BucketSetting(name, f"put_bucket_{of}", f"get_bucket_{of}", wanted)


def _several(properties: Mapping[str, Any]) -> Iterator[BucketSetting]:
    for one in properties.get("IntelligentTieringConfigurations", []):
        tiers = {
            "Id": one["Id"],
            "Status": one["Status"],
            "Filter": _filter(one),
            "Tierings": one["Tierings"],
        }
        yield _one_of_several(
            "Intelligent-Tiering", "intelligent_tiering", "IntelligentTieringConfiguration", tiers
        )
    for one in properties.get("MetricsConfigurations", []):
        metrics = {"Id": one["Id"], **({"Filter": _filter(one)} if len(one) > 1 else {})}
        yield _one_of_several("request metrics", "metrics", "MetricsConfiguration", metrics)
    for one in properties.get("AnalyticsConfigurations", []):
        export = one["StorageClassAnalysis"]["DataExport"]
        analysis = {
            "Id": one["Id"],
            "StorageClassAnalysis": {
                "DataExport": {
                    "OutputSchemaVersion": export["OutputSchemaVersion"],
                    "Destination": {"S3BucketDestination": _destination(export["Destination"])},
                }
            },
        }
        yield _one_of_several("storage class analysis", "analytics", "AnalyticsConfiguration", analysis)
    for one in properties.get("InventoryConfigurations", []):
        inventory = {
            "Id": one["Id"],
            "IsEnabled": one["Enabled"],
            "IncludedObjectVersions": one["IncludedObjectVersions"],
            "Schedule": {"Frequency": one["ScheduleFrequency"]},
            "OptionalFields": one["OptionalFields"],
            "Destination": {
                "S3BucketDestination": _destination(one["Destination"], account="AccountId"),
            },
        }
        yield _one_of_several("inventory", "inventory", "InventoryConfiguration", inventory)


def _one_of_several(name: str, of: str, argument: str, wanted: Mapping[str, Any]) -> BucketSetting:
    method = f"bucket_{of}_configuration"
    which = {"Id": wanted["Id"]}
    return BucketSetting(
        f"{name} {wanted['Id']}", f"put_{method}", f"get_{method}", {argument: dict(wanted)}, which
    )


def _encryption(of_template: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            **({"BucketKeyEnabled": rule["BucketKeyEnabled"]} if "BucketKeyEnabled" in rule else {}),
        }
        for rule in of_template["ServerSideEncryptionConfiguration"]
    ]


def _lifecycle(of_template: Mapping[str, Any]) -> BucketSetting:
    rules = []
    for rule in of_template["Rules"]:
        made = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule["Prefix"]}}
        if "Transitions" in rule:
            made["Transitions"] = [
                {"Days": int(step["TransitionInDays"]), "StorageClass": step["StorageClass"]}
                for step in rule["Transitions"]
            ]
        if "ExpirationInDays" in rule:
            made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
        for same in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
            if same in rule:
                made[same] = rule[same]
        rules.append(made)
    least = "TransitionDefaultMinimumObjectSize"
    size = {least: of_template[least]} if least in of_template else {}
    return BucketSetting(
        "lifecycle",
        "put_bucket_lifecycle_configuration",
        "get_bucket_lifecycle_configuration",
        {"LifecycleConfiguration": {"Rules": rules}, **size},
    )


def _filter(of_template: Mapping[str, Any]) -> dict[str, Any]:
    if "Prefix" in of_template:
        return {"Prefix": of_template["Prefix"]}
    (tag,) = of_template["TagFilters"]
    return {"Tag": tag}


def _destination(of_template: Mapping[str, Any], account: str = "BucketAccountId") -> dict[str, Any]:
    return {
        "Bucket": of_template["BucketArn"],
        account: of_template["BucketAccountId"],
        "Format": of_template["Format"],
        "Prefix": of_template["Prefix"],
    }


def put_right(s3: Any, bucket: str, setting: BucketSetting) -> State:
    """Put a setting where it is not as it should be, and read it back.

    Returns
    -------
    {'as in the template', 'put right', 'not kept'}
        The last, if it was put and is still not what is read.
    """
    if _is_set(s3, bucket, setting):
        return "as in the template"
    wanted = dict(setting.wanted)
    if "Tagging" in wanted:  # a PUT replaces all of them, and others' stay
        others = [tag for tag in _read(s3, bucket, setting).get("TagSet", []) if not _ours(tag, setting)]
        wanted = {"Tagging": {"TagSet": [*others, *setting.wanted["Tagging"]["TagSet"]]}}
    getattr(s3, setting.put)(Bucket=bucket, **setting.of, **wanted)
    return "put right" if _is_set(s3, bucket, setting) else "not kept"


def _ours(tag: Mapping[str, str], setting: BucketSetting) -> bool:
    return tag["Key"] in {one["Key"] for one in setting.wanted["Tagging"]["TagSet"]}


def _is_set(s3: Any, bucket: str, setting: BucketSetting) -> bool:
    found = _read(s3, bucket, setting)
    for argument, wanted in setting.wanted.items():
        # an answer holds the configuration under the argument's name, or is the configuration
        part = found.get(argument, found)
        if argument == "AccelerateConfiguration" and not part.get("Status"):
            part = {"Status": "Suspended"}  # never turned on
        if not covers(part, wanted):
            return False
    return True


def _read(s3: Any, bucket: str, setting: BucketSetting) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = getattr(s3, setting.get)(Bucket=bucket, **setting.of)
    except ClientError as error:
        if error.response["Error"]["Code"] in _UNSET:
            return {}
        raise
    answer.pop("ResponseMetadata", None)
    return answer


def covers(found: Any, wanted: Any) -> bool:
    """Return whether everything that is wanted was found; an answer also holds what nobody asked for."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and covers(found[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and all(any(covers(one, item) for one in found) for item in wanted)
    return bool(found == wanted)
