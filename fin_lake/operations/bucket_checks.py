"""Checks of how the bucket is kept: encryption, versions, lifecycle, and whom it tells of new objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fin_lake.operations.aws_failures import DENIED, AwsErrors, error_code, error_text, explained
from fin_lake.operations.findings import DEPLOY, Finding, failed, ok, skipped, warning
from fin_lake.settings import Settings


class BucketChecks:
    """The checks of a bucket that is there.

    Parameters
    ----------
    settings : Settings
        The bucket, its queue, and how objects are to be encrypted.
    client : callable
        Returns boto3's client of a service.
    """

    def __init__(self, settings: Settings, client: Callable[[str], Any]) -> None:
        self._settings = settings
        self._client = client
        self._bucket = settings.bucket
        self._is_local = settings.profile == "local"
        self._default_encryption: dict[str, str] = {}

    def encryption(self) -> Finding:
        """Look how objects are encrypted that say nothing of it."""
        wanted = self._settings.encryption
        try:
            answer = self._client("s3").get_bucket_encryption(Bucket=self._bucket)
        except AwsErrors as error:
            if error_code(error) == "ServerSideEncryptionConfigurationNotFoundError":
                return _not_set("default encryption", "objects lie there as they are sent")
            return self._unseen(error, "default encryption", "s3:GetEncryptionConfiguration")
        rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
        by_default = "ApplyServerSideEncryptionByDefault"
        self._default_encryption = next((rule[by_default] for rule in rules if by_default in rule), {})
        found = self._default_encryption.get("SSEAlgorithm", "none")
        key = self._default_encryption.get("KMSMasterKeyID", "")
        said = f"{found}{f' with {key}' if key else ''}"
        if found != wanted:
            return warning(
                f"{said}, but FIN_LAKE_ENCRYPTION is {wanted}",
                "the bucket was made with another setting, or changed by hand",
                DEPLOY,
            )
        named = self._settings.kms_key or key
        if wanted == "aws:kms" and key and "alias/" not in named and _bare_id(named) != _bare_id(key):
            return warning(
                f"{said}, but that is not what FIN_LAKE_KMS_KEY names",
                "what fin_lake writes is encrypted by another key, or refused",
                f"set FIN_LAKE_KMS_KEY={key}",
            )
        return ok(said)

    def kms(self) -> Finding:
        """Ask KMS for a data key that it need not make."""
        named = self._settings.kms_key
        algorithm = self._default_encryption.get("SSEAlgorithm", "")
        wanted = self._settings.encryption
        if not named and "aws:kms" not in (algorithm, wanted):
            return skipped("objects are encrypted by S3's own keys")
        key = named or self._default_encryption.get("KMSMasterKeyID", "") or "alias/aws/s3"
        try:
            self._client("kms").generate_data_key(KeyId=key, KeySpec="AES_256", DryRun=True)
        except AwsErrors as error:
            if error_code(error) != "DryRunOperationException":
                return self._refused_key(key, error)
        return ok(f"{key} may be used")

    def _refused_key(self, key: str, error: Exception) -> Finding:
        code = error_code(error)
        if code in DENIED:
            return skipped(f"{key} may be asked by way of S3 only, as `round trip` does")
        if code == "NotFoundException":
            return failed(f"{key} does not exist", "it is another region's or account's", DEPLOY)
        if code in ("DisabledException", "KMSInvalidStateException"):
            return failed(
                f"{key} cannot be used: {error_text(error)}",
                "it was disabled, or is to be deleted; what it has encrypted cannot be read",
                f"`aws kms enable-key --key-id {key}`, or first `aws kms cancel-key-deletion`",
            )
        return explained(self._settings, error, f"asked KMS for {key}", "kms:GenerateDataKey")

    def versioning(self) -> Finding:
        """Look whether what is overwritten or deleted can be had back."""
        try:
            status = self._client("s3").get_bucket_versioning(Bucket=self._bucket).get("Status", "never on")
        except AwsErrors as error:
            return self._unseen(error, "versioning", "s3:GetBucketVersioning")
        if status == "Enabled":
            return ok("on")
        return _not_set("versioning", "what is overwritten or deleted is gone")

    def public_access(self) -> Finding:
        """Look whether the bucket refuses to be made public."""
        try:
            answer = self._client("s3").get_public_access_block(Bucket=self._bucket)
        except AwsErrors as error:
            if error_code(error) == "NoSuchPublicAccessBlockConfiguration":
                return _not_set("public access block", "a policy or ACL could make the bucket public")
            return self._unseen(error, "public access block", "s3:GetBucketPublicAccessBlock")
        blocks = answer["PublicAccessBlockConfiguration"]
        missing = [name for name, is_on in blocks.items() if not is_on]
        if missing:
            return _not_set(f"public access block: {', '.join(missing)}", "the bucket could be made public")
        return ok("blocked")

    def lifecycle(self) -> Finding:
        """Look which rules move and end objects."""
        try:
            answer = self._client("s3").get_bucket_lifecycle_configuration(Bucket=self._bucket)
        except AwsErrors as error:
            if error_code(error) == "NoSuchLifecycleConfiguration":
                return _not_set("lifecycle", "nothing moves to cheaper storage, query results stay for ever")
            return self._unseen(error, "lifecycle", "s3:GetLifecycleConfiguration")
        rules = [rule for rule in answer["Rules"] if rule["Status"] == "Enabled"]
        if not rules:
            return _not_set("lifecycle", "every rule is switched off")
        return ok("; ".join(_rule(rule) for rule in rules))

    # --- messages ---

    def queue(self) -> Finding:
        """Look whether the queue is there, and what waits in it and in its dead-letter queue."""
        name = self._settings.notifications_queue
        if not name:
            return skipped("FIN_LAKE_NOTIFICATIONS_QUEUE is not set: new files are found by listing")
        try:
            sqs = self._client("sqs")
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        except AwsErrors as error:
            if "NonExistentQueue" in error_code(error) or "QueueDoesNotExist" in error_code(error):
                again = "`fin-lake up`" if self._is_local else DEPLOY
                return failed(
                    f"the queue {name} does not exist",
                    "it was never made, or is another region's",
                    f"{again}, or correct FIN_LAKE_NOTIFICATIONS_QUEUE",
                )
            return explained(self._settings, error, f"asked SQS for {name}", "sqs:GetQueueUrl")
        try:
            held = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
            count = int(held["Attributes"]["ApproximateNumberOfMessages"])
            dead_url = sqs.get_queue_url(QueueName=f"{name}-dead")["QueueUrl"]
            held = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["ApproximateNumberOfMessages"])
            dead = int(held["Attributes"]["ApproximateNumberOfMessages"])
        except AwsErrors:
            return ok(f"{name} is there")  # to count is a right of its own, which nothing else needs
        if dead:
            return warning(
                f"{name} is there; {count:,} waiting, and {dead:,} in {name}-dead",
                "messages that nobody could deal with",
                f"read one: `aws sqs receive-message --queue-url {dead_url}`",
            )
        return ok(f"{name} is there; {count:,} waiting")

    def notifications(self) -> Finding:
        """Look whether the bucket tells the queue of new raw objects."""
        name = self._settings.notifications_queue
        if not name:
            return skipped("FIN_LAKE_NOTIFICATIONS_QUEUE is not set")
        try:
            there = self._client("s3").get_bucket_notification_configuration(Bucket=self._bucket)
        except AwsErrors as error:
            return self._unseen(error, "notifications", "s3:GetBucketNotification")
        for one in there.get("QueueConfigurations", []):
            rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
            prefixes = [rule["Value"] for rule in rules if rule["Name"].lower() == "prefix"] or [""]
            created = any(event.startswith("s3:ObjectCreated:") for event in one["Events"])
            if one["QueueArn"].endswith(f":{name}") and created and "raw/".startswith(prefixes[0]):
                return ok(f"new objects under {prefixes[0] or 'the whole bucket'} are told to {name}")
        return failed(
            f"the bucket does not tell {name} of new objects under raw/",
            "the notification was removed, or names another queue",
            "`fin-lake up`" if self._is_local else DEPLOY,
        )

    # --- what was refused ---

    def _unseen(self, error: Exception, what: str, action: str) -> Finding:
        if error_code(error) in DENIED:
            return skipped(f"{what} may not be looked at: the policy lacks {action}")
        return explained(self._settings, error, f"looked at {what}", action)


def _not_set(what: str, consequence: str) -> Finding:
    return warning(f"not set: {what}", consequence, DEPLOY)


def _bare_id(key: str) -> str:
    """Return a key's id, whether it is named by that or by its ARN."""
    return key.rpartition("/")[2]


def _rule(rule: Any) -> str:
    prefix = rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")) or "all"
    steps = [
        f"{step['StorageClass']} after {step.get('Days', '?')} d" for step in rule.get("Transitions", [])
    ]
    if "Days" in rule.get("Expiration", {}):
        steps.append(f"ends after {rule['Expiration']['Days']} d")
    return f"{prefix}: {', '.join(steps) or rule.get('ID', 'a rule')}"
