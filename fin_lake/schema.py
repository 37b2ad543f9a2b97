"""What a table is: columns and places, and the schemas that come of them.

Here are the Arrow and polars schemas, the PostgreSQL DDL and Dagster's column schema of any table; which
tables there are is for :mod:`fin_lake.tables` to say. No data is read or written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from string import Formatter
from typing import TYPE_CHECKING, Final, Literal

import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    import dagster as dg

AssetClass = Literal["stocks", "crypto"]
ASSET_CLASSES: Final[tuple[AssetClass, ...]] = ("stocks", "crypto")


class ColumnType(StrEnum):
    """A column's type, named as Athena and Glue name it."""

    STRING = "string"
    TIMESTAMP = "timestamp"
    DOUBLE = "double"
    BIGINT = "bigint"
    BOOLEAN = "boolean"


_ARROW: Final[Mapping[ColumnType, pa.DataType]] = {
    ColumnType.STRING: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    ColumnType.DOUBLE: pa.float64(),
    ColumnType.BIGINT: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
}
_POLARS: Final[Mapping[ColumnType, pl.DataType]] = {
    ColumnType.STRING: pl.String(),
    ColumnType.TIMESTAMP: pl.Datetime("us", "UTC"),
    ColumnType.DOUBLE: pl.Float64(),
    ColumnType.BIGINT: pl.Int64(),
    ColumnType.BOOLEAN: pl.Boolean(),
}
_POSTGRES: Final[Mapping[ColumnType, str]] = {
    ColumnType.STRING: "text",
    ColumnType.TIMESTAMP: "timestamptz",
    ColumnType.DOUBLE: "double precision",
    ColumnType.BIGINT: "bigint",
    ColumnType.BOOLEAN: "boolean",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, type, meaning, and whether it may be null."""

    name: str
    type: ColumnType
    description: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table of hours.

    Parameters
    ----------
    name : str
        What it is called in messages: ``processed/stocks``.
    description : str
        What a row is.
    columns : tuple of Column
        In their order in every store.
    key : tuple of str
        The columns that identify a row; empty where rows may repeat (raw, quarantine).
    asset_class : {'stocks', 'crypto'}, optional
        What trades in it, if it is one of them.
    lake_prefix : str
        Where its objects lie in the bucket, without a slash at the end. ``{portfolio}`` in it stands for
        the value of that column, which the objects themselves do not hold then.
    file_stem : str
        What its objects are called: ``stock_data``.
    formats : tuple of str
        The formats in which the lake keeps it. A table of several has a folder for each.
    postgres : str
        Its name in the schema ``market``; empty if PostgreSQL does not hold it.
    postgres_part : tuple of str, optional
        A column and its value in all rows, where several tables share one in PostgreSQL.
    hour_column : str
        The time by which a row belongs to an hour.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    asset_class: AssetClass | None
    lake_prefix: str
    file_stem: str
    key: tuple[str, ...] = ()
    formats: tuple[Literal["json", "parquet"], ...] = ("parquet",)
    postgres: str = ""
    postgres_part: tuple[str, str] | None = None
    hour_column: str = "timestamp"
    _column_names: tuple[str, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_column_names", tuple(column.name for column in self.columns))

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return self._column_names

    @property
    def number_names(self) -> tuple[str, ...]:
        """The names of the columns that can be summed."""
        return tuple(c.name for c in self.columns if c.type in (ColumnType.DOUBLE, ColumnType.BIGINT))

    @property
    def split_by(self) -> str | None:
        """The column whose value is part of the place in the lake."""
        found = [name for _, name, *_ in Formatter().parse(self.lake_prefix) if name]
        return found[0] if found else None

    def part(self, value: str) -> Table:
        """Return the table of the rows with one value in the column by which it is split."""
        return replace(
            self,
            lake_prefix=self.lake_prefix.format_map({str(self.split_by): value}),
            columns=tuple(one for one in self.columns if one.name != self.split_by),
            key=tuple(name for name in self.key if name != self.split_by),
        )

    def arrow_schema(self) -> pa.Schema:
        """Return the Arrow schema, with each column's description in its metadata."""
        return pa.schema(
            [
                pa.field(c.name, _ARROW[c.type], c.nullable, {"description": c.description})
                for c in self.columns
            ]
        )

    def polars_schema(self) -> pl.Schema:
        """Return the polars schema."""
        return pl.Schema({c.name: _POLARS[c.type] for c in self.columns})

    def empty(self) -> pl.DataFrame:
        """Return the table without a row."""
        return pl.DataFrame(schema=self.polars_schema())

    def postgres_ddl(self, schema: str) -> list[str]:
        """Return the statements that create the table, its index and its comments, idempotently.

        The primary key leads with the symbol, for a symbol's history; the index on the time serves
        the replacement of an hour and the latest bars.
        """
        place = f'"{schema}"."{self.postgres}"'
        columns = [
            f'"{c.name}" {_POSTGRES[c.type]}' + ("" if c.nullable else " not null") for c in self.columns
        ]
        columns.append("primary key (" + ", ".join(f'"{name}"' for name in self.key) + ")")
        return [
            f"create table if not exists {place} ({', '.join(columns)})",
            f'create index if not exists "{self.postgres}_timestamp" on {place} ("timestamp")',
            f"comment on table {place} is {sql_literal(self.description)}",
            *(f'comment on column {place}."{c.name}" is {sql_literal(c.description)}' for c in self.columns),
        ]

    def dagster_schema(self) -> dg.TableSchema:
        """Return the column schema that the Dagster UI shows."""
        import dagster as dg  # noqa: PLC0415 - a second and a half, and the stack's commands do without

        return dg.TableSchema(
            columns=[
                dg.TableColumn(
                    c.name,
                    c.type.value,
                    c.description,
                    constraints=dg.TableColumnConstraints(nullable=c.nullable),
                )
                for c in self.columns
            ]
        )


def sql_literal(text: str) -> str:
    """Return a text as it stands in SQL."""
    return "'" + text.replace("'", "''") + "'"
