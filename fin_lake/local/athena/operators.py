"""Operators, literals and what else of expressions has a syntax of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlglot import exp

from fin_lake.local.athena import casts, zones
from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.collection_functions import element, joined
from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.functions import translated
from fin_lake.local.athena.kinds import Kind, kind
from fin_lake.local.athena.time_functions import PARTS

_SPANS: Final[Mapping[tuple[str, str], tuple[re.Pattern[str], str]]] = {
    ("YEAR", "MONTH"): (re.compile(r"(\d+)-(\d+)"), "{0} years {1} months"),
    ("DAY", "SECOND"): (re.compile(r"(\d+) (\d+):(\d+):([\d.]+)"), "{0} days {1}:{2}:{3}"),
    ("DAY", "MINUTE"): (re.compile(r"(\d+) (\d+):(\d+)"), "{0} days {1}:{2}:00"),
    ("DAY", "HOUR"): (re.compile(r"(\d+) (\d+)"), "{0} days {1} hours"),
    ("HOUR", "SECOND"): (re.compile(r"(\d+):(\d+):([\d.]+)"), "{0}:{1}:{2}"),
    ("HOUR", "MINUTE"): (re.compile(r"(\d+):(\d+)"), "{0}:{1}:00"),
    ("MINUTE", "SECOND"): (re.compile(r"(\d+):([\d.]+)"), "00:{0}:{1}"),
}


def _divided(node: exp.Expr) -> exp.Expr:
    left, right = kind(node.this), kind(node.expression)
    if Kind.FLOAT in (left, right) or left is Kind.INTERVAL:
        return exp.Paren(this=exp.Div(this=node.this, expression=node.expression, typed=False, safe=False))
    if node.meta.get("or_null"):
        return sql.call("athena_divide_or_null", node.this, node.expression)
    safe = _never_zero(node.expression)
    if left is Kind.WHOLE and right is Kind.WHOLE:
        if safe:
            return exp.Paren(this=exp.IntDiv(this=node.this, expression=node.expression))
        return sql.call("athena_divide_whole", node.this, node.expression)
    return sql.call("athena_divide_unchecked" if safe else "athena_divide", node.this, node.expression)


def _modulo(node: exp.Expr) -> exp.Expr:
    if _never_zero(node.expression) or Kind.FLOAT in (kind(node.this), kind(node.expression)):
        return node
    suffix = "_or_null" if node.meta.get("or_null") else ""
    return sql.call(f"athena_modulo{suffix}", node.this, node.expression)


def _never_zero(node: exp.Expr) -> bool:
    inner = node.unnest()
    if isinstance(inner, exp.Anonymous) and inner.name == "nullif":
        inner = inner.expressions[1]
        return isinstance(inner, exp.Literal) and not inner.is_string and not float(inner.name)
    return isinstance(inner, exp.Literal) and not inner.is_string and float(inner.name) != 0


def _added(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.expression
    kinds = (kind(left), kind(right))
    if Kind.INTERVAL in kinds:
        if kinds[0] is kinds[1] or (set(kinds) & {Kind.TIMESTAMP, Kind.ZONED}):
            return node
        if kinds[0] is Kind.INTERVAL:
            return sql.call("athena_plus", right, left)
        if isinstance(node, exp.Sub):
            right = exp.Mul(this=exp.Neg(this=sql.number(1)), expression=exp.Paren(this=right))
        return sql.call("athena_plus", left, right)
    if isinstance(node, exp.Sub) and Kind.DATE in kinds:
        left, right = (sql.cast(one, "TIMESTAMP") for one in (left, right))
        return exp.Paren(this=exp.Sub(this=left, expression=right))
    return node


def _interval(node: exp.Expr) -> exp.Expr:
    unit = node.args.get("unit")
    value = node.this
    if not isinstance(unit, exp.IntervalSpan) or not isinstance(value, exp.Literal):
        return node
    shape = _SPANS.get((unit.this.name.upper(), unit.expression.name.upper()))
    sign = "-" if value.name.startswith("-") else ""
    found = shape and shape[0].fullmatch(value.name.lstrip("+-"))
    if not shape or not found:
        raise QueryFailed(f"INVALID_LITERAL: line 1:1: '{value.name}' is not a valid interval literal")
    made = exp.Interval(this=sql.text(shape[1].format(*found.groups())))
    return exp.Mul(this=exp.Neg(this=sql.number(1)), expression=made) if sign else made


def _subscript(node: exp.Expr) -> exp.Expr:
    if node.meta.get("or_null"):
        return node
    return element(node.this, node.expressions[0])


def _field(node: exp.Expr) -> exp.Expr:
    if isinstance(node.this, (exp.Identifier, exp.Column)):
        return node
    return sql.field(node.this, node.expression.name)


def _extract(node: exp.Expr) -> exp.Expr:
    part = PARTS.get(node.name.lower())
    if part is None:
        raise QueryFailed(f"line 1:1: Invalid EXTRACT field: {node.name}")
    return sql.cast(sql.call("date_part", sql.text(part), node.expression), "BIGINT")


def _trim(node: exp.Expr) -> exp.Expr:
    side = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
    characters = node.expression
    return sql.call(side, node.this, characters) if characters else sql.call(f"athena_{side}", node.this)


def _typed_call(name: str, *keys: str) -> Callable[[exp.Expr], exp.Expr]:
    """Return a function that treats a node of sqlglot's as the call of a function of Athena's."""

    def rewrite(node: exp.Expr) -> exp.Expr:
        arguments = [node.args[key] for key in keys if node.args.get(key)] if keys else node.expressions
        return translated(sql.call(name, *arguments))

    return rewrite


def _normalize(node: exp.Expr) -> exp.Expr:
    form = node.args.get("form")
    return translated(sql.call("normalize", node.this, *([sql.text(form.name)] if form else [])))


def _map(node: exp.Expr) -> exp.Expr:
    keys, values = node.args.get("keys"), node.args.get("values")
    return translated(sql.call("map", *(one for one in (keys, values) if one is not None)))


def _unicode(node: exp.Expr) -> exp.Expr:
    escape = node.args.get("escape")
    mark = re.escape(escape.name if isinstance(escape, exp.Expr) else "\\")
    found = re.sub(
        rf"{mark}(?:\+([0-9a-fA-F]{{6}})|([0-9a-fA-F]{{4}}))",
        lambda one: chr(int(one[1] or one[2], 16)),
        node.name,
    )
    return sql.text(found)


OPERATORS: Final[Mapping[type, Callable[[Any], exp.Expr]]] = {
    exp.Add: _added,
    exp.AtTimeZone: lambda node: zones.at_time_zone(node.this, node.args["zone"]),
    exp.Bracket: _subscript,
    exp.Cast: casts.cast,
    exp.Concat: _typed_call("concat"),
    exp.CurrentTime: lambda _: sql.cast(sql.call("athena_now"), "TIME"),
    exp.CurrentTimestamp: lambda _: sql.call("athena_now"),
    exp.DPipe: lambda node: joined(node.this, node.expression),
    exp.DataType: casts.data_type,
    exp.Div: _divided,
    exp.Dot: _field,
    exp.Extract: _extract,
    exp.HexString: lambda node: sql.call("unhex", sql.text(node.name)),
    exp.Interval: _interval,
    exp.Localtime: lambda _: sql.cast(sql.call("athena_now"), "TIME"),
    exp.Localtimestamp: lambda _: sql.cast(sql.call("athena_now"), "TIMESTAMP"),
    exp.Lower: _typed_call("lower", "this"),
    exp.Map: _map,
    exp.Mod: _modulo,
    exp.Normalize: _normalize,
    exp.ParseJSON: _typed_call("json_parse", "this"),
    exp.StrPosition: _typed_call("strpos", "this", "substr"),
    exp.Struct: lambda node: sql.row(node.expressions),
    exp.Sub: _added,
    exp.Substring: _typed_call("substr", "this", "start", "length"),
    exp.Trim: _trim,
    exp.TryCast: casts.cast,
    exp.UnicodeString: _unicode,
    exp.Upper: _typed_call("upper", "this"),
    exp.VarMap: _map,
}
"""What stands for each kind of node; what is within it is translated already."""
