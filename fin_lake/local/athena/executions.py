"""Query executions: queued, run, watched, stopped, and their results page by page."""

from __future__ import annotations

import threading
import time
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import duckdb

from fin_lake.local.athena.errors import ApiError, QueryFailed
from fin_lake.local.athena.results import Result, StatementType
from fin_lake.local.athena.session import DEFAULT_DATABASE, Engine, Session
from fin_lake.local.athena.statements import Statement, execute
from fin_lake.local.athena.words import Words
from fin_lake.local.athena.workgroups import ENGINE, PRIMARY, Workgroups

_KEPT: Final = 2_000
"""So many executions are remembered; the results of all of them lie in S3."""
_KEPT_ROWS: Final = 1_000_000
_SYSTEM: Final = 1
_PAGE: Final = 1_000


class State(StrEnum):
    """Athena's states."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(slots=True)
class Execution:
    """One execution; times in seconds since the epoch."""

    id: str
    request: dict[str, Any]
    group: dict[str, Any]
    output: str
    submitted: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    state: State = State.QUEUED
    result: Result | None = None
    error: QueryFailed | None = None
    session: Session | None = None
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def database(self) -> str:
        """Where names without a database are looked up."""
        return (self.request.get("QueryExecutionContext") or {}).get("Database") or DEFAULT_DATABASE

    @property
    def place(self) -> str:
        """The address of the result without its suffix."""
        return f"{self.output}{self.id}"


class Executions:
    """All executions of one engine.

    Parameters
    ----------
    engine : Engine
        What runs them.
    groups : Workgroups
        Their limits and result locations.
    workers : int
        How many run at a time.
    """

    def __init__(self, engine: Engine, groups: Workgroups, *, workers: int = 4) -> None:
        self._engine = engine
        self._groups = groups
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="query")
        self._lock = threading.Lock()
        self._all: OrderedDict[str, Execution] = OrderedDict()
        self._tokens: dict[str, str] = {}

    def start(self, request: dict[str, Any]) -> str:
        """Queue a query and return its id.

        Raises
        ------
        ApiError
            The workgroup is missing or disabled; there is no place for the result.
        """
        token = request.get("ClientRequestToken")
        with self._lock:
            if token in self._tokens:
                return self._tokens[token]
        group = self._groups.get(request.get("WorkGroup") or PRIMARY)
        if group["State"] != "ENABLED":
            raise ApiError("InvalidRequestException", f"WorkGroup {group['Name']} is disabled.")
        if not request["QueryString"].strip():
            raise ApiError("InvalidRequestException", "Query string is empty.")
        one = Execution(str(uuid.uuid4()), request, group, _output(request, group))
        with self._lock:
            self._all[one.id] = one
            if token:
                self._tokens[token] = one.id
            self._forget()
        self._pool.submit(self._run, one)
        return one.id

    def get(self, id_: str) -> Execution:
        """Return an execution.

        Raises
        ------
        ApiError
            There is none of that id.
        """
        with self._lock:
            found = self._all.get(id_)
        if found is None:
            raise ApiError("InvalidRequestException", f"QueryExecution {id_} was not found")
        return found

    def ids(self, group: str) -> list[str]:
        """Return the ids of a workgroup's executions, the latest first."""
        with self._lock:
            return [one.id for one in reversed(self._all.values()) if one.group["Name"] == group]

    def stop(self, id_: str) -> None:
        """Cancel an execution; one that is over stays as it is."""
        one = self.get(id_)
        with self._lock:
            if one.over.is_set():
                return
            self._end(one, State.CANCELLED)
        if one.session is not None:
            with suppress(duckdb.Error):  # it ended in this moment
                one.session.cursor.interrupt()

    def rows(self, id_: str, start: int, size: int) -> dict[str, Any]:
        """Return a page of a result as Athena's ``GetQueryResults`` does.

        Raises
        ------
        ApiError
            The query is not over or failed, or its rows are no longer kept here.
        """
        one = self.get(id_)
        if one.state is not State.SUCCEEDED or one.result is None:
            over = one.state in (State.FAILED, State.CANCELLED)
            said = "did not finish successfully. Final" if over else "has not yet finished. Current"
            raise ApiError("InvalidRequestException", f"Query {said} query state: {one.state}")
        result = one.result
        page, following = result.page(start, min(size or _PAGE, _PAGE))
        answer: dict[str, Any] = {
            "ResultSet": {
                "Rows": [
                    {"Data": [{} if value is None else {"VarCharValue": value} for value in row]}
                    for row in page
                ],
                "ResultSetMetadata": {"ColumnInfo": [column.as_json() for column in result.columns]},
            }
        }
        if result.update_count is not None:
            answer["UpdateCount"] = result.update_count
        if following is not None:
            answer["NextToken"] = str(following)
        return answer

    def _run(self, one: Execution) -> None:
        with self._lock:
            if one.over.is_set():  # cancelled while it waited
                return
            one.state, one.started = State.RUNNING, time.time()
        try:
            result = self._result(one)
            self._store(one, result)
        except QueryFailed as error:
            self._finish(one, State.FAILED, error=error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
            traceback.print_exc()
            what = f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}"
            self._finish(one, State.FAILED, error=QueryFailed(what, category=_SYSTEM))
        else:
            self._finish(one, State.SUCCEEDED, result=result)

    def _result(self, one: Execution) -> Result:
        words = Words(one.request["QueryString"])
        if words.begins("PREPARE") or words.begins("DEALLOCATE"):
            return self._prepare(one, words)
        statement = self._statement(one, words)
        limit = one.group["Configuration"].get("BytesScannedCutoffPerQuery")
        with self._engine.session(one.database, scan_limit=limit) as session:
            one.session = session
            try:
                return execute(session, statement)
            finally:
                one.session = None

    def _statement(self, one: Execution, words: Words) -> Statement:
        parameters: Sequence[str] = one.request.get("ExecutionParameters") or ()
        sql = one.request["QueryString"]
        if words.take("EXECUTE"):
            try:
                sql = self._groups.prepared(one.group["Name"], words.name())["QueryStatement"]
            except ApiError as error:
                raise QueryFailed(f"NOT_FOUND: {error}") from error
            if words.take("USING"):
                parameters = words.listed()
            words.expect_end()
        return Statement(sql, parameters, output=f"{one.output}tables/{one.id}")

    def _prepare(self, one: Execution, words: Words) -> Result:
        group = one.group["Name"]
        if words.take("PREPARE"):
            name = words.name()
            words.expect("FROM")
            self._groups.prepare(group, name, words.rest)
            return Result(StatementType.DDL, "PREPARE")
        words.expect("DEALLOCATE", "PREPARE")
        try:
            self._groups.forget(group, words.name())
        except ApiError as error:
            raise QueryFailed(f"NOT_FOUND: {error}") from error
        return Result(StatementType.DDL, "DEALLOCATE")

    def _store(self, one: Execution, result: Result) -> None:
        """Leave in S3 what Athena leaves there."""
        suffix, content = result.as_file()
        if content or suffix == ".csv":
            self._engine.objects.write(one.place + suffix, content)
        if result.update_count is not None:
            self._engine.objects.write(f"{one.place}-manifest.csv", result.manifest())

    def _finish(
        self, one: Execution, state: State, *, result: Result | None = None, error: QueryFailed | None = None
    ) -> None:
        with self._lock:
            if not one.over.is_set():
                one.result, one.error = result, error
                self._end(one, state)

    @staticmethod
    def _end(one: Execution, state: State) -> None:
        one.state, one.ended = state, time.time()
        one.over.set()

    def _forget(self) -> None:
        """Drop the oldest executions, and so their rows, beyond what is kept."""
        rows = sum(len(one.result.rows) for one in self._all.values() if one.result is not None)
        for id_, one in list(self._all.items()):
            if len(self._all) <= _KEPT and rows <= _KEPT_ROWS:
                return
            if one.over.is_set():
                rows -= len(one.result.rows) if one.result is not None else 0
                self._tokens.pop(one.request.get("ClientRequestToken", ""), None)
                del self._all[id_]


