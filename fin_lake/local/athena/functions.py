"""Expressions whose meaning DuckDB does not share with Athena, each put right on the syntax tree."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.dialects import Trino

from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.trino_functions import TRINO_FUNCTIONS

_JODA: Final = (
    ("yyyy", "%Y"), ("YYYY", "%Y"), ("yy", "%y"), ("MMMM", "%B"), ("MMM", "%b"), ("MM", "%m"), ("dd", "%d"),
    ("EEEE", "%A"), ("EEE", "%a"), ("HH", "%H"), ("hh", "%I"), ("mm", "%M"), ("ss", "%S"), ("SSSSSS", "%f"),
    ("SSS", "%g"), ("DDD", "%j"), ("ZZ", "%z"), ("Z", "%z"), ("a", "%p"), ("M", "%-m"), ("d", "%-d"),
    ("H", "%-H"), ("e", "%u"), ("ww", "%V"), ("xxxx", "%G"),
)  # fmt: skip
"""Java's letters of date masks, the longer first, and those of strftime."""
_WHOLE: Final = (exp.DType.BIGINT, exp.DType.INT, exp.DType.SMALLINT, exp.DType.TINYINT)
_TEXTS: Final = (exp.DType.VARCHAR, exp.DType.TEXT)
_TIMES: Final = (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIME)
_MAPS: Final = frozenset(
    [
        "map_filter",
        "map_from_entries",
        "transform_values",
        "transform_keys",
        "map_concat",
        "histogram",
        "map_agg",
        "multimap_agg",
        "split_to_map",
        "tr_map_agg",
        "tr_multimap_agg",
        "map_zip_with",
    ]
)
_LISTS: Final = frozenset(
    [
        "array_sort",
        "array_distinct",
        "sequence",
        "split",
        "flatten",
        "slice",
        "array_agg",
        "map_keys",
        "map_values",
        "transform",
        "filter",
        "list_sort",
        "list_distinct",
        "tr_sequence",
        "tr_slice",
        "list_transform",
        "list_filter",
    ]
)
_SYNTAX: Final = (
    exp.Anonymous, exp.AnonymousAggFunc, exp.Cast, exp.TryCast, exp.Case, exp.If, exp.And, exp.Or, exp.Not,
    exp.Extract, exp.Trim, exp.Unnest, exp.Array, exp.Struct, exp.Exists, exp.Coalesce, exp.Concat,
    exp.Star, exp.Count, exp.Values,
)  # fmt: skip
"""Functions for sqlglot, syntax for a reader."""


def java_date_mask(mask: str) -> str:
    """Return a mask of Java's as one of strftime: ``yyyy-MM-dd`` as ``%Y-%m-%d``."""
    out, at = "", 0
    while at < len(mask):
        if mask[at] == "'":
            end = mask.index("'", at + 1)
            out += mask[at + 1 : end] or "'"
            at = end + 1
            continue
        letters, code = next(((a, b) for a, b in _JODA if mask.startswith(a, at)), (mask[at], mask[at]))
        out += code
        at += len(letters)
    return out


def refuse_unknown(tree: exp.Expr) -> None:
    """Return if Athena has all functions of a statement.

    Raises
    ------
    QueryFailed
        It has not; DuckDB may have.
    """
    for node in tree.find_all(exp.Func):
        name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
        known = name in TRINO_FUNCTIONS if name else isinstance(node, _SYNTAX) or type(node) in _known_kinds()
        if not known:
            shown = name or node.sql_name().lower()
            raise QueryFailed(f"FUNCTION_NOT_FOUND: line 1:1: Function '{shown}' not registered")


