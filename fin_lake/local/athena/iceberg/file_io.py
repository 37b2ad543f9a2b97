"""pyiceberg's files, over the engine's own S3 client and its cache.

Nothing that Iceberg writes is ever overwritten, so what was written or read once is kept.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from pyiceberg.io import FileIO, InputFile, OutputFile

if TYPE_CHECKING:
    from fin_lake.local.athena.storage import Objects

OBJECTS: Final = "fin-lake.objects"
"""The property by which pyiceberg's FileIO finds the engine's objects."""
_KEPT_BYTES: Final = 128 * 1024 * 1024

_known: dict[str, _Cached] = {}


def register(objects: Objects) -> dict[str, str]:
    """Return the properties with which pyiceberg reads and writes through these objects."""
    name = str(id(objects))
    _known[name] = _Cached(objects)
    return {"py-io-impl": f"{__name__}.ObjectsFileIO", OBJECTS: name}


class _Cached:
    """Metadata and manifests in memory, up to a size."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._lock = Lock()
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def read(self, url: str) -> bytes:
        with self._lock:
            if url in self._held:
                self._held.move_to_end(url)
                return self._held[url]
        data = self.objects.read(url)
        self._keep(url, data)
        return data

    def write(self, url: str, data: bytes) -> None:
        if url.endswith(".parquet"):
            self.objects.keep_immutable(url, data)
        else:
            self.objects.write(url, data)
            self._keep(url, data)

    def _keep(self, url: str, data: bytes) -> None:
        if url.endswith(".parquet"):
            return
        with self._lock:
            self._size += len(data) - len(self._held.get(url, b""))
            self._held[url] = data
            while self._size > _KEPT_BYTES:
                _, oldest = self._held.popitem(last=False)
                self._size -= len(oldest)


class _File:
    """What files that are read and files that are written have in common."""

    location: str
    _cached: _Cached

    def __len__(self) -> int:
        return len(self._cached.read(self.location))

    def exists(self) -> bool:
        return self._cached.objects.exists(self.location)


class _Input(_File, InputFile):
    def __init__(self, location: str, cached: _Cached) -> None:
        super().__init__(location)
        self._cached = cached

    def open(self, seekable: bool = True) -> Any:  # noqa: ARG002, FBT001, FBT002 - pyiceberg's signature
        return io.BytesIO(self._cached.read(self.location))


class _Buffer(io.BytesIO):
    """Bytes that become an object when they are complete."""

    def __init__(self, output: _Output) -> None:
        super().__init__()
        self._output = output
        self._failed = False

    def __exit__(self, *raised: object) -> None:
        self._failed = raised[0] is not None
        self.close()

    def close(self) -> None:
        if not self.closed and not self._failed:
            self._output.write(self.getvalue())
        super().close()


class _Output(_File, OutputFile):
    def __init__(self, location: str, cached: _Cached) -> None:
        super().__init__(location)
        self._cached = cached
        self._size: int | None = None

    def __len__(self) -> int:
        return super().__len__() if self._size is None else self._size

    def write(self, data: bytes) -> None:
        """Write the file whole."""
        self._cached.write(self.location, data)
        self._size = len(data)  # pyiceberg asks for it, and would fetch the file for that

    def to_input_file(self) -> _Input:
        return _Input(self.location, self._cached)

    def create(self, overwrite: bool = False) -> Any:  # noqa: FBT001, FBT002 - pyiceberg's signature
        if not overwrite and self.exists():
            raise FileExistsError(self.location)
        return _Buffer(self)


class ObjectsFileIO(FileIO):
    """pyiceberg's door to S3."""

    def new_input(self, location: str) -> InputFile:
        """Return a file to be read."""
        return _Input(location, self._cached())

    def new_output(self, location: str) -> OutputFile:
        """Return a file to be written."""
        return _Output(location, self._cached())

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
        url = location if isinstance(location, str) else location.location
        self._cached().objects.delete([url])

    def _cached(self) -> _Cached:
        return _known[self.properties[OBJECTS]]
