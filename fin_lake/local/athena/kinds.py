"""What kind of value an expression gives, as far as its text alone says it.

Where the kind is known, plain SQL of DuckDB does; where it is not, a macro asks DuckDB for the type.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final

from sqlglot import exp


class Kind(enum.Enum):
    """Kinds of values that are treated differently."""

    WHOLE = enum.auto()
    DECIMAL = enum.auto()
    FLOAT = enum.auto()
    TEXT = enum.auto()
    BOOLEAN = enum.auto()
    DATE = enum.auto()
    TIMESTAMP = enum.auto()
    ZONED = enum.auto()
    INTERVAL = enum.auto()
    ARRAY = enum.auto()
    MAP = enum.auto()
    ROW = enum.auto()
    JSON = enum.auto()
    BINARY = enum.auto()


_TYPES: Final[Mapping[exp.DType, Kind]] = {
    exp.DType.TINYINT: Kind.WHOLE,
    exp.DType.SMALLINT: Kind.WHOLE,
    exp.DType.INT: Kind.WHOLE,
    exp.DType.BIGINT: Kind.WHOLE,
    exp.DType.DECIMAL: Kind.DECIMAL,
    exp.DType.FLOAT: Kind.FLOAT,
    exp.DType.DOUBLE: Kind.FLOAT,
    exp.DType.VARCHAR: Kind.TEXT,
    exp.DType.CHAR: Kind.TEXT,
    exp.DType.TEXT: Kind.TEXT,
    exp.DType.BOOLEAN: Kind.BOOLEAN,
    exp.DType.DATE: Kind.DATE,
    exp.DType.TIMESTAMP: Kind.TIMESTAMP,
    exp.DType.TIMESTAMPTZ: Kind.ZONED,
    exp.DType.ARRAY: Kind.ARRAY,
    exp.DType.MAP: Kind.MAP,
    exp.DType.STRUCT: Kind.ROW,
    exp.DType.JSON: Kind.JSON,
    exp.DType.VARBINARY: Kind.BINARY,
}
_CALLS: Final[Mapping[Kind, str]] = {
    Kind.WHOLE: "count count_if length cardinality strpos codepoint row_number rank dense_rank ntile year"
    " month day hour minute second millisecond quarter week day_of_week dow doy date_diff bit_count"
    " day_of_month day_of_year week_of_year year_of_week yow approx_distinct array_position to_milliseconds"
    " json_array_length json_size levenshtein_distance hamming_distance regexp_count regexp_position crc32",
    Kind.FLOAT: "sqrt cbrt exp ln log2 log10 log power pow pi e random rand stddev stddev_pop stddev_samp"
    " variance var_pop var_samp corr covar_pop covar_samp regr_slope regr_intercept skewness kurtosis"
    " geometric_mean entropy sin cos tan asin acos atan atan2 sinh cosh tanh degrees radians to_unixtime nan"
    " infinity percent_rank cume_dist",
    Kind.TEXT: "concat_ws lower upper trim ltrim rtrim lpad rpad replace substr substring"
    " split_part regexp_replace regexp_extract date_format format_datetime format to_hex to_base64 to_iso8601"
    " array_join listagg json_extract_scalar json_format chr translate url_encode url_decode url_extract_host"
    " url_extract_path url_extract_query url_extract_protocol url_extract_parameter url_extract_fragment"
    " typeof normalize human_readable_seconds to_base",
    Kind.BOOLEAN: "starts_with regexp_like contains any_match all_match none_match is_nan is_finite"
    " is_infinite bool_and bool_or every arrays_overlap is_json_scalar json_array_contains luhn_check",
    Kind.DATE: "date from_iso8601_date last_day_of_month",
    Kind.TIMESTAMP: "date_parse",
    Kind.ZONED: "now from_unixtime from_iso8601_timestamp parse_datetime at_timezone with_timezone",
    Kind.ARRAY: "split regexp_split regexp_extract_all transform filter flatten sequence slice array_agg"
    " array_distinct array_sort array_union array_intersect array_except array_remove map_keys map_values"
    " map_entries zip zip_with repeat set_agg set_union trim_array",
    Kind.MAP: "map map_agg map_concat map_filter map_from_entries map_union map_zip_with transform_keys"
    " transform_values histogram multimap_agg multimap_from_entries split_to_map split_to_multimap"
    " approx_most_frequent",
    Kind.JSON: "json_parse json_extract",
    Kind.BINARY: "to_utf8 md5 sha1 sha256 sha512 xxhash64 from_hex from_base64 from_base64url from_base32"
    " to_big_endian_64 to_big_endian_32",
    Kind.ROW: "row",
}
_BY_CALL: Final = {name: kind for kind, names in _CALLS.items() for name in names.split()}
_LIKE_ARGUMENT: Final = {
    name: at
    for at, names in enumerate(
        (
            (
                "abs round truncate ceil ceiling floor max min sum any_value arbitrary lag lead first_value"
                " last_value nth_value max_by min_by try reverse nullif"
            ),
            "date_trunc",
            "date_add",
        )
    )
    for name in names.split()
}
"""Calls that give a value of an argument's kind, by the argument's place."""
_LIKE_ALL: Final = {"coalesce": 0, "greatest": 0, "least": 0, "concat": 0, "if": 1}
"""Calls that give a value of the kind that their arguments have in common, from that place on."""
_THROUGH: Final = (exp.Paren, exp.Neg, exp.Window, exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Alias)
_NODES: Final[Mapping[type, Kind]] = {
    exp.Array: Kind.ARRAY,
    exp.Map: Kind.MAP,
    exp.VarMap: Kind.MAP,
    exp.Struct: Kind.ROW,
    exp.Interval: Kind.INTERVAL,
    exp.Boolean: Kind.BOOLEAN,
    exp.And: Kind.BOOLEAN,
    exp.Or: Kind.BOOLEAN,
    exp.Not: Kind.BOOLEAN,
    exp.Lower: Kind.TEXT,
    exp.Upper: Kind.TEXT,
    exp.Trim: Kind.TEXT,
    exp.Substring: Kind.TEXT,
    exp.GroupConcat: Kind.TEXT,
    exp.Extract: Kind.WHOLE,
    exp.StrPosition: Kind.WHOLE,
    exp.CurrentDate: Kind.DATE,
    exp.CurrentTimestamp: Kind.ZONED,
    exp.Localtimestamp: Kind.TIMESTAMP,
    exp.AtTimeZone: Kind.ZONED,
    exp.HexString: Kind.BINARY,
}
_KEY: Final = "athena_kind"


def kind(node: exp.Expr | None) -> Kind | None:  # noqa: PLR0911 - a case for each kind of node
    """Return the kind of an expression's value; ``None`` if its text does not say it.

    Parameters
    ----------
    node : sqlglot.exp.Expr
        An expression of Athena's, or one that was translated and told by :func:`told`.
    """
    if node is None:
        return None
    if _KEY in node.meta:
        found: Kind | None = node.meta[_KEY]
        return found
    if isinstance(node, _THROUGH):
        return kind(node.this)
    if isinstance(node, exp.Literal):
        return _of_literal(node)
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return _TYPES.get(node.to.this)
    if isinstance(node, exp.Anonymous):
        return _of_call(node)
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)):
        return _of_arithmetic(node)
    if isinstance(node, (exp.Case, exp.Concat)):
        return _common([*(one.args["true"] for one in node.args.get("ifs") or ()), *_others(node)])
    if isinstance(node, exp.DPipe):
        return _either(node, Kind.ARRAY, Kind.TEXT)
    return _NODES.get(type(node))


def told(node: exp.Expr, of: Kind | None) -> exp.Expr:
    """Return a translated expression with the kind that the original had."""
    if of is not None:
        node.meta[_KEY] = of
    return node


def _of_literal(node: exp.Literal) -> Kind:
    if node.is_string:
        return Kind.TEXT
    written = node.name.lower()
    if "e" in written:
        return Kind.FLOAT
    return Kind.DECIMAL if "." in written else Kind.WHOLE


def _of_call(node: exp.Anonymous) -> Kind | None:
    name = node.name
    if name in _LIKE_ALL:
        return _common(node.expressions[_LIKE_ALL[name] :])
    if name in _LIKE_ARGUMENT:
        at = _LIKE_ARGUMENT[name]
        found = kind(node.expressions[at]) if len(node.expressions) > at else None
        # max(x, 3) is an array, and so is max_by(x, y, 3)
        several = {"max": 2, "min": 2, "max_by": 3, "min_by": 3}.get(name)
        return Kind.ARRAY if several == len(node.expressions) else found
    return _BY_CALL.get(name)


def _others(node: exp.Expr) -> Sequence[exp.Expr | None]:
    return node.expressions if isinstance(node, exp.Concat) else [node.args.get("default")]


def _common(values: Sequence[exp.Expr | None]) -> Kind | None:
    found = {kind(one) for one in values if one is not None and not isinstance(one, exp.Null)}
    return found.pop() if len(found) == 1 else None


def _of_arithmetic(node: exp.Expr) -> Kind | None:
    left, right = kind(node.this), kind(node.expression)
    if Kind.FLOAT in (left, right):
        return Kind.FLOAT
    for side, other in ((left, right), (right, left)):
        if side in (Kind.DATE, Kind.TIMESTAMP, Kind.ZONED) and other is Kind.INTERVAL:
            return side
    if {left, right} <= {Kind.DATE, Kind.TIMESTAMP, Kind.ZONED} and isinstance(node, exp.Sub):
        return Kind.INTERVAL
    if Kind.INTERVAL in (left, right) and (isinstance(node, (exp.Mul, exp.Div)) or left is right):
        return Kind.INTERVAL
    if left is Kind.WHOLE and right is Kind.WHOLE:
        return Kind.WHOLE
    decimal = {Kind.WHOLE, Kind.DECIMAL}
    return Kind.DECIMAL if Kind.DECIMAL in (left, right) and {left, right} <= decimal else None


def _either(node: exp.Expr, *wanted: Kind) -> Kind | None:
    both = (kind(node.this), kind(node.expression))
    return next((one for one in wanted if one in both), None)
