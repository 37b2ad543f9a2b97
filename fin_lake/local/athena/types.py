"""Types between Hive (and Glue), DuckDB and Athena's results, and values as Athena prints them.

DuckDB's own type objects are the one representation in between.
"""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import duckdb
from duckdb.sqltypes import DuckDBPyType
from sqlglot import exp
from sqlglot.errors import ParseError

from fin_lake.local.athena.errors import QueryFailed

_HIVE: Final[Mapping[str, str]] = {
    "VARCHAR": "string",
    "INTEGER": "int",
    "BIGINT": "bigint",
    "SMALLINT": "smallint",
    "TINYINT": "tinyint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "BLOB": "binary",
    # sums and hashes of DuckDB are wider than Athena's
    "HUGEINT": "bigint",
    "UHUGEINT": "bigint",
    "UBIGINT": "bigint",
    "UINTEGER": "bigint",
    "USMALLINT": "int",
    "UTINYINT": "smallint",
}
_ATHENA: Final = {"string": "varchar", "int": "integer", "binary": "varbinary"}
_NOT_IN_HIVE: Final[Mapping[str, str]] = {
    "TIMESTAMP WITH TIME ZONE": "timestamp(3) with time zone",
    "TIME": "time(3)",
    "INTERVAL": "interval day to second",
    "JSON": "json",
    "UUID": "uuid",
    '"NULL"': "unknown",
    "NULL": "unknown",
}
_PRECISION: Final = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19, "float": 17, "double": 17}
_LARGEST: Final = 2_147_483_647
_PLAIN_FROM, _PLAIN_TO = 1e-3, 1e7
_UTC: Final = dt.timedelta(0)


@dataclass(frozen=True, slots=True)
class AthenaColumnType:
    """A type as ``ColumnInfo`` of Athena's results has it."""

    name: str
    precision: int = 0
    scale: int = 0
    case_sensitive: bool = False


@functools.lru_cache(1024)
def from_hive(text: str) -> DuckDBPyType:
    """Return DuckDB's type for one of Hive's: ``array<struct<a:int>>``.

    Raises
    ------
    QueryFailed
        There is no such type.
    """
    try:
        return duckdb.sqltype(exp.DataType.build(text, dialect="hive").sql("duckdb"))
    except (ParseError, ValueError, duckdb.Error) as error:
        raise QueryFailed(f"FAILED: ParseException: cannot recognize the type {text!r}") from error


def to_hive(type_: DuckDBPyType) -> str:
    """Return Hive's text for a type of DuckDB's."""
    match type_.id:
        case "list" | "array":
            return f"array<{to_hive(_children(type_)['child'])}>"
        case "map":
            children = _children(type_)
            return f"map<{to_hive(children['key'])},{to_hive(children['value'])}>"
        case "struct":
            fields = ",".join(f"{name}:{to_hive(child)}" for name, child in _fields(type_))
            return f"struct<{fields}>"
        case "decimal":
            children = _children(type_)
            return f"decimal({children['precision']},{children['scale']})"
        case _:
            return _HIVE.get(str(type_), "string")


def athena_column(type_: DuckDBPyType) -> AthenaColumnType:
    """Return how Athena's results describe a column of a type."""
    match type_.id:
        case "list" | "array":
            return AthenaColumnType("array")
        case "map":
            return AthenaColumnType("map")
        case "struct":
            return AthenaColumnType("row")
        case "decimal":
            children = _children(type_)
            return AthenaColumnType("decimal", int(children["precision"]), int(children["scale"]))
    hive = _HIVE.get(str(type_))
    name = _ATHENA.get(hive, hive) if hive else _NOT_IN_HIVE.get(str(type_), "varchar").partition("(")[0]
    if name == "varchar":
        return AthenaColumnType(name, _LARGEST, 0, case_sensitive=True)
    return AthenaColumnType(name, _PRECISION.get(name, 3 if name.startswith("timestamp") else 0))


def storable(type_: DuckDBPyType) -> DuckDBPyType:
    """Return the type to which values are cast before they are written into a table."""
    match type_.id:
        case "list" | "array":
            return duckdb.sqltype(f"{storable(_children(type_)['child'])}[]")
        case "map":
            children = _children(type_)
            return duckdb.sqltype(f"MAP({storable(children['key'])}, {storable(children['value'])})")
        case "struct":
            fields = ", ".join(f"{quote_name(name)} {storable(child)}" for name, child in _fields(type_))
            return duckdb.sqltype(f"STRUCT({fields})")
        case "decimal":
            return type_
    hive = _HIVE.get(str(type_), "string")
    return duckdb.sqltype("TIMESTAMPTZ") if hive.endswith("zone") else from_hive(hive)


