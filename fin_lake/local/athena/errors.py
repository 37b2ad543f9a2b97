"""Failures as Athena reports them.

A query that fails carries ``AthenaError`` with an error message that clients match by text: dbt looks
for ``TOO_MANY_OPEN_PARTITIONS`` and ``ICEBERG_COMMIT_ERROR``. A call that fails is another matter: it
is answered by an HTTP status and an exception's name.
"""

from __future__ import annotations

from typing import Final

USER: Final = 2
"""Athena's category of errors that the query's author can mend; 1 is the system's own."""
ICEBERG_COMMIT: Final = 233
_GENERIC: Final = 1


class QueryFailed(Exception):  # noqa: N818 - what has happened, as Athena's state FAILED says
    """A query failed.

    Parameters
    ----------
    message : str
        As Athena words it: ``COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved``.
    category : int
        Athena's ``ErrorCategory``: 1 system, 2 user, 3 other.
    error_type : int
        Athena's ``ErrorType``.
    """

    def __init__(self, message: str, *, category: int = USER, error_type: int = _GENERIC) -> None:
        super().__init__(message)
        self.category = category
        self.error_type = error_type


def unsupported(what: str) -> QueryFailed:
    """Return the failure of a query that Athena would run and this service cannot.

    Parameters
    ----------
    what : str
        The function, clause or statement, by its name in SQL.
    """
    return QueryFailed(f"NOT_SUPPORTED: {what} is not supported by the local Athena")


class ApiError(Exception):
    """A refused call.

    Parameters
    ----------
    code : str
        The exception's name in the service's API: ``InvalidRequestException``.
    message : str
        What is wrong.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
