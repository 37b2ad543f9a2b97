"""An object that checks write, read and delete again."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any, Final

from botocore.exceptions import ClientError

from fin_lake.errors import FinLakeError
from fin_lake.lake.store import Lake
from fin_lake.operations.aws_failures import (
    DENIED,
    AwsErrors,
    error_code,
    explained,
)
from fin_lake.operations.findings import DEPLOY, Finding, failed, ok, warning
from fin_lake.settings import Settings

SCRATCH: Final = "_doctor/"
"""Under this prefix objects are written only to be deleted again."""


class ScratchObject:
    """An object that is written, read and deleted again, under a key that nobody else uses.

    Parameters
    ----------
    settings : Settings
        The bucket, and how the lake writes to it.
    s3 : Any
        boto3's client, for what the lake never does.
    folder : str
        Where it is written.
    """

    def __init__(self, settings: Settings, s3: Any, folder: str = SCRATCH) -> None:
        self._settings = settings
        self._s3 = s3
        self._bucket = settings.bucket
        self._lake = Lake(settings)
        self._folder = folder
        self.key = f"{folder}{uuid.uuid4()}"
        self._bytes = f"written by fin_lake's checks as {self.key}, to be deleted\n".encode()

    def write(self) -> Finding:
        """Put it, as the lake puts objects."""
        try:
            self._lake.put(self.key, self._bytes)
        except FinLakeError as error:
            return failed(error.what, "", error.remedy)
        return ok(f"put {self._lake.uri(self.key)}, {len(self._bytes)} bytes")

    def read(self) -> Finding:
        """Get it, and compare."""
        try:
            held = self._lake.get(self.key)
        except FinLakeError as error:
            return failed(error.what, "", error.remedy)
        if held != self._bytes:
            return failed(
                f"read {len(held)} bytes of {self._lake.uri(self.key)} that are not those that were written",
                "something between here and S3 changes bytes: a proxy, or an S3 that is none",
            )
        return ok(f"read the {len(held)} bytes of {self._lake.uri(self.key)} that were written")

    def list_(self) -> Finding:
        """Find it in a listing."""
        try:
            found = self._lake.list_objects([self._folder])
        except FinLakeError as error:
            return failed(error.what, "", error.remedy)
        if self.key not in {one.key for one in found}:
            return failed(f"{self._lake.uri(self.key)} was written, but is in no listing")
        return ok(f"found it in the listing of {self._lake.uri(self._folder)}")

    def head(self) -> Finding:
        """Look how it is encrypted."""
        try:
            told = self._s3.head_object(Bucket=self._bucket, Key=self.key)
        except AwsErrors as error:
            return explained(self._settings, error, f"asked for the head of {self.key}", "s3:GetObject")
        algorithm = told.get("ServerSideEncryption", "")
        if not algorithm:
            return warning("the object is not encrypted", "no default encryption is set", DEPLOY)
        key = told.get("SSEKMSKeyId", "")
        return ok(f"the object is encrypted: {algorithm}{f' with {key}' if key else ''}")

    def remove(self) -> Finding:
        """Delete it, with the versions that a bucket that keeps them has of it."""
        try:
            told = self._s3.delete_object(Bucket=self._bucket, Key=self.key)
        except AwsErrors as error:
            if error_code(error) not in DENIED:
                return explained(self._settings, error, f"tried to delete {self.key}", "s3:DeleteObject")
            return warning(
                f"{self._lake.uri(self.key)} stays: to delete is refused (AccessDenied)",
                "this identity may delete nothing, as is right in the layers",
                f"let its owner delete it: `aws s3 rm s3://{self._bucket}/{self.key}`",
            )
        if "VersionId" not in told:
            return ok(f"deleted {self._lake.uri(self.key)}")
        with suppress(ClientError):
            held = self._s3.list_object_versions(Bucket=self._bucket, Prefix=self.key)
            for one in (*held.get("Versions", []), *held.get("DeleteMarkers", [])):
                self._s3.delete_object(Bucket=self._bucket, Key=self.key, VersionId=one["VersionId"])
            return ok(f"deleted {self._lake.uri(self.key)} and its versions")
        return ok(f"deleted {self._lake.uri(self.key)}; its old version ends by the lifecycle")
