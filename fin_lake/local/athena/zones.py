"""Timestamps with a zone other than UTC, as far as the text of a query settles them.

DuckDB keeps the instant and no zone. A value that was put into a zone is marked; what uses it beside
(a part of the date, a comparison, a cast) takes the local time or the instant. A marked value that
is left would be printed in UTC: it is refused.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.errors import unsupported
from fin_lake.local.athena.kinds import Kind, told
from fin_lake.local.athena.time_functions import PARTS

MARK: Final = "athena_zoned"
_UTC: Final = frozenset(("utc", "z", "gmt", "etc/utc", "+00:00", "-00:00", "universal"))
_LOCAL: Final = frozenset(
    (*PARTS, "date", "date_format", "format_datetime", "last_day_of_month", "millisecond")
)
"""Functions that go by the local time."""
_INSTANT: Final = frozenset(("to_unixtime", "at_timezone", "count", "approx_distinct"))
_COMPARED: Final = (
    exp.Between,
    exp.EQ,
    exp.GT,
    exp.GTE,
    exp.In,
    exp.Is,
    exp.LT,
    exp.LTE,
    exp.NEQ,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
)


def in_zone(instant: exp.Expr, zone: exp.Expr) -> exp.Expr:
    """Return an instant in a zone, marked unless the zone is UTC."""
    if isinstance(zone, exp.Literal) and zone.name.lower() in _UTC:
        return told(instant, Kind.ZONED)
    return told(sql.call(MARK, instant, zone), Kind.ZONED)


def at_time_zone(value: exp.Expr, zone: exp.Expr) -> exp.Expr:
    """Return ``value AT TIME ZONE zone``: the same instant, in another zone."""
    return in_zone(_instant(value) if is_zoned(value) else sql.cast(value, "TIMESTAMPTZ"), zone)


def with_timezone(value: exp.Expr, zone: exp.Expr) -> exp.Expr:
    """Return the instant at which a clock in the zone shows a timestamp, in that zone."""
    return in_zone(sql.call("timezone", zone.copy(), sql.cast(value, "TIMESTAMP")), zone)


def is_zoned(node: exp.Expr) -> bool:
    """Return whether a translated value is marked."""
    return isinstance(node, exp.Anonymous) and node.name == MARK


def settle(node: exp.Expr) -> None:
    """Replace the marked values directly within a node that knows what to do with them."""
    for child in list(node.iter_expressions()):
        if not is_zoned(child):
            continue
        if isinstance(node, exp.Extract) or (isinstance(node, exp.Anonymous) and node.name in _LOCAL):
            child.replace(_local(child))
        elif isinstance(node, _COMPARED) or (isinstance(node, exp.Anonymous) and node.name in _INSTANT):
            child.replace(_instant(child))
        elif isinstance(node, (exp.Cast, exp.TryCast)):
            child.replace(_for_cast(child, node.to.this))


def truncated(unit: exp.Expr, value: exp.Expr) -> exp.Expr:
    """Return ``date_trunc`` of a marked value, by the clock of its zone."""
    zone = value.expressions[1]
    return in_zone(sql.call("timezone", zone.copy(), sql.call("date_trunc", unit, _local(value))), zone)


def refuse_left(tree: exp.Expr) -> None:
    """Raise ``QueryFailed`` if a marked value is left."""
    for node in tree.find_all(exp.Anonymous):
        if is_zoned(node):
            raise unsupported(f"a timestamp in the zone {node.expressions[1].name} as a value by itself")


def _instant(node: exp.Expr) -> exp.Expr:
    return told(node.expressions[0].copy(), Kind.ZONED)


def _local(node: exp.Expr) -> exp.Expr:
    instant, zone = node.expressions
    return told(sql.call("timezone", zone.copy(), instant.copy()), Kind.TIMESTAMP)


def _for_cast(node: exp.Expr, to: exp.DType) -> exp.Expr:
    if to in (exp.DType.VARCHAR, exp.DType.TEXT):
        zone = exp.DPipe(this=sql.text(" "), expression=node.expressions[1].copy(), safe=True)
        shown = exp.DPipe(this=sql.call("athena_varchar", _local(node)), expression=zone, safe=True)
        return told(exp.Paren(this=shown), Kind.TEXT)
    return node if to == exp.DType.TIMESTAMPTZ else _local(node)
