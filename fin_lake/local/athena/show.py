"""SHOW and DESCRIBE, in the layout that Hive gives them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.glue_tables import Columns, GlueTable, partition_folder
from fin_lake.local.athena.results import Result, ResultColumn, StatementType, lines

if TYPE_CHECKING:
    from fin_lake.local.athena.session import Session
    from fin_lake.local.athena.words import Words

_WIDTH: Final = 20


def show(session: Session, words: Words) -> Result:
    """Run ``SHOW …``.

    Raises
    ------
    QueryFailed
        There is nothing of that name to show, or Athena does not know how.
    """
    if words.take("DATABASES") or words.take("SCHEMAS"):
        return _names("SHOW_DATABASES", "database_name", session.metastore.databases(), words)
    if words.take("TABLES"):
        return _names("SHOW_TABLES", "tab_name", _tables(session, words, views_only=False), words)
    if words.take("VIEWS"):
        return _names("SHOW_VIEWS", "views", _tables(session, words, views_only=True), words)
    if words.take("COLUMNS"):
        return _columns(session, words)
    for first, shown in _OF_A_TABLE:
        if words.take(*first):
            table = session.metastore.require(words.table(session.database))
            words.expect_end()
            return shown(session, table)
    raise words.mismatch("COLUMNS, CREATE, DATABASES, PARTITIONS, SCHEMAS, TABLES, TBLPROPERTIES, VIEWS")


def _tables(session: Session, words: Words, *, views_only: bool) -> list[str]:
    database = words.name() if words.take("IN") or words.take("FROM") else session.database
    found = session.metastore.tables(database)
    return [table.name.name for table in found if table.is_view or not views_only]


def describe(session: Session, words: Words) -> Result:
    """Run ``DESCRIBE [EXTENDED | FORMATTED] table``."""
    if not words.take("FORMATTED"):
        words.take("EXTENDED")
    table = session.metastore.require(words.table(session.database))
    keys = _listed(table, table.partition_keys)
    said = _listed(table, table.columns) + keys
    if keys:
        blank = "\t \t "
        title = _line("# col_name", "data_type", "comment")
        said += [blank, "# Partition Information\t \t ", title, blank, *keys]
    columns = [ResultColumn(name, "string") for name in ("col_name", "data_type", "comment")]
    return Result(StatementType.UTILITY, "DESCRIBE_TABLE", columns, [[line] for line in said])


def _names(substatement: str, column: str, names: Iterable[str], words: Words) -> Result:
    pattern = None
    if words.take("LIKE") or not words.ended:
        pattern = words.string()
    words.expect_end()
    # Hive's patterns: * for any text, | between alternatives
    chosen = [
        name
        for name in names
        if pattern is None or any(fnmatch.fnmatchcase(name, one.lower()) for one in pattern.split("|"))
    ]
    return lines(StatementType.UTILITY, substatement, column, chosen)


def _partitions(session: Session, table: GlueTable) -> Result:
    if not table.partition_keys:
        raise QueryFailed(
            f"FAILED: SemanticException [Error 10241]: Table {table.name} is not a partitioned table"
        )
    keys = [name for name, _ in table.partition_keys]
    found = session.engine.partitions.partitions(session.cursor, table)
    shown = [partition_folder(keys, values) for values in found]
    return lines(StatementType.UTILITY, "SHOW_PARTITIONS", "partition", shown)


def _columns(session: Session, words: Words) -> Result:
    if not words.take("IN"):
        words.expect("FROM")
    name = words.table(session.database)
    if words.take("IN") or words.take("FROM"):
        name = type(name)(words.name(), name.name)
    table = session.metastore.require(name)
    shown = [column.ljust(_WIDTH) for column, _ in (*table.columns, *table.partition_keys)]
    return lines(StatementType.UTILITY, "SHOW_COLUMNS", "field", shown)


def _create_view(_: Session, table: GlueTable) -> Result:
    if not table.is_view:
        raise QueryFailed(f"NOT_SUPPORTED: line 1:1: Relation '{table.name}' is a table, not a view")
    sql = table.view()[0]
    text = [f"CREATE VIEW {table.name} AS", *sql.splitlines()]
    return lines(StatementType.UTILITY, "SHOW_CREATE_VIEW", "Create View", text)


def _create_table(_: Session, table: GlueTable) -> Result:
    if table.is_view:
        raise QueryFailed(f"NOT_SUPPORTED: line 1:1: Relation '{table.name}' is a view, not a table")
    kind = "TABLE" if table.is_iceberg else "EXTERNAL TABLE"
    text = [f"CREATE {kind} `{table.name}`(", *_defined(table, table.columns)]
    if table.partition_keys:
        text += ["PARTITIONED BY ( ", *_defined(table, table.partition_keys)]
    if not table.is_iceberg:
        serde = table.storage.get("SerdeInfo", {})
        text += ["ROW FORMAT SERDE ", f"  '{serde.get('SerializationLibrary', '')}' "]
        if pairs := serde.get("Parameters"):
            text += ["WITH SERDEPROPERTIES ( ", *_pairs(pairs)]
        text += ["STORED AS INPUTFORMAT ", f"  '{table.storage.get('InputFormat', '')}' "]
        text += ["OUTPUTFORMAT ", f"  '{table.storage.get('OutputFormat', '')}'"]
    text += [
        "LOCATION",
        f"  '{table.location}'",
        "TBLPROPERTIES (",
        *_pairs(table.described.get("Parameters", {})),
    ]
    return lines(StatementType.UTILITY, "SHOW_CREATE_TABLE", "createtab_stmt", text)


def _properties(_: Session, table: GlueTable) -> Result:
    pairs = sorted(table.described.get("Parameters", {}).items())
    shown = [f"{key}\t{value}" for key, value in pairs]
    return lines(StatementType.UTILITY, "SHOW_TABLE_PROPERTIES", "prpt_name", shown)


_OF_A_TABLE: Final[Sequence[tuple[tuple[str, ...], Callable[[Session, GlueTable], Result]]]] = (
    (("PARTITIONS",), _partitions),
    (("TBLPROPERTIES",), _properties),
    (("CREATE", "TABLE"), _create_table),
    (("CREATE", "VIEW"), _create_view),
)


def _defined(table: GlueTable, columns: Columns) -> list[str]:
    comments = _comments(table)
    shown = [
        f"  `{name}` {type_}" + (f" COMMENT '{comments[name]}'" if comments.get(name) else "")
        for name, type_ in columns
    ]
    return [*(f"{one}, " for one in shown[:-1]), f"{shown[-1]})"] if shown else [")"]


def _pairs(pairs: dict[str, str]) -> list[str]:
    shown = [f"  '{key}'='{value}'" for key, value in sorted(pairs.items())]
    return [*(f"{one}, " for one in shown[:-1]), f"{shown[-1]})"] if shown else [")"]


def _listed(table: GlueTable, columns: Columns) -> list[str]:
    comments = _comments(table)
    return [_line(name, type_, comments.get(name, "")) for name, type_ in columns]


def _line(*cells: str) -> str:
    return "\t".join(cell.ljust(_WIDTH) for cell in cells)


def _comments(table: GlueTable) -> dict[str, str]:
    held: Sequence[dict[str, str]] = [
        *table.storage.get("Columns", []),
        *table.described.get("PartitionKeys", []),
    ]
    return {one["Name"].lower(): one.get("Comment", "") for one in held}
