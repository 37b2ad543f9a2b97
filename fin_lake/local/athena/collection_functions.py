"""Athena's functions of arrays and maps, with and without lambdas; and those of any value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.calls import MANY, Builder, Call, arity, filled, scalar
from fin_lake.local.athena.kinds import Kind, kind
from fin_lake.local.athena.lambdas import applied, entries, fresh, over

_STATE: Final = "state__"
_STEP: Final = "step__"


def cardinality(value: exp.Expr) -> exp.Expr:
    """Return the number of elements of an array or a map."""
    known = {Kind.ARRAY: "len", Kind.MAP: "cardinality"}.get(kind(value) or Kind.ROW)
    return sql.cast(sql.call(known, value), "BIGINT") if known else sql.call("athena_cardinality", value)


def element(value: exp.Expr, at: exp.Expr) -> exp.Expr:
    """Return ``value[at]``: an element of an array, which must be there; the value of a key; a field."""
    known = kind(value)
    if known is Kind.ARRAY:
        return sql.call("athena_array_get", value, at)
    if known is Kind.MAP:
        return sql.call("athena_map_get", value, at)
    if known is Kind.ROW:
        return sql.call("struct_extract", value, at)
    return sql.call("athena_get", value, at)


def joined(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """Return ``left || right``: texts, arrays, or an array and an element."""
    sides = (kind(left), kind(right))
    elements = (
        Kind.WHOLE,
        Kind.DECIMAL,
        Kind.FLOAT,
        Kind.TEXT,
        Kind.BOOLEAN,
        Kind.DATE,
        Kind.TIMESTAMP,
        Kind.ROW,
    )
    certain = set(elements) - {Kind.TEXT}  # nothing but an array can be joined with one of these
    if (sides[0] is Kind.ARRAY and sides[1] in elements) or (sides[0] is None and sides[1] in certain):
        return sql.call("athena_append", left, right)
    if (sides[1] is Kind.ARRAY and sides[0] in elements) or (sides[1] is None and sides[0] in certain):
        return sql.call("athena_prepend", left, right)
    return exp.Paren(this=exp.DPipe(this=left, expression=right, safe=True))


def reduced(values: exp.Expr, start: exp.Expr, step: exp.Expr) -> exp.Expr:
    """Return the state after a lambda ``(state, value) -> state`` was applied to each value of an array.

    DuckDB's own reduction wants states of the elements' type: each element carries a state along.
    """
    empty = sql.call("cast_to_type", exp.Null(), start.copy())
    before, now = (exp.to_identifier(fresh(step, prefix)) for prefix in (_STATE, _STEP))
    pair = sql.lambda_([now.name], sql.struct(s=empty, x=now.copy()))
    first = sql.struct(s=start, x=sql.call("list_extract", values.copy(), sql.number(1)))
    after = applied(step, sql.field(before.copy(), "s"), sql.field(now.copy(), "x"))
    after = sql.call("cast_to_type", after, start.copy())
    both = sql.lambda_([before.name, now.name], sql.struct(s=after, x=sql.field(now.copy(), "x")))
    return sql.field(sql.call("list_reduce", sql.call("list_transform", values, pair), both, first), "s")


@arity(4)
def _reduce(call: Call) -> exp.Expr:
    return applied(call[3], reduced(*call.arguments[:3]))


@arity(1, 2)
def _array_sort(call: Call) -> exp.Expr:
    if len(call) == 1:
        return call.scalar("athena_array_sort")
    # an element's place: how many come before it
    one, other = (exp.to_identifier(fresh(call[1], name)) for name in ("one", "other"))
    at, other_at = (exp.to_identifier(fresh(call[1], name)) for name in ("at", "other_at"))
    compared = exp.Paren(this=applied(call[1], other.copy(), one.copy()))
    tie = sql.template("@1 = 0 AND @2 < @3")(compared.copy(), other_at.copy(), at.copy())
    earlier = exp.or_(exp.LT(this=compared, expression=sql.number(0)), tie)
    before = sql.call("list_filter", call[0].copy(), sql.lambda_([other.name, other_at.name], earlier))
    place = sql.struct(r=sql.call("len", before), v=one.copy())
    placed = sql.call("list_transform", call[0], sql.lambda_([one.name, at.name], place))
    return sql.call("athena_sorted_by", placed)


@arity(2, 3)
def _array_join(call: Call) -> exp.Expr:
    return call.scalar("athena_array_join" if len(call) == 2 else "athena_array_join_null")  # noqa: PLR2004


def _matching(name: str) -> Builder:
    return arity(2)(lambda call: call.scalar(name, over(call[0], call[1])))


@arity(2)
def _transform(call: Call) -> exp.Expr:
    return over(call[0], call[1])


@arity(2)
def _filter(call: Call) -> exp.Expr:
    return over(call[0], call[1], how="list_filter")


@arity(3)
def _zip_with(call: Call) -> exp.Expr:
    pair = fresh(call[2], "pair")
    parts = [sql.call("struct_extract", exp.to_identifier(pair), sql.number(at)) for at in (1, 2)]
    body = applied(call[2], *parts)
    return sql.call("list_transform", sql.call("list_zip", *call.arguments[:2]), sql.lambda_([pair], body))


def _over_entries(make: str) -> Builder:
    return arity(2)(lambda call: entries(call[0], call[1], make=make))


@arity(3)
def _map_zip_with(call: Call) -> exp.Expr:
    key = exp.to_identifier(fresh(call[2], "key"))
    values = [sql.call("athena_map_value", one.copy(), key.copy()) for one in call.arguments[:2]]
    pair = sql.struct(k=key.copy(), v=applied(call[2], key.copy(), *values))
    keys = sql.call("athena_all_keys", call[0], call[1])
    return sql.call("map_from_entries", sql.call("list_transform", keys, sql.lambda_([key.name], pair)))


@arity(2, 3)
def _sequence(call: Call) -> exp.Expr:
    if len(call) == 2:  # noqa: PLR2004 - steps of one, or of a day
        if kind(call[0]) is not Kind.DATE:
            return call.scalar("athena_sequence")
        day = exp.Interval(this=sql.text("1"), unit=exp.Var(this="DAY"))
        return call.scalar("athena_sequence_by", call[0], call[1], day)
    return call.scalar("athena_sequence_by")


@arity(1)
def _reverse(call: Call) -> exp.Expr:
    known = {Kind.ARRAY: "list_reverse", Kind.TEXT: "reverse"}
    return call.scalar(known.get(kind(call[0]) or Kind.ROW, "athena_reverse"))


@arity(2)
def _element_at(call: Call) -> exp.Expr:
    if kind(call[0]) is Kind.MAP or isinstance(call[1], exp.Literal):
        return exp.Bracket(this=exp.Paren(this=call[0]), expressions=[call[1]], offset=1)
    return call.scalar("athena_element_at")


@arity(2, 3)
def _if(call: Call) -> exp.Expr:
    return sql.case((call[0], call[1]), otherwise=call[2] if len(call) > 2 else None)  # noqa: PLR2004


@arity(0, 2)
def _map(call: Call) -> exp.Expr:
    return call.scalar("map") if call.arguments else sql.template("MAP {}")()


COLLECTIONS: Final[Mapping[str, Builder]] = {
    "all_match": _matching("athena_all_match"),
    "any_match": _matching("athena_any_match"),
    "array_distinct": scalar("athena_array_distinct", 1),
    "array_except": scalar("athena_array_except", 2),
    "array_intersect": scalar("athena_array_intersect", 2),
    "array_join": _array_join,
    "array_max": scalar("athena_array_max", 1),
    "array_min": scalar("athena_array_min", 1),
    "array_position": scalar("athena_array_position", 2),
    "array_remove": scalar("athena_array_remove", 2),
    "array_sort": _array_sort,
    "array_union": scalar("athena_array_union", 2),
    "arrays_overlap": scalar("athena_arrays_overlap", 2),
    "cardinality": arity(1)(lambda call: cardinality(call[0])),
    "coalesce": scalar("coalesce", 1, MANY),
    "contains": scalar("athena_contains", 2),
    "element_at": _element_at,
    "filter": _filter,
    "flatten": scalar("flatten", 1),
    "if": _if,
    "map": _map,
    "map_concat": scalar("map_concat", 2, MANY),
    "map_entries": scalar("athena_map_entries", 1),
    "map_filter": _over_entries("filter"),
    "map_from_entries": scalar("map_from_entries", 1),
    "map_keys": scalar("map_keys", 1),
    "map_values": scalar("map_values", 1),
    "map_zip_with": _map_zip_with,
    "multimap_from_entries": filled(
        "athena_multimap(list_transform(@1, lambda e:"
        " {'k': struct_extract(e, 1), 'v': struct_extract(e, 2)}))",
        1,
    ),
    "none_match": _matching("athena_none_match"),
    "nullif": scalar("nullif", 2),
    "reduce": _reduce,
    "repeat": scalar("athena_repeat", 2),
    "reverse": _reverse,
    "sequence": _sequence,
    "slice": scalar("athena_slice", 3),
    "transform": _transform,
    "transform_keys": _over_entries("key"),
    "transform_values": _over_entries("value"),
    "trim_array": scalar("athena_trim_array", 2),
    "zip": scalar("list_zip", 2, MANY),
    "zip_with": _zip_with,
}
