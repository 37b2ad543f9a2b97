"""Objects in S3, by ``s3://`` address, and a cache of them on disk.

The cache is what makes queries quick: DuckDB reads local files. A cached object is known by its key
and ETag, so that one which was overwritten is fetched anew; files of Iceberg tables are never
overwritten and are known by their address alone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import S3Store

_THREADS: Final = 16
_LIST_CHUNK: Final = 5000
_HIDDEN: Final = ("_", ".")
_TIMEOUT: Final = dt.timedelta(seconds=60)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing shows it; the size in bytes, the time of modification in UTC."""

    bucket: str
    key: str
    etag: str
    size: int
    modified: dt.datetime

    @property
    def url(self) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{self.key}"


class Objects:
    """S3 as the query engine sees it.

    Parameters
    ----------
    endpoint : str
        URL of the S3 API.
    access_key_id, secret_access_key, region : str
        Credentials for it.
    cache : pathlib.Path
        Folder of the cached objects. It may be deleted while no query runs.
    """

    def __init__(
        self, *, endpoint: str, access_key_id: str, secret_access_key: str, region: str, cache: Path
    ) -> None:
        self._cache = cache
        self._options: dict[str, Any] = {
            "endpoint": endpoint,
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
            "region": region,
            "virtual_hosted_style_request": False,
            "client_options": {"timeout": _TIMEOUT, "allow_http": endpoint.startswith("http://")},
        }
        self._stores: dict[str, S3Store] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="objects")

    def list(self, url: str, *, hidden: bool = False) -> Sequence[StoredObject]:
        """Return the objects below a folder, in the order of their keys.

        Parameters
        ----------
        url : str
            The folder. ``s3://bucket/a`` does not include ``s3://bucket/ab``.
        hidden : bool
            Whether objects count whose names, or whose folders' names, begin with ``_`` or ``.``, and
            empty ones. As in Athena, they are no data.
        """
        bucket, folder = split(url)
        prefix = folder.rstrip("/") + "/" if folder else ""
        found = []
        for batch in obstore.list(self._store(bucket), prefix or None, chunk_size=_LIST_CHUNK):
            for meta in batch:
                key, size = meta["path"], meta["size"]
                if hidden or (size and not _is_hidden(key[len(prefix) :])):
                    etag = (meta["e_tag"] or "").strip('"')
                    found.append(StoredObject(bucket, key, etag, size, meta["last_modified"]))
        return sorted(found, key=lambda one: one.key)

    def list_many(self, urls: Iterable[str]) -> Sequence[StoredObject]:
        """Return the objects below several folders, listed side by side."""
        return [one for listing in self._each(urls, self.list) for one in listing]

    def local(self, objects: Sequence[StoredObject], folders: Sequence[str] | None = None) -> Sequence[Path]:
        """Return files with the objects' content, fetching those that the cache lacks.

        Parameters
        ----------
        objects : sequence of StoredObject
            As listed.
        folders : sequence of str, optional
            For each object the folder within the cache. With folders named ``column=value`` DuckDB
            reads partition columns from the paths.

        Raises
        ------
        FileNotFoundError
            An object was deleted since it was listed.
        """
        places = folders if folders is not None else ["_"] * len(objects)
        paths = [
            self._cache / one.bucket / place / (_digest(f"{one.key}\0{one.etag}") + _suffix(one.key))
            for one, place in zip(objects, places, strict=True)
        ]
        missing = [(one.url, path) for one, path in zip(objects, paths, strict=True) if not path.exists()]
        self._each(missing, self._fetch)
        return paths

    def local_immutable(self, urls: Sequence[str]) -> Sequence[Path]:
        """Return files with the content of objects that are never overwritten.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        """
        paths = [self._cache / "immutable" / (_digest(url) + _suffix(url)) for url in urls]
        missing = [(url, path) for url, path in zip(urls, paths, strict=True) if not path.exists()]
        self._each(missing, self._fetch)
        return paths

    def keep_immutable(self, url: str, data: bytes) -> None:
        """Write an object that will never be overwritten, and keep it in the cache as well."""
        self.write(url, data)
        self._place(self._cache / "immutable" / (_digest(url) + _suffix(url)), data)

    def read(self, url: str) -> bytes:
        """Return an object's content.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        """
        bucket, key = split(url)
        try:
            return bytes(obstore.get(self._store(bucket), key).bytes())
        except NotFoundError as error:  # obstore raises either
            raise FileNotFoundError(f"{url} is not there") from error

    def exists(self, url: str) -> bool:
        """Return whether there is an object of that address."""
        bucket, key = split(url)
        try:
            obstore.head(self._store(bucket), key)
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    def write(self, url: str, data: bytes) -> None:
        """Write an object whole."""
        bucket, key = split(url)
        obstore.put(self._store(bucket), key, data, use_multipart=False)

    def write_files(self, files: Iterable[tuple[Path, str]]) -> None:
        """Write local files to addresses, side by side."""
        self._each(files, lambda pair: self.write(pair[1], pair[0].read_bytes()))

    def delete(self, urls: Iterable[str]) -> None:
        """Delete objects; those that are not there are none."""
        by_bucket: dict[str, set[str]] = {}
        for url in urls:
            bucket, key = split(url)
            by_bucket.setdefault(bucket, set()).add(key)
        for bucket, keys in by_bucket.items():
            obstore.delete(self._store(bucket), sorted(keys))

    def delete_prefix(self, url: str) -> int:
        """Delete all objects below a folder, and return how many there were."""
        found = self.list(url, hidden=True)
        self.delete(one.url for one in found)
        return len(found)

    def _store(self, bucket: str) -> S3Store:
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = S3Store(bucket, **self._options)
            return self._stores[bucket]

    def _fetch(self, wanted: tuple[str, Path]) -> None:
        url, path = wanted
        self._place(path, self.read(url))

    @staticmethod
    def _place(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # renamed into place: another query must not see half a file
        unfinished = path.with_name(f"{path.name}.{threading.get_ident()}.part")
        unfinished.write_bytes(data)
        os.replace(unfinished, path)  # noqa: PTH105 - pathlib's goes through here as well

    def _each(self, items: Iterable[_Item], do: Callable[[_Item], _Result]) -> Sequence[_Result]:
        todo = list(items)
        if len(todo) == 1:  # most lists are of one, and a thread costs more than it saves
            return [do(todo[0])]
        return list(self._pool.map(do, todo))


def split(url: str) -> tuple[str, str]:
    """Return bucket and key of an ``s3://``, ``s3a://`` or ``s3n://`` address.

    Raises
    ------
    ValueError
        It is not an address in S3.
    """
    parts = urlsplit(url, allow_fragments=False)
    if parts.scheme not in ("s3", "s3a", "s3n") or not parts.netloc:
        raise ValueError(f"{url!r} is not of the form s3://bucket/key")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return parts.netloc, path.lstrip("/")


def _is_hidden(path: str) -> bool:
    return any(part.startswith(_HIDDEN) for part in path.split("/"))


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:24]


def _suffix(name: str) -> str:
    """Return everything from the file name's first dot on: ``.json.gz`` tells DuckDB to decompress."""
    _, dot, rest = name.rsplit("/", 1)[-1].partition(".")
    return dot + rest if len(rest) < 20 else ""  # noqa: PLR2004 - a name with a dot in its middle
