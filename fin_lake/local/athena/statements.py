"""Which statement it is, and who carries it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import duckdb
from sqlglot import exp

from fin_lake.local.athena import ddl, duckdb_errors, translation, write
from fin_lake.local.athena.definitions import properties
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.glue_tables import TableName
from fin_lake.local.athena.results import Result, StatementType, counted, done
from fin_lake.local.athena.select import explain, select
from fin_lake.local.athena.show import describe, show
from fin_lake.local.athena.words import Words, with_parameters

if TYPE_CHECKING:
    from fin_lake.local.athena.session import Session

_Tree = TypeVar("_Tree", bound=exp.Expr)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it was sent.

    Parameters
    ----------
    parameters : sequence of str
        SQL literals for its question marks.
    output : str
        The folder for a table that CREATE TABLE AS makes without naming one.
    """

    sql: str
    parameters: Sequence[str] = ()
    output: str = ""


def execute(session: Session, statement: Statement) -> Result:
    """Carry out a statement.

    Raises
    ------
    QueryFailed
        It is wrong, or cannot be carried out; worded as Athena words it.
    """
    try:
        words = Words(with_parameters(statement.sql, statement.parameters))
        return _dispatch(session, statement, words).with_scanned(session.scanned_bytes)
    except duckdb.Error as error:
        raise duckdb_errors.explain(error) from error


def _dispatch(session: Session, statement: Statement, words: Words) -> Result:
    for first, carry_out in _STATEMENTS:
        if words.begins(*first):
            return carry_out(session, statement, words)
    raise QueryFailed(f"Queries of this type are not supported: {words.text[:60]}")


def _select(session: Session, _: Statement, words: Words) -> Result:
    return select(session, translation.parse(words.text))


def _insert(session: Session, _: Statement, words: Words) -> Result:
    return write.insert(session, _as(exp.Insert, translation.parse(words.text)))


def _alter(session: Session, _: Statement, words: Words) -> Result:
    words.expect("ALTER", "TABLE")
    return ddl.alter(session, words)


def _repair(session: Session, _: Statement, words: Words) -> Result:
    words.expect("MSCK", "REPAIR", "TABLE")
    return ddl.repair(session, words)


def _show(session: Session, _: Statement, words: Words) -> Result:
    words.expect("SHOW")
    return show(session, words)


def _describe(session: Session, _: Statement, words: Words) -> Result:
    if not words.take("DESC"):
        words.expect("DESCRIBE")
    return describe(session, words)


def _vacuum(session: Session, _: Statement, words: Words) -> Result:
    words.expect("VACUUM")
    name = words.table(session.database)
    words.expect_end()
    session.engine.iceberg.vacuum(_iceberg(session, name))
    return done("VACUUM")


def _create(session: Session, statement: Statement, words: Words) -> Result:
    words.expect("CREATE")
    if words.take("DATABASE") or words.take("SCHEMA"):
        return ddl.create_database(session, words)
    replace = words.take("OR", "REPLACE")
    if words.take("VIEW"):
        return ddl.create_view(session, words, replace=replace)
    tree = _as(exp.Create, translation.parse(words.text))
    if replace or tree.kind != "TABLE":
        raise unsupported(words.text[:60])
    if tree.expression is not None:
        return write.create_table_as(session, tree, output=statement.output)
    return ddl.create_table(session, tree)


def _drop(session: Session, _: Statement, words: Words) -> Result:
    words.expect("DROP")
    if words.take("DATABASE") or words.take("SCHEMA"):
        return ddl.drop_database(session, words)
    if words.take("VIEW"):
        return ddl.drop(session, words, view=True)
    words.expect("TABLE")
    return ddl.drop(session, words, view=False)


def _change_rows(session: Session, _: Statement, words: Words) -> Result:
    tree = translation.parse(words.text)
    name = session.name_of(tree.this)
    if not session.metastore.require(name).is_iceberg:
        raise QueryFailed(
            "NOT_SUPPORTED: Modifying Hive table rows is only supported for transactional tables: "
            f"{name} is not an Iceberg table"
        )
    count = session.engine.iceberg.change_rows(session, tree)
    return counted(StatementType.DML, tree.key.upper(), count)


def _explain(session: Session, _: Statement, words: Words) -> Result:
    words.expect("EXPLAIN")
    analyze = words.take("ANALYZE")
    if words.begins("(", "FORMAT") or words.begins("(", "TYPE"):
        words.parenthesized()  # there is one plan, and it is text
    return explain(session, translation.parse(words.rest), analyze=analyze)


def _unload(session: Session, _: Statement, words: Words) -> Result:
    words.expect("UNLOAD")
    query = translation.parse(words.parenthesized())
    words.expect("TO")
    location = words.string()
    given = {}
    if words.take("WITH"):
        options = translation.parse(f"CREATE TABLE t WITH ({words.parenthesized()}) AS SELECT 1")
        given = properties(_as(exp.Create, options))
    words.expect_end()
    return write.unload(session, query, location, given)


def _optimize(session: Session, _: Statement, words: Words) -> Result:
    words.expect("OPTIMIZE")
    name = words.table(session.database)
    words.expect("REWRITE", "DATA", "USING", "BIN_PACK")
    where = None
    if words.take("WHERE"):
        where = translation.parse(f"DELETE FROM t WHERE {words.rest}").args["where"].this  # noqa: S608
    session.engine.iceberg.optimize(session, _iceberg(session, name), where)
    return done("OPTIMIZE")


_CarryOut = Callable[["Session", Statement, Words], Result]
_STATEMENTS: Final[Sequence[tuple[tuple[str, ...], _CarryOut]]] = (
    *(((word,), _select) for word in ("SELECT", "WITH", "VALUES", "TABLE", "(")),
    *(((word,), _change_rows) for word in ("DELETE", "UPDATE", "MERGE")),
    (("INSERT",), _insert),
    (("CREATE",), _create),
    (("DROP",), _drop),
    (("ALTER", "TABLE"), _alter),
    (("MSCK", "REPAIR", "TABLE"), _repair),
    (("SHOW",), _show),
    (("DESCRIBE",), _describe),
    (("DESC",), _describe),
    (("EXPLAIN",), _explain),
    (("UNLOAD",), _unload),
    (("OPTIMIZE",), _optimize),
    (("VACUUM",), _vacuum),
)


def _iceberg(session: Session, name: TableName) -> TableName:
    if not session.metastore.require(name).is_iceberg:
        raise QueryFailed(f"NOT_SUPPORTED: {name} is not an Iceberg table")
    return name


def _as(kind: type[_Tree], tree: exp.Expr) -> _Tree:
    if not isinstance(tree, kind):
        raise unsupported(tree.sql("athena")[:60])
    return tree
