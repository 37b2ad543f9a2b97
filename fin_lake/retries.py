"""Which failures may heal if the step is merely run again, and how Dagster is asked to do so.

A time-out, a restarting server, a lock held too long: these pass. A wrong key, a missing bucket, a
broken law do not, and running them again only hides them. Errors say of themselves which they are:
``FinLakeError.heals``. What the clients of HTTP and S3 repeat by themselves within seconds has
failed all of those times before it comes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from fin_lake.errors import FinLakeError


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a step is run again, and after how many seconds: doubled each time.

    Parameters
    ----------
    most : int
        Runs after the first one.
    seconds : float
        Before the first of these.
    """

    most: int = 2
    seconds: float = 10

    @contextmanager
    def after(self, attempts: int) -> Iterator[None]:
        """Let the step be run again if the block fails with an error that may heal.

        Parameters
        ----------
        attempts : int
            How often the step has been run before this time.

        Raises
        ------
        dagster.RetryRequested
            In the place of the error, which is its cause.
        """
        try:
            yield
        except FinLakeError as error:
            if not error.heals or attempts >= self.most:
                raise
            raise self._request(attempts) from error

    def request(self, attempts: int) -> None:
        """Ask for the step to be run again, if it has not been run too often; return if it has."""
        if attempts < self.most:
            raise self._request(attempts)

    def _request(self, attempts: int) -> dg.RetryRequested:
        return dg.RetryRequested(self.most, self.seconds * 2**attempts)
