"""Athena's aggregates and window functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.calls import Builder, Call, aggregate, arity
from fin_lake.local.athena.collection_functions import reduced
from fin_lake.local.athena.kinds import Kind, kind

_WHOLE: Final = "BIGINT"


def _some(call: Call, value: exp.Expr) -> exp.Expr:
    """Return a value of the argument's type where the aggregate stands: only the type is wanted.

    DuckDB drops the aggregate that it makes, for nothing reads it.
    """
    return value.copy() if call.is_window else sql.call("any_value", value.copy())


@arity(1)
def _sum(call: Call) -> exp.Expr:
    total = call.aggregate("sum")
    if kind(call[0]) is Kind.FLOAT:
        return total
    return sql.call("cast_to_type", total, sql.call("athena_sum_type", _some(call, call[0])))


@arity(1)
def _avg(call: Call) -> exp.Expr:
    plain = call.aggregate("avg")
    known = kind(call[0])
    if known in (Kind.FLOAT, Kind.WHOLE):
        return plain
    if call.is_window:
        # over a window one average is computed, not three: exact to a double's 15 digits
        return sql.call("cast_to_type", plain, sql.call("athena_avg_type", call[0].copy()))
    return sql.call(
        "athena_average", plain, call.aggregate("sum"), call.aggregate("count"), _some(call, call[0])
    )


@arity(0, 1)
def _count(call: Call) -> exp.Expr:
    return call.aggregate("count") if call.arguments else call.aggregate("count", exp.Star())


def _whole(name: str) -> Builder:
    return arity(1)(lambda call: sql.cast(call.aggregate(name), _WHOLE))


def _by(name: str) -> Builder:
    def build(call: Call) -> exp.Expr:
        return call.aggregate(f"{name}_null" if len(call) == 2 else f"{name}_nulls_last")  # noqa: PLR2004

    return arity(2, 3)(build)


@arity(2, 4)
def _approx_percentile(call: Call) -> exp.Expr:
    """Percentiles are exact: the smallest value that the wanted part of all values does not exceed."""
    if len(call) == 2:  # noqa: PLR2004 - no weights
        return call.aggregate("quantile_disc")
    values, weights = (call.aggregate("list", sql.cast(one, "DOUBLE")) for one in call.arguments[:2])
    found = sql.call("athena_weighted_percentile", values, weights, call[2])
    return sql.call("cast_to_type", found, _some(call, call[0]))


@arity(1, 2)
def _approx_distinct(call: Call) -> exp.Expr:
    """Distinct values are counted exactly."""
    exact = Call("count", [call[0]], distinct=True, wrappers=call.wrappers)
    return exact.aggregate("count")


def _pairs(call: Call) -> exp.Expr:
    """Return the list of the keys and values of an aggregate, without those whose key is null."""
    some = sql.case((sql.not_null(call[0].copy()), sql.struct(k=call[0], v=call[1])))
    listed = call.aggregate("list", some)
    return sql.template("list_filter(@1, lambda e: e IS NOT NULL)")(listed)


def _collected(name: str) -> Builder:
    return arity(2)(lambda call: sql.call(name, _pairs(call)))


@arity(1)
def _map_union(call: Call) -> exp.Expr:
    present = sql.template("list_filter(@1, lambda e: e IS NOT NULL)")(call.aggregate("list"))
    return sql.call("athena_map_union", present)


@arity(4)
def _reduce_agg(call: Call) -> exp.Expr:
    present = sql.template("list_filter(@1, lambda e: e IS NOT NULL)")(call.aggregate("list", call[0]))
    return reduced(present, call[1], call[2])


@arity(1)
def _histogram(call: Call) -> exp.Expr:
    return sql.call("athena_counts", call.aggregate("histogram"))


@arity(3)
def _approx_most_frequent(call: Call) -> exp.Expr:
    return sql.call("athena_most_frequent", call.aggregate("histogram", call[1]), call[0])


@arity(1)
def _set_agg(call: Call) -> exp.Expr:
    return sql.call("athena_array_distinct", call.aggregate("list"))


@arity(1)
def _set_union(call: Call) -> exp.Expr:
    return sql.call("athena_array_distinct", sql.call("flatten", call.aggregate("list")))


@arity(1)
def _geometric_mean(call: Call) -> exp.Expr:
    return sql.call("exp", call.aggregate("avg", sql.call("athena_ln", call[0])))


@arity(1)
def _skewness(call: Call) -> exp.Expr:
    """Of the population; DuckDB's is that of a sample."""
    return sql.call("athena_skewness", call.aggregate("skewness"), call.aggregate("count"))


@arity(1)
def _entropy(call: Call) -> exp.Expr:
    """Of counts; DuckDB's is that of the values' frequencies."""
    count = sql.cast(call[0], "DOUBLE")
    weighted = sql.template("CASE WHEN @1 > 0 THEN @1 * log2(@1) ELSE 0 END")(count)
    total, sum_ = call.aggregate("sum", count), call.aggregate("sum", weighted)
    return sql.template("CASE WHEN @1 = 0 THEN 0e0 ELSE log2(@1) - @2 / @1 END")(total, sum_)


_ONE: Final[Mapping[str, str]] = {
    "any_value": "any_value",
    "arbitrary": "any_value",
    "array_agg": "list",
    "bool_and": "bool_and",
    "bool_or": "bool_or",
    "every": "bool_and",
    "first_value": "first_value",
    "kurtosis": "kurtosis",
    "last_value": "last_value",
    "ntile": "ntile",
    "stddev": "stddev_samp",
    "stddev_pop": "stddev_pop",
    "stddev_samp": "stddev_samp",
    "var_pop": "var_pop",
    "var_samp": "var_samp",
    "variance": "var_samp",
}
_TWO: Final = ("corr", "covar_pop", "covar_samp", "nth_value", "regr_intercept", "regr_slope")
_NONE: Final = ("cume_dist", "dense_rank", "percent_rank", "rank", "row_number")
AGGREGATES: Final[Mapping[str, Builder]] = {
    **{name: aggregate(duckdb, 1) for name, duckdb in _ONE.items()},
    **{name: aggregate(name, 2) for name in _TWO},
    **{name: aggregate(name, 0) for name in _NONE},
    "approx_distinct": _approx_distinct,
    "approx_most_frequent": _approx_most_frequent,
    "approx_percentile": _approx_percentile,
    "avg": _avg,
    "bitwise_and_agg": _whole("bit_and"),
    "bitwise_or_agg": _whole("bit_or"),
    "bitwise_xor_agg": _whole("bit_xor"),
    "count": _count,
    "count_if": _whole("count_if"),
    "entropy": _entropy,
    "geometric_mean": _geometric_mean,
    "grouping": aggregate("grouping", 1, 32),
    "histogram": _histogram,
    "lag": aggregate("lag", 1, 3),
    "lead": aggregate("lead", 1, 3),
    "listagg": aggregate("string_agg", 2),
    "map_agg": _collected("athena_map"),
    "map_union": _map_union,
    "max": aggregate("max", 1, 2),
    "max_by": _by("arg_max"),
    "min": aggregate("min", 1, 2),
    "min_by": _by("arg_min"),
    "multimap_agg": _collected("athena_multimap"),
    "reduce_agg": _reduce_agg,
    "set_agg": _set_agg,
    "set_union": _set_union,
    "skewness": _skewness,
    "sum": _sum,
}
