"""Athena's functions of numbers, texts, binary values and JSON.

Each is told as DuckDB's function or macro, with the number of its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.calls import MANY, Builder, Call, arity, by_count, filled, scalar
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.kinds import Kind, kind
from fin_lake.local.athena.lambdas import applied, fresh

_STEP: Final = re.compile(
    r"""\.(?P<name>[\w:$-]+) | \.?\[?\s*"(?P<quoted>(?:[^"\\]|\\.)*)"\s*\]? | \[\s*(?P<index>\d+)\s*\]""",
    re.VERBOSE,
)
"""A step of a path into JSON: ``.name``, ``."name"``, ``["name"]`` or ``[0]``."""
_URL: Final = r"^(?:[^:/?#]+:)?(?://[^/?#]*)?"


def _no_nulls(name: str) -> Builder:
    """Greatest and least: null if a value is null, which DuckDB passes over."""

    def build(call: Call) -> exp.Expr:
        some_null = exp.or_(*(sql.is_null(one.copy()) for one in call.arguments))
        return sql.case((some_null, exp.Null()), otherwise=call.scalar(name))

    return arity(1, MANY)(build)


@arity(1, 2)
def _round(call: Call) -> exp.Expr:
    return call.scalar("round" if len(call) == 1 else "athena_round")


@arity(1, 2)
def _truncate(call: Call) -> exp.Expr:
    if len(call) == 1:
        return call.scalar("athena_truncate")
    places = call[1].unnest()
    if not isinstance(places, exp.Literal) or places.is_string:
        raise unsupported("truncate to a computed number of places")
    unit = sql.number(1) if places.name == "0" else exp.Literal.number(f"0.{'0' * (int(places.name) - 1)}1")
    rest = exp.Mod(this=call[0].copy(), expression=unit)
    return sql.call("cast_to_type", exp.Paren(this=exp.Sub(this=call[0], expression=rest)), call[0].copy())


def _infix(node: type[exp.Binary]) -> Builder:
    return arity(2)(
        lambda call: exp.Paren(this=node(this=exp.Paren(this=call[0]), expression=exp.Paren(this=call[1])))
    )


@arity(2, 2)
def _modulo(call: Call) -> exp.Expr:
    return call.scalar("athena_modulo")


@arity(1, MANY)
def _concat(call: Call) -> exp.Expr:
    """Join by ``||``, which answers null for a null; DuckDB's own ``concat`` passes over it."""
    call.refuse_wrappers()
    joined = call[0]
    for one in call.arguments[1:]:
        joined = exp.DPipe(this=joined, expression=one, safe=True)
    return exp.Paren(this=joined)


@arity(2, MANY)
def _concat_ws(call: Call) -> exp.Expr:
    if len(call) == 2 and kind(call[1]) is Kind.ARRAY:  # noqa: PLR2004 - separator and array
        return call.scalar("array_to_string", call[1], call[0])
    return call.scalar("athena_concat_ws" if len(call) == 2 and kind(call[1]) is None else "concat_ws")  # noqa: PLR2004


def _substring(call: Call) -> exp.Expr:
    start = call[1].unnest()
    plain = isinstance(start, exp.Literal) and start.name.isdigit() and int(start.name) > 0
    if len(call) == 2:  # noqa: PLR2004 - to the end
        return call.scalar("substr" if plain else "athena_substr")
    length = call[2].unnest()
    plain = plain and isinstance(length, exp.Literal) and length.name.isdigit()
    return call.scalar("substr" if plain else "athena_substr_of")


@arity(1, 2)
def _normalize(call: Call) -> exp.Expr:
    form = call[1].name.upper() if len(call) > 1 else "NFC"
    if form == "NFC":
        return call.scalar("nfc_normalize", call[0])
    return call.scalar("athena_normalize", call[0], sql.text(form))


