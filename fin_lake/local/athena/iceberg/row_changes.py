"""DELETE, UPDATE and MERGE: the files that hold affected rows are rewritten, in one snapshot.

Files are left out first by what the statement says of the target's columns. For MERGE that is each
equality in ON: the smallest and largest value of the source tell which partitions it can reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyiceberg.expressions as iceberg
from pyiceberg.table import Table
from sqlglot import exp

from fin_lake.local.athena import translation
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.iceberg.filters import row_filter
from fin_lake.local.athena.pruning import strict_parts, unqualified
from fin_lake.local.athena.types import quote_name

if TYPE_CHECKING:
    from fin_lake.local.athena.iceberg.tables import IcebergTables
    from fin_lake.local.athena.session import Session

_FEW: Final = 50
"""Up to so many values of the source are looked for one by one; beyond, by their range."""
_SOURCE_ROW: Final = "__source_row"
# pyiceberg's own annotations know the names of its models' fields only
_AT_LEAST: Final[Any] = iceberg.GreaterThanOrEqual
_AT_MOST: Final[Any] = iceberg.LessThanOrEqual
_ONE_OF: Final[Any] = iceberg.In


@dataclass(frozen=True, slots=True)
class _Clause:
    """A ``WHEN``: its condition, and what becomes of a row: new values by column, or ``None`` if it goes."""

    condition: str
    values: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class _Change:
    """A statement in DuckDB's SQL.

    Parameters
    ----------
    target : str
        The target's name in expressions.
    source : str
        The source with its alias; empty for DELETE and UPDATE.
    on : str
        Which target rows are meant, or which belong to a source row.
    """

    target: str
    source: str
    on: str
    matched: Sequence[_Clause]
    unmatched: Sequence[_Clause]
    filter: iceberg.BooleanExpression


def change(tables: IcebergTables, session: Session, table: Table, tree: exp.Expr) -> int:
    """Carry out a statement on a table as it is now, and return the number of rows changed.

    Raises
    ------
    QueryFailed
        A target row is matched by several source rows.
    """
    wanted = _read(session, table, tree)
    tasks = tables.plan(table, wanted.filter)
    session.add_scanned(sum(task.file.file_size_in_bytes for task in tasks))
    target, touched = session.new_relation(), session.new_relation()
    session.cursor.execute(
        f"CREATE TEMP VIEW {quote_name(target)} AS {tables.select(table, tasks, places=True)}"
    )
    names = [field.name for field in table.schema().fields]
    session.cursor.execute(f"CREATE TEMP TABLE {quote_name(touched)} AS {_touched(wanted, target, names)}")
    if wanted.source:
        _require_single(session, touched)
    files = {row[0] for row in _rows(session, f"SELECT DISTINCT __file FROM {quote_name(touched)}")}  # noqa: S608
    count: int = _rows(session, f"SELECT count(*) FROM {quote_name(touched)}")[0][0]  # noqa: S608
    columns = ", ".join(quote_name(name) for name in names)
    places = f"SELECT (__file, __row) FROM {quote_name(touched)}"  # noqa: S608
    kept = f"__file IN (SELECT __file FROM {quote_name(touched)}) AND (__file, __row) NOT IN ({places})"  # noqa: S608
    parts = [
        f"SELECT {columns} FROM {quote_name(target)} WHERE {kept}",  # noqa: S608
        f"SELECT {columns} FROM {quote_name(touched)} WHERE NOT __gone",  # noqa: S608
    ]
    if wanted.unmatched:
        inserted = session.new_relation()
        session.cursor.execute(
            f"CREATE TEMP TABLE {quote_name(inserted)} AS {_inserted(wanted, target, names)}"
        )
        parts.append(f"SELECT {columns} FROM {quote_name(inserted)}")  # noqa: S608
        count += _rows(session, f"SELECT count(*) FROM {quote_name(inserted)}")[0][0]  # noqa: S608
    if not count:
        return 0
    data = tables.fitted(session, table, " UNION ALL ".join(parts))
    local = {
        str(path): task.file
        for path, task in zip(
            session.objects.local_immutable([task.file.file_path for task in tasks]), tasks, strict=True
        )
    }
    tables.replace_files(table, [local[file] for file in files], data)
    return count


def _touched(wanted: _Change, target: str, names: Sequence[str]) -> str:
    """Return the select of the target rows that change: their place, whether they go, their new values."""
    alias = quote_name(wanted.target)
    place = f"{alias}.__file, {alias}.__row"
    number = f", {_SOURCE_ROW}" if wanted.source else ""
    source = f" JOIN {wanted.source} ON {wanted.on}" if wanted.source else ""
    where = "" if wanted.source else f" WHERE {wanted.on}"
    which = _case([(one.condition, str(index)) for index, one in enumerate(wanted.matched)], "-1")
    values = []
    for name in names:
        held = f"{alias}.{quote_name(name)}"
        branches = [
            (f"__which = {index}", (one.values or {}).get(name, held))
            for index, one in enumerate(wanted.matched)
        ]
        values.append(f"{_case(branches, held)} AS {quote_name(name)}")
    gone = [str(index) for index, one in enumerate(wanted.matched) if one.values is None]
    goes = f"__which IN ({', '.join(gone)})" if gone else "false"
    return (
        f"SELECT {place}{number}, {which} AS __which, {goes} AS __gone, {', '.join(values)}"  # noqa: S608
        f" FROM {quote_name(target)} AS {alias}{source}{where}"
        f"{' AND' if where else ' WHERE'} __which >= 0"
    )


def _inserted(wanted: _Change, target: str, names: Sequence[str]) -> str:
    """Return the select of the rows that are new."""
    alias = quote_name(wanted.target)
    branches = enumerate(wanted.unmatched)
    which = _case([(one.condition, str(index)) for index, one in branches], "-1")
    values = []
    for name in names:
        given = [
            (f"__which = {index}", (one.values or {}).get(name, "NULL"))
            for index, one in enumerate(wanted.unmatched)
        ]
        values.append(f"{_case(given, 'NULL')} AS {quote_name(name)}")
    return (
        f"SELECT {which} AS __which, {', '.join(values)} FROM {wanted.source}"  # noqa: S608
        f" WHERE __which >= 0 AND NOT EXISTS"
        f" (SELECT 1 FROM {quote_name(target)} AS {alias} WHERE {wanted.on})"
    )


def _case(branches: Sequence[tuple[str, str]], otherwise: str) -> str:
    if not branches:
        return otherwise
    whens = " ".join(f"WHEN {condition} THEN {value}" for condition, value in branches)
    return f"CASE {whens} ELSE {otherwise} END"


def _require_single(session: Session, touched: str) -> None:
    twice = _rows(
        session,
        f"SELECT 1 FROM {quote_name(touched)} GROUP BY __file, __row HAVING count(*) > 1 LIMIT 1",  # noqa: S608
    )
    if twice:
        raise QueryFailed(
            "MERGE_TARGET_ROW_MULTIPLE_MATCHES: One MERGE target table row matched more than one source row"
        )


def _read(session: Session, table: Table, tree: exp.Expr) -> _Change:
    tree = tree.copy()
    target = tree.this
    alias = (target.alias or target.name).lower()
    target.meta["bound"] = True
    bound = session.bind(tree)
    if isinstance(bound, exp.Merge):
        return _read_merge(session, table, bound, alias)
    where = bound.args.get("where")
    condition = where.this if where is not None else exp.true()
    parts = [unqualified(one) for one in strict_parts(condition)]
    values = None
    if isinstance(bound, exp.Update):
        values = _assigned(bound.expressions)
    on = f"({translation.to_duckdb(condition)})"
    clause = _Clause("true", values)
    return _Change(alias, "", on, [clause], [], row_filter(table.schema(), parts))


def _read_merge(session: Session, table: Table, bound: exp.Merge, alias: str) -> _Change:
    using = bound.args["using"]
    name = using.alias_or_name.lower()
    relation = session.new_relation()
    inner = f"SELECT * FROM {translation.to_duckdb(using)}"  # noqa: S608
    session.cursor.execute(
        f"CREATE TEMP TABLE {quote_name(relation)} AS"  # noqa: S608
        f" SELECT *, row_number() OVER () AS {_SOURCE_ROW} FROM ({inner})"
    )
    condition = bound.args["on"]
    matched: list[_Clause] = []
    unmatched: list[_Clause] = []
    for when in bound.args["whens"].expressions:
        if when.args.get("source"):
            raise unsupported("MERGE … WHEN NOT MATCHED BY SOURCE")
        asked = when.args.get("condition")
        sql = f"({translation.to_duckdb(asked)})" if asked is not None else "true"
        clause = _Clause(sql, _then(when.args["then"]))
        (matched if when.args.get("matched") else unmatched).append(clause)
    source = f"{quote_name(relation)} AS {quote_name(name)}"
    reached = iceberg.And(
        _reached(session, table, condition, alias=alias, source=source),
        row_filter(table.schema(), _about(condition, alias)),
    )
    return _Change(alias, source, f"({translation.to_duckdb(condition)})", matched, unmatched, reached)


def _then(then: exp.Expr) -> dict[str, str] | None:
    if isinstance(then, exp.Update):
        return _assigned(then.expressions)
    if isinstance(then, exp.Insert):
        names = [one.name.lower() for one in then.this.expressions]
        return dict(
            zip(names, (translation.to_duckdb(one) for one in then.expression.expressions), strict=True)
        )
    if then.name.upper() == "DELETE":
        return None
    raise unsupported(f"MERGE … THEN {then.sql('athena')}")


def _assigned(assignments: Sequence[exp.Expr]) -> dict[str, str]:
    return {one.this.name.lower(): translation.to_duckdb(one.expression) for one in assignments}


def _about(condition: exp.Expr, alias: str) -> Iterator[exp.Expr]:
    for one in strict_parts(condition):
        if all(column.table.lower() == alias for column in one.find_all(exp.Column)):
            yield unqualified(one)


def _reached(
    session: Session, table: Table, condition: exp.Expr, *, alias: str, source: str
) -> iceberg.BooleanExpression:
    """Return the filter of the target rows that the source's values can be equal to."""
    found: iceberg.BooleanExpression = iceberg.AlwaysTrue()
    conjuncts = condition.unnest()
    parts = conjuncts.flatten() if isinstance(conjuncts, exp.And) else [conjuncts]
    for one in (part.unnest() for part in parts):
        if not isinstance(one, exp.EQ):
            continue
        for column, other in ((one.this, one.expression), (one.expression, one.this)):
            if _is_of(column, alias) and not any(_is_of(node, alias) for node in other.find_all(exp.Column)):
                found = iceberg.And(found, _of_values(session, table, column.name.lower(), other, source))
    return found


