"""What DuckDB is taught: Athena's functions that it lacks, or that it computes otherwise, as macros."""

from __future__ import annotations

from typing import Final

import duckdb

_IS_FLOAT: Final = "typeof({0}) IN ('DOUBLE', 'FLOAT')"
_NO_FLOATS: Final = f"NOT ({_IS_FLOAT.format('a')} OR {_IS_FLOAT.format('b')})"
_ZERO: Final = f"b = 0 AND {_NO_FLOATS}"
_MACROS: Final = (
    # division: whole numbers and decimals by zero fail, floats give infinity
    f"tr_div(a, b) AS a / CASE WHEN {_ZERO} THEN error('DIVISION_BY_ZERO: Division by zero') ELSE b END",
    f"tr_mod(a, b) AS a % CASE WHEN {_ZERO} THEN error('DIVISION_BY_ZERO: Division by zero') ELSE b END",
    f"tr_div_or_null(a, b) AS CASE WHEN {_ZERO} THEN NULL ELSE a / b END",
    f"tr_mod_or_null(a, b) AS CASE WHEN {_ZERO} THEN NULL ELSE a % b END",
    # times: DuckDB makes timestamps of dates
    "tr_date_trunc(u, d) AS cast_to_type(date_trunc(u, d), d)",
    "tr_add(d, i) AS cast_to_type(d + i, d)",
    "tr_varchar(x) AS CASE typeof(x)"
    " WHEN 'TIMESTAMP' THEN strftime(TRY_CAST(CAST(x AS VARCHAR) AS TIMESTAMP), '%Y-%m-%d %H:%M:%S.%g')"
    " WHEN 'TIMESTAMP WITH TIME ZONE' THEN"
    "  strftime(timezone('UTC', TRY_CAST(CAST(x AS VARCHAR) AS TIMESTAMPTZ)), '%Y-%m-%d %H:%M:%S.%g') || ' UTC'"
    " WHEN 'DOUBLE' THEN tr_double(TRY_CAST(CAST(x AS VARCHAR) AS DOUBLE))"
    " ELSE CAST(x AS VARCHAR) END",
    "to_iso8601(x) AS CASE typeof(x) WHEN 'DATE' THEN CAST(x AS VARCHAR)"
    " WHEN 'TIMESTAMP' THEN strftime(TRY_CAST(CAST(x AS VARCHAR) AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%g')"
    " ELSE strftime(timezone('UTC', TRY_CAST(CAST(x AS VARCHAR) AS TIMESTAMPTZ)), '%Y-%m-%dT%H:%M:%S.%gZ') END",
    "tr_millisecond(t) AS CAST(extract('milliseconds' FROM t) AS BIGINT) % 1000",
    "tr_to_milliseconds(i) AS CASE typeof(i)"
    " WHEN 'INTERVAL' THEN CAST(epoch_ms(TRY_CAST(CAST(i AS VARCHAR) AS INTERVAL)) AS BIGINT)"
    " ELSE TRY_CAST(CAST(i AS VARCHAR) AS BIGINT) * 86400000 END",
    "with_timezone(x, z) AS timezone(z, CAST(x AS TIMESTAMP))",
    "last_day_of_month(d) AS last_day(d)",
    "tr_sequence(a, b) AS generate_series(a, b),"
    " (a, b, s) AS list_transform(generate_series(a, b, s), lambda x: cast_to_type(x, a))",
    # text
    "regexp_extract_null(s, p, g) AS CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p, g) END",
    "codepoint(s) AS unicode(s)",
    "url_extract_host(u) AS regexp_extract_null(u, '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^@/]*@)?([^/:?#]+)', 1)",
    "url_extract_path(u) AS coalesce(regexp_extract_null(u, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)', 1), '')",
    "url_extract_protocol(u) AS regexp_extract_null(u, '^([a-zA-Z][a-zA-Z0-9+.-]*):', 1)",
    "url_extract_query(u) AS regexp_extract_null(u, '[?]([^#]*)', 1)",
    "split_to_map(s, a, b) AS map_from_entries(list_transform(string_split(s, a),"
    " lambda e: {'k': split_part(e, b, 1), 'v': split_part(e, b, 2)}))",
    # numbers
    "infinity() AS CAST('inf' AS DOUBLE)",
    "nan() AS CAST('nan' AS DOUBLE)",
    "e() AS exp(1.0)",
    "is_finite(x) AS isfinite(x)",
    "is_infinite(x) AS isinf(x)",
    "width_bucket(x, lo, hi, n) AS CASE WHEN x < lo THEN 0 WHEN x >= hi THEN n + 1"
    " ELSE CAST(floor((x - lo) / (hi - lo) * n) AS BIGINT) + 1 END",
    # lists and maps
    "array_union(a, b) AS list_concat(list_distinct(a),"
    " list_filter(list_distinct(b), lambda x: NOT list_contains(a, x)))",
    "arrays_overlap(a, b) AS list_has_any(a, b)",
    "tr_array_except(a, b) AS list_distinct(list_filter(a, lambda x: NOT list_contains(b, x)))",
    "tr_array_max(a) AS CASE WHEN list_count(a) = len(a) THEN list_max(a) END",
    "tr_array_min(a) AS CASE WHEN list_count(a) = len(a) THEN list_min(a) END",
    "tr_array_remove(a, x) AS list_filter(a, lambda e: e <> x)",
    "tr_slice(a, s, n) AS CASE WHEN s > 0 THEN list_slice(a, s, s + n - 1)"
    " ELSE list_slice(a, len(a) + s + 1, len(a) + s + n) END",
    "tr_list_repeat(x, n) AS list_transform(range(n), lambda i: x)",
    "tr_first_of_key(l, key) AS list_extract(list_filter(l, lambda e: e.k = key), 1).v",
    "tr_map_agg(l) AS map_from_entries(list_transform(list_distinct(list_transform(l, lambda e: e.k)),"
    " lambda key: {'k': key, 'v': tr_first_of_key(l, key)}))",
    "tr_multimap_agg(l) AS map_from_entries(list_transform(list_distinct(list_transform(l, lambda e: e.k)),"
    " lambda key: {'k': key, 'v': list_transform(list_filter(l, lambda e: e.k = key), lambda e: e.v)}))",
    "tr_cardinality(x) AS CASE WHEN typeof(x) LIKE 'MAP(%' THEN json_array_length(json_keys(to_json(x)))"
    " ELSE json_array_length(to_json(x)) END",
    # JSON
    "json_size(j, p) AS CASE json_type(j, p) WHEN 'ARRAY' THEN json_array_length(j, p)"
    " WHEN 'OBJECT' THEN len(json_keys(j, p)) ELSE 0 END",
    "geometric_mean(x) AS exp(avg(ln(x)))",
    "set_agg(x) AS list(DISTINCT x)",
)
_DOUBLE: Final = (
    "tr_double(x) AS CASE WHEN isnan(x) THEN 'NaN' WHEN isinf(x) THEN CASE WHEN x > 0 THEN 'Infinity'"
    " ELSE '-Infinity' END WHEN x = 0 OR (abs(x) >= 1e-3 AND abs(x) < 1e7) THEN CAST(x AS VARCHAR)"
    " ELSE regexp_replace(regexp_replace(regexp_replace(format('{:e}', x), '0+e', 'e'), '[.]e', '.0e'),"
    " 'e[+]?(-?)0*', 'E\\1') END"
)


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Teach a database Athena's functions; once for all of its cursors."""
    for macro in (_DOUBLE, *_MACROS):
        connection.execute(f"CREATE MACRO {macro}")


def open_session(cursor: duckdb.DuckDBPyConnection) -> None:
    """Set what each cursor needs: it inherits none of the settings."""
    cursor.execute("SET TimeZone='UTC'; SET integer_division=true; SET preserve_insertion_order=true")