@arity(1, MANY)
def _format(call: Call) -> exp.Expr:
    texts = [sql.call("athena_varchar", one) for one in call.arguments[1:]]
    values = sql.cast(exp.Array(expressions=texts), "VARCHAR[]")
    return call.scalar("athena_format", call[0], values)


@arity(2, 3)
def _regexp_extract(call: Call) -> exp.Expr:
    group = call[2] if len(call) > 2 else sql.number(0)  # noqa: PLR2004 - the group is given
    return call.scalar("athena_regexp_extract", call[0], call[1], group)


@arity(2, 3)
def _regexp_replace(call: Call) -> exp.Expr:
    new = call[2] if len(call) > 2 else sql.text("")  # noqa: PLR2004 - the replacement is given
    if isinstance(new, exp.Lambda):
        return _regexp_replace_each(call, new)
    if isinstance(new, exp.Literal) and new.is_string:
        if "${" in new.name:
            raise unsupported("regexp_replace with a named group")
        # $1 is \1 to DuckDB, and a backslash makes the next character literal in Java's texts
        plain = re.sub(r"\\(.)|\$(\d)", lambda found: found[1] or rf"\{found[2]}", new.name)
        return call.scalar("regexp_replace", call[0], call[1], sql.text(plain), sql.text("g"))
    new = sql.call("athena_java_replacement", new)
    return call.scalar("regexp_replace", call[0], call[1], new, sql.text("g"))


def _regexp_replace_each(call: Call, function: exp.Lambda) -> exp.Expr:
    """Replace every match by what a lambda makes of its groups."""
    pattern = call.text(1)
    if re.search(r"[\^$]|\\[bBAzZG]", pattern):
        raise unsupported("regexp_replace with a lambda and a pattern with anchors")
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise unsupported("regexp_replace with a lambda and such a pattern") from error
    match = fresh(function)
    found = [
        sql.call("athena_regexp_extract", exp.to_identifier(match), sql.text(pattern), sql.number(at))
        for at in range(1, groups + 1)
    ]
    new = sql.lambda_([match], applied(function, exp.Array(expressions=found)))
    matches = sql.call("regexp_extract_all", call[0].copy(), sql.text(pattern))
    made = sql.call("list_append", sql.call("list_transform", matches, new), sql.text(""))
    between = sql.call("regexp_split_to_array", call[0], sql.text(pattern))
    pair = sql.lambda_(["pair__"], sql.template("coalesce(pair__[1], '') || coalesce(pair__[2], '')")())
    joined = sql.call("list_transform", sql.call("list_zip", between, made), pair)
    return sql.call("array_to_string", joined, sql.text(""))


def json_path(path: str) -> str:
    """Return a path into JSON as DuckDB reads it: ``$.a["b c"][0]`` as ``$."a"."b c"[0]``.

    Raises
    ------
    QueryFailed
        It has wildcards or filters, or is no path.
    """
    steps, at = "", 1
    while path.startswith("$") and (found := _STEP.match(path, at)):
        name = found["name"] or found["quoted"]
        steps += f"[{found['index']}]" if found["index"] else f'."{name}"'
        at = found.end()
    if at == len(path):
        return f"${steps}"
    if any(mark in path for mark in ("*", "..", "?", "@")):
        raise unsupported(f"the JSON path {path}")
    raise QueryFailed(f"INVALID_FUNCTION_ARGUMENT: Invalid JSON path: '{path}'")


def _json_at(name: str) -> Builder:
    return arity(2)(lambda call: call.scalar(name, call[0], sql.text(json_path(call.text(1)))))


@arity(2)
def _json_array_get(call: Call) -> exp.Expr:
    return call.scalar("athena_json_array_get", call[0], call[1])


def _binary_hash(duckdb_name: str) -> Builder:
    return arity(1)(lambda call: sql.call("unhex", call.scalar(duckdb_name)))


