"""A table's files as a relation of DuckDB.

Columns come in the types that Glue declares, whatever the files hold; a column that a file lacks is
null. Partition columns are read from the folders of the cache, which are named after their values, so
that DuckDB leaves out files by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from duckdb.sqltypes import DuckDBPyType

from fin_lake.local.athena.errors import unsupported
from fin_lake.local.athena.glue_tables import Format, GlueTable
from fin_lake.local.athena.types import from_hive, quote_name, quote_text

_LARGEST_LINE: Final = 64 * 1024 * 1024
_CTRL_A: Final = "\x01"
"""Hive's separator of fields where a table names none."""

Typed = Sequence[tuple[str, DuckDBPyType]]


def scan(table: GlueTable, paths: Sequence[Path]) -> str:
    """Return a select in DuckDB's SQL over a table's files.

    Parameters
    ----------
    table : GlueTable
        A table that is neither a view nor Iceberg.
    paths : sequence of pathlib.Path
        Files in the cache.

    Raises
    ------
    QueryFailed
        A format or type that is not supported.
    """
    columns = [(name, from_hive(type_)) for name, type_ in table.columns]
    keys = [(name, from_hive(type_)) for name, type_ in table.partition_keys]
    if not paths:
        return empty([*columns, *keys])
    reader = _READERS.get(table.format)
    if reader is None:
        raise unsupported(f"reading {table.format}")
    files = "[" + ", ".join(quote_text(str(path)) for path in paths) + "]"
    return reader(table, columns, keys, files)


def empty(columns: Typed) -> str:
    """Return a select that has the columns and no row."""
    nulls = ", ".join(f"CAST(NULL AS {type_}) AS {quote_name(name)}" for name, type_ in columns)
    return f"SELECT {nulls} WHERE false"


def _parquet(_: GlueTable, columns: Typed, keys: Typed, files: str) -> str:
    casts = ", ".join(
        f"CAST({quote_name(name)} AS {type_}) AS {quote_name(name)}" for name, type_ in (*columns, *keys)
    )
    read = f"read_parquet({files}, union_by_name=true, {_partitioning(keys)})"
    # the union adds, as null, the columns that no file has; what the files have besides is left out
    return f"SELECT {casts} FROM (FROM ({empty(columns)}) UNION ALL BY NAME SELECT * FROM {read})"  # noqa: S608


def _json(table: GlueTable, columns: Typed, keys: Typed, files: str) -> str:
    parameters = table.serde_parameters
    paths = {
        key.removeprefix("mapping."): path for key, path in parameters.items() if key.startswith("mapping.")
    }
    types = _struct({paths.get(name, name): str(type_) for name, type_ in columns})
    names = ", ".join(
        [
            *(f"{quote_name(paths.get(name, name))} AS {quote_name(name)}" for name, _ in columns),
            *(quote_name(name) for name, _ in keys),
        ]
    )
    lenient = parameters.get("ignore.malformed.json", "false").lower()
    read = (
        f"read_json({files}, format='newline_delimited', columns={types}, ignore_errors={lenient},"
        f" maximum_object_size={_LARGEST_LINE}, {_partitioning(keys)})"
    )
    return f"SELECT {names} FROM {read}"  # noqa: S608


def _text(table: GlueTable, columns: Typed, keys: Typed, files: str) -> str:
    parameters = table.serde_parameters
    separator = parameters.get("field.delim") or parameters.get("serialization.format") or _CTRL_A
    options = {
        "delim": quote_text(_CTRL_A if separator == "1" else separator),
        "quote": "''",
        "escape": "''",
        "nullstr": quote_text(parameters.get("serialization.null.format", "\\N")),
    }
    # Hive reads what is not of the type as null
    return _delimited(table, columns, keys, files, options, cast="TRY_CAST")


def _csv(table: GlueTable, columns: Typed, keys: Typed, files: str) -> str:
    parameters = table.serde_parameters
    options = {
        "delim": quote_text(parameters.get("separatorchar", ",")),
        "quote": quote_text(parameters.get("quotechar", '"')),
        "escape": quote_text('"'),
    }
    return _delimited(table, columns, keys, files, options, cast="CAST")


def _delimited(
    table: GlueTable, columns: Typed, keys: Typed, files: str, options: Mapping[str, str], cast: str
) -> str:
    given = {
        **options,
        "columns": _struct({name: "VARCHAR" for name, _ in columns}),
        "header": "false",
        "skip": str(int(table.parameters.get("skip.header.line.count", 0))),
        "null_padding": "true",
        "auto_detect": "false",
    }
    names = ", ".join(
        [
            *(f"{cast}({quote_name(name)} AS {type_}) AS {quote_name(name)}" for name, type_ in columns),
            *(quote_name(name) for name, _ in keys),
        ]
    )
    said = ", ".join(f"{name}={value}" for name, value in given.items())
    return f"SELECT {names} FROM read_csv({files}, {said}, {_partitioning(keys)})"  # noqa: S608


_Reader = Callable[[GlueTable, Typed, Typed, str], str]
_READERS: Final[Mapping[Format, _Reader]] = {
    Format.PARQUET: _parquet,
    Format.JSON: _json,
    Format.TEXTFILE: _text,
    Format.CSV: _csv,
}


def _partitioning(keys: Typed) -> str:
    if not keys:
        return "hive_partitioning=false"
    types = ", ".join(f"{quote_text(name)}: {type_}" for name, type_ in keys)
    return f"hive_partitioning=true, hive_types={{{types}}}"


def _struct(types: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{quote_text(name)}: {quote_text(type_)}" for name, type_ in types.items()) + "}"
