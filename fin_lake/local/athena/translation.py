"""Athena's SQL, which is Trino's, as SQL of DuckDB with the same answers.

A statement is parsed (:mod:`parsing`), and its tree is rewritten from the leaves upwards: calls by
:mod:`functions`, operators and casts here and in :mod:`casts`, with the help of DuckDB macros
(:mod:`macros`). Types are DuckDB's business: where the meaning depends on them and the text alone does
not tell them (:mod:`kinds`), a macro asks for them.

Known differences from Athena:

- types are not checked as strictly: a text compared with a number is converted;
- a decimal quotient may be declared with more digits than Athena declares; its value is the same.
  ``avg(decimal) OVER`` is exact to 15 digits;
- percentiles and counts of distinct values are exact where Athena's are near;
- a timestamp's zone is kept only within an expression, see :mod:`zones`; elsewhere it is UTC;
- the difference of two date columns is a number of days, unless one is visibly a date;
- regular expressions are RE2's: those with look-around fail; a group that took no part gives '';
- an interval of months is printed in days.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlglot import exp
from sqlglot.errors import ErrorLevel, UnsupportedError

from fin_lake.local.athena import casts, zones
from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.aggregate_functions import AGGREGATES
from fin_lake.local.athena.calls import WRAPPERS
from fin_lake.local.athena.collection_functions import element, joined
from fin_lake.local.athena.date_masks import java_date_mask
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.functions import translated
from fin_lake.local.athena.kinds import Kind, kind, told
from fin_lake.local.athena.parsing import bind_parameters, parse
from fin_lake.local.athena.time_functions import PARTS
from fin_lake.local.athena.unnesting import unnested

__all__ = ["bind_parameters", "java_date_mask", "name_outputs", "parse", "to_duckdb"]

_INSTANTS: Final = (Kind.DATE, Kind.TIMESTAMP, Kind.ZONED)
_STRICT: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Paren, exp.Cast, exp.Bracket)
"""Null for a null: within ``TRY`` a failure below one of these may as well be a null."""
_MAY_FAIL: Final = (exp.Div, exp.Mod, exp.Cast, exp.Bracket)
_NOT_ATHENA: Final[Mapping[type, str]] = {
    exp.Glob: "GLOB",
    exp.ILike: "ILIKE",
    exp.JSONExtract: "->",
    exp.JSONExtractScalar: "->>",
    exp.Qualify: "QUALIFY",
    exp.RegexpLike: "~",
    exp.SimilarTo: "SIMILAR",
    exp.Pivot: "PIVOT",
}
_UNSUPPORTED: Final[Mapping[type, str]] = {
    exp.CurrentCatalog: "current_catalog",
    exp.CurrentRole: "current_role",
    exp.CurrentUser: "current_user",
    exp.JSONArray: "the function json_array",
    exp.JSONExists: "the function json_exists",
    exp.JSONObject: "the function json_object",
    exp.JSONTable: "JSON_TABLE",
    exp.JSONValue: "the function json_value",
    exp.MatchRecognize: "MATCH_RECOGNIZE",
}
_SPANS: Final[Mapping[tuple[str, str], tuple[re.Pattern[str], str]]] = {
    ("YEAR", "MONTH"): (re.compile(r"(\d+)-(\d+)"), "{0} years {1} months"),
    ("DAY", "SECOND"): (re.compile(r"(\d+) (\d+):(\d+):([\d.]+)"), "{0} days {1}:{2}:{3}"),
    ("DAY", "MINUTE"): (re.compile(r"(\d+) (\d+):(\d+)"), "{0} days {1}:{2}:00"),
    ("DAY", "HOUR"): (re.compile(r"(\d+) (\d+)"), "{0} days {1} hours"),
    ("HOUR", "SECOND"): (re.compile(r"(\d+):(\d+):([\d.]+)"), "{0}:{1}:{2}"),
    ("HOUR", "MINUTE"): (re.compile(r"(\d+):(\d+)"), "{0}:{1}:00"),
    ("MINUTE", "SECOND"): (re.compile(r"(\d+):([\d.]+)"), "00:{0}:{1}"),
}


def name_outputs(tree: exp.Expr) -> exp.Expr:
    """Return a copy of a query whose unnamed columns are ``_col0``, ``_col1`` …, as Athena names them.

    It is to be applied to what is given out, before :func:`to_duckdb`. Names stay as they were written;
    Athena answers them in lower case.
    """
    named = tree.copy()
    if isinstance(named, exp.Values):
        return exp.select("*").from_(_with_columns(named))
    for select in named.find_all(exp.Select):
        select.set("expressions", [_named(one, index) for index, one in enumerate(select.expressions)])
    for values in list(named.find_all(exp.Values)):
        inside = values.parent.parent if isinstance(values.parent, exp.Subquery) else values.parent
        if isinstance(inside, (exp.From, exp.Join)):
            _with_columns(values)
    return named


def _named(one: exp.Expr, index: int) -> exp.Expr:
    inner = one.unnest()
    if one.is_star or isinstance(one, (exp.Alias, exp.Aliases, exp.Column)):
        return one
    named = isinstance(inner, (exp.Dot, exp.Column)) and not inner.is_star
    return exp.alias_(one, inner.name.lower() if named else f"_col{index}", quoted=True)


def _with_columns(values: exp.Values) -> exp.Values:
    alias = values.args.get("alias")
    if alias is None:
        alias = exp.TableAlias(this=exp.to_identifier("_values"))
    rows = values.expressions
    width = len(rows[0].expressions) if rows and isinstance(rows[0], exp.Tuple) else 1
    if not alias.columns:
        alias.set("columns", [exp.to_identifier(f"_col{index}") for index in range(width)])
    values.set("alias", alias)
    return values


def to_duckdb(tree: exp.Expr) -> str:
    """Return a statement, or an expression, in DuckDB's SQL. The tree is not changed.

    Parameters
    ----------
    tree : sqlglot.exp.Expr
        From :func:`parse`; its tables are relations of DuckDB.

    Raises
    ------
    QueryFailed
        It uses what Athena does not have, or what is not supported here.
    """
    tree = tree.copy()
    for attempt in [one for one in tree.find_all(exp.Anonymous) if one.name == "try"]:
        _prepare_try(attempt)
    for listing in list(tree.find_all(exp.GroupConcat)):
        tree = _put(tree, listing, _listagg(listing))
    # from the leaves upwards: what is put in a node's place is not visited again
    for node in reversed(list(tree.walk(bfs=False))):
        if (
            isinstance(node.parent, WRAPPERS)
            and node.arg_key == "this"
            and isinstance(node, (exp.Anonymous, *WRAPPERS))
        ):
            continue  # f(x) FILTER (…) OVER (…) is one call
        tree = _put(tree, node, _rewritten(node))
    zones.refuse_left(tree)
    try:
        return tree.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise unsupported(str(error)) from error


def _put(tree: exp.Expr, node: exp.Expr, new: exp.Expr) -> exp.Expr:
    """Put a node in the place of another, and return the tree: another one if it was the root."""
    if new is node:
        return tree
    parent, key, index = node.parent, node.arg_key, node.index
    if parent is None:
        new.parent = None
        return new
    parent.set(str(key), new, index)
    return tree


def _rewritten(node: exp.Expr) -> exp.Expr:
    if type(node) in _NOT_ATHENA:
        raise QueryFailed(f"line 1:1: mismatched input '{_NOT_ATHENA[type(node)]}'")
    if type(node) in _UNSUPPORTED:
        raise unsupported(_UNSUPPORTED[type(node)])
    zones.settle(node)
    rewrite = _NODES.get(type(node))
    if rewrite is None:
        return node
    known = kind(node)
    new = rewrite(node)
    return new if new is node or zones.is_zoned(new) else told(new, known)


# --- calls


def _call(node: exp.Expr) -> exp.Expr:
    core = node
    while isinstance(core, WRAPPERS):
        core = core.this
    if not isinstance(core, exp.Anonymous):
        return node  # a window by its name
    if core.name == "try":
        return core.expressions[0] if core.meta.get("nulls") else sql.call("try", *core.expressions)
    if core.name in ("at_timezone", "with_timezone"):
        put = zones.at_time_zone if core.name == "at_timezone" else zones.with_timezone
        return put(*core.expressions)
    if core.name == "from_unixtime" and len(core.expressions) == 2:  # noqa: PLR2004 - seconds and zone
        return zones.in_zone(sql.call("athena_from_unixtime", core.expressions[0]), core.expressions[1])
    if core.name == "date_trunc" and len(core.expressions) == 2 and zones.is_zoned(core.expressions[1]):  # noqa: PLR2004
        return zones.truncated(*core.expressions)
    return translated(node)


def _prepare_try(attempt: exp.Anonymous) -> None:
    """Make failures nulls below a ``TRY`` over aggregates, which DuckDB's own does not take.

    Raises
    ------
    QueryFailed
        A null there would not become the answer, as ``coalesce`` could hide it.
    """
    inner = list(_outside_aggregates(attempt.expressions[0])) if attempt.expressions else []
    if not any(_is_aggregate(one) or isinstance(one, exp.Query) for one in inner):
        return
    attempt.meta["nulls"] = True
    for node in inner:
        if not isinstance(node, _MAY_FAIL):
            continue
        node.meta["or_null"] = True
        above = node.parent
        while above is not attempt:
            if not isinstance(above, _STRICT):
                raise unsupported("TRY over an aggregate within a conditional")
            above = above.parent if above is not None else attempt


def _is_aggregate(node: exp.Expr) -> bool:
    return isinstance(node, (exp.Window, exp.GroupConcat)) or (
        isinstance(node, exp.Anonymous) and node.name in AGGREGATES
    )


def _outside_aggregates(node: exp.Expr) -> Any:
    yield node
    if not (_is_aggregate(node) or isinstance(node, exp.Query)):
        for child in node.iter_expressions():
            yield from _outside_aggregates(child)


def _listagg(node: exp.GroupConcat) -> exp.Expr:
    """Return ``listagg(x, separator) WITHIN GROUP (ORDER BY y)`` as a call, the order within."""
    ordered = node.this
    values = ordered.this if isinstance(ordered, exp.Order) else ordered
    separator: exp.Expr = node.args.get("separator") or sql.text("")
    if isinstance(ordered, exp.Order):
        separator = exp.Order(this=separator, expressions=ordered.expressions)
    return sql.call("listagg", values, separator)


# --- operators


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


# --- clauses


def _subquery(node: exp.Expr) -> exp.Expr:
    if not isinstance(node.this, exp.Table):
        return node
    if node.args.get("alias") is not None:  # FROM (t): DuckDB wants no parentheses
        node.this.set("alias", node.args["alias"])
    table: exp.Expr = node.this
    return table


def _fetch(node: exp.Expr) -> exp.Expr:
    options = node.args.get("limit_options")
    if options is not None and options.args.get("with_ties"):
        raise unsupported("FETCH FIRST … WITH TIES")
    return exp.Limit(expression=node.args.get("count") or sql.number(1))


def _distinct(node: exp.Expr) -> exp.Expr:
    if node.args.get("on"):
        raise QueryFailed("line 1:1: mismatched input 'ON'")
    return node


def _placeholder(_: exp.Expr) -> exp.Expr:
    raise QueryFailed("INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: a ? has no value")


_NODES: Final[Mapping[type, Callable[[Any], exp.Expr]]] = {
    exp.Add: _added,
    exp.Anonymous: _call,
    exp.AtTimeZone: lambda node: zones.at_time_zone(node.this, node.args["zone"]),
    exp.Bracket: _subscript,
    exp.Cast: casts.cast,
    exp.Concat: _typed_call("concat"),
    exp.CurrentTime: lambda _: sql.cast(sql.call("athena_now"), "TIME"),
    exp.CurrentTimestamp: lambda _: sql.call("athena_now"),
    exp.DPipe: lambda node: joined(node.this, node.expression),
    exp.DataType: casts.data_type,
    exp.Distinct: _distinct,
    exp.Div: _divided,
    exp.Dot: _field,
    exp.Extract: _extract,
    exp.Fetch: _fetch,
    exp.Filter: _call,
    exp.HexString: lambda node: sql.call("unhex", sql.text(node.name)),
    exp.IgnoreNulls: _call,
    exp.Interval: _interval,
    exp.Localtime: lambda _: sql.cast(sql.call("athena_now"), "TIME"),
    exp.Localtimestamp: lambda _: sql.cast(sql.call("athena_now"), "TIMESTAMP"),
    exp.Lower: _typed_call("lower", "this"),
    exp.Map: _map,
    exp.Mod: _modulo,
    exp.Normalize: _normalize,
    exp.ParseJSON: _typed_call("json_parse", "this"),
    exp.Placeholder: _placeholder,
    exp.RespectNulls: _call,
    exp.StrPosition: _typed_call("strpos", "this", "substr"),
    exp.Struct: lambda node: sql.row(node.expressions),
    exp.Sub: _added,
    exp.Subquery: _subquery,
    exp.Substring: _typed_call("substr", "this", "start", "length"),
    exp.Trim: _trim,
    exp.TryCast: casts.cast,
    exp.UnicodeString: _unicode,
    exp.Unnest: unnested,
    exp.Upper: _typed_call("upper", "this"),
    exp.VarMap: _map,
    exp.Window: _call,
}
