"""Tables in a statement become relations of DuckDB: views are written out, files are fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from fin_lake.local.athena import information_schema, translation
from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.glue_tables import GlueTable, TableName
from fin_lake.local.athena.partitions import values_relation
from fin_lake.local.athena.pruning import conditions
from fin_lake.local.athena.scan import scan
from fin_lake.local.athena.types import from_hive, quote_name

if TYPE_CHECKING:
    from fin_lake.local.athena.session import Session

_BESIDE_A_NAME: Final = ("joins", "laterals", "pivots", "sample")
"""What may hang on a table in FROM, whatever stands in the table's place."""


def bind(session: Session, tree: exp.Expr) -> exp.Expr:
    """Return a copy of a statement in which each table is a relation of DuckDB.

    Raises
    ------
    QueryFailed
        A table is missing or cannot be read.
    """
    bound = _with_views(session, tree.copy(), ())
    queries: list[exp.Expr] = [bound] if isinstance(bound, exp.Query) else _outermost_queries(bound)
    wanted = {key: found for query in queries for key, found in conditions(query).items()}
    for table in list(bound.find_all(exp.Table)):
        if _is_free(table):
            relation = _relation(session, table, wanted.get(id(table), []))
            _replace(table, relation)
    for column in bound.find_all(exp.Column):
        if column.args.get("db"):  # db.table.column: the table goes by its alias now
            column.set("db", None)
            column.set("catalog", None)
    return bound


def _outermost_queries(tree: exp.Expr) -> list[exp.Expr]:
    # what MERGE uses stands in parentheses, which are a query of their own to the parser
    return [query.unnest() for query in tree.find_all(exp.Query) if query.find_ancestor(exp.Query) is None]


def _is_free(table: exp.Table) -> bool:
    """Return whether a table's name is to be looked up in the catalog."""
    return not (
        table.meta.get("bound")
        or not isinstance(table.this, exp.Identifier)  # a function that returns a table
        or (not table.db and _is_common(table))
    )


def _is_common(table: exp.Table) -> bool:
    """Return whether a name is that of a common table expression that can be seen from where it stands."""
    name = table.name.lower()
    below: exp.Expr = table
    within: exp.Expr | None = table
    while within is not None:
        seen: Sequence[exp.Expr] = ()
        if isinstance(within, exp.With):
            at = within.expressions.index(below)
            # each sees those before it; by its own name it means a table, unless it is recursive
            seen = within.expressions[: at + 1 if within.args.get("recursive") else at]
        elif (owned := within.args.get("with_")) is not None and owned is not below:
            seen = owned.expressions
        if any(one.alias.lower() == name for one in seen):
            return True
        below, within = within, within.parent
    return False


def _with_views(session: Session, tree: exp.Expr, seen: tuple[TableName, ...]) -> exp.Expr:
    """Replace views by their queries, so that conditions can be followed into them."""
    for table in list(tree.find_all(exp.Table)):
        name = session.name_of(table)
        if not _is_free(table) or name.database == "information_schema" or "$" in name.name:
            continue
        found = session.metastore.require(name)
        if not found.is_view:
            continue
        if name in seen:
            raise QueryFailed(f"VIEW_IS_RECURSIVE: line 1:15: Statement is recursive: {name}")
        sql, database = found.view()
        query = translation.parse(sql)
        for inner in query.find_all(exp.Table):
            if not inner.db and _is_free(inner):
                # said in full: outside, a common table expression may have the same name
                inner.set("db", exp.to_identifier(database, quoted=True))
        query = _with_views(session, query, (*seen, name))
        name_in_sql = exp.to_identifier(table.name.lower(), quoted=True)
        alias = table.args.get("alias") or exp.TableAlias(this=name_in_sql)
        beside = {key: table.args[key] for key in _BESIDE_A_NAME if table.args.get(key)}
        table.replace(exp.Subquery(this=query, alias=alias, **beside))
    return tree


def _replace(table: exp.Table, relation: str) -> None:
    if not table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name.lower(), quoted=True)))
    table.set("this", exp.to_identifier(relation, quoted=True))
    table.set("db", None)
    table.set("catalog", None)
    table.set("version", None)
    table.meta["bound"] = True


def _relation(session: Session, node: exp.Table, wanted: Sequence[exp.Expr]) -> str:
    """Make the temporary view that a table's name stands for, and return its name."""
    name = session.name_of(node)
    if name.database == "information_schema":
        return _view(session, information_schema.select(session.metastore, name.name))
    plain, dollar, about = name.name.partition("$")
    table = session.metastore.require(TableName(name.database, plain))
    if table.is_iceberg:
        return session.engine.iceberg.relation(session, node, wanted)
    if node.args.get("version"):
        raise QueryFailed(f"NOT_SUPPORTED: {table.name} is not an Iceberg table, it has no versions")
    if dollar:
        return _view(session, _about(session, table, about))
    if session.schema_only:
        return _view(session, scan(table, []))
    placed = session.engine.partitions.objects(session.cursor, table, wanted)
    session.add_scanned(sum(one.object.size for one in placed))
    paths = session.objects.local([one.object for one in placed], [one.folder for one in placed])
    return _view(session, scan(table, paths))


def _about(session: Session, table: GlueTable, what: str) -> str:
    if what != "partitions" or not table.partition_keys:
        raise QueryFailed(f"TABLE_NOT_FOUND: line 1:15: Table '{table.name}${what}' does not exist")
    keys = [(name, str(from_hive(type_))) for name, type_ in table.partition_keys]
    return values_relation(session.engine.partitions.partitions(session.cursor, table), keys)


def _view(session: Session, sql: str) -> str:
    relation = session.new_relation()
    session.cursor.execute(f"CREATE TEMP VIEW {quote_name(relation)} AS {sql}")
    return relation
