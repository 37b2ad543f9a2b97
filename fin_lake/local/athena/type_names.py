"""Athena's names of types, as ``typeof`` gives them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

import duckdb
from duckdb.sqltypes import DuckDBPyType

_NAMES: Final[Mapping[str, str]] = {
    "FLOAT": "real",
    "BLOB": "varbinary",
    "TIMESTAMP": "timestamp(3)",
    "TIMESTAMP WITH TIME ZONE": "timestamp(3) with time zone",
    "TIME": "time(3)",
    "INTERVAL": "interval day to second",
    "HUGEINT": "bigint",
    "UBIGINT": "bigint",
    '"NULL"': "unknown",
    "NULL": "unknown",
}


@functools.lru_cache(1024)
def trino_name(duckdb_name: str) -> str:
    """Return Athena's name of a type of DuckDB's: ``array(row(a integer))`` of ``STRUCT(a INTEGER)[]``."""
    if duckdb_name in _NAMES:
        return _NAMES[duckdb_name]
    return _name(duckdb.sqltype(duckdb_name))


def _name(type_: DuckDBPyType) -> str:
    match type_.id:
        case "list" | "array":
            return f"array({_name(dict(type_.children)['child'])})"
        case "map":
            children = dict(type_.children)
            return f"map({_name(children['key'])}, {_name(children['value'])})"
        case "struct":
            fields = (f"{name} {_name(child)}".strip() for name, child in type_.children)
            return f"row({', '.join(fields)})"
    return _NAMES.get(str(type_), str(type_).lower())