def described(one: Execution) -> dict[str, Any]:
    """Return an execution as Athena's ``GetQueryExecution`` does."""
    result, ended = one.result, one.ended or time.time()
    status: dict[str, Any] = {"State": one.state, "SubmissionDateTime": one.submitted}
    if one.ended is not None:
        status["CompletionDateTime"] = one.ended
    if one.error is not None:
        status["StateChangeReason"] = str(one.error)
        status["AthenaError"] = {
            "ErrorCategory": one.error.category,
            "ErrorType": one.error.error_type,
            "Retryable": False,
            "ErrorMessage": str(one.error),
        }
    statistics: dict[str, Any] = {
        "EngineExecutionTimeInMillis": round(1000 * (ended - (one.started or ended))),
        "DataScannedInBytes": result.scanned_bytes if result else 0,
        "TotalExecutionTimeInMillis": round(1000 * (ended - one.submitted)),
        "QueryQueueTimeInMillis": round(1000 * ((one.started or ended) - one.submitted)),
        "ServiceProcessingTimeInMillis": 0,
    }
    suffix = result.suffix if result else ".csv"
    if result is not None and result.update_count is not None:
        statistics["DataManifestLocation"] = f"{one.place}-manifest.csv"
    answer = {
        "QueryExecutionId": one.id,
        "Query": one.request["QueryString"],
        "ResultConfiguration": {"OutputLocation": one.place + suffix},
        "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}},
        "QueryExecutionContext": {"Database": one.database, "Catalog": "awsdatacatalog"},
        "Status": status,
        "Statistics": statistics | {"ResultReuseInformation": {"ReusedPreviousResult": False}},
        "WorkGroup": one.group["Name"],
        "EngineVersion": ENGINE,
    }
    if parameters := one.request.get("ExecutionParameters"):
        answer["ExecutionParameters"] = parameters
    if result is not None:
        answer |= {"StatementType": result.statement, "SubstatementType": result.substatement}
    return answer


def _output(request: dict[str, Any], group: dict[str, Any]) -> str:
    """Return the folder of the result, with a slash at its end."""
    asked = (request.get("ResultConfiguration") or {}).get("OutputLocation")
    configuration = group["Configuration"]
    set_ = (configuration.get("ResultConfiguration") or {}).get("OutputLocation")
    chosen = (set_ or asked) if configuration.get("EnforceWorkGroupConfiguration") else (asked or set_)
    if not chosen:
        raise ApiError(
            "InvalidRequestException",
            "No output location provided. An output location is required either through the Workgroup result"
            " configuration setting or as an API input.",
        )
    if not chosen.startswith("s3://"):
        raise ApiError("InvalidRequestException", f"outputLocation is not a valid S3 path: {chosen}")
    return str(chosen).rstrip("/") + "/"
