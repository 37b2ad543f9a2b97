"""Queries on Athena: started, waited for, stopped when interrupted, and read row by row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fin_lake.clients import aws_client
from fin_lake.errors import FinLakeError

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

    from fin_lake.settings import Settings

_POLL_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_CONFIG: Final = Config(retries={"mode": "standard", "max_attempts": 5}, tcp_keepalive=True)


class AthenaError(FinLakeError):
    """A query that failed, or an Athena that cannot be asked."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result: its name, and its type as Athena calls it."""

    name: str
    type: str


class Answer:
    """A finished query.

    Parameters
    ----------
    client : AthenaClient
        Where the rows are read from, page by page, when they are asked for.
    execution : dict
        Athena's ``QueryExecution``.
    """

    def __init__(self, client: AthenaClient, execution: Any) -> None:
        self._client = client
        self._execution = execution
        self.columns: tuple[Column, ...] = ()
        self._pages = self._read()
        self._first = next(self._pages, [])

    @property
    def id(self) -> str:
        """The execution's id, by which AWS's console finds it."""
        return str(self._execution["QueryExecutionId"])

    @property
    def scanned_bytes(self) -> int:
        """How much it read, which is what AWS charges for."""
        return int(self._execution.get("Statistics", {}).get("DataScannedInBytes", 0))

    @property
    def seconds(self) -> float:
        """How long it took, queue included."""
        return float(self._execution.get("Statistics", {}).get("TotalExecutionTimeInMillis", 0)) / 1000

    def rows(self) -> Iterator[tuple[str | None, ...]]:
        """Yield the rows once; values are text as Athena prints them, null is ``None``."""
        yield from self._first
        for page in self._pages:
            yield from page

    def _read(self) -> Iterator[list[tuple[str | None, ...]]]:
        pages = self._client.get_paginator("get_query_results").paginate(QueryExecutionId=self.id)
        # of the statements only a query's result begins with the columns' names
        header = self._execution.get("SubstatementType") == "SELECT" or (
            self._execution.get("StatementType") == "DML" and "SubstatementType" not in self._execution
        )
        for page in pages:
            found = page["ResultSet"]
            described = found.get("ResultSetMetadata", {}).get("ColumnInfo", [])
            self.columns = tuple(Column(one["Name"], one["Type"]) for one in described)
            rows = [
                tuple(cell.get("VarCharValue") for cell in row.get("Data", []))
                for row in found.get("Rows", [])
            ]
            yield rows[1:] if header else rows
            header = False


class Athena:
    """Athena, as the settings name it.

    Parameters
    ----------
    settings : Settings
        Endpoint, credentials, workgroup, default database, and the bucket for results.
    """

    def __init__(self, settings: Settings) -> None:
        settings.require_services()
        self._settings = settings
        self._client: AthenaClient = aws_client(settings, "athena", settings.athena_endpoint_url, _CONFIG)

    def run(
        self,
        sql: str,
        parameters: Sequence[str] = (),
        *,
        database: str | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Answer:
        """Run a statement and wait for its end.

        Parameters
        ----------
        parameters : sequence of str
            SQL literals for its question marks: ``'AAPL'`` with its quotes.
        database : str, optional
            Where names without a database are looked up; the lake's by default.
        progress : callable
            Is told the state.

        Raises
        ------
        AthenaError
            The statement failed, or Athena cannot be reached.
        """
        asked: dict[str, Any] = {
            "QueryString": sql,
            "QueryExecutionContext": {
                "Catalog": "AwsDataCatalog",
                "Database": database or self._settings.glue_database,
            },
            "WorkGroup": self._settings.athena_workgroup,
            "ResultConfiguration": self._results(),
        }
        if parameters:
            asked["ExecutionParameters"] = list(parameters)
        try:
            id_ = self._client.start_query_execution(**asked)["QueryExecutionId"]
            return Answer(self._client, self._wait(id_, progress))
        except ClientError as error:
            told = error.response["Error"]
            raise AthenaError(f"Athena refuses: {told['Code']}: {told['Message']}") from None
        except BotoCoreError as error:
            remedy = (
                "start the local stack with `fin-lake up`"
                if self._settings.profile == "local"
                else "check credentials, AWS_DEFAULT_REGION and the network"
            )
            raise AthenaError(f"Athena cannot be asked: {error}", remedy) from None

    def _results(self) -> dict[str, Any]:
        place: dict[str, Any] = {"OutputLocation": f"s3://{self._settings.bucket}/athena-results/"}
        if self._settings.kms_key:
            place["EncryptionConfiguration"] = {
                "EncryptionOption": "SSE_KMS",
                "KmsKey": self._settings.kms_key,
            }
        return place

    def _wait(self, id_: str, progress: Callable[[str], None]) -> Any:
        attempt = 0
        try:
            while True:
                execution = self._client.get_query_execution(QueryExecutionId=id_)["QueryExecution"]
                status = execution["Status"]
                if status["State"] == "SUCCEEDED":
                    return execution
                if status["State"] in ("FAILED", "CANCELLED"):
                    raise AthenaError(f"{status['State'].lower()}: {status.get('StateChangeReason', '')}")
                progress(status["State"].lower())
                time.sleep(_POLL_SECONDS[min(attempt, len(_POLL_SECONDS) - 1)])
                attempt += 1
        except KeyboardInterrupt:
            self._client.stop_query_execution(QueryExecutionId=id_)  # it would go on, and cost
            raise
