"""Rows into files: a query is computed once, written by DuckDB, and put into S3 under new names."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from duckdb.sqltypes import DuckDBPyType

from fin_lake.local.athena import translation
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.glue_tables import NULL_PARTITION, Format, Partition, partition_folder
from fin_lake.local.athena.types import quote_name, quote_text

if TYPE_CHECKING:
    from sqlglot import exp

    from fin_lake.local.athena.session import Session

MOST_PARTITIONS: Final = 100
"""Into how many partitions Athena writes with one statement."""
TEXT_SEPARATOR: Final = "\x01"
"""Between the fields of a text file whose table names no other."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A query's rows, computed and kept in a temporary table."""

    relation: str
    columns: Sequence[tuple[str, DuckDBPyType]]
    count: int

    @property
    def names(self) -> list[str]:
        """The columns' names, in lower case."""
        return [name for name, _ in self.columns]


@dataclass(frozen=True, slots=True)
class Target:
    """Where rows go: a folder, and how files in it are written.

    Parameters
    ----------
    columns : sequence of pairs
        An expression in DuckDB's SQL over the rows, and the name that it gets in the file.
    keys : sequence of str
        Partition keys among the rows' columns.
    """

    location: str
    format: Format
    columns: Sequence[tuple[str, str]]
    keys: Sequence[str]
    compression: str = ""
    delimiter: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: addresses of files, and the partitions that they are in."""

    files: Sequence[str]
    partitions: Sequence[Partition]


def materialize(session: Session, query: exp.Expr) -> Rows:
    """Compute a query into a temporary table."""
    relation = session.new_relation()
    sql = translation.to_duckdb(session.bind(query))
    session.cursor.execute(f"CREATE TEMP TABLE {quote_name(relation)} AS {sql}")
    described = session.cursor.execute(f"SELECT * FROM {quote_name(relation)} LIMIT 0").description  # noqa: S608
    counts = session.cursor.execute(f"SELECT count(*) FROM {quote_name(relation)}").fetchall()  # noqa: S608
    return Rows(relation, [(name.lower(), type_) for name, type_, *_ in described], counts[0][0])


def write(session: Session, rows: Rows, target: Target) -> Written:
    """Write rows into files in S3.

    Raises
    ------
    QueryFailed
        There are more than ``MOST_PARTITIONS`` partitions among them.
    """
    if not rows.count:
        return Written([], [])
    with _folder(session) as folder:
        if not target.keys:
            file = _copy(session, rows, target, folder / "data")
            return Written(_upload(session, {file: target.location}), [])
        return _write_partitions(session, rows, target, folder)


def _write_partitions(session: Session, rows: Rows, target: Target, folder: Path) -> Written:
    cursor, relation = session.cursor, quote_name(rows.relation)
    texts = ", ".join(f"CAST({quote_name(key)} AS VARCHAR)" for key in target.keys)
    values = cursor.execute(
        f"SELECT DISTINCT {texts} FROM {relation} LIMIT {MOST_PARTITIONS + 1}"  # noqa: S608
    ).fetchall()
    if len(values) > MOST_PARTITIONS:
        raise too_many_partitions("HIVE", target.location)
    placed: dict[Path, str] = {}
    partitions = []
    for number, row in enumerate(values):
        # one by one: DuckDB names folders in its own way, and writes no JSON into several
        same = " AND ".join(
            f"CAST({quote_name(key)} AS VARCHAR) IS NOT DISTINCT FROM {_literal(value)}"
            for key, value in zip(target.keys, row, strict=True)
        )
        location = f"{target.location.rstrip('/')}/{partition_folder(target.keys, row)}"
        partitions.append(Partition(tuple(one or NULL_PARTITION for one in row), location))
        placed[_copy(session, rows, target, folder / f"data-{number}", where=same)] = location
    return Written(_upload(session, placed), partitions)


def _literal(value: str | None) -> str:
    return "NULL" if value is None else quote_text(value)


def too_many_partitions(kind: str, location: str) -> QueryFailed:
    """Return Athena's failure of a statement that writes too many partitions."""
    return QueryFailed(
        f"{kind}_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of {MOST_PARTITIONS} open writers for"
        f" partitions/buckets. If a data manifest file was generated at '{location}', you may need to"
        " manually clean the data from locations specified in the manifest. Athena will not delete data in"
        " your account."
    )


def _copy(session: Session, rows: Rows, target: Target, to: Path, *, where: str = "true") -> Path:
    """Let DuckDB write a file, and return it."""
    body = ", ".join(f"{expression} AS {quote_name(name)}" for expression, name in target.columns)
    select = f"SELECT {body} FROM {quote_name(rows.relation)} WHERE {where}"  # noqa: S608
    suffix = "" if target.format is Format.PARQUET else ".gz"
    file = to.with_name(to.name + suffix)
    session.cursor.execute(f"COPY ({select}) TO {quote_text(str(file))} ({_options(target)})")
    return file


def _options(target: Target) -> str:
    compression = target.compression.lower()
    match target.format:
        case Format.PARQUET:
            # Athena's own choice; Iceberg tables are written elsewhere
            chosen = "uncompressed" if compression == "none" else compression or "gzip"
            return f"FORMAT parquet, COMPRESSION {quote_text(chosen)}"
        case Format.JSON:
            return f"FORMAT json, COMPRESSION {quote_text(compression or 'gzip')}"
        case Format.TEXTFILE:
            delimiter = quote_text(target.delimiter or TEXT_SEPARATOR)
            return (
                f"FORMAT csv, HEADER false, NULLSTR '\\N', QUOTE '', DELIMITER {delimiter},"
                f" COMPRESSION {quote_text(compression or 'gzip')}"
            )
        case _:
            raise unsupported(f"writing {target.format}")


def _upload(session: Session, placed: dict[Path, str]) -> list[str]:
    """Put files into folders, under names that no other statement gives."""
    addresses = {
        file: f"{location.rstrip('/')}/{uuid.uuid4()}{file.suffix}" for file, location in placed.items()
    }
    session.objects.write_files(addresses.items())
    return list(addresses.values())


@contextmanager
def _folder(session: Session) -> Iterator[Path]:
    """Make a folder for unfinished files, and remove it at the end."""
    path = Path(tempfile.mkdtemp(prefix="write-", dir=session.engine.work))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
