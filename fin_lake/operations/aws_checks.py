"""Checks of an AWS account: who one is, what is there, what one may do.

Nothing here changes anything, but for one scratch object under ``_doctor/``. What may be done under the
layers is asked by requests that cannot succeed: AWS looks at the policy first, and only then finds that
the object is not there.
"""

from __future__ import annotations

import datetime as dt
import functools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, InvalidRegionError, NoCredentialsError
from botocore.utils import validate_region_name
from pydantic import SecretStr

from fin_lake.clients import aws_client, aws_session, session_without_profile
from fin_lake.operations.aws_failures import (
    DENIED,
    NOT_THERE,
    AwsErrors,
    error_code,
    explained,
    http_headers,
    http_status,
    is_unreachable,
)
from fin_lake.operations.findings import DEPLOY, Finding, Outcome, failed, ok, warning
from fin_lake.operations.scratch_object import SCRATCH, ScratchObject
from fin_lake.settings import Settings, origin

LAYERS: Final = ("raw/", "processed/", "analytics/")
_CONNECT_SECONDS: Final = 3
_READ_SECONDS: Final = 6
_QUICKLY: Final = Config(
    connect_timeout=_CONNECT_SECONDS,
    read_timeout=_READ_SECONDS,
    retries={"total_max_attempts": 1, "mode": "standard"},
)
_MOST_SKEW: Final = 300  # seconds; AWS refuses a signature that is older, or younger, by 15 min at the most
_SOME_SKEW: Final = 30
# what botocore calls the ways to a credential, as people call them
_WAYS: Final = {
    "env": "the environment",
    "shared-credentials-file": "the file of credentials",
    "config-file": "the configuration file",
    "sso": "an SSO session",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a role, by a web identity",
    "iam-role": "the role of this machine",
    "container-role": "the role of this container",
    "custom-process": "a credential process",
}


