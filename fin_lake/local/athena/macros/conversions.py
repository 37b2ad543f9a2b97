"""Casts: Athena takes fewer texts than DuckDB, rounds floats half away from zero, and prints otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_PLAIN: Final = r"""
CREATE MACRO athena_number_text(t) AS
    CASE
        WHEN t IN ('nan', '-nan') THEN 'NaN'
        WHEN t = 'inf' THEN 'Infinity'
        WHEN t = '-inf' THEN '-Infinity'
        ELSE athena_java_number(t) END;
-- Java's Double.toString: plain from 10⁻³ to 10⁷, else with an exponent
CREATE MACRO athena_double_text(x) AS
    CASE
        WHEN x = 0 OR (abs(x) >= 1e-3 AND abs(x) < 1e7) THEN CAST(x AS VARCHAR)
        ELSE athena_number_text(CAST(x AS VARCHAR)) END;
CREATE MACRO athena_day_text(ms) AS
    CAST(ms // 86400000 AS VARCHAR) || ' '
        || strftime(make_timestamp(CAST(ms % 86400000 * 1000 AS BIGINT)), '%H:%M:%S.%g');
CREATE MACRO athena_interval_text(i) AS
    CASE WHEN epoch_ms(i) < 0 THEN '-' ELSE '' END || athena_day_text(abs(epoch_ms(i)));
CREATE MACRO athena_varchar(x) AS
    CASE typeof(x)
        WHEN 'VARCHAR' THEN CAST(x AS VARCHAR)
        WHEN 'TIMESTAMP' THEN strftime(TRY_CAST(x AS TIMESTAMP), '%Y-%m-%d %H:%M:%S.%g')
        WHEN 'TIMESTAMP WITH TIME ZONE'
            THEN strftime(timezone('UTC', TRY_CAST(x AS TIMESTAMPTZ)), '%Y-%m-%d %H:%M:%S.%g') || ' UTC'
        WHEN 'DOUBLE' THEN athena_double_text(TRY_CAST(x AS DOUBLE))
        WHEN 'FLOAT' THEN athena_double_text(TRY_CAST(x AS FLOAT))
        WHEN 'JSON' THEN json_extract_string(TRY_CAST(CAST(x AS VARCHAR) AS JSON), '$')
        WHEN 'INTERVAL' THEN athena_interval_text(TRY_CAST(x AS INTERVAL))
        WHEN 'TIME' THEN left(CAST(x AS VARCHAR)
            || CASE WHEN contains(CAST(x AS VARCHAR), '.') THEN '000' ELSE '.000' END, 12)
        ELSE CAST(x AS VARCHAR) END;
CREATE MACRO athena_to_json(x) AS
    CASE
        WHEN typeof(x) = 'JSON' THEN TRY_CAST(CAST(x AS VARCHAR) AS JSON)
        ELSE to_json(x) END;
CREATE MACRO athena_typeof(x) AS athena_type_name(typeof(x));
"""
_FROM_TEXT: Final = """
CREATE MACRO athena_{name}{suffix}(x) AS
    CASE
        WHEN typeof(x) = 'VARCHAR' THEN CASE
            WHEN x IS NULL OR regexp_full_match(CAST(x AS VARCHAR), '{pattern}')
                THEN {cast}(CAST(x AS VARCHAR) AS {type})
            ELSE {failure} END
        WHEN typeof(x) IN ({floats}) THEN {cast}(round(TRY_CAST(x AS DOUBLE)) AS {type})
        ELSE {cast}(x AS {type}) END;
"""
_OF_TEXT: Final = _FROM_TEXT.replace(
    "        WHEN typeof(x) IN ({floats}) THEN {cast}(round(TRY_CAST(x AS DOUBLE)) AS {type})\n", ""
)
_DAY: Final = r"\s*[+-]?\d+-\d{1,2}-\d{1,2}"
_CLOCK: Final = r"( \d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?)?"
_WHOLE: Final = {"tinyint": "TINYINT", "smallint": "SMALLINT", "integer": "INT", "bigint": "BIGINT"}
_CHECKED: Final = {
    "boolean": ("BOOLEAN", "BOOLEAN", "(?i)(t|f|true|false|0|1)"),
    "date": ("DATE", "DATE", rf"{_DAY}\s*"),
    "timestamp": ("TIMESTAMP", "TIMESTAMP", rf"{_DAY}{_CLOCK}\s*"),
    "zoned": ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", rf"{_DAY}{_CLOCK}( ?[A-Za-z+-].*)?\s*"),
}
"""By macro: DuckDB's type, Athena's name of it, and the texts that Athena takes."""


def _checked() -> Iterator[str]:
    """Yield the casts for which texts are checked; those that fail, and those that give null."""
    for suffix, cast in (("", "CAST"), ("_or_null", "TRY_CAST")):
        for name, shown in _WHOLE.items():
            failure = "NULL" if suffix else f"athena_bad_cast(CAST(x AS VARCHAR), '{shown}')"
            yield _FROM_TEXT.format(
                name=name, suffix=suffix, cast=cast, type=name, pattern="[+-]?[0-9]+", failure=failure,
                floats="'DOUBLE', 'FLOAT'",
            )  # fmt: skip
        for name, (type_, shown, pattern) in _CHECKED.items():
            failed = f"CAST(CAST(athena_bad_cast(CAST(x AS VARCHAR), '{shown}') AS VARCHAR) AS {type_})"
            yield _OF_TEXT.format(
                name=name, suffix=suffix, cast=cast, type=type_, pattern=pattern,
                failure="NULL" if suffix else failed,
            )  # fmt: skip


SQL: Final = _PLAIN + "".join(_checked())
