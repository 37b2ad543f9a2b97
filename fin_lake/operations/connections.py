"""Connections to Dagster's own storage that are kept, and the run storage that keeps them.

dagster-postgres opens a connection for every statement, outside of its web server: 5 to 10 ms each, more
than most of the statements take, and a run of one hour has some six hundred of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dagster._serdes import ConfigurableClassData
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import Engine, create_engine

_KEPT: Final = 2  # of a process and storage; more are opened when threads need them, and closed after use


def pooled(url: str) -> Engine:
    """Return an engine as dagster-postgres makes it, but for its pool.

    A connection that a restart of the server has broken is noticed before it is used.
    """
    return create_engine(
        url, isolation_level="AUTOCOMMIT", pool_size=_KEPT, max_overflow=-1, pool_pre_ping=True
    )


class PooledRunStorage(PostgresRunStorage):
    """dagster-postgres's run storage, with connections that are kept."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        self._engine = pooled(postgres_url)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledRunStorage:
        """Return the storage that ``dagster.yaml`` configures; the parent would return itself."""
        return cls(postgres_url=pg_url_from_config(config_value), inst_data=inst_data)

    def dispose(self) -> None:
        """Close the connections that are not in use."""
        super().dispose()
        self._engine.dispose()
