"""Athena's names of types, as ``typeof`` gives them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Final

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
_NESTED: Final = re.compile(r"(MAP|STRUCT)\((.*)\)", re.DOTALL)
_FIELD: Final = re.compile(r'(?:("(?:[^"]|"")*"|\w+) )(?!WITH )(.+)', re.DOTALL)
_PART: Final = re.compile(r'"(?:[^"]|"")*"|[(),]|[^"(),]+')


@functools.lru_cache(1024)
def trino_name(name: str) -> str:
    """Return Athena's name of a type of DuckDB's: ``array(row(a integer))`` of ``STRUCT(a INTEGER)[]``."""
    if name.endswith("[]"):
        return f"array({trino_name(name[:-2])})"
    nested = _NESTED.fullmatch(name)
    if not nested:
        return _NAMES.get(name, name.lower())
    if nested[1] == "MAP":
        return f"map({', '.join(trino_name(part) for part in _parts(nested[2]))})"
    return f"row({', '.join(_field(part) for part in _parts(nested[2]))})"


def _field(text: str) -> str:
    found = _FIELD.fullmatch(text)
    return f"{found[1]} {trino_name(found[2])}" if found else trino_name(text)


def _parts(text: str) -> Iterator[str]:
    """Yield what stands between the outermost commas."""
    depth, part = 0, ""
    for piece in _PART.findall(text):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece == "," and not depth:
            yield part.strip()
            part = ""
        else:
            part += piece
    yield part.strip()
