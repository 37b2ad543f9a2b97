"""What a query gives: columns, rows as text, counts, and the files that Athena leaves in S3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from fin_lake.local.athena import types

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

Row = Sequence[str | None]


class StatementType(StrEnum):
    """Athena's classes of statements. Clients drop the header row of DML results by it."""

    DML = "DML"
    DDL = "DDL"
    UTILITY = "UTILITY"


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result: its name and Athena's type, with precision and scale where it has them."""

    name: str
    type: str
    precision: int = 0
    scale: int = 0
    case_sensitive: bool = False

    @classmethod
    def of(cls, name: str, type_: DuckDBPyType) -> ResultColumn:
        """Return the column for a type of DuckDB's."""
        found = types.athena_column(type_)
        return cls(name, found.name, found.precision, found.scale, found.case_sensitive)

    def as_json(self) -> dict[str, Any]:
        """Return Athena's ``ColumnInfo``."""
        return {
            "CatalogName": "hive",
            "SchemaName": "",
            "TableName": "",
            "Name": self.name,
            "Label": self.name,
            "Type": self.type,
            "Precision": self.precision,
            "Scale": self.scale,
            "Nullable": "UNKNOWN",
            "CaseSensitive": self.case_sensitive,
        }


ROWS: Final = ResultColumn("rows", "bigint", precision=19)
"""The column of a result that only counts."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished statement.

    Parameters
    ----------
    statement, substatement : str
        Athena's names for what it was: ``DDL`` and ``CREATE_TABLE_AS_SELECT``.
    columns, rows : sequence
        The result set; values as Athena prints them, null as ``None``.
    header : bool
        Whether the result set begins with the columns' names.
    update_count : int, optional
        Rows written, for statements that write rows.
    written : sequence of str
        Addresses of the data files that it wrote.
    scanned_bytes : int
        What it read.
    """

    statement: StatementType
    substatement: str
    columns: Sequence[ResultColumn] = ()
    rows: Sequence[Row] = ()
    header: bool = False
    update_count: int | None = None
    written: Sequence[str] = field(default=())
    scanned_bytes: int = 0

    def with_scanned(self, count: int) -> Result:
        """Return the same with the bytes that were read."""
        return replace(self, scanned_bytes=count)

    def page(self, start: int, size: int) -> tuple[Sequence[Row], int | None]:
        """Return rows, the header as the first of them if there is one, and where the next page starts."""
        total = len(self.rows) + self.header
        header: list[Row] = [[column.name for column in self.columns]] if self.header and not start else []
        first = max(start - self.header, 0)
        rows = [*header, *self.rows[first : first + size - len(header)]]
        return rows, start + size if start + size < total else None

    @property
    def suffix(self) -> str:
        """How the name of the object ends in which Athena leaves the result."""
        return ".csv" if self.header else ".txt"

    def as_file(self) -> tuple[str, bytes]:
        """Return the suffix and the content of the object in which Athena leaves the result."""
        if not self.header:
            text = "".join("\t".join(value or "" for value in row) + "\n" for row in self.rows)
            return self.suffix, text.encode()
        lines = [_csv_line([column.name for column in self.columns]), *map(_csv_line, self.rows)]
        return self.suffix, "".join(lines).encode()

    def manifest(self) -> bytes:
        """Return the list of data files that were written, an address a line."""
        return "".join(f"{url}\n" for url in self.written).encode()


def done(substatement: str) -> Result:
    """Return the result of a DDL statement that gives nothing."""
    return Result(StatementType.DDL, substatement)


def counted(statement: StatementType, substatement: str, count: int, written: Sequence[str] = ()) -> Result:
    """Return the result of a statement that wrote rows."""
    return Result(statement, substatement, (ROWS,), update_count=count, written=written)


def lines(statement: StatementType, substatement: str, column: str, values: Sequence[str]) -> Result:
    """Return a result of one column of text."""
    return Result(statement, substatement, (ResultColumn(column, "string"),), [[value] for value in values])


def rendered(rows: Sequence[Sequence[Any]], columns: Sequence[DuckDBPyType]) -> Iterator[list[str | None]]:
    """Yield the rows with each value as Athena prints it."""
    for row in rows:
        yield [types.render(value, type_) for value, type_ in zip(row, columns, strict=True)]


def _csv_line(row: Row) -> str:
    # null is nothing at all, the empty text is a pair of quotes: the csv module cannot tell them apart
    return ",".join("" if value is None else '"' + value.replace('"', '""') + '"' for value in row) + "\n"
