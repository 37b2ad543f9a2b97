"""What Power BI is handed: data source files (``.pbids``), by which Desktop opens a connection.

The format is Microsoft's ("Use PBIDS files to get data", learn.microsoft.com): one connection a file,
without tables and without authentication, for both of which Desktop asks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from fin_lake.engines.live import PostgresPlace

Mode = Literal["DirectQuery", "Import"]
VERSION: Final = "0.1"
ATHENA_DSN: Final = "fin_lake"
"""The ODBC data source that is set up on the machine with Desktop, for Amazon's driver."""


def postgres_connection(place: PostgresPlace, mode: Mode = "DirectQuery") -> bytes:
    """Return a ``.pbids`` for PostgreSQL, whose connector takes the port with the server."""
    address = {"server": f"{place.host}:{place.port}", "database": place.database}
    return _document({"protocol": "postgresql", "address": address}, mode)


def athena_connection(dsn: str = ATHENA_DSN, mode: Mode = "Import") -> bytes:
    """Return a ``.pbids`` for Athena by way of ODBC, which imports; region and results are the DSN's."""
    return _document({"protocol": "odbc", "address": {"options": {"dsn": dsn}}}, mode)


def _document(details: dict[str, Any], mode: Mode) -> bytes:
    connection = {"details": details, "options": {}, "mode": mode}
    return (json.dumps({"version": VERSION, "connections": [connection]}, indent=2) + "\n").encode()