class AwsChecks:
    """The checks of one account, with the clients and the knowledge that they share.

    Parameters
    ----------
    settings : Settings
        Credentials, region, endpoints, bucket, queue, key.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bucket = settings.bucket
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()  # sessions are not for several threads; clients are
        self._account = ""
        self._skew = 0.0
        self._is_local = settings.profile == "local"

    def client(self, service: str) -> Any:
        """Return a client that gives up after seconds."""
        endpoints = {
            "s3": self._settings.aws_endpoint_url,
            "sqs": self._settings.sqs_endpoint_url,
            "sts": self._settings.sts_endpoint_url,
            "kms": self._settings.kms_endpoint_url,
            "athena": self._settings.athena_endpoint_url,
            "glue": self._settings.glue_endpoint_url,
        }
        with self._lock:
            if service not in self._clients:
                self._clients[service] = aws_client(self._settings, service, endpoints[service], _QUICKLY)
            return self._clients[service]

    # --- who one is ---

    def credentials(self) -> Finding:
        """Look for credentials, and say where they were found."""
        self._settings.require_services()
        if self._settings.aws_access_key_id is not None:
            temporary = "a session" if self._settings.aws_session_token else "a key"
            return ok(f"{temporary} from {origin(self._settings, 'aws_access_key_id')}")
        try:
            session = aws_session(self._settings)
            found = session.get_credentials()
            if found is None:
                raise NoCredentialsError
            found.get_frozen_credentials()  # an SSO session, or a role, is asked now
        except AwsErrors as error:
            return explained(self._settings, error, "looked for credentials")
        way = _WAYS.get(found.method, found.method)
        profile = f", profile {session.profile_name}" if session.profile_name != "default" else ""
        return ok(f"from {way}{profile}")

    def identity(self) -> Finding:
        """Ask STS whose the credentials are."""
        try:
            told = self.client("sts").get_caller_identity()
        except AwsErrors as error:
            finding = explained(self._settings, error, "asked STS who this is")
            if is_unreachable(error):  # S3 may have another way out
                return warning(finding.found, finding.cause, finding.cure)
            return finding
        self._account = str(told["Account"])
        return ok(f"account {self._account}, {told['Arn']}")

    # --- how S3 is reached ---

    def region(self) -> Finding:
        """Look whether the region is one of AWS's."""
        name = self._settings.aws_region
        try:
            validate_region_name(name)
        except InvalidRegionError as error:
            return explained(self._settings, error, "looked at AWS_DEFAULT_REGION")
        if name in _regions():
            return ok(f"{name}, from {origin(self._settings, 'aws_region')}")
        near = [known for known in _regions() if known.replace("-", "") == name.replace("-", "").lower()]
        return warning(
            f"{name} is no region that this version of botocore knows",
            "AWS_DEFAULT_REGION is mistyped, or the region is very new",
            f"set AWS_DEFAULT_REGION={near[0]}" if near else "correct AWS_DEFAULT_REGION, as in us-east-1",
        )

    def s3(self) -> Finding:
        """Ask S3 without a signature: it tells the time, and that it is there, to everybody."""
        self._settings.require_services()
        where = self._settings.aws_endpoint_url or f"AWS, {self._settings.aws_region}"
        nobody = {"aws_access_key_id": SecretStr("none"), "aws_secret_access_key": SecretStr("none")}
        began = time.time()
        try:
            client = aws_client(
                self._settings.model_copy(update=nobody),  # else a profile would be looked up
                "s3",
                self._settings.aws_endpoint_url,
                _QUICKLY.merge(Config(signature_version=UNSIGNED)),
            )
            began = time.time()
            headers = client.head_bucket(Bucket=self._bucket)["ResponseMetadata"]["HTTPHeaders"]
        except ClientError as error:  # any answer is one
            headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        except AwsErrors as error:
            return explained(self._settings, error, f"asked S3 at {where}")
        took = time.time() - began
        if "date" in headers:
            self._skew = began + took / 2 - parsedate_to_datetime(headers["date"]).timestamp()
        return ok(f"{where} answers in {took * 1000:.0f} ms")

    def clock(self) -> Finding:
        """Compare the clock with S3's."""
        ahead = "ahead of" if self._skew > 0 else "behind"
        said = f"{dt.timedelta(seconds=round(abs(self._skew)))} h {ahead} S3's"
        if abs(self._skew) > _MOST_SKEW:
            return failed(
                said,
                "AWS refuses what is signed at another time (RequestTimeTooSkewed)",
                "set the clock: `sudo timedatectl set-ntp true`",
            )
        if abs(self._skew) > _SOME_SKEW:
            return warning(said, "the clock is not kept by NTP", "`sudo timedatectl set-ntp true`")
        return ok("agrees with S3's")

    # --- the bucket ---

    def bucket(self) -> Finding:
        """Look whether the bucket is there, whose it is, and in which region."""
        try:
            headers = self.client("s3").head_bucket(Bucket=self._bucket)["ResponseMetadata"]["HTTPHeaders"]
        except AwsErrors as error:
            return self._refused_bucket(error)
        home = headers.get("x-amz-bucket-region", self._settings.aws_region)
        if home != self._settings.aws_region:
            return self._elsewhere(home)
        if self._account and self._is_of_others():
            return warning(
                f"s3://{self._bucket} is there, but not account {self._account}'s",
                "the bucket is shared with you, or somebody else was first to take its name",
                "make sure that it is the one that you mean (AWS_S3_BUCKET_NAME)",
            )
        whose = f", of account {self._account}" if self._account else ""
        return ok(f"s3://{self._bucket} in {home}{whose}")

    def _refused_bucket(self, error: Exception) -> Finding:
        home = http_headers(error).get("x-amz-bucket-region", "")
        if http_status(error) == HTTPStatus.NOT_FOUND:
            return self._no_bucket()
        if home and home != self._settings.aws_region:
            return self._elsewhere(home)
        if http_status(error) == HTTPStatus.FORBIDDEN:
            return self._forbidden_bucket()
        return explained(self._settings, error, f"asked for s3://{self._bucket}", "s3:ListBucket")

    def _no_bucket(self) -> Finding:
        return failed(
            f"s3://{self._bucket} does not exist",
            "it was never made, or AWS_S3_BUCKET_NAME names another",
            f"{'`fin-lake up`' if self._is_local else DEPLOY}, or correct AWS_S3_BUCKET_NAME",
        )

    def _elsewhere(self, home: str) -> Finding:
        return failed(
            f"s3://{self._bucket} is in {home}, not in {self._settings.aws_region}",
            "a signature is good for one region",
            f"set AWS_DEFAULT_REGION={home}",
        )

    def _is_of_others(self) -> bool:
        try:
            self.client("s3").head_bucket(Bucket=self._bucket, ExpectedBucketOwner=self._account)
        except ClientError as error:
            return http_status(error) == HTTPStatus.FORBIDDEN
        return False

    def _forbidden_bucket(self) -> Finding:
        """Tell apart who may list some folders only, who may nothing, and whose bucket it is not."""
        with suppress(ClientError):
            home = (
                self.client("s3").get_bucket_location(Bucket=self._bucket)["LocationConstraint"]
                or "us-east-1"
            )
            if home != self._settings.aws_region:
                return self._elsewhere(home)
            return ok(f"s3://{self._bucket} in {home}; to list all of it is not allowed")
        with suppress(ClientError):
            names = {one["Name"] for one in self.client("s3").list_buckets()["Buckets"]}
            if self._bucket not in names:
                return failed(
                    f"s3://{self._bucket} is another account's, which refuses you (403)",
                    "names of buckets are the whole world's; somebody else was first",
                    "set AWS_S3_BUCKET_NAME to a name of your own, and " + DEPLOY,
                )
        return failed(
            f"s3://{self._bucket} is there, but access is refused (403)",
            "the policy of this identity lacks s3:ListBucket, or the bucket is another account's",
            f"allow s3:ListBucket on arn:aws:s3:::{self._bucket}, or correct AWS_S3_BUCKET_NAME",
        )

    # --- what one may do ---

    def list_(self) -> Finding:
        """Try to list each layer."""
        return self._layer_by_layer(
            "s3:ListBucket",
            "list",
            lambda layer: self.client("s3").list_objects_v2(Bucket=self._bucket, Prefix=layer, MaxKeys=1),
        )

    def get(self) -> Finding:
        """Ask each layer for an object that is not there."""
        key = f"{SCRATCH}{uuid.uuid4()}"
        return self._layer_by_layer(
            "s3:GetObject",
            "read",
            lambda layer: self.client("s3").get_object(Bucket=self._bucket, Key=layer + key),
        )

    def put(self) -> Finding:
        """Ask in each layer for the replacement of a version that does not exist, which writes nothing."""
        key = f"{SCRATCH}{uuid.uuid4()}"
        return self._layer_by_layer(
            "s3:PutObject",
            "write",
            lambda layer: self.client("s3").put_object(
                Bucket=self._bucket, Key=layer + key, Body=b"", IfMatch='"0"'
            ),
        )

    def _layer_by_layer(self, action: str, verb: str, ask: Callable[[str], object]) -> Finding:
        refused = []
        for layer in LAYERS:
            try:
                ask(layer)
            except ClientError as error:
                if error_code(error) in DENIED:
                    refused.append(layer)
                elif error_code(error) not in (*NOT_THERE, "PreconditionFailed"):
                    return explained(self._settings, error, f"tried to {verb} {layer}", action)
            except BotoCoreError as error:
                return explained(self._settings, error, f"tried to {verb} {layer}", action)
        if not refused:
            return ok(f"may {verb} {', '.join(LAYERS)}")
        where = ", ".join(refused)
        if len(refused) == len(LAYERS):
            return failed(
                f"may not {verb} {where} (AccessDenied)",
                f"the policy of this identity lacks {action}",
                f"allow {action} on {self._bucket}",
            )
        may = ", ".join(layer for layer in LAYERS if layer not in refused)
        return warning(
            f"may {verb} {may}, but not {where}",
            "right for a role of some layers; `fin-lake extract` needs all of them",
            f"if it is to work there, allow {action} under {where}",
        )

    def round_trip(self) -> Finding:
        """Write a scratch object as the lake writes, read it, and delete it."""
        scratch = ScratchObject(self._settings, self.client("s3"))
        written = scratch.write()
        if written.outcome is not Outcome.OK:
            if "AccessDenied" in written.found:
                return warning(
                    f"may not write {SCRATCH}, so nothing was written (the layers: see `write`)",
                    "the policy names the layers only",
                    f"allow s3:PutObject, s3:GetObject and s3:DeleteObject under {SCRATCH} to have it tried",
                )
            return written
        read = scratch.read()
        removed = scratch.remove()
        if read.outcome is not Outcome.OK:
            return read
        if removed.outcome is not Outcome.OK:
            return removed
        return ok(f"{read.found}; deleted again")


@functools.cache
def _regions() -> frozenset[str]:
    return frozenset(_all_regions())


def _all_regions() -> Iterator[str]:
    session = session_without_profile()
    for partition in session.get_available_partitions():
        yield from session.get_available_regions("s3", partition)
