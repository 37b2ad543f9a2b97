"""A check of the bucket from credentials to clean-up: what is written is read, found, told of and deleted.

It leaves nothing behind. The notification is tried with a file under ``raw/_doctor/``, since the queue is
told of ``raw/`` alone: no table reads from there, and the sensor leaves it alone, for it is of no hour.
Where this identity may not delete what lies under ``raw/``, no file is put there, and the check says that
it has looked at the configuration only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from rich.console import Console

from fin_lake.errors import FinLakeError
from fin_lake.lake.notifications import Message, NotificationError, NotificationQueue, created_objects
from fin_lake.operations.aws_checks import AwsChecks
from fin_lake.operations.bucket_checks import BucketChecks
from fin_lake.operations.findings import Check, Finding, Outcome, failed, ok, run_checks, skipped
from fin_lake.operations.printing import finding_line
from fin_lake.operations.scratch_object import SCRATCH, ScratchObject
from fin_lake.settings import Settings, load_settings

_TOLD_WITHIN_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.2
_MOST_MESSAGES: Final = 1_000


def s3_checks(settings: Settings) -> Sequence[Check]:
    """Return the checks, one after the other; the last one cleans up, whatever became of the others."""
    aws = AwsChecks(settings)
    kept = BucketChecks(settings, aws.client)
    scratch = ScratchObject(settings, aws.client("s3"))
    return (
        Check("region", aws.region),
        Check("credentials", aws.credentials, needs=("region",)),
        Check("identity", aws.identity, needs=("credentials",)),
        Check("s3", aws.s3, needs=("credentials",), after=("identity",)),
        Check("bucket", aws.bucket, needs=("identity", "s3")),
        Check("write", scratch.write, needs=("bucket",)),
        Check("read", scratch.read, needs=("write",)),
        Check("list", scratch.list_, needs=("write",), after=("read",)),
        Check("encryption", scratch.head, needs=("write",), after=("list",)),
        Check("lifecycle", kept.lifecycle, needs=("bucket",), after=("encryption",)),
        Check(
            "notification",
            lambda: notification(settings, aws),
            needs=("bucket",),
            after=("lifecycle",),
            seconds=_TOLD_WITHIN_SECONDS + 10,
        ),
        Check("clean-up", scratch.remove, needs=("write",), after=("notification",)),
    )


def notification(settings: Settings, aws: AwsChecks) -> Finding:
    """Put a file under ``raw/``, and wait until S3 has told the queue of it."""
    configured = BucketChecks(settings, aws.client).notifications()
    if configured.outcome is not Outcome.OK:
        return configured
    marker = ScratchObject(settings, aws.client("s3"), f"raw/{SCRATCH}")
    if marker.remove().outcome is not Outcome.OK:
        return skipped(
            f"{configured.found}; not tried with a file, since this identity could not delete it from raw/"
        )
    written = marker.write()
    if written.outcome is not Outcome.OK:
        return written
    try:
        told_after = _told_after(settings, marker.key)
    finally:
        marker.remove()
    if told_after is None:
        return failed(
            f"{configured.found}, but no message of {marker.key} came in {_TOLD_WITHIN_SECONDS:g} s",
            "the queue's policy or key refuses S3, or a sensor took the message before us",
            "run this again with the sensor off; then `fin-lake deploy`",
        )
    return ok(f"{settings.notifications_queue} was told of {marker.key} after {told_after:.1f} s")


def _told_after(settings: Settings, key: str) -> float | None:
    """Return after how many seconds the queue had a message of an object; others' are given back."""
    queue = NotificationQueue(settings)
    others: list[Message] = []
    began = time.monotonic()
    try:
        while time.monotonic() - began < _TOLD_WITHIN_SECONDS:
            for message in queue.receive(_MOST_MESSAGES):
                if _is_of(message, settings.bucket, key):
                    queue.delete([message])
                    return time.monotonic() - began
                others.append(message)
            time.sleep(_POLL_SECONDS)
        return None
    finally:
        queue.postpone(others, seconds=0)


def _is_of(message: Message, bucket: str, key: str) -> bool:
    with suppress(NotificationError):
        return key in created_objects(message.body, bucket)
    return False


def main() -> None:
    """Check the bucket of the settings; print a line for each check, and exit with 1 if one failed."""
    console = Console(highlight=False)
    try:
        settings = load_settings()
        settings.require_services()
        checks = s3_checks(settings)
    except FinLakeError as error:
        line = "; ".join(part.strip() for part in error.what.splitlines())
        console.print(finding_line("settings", failed(line, cure=error.remedy), 8), soft_wrap=True)
        sys.exit(1)
    width = max(len(check.name) for check in checks)
    outcomes = []
    for name, finding, _ in run_checks(checks, settings.secrets):
        console.print(finding_line(name, finding, width), soft_wrap=True)
        outcomes.append(finding.outcome)
    if Outcome.FAILED in outcomes:
        sys.exit(1)
