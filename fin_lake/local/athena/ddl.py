"""Statements that change the catalog: databases, tables, views, partitions, columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sqlglot import exp

from fin_lake.local.athena import translation, types
from fin_lake.local.athena.definitions import column_definitions, definition
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.glue_tables import (
    Columns,
    GlueTable,
    Partition,
    TableName,
    partition_folder,
    table_input,
    view_input,
)
from fin_lake.local.athena.results import Result, StatementType, done, lines

if TYPE_CHECKING:
    from fin_lake.local.athena.session import Session
    from fin_lake.local.athena.words import Words

_NO_TABLE = "FAILED: SemanticException [Error 10001]: Table not found {}"


def create_database(session: Session, words: Words) -> Result:
    """Run ``CREATE DATABASE [IF NOT EXISTS] name [COMMENT …] [LOCATION …]``."""
    if_not_exists = words.take("IF", "NOT", "EXISTS")
    name, comment, location = words.name(), "", ""
    while not words.ended:
        if words.take("COMMENT"):
            comment = words.string()
        elif words.take("LOCATION"):
            location = words.string()
        elif words.take("WITH", "DBPROPERTIES"):
            words.pairs()
        else:
            raise words.mismatch("COMMENT, LOCATION")
    session.metastore.create_database(name, location=location, comment=comment, if_not_exists=if_not_exists)
    return done("CREATE_DATABASE")


def drop_database(session: Session, words: Words) -> Result:
    """Run ``DROP DATABASE [IF EXISTS] name [CASCADE]``."""
    if_exists = words.take("IF", "EXISTS")
    name, cascade = words.name(), words.take("CASCADE") or (words.take("RESTRICT") and False)
    words.expect_end()
    session.metastore.drop_database(name, if_exists=if_exists, cascade=cascade)
    return done("DROP_DATABASE")


def create_table(session: Session, tree: exp.Create) -> Result:
    """Run ``CREATE [EXTERNAL] TABLE`` in Hive's DDL, for Hive and Iceberg tables.

    Raises
    ------
    QueryFailed
        A clause is wrong or not supported; the table is there already.
    """
    external = tree.find(exp.ExternalProperty) is not None
    if not isinstance(tree.this, exp.Schema):
        raise unsupported(f"CREATE TABLE without columns: {tree.sql('athena')[:80]}")
    name, wanted = session.name_of(tree.this.this), definition(tree)
    if session.metastore.find(name) is not None and tree.args.get("exists"):
        return done("CREATE_TABLE")
    if wanted.is_iceberg:
        session.engine.iceberg.create_defined(session, name, wanted)
        return done("CREATE_TABLE")
    if not external:
        raise QueryFailed(
            "FAILED: SemanticException: CREATE TABLE without EXTERNAL is for Iceberg tables: add EXTERNAL, or"
            " TBLPROPERTIES ('table_type'='ICEBERG')"
        )
    parameters = dict(wanted.parameters)
    if wanted.comment:
        parameters["comment"] = wanted.comment
    described = table_input(
        name.name,
        columns=wanted.columns,
        partition_keys=wanted.partition_keys,
        location=wanted.location,
        format=wanted.format,
        parameters=parameters,
        serde_parameters=wanted.serde_parameters or None,
        comments=wanted.comments,
    )
    session.metastore.create(name.database, described)
    return done("CREATE_TABLE")


def create_view(session: Session, words: Words, *, replace: bool) -> Result:
    """Run ``CREATE [OR REPLACE] VIEW name AS query``.

    Raises
    ------
    QueryFailed
        The query is wrong; there is a table of that name, or a view without OR REPLACE.
    """
    name = words.table(session.database)
    words.expect("AS")
    sql = words.rest
    existing = session.metastore.find(name)
    if existing is not None and not (existing.is_view and replace):
        kind = "View" if existing.is_view else "Table"
        raise QueryFailed(f"TABLE_ALREADY_EXISTS: line 1:1: {kind} already exists: 'awsdatacatalog.{name}'")
    session.schema_only = True
    tree = translation.parse(sql)
    query = translation.to_duckdb(session.bind(tree))
    described = session.cursor.execute(f"SELECT * FROM ({query}) LIMIT 0").description  # noqa: S608
    columns = [(column.lower(), types.to_hive(type_)) for column, type_, *_ in described]
    view = view_input(name.name, sql=sql, database=session.database, columns=columns)
    session.metastore.create(name.database, view, replace=True)
    return done("CREATE_VIEW")


def drop(session: Session, words: Words, *, view: bool) -> Result:
    """Run ``DROP TABLE`` or ``DROP VIEW``. An Iceberg table's data go with it, others' stay.

    Raises
    ------
    QueryFailed
        There is none of that name, or it is the other kind.
    """
    what = "VIEW" if view else "TABLE"
    if_exists = words.take("IF", "EXISTS")
    name = words.table(session.database)
    words.expect_end()
    table = session.metastore.find(name)
    if table is None:
        if if_exists:
            return done(f"DROP_{what}")
        raise QueryFailed(_NO_TABLE.format(name))
    if table.is_view != view:
        other = "TABLE" if view else "VIEW"
        raise QueryFailed(f"FAILED: SemanticException: {name} is a {other.lower()}: use DROP {other}")
    if table.is_iceberg:
        session.engine.iceberg.drop(name)
    else:
        session.metastore.drop(name)
    return done(f"DROP_{what}")


def repair(session: Session, words: Words) -> Result:
    """Run ``MSCK REPAIR TABLE``: register the partitions whose folders hold objects."""
    table = session.metastore.require(words.table(session.database))
    words.expect_end()
    keys = [name for name, _ in table.partition_keys]
    known = {one.values for one in session.metastore.partitions(table.name)}
    depth = table.location.count("/") + 1
    found: dict[tuple[str, ...], str] = {}
    for one in session.objects.list(table.location):
        folders = one.url.split("/")[depth : depth + len(keys)]
        named = [folder.partition("=") for folder in folders]
        if len(one.url.split("/")) > depth + len(keys) and [key.lower() for key, *_ in named] == keys:
            values = tuple(unquote(value) for *_, value in named)
            if values not in known:
                found[values] = f"{table.location}/{'/'.join(folders)}"
    session.metastore.add_partitions(table, [Partition(values, at) for values, at in found.items()])
    shown = [f"{table.name.name}:{partition_folder(keys, values)}" for values in found]
    said = ["Partitions not in metastore:\t" + " ".join(shown)] if shown else []
    said += [f"Repair: Added partition to metastore {one}" for one in shown]
    return lines(StatementType.DDL, "MSCK_REPAIR", "output", said)


def alter(session: Session, words: Words) -> Result:
    """Run ``ALTER TABLE``.

    Raises
    ------
    QueryFailed
        The table is missing, or the change is not one that Athena makes or this service supports.
    """
    name = words.table(session.database)
    table = session.metastore.find(name)
    if table is None:
        raise QueryFailed(_NO_TABLE.format(name))
    if words.take("ADD"):
        if words.begins("PARTITION") or words.begins("IF"):
            return _add_partitions(session, table, words)
    elif words.take("DROP"):
        if words.begins("PARTITION") or words.begins("IF"):
            return _drop_partitions(session, table, words)
    elif words.take("PARTITION"):
        return _alter_partition(session, table, words)
    elif words.take("UNSET", "TBLPROPERTIES"):
        return _unset_properties(session, table, words)
    tree = translation.parse(words.text)
    if not isinstance(tree, exp.Alter):
        raise unsupported(words.text[:80])
    for action in tree.args["actions"]:
        _change(session, table, action)
    return done("ALTER_TABLE")


def _change(session: Session, table: GlueTable, action: exp.Expr) -> None:
    match action:
        case exp.AlterSet() if action.args.get("location") is not None:
            storage = {**table.storage, "Location": action.args["location"].name}
            session.metastore.update(table, StorageDescriptor=storage)
        case exp.AlterSet():
            pairs = {one.name: one.args["value"].name for one in action.find_all(exp.Property)}
            _set_properties(session, table, pairs)
        case exp.AlterRename():
            target = action.this
            session.metastore.rename(
                table, TableName((target.db or table.name.database).lower(), target.name)
            )
        case exp.Schema() | exp.ColumnDef():
            columns, _ = column_definitions(action.expressions or [action])
            _add_columns(session, table, columns)
        case exp.ReplaceColumns():
            columns, _ = column_definitions(action.expressions)
            _replace_columns(session, table, columns)
        case exp.AlterColumn():
            _change_column(session, table, action)
        case exp.Drop() if str(action.args.get("kind")).upper() == "COLUMN":
            if not table.is_iceberg:
                raise QueryFailed("FAILED: SemanticException: DROP COLUMN is for Iceberg tables only")
            session.engine.iceberg.drop_columns(
                table.name, [one.name.lower() for one in action.args["tables"]]
            )
        case _:
            raise unsupported(f"ALTER TABLE … {action.sql('athena')}")


def _set_properties(session: Session, table: GlueTable, pairs: dict[str, str]) -> None:
    if table.is_iceberg:
        session.engine.iceberg.set_properties(table.name, pairs)
    else:
        session.metastore.update(table, Parameters={**table.described.get("Parameters", {}), **pairs})


def _unset_properties(session: Session, table: GlueTable, words: Words) -> Result:
    names = [one.strip().strip("'\"") for one in words.parenthesized().split(",")]
    words.expect_end()
    if table.is_iceberg:
        session.engine.iceberg.unset_properties(table.name, names)
    else:
        kept = {
            key: value for key, value in table.described.get("Parameters", {}).items() if key not in names
        }
        session.metastore.update(table, Parameters=kept)
    return done("ALTER_TABLE")


def _add_columns(session: Session, table: GlueTable, columns: Columns) -> None:
    if table.is_iceberg:
        session.engine.iceberg.add_columns(table.name, columns)
        return
    present = {name for name, _ in (*table.columns, *table.partition_keys)}
    if twice := [name for name, _ in columns if name in present]:
        raise QueryFailed(f"FAILED: SemanticException: Duplicate column name: {twice[0]}")
    _store_columns(session, table, [*table.columns, *columns])


def _replace_columns(session: Session, table: GlueTable, columns: Columns) -> None:
    if table.is_iceberg:
        raise QueryFailed("FAILED: SemanticException: REPLACE COLUMNS is not for Iceberg tables")
    _store_columns(session, table, columns)


def _change_column(session: Session, table: GlueTable, action: exp.AlterColumn) -> None:
    old = action.this.name.lower()
    renamed, kind = action.args.get("rename_to"), action.args.get("dtype")
    new = (renamed.name if renamed is not None else old).lower()
    current = dict(table.columns)
    if old not in current:
        raise QueryFailed(f"FAILED: SemanticException: Invalid column reference {old}")
    type_ = "".join(kind.sql("hive").lower().split()) if kind is not None else current[old]
    if table.is_iceberg:
        session.engine.iceberg.change_column(table.name, old, new, type_)
    else:
        changed = [(new, type_) if name == old else (name, held) for name, held in table.columns]
        _store_columns(session, table, changed)


def _store_columns(session: Session, table: GlueTable, columns: Columns) -> None:
    comments = {one["Name"].lower(): one.get("Comment", "") for one in table.storage.get("Columns", [])}
    described = [
        {"Name": name, "Type": type_} | ({"Comment": comments[name]} if comments.get(name) else {})
        for name, type_ in columns
    ]
    session.metastore.update(table, StorageDescriptor={**table.storage, "Columns": described})


def _add_partitions(session: Session, table: GlueTable, words: Words) -> Result:
    if_not_exists = words.take("IF", "NOT", "EXISTS")
    keys = [name for name, _ in table.partition_keys]
    wanted = []
    while words.take("PARTITION"):
        values = _values(table, words.pairs())
        folder = f"{table.location}/{partition_folder(keys, values)}"
        wanted.append(Partition(values, words.string().rstrip("/") if words.take("LOCATION") else folder))
    words.expect_end()
    if not if_not_exists:
        known = {one.values for one in session.metastore.partitions(table.name)}
        if any(one.values in known for one in wanted):
            raise QueryFailed(
                "FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask."
                " AlreadyExistsException(message:Partition already exists.)"
            )
    session.metastore.add_partitions(table, wanted)
    return done("ALTER_TABLE")


def _drop_partitions(session: Session, table: GlueTable, words: Words) -> Result:
    if_exists = words.take("IF", "EXISTS")
    wanted: list[tuple[str, ...]] = []
    while words.take("PARTITION"):
        wanted.append(_values(table, words.pairs()))
        words.take(",")
    words.expect_end()
    known = {one.values for one in session.metastore.partitions(table.name)}
    missing = [one for one in wanted if one not in known]
    if missing and not if_exists:
        raise QueryFailed(f"FAILED: SemanticException [Error 10006]: Partition not found {missing[0]}")
    session.metastore.drop_partitions(table.name, [one for one in wanted if one in known])
    return done("ALTER_TABLE")


def _alter_partition(session: Session, table: GlueTable, words: Words) -> Result:
    values = _values(table, words.pairs())
    known = {one.values for one in session.metastore.partitions(table.name)}
    if values not in known:
        raise QueryFailed(f"FAILED: SemanticException [Error 10006]: Partition not found {values}")
    if words.take("SET", "LOCATION"):
        moved = Partition(values, words.string().rstrip("/"))
    elif words.take("RENAME", "TO", "PARTITION"):
        old = next(one for one in session.metastore.partitions(table.name) if one.values == values)
        moved = Partition(_values(table, words.pairs()), old.location)
    else:
        raise words.mismatch("SET LOCATION, RENAME TO PARTITION")
    words.expect_end()
    session.metastore.drop_partitions(table.name, [values])
    session.metastore.add_partitions(table, [moved])
    return done("ALTER_TABLE")


def _values(table: GlueTable, given: dict[str, str]) -> tuple[str, ...]:
    """Return a partition's values in the order of the keys."""
    keys: Sequence[str] = [name for name, _ in table.partition_keys]
    if set(given) != set(keys):
        raise QueryFailed(
            f"FAILED: SemanticException: partition spec {given} does not name the keys"
            f" {', '.join(keys) or '(none)'}"
        )
    return tuple(given[key] for key in keys)
