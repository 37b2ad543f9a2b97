"""Where a BI tool finds PostgreSQL and Athena, as the settings tell it; no password and no key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg

from fin_lake.errors import FinLakeError
from fin_lake.warehouse.reporting import READER, REPORTING

if TYPE_CHECKING:
    from fin_lake.settings import Settings

_ENCRYPTED: Final = ("require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """The reader's way into PostgreSQL."""

    host: str
    port: int
    database: str
    user: str = READER
    schema: str = REPORTING
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class AthenaPlace:
    """Athena's endpoint, where it puts results, and the Glue database."""

    region: str
    database: str
    workgroup: str
    results: str
    catalog: str = "AwsDataCatalog"

    @property
    def server(self) -> str:
        """The endpoint's host."""
        return f"athena.{self.region}.amazonaws.com"


def postgres_place(settings: Settings) -> PostgresPlace:
    """Return where the views are.

    Raises
    ------
    SettingsError
        No database is set.
    FinLakeError
        What is set is no PostgreSQL URL.
    """
    try:
        parts = psycopg.conninfo.conninfo_to_dict(settings.database())
    except psycopg.ProgrammingError:
        raise FinLakeError(
            "FIN_LAKE_DATABASE_URL is not a PostgreSQL URL",
            "write it like postgresql://user:password@host:5432/database",
        ) from None
    return PostgresPlace(
        host=str(parts.get("host", "localhost")),
        port=int(parts.get("port") or 5432),
        database=str(parts.get("dbname", "")),
        encrypted=parts.get("sslmode") in _ENCRYPTED,
    )


def athena_place(settings: Settings) -> AthenaPlace:
    """Return where the lake's tables are asked for in AWS."""
    return AthenaPlace(
        region=settings.aws_region,
        database=settings.glue_database,
        workgroup=settings.athena_workgroup,
        results=f"s3://{settings.bucket}/athena-results/",
    )
