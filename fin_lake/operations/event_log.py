"""Dagster's event log in PostgreSQL, with four of dagster-postgres's habits mended.

A run of many hours plans one event for each hour of each table. dagster-postgres stores those one
by one, each over a connection of its own: 18 ms an event, a minute and a half for a month of eight
tables. A step that waits for its pool spins, one core full, and looks ever less often whether its
turn has come. And of two runs that are the first of a pool at the same moment one fails: the pool is
inserted, and updated if that fails, in one transaction, which PostgreSQL then has aborted. And two steps
that claim the last slot of a pool within milliseconds both get it: the row's lock ends with the statement
that reads it, for the connection commits each by itself.
``dagster.yaml`` names this class in its place.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import sqlalchemy
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy.exc import DBAPIError

from fin_lake.operations.dead_runs import report_dead_runs

if TYPE_CHECKING:
    from dagster._utils.concurrency import ConcurrencyClaimStatus

_PLANNED: Final = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
_SLOT_POLL_SECONDS: Final = 0.25
_DEAD_RUNS_SECONDS: Final = 5.0
_ABORTED_TRANSACTION: Final = "25P02"  # in_failed_sql_transaction, PostgreSQL's error codes


class BatchedEventLogStorage(PostgresEventLogStorage):
    """dagster-postgres's event log: planned materializations by the batch, and patience for slots."""

    _dead_runs_sought = 0.0

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchedEventLogStorage:
        """Return the storage that ``dagster.yaml`` configures; the parent would return itself."""
        return cls(postgres_url=pg_url_from_config(config_value), inst_data=inst_data)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events; planned materializations in one insert, others as the parent does."""
        planned = [event for event in events if event.dagster_event_type is _PLANNED]
        others = [event for event in events if event.dagster_event_type is not _PLANNED]
        if planned:
            self._store_planned(planned)
        if others:
            super().store_event_batch(others)

    def _store_planned(self, events: Sequence[dg.EventLogEntry]) -> None:
        insert = self.prepare_insert_event_batch(events).returning(SqlEventLogStorageTable.c.id)
        with self._connect() as connection:
            ids = [int(row[0]) for row in connection.execute(insert).fetchall()]
        last_of_asset = {
            event.get_dagster_event().asset_key: (event, event_id)
            for event, event_id in zip(events, ids, strict=True)
        }
        with self.index_transaction() as connection:
            self._store_asset_event_tags(connection, events, ids)
            for event, event_id in last_of_asset.values():
                self._store_asset_event(connection, event, event_id)

    def initialize_concurrency_limit_to_default(self, concurrency_key: str) -> bool:
        """Make a pool; that another process made it first is no failure."""
        try:
            return bool(super().initialize_concurrency_limit_to_default(concurrency_key))
        except DBAPIError as error:
            # the insert waited for the other's commit: the pool and its slots are there
            if getattr(error.orig, "pgcode", None) != _ABORTED_TRANSACTION:
                raise
            return True

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        """Claim a slot of a pool for a step; wait a moment if there is none.

        Whoever holds the slot may have been killed: such runs are sought now and then.
        """
        with self._turn(concurrency_key):
            status: ConcurrencyClaimStatus = super().claim_concurrency_slot(
                concurrency_key, run_id, step_key, priority
            )
        if status.is_claimed:
            return status
        if time.monotonic() - self._dead_runs_sought > _DEAD_RUNS_SECONDS:
            self._dead_runs_sought = time.monotonic()
            report_dead_runs(self._instance)
        # the executor asks again at once: Dagster reckons a pause here and does not make it
        time.sleep(_SLOT_POLL_SECONDS)
        waiting: ConcurrencyClaimStatus = status.with_sleep_interval(0.0)
        return waiting

    @contextmanager
    def _turn(self, concurrency_key: str) -> Iterator[None]:
        """Wait until nobody else claims a slot of the pool, and keep others waiting meanwhile."""
        lock = sqlalchemy.text("select pg_advisory_xact_lock(hashtextextended(:pool, 0))")
        with self.index_transaction() as connection:
            connection.execute(lock, {"pool": f"pool {concurrency_key}"})
            yield