@functools.cache
def _known_kinds() -> frozenset[type]:
    """Return the kinds of node that sqlglot makes of Athena's functions."""
    found: set[type] = set()
    columns = [exp.column(name) for name in "abcd"]
    for name in TRINO_FUNCTIONS:
        for count in (0, 1, 2, 3, 4):
            arguments = ", ".join(column.sql() for column in columns[:count])
            try:
                tree = sqlglot.parse_one(f"{name}({arguments})", dialect=Trino)
            except (sqlglot.errors.ParseError, ValueError, IndexError, AttributeError):
                continue
            found |= {type(node) for node in tree.find_all(exp.Func)}
    for text in ("current_timestamp", "localtimestamp", "current_date", "a || b", "a is distinct from b",
                 "position(a in b)", "array_agg(a order by b)", "listagg(a, ',') within group (order by b)",
                 "a like b escape 'c'", "lag(a) ignore nulls over (order by b)", "a at time zone 'UTC'",
                 "current_time", "approx_percentile(a, 0.5)", "interval '1' day", "array[1]", "row(1, 2)",
                 "grouping(a)", "percent_rank() over ()", "a[1]", "date_trunc('month', a)",
                 "lower(to_hex(a))", "date_add('day', 1, a)", "date_diff('day', a, b)", "json_object('a' value 1)"):  # fmt: skip
        found |= {type(node) for node in sqlglot.parse_one(text, dialect=Trino).find_all(exp.Func)}
    return frozenset(found)


def inner_filters(tree: exp.Expr) -> None:
    """Move ``FILTER (WHERE …)`` of aggregates that become several into their arguments."""
    for node in list(tree.find_all(exp.Filter)):
        if isinstance(node.this, exp.Anonymous) and node.this.name.lower() in ("map_agg", "multimap_agg"):
            made = mended(node.this)
            inner = made.expressions[0]
            both = exp.and_(inner.expression.this, node.expression.this)
            inner.set("expression", exp.Where(this=both))
            node.replace(made)


def mended(node: exp.Expr) -> exp.Expr:
    """Return what stands for a node in DuckDB: the node itself, if it means the same there."""
    if isinstance(node, exp.Anonymous):
        change = _CALLS.get(node.name.lower())
        return change(node.expressions) if change else node
    change_node = _NODES.get(type(node))
    return change_node(node) if change_node else node


def _call(name: str, *arguments: exp.Expr | None) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=[one for one in arguments if one is not None])


def _text(text: str) -> exp.Literal:
    return exp.Literal.string(text)


def _number(number: int) -> exp.Literal:
    return exp.Literal.number(number)


def _unit(node: exp.Expr) -> exp.Literal:
    unit = node.args.get("unit")
    return _text((unit.name if unit is not None else "day").lower())


def _lambda(name: str, body: exp.Expr) -> exp.Lambda:
    return exp.Lambda(this=body, expressions=[exp.to_identifier(name)])


def _applied(function: exp.Expr, arguments: Sequence[exp.Expr]) -> exp.Expr:
    """Return a lambda's body with its parameters replaced."""
    values = dict(zip((one.name for one in function.expressions), arguments, strict=False))

    def replaced(node: exp.Expr) -> Any:
        if isinstance(node, exp.Column) and not node.table and node.name in values:
            return values[node.name].copy()
        if isinstance(node, exp.Identifier) and node.name in values:
            fixed = (exp.Column, exp.Dot, exp.Table, exp.Lambda, exp.PropertyEQ, exp.Alias)
            return node if isinstance(node.parent, fixed) else values[node.name].copy()
        return node

    body: exp.Expr = function.this.copy().transform(replaced)
    return body


def _divides(call: str) -> Callable[[exp.Expr], exp.Expr]:
    def change(node: exp.Expr) -> exp.Expr:
        divisor = node.expression.unnest()
        if isinstance(divisor, exp.Nullif) or (
            isinstance(divisor, exp.Literal) and not divisor.is_string and float(divisor.name)
        ):
            return node
        suffix = "_or_null" if node.find_ancestor(exp.Try) else ""  # TRY takes no call that may fail
        return _call(call + suffix, node.this, node.expression)

    return change


