"""Dagster's event log in PostgreSQL, with some of dagster-postgres's habits mended.

A run of many hours plans one event for each hour of each table. dagster-postgres stores those one
by one, each over a connection of its own: 18 ms an event, a minute and a half for a month of eight
tables. What it does store by the batch, it writes as one statement with thousands of parameters, which
SQLAlchemy composes anew each time. A check's plan it serializes for each of its hours, though all are
the same; and what columns a table has it asks the server, at each event.

A step that waits for its pool spins, one core full, and looks ever less often whether its turn has come.
Of two runs that are the first of a pool at the same moment one fails: the pool is inserted, and updated
if that fails, in one transaction, which PostgreSQL then has aborted. And two steps that claim the last
slot of a pool within milliseconds both get it: the row's lock ends with the statement that reads it, for
the connection commits each by itself.

``dagster.yaml`` names this class in its place.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import sqlalchemy
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.utils import pg_url_from_config
from dagster_shared.serdes import serialize_value
from sqlalchemy.exc import DBAPIError

from fin_lake.operations.connections import pooled
from fin_lake.operations.dead_runs import report_dead_runs

if TYPE_CHECKING:
    from dagster._utils.concurrency import ConcurrencyClaimStatus

_OF_HOURS: Final = (
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
)
_SLOT_POLL_SECONDS: Final = 0.25
_DEAD_RUNS_SECONDS: Final = 5.0
_ABORTED_TRANSACTION: Final = "25P02"  # in_failed_sql_transaction, PostgreSQL's error codes


class BatchedEventLogStorage(PostgresEventLogStorage):
    """dagster-postgres's event log: events of hours by the batch, kept connections, patience for slots."""

    _dead_runs_sought = 0.0

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        self._engine = pooled(postgres_url)
        self._there: set[str] = set()

    def dispose(self) -> None:
        """Close the connections that are not in use."""
        super().dispose()
        self._engine.dispose()

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchedEventLogStorage:
        """Return the storage that ``dagster.yaml`` configures; the parent would return itself."""
        return cls(postgres_url=pg_url_from_config(config_value), inst_data=inst_data)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events: those of assets' hours in few statements, others as the parent does."""
        of_hours = [event for event in events if event.dagster_event_type in _OF_HOURS]
        others = [event for event in events if event.dagster_event_type not in _OF_HOURS]
        if of_hours:
            self._store_events_of_hours(of_hours)
        if others:
            super().store_event_batch(others)

    def _store_events_of_hours(self, events: Sequence[dg.EventLogEntry]) -> None:
        rows = [self._event_to_row(event) for event in events]
        # with rows beside the statement, not in it, its text is composed once
        insert = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        with self._connect() as connection:
            ids = [int(row[0]) for row in connection.execute(insert, rows).fetchall()]
        last_of_asset = {
            event.get_dagster_event().asset_key: (event, event_id)
            for event, event_id in zip(events, ids, strict=True)
        }
        with self.index_transaction() as connection:
            self._store_asset_event_tags(connection, events, ids)
            for event, event_id in last_of_asset.values():
                self._store_asset_event(connection, event, event_id)

    def _store_asset_check_evaluation_planned(self, event: dg.EventLogEntry, event_id: int | None) -> None:
        """Plan a check of each hour."""
        planned: Any = event.get_dagster_event().event_specific_data
        subset = planned.partitions_subset
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(event),
            "evaluation_event_timestamp": self._event_insert_timestamp(event),  # type: ignore[no-untyped-call]
            "evaluation_event_storage_id": event_id,
        }
        rows = [row | {"partition": hour} for hour in (subset.get_partition_keys() if subset else [None])]
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), rows)

    def _has_asset_key_col_on_connection(self, conn: Any, column_name: str) -> bool:
        return column_name in self._there or self._noted(
            column_name, there=super()._has_asset_key_col_on_connection(conn, column_name)
        )

    def has_asset_key_col(self, column_name: str) -> bool:
        """Say whether the table of assets has a column."""
        return column_name in self._there or bool(super().has_asset_key_col(column_name))

    def has_table(self, table_name: str) -> bool:
        """Say whether there is a table."""
        return table_name in self._there or self._noted(table_name, there=super().has_table(table_name))

    def _noted(self, name: str, *, there: bool) -> bool:
        """Remember what is there: it stays."""
        if there:
            self._there.add(name)
        return there

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
