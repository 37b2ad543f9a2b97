"""Changes of rows: the files that hold affected rows are rewritten, in one snapshot.

Files are left out first by what the statement says of the target's columns. For MERGE that is each
equality in ON: the values of the source tell which partitions it can reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyiceberg.table import Table
from sqlglot import exp

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.iceberg.data_files import fitted
from fin_lake.local.athena.iceberg.scan import select
from fin_lake.local.athena.iceberg.schema import columns_of
from fin_lake.local.athena.iceberg.statements import RowChange, read
from fin_lake.local.athena.types import quote_name

if TYPE_CHECKING:
    from fin_lake.local.athena.iceberg.tables import IcebergTables
    from fin_lake.local.athena.session import Session

Columns = Sequence[tuple[str, str]]


def change(tables: IcebergTables, session: Session, table: Table, tree: exp.Expr) -> int:
    """Carry out a statement on a table as it is now, and return the number of rows changed.

    Raises
    ------
    QueryFailed
        The statement is wrong; a target row is matched by several source rows.
    CommitFailedException
        Somebody else changed the table meanwhile.
    """
    schema = table.schema()
    wanted, columns = read(session, schema, tree), columns_of(schema)
    plan = tables.plan(table, wanted.filter)
    session.add_scanned(plan.size)
    target = session.new_relation()
    session.cursor.execute(
        f"CREATE TEMP VIEW {quote_name(target)} AS {select(session.objects, table, plan.urls, places=True)}"
    )
    touched = _kept_rows(session, _touched(wanted, target, columns))
    if wanted.source:
        _require_single(session, touched)
    parts, count = [_survivors(target, touched, columns)], _count(session, touched)
    if wanted.unmatched:
        inserted = _kept_rows(session, _inserted(wanted, target, columns))
        parts.append(f"SELECT {_names(columns)} FROM {inserted}")  # noqa: S608
        count += _count(session, inserted)
    if not count:
        return 0
    places = {row[0] for row in _rows(session, f"SELECT DISTINCT __file FROM {touched}")}  # noqa: S608
    paths = session.objects.local_immutable(plan.urls)
    removed = [one for one, path in zip(plan.files, paths, strict=True) if str(path) in places]
    data = fitted(session, schema, " UNION ALL ".join(parts))
    # rows that stay are in partitions that are there already: DELETE opens none
    written = tables.write(table, data, any_number=isinstance(tree, exp.Delete))
    tables.replace(table, removed, written)
    return count


def _touched(wanted: RowChange, target: str, columns: Columns) -> str:
    """Return the select of the target rows that change: their place, whether they go, their new values."""
    alias = quote_name(wanted.target)
    joined = f" JOIN {wanted.source} ON {wanted.on}" if wanted.source else ""
    which = _case([(one.condition, str(index)) for index, one in enumerate(wanted.matched)], "-1")
    values = []
    for name, _ in columns:
        held = f"{alias}.{quote_name(name)}"
        branches = [
            (f"__which = {index}", (one.values or {}).get(name, held))
            for index, one in enumerate(wanted.matched)
        ]
        values.append(f"{_case(branches, held)} AS {quote_name(name)}")
    gone = [str(index) for index, one in enumerate(wanted.matched) if one.values is None]
    goes = f"__which IN ({', '.join(gone)})" if gone else "false"
    where = "__which >= 0" if wanted.source else f"{wanted.on} AND __which >= 0"
    return (
        f"SELECT {alias}.__file, {alias}.__row, {which} AS __which, {goes} AS __gone, {', '.join(values)}"  # noqa: S608
        f" FROM {quote_name(target)} AS {alias}{joined} WHERE {where}"
    )


def _inserted(wanted: RowChange, target: str, columns: Columns) -> str:
    """Return the select of the rows that are new."""
    which = _case([(one.condition, str(index)) for index, one in enumerate(wanted.unmatched)], "-1")
    values = []
    for name, type_ in columns:
        null = f"CAST(NULL AS {type_})"
        branches = [
            (f"__which = {index}", (one.values or {}).get(name, null))
            for index, one in enumerate(wanted.unmatched)
        ]
        values.append(f"{_case(branches, null)} AS {quote_name(name)}")
    return (
        f"SELECT {which} AS __which, {', '.join(values)} FROM {wanted.source}"  # noqa: S608
        " WHERE __which >= 0 AND NOT EXISTS"
        f" (SELECT 1 FROM {quote_name(target)} AS {quote_name(wanted.target)} WHERE {wanted.on})"
    )


def _survivors(target: str, touched: str, columns: Columns) -> str:
    """Return the select of the rows of the touched files that stay, changed or not."""
    names = _names(columns)
    return (
        f"SELECT {names} FROM {quote_name(target)} WHERE __file IN (SELECT __file FROM {touched})"  # noqa: S608
        f" AND (__file, __row) NOT IN (SELECT (__file, __row) FROM {touched})"
        f" UNION ALL SELECT {names} FROM {touched} WHERE NOT __gone"
    )


def _case(branches: Sequence[tuple[str, str]], otherwise: str) -> str:
    if not branches:
        return otherwise
    whens = " ".join(f"WHEN {condition} THEN {value}" for condition, value in branches)
    return f"CASE {whens} ELSE {otherwise} END"


def _require_single(session: Session, touched: str) -> None:
    twice = f"SELECT 1 FROM {touched} GROUP BY __file, __row HAVING count(*) > 1 LIMIT 1"  # noqa: S608
    if _rows(session, twice):
        raise QueryFailed(
            "MERGE_TARGET_ROW_MULTIPLE_MATCHES: One MERGE target table row matched more than one source row"
        )


def _names(columns: Columns) -> str:
    return ", ".join(quote_name(name) for name, _ in columns)


def _kept_rows(session: Session, sql: str) -> str:
    """Compute a select once, and return the quoted name of the temporary table with its rows."""
    relation = quote_name(session.new_relation())
    session.cursor.execute(f"CREATE TEMP TABLE {relation} AS {sql}")
    return relation


def _count(session: Session, relation: str) -> int:
    count: int = _rows(session, f"SELECT count(*) FROM {relation}")[0][0]  # noqa: S608
    return count


def _rows(session: Session, sql: str) -> list[tuple[Any, ...]]:
    return session.cursor.execute(sql).fetchall()
