"""The bucket: put, get and list objects, many at a time, with errors that say what to do.

Bytes and keys only: what an object means is decided elsewhere. Nothing is ever deleted here.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from fin_lake.errors import FinLakeError
from fin_lake.traffic import count_in, traffic

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta

    from fin_lake.settings import Settings

CONCURRENCY: Final = 16
_SMALLEST_PART: Final = 5 * 1024 * 1024  # S3's rule for parts but the last
_PAGE: Final = 1_000  # the most that S3 lists in an answer
_RETRIES: Final = 5
_RETRY_FOR: Final = dt.timedelta(seconds=30)
_REQUEST_TIMEOUT: Final = dt.timedelta(seconds=30)
_REFUSED: Final = re.compile(r"status:? 4(?!08|29)\d\d")  # a time-out and "too many" pass, others do not

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class LakeError(FinLakeError):
    """The bucket cannot be read or written."""


class LakeUnavailableError(LakeError):
    """S3 does not answer, or fails at what it should be able to do."""

    heals = True


class MissingObjectError(LakeError):
    """An object that should be in the lake is not."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing says of an object: key, size in bytes, last modification (UTC), ETag without quotes."""

    key: str
    size: int
    last_modified: dt.datetime
    etag: str


@dataclass(frozen=True, slots=True)
class WrittenHour:
    """What was written for an hour: object keys, rows, bytes over all objects, and ETags where kept."""

    keys: tuple[str, ...]
    rows: int
    size: int
    etags: tuple[str, ...] = ()


