"""What crosses the network: bytes and requests to the lake, to PostgreSQL and from the sources, counted.

Each thread counts for itself, and so do the threads that it starts through ``lake.store.each``: runs
that share a process do not count each other's. Counting is all that belongs here; who shows the
numbers takes them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields
from typing import Final


@dataclass(slots=True)
class Traffic:
    """Counts since they were last taken.

    Attributes
    ----------
    bytes_fetched : int
        Answers of the sources, as they came over the wire (compressed, if they were), without headers.
    bytes_put, bytes_got : int
        Objects written to and read from S3.
    bytes_to_postgres : int
        Rows copied to PostgreSQL, in its binary format.
    s3_puts, s3_gets, s3_lists : int
        Requests to S3. A HEAD costs as much as a GET and counts as one; a request that the client
        repeats by itself counts once.
    """

    bytes_fetched: int = 0
    bytes_put: int = 0
    bytes_got: int = 0
    bytes_to_postgres: int = 0
    s3_puts: int = 0
    s3_gets: int = 0
    s3_lists: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def fetched(self, size: int) -> None:
        """Count an answer of a source."""
        with self._lock:
            self.bytes_fetched += size

    def put(self, size: int) -> None:
        """Count an object written."""
        with self._lock:
            self.s3_puts += 1
            self.bytes_put += size

    def got(self, size: int) -> None:
        """Count an object read; of its description alone, no byte."""
        with self._lock:
            self.s3_gets += 1
            self.bytes_got += size

    def listed(self, requests: int) -> None:
        """Count a listing, by its pages."""
        with self._lock:
            self.s3_lists += requests

    def copied(self, size: int) -> None:
        """Count rows copied to PostgreSQL."""
        with self._lock:
            self.bytes_to_postgres += size

    def take(self) -> dict[str, int]:
        """Return the counts by name, and begin again at nothing."""
        with self._lock:
            taken = {name: getattr(self, name) for name in COUNTED}
            for name in COUNTED:
                setattr(self, name, 0)
        return taken


COUNTED: Final = tuple(one.name for one in fields(Traffic) if not one.name.startswith("_"))
"""The names of the counts, as metadata and metrics have them."""


class _Own(threading.local):
    def __init__(self) -> None:
        self.traffic = Traffic()


_own = _Own()


def traffic() -> Traffic:
    """Return what this thread counts in."""
    return _own.traffic


def count_in(shared: Traffic) -> None:
    """Let this thread count in what another counts in."""
    _own.traffic = shared
