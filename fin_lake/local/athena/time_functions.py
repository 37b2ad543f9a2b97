"""Athena's functions of dates, times and intervals.

Instants are UTC within DuckDB. A zone is kept only where the text of the query names it beside what
uses it: ``hour(t AT TIME ZONE 'America/New_York')``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.calls import Builder, Call, arity, by_count, filled, scalar
from fin_lake.local.athena.date_masks import java_date_mask, mysql_date_mask
from fin_lake.local.athena.errors import QueryFailed

_UNITS: Final = frozenset("millisecond second minute hour day week month quarter year".split())  # noqa: SIM905
PARTS: Final[Mapping[str, str]] = {
    **{name: name for name in ("year", "quarter", "month", "week", "day", "hour", "minute", "second")},
    "day_of_month": "day",
    "day_of_week": "isodow",
    "dow": "isodow",
    "day_of_year": "doy",
    "doy": "doy",
    "week_of_year": "week",
    "year_of_week": "isoyear",
    "yow": "isoyear",
    "timezone_hour": "timezone_hour",
    "timezone_minute": "timezone_minute",
}
"""Parts of a date or time: Athena's name, and that for ``date_part``."""


def _unit(call: Call) -> str:
    unit = call.text(0).lower()
    if unit not in _UNITS:
        raise QueryFailed(f"INVALID_FUNCTION_ARGUMENT: '{unit}' is not a valid DATE field")
    return unit


@arity(3)
def _date_add(call: Call) -> exp.Expr:
    one = exp.Interval(this=sql.text("1"), unit=exp.Var(this=_unit(call).upper()))
    return call.scalar("athena_plus", call[2], exp.Mul(this=exp.Paren(this=call[1]), expression=one))


@arity(3)
def _date_diff(call: Call) -> exp.Expr:
    return call.scalar("datesub", sql.text(_unit(call)), call[1], call[2])


@arity(2)
def _date_trunc(call: Call) -> exp.Expr:
    return call.scalar("athena_date_trunc", sql.text(_unit(call)), call[1])


def _formatted(mask: Callable[[str], str]) -> Builder:
    return arity(2)(lambda call: call.scalar("strftime", call[0], sql.text(mask(call.text(1)))))


def _parsed(call: Call, mask: str) -> exp.Expr:
    return call.scalar("athena_parse_date", call[0], sql.text(mask))


@arity(2)
def _date_parse(call: Call) -> exp.Expr:
    return _parsed(call, mysql_date_mask(call.text(1)))


@arity(2)
def _parse_datetime(call: Call) -> exp.Expr:
    return sql.call("timezone", sql.text("UTC"), _parsed(call, java_date_mask(call.text(1))))


TIMES: Final[Mapping[str, Builder]] = {
    **{name: filled(f"CAST(date_part('{part}', @1) AS BIGINT)", 1) for name, part in PARTS.items()},
    "current_timezone": filled("'UTC'", 0),
    "date": scalar("athena_date", 1),
    "date_add": _date_add,
    "date_diff": _date_diff,
    "date_format": _formatted(mysql_date_mask),
    "date_parse": _date_parse,
    "date_trunc": _date_trunc,
    "format_datetime": _formatted(java_date_mask),
    "from_iso8601_date": scalar("athena_date", 1),
    "from_iso8601_timestamp": scalar("athena_from_iso8601", 1),
    "from_unixtime": by_count(one=scalar("athena_from_unixtime", 1)),
    "from_unixtime_nanos": filled("make_timestamptz(CAST(@1 AS BIGINT) // 1000)", 1),
    "last_day_of_month": scalar("last_day", 1),
    "millisecond": scalar("athena_millisecond", 1),
    "now": scalar("athena_now", 0),
    "parse_datetime": _parse_datetime,
    "to_iso8601": scalar("athena_to_iso8601", 1),
    "to_milliseconds": scalar("athena_to_milliseconds", 1),
    "to_unixtime": scalar("epoch", 1),
}