_NUMBERS: Final[Mapping[str, Builder]] = {
    **{
        name: scalar(name, 1)
        for name in "abs cos cosh degrees exp radians sin sinh tan tanh atan".split()  # noqa: SIM905
    },
    **{
        name: scalar(f"athena_{name}", 1)
        for name in ("acos", "asin", "cbrt", "floor", "ln", "log2", "log10", "sign", "sqrt")
    },
    "atan2": scalar("atan2", 2),
    "bit_count": scalar("athena_bit_count", 2),
    "bitwise_and": _infix(exp.BitwiseAnd),
    "bitwise_left_shift": scalar("athena_left_shift", 2),
    "bitwise_not": filled("(~ (@1))", 1),
    "bitwise_or": _infix(exp.BitwiseOr),
    "bitwise_right_shift": scalar("athena_right_shift", 2),
    "bitwise_right_shift_arithmetic": _infix(exp.BitwiseRightShift),
    "bitwise_xor": scalar("xor", 2),
    "ceil": scalar("athena_ceil", 1),
    "ceiling": scalar("athena_ceil", 1),
    "e": filled("exp(1e0)", 0),
    "format_number": scalar("athena_format_number", 1),
    "from_base": scalar("athena_from_base", 2),
    "greatest": _no_nulls("greatest"),
    "infinity": filled("CAST('inf' AS DOUBLE)", 0),
    "inverse_normal_cdf": scalar("athena_inverse_normal_cdf", 3),
    "is_finite": filled("isfinite(CAST(@1 AS DOUBLE))", 1),
    "is_infinite": filled("isinf(CAST(@1 AS DOUBLE))", 1),
    "is_nan": filled("isnan(CAST(@1 AS DOUBLE))", 1),
    "least": _no_nulls("least"),
    "log": scalar("athena_log", 2),
    "mod": _modulo,
    "nan": filled("CAST('nan' AS DOUBLE)", 0),
    "normal_cdf": scalar("athena_normal_cdf", 3),
    "pi": scalar("pi", 0),
    "pow": scalar("pow", 2),
    "power": scalar("pow", 2),
    "rand": by_count(
        none=scalar("random", 0), one=scalar("athena_random", 1), two=scalar("athena_random_between", 2)
    ),
    "random": by_count(
        none=scalar("random", 0), one=scalar("athena_random", 1), two=scalar("athena_random_between", 2)
    ),
    "round": _round,
    "to_base": scalar("athena_to_base", 2),
    "truncate": _truncate,
    "width_bucket": by_count(two=scalar("athena_width_bucket_of", 2), four=scalar("athena_width_bucket", 4)),
}
_TEXTS: Final[Mapping[str, Builder]] = {
    "chr": scalar("chr", 1),
    "codepoint": scalar("athena_codepoint", 1),
    "concat": _concat,
    "concat_ws": _concat_ws,
    "format": _format,
    "hamming_distance": scalar("hamming", 2),
    "human_readable_seconds": scalar("athena_human_readable_seconds", 1),
    "length": scalar("athena_length", 1),
    "levenshtein_distance": scalar("levenshtein", 2),
    "lower": scalar("lower", 1),
    "lpad": scalar("lpad", 3),
    "ltrim": by_count(one=scalar("athena_ltrim", 1), two=scalar("ltrim", 2)),
    "luhn_check": scalar("athena_luhn_check", 1),
    "normalize": _normalize,
    "parse_data_size": filled("CAST(athena_parse_data_size(@1) AS DECIMAL(38, 0))", 1),
    "regexp_count": filled("len(regexp_extract_all(@1, @2))", 2),
    "regexp_extract": _regexp_extract,
    "regexp_extract_all": scalar("regexp_extract_all", 2, 3),
    "regexp_like": scalar("regexp_matches", 2),
    "regexp_position": scalar("athena_regexp_position", 2),
    "regexp_replace": _regexp_replace,
    "regexp_split": scalar("regexp_split_to_array", 2),
    "replace": by_count(two=filled("replace(@1, @2, '')", 2), three=scalar("replace", 3)),
    "rpad": scalar("rpad", 3),
    "rtrim": by_count(one=scalar("athena_rtrim", 1), two=scalar("rtrim", 2)),
    "split": by_count(two=scalar("string_split", 2), three=scalar("athena_split_limited", 3)),
    "split_part": scalar("athena_split_part", 3),
    "split_to_map": scalar("athena_split_to_map", 3),
    "split_to_multimap": scalar("athena_split_to_multimap", 3),
    "starts_with": scalar("starts_with", 2),
    "strpos": by_count(two=scalar("strpos", 2), three=scalar("athena_strpos_of", 3)),
    "substr": arity(2, 3)(_substring),
    "substring": arity(2, 3)(_substring),
    "translate": scalar("translate", 3),
    "trim": by_count(one=scalar("athena_trim", 1), two=scalar("trim", 2)),
    "typeof": scalar("athena_typeof", 1),
    "upper": scalar("upper", 1),
    "url_decode": scalar("athena_url_decode", 1),
    "url_encode": scalar("athena_url_encode", 1),
    "url_extract_fragment": filled("athena_url_part(@1, '#(.*)$')", 1),
    "url_extract_host": filled("athena_url_part(@1, '^[^:/?#]+://(?:[^@/?#]*@)?([^:/?#]*)')", 1),
    "url_extract_parameter": scalar("athena_url_parameter", 2),
    "url_extract_path": filled(f"athena_url_part(@1, '{_URL}([^?#]*)')", 1),
    "url_extract_port": scalar("athena_url_port", 1),
    "url_extract_protocol": filled("athena_url_part(@1, '^([^:/?#]+):')", 1),
    "url_extract_query": filled("athena_url_part(@1, '^[^?#]*[?]([^#]*)')", 1),
    "uuid": scalar("uuid", 0),
}
_BINARY: Final[Mapping[str, Builder]] = {
    "crc32": scalar("athena_crc32", 1),
    "from_base32": scalar("athena_from_base32", 1),
    "from_base64": scalar("from_base64", 1),
    "from_base64url": scalar("athena_from_base64url", 1),
    "from_big_endian_32": scalar("athena_from_big_endian_32", 1),
    "from_big_endian_64": scalar("athena_from_big_endian_64", 1),
    "from_hex": scalar("unhex", 1),
    "from_utf8": scalar("athena_from_utf8", 1),
    **{name: scalar(f"athena_{name}", 2) for name in ("hmac_md5", "hmac_sha1", "hmac_sha256", "hmac_sha512")},
    "md5": _binary_hash("md5"),
    "sha1": _binary_hash("sha1"),
    "sha256": _binary_hash("sha256"),
    "sha512": scalar("athena_sha512", 1),
    "to_base32": scalar("athena_to_base32", 1),
    "to_base64": scalar("to_base64", 1),
    "to_base64url": scalar("athena_to_base64url", 1),
    "to_big_endian_32": scalar("athena_to_big_endian_32", 1),
    "to_big_endian_64": scalar("athena_to_big_endian_64", 1),
    "to_hex": scalar("hex", 1),
    "to_utf8": scalar("encode", 1),
    "xxhash64": scalar("athena_xxhash64", 1),
}
_JSON: Final[Mapping[str, Builder]] = {
    "is_json_scalar": scalar("athena_is_json_scalar", 1),
    "json_array_contains": scalar("athena_json_array_contains", 2),
    "json_array_get": _json_array_get,
    "json_array_length": scalar("athena_json_array_length", 1),
    "json_extract": _json_at("athena_json_extract"),
    "json_extract_scalar": _json_at("athena_json_extract_scalar"),
    "json_format": filled("CAST(@1 AS VARCHAR)", 1),
    "json_parse": scalar("athena_json_parse", 1),
    "json_size": _json_at("athena_json_size"),
}
SCALARS: Final[Mapping[str, Builder]] = {**_NUMBERS, **_TEXTS, **_BINARY, **_JSON}
