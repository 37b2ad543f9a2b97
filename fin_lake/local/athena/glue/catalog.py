"""Databases, tables, their versions and partitions, kept in SQLite."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from fin_lake.local.athena.errors import ApiError
from fin_lake.local.athena.glue.expressions import matching
from fin_lake.local.athena.json_protocol import Answer, Request, page, require_valid

ACCOUNT: Final = "000000000000"
_SCHEMA: Final = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists databases (name text primary key, described text not null);
create table if not exists tables (
    database text, name text, described text not null, primary key (database, name)
);
create table if not exists versions (
    database text, name text, version integer, described text not null,
    primary key (database, name, version)
);
create table if not exists partitions (
    database text, name text, "values" text, described text not null,
    primary key (database, name, "values")
);
"""
_PAGE: Final = 100
_PARTITION_PAGE: Final = 1000
_CREATED_AT_ONCE: Final = 100
_DELETED_AT_ONCE: Final = 25

_INVALID: Final = "InvalidInputException"


class GlueCatalog:
    """A Glue Data Catalog.

    Parameters
    ----------
    path : pathlib.Path
        The SQLite file. Each call is one transaction: after a crash a call has happened or has not.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._operations: dict[str, Callable[[Request], Answer]] = {
            name: getattr(self, f"_{_snake(name)}") for name in _OFFERED
        }

    def call(self, operation: str, request: Request) -> Answer:
        """Carry out an operation.

        Raises
        ------
        ApiError
            It is refused, with Glue's exception names, or not offered here.
        """
        carry_out = self._operations.get(operation)
        if carry_out is None:
            raise ApiError("OperationNotSupportedException", f"the local Glue does not offer {operation}")
        require_valid("glue", operation, request, code=_INVALID)
        with self._lock:
            self._db.execute("begin immediate")
            try:
                answer = carry_out(request)
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")
            return answer

    # databases

    def _create_database(self, asked: Request) -> Answer:
        given = asked["DatabaseInput"]
        name = given["Name"].lower()
        if self._one("select 1 from databases where name = ?", name):
            raise ApiError("AlreadyExistsException", f"Database {name} already exists.")
        described = {**given, "Name": name, "CreateTime": time.time(), "CatalogId": ACCOUNT}
        self._db.execute("insert into databases values (?, ?)", (name, json.dumps(described)))
        return {}

    def _get_database(self, asked: Request) -> Answer:
        return {"Database": self._database(asked["Name"])}

    def _get_databases(self, asked: Request) -> Answer:
        rows = self._db.execute("select described from databases order by name")
        return _page(asked, "DatabaseList", [json.loads(one) for (one,) in rows], _PAGE)

    def _update_database(self, asked: Request) -> Answer:
        old = self._database(asked["Name"])
        new = {**asked["DatabaseInput"], "Name": old["Name"]}
        described = {**new, "CreateTime": old["CreateTime"], "CatalogId": ACCOUNT}
        self._db.execute(
            "update databases set described = ? where name = ?", (json.dumps(described), old["Name"])
        )
        return {}

    def _delete_database(self, asked: Request) -> Answer:
        name = self._database(asked["Name"])["Name"]
        for table in ("tables", "versions", "partitions"):
            self._db.execute(f"delete from {table} where database = ?", (name,))  # noqa: S608
        self._db.execute("delete from databases where name = ?", (name,))
        return {}

    # tables

    def _create_table(self, asked: Request) -> Answer:
        database, given = self._database(asked["DatabaseName"])["Name"], asked["TableInput"]
        name = given["Name"].lower()
        if self._one("select 1 from tables where database = ? and name = ?", database, name):
            raise ApiError("AlreadyExistsException", f"Table {name} already exists.")
        self._store(database, given, version=0, created=time.time())
        return {}

    def _get_table(self, asked: Request) -> Answer:
        return {"Table": self._table(asked["DatabaseName"], asked["Name"])}

    def _get_tables(self, asked: Request) -> Answer:
        found = self._tables(asked["DatabaseName"])
        if pattern := asked.get("Expression"):
            wanted = re.compile(pattern if ".*" in pattern else pattern.replace("*", ".*"), re.IGNORECASE)
            found = [one for one in found if wanted.fullmatch(one["Name"])]
        return _page(asked, "TableList", found, _PAGE)

    def _search_tables(self, asked: Request) -> Answer:
        text = (asked.get("SearchText") or "").lower().strip('"')
        names = [one for (one,) in self._db.execute("select name from databases order by name")]
        found = [one for name in names for one in self._tables(name) if text in one["Name"]]
        for condition in asked.get("Filters") or ():
            key, value = condition["Key"], condition.get("Value", "").lower()
            found = [one for one in found if str(one.get(key, "")).lower() == value]
        return _page(asked, "TableList", found, _PAGE)

    def _update_table(self, asked: Request) -> Answer:
        given = asked.get("TableInput") or {}
        old = self._table(asked["DatabaseName"], given["Name"])
        version = int(old["VersionId"])
        if asked.get("VersionId") and int(asked["VersionId"]) != version:
            raise ApiError(
                "ConcurrentModificationException",
                f"Update table failed due to concurrent modifications: version {asked['VersionId']} was"
                f" asked, {version} is current.",
            )
        if asked.get("SkipArchive"):
            self._db.execute(
                "delete from versions where database = ? and name = ? and version = ?",
                (old["DatabaseName"], old["Name"], version),
            )
        self._store(old["DatabaseName"], given, version=version + 1, created=old["CreateTime"])
        return {}

    def _delete_table(self, asked: Request) -> Answer:
        table = self._table(asked["DatabaseName"], asked["Name"])
        for kind in ("tables", "versions", "partitions"):
            self._db.execute(
                f"delete from {kind} where database = ? and name = ?",  # noqa: S608
                (table["DatabaseName"], table["Name"]),
            )
        return {}

    def _batch_delete_table(self, asked: Request) -> Answer:
        def delete(name: str) -> None:
            self._delete_table({"DatabaseName": asked["DatabaseName"], "Name": name})

        return {"Errors": _each(asked["TablesToDelete"], delete, lambda name: {"TableName": name})}

    def _get_table_version(self, asked: Request) -> Answer:
        versions = self._versions(asked)
        wanted = asked.get("VersionId") or (versions[0]["VersionId"] if versions else "")
        for one in versions:
            if one["VersionId"] == str(wanted):
                return {"TableVersion": one}
        raise ApiError("EntityNotFoundException", f"Version {wanted} not found.")

    def _get_table_versions(self, asked: Request) -> Answer:
        return _page(asked, "TableVersions", self._versions(asked), _PAGE)

    def _delete_table_version(self, asked: Request) -> Answer:
        table = self._table(asked["DatabaseName"], asked["TableName"])
        deleted = self._db.execute(
            "delete from versions where database = ? and name = ? and version = ?",
            (table["DatabaseName"], table["Name"], int(asked["VersionId"])),
        )
        if not deleted.rowcount:
            raise ApiError("EntityNotFoundException", f"Version {asked['VersionId']} not found.")
        return {}

    def _batch_delete_table_version(self, asked: Request) -> Answer:
        def delete(version: str) -> None:
            self._delete_table_version({**asked, "VersionId": version})

        name = asked["TableName"]
        return {
            "Errors": _each(asked["VersionIds"], delete, lambda one: {"TableName": name, "VersionId": one})
        }

    # partitions

    def _create_partition(self, asked: Request) -> Answer:
        table = self._table(asked["DatabaseName"], asked["TableName"])
        self._add(table, asked["PartitionInput"])
        return {}

    def _batch_create_partition(self, asked: Request) -> Answer:
        inputs = asked["PartitionInputList"]
        if len(inputs) > _CREATED_AT_ONCE:
            raise _too_many("partitionInputList", _CREATED_AT_ONCE)
        table = self._table(asked["DatabaseName"], asked["TableName"])
        errors = _each(
            inputs,
            lambda one: self._add(table, one),
            lambda one: {"PartitionValues": one.get("Values", [])},
        )
        return {"Errors": errors}

    def _get_partition(self, asked: Request) -> Answer:
        table = self._table(asked["DatabaseName"], asked["TableName"])
        return {"Partition": self._partition(table, asked["PartitionValues"])}

    def _get_partitions(self, asked: Request) -> Answer:
        table = self._table(asked["DatabaseName"], asked["TableName"])
        rows = self._db.execute(
            'select "values", described from partitions where database = ? and name = ? order by rowid',
            (table["DatabaseName"], table["Name"]),
        ).fetchall()
        if expression := asked.get("Expression"):
            keys = [(one["Name"].lower(), one["Type"].lower()) for one in table["PartitionKeys"]]
            chosen = matching(keys, [json.loads(values) for values, _ in rows], expression)
            rows = [rows[index] for index in chosen]
        answer = _page(asked, "Partitions", rows, _PARTITION_PAGE)
        answer["Partitions"] = [json.loads(described) for _, described in answer["Partitions"]]
        if asked.get("ExcludeColumnSchema"):
            for one in answer["Partitions"]:
                one.get("StorageDescriptor", {}).pop("Columns", None)
        return answer

    def _batch_get_partition(self, asked: Request) -> Answer:
        table, found, missing = self._table(asked["DatabaseName"], asked["TableName"]), [], []
        for one in asked["PartitionsToGet"]:
            try:
                found.append(self._partition(table, one["Values"]))
            except ApiError:
                missing.append(one)
        return {"Partitions": found, "UnprocessedKeys": missing}

    def _update_partition(self, asked: Request) -> Answer:
        table = self._table(asked["DatabaseName"], asked["TableName"])
        old = self._partition(table, asked["PartitionValueList"])
        self._remove(table, old["Values"])
        self._add(table, {"Values": old["Values"], **asked["PartitionInput"]})
        return {}

    def _batch_update_partition(self, asked: Request) -> Answer:
        def update(entry: Request) -> None:
            self._update_partition({**asked, **entry})

        errors = _each(
            asked["Entries"], update, lambda one: {"PartitionValueList": one["PartitionValueList"]}
        )
        return {"Errors": errors}

    def _delete_partition(self, asked: Request) -> Answer:
        table = self._table(asked["DatabaseName"], asked["TableName"])
        self._remove(table, asked["PartitionValues"])
        return {}

    def _batch_delete_partition(self, asked: Request) -> Answer:
        wanted = asked["PartitionsToDelete"]
        if len(wanted) > _DELETED_AT_ONCE:
            raise _too_many("partitionsToDelete", _DELETED_AT_ONCE)
        table = self._table(asked["DatabaseName"], asked["TableName"])
        errors = _each(
            wanted,
            lambda one: self._remove(table, one["Values"]),
            lambda one: {"PartitionValues": one["Values"]},
        )
        return {"Errors": errors}

    # what has nothing to say

    def _get_partition_indexes(self, asked: Request) -> Answer:
        self._table(asked["DatabaseName"], asked["TableName"])
        return {"PartitionIndexDescriptorList": []}

    def _get_user_defined_functions(self, _: Request) -> Answer:
        return {"UserDefinedFunctions": []}

    def _get_tags(self, _: Request) -> Answer:
        return {"Tags": {}}

    # rows

    def _one(self, sql: str, *values: object) -> Any:
        return self._db.execute(sql, values).fetchone()

    def _database(self, name: str) -> Answer:
        row = self._one("select described from databases where name = ?", name.lower())
        if row is None:
            raise ApiError("EntityNotFoundException", f"Database {name} not found.")
        found: Answer = json.loads(row[0])
        return found

    def _table(self, database: str, name: str) -> Answer:
        row = self._one(
            "select described from tables where database = ? and name = ?", database.lower(), name.lower()
        )
        if row is None:
            self._database(database)
            raise ApiError("EntityNotFoundException", f"Table {name} not found.")
        found: Answer = json.loads(row[0])
        return found

    def _tables(self, database: str) -> list[Answer]:
        name = self._database(database)["Name"]
        rows = self._db.execute("select described from tables where database = ? order by name", (name,))
        return [json.loads(one) for (one,) in rows]

    def _versions(self, asked: Request) -> list[Answer]:
        table = self._table(asked["DatabaseName"], asked["TableName"])
        rows = self._db.execute(
            "select version, described from versions where database = ? and name = ? order by version desc",
            (table["DatabaseName"], table["Name"]),
        )
        return [{"Table": json.loads(one), "VersionId": str(version)} for version, one in rows]

    def _store(self, database: str, given: Request, *, version: int, created: float) -> None:
        name = given["Name"].lower()
        described = json.dumps(
            {
                "PartitionKeys": [],
                "Parameters": {},
                "Retention": 0,
                **given,
                "Name": name,
                "DatabaseName": database,
                "CreateTime": created,
                "UpdateTime": time.time(),
                "CatalogId": ACCOUNT,
                "VersionId": str(version),
                "IsRegisteredWithLakeFormation": False,
            },
            default=_seconds,
        )
        self._db.execute("insert or replace into tables values (?, ?, ?)", (database, name, described))
        self._db.execute(
            "insert or replace into versions values (?, ?, ?, ?)", (database, name, version, described)
        )

    def _partition(self, table: Answer, values: list[str]) -> Answer:
        row = self._one(
            'select described from partitions where database = ? and name = ? and "values" = ?',
            table["DatabaseName"],
            table["Name"],
            json.dumps(values),
        )
        if row is None:
            raise ApiError("EntityNotFoundException", f"Cannot find partition {values}.")
        found: Answer = json.loads(row[0])
        return found

    def _add(self, table: Answer, given: Request) -> None:
        values = given.get("Values", [])
        if len(values) != len(table["PartitionKeys"]):
            raise ApiError(
                "InvalidInputException",
                "The number of partition keys do not match the number of partition values",
            )
        place = (table["DatabaseName"], table["Name"], json.dumps(values))
        described = {
            "Parameters": {},
            **given,
            "DatabaseName": place[0],
            "TableName": place[1],
            "CreationTime": time.time(),
            "CatalogId": ACCOUNT,
        }
        try:
            self._db.execute(
                "insert into partitions values (?, ?, ?, ?)",
                (*place, json.dumps(described, default=_seconds)),
            )
        except sqlite3.IntegrityError:
            raise ApiError("AlreadyExistsException", f"Partition {values} already exists.") from None

    def _remove(self, table: Answer, values: list[str]) -> None:
        deleted = self._db.execute(
            'delete from partitions where database = ? and name = ? and "values" = ?',
            (table["DatabaseName"], table["Name"], json.dumps(values)),
        )
        if not deleted.rowcount:
            raise ApiError("EntityNotFoundException", f"Cannot find partition {values}.")


_OFFERED: Final = (
    "CreateDatabase", "GetDatabase", "GetDatabases", "UpdateDatabase", "DeleteDatabase", "CreateTable",
    "GetTable", "GetTables", "SearchTables", "UpdateTable", "DeleteTable", "BatchDeleteTable",
    "GetTableVersion", "GetTableVersions", "DeleteTableVersion", "BatchDeleteTableVersion",
    "CreatePartition", "BatchCreatePartition", "GetPartition", "GetPartitions", "BatchGetPartition",
    "UpdatePartition", "BatchUpdatePartition", "DeletePartition", "BatchDeletePartition",
    "GetPartitionIndexes", "GetUserDefinedFunctions", "GetTags",
)  # fmt: skip


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _page(asked: Request, key: str, items: list[Any], largest: int) -> Answer:
    return page(asked, key, items, largest, code=_INVALID)


def _each(items: Iterable[Any], do: Callable[[Any], None], name: Callable[[Any], Answer]) -> list[Answer]:
    """Do something for each item, and return Glue's errors of those that fail."""
    errors = []
    for one in items:
        try:
            do(one)
        except ApiError as error:
            detail = {"ErrorCode": error.code, "ErrorMessage": str(error)}
            errors.append({**name(one), "ErrorDetail": detail})
    return errors


def _too_many(member: str, most: int) -> ApiError:
    return ApiError(
        _INVALID,
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have"
        f" length less than or equal to {most}",
    )


def _seconds(value: Any) -> float:
    return float(value.timestamp())
