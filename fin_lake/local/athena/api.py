"""The Athena API: each operation, from Athena's request to Athena's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fin_lake.local.athena.errors import ApiError, QueryFailed
from fin_lake.local.athena.executions import Executions, described
from fin_lake.local.athena.glue_tables import CATALOG, GlueTable, TableName
from fin_lake.local.athena.json_protocol import Answer, Request, page, position, require_valid
from fin_lake.local.athena.metastore import Metastore
from fin_lake.local.athena.workgroups import ENGINE, PRIMARY, Workgroups

_HOLD_SECONDS: Final = 1.0
"""How long GetQueryExecution waits for a query to end before it says RUNNING: clients that poll by the
second would wait for most of it in vain."""
_BATCH: Final = 50
_INVALID: Final = "InvalidRequestException"


class AthenaApi:
    """Athena's operations.

    Parameters
    ----------
    executions : Executions
        Queries.
    groups : Workgroups
        Workgroups and prepared statements.
    metastore : Metastore
        The catalog.
    account : str
        The account's number, which is the Glue catalog's id.
    """

    def __init__(
        self, executions: Executions, groups: Workgroups, metastore: Metastore, *, account: str
    ) -> None:
        self._executions = executions
        self._groups = groups
        self._metastore = metastore
        self._account = account
        self._operations: Mapping[str, Callable[[Request], Answer]] = {
            "StartQueryExecution": self._start,
            "GetQueryExecution": self._get,
            "BatchGetQueryExecution": self._get_many,
            "ListQueryExecutions": self._list,
            "StopQueryExecution": _quiet(lambda asked: executions.stop(asked["QueryExecutionId"])),
            "GetQueryResults": self._results,
            "GetQueryRuntimeStatistics": self._statistics,
            "GetWorkGroup": lambda asked: {"WorkGroup": groups.get(asked["WorkGroup"])},
            "ListWorkGroups": self._list_groups,
            "CreateWorkGroup": _quiet(groups.create),
            "UpdateWorkGroup": _quiet(groups.update),
            "DeleteWorkGroup": _quiet(lambda asked: groups.delete(asked["WorkGroup"])),
            "CreatePreparedStatement": self._prepare,
            "UpdatePreparedStatement": self._prepare,
            "GetPreparedStatement": self._prepared,
            "ListPreparedStatements": self._list_prepared,
            "DeletePreparedStatement": _quiet(
                lambda asked: groups.forget(asked["WorkGroup"], asked["StatementName"])
            ),
            "GetDataCatalog": self._catalog,
            "ListDataCatalogs": lambda _: {
                "DataCatalogsSummary": [{"CatalogName": "AwsDataCatalog", "Type": "GLUE"}]
            },
            "ListDatabases": lambda _: {"DatabaseList": [{"Name": name} for name in metastore.databases()]},
            "GetDatabase": self._database,
            "GetTableMetadata": self._table,
            "ListTableMetadata": self._tables,
            "ListEngineVersions": lambda _: {"EngineVersions": [ENGINE]},
            "ListTagsForResource": lambda _: {"Tags": []},
        }

    def call(self, operation: str, request: Request) -> Answer:
        """Carry out an operation.

        Raises
        ------
        ApiError
            It is refused, or not offered here.
        """
        carry_out = self._operations.get(operation)
        if carry_out is None:
            raise ApiError("InvalidRequestException", f"the local Athena does not offer {operation}")
        require_valid("athena", operation, request, code=_INVALID)
        return carry_out(request)

    def _start(self, asked: Request) -> Answer:
        return {"QueryExecutionId": self._executions.start(asked)}

    def _get(self, asked: Request) -> Answer:
        one = self._executions.get(asked["QueryExecutionId"])
        one.over.wait(_HOLD_SECONDS)
        return {"QueryExecution": described(one)}

    def _get_many(self, asked: Request) -> Answer:
        found, missing = [], []
        for id_ in asked["QueryExecutionIds"]:
            try:
                found.append(described(self._executions.get(id_)))
            except ApiError as error:
                missing.append({"QueryExecutionId": id_, "ErrorCode": error.code, "ErrorMessage": str(error)})
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing}

    def _list(self, asked: Request) -> Answer:
        ids = self._executions.ids(asked.get("WorkGroup") or PRIMARY)
        return _page(asked, ids, "QueryExecutionIds")

    def _results(self, asked: Request) -> Answer:
        start = position(asked, code=_INVALID)
        return self._executions.rows(asked["QueryExecutionId"], start, asked.get("MaxResults") or 0)

    def _statistics(self, asked: Request) -> Answer:
        one = self._executions.get(asked["QueryExecutionId"])
        found = described(one)["Statistics"]
        timeline = {key: value for key, value in found.items() if key.endswith("Millis")}
        rows = {"InputBytes": found["DataScannedInBytes"], "InputRows": 0, "OutputBytes": 0}
        rows["OutputRows"] = len(one.result.rows) if one.result is not None else 0
        return {"QueryRuntimeStatistics": {"Timeline": timeline, "Rows": rows}}

    def _list_groups(self, asked: Request) -> Answer:
        shown = ("Name", "State", "Description", "CreationTime")
        groups = [{key: one[key] for key in shown} for one in self._groups.all()]
        return _page(asked, groups, "WorkGroups")

    def _prepare(self, asked: Request) -> Answer:
        self._groups.prepare(
            asked["WorkGroup"],
            asked["StatementName"],
            asked["QueryStatement"],
            asked.get("Description", ""),
        )
        return {}

    def _prepared(self, asked: Request) -> Answer:
        return {"PreparedStatement": self._groups.prepared(asked["WorkGroup"], asked["StatementName"])}

    def _list_prepared(self, asked: Request) -> Answer:
        shown = ("StatementName", "LastModifiedTime")
        found = [{key: one[key] for key in shown} for one in self._groups.all_prepared(asked["WorkGroup"])]
        return _page(asked, found, "PreparedStatements")

    def _catalog(self, asked: Request) -> Answer:
        if asked["Name"].lower() != CATALOG:
            raise ApiError("InvalidRequestException", f"DataCatalog {asked['Name']} was not found")
        described_ = {"Name": asked["Name"], "Type": "GLUE", "Parameters": {"catalog-id": self._account}}
        return {"DataCatalog": described_}

    def _database(self, asked: Request) -> Answer:
        if asked["DatabaseName"].lower() not in self._metastore.databases():
            raise ApiError("MetadataException", f"Database {asked['DatabaseName']} not found")
        return {"Database": {"Name": asked["DatabaseName"].lower()}}

    def _table(self, asked: Request) -> Answer:
        found = self._metastore.find(TableName(asked["DatabaseName"].lower(), asked["TableName"].lower()))
        if found is None:
            raise ApiError("MetadataException", f"Table {asked['TableName']} not found")
        return {"TableMetadata": _metadata(found)}

    def _tables(self, asked: Request) -> Answer:
        try:
            found = self._metastore.tables(asked["DatabaseName"].lower())
        except QueryFailed as error:
            raise ApiError("MetadataException", str(error)) from error
        return _page(asked, [_metadata(one) for one in found], "TableMetadataList")


def _metadata(table: GlueTable) -> Answer:
    return {
        "Name": table.name.name,
        "TableType": table.described.get("TableType", "EXTERNAL_TABLE"),
        "Columns": [{"Name": name, "Type": type_} for name, type_ in table.columns],
        "PartitionKeys": [{"Name": name, "Type": type_} for name, type_ in table.partition_keys],
        "Parameters": table.described.get("Parameters", {}),
    }


def _page(asked: Request, items: list[Any], name: str) -> Answer:
    return page(asked, name, items, _BATCH, code=_INVALID)


def _quiet(do: Callable[[Request], None]) -> Callable[[Request], Answer]:
    """Return an operation that answers with nothing."""

    def carry_out(asked: Request) -> Answer:
        do(asked)
        return {}

    return carry_out
