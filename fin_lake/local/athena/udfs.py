"""Athena's functions that SQL cannot tell: Python functions, called by DuckDB value by value.

They are slow beside DuckDB's own, and few queries need them.
"""

from __future__ import annotations

import base64
import decimal
import hashlib
import hmac
import json
import re
import statistics
import unicodedata
import urllib.parse
import zlib
from collections.abc import Callable
from typing import Any, Final

import duckdb
from duckdb.func import FunctionNullHandling

from fin_lake.local.athena.duckdb_errors import RAISED
from fin_lake.local.athena.type_names import trino_name
from fin_lake.local.athena.xxhash64 import xxhash64

_MASK: Final = (1 << 64) - 1
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_PLAIN_FROM, _PLAIN_TO = -3, 7
_SPECIFIER: Final = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")
_SIZES: Final = {
    name: 1024**power for power, name in enumerate(("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"))
}
_UNITS: Final = ((604_800, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def _fails(message: str) -> ValueError:
    return ValueError(f"{RAISED}{message}")


def _bad(message: str) -> ValueError:
    return _fails(f"INVALID_FUNCTION_ARGUMENT: {message}")


def java_number(text: str) -> str:
    """Return a number as Java's ``Double.toString`` prints it, from its shortest digits."""
    sign, digits, exponent = decimal.Decimal(text).normalize().as_tuple()
    mantissa = "".join(map(str, digits))
    point = len(mantissa) - 1 + int(exponent)
    if _PLAIN_FROM <= point < _PLAIN_TO:
        plain = format(decimal.Decimal(text), "f")
        return plain if "." in plain else plain + ".0"
    return f"{'-' if sign else ''}{mantissa[0]}.{mantissa[1:] or '0'}E{point}"


def _decimal_quotient(dividend: str, divisor: str) -> str:
    """Return a quotient at the larger scale of the two, half rounded away from zero."""
    over, by = decimal.Decimal(dividend), decimal.Decimal(divisor)
    places = max(-int(over.as_tuple().exponent), -int(by.as_tuple().exponent), 0)
    with decimal.localcontext(prec=100, rounding=decimal.ROUND_HALF_UP):
        return format((over / by).quantize(decimal.Decimal(1).scaleb(-places)), "f")


def _json_sorted(text: str) -> str:
    """Return JSON as Athena keeps it: no blanks, the keys of objects in order."""
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except ValueError as error:
        raise _bad(f"Cannot convert value to JSON: '{text}'") from error


def _from_base(text: str, radix: int) -> int:
    try:
        return int(text, radix)
    except ValueError as error:
        raise _bad(f"Not a valid base-{radix} number: {text}") from error


def _to_base(value: int, radix: int) -> str:
    left, digits = abs(value), ""
    while left:
        left, digit = divmod(left, radix)
        digits = _DIGITS[digit] + digits
    return ("-" if value < 0 else "") + (digits or "0")


def _normalize(text: str, form: str) -> str:
    return unicodedata.normalize(form, text)  # type: ignore[arg-type]


def _url_encode(text: str) -> str:
    return urllib.parse.quote_plus(text, safe="*-._").replace("~", "%7E")


def _url_decode(text: str) -> str:
    return urllib.parse.unquote_plus(text)


def _crc32(data: bytes) -> int:
    return zlib.crc32(data)


def _from_base32(text: str) -> bytes:
    return base64.b32decode(text)


def _url_parameter(url: str | None, name: str | None) -> str | None:
    for part in urllib.parse.urlsplit(url or "").query.split("&"):
        key, _, value = part.partition("=")
        if key == name:
            return urllib.parse.unquote_plus(value)
    return None


def _url_port(url: str | None) -> int | None:
    try:
        return urllib.parse.urlsplit(url or "").port
    except ValueError:
        return None


def _human_readable_seconds(seconds: float) -> str:
    left, parts = round(abs(seconds)), []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}{'s' if count != 1 else ''}")
    return ("-" if seconds < 0 else "") + (", ".join(parts) or "0 seconds")


def _format_number(value: float) -> str:
    shown = decimal.Decimal(repr(abs(value)))
    at = 0
    while at < len("KMBTQ") and shown >= 1000:  # noqa: PLR2004 - a thousand
        shown /= 1000
        at += 1
    places = 2 if shown < 10 else 1 if shown < 100 else 0  # noqa: PLR2004 - three digits
    rounded = shown.quantize(decimal.Decimal(1).scaleb(-places), decimal.ROUND_HALF_UP)
    text = format(rounded, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'-' if value < 0 else ''}{text}{' KMBTQ'[at].strip()}"


def _parse_data_size(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if not found or found[2] not in _SIZES:
        raise _bad(f"Invalid data size: '{text}'")
    return int(decimal.Decimal(found[1]) * _SIZES[found[2]])


def _luhn_check(digits: str) -> bool:
    if not digits.isdigit():
        raise _bad(f"Luhn check expects digits: '{digits}'")
    twice = (sum(divmod(2 * int(one), 10)) for one in digits[-2::-2])
    return (sum(twice) + sum(int(one) for one in digits[::-2])) % 10 == 0


def _format(pattern: str | None, values: list[str | None]) -> str | None:
    """Return Java's ``String.format`` of values given as texts."""
    if pattern is None:
        return None
    following = iter(range(len(values)))

    def one(found: re.Match[str]) -> str:
        place, flags, width, precision, conversion = found.groups()
        if conversion in "%n":
            return "%" if conversion == "%" else "\n"
        try:
            value = values[int(place) - 1 if place else next(following)]
        except (IndexError, StopIteration) as error:
            raise _bad(f"Invalid format string: {pattern}") from error
        body = _formatted(
            value, flags, int(precision) if precision else None, conversion, width=int(width or 0)
        )
        return body.ljust(int(width or 0)) if "-" in flags else body.rjust(int(width or 0))

    return _SPECIFIER.sub(one, pattern)


def _formatted(value: str | None, flags: str, precision: int | None, conversion: str, *, width: int) -> str:
    if value is None:
        return "null"
    if conversion in "sS":
        text = value[:precision]
        return text.upper() if conversion == "S" else text
    if conversion == "b":
        return value
    if conversion not in "dfeExX":
        raise _fails(
            f"NOT_SUPPORTED: the conversion %{conversion} of format is not supported by the local Athena"
        )
    return _formatted_number(decimal.Decimal(value), flags, precision, conversion, width)


def _formatted_number(
    number: decimal.Decimal, flags: str, precision: int | None, conversion: str, width: int
) -> str:
    grouping = "," if "," in flags else ""
    places = 6 if precision is None else precision
    match conversion:
        case "d":
            body = f"{abs(int(number)):{grouping}d}"
        case "f":
            with decimal.localcontext(prec=400):
                rounded = abs(number).quantize(decimal.Decimal(1).scaleb(-places), decimal.ROUND_HALF_UP)
            body = f"{rounded:{grouping}f}"
        case "x" | "X":
            return f"{int(number) & _MASK if number < 0 else int(number):{conversion}}"
        case _:
            body = f"{abs(number):.{places}{conversion}}"
            digits, mark, power = body.partition(conversion)
            body = f"{digits}{mark}{power[0]}{power[1:].zfill(2)}"
    sign = "-" if number < 0 else "+" if "+" in flags else " " if " " in flags else ""
    return sign + (body.zfill(width - len(sign)) if "0" in flags else body)


def _to_big_endian(size: int) -> Callable[[int], bytes]:
    return lambda value: value.to_bytes(size, "big", signed=True)


def _from_big_endian(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _hmac(algorithm: str) -> Callable[[bytes, bytes], bytes]:
    return lambda data, key: hmac.digest(key, data, algorithm)


def _decode_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _weighted_percentile(
    values: list[float | None] | None, weights: list[float | None] | None, fraction: float | None
) -> float | None:
    if values is None or weights is None or fraction is None:
        return None
    pairs = sorted((v, w) for v, w in zip(values, weights, strict=True) if v is not None and w is not None)
    wanted = fraction * sum(weight for _, weight in pairs)
    reached = 0.0
    for value, weight in pairs:
        reached += weight
        if reached >= wanted:
            return value
    return pairs[-1][0] if pairs else None


def _normal_cdf(mean: float, deviation: float, value: float) -> float:
    return statistics.NormalDist(mean, deviation).cdf(value)


def _inverse_normal_cdf(mean: float, deviation: float, probability: float) -> float:
    return statistics.NormalDist(mean, deviation).inv_cdf(probability)


_FUNCTIONS: Final[tuple[tuple[str, Callable[..., Any], list[str], str], ...]] = (
    ("java_number", java_number, ["VARCHAR"], "VARCHAR"),
    ("type_name", trino_name, ["VARCHAR"], "VARCHAR"),
    ("decimal_quotient", _decimal_quotient, ["VARCHAR", "VARCHAR"], "VARCHAR"),
    ("json_sorted", _json_sorted, ["VARCHAR"], "VARCHAR"),
    ("from_base", _from_base, ["VARCHAR", "BIGINT"], "BIGINT"),
    ("to_base", _to_base, ["BIGINT", "BIGINT"], "VARCHAR"),
    ("normalize", _normalize, ["VARCHAR", "VARCHAR"], "VARCHAR"),
    ("decode", lambda data: data.decode("utf-8", "replace"), ["BLOB"], "VARCHAR"),
    ("url_encode", _url_encode, ["VARCHAR"], "VARCHAR"),
    ("url_decode", _url_decode, ["VARCHAR"], "VARCHAR"),
    ("url_parameter", _url_parameter, ["VARCHAR", "VARCHAR"], "VARCHAR"),
    ("url_port", _url_port, ["VARCHAR"], "BIGINT"),
    ("human_readable_seconds", _human_readable_seconds, ["DOUBLE"], "VARCHAR"),
    ("format_number", _format_number, ["DOUBLE"], "VARCHAR"),
    ("parse_data_size", _parse_data_size, ["VARCHAR"], "HUGEINT"),
    ("luhn_check", _luhn_check, ["VARCHAR"], "BOOLEAN"),
    ("format", _format, ["VARCHAR", "VARCHAR[]"], "VARCHAR"),
    ("weighted_percentile", _weighted_percentile, ["DOUBLE[]", "DOUBLE[]", "DOUBLE"], "DOUBLE"),
    ("normal_cdf", _normal_cdf, ["DOUBLE"] * 3, "DOUBLE"),
    ("inverse_normal_cdf", _inverse_normal_cdf, ["DOUBLE"] * 3, "DOUBLE"),
    ("xxhash64", lambda data: xxhash64(data).to_bytes(8, "big"), ["BLOB"], "BLOB"),
    ("crc32", _crc32, ["BLOB"], "BIGINT"),
    ("sha512", lambda data: hashlib.sha512(data).digest(), ["BLOB"], "BLOB"),
    *(
        (f"hmac_{name}", _hmac(name), ["BLOB", "BLOB"], "BLOB")
        for name in ("md5", "sha1", "sha256", "sha512")
    ),
    ("to_base64url", lambda data: base64.urlsafe_b64encode(data).decode(), ["BLOB"], "VARCHAR"),
    ("from_base64url", _decode_base64url, ["VARCHAR"], "BLOB"),
    ("to_base32", lambda data: base64.b32encode(data).decode(), ["BLOB"], "VARCHAR"),
    ("from_base32", _from_base32, ["VARCHAR"], "BLOB"),
    ("to_big_endian_32", _to_big_endian(4), ["INTEGER"], "BLOB"),
    ("to_big_endian_64", _to_big_endian(8), ["BIGINT"], "BLOB"),
    ("from_big_endian_32", _from_big_endian, ["BLOB"], "INTEGER"),
    ("from_big_endian_64", _from_big_endian, ["BLOB"], "BIGINT"),
)
_MAY_BE_NULL: Final = frozenset({"url_parameter", "url_port", "weighted_percentile", "format"})


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the functions known to a database, each as ``athena_`` and its name."""
    for name, function, parameters, result in _FUNCTIONS:
        special = name in _MAY_BE_NULL
        connection.create_function(
            f"athena_{name}",
            function,
            [duckdb.sqltype(one) for one in parameters],
            duckdb.sqltype(result),
            null_handling=FunctionNullHandling.SPECIAL if special else FunctionNullHandling.DEFAULT,
        )