class Lake:
    """One bucket.

    Parameters
    ----------
    settings : Settings
        Bucket, region, endpoint and credentials; without credentials the standard AWS chain
        (profile, SSO, role) is asked.
    """

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.bucket
        self.endpoint = settings.aws_endpoint_url
        self._settings = settings

    @functools.cached_property
    def _store(self) -> S3Store:
        """The client, opened when it is first needed, so that definitions load without a stack."""
        return _open_store(self._settings)

    @property
    def _attributes(self) -> Attributes:
        """What every object is given; the default class is not named, so that the bucket may decide."""
        of = self._settings.storage_class
        return {} if of == "STANDARD" else {"Storage-Class": of}

    @functools.cached_property
    def boto3_client(self) -> Any:
        """boto3's client of S3, for what obstore does not tell; any thread may use it."""
        from botocore.config import Config  # noqa: PLC0415 - definitions load without it

        from fin_lake.clients import aws_client  # noqa: PLC0415

        self._settings.require_services()
        config = Config(
            retries={"mode": "standard", "max_attempts": _RETRIES},
            max_pool_connections=CONCURRENCY,
            s3={"addressing_style": "path" if self.endpoint else "auto"},
        )
        return aws_client(self._settings, "s3", self.endpoint, config)

    def beside(self, bucket: str) -> Lake:
        """Return another bucket of the same endpoint, by the same credentials."""
        return Lake(self._settings.model_copy(update={"bucket": bucket}))

    def __repr__(self) -> str:
        return f"Lake(s3://{self.bucket})"

    def uri(self, key: str) -> str:
        """Return the object's address: ``s3://bucket/key``."""
        return f"s3://{self.bucket}/{key}"

    def link(self, key: str) -> str:
        """Return the address at which a browser finds the object: S3's console, or the endpoint's own.

        It holds no signature: who opens it needs leave to read, unless the endpoint asks for none.
        """
        if self.endpoint:
            return f"{self.endpoint.rstrip('/')}/{self.bucket}/{quote(key, safe='/=')}"
        region = self._settings.aws_region
        return (
            f"https://{region}.console.aws.amazon.com/s3/object/{self.bucket}"
            f"?region={region}&prefix={quote(key, safe='')}"
        )

    def put(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write an object whole: a reader sees what was there before, or all of this.

        A browser shows an object whose ``content_type`` it knows, and saves any other.
        """
        attributes = self._attributes | ({"Content-Type": content_type} if content_type else {})
        with self._explained(key):
            obstore.put(self._store, key, data, attributes=attributes, use_multipart=False)
        traffic().put(len(data))

    def put_parts(
        self, key: str, parts: Iterable[bytes], *, concurrency: int, content_type: str | None = None
    ) -> str:
        """Write an object of any length from its parts, several at a time; return its ETag without quotes.

        Parts but the last are of one length, of at least 5 MiB (S3's rule), and are sent as they come. A
        reader sees nothing of the object before its last part is there.
        """
        attributes = self._attributes | ({"Content-Type": content_type} if content_type else {})
        sent: list[int] = []
        pieces = _measured(parts, sent)
        first = next(pieces, b"")
        with self._explained(key):
            written = obstore.put(
                self._store,
                key,
                itertools.chain([first], pieces),
                attributes=attributes,
                use_multipart=True,
                chunk_size=max(len(first), _SMALLEST_PART),
                max_concurrency=concurrency,
            )
        for size in sent:
            traffic().put(size)
        return _bare(written["e_tag"])

    def put_new(self, key: str, data: bytes) -> str | None:
        """Write an object only if there is none of that key; return its ETag, or None if it was taken."""
        try:
            with self._explained(key):
                written = obstore.put(
                    self._store, key, data, mode="create", attributes=self._attributes, use_multipart=False
                )
        except _TakenError:
            traffic().put(len(data))  # it was sent all the same
            return None
        traffic().put(len(data))
        return _bare(written["e_tag"])

    def head(self, key: str) -> ObjectInfo:
        """Return what a listing would say of one object.

        Raises
        ------
        MissingObjectError
            There is no such object.
        """
        with self._explained(key):
            found = _info(obstore.head(self._store, key))
        traffic().got(0)
        return found

    def get(self, key: str) -> bytes:
        """Return an object's bytes.

        Raises
        ------
        MissingObjectError
            There is no such object.
        """
        with self._explained(key):
            data = bytes(obstore.get(self._store, key).bytes())
        traffic().got(len(data))
        return data

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of many objects, by key, in the order asked."""
        wanted = list(keys)
        return dict(zip(wanted, each(wanted, self.get), strict=True))

    def list_objects(self, prefixes: Iterable[str]) -> list[ObjectInfo]:
        """Return the objects under the prefixes, sorted by key."""
        listings = each(prefixes, self._list_one)
        return sorted((info for listing in listings for info in listing), key=lambda info: info.key)

    def _list_one(self, prefix: str) -> list[ObjectInfo]:
        with self._explained(prefix):
            found = [_info(meta) for batch in obstore.list(self._store, prefix) for meta in batch]
        traffic().listed(len(found) // _PAGE + 1)
        return found

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Turn the client's errors into ours.

        The client's messages hold the request and the answer's XML, at times the key id too; only
        the answer's code and message are repeated, and the chain is cut.
        """
        try:
            yield
        except AlreadyExistsError:
            raise _TakenError(key) from None
        except (NotFoundError, FileNotFoundError) as error:  # obstore raises either
            if "NoSuchBucket" in str(error):
                raise self._no_bucket() from None
            raise MissingObjectError(f"{self.uri(key)} is not there") from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise LakeError(
                f"S3 refuses access to {self.uri(key)}: {_said(error)}",
                "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that their policy allows "
                f"s3:ListBucket, s3:GetObject and s3:PutObject on {self.bucket}",
            ) from None
        except BaseError as error:
            if "NoSuchBucket" in str(error):
                raise self._no_bucket() from None
            kind = LakeError if _REFUSED.search(str(error)) else LakeUnavailableError
            raise kind(
                f"S3 failed at {self.uri(key)}: {_said(error)}",
                f"check that {self.endpoint} answers (`fin-lake status`)"
                if self.endpoint
                else "check the network and AWS_DEFAULT_REGION",
            ) from None

    def _no_bucket(self) -> LakeError:
        return LakeError(
            f"bucket {self.bucket} does not exist",
            f"create it (`aws s3 mb s3://{self.bucket}`) or correct AWS_S3_BUCKET_NAME",
        )


def _info(meta: ObjectMeta) -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], meta["last_modified"], _bare(meta["e_tag"]))


def _measured(parts: Iterable[bytes], lengths: list[int]) -> Iterator[bytes]:
    for part in parts:
        lengths.append(len(part))
        yield part


def _bare(etag: str | None) -> str:
    """Return an ETag without the quotes that listings, heads and notifications put around it, or not."""
    return (etag or "").strip('"')


class _TakenError(Exception):
    """The key holds an object already."""


def _open_store(settings: Settings) -> S3Store:
    settings.require_services()
    options: dict[str, Any] = {
        "region": settings.aws_region,
        "client_options": {"timeout": _REQUEST_TIMEOUT},
        "retry_config": {"max_retries": _RETRIES, "retry_timeout": _RETRY_FOR},
    }
    if settings.kms_key:  # aws:kms without a key would be AWS's own: who names none gets the bucket's
        options["server_side_encryption"] = settings.encryption
        options["sse_bucket_key_enabled"] = True
        options["sse_kms_key_id"] = settings.kms_key
    if settings.accelerate and not settings.aws_endpoint_url:
        options["endpoint"] = f"https://{settings.bucket}.s3-accelerate.amazonaws.com"
        options["virtual_hosted_style_request"] = True
    if settings.aws_endpoint_url:
        options["endpoint"] = settings.aws_endpoint_url
        options["virtual_hosted_style_request"] = False
        options["client_options"]["allow_http"] = settings.aws_endpoint_url.startswith("http://")
    if settings.aws_access_key_id and settings.aws_secret_access_key:
        options["access_key_id"] = settings.aws_access_key_id.get_secret_value()
        options["secret_access_key"] = settings.aws_secret_access_key.get_secret_value()
        if settings.aws_session_token:
            options["session_token"] = settings.aws_session_token.get_secret_value()
    else:
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - only where a chain is asked

        options["credential_provider"] = Boto3CredentialProvider()
    return S3Store(settings.bucket, **options)


def _said(error: Exception) -> str:
    """Return the service's own code and message, or the first line of the client's."""
    text = str(error)
    found = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    if found:
        return f"{found[1]}: {found[2]}"
    for words, meaning in (
        ("Connection refused", "connection refused"),
        ("ConnectError", "cannot connect"),
        ("TimedOut", "timed out"),
        ("timed out", "timed out"),
        ("dns error", "the host's name cannot be resolved"),
    ):
        if words in text:
            return meaning
    return re.sub(r"\s+", " ", text)[:160]


def each(items: Iterable[_Item], do: Callable[[_Item], _Result]) -> list[_Result]:
    """Do something for each item, ``CONCURRENCY`` at a time; raise the first error when all ended.

    Waiting for all means that an error in one hour never stops the hours beside it.
    """
    with ThreadPoolExecutor(CONCURRENCY, initializer=count_in, initargs=(traffic(),)) as pool:
        futures = [pool.submit(do, item) for item in items]
    return [future.result() for future in futures]
