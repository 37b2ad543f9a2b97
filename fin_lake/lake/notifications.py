"""S3's own messages of new raw objects, by way of a queue in SQS.

Messages are read here, and the queue is made here. What a message's object means is for
``automation.arrivals`` to say. The format is AWS's "event message structure" (version 2.x) of S3
event notifications; SQS hands a message out again if it is not deleted in time, and after
``MOST_RECEIVES`` times puts it into the dead-letter queue.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from fin_lake.clients import aws_client
from fin_lake.errors import FinLakeError
from fin_lake.settings import Settings

HIDDEN_SECONDS: Final = 120
"""How long a message that was handed out stays hidden: longer than a look takes."""
LATER_SECONDS: Final = 300
"""How long a message is hidden whose object cannot be dealt with yet."""
MOST_RECEIVES: Final = 30
"""After so many hand-outs, two and a half hours at the least, a message is given up."""
KEPT_SECONDS: Final = 14 * 24 * 3600
_BATCH: Final = 10
_CONFIGURATION: Final = "fin-lake-raw-objects"
_PREFIX: Final = "raw/"


class NotificationError(FinLakeError):
    """The queue cannot be reached, or a message is none of S3's."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was handed out: its receipt, by which it is deleted, and its text."""

    receipt: str
    body: str


class _Bucket(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    key: str


class _Entity(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _Record(msgspec.Struct):
    event_name: str = msgspec.field(name="eventName")
    s3: _Entity


class _Body(msgspec.Struct):
    records: list[_Record] | None = msgspec.field(name="Records", default=None)
    event: str = msgspec.field(name="Event", default="")


def created_objects(body: str, bucket: str) -> list[str]:
    """Return the keys of the objects that a message says were created in a bucket, each once.

    Other events, of deletions and of other buckets, and S3's own test of a queue name none.

    Raises
    ------
    NotificationError
        It is no message of S3's.
    """
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise NotificationError(
            f"a message is none of S3's ({error}); it begins {body[:120]!r}",
            "it will come to the dead-letter queue; see who else writes to this queue",
        ) from None
    if read.records is None and read.event != "s3:TestEvent":
        raise NotificationError(
            f"a message is none of S3's: it names no records; it begins {body[:120]!r}",
            "it will come to the dead-letter queue; see who else writes to this queue",
        )
    keys = (
        unquote_plus(record.s3.object.key)
        for record in read.records or ()
        if record.event_name.startswith("ObjectCreated") and record.s3.bucket.name == bucket
    )
    return list(dict.fromkeys(keys))


class NotificationQueue:
    """The queue that the settings name.

    Parameters
    ----------
    settings : Settings
        The queue's name, and where SQS answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = settings.notifications_queue

    @functools.cached_property
    def _sqs(self) -> Any:
        return aws_client(self._settings, "sqs", self._settings.sqs_endpoint_url)

    @functools.cached_property
    def _url(self) -> str:
        return str(self._sqs.get_queue_url(QueueName=self._name)["QueueUrl"])

    def receive(self, most: int) -> Iterator[Message]:
        """Yield messages until none is there or ``most`` were handed out.

        Raises
        ------
        NotificationError
            The queue cannot be read.
        """
        try:
            for _ in range(-(-most // _BATCH)):
                answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=_BATCH)
                messages = answer.get("Messages", [])
                yield from (Message(one["ReceiptHandle"], one["Body"]) for one in messages)
                if not messages:
                    return
        except (BotoCoreError, ClientError) as error:
            raise NotificationError(
                f"the queue {self._name} cannot be read: {error}",
                "correct FIN_LAKE_NOTIFICATIONS_QUEUE, or allow sqs:ReceiveMessage, sqs:DeleteMessage, "
                "sqs:ChangeMessageVisibility and sqs:GetQueueUrl on it",
            ) from None

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages; one that cannot be deleted comes again, which does no harm."""
        for batch in _batches(messages):
            entries = [{"Id": str(i), "ReceiptHandle": one.receipt} for i, one in enumerate(batch)]
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)

    def postpone(self, messages: Sequence[Message], seconds: int = LATER_SECONDS) -> None:
        """Let messages come again only after so many seconds; after 0 they are anybody's at once."""
        for batch in _batches(messages):
            entries = [
                {"Id": str(i), "ReceiptHandle": one.receipt, "VisibilityTimeout": seconds}
                for i, one in enumerate(batch)
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    return (messages[i : i + _BATCH] for i in range(0, len(messages), _BATCH))


def ensure_notifications(settings: Settings) -> str:
    """Make the queue, its dead-letter queue and the bucket's notification, where they are not yet so.

    In AWS the infrastructure's template does this. Other notifications of the bucket stay.

    Returns
    -------
    str
        The queue's URL.

    Raises
    ------
    NotificationError
        AWS refuses, or does not answer.
    """
    name = settings.notifications_queue
    sqs = aws_client(settings, "sqs", settings.sqs_endpoint_url)
    s3 = aws_client(settings, "s3", settings.aws_endpoint_url)
    try:
        dead = _queue(sqs, f"{name}-dead", {})
        arn = _arn(sqs, dead)
        redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": MOST_RECEIVES}
        queue = _queue(
            sqs,
            name,
            {"VisibilityTimeout": str(HIDDEN_SECONDS), "RedrivePolicy": json.dumps(redrive)},
        )
        queue_arn = _arn(sqs, queue)
        policy = json.dumps(_may_send(queue_arn, settings.bucket))
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        _notify(s3, settings.bucket, queue_arn)
    except (BotoCoreError, ClientError) as error:
        raise NotificationError(
            f"notifications of {settings.bucket} cannot be set up: {error}",
            "allow sqs:CreateQueue, sqs:SetQueueAttributes and s3:PutBucketNotification, or deploy the "
            "template",
        ) from None
    return queue


def _queue(sqs: Any, name: str, attributes: dict[str, str]) -> str:
    wanted = {"MessageRetentionPeriod": str(KEPT_SECONDS), **attributes}
    try:
        url = str(sqs.get_queue_url(QueueName=name)["QueueUrl"])
    except sqs.exceptions.QueueDoesNotExist:
        return str(sqs.create_queue(QueueName=name, Attributes=wanted)["QueueUrl"])
    sqs.set_queue_attributes(QueueUrl=url, Attributes=wanted)
    return url


def _arn(sqs: Any, url: str) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def _may_send(queue_arn: str, bucket: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
            }
        ],
    }


def _notify(s3: Any, bucket: str, queue_arn: str) -> None:
    there = s3.get_bucket_notification_configuration(Bucket=bucket)
    there.pop("ResponseMetadata", None)
    others: Collection[Any] = [
        one for one in there.get("QueueConfigurations", []) if one.get("Id") != _CONFIGURATION
    ]
    ours = {
        "Id": _CONFIGURATION,
        "QueueArn": queue_arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": _PREFIX}]}},
    }
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={**there, "QueueConfigurations": [*others, ours]}
    )
