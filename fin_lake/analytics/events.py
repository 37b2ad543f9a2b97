"""dbt's events as Dagster's: materializations, checks, log lines, and the failure of a step.

The translation is dagster-dbt's, fed with the events of an invocation in this process. Added is
what its subprocess cannot know: the compiled SQL of a test, and what the catalog says of a table.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import dagster as dg
from dagster_dbt import DagsterDbtTranslator
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

from fin_lake.analytics.runner import DbtEvent
from fin_lake.analytics.tables import LakeTables
from fin_lake.errors import FinLakeError

DagsterEvent: TypeAlias = dg.Output[None] | dg.AssetCheckResult | dg.AssetObservation
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_COLUMNS: Final = "dagster/column_schema"
_HEADINGS: Final = ("Runtime Error", "Database Error", "Compilation Error", "compiled code at")
_FAILED: Final = frozenset({"error", "fail", "runtime error", "partial success"})


@dataclass(frozen=True, slots=True)
class NodeFailure:
    """A node that failed: a model's name and Athena's message, or a test's and its count of rows."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class EventTranslation:
    """The events of one invocation, for one step.

    Parameters
    ----------
    context : AssetExecutionContext
        The step's.
    manifest : mapping
        The one from which the step's assets were built.
    translator : DagsterDbtTranslator
        The one by which they were.
    tables : LakeTables
        Where the models are kept.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        manifest: Mapping[str, Any],
        translator: DagsterDbtTranslator,
        tables: LakeTables,
    ) -> None:
        self._context = context
        self._manifest = manifest
        self._translator = translator
        self._tables = tables
        self._results: dict[str, DbtEvent] = {}
        self.failures: list[NodeFailure] = []
        self.skipped: list[str] = []

    def of(self, event: DbtEvent) -> Iterator[DagsterEvent]:
        """Yield what an event is in Dagster; a node's result is yielded when the node is finished."""
        if event.name != "NodeFinished":
            self._log(event)
            if event.name.endswith("Result") and event.node is not None:
                self._results[event.node.unique_id] = event
            return
        outcome, info = event.raw["data"]["run_result"], event.raw["data"]["node_info"]
        title = f"{info['resource_type']} {info['node_name']}"
        if outcome["status"] in _FAILED:
            self.failures.append(NodeFailure(title, reason_of(outcome)))
        elif outcome["status"] == "skipped":
            self.skipped.append(title)
        if result := self._results.pop(info["unique_id"], None):
            message = DbtCoreCliEventMessage(result.raw, event_history_metadata={})
            for made in message.to_default_asset_events(self._manifest, self._translator, self._context):
                yield self._enriched(made, event.node, outcome)

    def _enriched(self, made: Any, node: Any, outcome: Mapping[str, Any]) -> DagsterEvent:
        more: dict[str, Any] = {}
        if isinstance(made, dg.Output):
            more = self._table_metadata(node, outcome)
            self._describe_columns(node, more.pop(_COLUMNS, None))
        elif node.compiled_code:
            more = {"compiled_sql": dg.MetadataValue.md(f"```sql\n{node.compiled_code.strip()}\n```")}
        enriched: DagsterEvent = made.with_metadata({**made.metadata, **more})
        return enriched

    def _table_metadata(self, node: Any, outcome: Mapping[str, Any]) -> dict[str, Any]:
        more: dict[str, Any] = {}
        scanned = outcome.get("adapter_response", {}).get("data_scanned_in_bytes")
        if scanned is not None:
            more["bytes_scanned"] = int(scanned)
        try:
            facts = self._tables.facts(node.identifier)
        except FinLakeError as error:
            self._context.log.warning("%s was built, but %s", node.name, error)
            return more
        more[_COLUMNS] = facts.columns
        if facts.iceberg:
            more["dagster/row_count"] = facts.iceberg.rows
            more["files"] = facts.iceberg.files
            more["bytes"] = facts.iceberg.size
        return more

    def _describe_columns(self, node: Any, columns: dg.TableSchema | None) -> None:
        """Say a table's columns with the last hour alone: with each of a month's they weigh 5 MB a table."""
        if columns is None:
            return
        spec = self._translator.get_asset_spec(self._manifest, node.unique_id, None)
        last_hour = self._context.partition_key_range.end
        self._context.add_asset_metadata({_COLUMNS: columns}, asset_key=spec.key, partition_key=last_hour)

    def _log(self, event: DbtEvent) -> None:
        info = event.raw["info"]
        if event.name == "LogTestResult" and info["level"] == "info":
            return  # a test that passed is an event of its own, and each line costs a write
        if text := info["msg"].strip():
            self._context.log.log(_LEVELS.get(info["level"], logging.INFO), text)

    def raise_failures(self) -> None:
        """Raise if a node failed.

        Raises
        ------
        dagster.Failure
            With each failed node's name and reason, and what was skipped because of them.
        """
        if not self.failures:
            return
        skipped = f"; {len(self.skipped)} nodes were skipped for it" if self.skipped else ""
        raise dg.Failure(
            "; ".join(map(str, self.failures)) + skipped,
            metadata={"failed": [each.name for each in self.failures], "skipped": self.skipped},
            allow_retries=False,
        )


def reason_of(outcome: Mapping[str, Any]) -> str:
    """Return the engine's own words, without dbt's headings."""
    lines = [line.strip() for line in str(outcome.get("message") or outcome["status"]).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(_HEADINGS))