def _data_type(node: exp.Expr) -> exp.Expr:
    if node.this in _TIMES and node.expressions:
        node.set("expressions", [])  # the precision; DuckDB's is microseconds
    return node


def _cast(node: exp.Expr) -> exp.Expr:
    to, value = node.to, node.this
    literal = isinstance(value, exp.Literal)
    if to.this == exp.DType.DECIMAL and not to.expressions:
        precision, scale = 38, 0
        if literal and value.is_string:
            whole, _, fraction = value.name.lstrip("+-").partition(".")
            precision, scale = max(len(whole.lstrip("0")) + len(fraction), 1), len(fraction)
        to.set("expressions", [exp.DataTypeParam(this=_number(one)) for one in (precision, scale)])
    if type(node) is exp.Cast and to.this in _TEXTS and not (literal and value.is_string):
        return _call("tr_varchar", value)
    if type(node) is exp.Cast and to.this in _WHOLE and literal and "e" in value.name.lower():
        node.set("this", _call("round", value))
    return node


def _date_add(node: exp.Expr) -> exp.Expr:
    one = exp.Interval(this=_text("1"), unit=node.args.get("unit"))
    return _call("tr_add", node.this, exp.Mul(this=exp.Paren(this=node.expression), expression=one))


def _plus_interval(node: exp.Expr) -> exp.Expr:
    interval = node.expression
    if not isinstance(interval, exp.Interval):
        return node
    if isinstance(node, exp.Sub):
        interval = exp.Mul(this=exp.Neg(this=_number(1)), expression=interval)
    return _call("tr_add", node.this, interval)


def _regexp_replace(node: exp.Expr) -> exp.Expr:
    to = node.args.get("replacement")
    if isinstance(to, exp.Lambda):
        raise unsupported("regexp_replace with a lambda")
    if isinstance(to, exp.Literal):
        to = _text(re.sub(r"\$(\d)", r"\\\1", to.name))
    return _call("regexp_replace", node.this, node.expression, to or _text(""), _text("g"))


def _reduce(node: exp.Expr) -> exp.Expr:
    reduced = _call("list_reduce", node.this, node.args["merge"], node.args["initial"])
    finish = node.args.get("finish")
    return _applied(finish, [reduced]) if finish is not None else reduced


def _array_sort(node: exp.Expr) -> exp.Expr:
    if isinstance(node.args.get("expression"), exp.Lambda):
        raise unsupported("array_sort with a comparator")
    return node


def _strict(node: exp.Expr) -> exp.Expr:
    """Greatest and least: null if a value is null, which DuckDB passes over."""
    values = [node.this, *node.expressions]
    some_null = exp.or_(*(exp.Is(this=one.copy(), expression=exp.Null()) for one in values))
    plain = _call("greatest" if isinstance(node, exp.Greatest) else "least", *values)
    return exp.Case(ifs=[exp.If(this=some_null, true=exp.Null())], default=plain)


def _concat(node: exp.Expr) -> exp.Expr:
    joined = node.expressions[0]
    for one in node.expressions[1:]:
        joined = exp.DPipe(this=joined, expression=one)
    return exp.Paren(this=joined)


def _pipe(node: exp.Expr) -> exp.Expr:
    left, right = _is_list(node.this), _is_list(node.expression)
    if left and isinstance(node.expression, exp.Literal):
        return _call("list_append", node.this, node.expression)
    if right and isinstance(node.this, exp.Literal):
        return _call("list_prepend", node.this, node.expression)
    return node


def _reverse(node: exp.Expr) -> exp.Expr:
    return _call("list_reverse", node.this) if _is_list(node.this) else node


def _is_list(node: exp.Expr) -> bool:
    inner = node.unnest()
    if isinstance(inner, exp.Anonymous):
        return inner.name.lower() in _LISTS
    return isinstance(inner, (exp.Array, exp.ArrayAgg, exp.ArraySort, exp.Split))


