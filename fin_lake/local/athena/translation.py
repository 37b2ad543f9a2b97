"""Athena's SQL, which is Trino's, as SQL of DuckDB with the same answers.

A statement is parsed (:mod:`parsing`), and its tree is rewritten from the leaves upwards: calls by
:mod:`functions`, operators and casts by :mod:`operators` and :mod:`casts`, with the help of DuckDB macros
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

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlglot import exp
from sqlglot.errors import ErrorLevel, UnsupportedError

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena import zones
from fin_lake.local.athena.aggregate_functions import AGGREGATES
from fin_lake.local.athena.calls import WRAPPERS
from fin_lake.local.athena.date_masks import java_date_mask
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.functions import translated
from fin_lake.local.athena.kinds import kind, told
from fin_lake.local.athena.operators import OPERATORS
from fin_lake.local.athena.parsing import bind_parameters, parse
from fin_lake.local.athena.unnesting import unnested

__all__ = ["bind_parameters", "java_date_mask", "name_outputs", "parse", "to_duckdb"]

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
    exp.BitwiseAnd: "&",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseNot: "~",
    exp.BitwiseOr: "|",
    exp.BitwiseRightShift: ">>",
    exp.BitwiseXor: "^",
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


def _without(**words: str) -> Callable[[exp.Expr], exp.Expr]:
    """Return a rewrite that refuses what sqlglot reads in a clause and Athena does not have."""

    def rewrite(node: exp.Expr) -> exp.Expr:
        for key, word in words.items():
            if node.args.get(key):
                raise QueryFailed(f"line 1:1: mismatched input '{word}'")
        return node

    return rewrite


def _join(node: exp.Expr) -> exp.Expr:
    kind_ = str(node.args.get("kind") or node.args.get("method") or "").upper()
    if kind_ in ("SEMI", "ANTI", "ASOF"):
        raise QueryFailed(f"line 1:1: mismatched input '{kind_}'")
    return node


def _placeholder(_: exp.Expr) -> exp.Expr:
    raise QueryFailed("INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: a ? has no value")


_NODES: Final[Mapping[type, Callable[[Any], exp.Expr]]] = {
    **OPERATORS,
    exp.Anonymous: _call,
    exp.Distinct: _without(on="ON"),
    exp.Except: _without(by_name="BY"),
    exp.Group: _without(all="ALL"),
    exp.Intersect: _without(by_name="BY"),
    exp.Join: _join,
    exp.Star: _without(except_="EXCEPT", replace="REPLACE", rename="RENAME"),
    exp.Union: _without(by_name="BY"),
    exp.Fetch: _fetch,
    exp.Filter: _call,
    exp.IgnoreNulls: _call,
    exp.Placeholder: _placeholder,
    exp.RespectNulls: _call,
    exp.Subquery: _subquery,
    exp.Unnest: unnested,
    exp.Window: _call,
}