def not_in_hive(type_: DuckDBPyType) -> str | None:
    """Return Athena's name of a type within this one that no Hive table can hold."""
    if type_.id in ("list", "array", "map", "struct"):
        found = (not_in_hive(child) for _, child in type_.children if isinstance(child, DuckDBPyType))
        return next((one for one in found if one), None)
    return _NOT_IN_HIVE.get(str(type_))


def render(value: Any, type_: DuckDBPyType) -> str | None:
    """Return a value that DuckDB gave as Athena prints it; null is ``None``."""
    return None if value is None else _text(value, type_)


def quote_name(name: str) -> str:
    """Return a name in DuckDB's SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a text in SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def _children(type_: DuckDBPyType) -> dict[str, Any]:
    return dict(type_.children)


def _fields(type_: DuckDBPyType) -> Iterator[tuple[str, DuckDBPyType]]:
    """Yield the names, in lower case, and types of a struct's fields; without a name they are numbered."""
    for at, (name, child) in enumerate(type_.children):
        if isinstance(child, DuckDBPyType):
            yield name.lower() or f"field{at}", child


def _nested(value: Any, type_: DuckDBPyType) -> str:
    return "null" if value is None else _text(value, type_)


def _text(value: Any, type_: DuckDBPyType) -> str:
    match type_.id:
        case "list" | "array":
            child = _children(type_)["child"]
            return "[" + ", ".join(_nested(one, child) for one in value) + "]"
        case "map":
            return _map(value, _children(type_))
        case "struct":
            # of a row without names DuckDB gives a tuple
            values = value if isinstance(value, tuple) else value.values()
            fields = zip(_fields(type_), values, strict=True)
            return "{" + ", ".join(f"{name}={_nested(one, child)}" for (name, child), one in fields) + "}"
        case "float":
            return _float(_shortest(value))
        case _:
            return _plain(value)


def _map(value: dict[Any, Any], children: Mapping[str, Any]) -> str:
    entries: Iterable[tuple[Any, Any]] = value.items()
    if children["key"].id in ("list", "array", "map", "struct"):  # they cannot be keys of a dictionary
        entries = zip(value["key"], value["value"], strict=True)
    pairs = (f"{_nested(key, children['key'])}={_nested(one, children['value'])}" for key, one in entries)
    return "{" + ", ".join(pairs) + "}"


def _plain(value: Any) -> str:  # noqa: PLR0911 - a case for each kind of value
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return _float(value)
        case dt.datetime():
            return _timestamp(value)
        case dt.timedelta():
            return _interval(value)
        case dt.time():
            return value.isoformat("milliseconds")
        case dt.date():
            return value.isoformat()
        case bytes() | bytearray():
            return value.hex(" ")
        case decimal.Decimal():
            return format(value, "f")
        case _:
            return str(value)


def _timestamp(value: dt.datetime) -> str:
    text = value.replace(tzinfo=None).isoformat(" ", "milliseconds")
    if value.tzinfo is None:
        return text
    return f"{text} {'UTC' if value.utcoffset() == _UTC else value.tzinfo}"


def _interval(value: dt.timedelta) -> str:
    sign, value = ("-", -value) if value < _UTC else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{value.days} {hours:02d}:{minutes:02d}:{seconds:02d}.{value.microseconds // 1000:03d}"


def _shortest(value: float) -> float:
    """Return the number of fewest digits that is the same in single precision."""
    if not math.isfinite(value):
        return value
    candidates = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next(one for one in candidates if struct.pack("f", one) == struct.pack("f", value))


def _float(value: float) -> str:
    """Print as Java's Double.toString does: at least one decimal, powers of ten from 10⁷ and below 10⁻³."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    digits = decimal.Decimal(repr(value))
    if value == 0 or _PLAIN_FROM <= abs(value) < _PLAIN_TO:
        text = format(digits, "f")
        return text if "." in text else text + ".0"
    sign, all_digits, exponent = digits.normalize().as_tuple()
    mantissa = "".join(map(str, all_digits))
    point = len(mantissa) - 1 + int(exponent)
    return f"{'-' if sign else ''}{mantissa[0]}.{mantissa[1:] or '0'}E{point}"