def _is_map(node: exp.Expr) -> bool:
    inner = node.unnest()
    if isinstance(inner, (exp.Map, exp.VarMap, exp.MapFromEntries)):
        return True
    return isinstance(inner, exp.Anonymous) and inner.name.lower() in _MAPS


def _cardinality(node: exp.Expr) -> exp.Expr:
    if _is_map(node.this):
        return _call("cardinality", node.this)
    return _call("len", node.this) if _is_list(node.this) else _call("tr_cardinality", node.this)


def _unnest(node: exp.Expr) -> exp.Expr:
    alias = node.args.get("alias")
    if alias is None or node.args.get("offset"):
        return node
    several = len(node.expressions) > 1
    if not several and len(alias.columns) < 2:  # noqa: PLR2004 - one column of one list
        return node
    value = _call("list_zip", *node.expressions) if several else node.expressions[0]
    if not several and _is_map(value):
        value = _call("map_entries", value)
    inner = sqlglot.parse_one("SELECT unnest(x, max_depth := 2)", read="duckdb")
    column = inner.find(exp.Column)
    if column is not None:
        column.replace(value)
    return exp.Lateral(this=exp.Subquery(this=inner), alias=alias)


def _subquery(node: exp.Expr) -> exp.Expr:
    if not isinstance(node.this, exp.Table):
        return node
    if node.args.get("alias") is not None:  # FROM (t): DuckDB wants no parentheses
        node.this.set("alias", node.args["alias"])
    table: exp.Expr = node.this
    return table


def _repeat(node: exp.Expr) -> exp.Expr:
    return node if node.this.is_string else _call("tr_list_repeat", node.this, node.args["times"])


_NODES: Final[Mapping[type, Callable[[Any], exp.Expr]]] = {
    exp.DataType: _data_type,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Div: _divides("tr_div"),
    exp.Mod: _divides("tr_mod"),
    exp.Add: _plus_interval,
    exp.Sub: _plus_interval,
    exp.DateDiff: lambda node: _call("datesub", _unit(node), node.expression, node.this),
    exp.DateAdd: _date_add,
    exp.TsOrDsAdd: _date_add,
    exp.TimestampTrunc: lambda node: _call("tr_date_trunc", _unit(node), node.this),
    exp.DateTrunc: lambda node: _call("tr_date_trunc", _unit(node), node.this),
    exp.RegexpExtract: lambda node: _call(
        "regexp_extract_null", node.this, node.expression, node.args.get("group") or _number(0)
    ),
    exp.RegexpReplace: _regexp_replace,
    exp.ArraySlice: lambda node: _call("tr_slice", node.this, node.args["start"], node.args["end"]),
    exp.Reduce: _reduce,
    exp.ArraySort: _array_sort,
    exp.Greatest: _strict,
    exp.Least: _strict,
    exp.Concat: _concat,
    exp.DPipe: _pipe,
    exp.Reverse: _reverse,
    exp.Normalize: lambda node: _call("nfc_normalize", node.this),
    exp.ArraySize: _cardinality,
    exp.ArrayMax: lambda node: _call("tr_array_max", node.this),
    exp.ArrayMin: lambda node: _call("tr_array_min", node.this),
    exp.ArrayRemove: lambda node: _call("tr_array_remove", node.this, node.expression),
    exp.Repeat: _repeat,
    exp.Subquery: _subquery,
    exp.Unnest: _unnest,
    exp.GenerateSeries: lambda node: _call(
        "tr_sequence", node.args["start"], node.args["end"], node.args.get("step")
    ),
    exp.Typeof: lambda node: _call("lower", node.copy()),
    exp.Format: lambda node: _call("printf", node.this, *node.expressions),
    exp.StrToMap: lambda node: _call(
        "split_to_map", node.this, node.args["pair_delim"], node.args["key_value_delim"]
    ),
    exp.ParseDatetime: lambda node: _call(
        "timezone",
        _text("UTC"),
        _call("strptime", node.this, _text(java_date_mask(node.args["format"].name))),
    ),
}


