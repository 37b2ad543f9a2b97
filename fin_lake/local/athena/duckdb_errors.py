"""DuckDB's errors in Athena's words, which clients match."""

from __future__ import annotations

import re
from typing import Final

import duckdb

from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.trino_functions import TRINO_FUNCTIONS

_OURS: Final = re.compile(r"([A-Z][A-Z_]{5,}: .*)")
_COLUMN: Final = re.compile(r'Referenced column "([^"]+)" not found|does not have a column named "([^"]+)"')
_FUNCTION: Final = re.compile(r"Function with name \"?(\w+)\"? (?:does not exist|is not in the catalog)")
_LINE: Final = re.compile(r"LINE (\d+):")


def explain(error: duckdb.Error) -> QueryFailed:
    """Return the failure that Athena would report."""
    text = str(error).strip()
    first = text.split("\n", 1)[0]
    line = found[1] if (found := _LINE.search(text)) else "1"
    place = f"line {line}:1"
    if ours := _OURS.search(first):
        return QueryFailed(ours[1])
    if column := _COLUMN.search(first):
        name = (column[1] or column[2]).lower()
        return QueryFailed(f"COLUMN_NOT_FOUND: {place}: Column '{name}' cannot be resolved")
    if function := _FUNCTION.search(first):
        name = function[1].lower()
        if name in TRINO_FUNCTIONS:
            return unsupported(f"the function {name}")
        return QueryFailed(f"FUNCTION_NOT_FOUND: {place}: Function '{name}' not registered")
    return QueryFailed(f"{_kind(error, first)}{first.partition(': ')[2] or first}")


def _kind(error: duckdb.Error, first: str) -> str:
    match error:
        case duckdb.InterruptException():
            return "QUERY_CANCELLED: "
        case duckdb.OutOfMemoryException():
            return "EXCEEDED_LOCAL_MEMORY_LIMIT: "
        case duckdb.ConversionException():
            return "INVALID_CAST_ARGUMENT: "
        case duckdb.OutOfRangeException():
            return "NUMERIC_VALUE_OUT_OF_RANGE: "
        case duckdb.BinderException() if "GROUP BY" in first:
            return "EXPRESSION_NOT_AGGREGATE: line 1:1: "
        case duckdb.BinderException() | duckdb.ParserException() | duckdb.CatalogException():
            return "SYNTAX_ERROR: line 1:1: "
        case _:
            return "GENERIC_USER_ERROR: "
