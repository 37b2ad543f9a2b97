"""DuckDB's errors in Athena's words, which clients match."""

from __future__ import annotations

import re
from typing import Final

import duckdb

from fin_lake.local.athena.errors import QueryFailed

RAISED: Final = "athena:"
"""What stands before Athena's own words in an error that the macros and functions raise."""
_RAISED: Final = re.compile(RAISED + r"([A-Z_]+: .*?)(?:' to (?:INT8|TINYINT)\b.*)?$", re.DOTALL)
_PLACE: Final = "line 1:1"
_PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (
            r'Referenced column "([^"]+)" not found|does not have a column named "([^"]+)"',
            "COLUMN_NOT_FOUND: {place}: Column '{0}' cannot be resolved",
        ),
        (
            r'Referenced table "([^"]+)" not found',
            "COLUMN_NOT_FOUND: {place}: Column '{0}' cannot be resolved",
        ),
        (
            r'Ambiguous reference to column name "([^"]+)"',
            "AMBIGUOUS_NAME: {place}: Column '{0}' is ambiguous",
        ),
        (
            r'column "([^"]+)" must appear in the GROUP BY clause',
            (
                "EXPRESSION_NOT_AGGREGATE: {place}: '{0}' must be an aggregate expression or appear in"
                " GROUP BY clause"
            ),
        ),
        (
            r"(WHERE|GROUP BY) clause cannot contain (?:aggregates|window)",
            (
                "EXPRESSION_NOT_SCALAR: {place}: {0} clause cannot contain aggregations, window functions"
                " or grouping operations"
            ),
        ),
        (
            r"Table with name (\S+) does not exist",
            "TABLE_NOT_FOUND: {place}: Table '{0}' does not exist",
        ),
        (
            r"More than one row returned by a subquery",
            "SUBQUERY_MULTIPLE_ROWS: Scalar sub-query has returned multiple rows",
        ),
        (
            r"Could not convert string '(.*)' to (\w+)",
            "INVALID_CAST_ARGUMENT: Cannot cast '{0}' to {type}",
        ),
        (
            r'invalid (date|timestamp) field format: "(.*?)"',
            "INVALID_CAST_ARGUMENT: Value cannot be cast to {0}: {1}",
        ),
        (
            r"Set operations can only apply to expressions with the same number of result columns",
            "TYPE_MISMATCH: {place}: UNION query has different number of fields",
        ),
        (
            r"Map keys must be unique",
            "INVALID_FUNCTION_ARGUMENT: Duplicate map keys are not allowed",
        ),
        (
            r"Type INT128 with value (\S+) can't be cast because the value is out of range for .* INT64",
            "NUMERIC_VALUE_OUT_OF_RANGE: bigint overflow: {0}",
        ),
        (
            r"Overflow in (\w+) of INT\d+ \((.*)\)",
            "NUMERIC_VALUE_OUT_OF_RANGE: {0} overflow: {1}",
        ),
        (
            r"with value (\S+) can't be cast because the value is out of range for .* type (\w+)",
            "INVALID_CAST_ARGUMENT: Out of range for {type}: {0}",
        ),
        (
            r"No function matches the given name and argument types '(\S+?)\((.*)\)'",
            "TYPE_MISMATCH: {place}: Unexpected parameters ({1}) for function {0}",
        ),
    )
)
_TYPES: Final = {"INT8": "TINYINT", "INT16": "SMALLINT", "INT32": "INT", "INT64": "BIGINT", "BOOL": "BOOLEAN"}
_KINDS: Final[tuple[tuple[type[duckdb.Error], str], ...]] = (
    (duckdb.InterruptException, "QUERY_CANCELLED: "),
    (duckdb.OutOfMemoryException, "EXCEEDED_LOCAL_MEMORY_LIMIT: "),
    (duckdb.ConversionException, "INVALID_CAST_ARGUMENT: "),
    (duckdb.OutOfRangeException, "NUMERIC_VALUE_OUT_OF_RANGE: "),
    (duckdb.BinderException, "SYNTAX_ERROR: {place}: "),
    (duckdb.ParserException, "SYNTAX_ERROR: {place}: "),
    (duckdb.CatalogException, "SYNTAX_ERROR: {place}: "),
    (duckdb.InvalidInputException, "INVALID_FUNCTION_ARGUMENT: "),
)


def explain(error: duckdb.Error) -> QueryFailed:
    """Return the failure that Athena would report.

    Its place is always ``line 1:1``: DuckDB knows that in its own SQL alone.
    """
    text = str(error).strip()
    if raised := _RAISED.search(text):
        return QueryFailed(raised[1])
    first = text.split("\n", 1)[0]
    for pattern, words in _PATTERNS:
        if found := pattern.search(first):
            return QueryFailed(_filled(words, found))
    kind = next((words for type_, words in _KINDS if isinstance(error, type_)), "GENERIC_USER_ERROR: ")
    return QueryFailed(kind.format(place=_PLACE) + (first.partition(": ")[2] or first))


def _filled(words: str, found: re.Match[str]) -> str:
    parts = [one for one in found.groups() if one is not None]
    type_ = _TYPES.get(parts[-1], parts[-1]) if parts else ""
    if words.startswith(("COLUMN", "AMBIGUOUS", "TABLE", "EXPRESSION_NOT_AGGREGATE")):
        parts = [one.lower() for one in parts]
    return words.format(*parts, place=_PLACE, type=type_)