def _is_of(node: exp.Expr, alias: str) -> bool:
    return isinstance(node, exp.Column) and node.table.lower() == alias


def _of_values(
    session: Session, table: Table, column: str, value: exp.Expr, source: str
) -> iceberg.BooleanExpression:
    sql = translation.to_duckdb(value)
    rows = _rows(
        session,
        f"SELECT DISTINCT {sql} AS v FROM {source} WHERE v IS NOT NULL ORDER BY 1 LIMIT {_FEW + 1}",  # noqa: S608
    )
    values = [_plain(row[0]) for row in rows]
    if len(values) > _FEW:
        low, high = _rows(session, f"SELECT min({sql}), max({sql}) FROM {source}")[0]  # noqa: S608
        made: iceberg.BooleanExpression = iceberg.And(
            _AT_LEAST(column, _plain(low)),
            _AT_MOST(column, _plain(high)),
        )
    elif values:
        made = _ONE_OF(column, values)
    else:
        return iceberg.AlwaysFalse()
    try:
        iceberg.visitors.bind(table.schema(), made, case_sensitive=False)
    except (ValueError, TypeError):
        return iceberg.AlwaysTrue()
    return made


def _plain(value: Any) -> Any:
    """Return a value as pyiceberg takes it for a literal: times as text."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def _rows(session: Session, sql: str) -> list[tuple[Any, ...]]:
    return session.cursor.execute(sql).fetchall()
