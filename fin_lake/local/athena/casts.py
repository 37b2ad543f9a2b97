"""``CAST`` and ``TRY_CAST``: Athena takes fewer texts than DuckDB, and rounds and prints otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.errors import unsupported
from fin_lake.local.athena.kinds import Kind, kind
from fin_lake.local.athena.zones import in_zone

_WHOLE: Final[Mapping[exp.DType, str]] = {
    exp.DType.TINYINT: "tinyint",
    exp.DType.SMALLINT: "smallint",
    exp.DType.INT: "integer",
    exp.DType.BIGINT: "bigint",
}
_CHECKED: Final[Mapping[exp.DType, str]] = {
    **_WHOLE,
    exp.DType.BOOLEAN: "boolean",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMP: "timestamp",
    exp.DType.TIMESTAMPTZ: "zoned",
}
"""Types for which texts must be checked, and the macros that do it."""
_PLAIN_TEXT: Final[Mapping[exp.DType, re.Pattern[str]]] = {
    exp.DType.DATE: re.compile(r"\d{4}-\d\d-\d\d"),
    exp.DType.TIMESTAMP: re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d(\.\d{1,6})?)?)?"),
}
_TEXTS: Final = (exp.DType.VARCHAR, exp.DType.TEXT)
_TIMES: Final = (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIME)
_REFUSED: Final = (exp.DType.HLLSKETCH, exp.DType.TDIGEST, exp.DType.IPADDRESS, exp.DType.IPPREFIX)
_LENGTH: Final = "athena_length"
"""Where a cast keeps n of VARCHAR(n) and CHAR(n)."""
_ZONE: Final = re.compile(r"(.*\d) ?([A-Za-z][\w/+-]*|[+-]\d\d:?\d\d)")


def data_type(node: exp.DataType) -> exp.DataType:
    """Return a type as DuckDB has it."""
    if node.this in _REFUSED:
        raise unsupported(f"the type {node.this.value.lower()}")
    if node.this in (*_TIMES, *_TEXTS, exp.DType.CHAR) and node.expressions:
        if node.this not in _TIMES and node.parent is not None:
            node.parent.meta[_LENGTH] = int(node.expressions[0].name)
        node.set("expressions", [])  # DuckDB's times have microseconds, its texts no limit
    elif node.this == exp.DType.DECIMAL and not node.expressions:
        node.set("expressions", [exp.DataTypeParam(this=sql.number(one)) for one in (38, 0)])
    return node


def cast(node: exp.Cast | exp.TryCast) -> exp.Expr:
    """Return a cast, of which the value and the type are translated already."""
    lenient = isinstance(node, exp.TryCast) or bool(node.meta.get("or_null"))
    value, to = node.this, node.to.this
    known = kind(value)
    if isinstance(value, exp.Null):
        return exp.Cast(this=value, to=node.to)
    if to in _TEXTS or to == exp.DType.CHAR:
        return _text(value, known, to, node.meta.get(_LENGTH))
    if to == exp.DType.JSON:
        return (
            value if known is Kind.JSON else sql.call("athena_to_json" if known is None else "to_json", value)
        )
    if to == exp.DType.TIMESTAMPTZ and isinstance(value, exp.Literal):
        return _instant(node, value)
    if to in _CHECKED and not _is_plain(value, known, to):
        return sql.call(f"athena_{_CHECKED[to]}{'_or_null' if lenient else ''}", value)
    return exp.TryCast(this=value, to=node.to) if lenient else exp.Cast(this=value, to=node.to)


def _is_plain(value: exp.Expr, known: Kind | None, to: exp.DType) -> bool:
    """Return whether DuckDB's cast does as Athena's."""
    if isinstance(value, exp.Literal) and value.is_string:
        return to in _PLAIN_TEXT and _PLAIN_TEXT[to].fullmatch(value.name) is not None
    return known not in (None, Kind.TEXT, Kind.FLOAT, Kind.JSON) or (known is Kind.FLOAT and to not in _WHOLE)


def _text(value: exp.Expr, known: Kind | None, to: exp.DType, length: int | None) -> exp.Expr:
    made = value if known is Kind.TEXT else sql.call("athena_varchar", value)
    if known in (Kind.WHOLE, Kind.DATE, Kind.BOOLEAN, Kind.DECIMAL):
        made = sql.cast(value, "VARCHAR")
    if known is Kind.TEXT and not isinstance(value, exp.Literal):
        made = sql.cast(value, "VARCHAR")
    if to == exp.DType.CHAR:
        return sql.call("rpad", made, sql.number(length or 1), sql.text(" "))
    return sql.call("left", made, sql.number(length)) if length else made


def _instant(node: exp.Cast | exp.TryCast, value: exp.Literal) -> exp.Expr:
    """Return ``timestamp '2026-01-01 00:00:00 UTC'``: an instant, in the zone that the text names."""
    found = _ZONE.fullmatch(value.name.strip())
    if not found or isinstance(node, exp.TryCast):
        name = "athena_zoned_or_null" if isinstance(node, exp.TryCast) else "athena_zoned"
        return sql.call(name, value)
    at, zone = sql.cast(sql.text(found[1]), "TIMESTAMP"), sql.text(found[2])
    return in_zone(sql.call("timezone", zone.copy(), at), zone)