def _matches(aggregate: str, otherwise: exp.Expr) -> Callable[[Sequence[exp.Expr]], exp.Expr]:
    def change(arguments: Sequence[exp.Expr]) -> exp.Expr:
        found = _call(aggregate, _call("list_transform", *arguments))
        empty = exp.EQ(this=_call("len", arguments[0].copy()), expression=_number(0))
        return exp.Case(ifs=[exp.If(this=empty, true=otherwise.copy())], default=found)

    return change


def _none_match(arguments: Sequence[exp.Expr]) -> exp.Expr:
    return exp.Not(this=_matches("list_bool_or", exp.false())(arguments))


def _zip_with(arguments: Sequence[exp.Expr]) -> exp.Expr:
    pair = exp.to_identifier("__pair")
    parts = [_call("struct_extract", pair.copy(), _number(index)) for index in (1, 2)]
    body = _applied(arguments[2], parts)
    return _call("list_transform", _call("list_zip", *arguments[:2]), _lambda("__pair", body))


def _over_entries(which: str) -> Callable[[Sequence[exp.Expr]], exp.Expr]:
    def change(arguments: Sequence[exp.Expr]) -> exp.Expr:
        key, value = (sqlglot.parse_one(f"__entry.{part}") for part in ("key", "value"))
        body = _applied(arguments[1], [key, value])
        entries = _call("map_entries", arguments[0])
        if which == "filter":
            return _call("map_from_entries", _call("list_filter", entries, _lambda("__entry", body)))
        new = _pair(key, body) if which == "values" else _pair(body, value)
        return _call("map_from_entries", _call("list_transform", entries, _lambda("__entry", new)))

    return change


def _pair(key: exp.Expr, value: exp.Expr) -> exp.Struct:
    parts = (("k", key), ("v", value))
    return exp.Struct(
        expressions=[exp.PropertyEQ(this=exp.to_identifier(name), expression=one) for name, one in parts]
    )


def _map_agg(call: str) -> Callable[[Sequence[exp.Expr]], exp.Expr]:
    def change(arguments: Sequence[exp.Expr]) -> exp.Expr:
        pairs = _call("list", _pair(arguments[0], arguments[1]))
        known = exp.Not(this=exp.Is(this=arguments[0].copy(), expression=exp.Null()))
        return _call(call, exp.Filter(this=pairs, expression=exp.Where(this=known)))

    return change


def _format_datetime(arguments: Sequence[exp.Expr]) -> exp.Expr:
    return _call("strftime", arguments[0], _text(java_date_mask(arguments[1].name)))


_CALLS: Final[Mapping[str, Callable[[Sequence[exp.Expr]], exp.Expr]]] = {
    "millisecond": lambda arguments: _call("tr_millisecond", *arguments),
    "to_milliseconds": lambda arguments: _call("tr_to_milliseconds", *arguments),
    "format_datetime": _format_datetime,
    "at_timezone": lambda arguments: arguments[0],  # the moment is the same
    "any_match": _matches("list_bool_or", exp.false()),
    "all_match": _matches("list_bool_and", exp.true()),
    "none_match": _none_match,
    "zip": lambda arguments: _call("list_zip", *arguments),
    "zip_with": _zip_with,
    "map_filter": _over_entries("filter"),
    "transform_values": _over_entries("values"),
    "transform_keys": _over_entries("keys"),
    "map_agg": _map_agg("tr_map_agg"),
    "multimap_agg": _map_agg("tr_multimap_agg"),
    "every": lambda arguments: _call("bool_and", *arguments),
    "array_except": lambda arguments: _call("tr_array_except", *arguments),
    "array_remove": lambda arguments: _call("tr_array_remove", *arguments),
    "array_max": lambda arguments: _call("tr_array_max", *arguments),
    "array_min": lambda arguments: _call("tr_array_min", *arguments),
    "normalize": lambda arguments: _call("nfc_normalize", arguments[0]),
}
