"""DuckDB macros that compute as Athena does.

A macro asks for the type of its argument by ``typeof``, which DuckDB answers while it plans: of the
branches one is left. Every branch must be well-typed for every argument, hence the ``TRY_CAST`` in
those that are left out, and ``cast_to_type`` where the result's type follows an argument's.

What must fail does so by a cast that cannot succeed (``athena_fail``): DuckDB's own ``error()`` may not
stand within ``TRY``.
"""

from __future__ import annotations

from typing import Final

from fin_lake.local.athena.duckdb_errors import RAISED

_DOUBLE: Final = "IN ('DOUBLE', 'FLOAT')"
_WHITESPACE: Final = "(' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13))"
_MILLIS: Final = "'%Y-%m-%d %H:%M:%S.%g'"

_FAILURES: Final = (
    f"athena_fail(message) AS CAST('{RAISED}' || message AS TINYINT)",
    "athena_division_by_zero() AS athena_fail('DIVISION_BY_ZERO: Division by zero')",
    "athena_bad_cast(x, name) AS athena_fail('INVALID_CAST_ARGUMENT: Cannot cast ''' || x || ''' to ' || name)",
)

_ARITHMETIC: Final = (
    # decimals: half away from zero, at the larger of the two scales
    "athena_scale(t) AS CASE WHEN t LIKE 'DECIMAL%' THEN CAST(regexp_extract(t, ',(\\d+)', 1) AS INTEGER) ELSE 0 END",
    "athena_unscaled(x) AS CAST(replace(CAST(x AS VARCHAR), '.', '') AS HUGEINT)",
    "athena_half_up(n, d) AS sign(n) * sign(d) * ((2 * abs(n) + abs(d)) // (2 * abs(d)))",
    "athena_ten_to(e) AS CAST('1' || repeat('0', e) AS HUGEINT)",
    "athena_padded(digits, s) AS repeat('0', greatest(s + 1 - length(digits), 0)) || digits",
    "athena_with_point(digits, s) AS CASE WHEN s = 0 THEN digits"
    " ELSE left(digits, length(digits) - s) || '.' || right(digits, s) END",
    "athena_scaled_text(n, s) AS CASE WHEN n < 0 THEN '-' ELSE '' END"
    " || athena_with_point(athena_padded(CAST(abs(n) AS VARCHAR), s), s)",
    "athena_decimal_quotient(a, b, s, up) AS athena_scaled_text(athena_half_up("
    "athena_unscaled(a) * athena_ten_to(up), athena_unscaled(b)), s)",
    "athena_divide_unchecked(a, b) AS CASE"
    f" WHEN typeof(a + b) {_DOUBLE} THEN cast_to_type(a / b, a + b)"
    " WHEN typeof(a + b) LIKE 'DECIMAL%' THEN cast_to_type(athena_decimal_quotient(a, b,"
    "  greatest(athena_scale(typeof(a)), athena_scale(typeof(b))),"
    "  greatest(athena_scale(typeof(a)), athena_scale(typeof(b))) + athena_scale(typeof(b))"
    "  - athena_scale(typeof(a))), a + b)"
    " ELSE cast_to_type(a // b, a + b) END",
    f"athena_divide(a, b) AS CASE WHEN typeof(a + b) NOT {_DOUBLE} AND b = 0 THEN"
    " cast_to_type(athena_division_by_zero(), a + b) ELSE athena_divide_unchecked(a, b) END",
    f"athena_divide_or_null(a, b) AS CASE WHEN typeof(a + b) NOT {_DOUBLE} AND b = 0 THEN NULL"
    " ELSE athena_divide_unchecked(a, b) END",
    f"athena_modulo_or_null(a, b) AS CASE WHEN typeof(a % b) NOT {_DOUBLE} AND b = 0 THEN NULL ELSE a % b END",
    "athena_divide_whole(a, b) AS CASE WHEN b = 0 THEN athena_division_by_zero() ELSE a // b END",
    f"athena_modulo(a, b) AS CASE WHEN typeof(a % b) NOT {_DOUBLE} AND b = 0 THEN"
    " cast_to_type(athena_division_by_zero(), a % b) ELSE a % b END",
    "athena_ceil(x) AS cast_to_type(ceil(x), round(x))",
    "athena_floor(x) AS cast_to_type(floor(x), round(x))",
    "athena_truncate(x) AS cast_to_type(trunc(x), round(x))",
    "athena_sign(x) AS cast_to_type(sign(x), round(x))",
    "athena_round(x, n) AS cast_to_type(round(x, n), x + x)",
    "athena_sqrt(x) AS CASE WHEN x < 0 THEN CAST('nan' AS DOUBLE) ELSE sqrt(x) END",
    *(
        f"athena_{name}(x) AS CASE WHEN x > 0 OR isnan(CAST(x AS DOUBLE)) THEN {name}(x)"
        " WHEN x = 0 THEN CAST('-inf' AS DOUBLE) WHEN x < 0 THEN CAST('nan' AS DOUBLE) END"
        for name in ("ln", "log2", "log10")
    ),
    # DuckDB's own is off by a bit: one step of Newton's method
    "athena_cbrt(x) AS CASE WHEN x = 0 OR NOT isfinite(CAST(x AS DOUBLE)) THEN CAST(x AS DOUBLE)"
    " ELSE cbrt(x) - (cbrt(x) * cbrt(x) * cbrt(x) - x) / (3 * cbrt(x) * cbrt(x)) END",
    "athena_log(b, x) AS athena_ln(x) / athena_ln(b)",
    *(
        f"athena_{name}(x) AS CASE WHEN abs(x) > 1 THEN CAST('nan' AS DOUBLE) ELSE {name}(x) END"
        for name in ("acos", "asin")
    ),
    "athena_random(n) AS cast_to_type(floor(random() * n), n)",
    "athena_random_between(a, b) AS cast_to_type(a + floor(random() * (b - a)), a)",
    "athena_bit_count(x, bits) AS CAST(bit_count(CASE WHEN bits = 64 THEN CAST(x AS BIGINT)"
    " ELSE CAST(x AS BIGINT) & CAST((CAST(1 AS HUGEINT) << bits) - 1 AS BIGINT) END) AS BIGINT)",
    "athena_right_shift(x, n) AS CASE WHEN CAST(x AS BIGINT) >= 0 THEN cast_to_type(x >> n, x)"
    " ELSE cast_to_type((CAST(x AS HUGEINT) + athena_ten_to(0) * 18446744073709551616) >> n, x) END",
    "athena_left_shift(x, n) AS CAST(CAST(x AS HUGEINT) * CAST(pow(2, n) AS HUGEINT) AS BIGINT)",
    "athena_width_bucket(x, lo, hi, n) AS CASE WHEN lo <= hi THEN"
    " (CASE WHEN x < lo THEN 0 WHEN x >= hi THEN CAST(n AS BIGINT) + 1"
    "  ELSE CAST(floor((CAST(x AS DOUBLE) - lo) / (hi - lo) * n) AS BIGINT) + 1 END)"
    " ELSE (CASE WHEN x > lo THEN 0 WHEN x <= hi THEN CAST(n AS BIGINT) + 1"
    "  ELSE CAST(floor((lo - CAST(x AS DOUBLE)) / (lo - hi) * n) AS BIGINT) + 1 END) END",
    "athena_width_bucket_of(x, bins) AS CAST(len(list_filter(bins, lambda e: e <= x)) AS BIGINT)",
)

_CASTS: Final = (
    "athena_number_text(t) AS CASE WHEN t IN ('nan', '-nan') THEN 'NaN' WHEN t = 'inf' THEN 'Infinity'"
    " WHEN t = '-inf' THEN '-Infinity' ELSE athena_java_number(t) END",
    # Java's Double.toString: plain from 10⁻³ to 10⁷, else with an exponent
    "athena_double_text(x) AS CASE WHEN x = 0 OR (abs(x) >= 1e-3 AND abs(x) < 1e7) THEN CAST(x AS VARCHAR)"
    " ELSE athena_number_text(CAST(x AS VARCHAR)) END",
    "athena_interval_text(i) AS CAST(epoch_ms(i) // 86400000 AS VARCHAR) || ' ' ||"
    " strftime(make_timestamp(CAST((epoch_ms(i) % 86400000) * 1000 AS BIGINT)), '%H:%M:%S.%g')",
    "athena_varchar(x) AS CASE typeof(x) WHEN 'VARCHAR' THEN CAST(x AS VARCHAR)"
    f" WHEN 'TIMESTAMP' THEN strftime(TRY_CAST(x AS TIMESTAMP), {_MILLIS})"
    f" WHEN 'TIMESTAMP WITH TIME ZONE' THEN strftime(timezone('UTC', TRY_CAST(x AS TIMESTAMPTZ)), {_MILLIS}) || ' UTC'"
    " WHEN 'DOUBLE' THEN athena_double_text(TRY_CAST(x AS DOUBLE))"
    " WHEN 'FLOAT' THEN athena_double_text(TRY_CAST(x AS FLOAT))"
    " WHEN 'JSON' THEN json_extract_string(TRY_CAST(CAST(x AS VARCHAR) AS JSON), '$')"
    " WHEN 'INTERVAL' THEN athena_interval_text(TRY_CAST(x AS INTERVAL))"
    " WHEN 'TIME' THEN CAST(x AS VARCHAR) || CASE WHEN CAST(x AS VARCHAR) LIKE '%.%' THEN '' ELSE '.000' END"
    " ELSE CAST(x AS VARCHAR) END",
    *(
        f"athena_{name.lower()}{suffix}(x) AS CASE WHEN typeof(x) {_DOUBLE} THEN {cast}(round(TRY_CAST(x AS DOUBLE)) AS {duckdb})"
        f" WHEN typeof(x) = 'VARCHAR' THEN CASE WHEN x IS NULL OR regexp_full_match(CAST(x AS VARCHAR), '[+-]?[0-9]+')"
        f" THEN {cast}(CAST(x AS VARCHAR) AS {duckdb}) ELSE {bad} END ELSE {cast}(x AS {duckdb}) END"
        for name, duckdb in (
            ("BIGINT", "BIGINT"),
            ("INTEGER", "INTEGER"),
            ("SMALLINT", "SMALLINT"),
            ("TINYINT", "TINYINT"),
        )
        for suffix, cast, bad in (
            ("", "CAST", f"athena_bad_cast(CAST(x AS VARCHAR), '{name.replace('INTEGER', 'INT')}')"),
            ("_or_null", "TRY_CAST", "NULL"),
        )
    ),
    *(
        f"athena_{name}{suffix}(x) AS CASE WHEN typeof(x) = 'VARCHAR' THEN CASE WHEN x IS NULL OR"
        f" regexp_full_match(CAST(x AS VARCHAR), '{pattern}') THEN {cast}(CAST(x AS VARCHAR) AS {duckdb}) ELSE {bad} END"
        f" ELSE {cast}(x AS {duckdb}) END"
        for name, duckdb, pattern in (
            ("boolean", "BOOLEAN", "(?i)t|f|true|false|0|1"),
            ("date", "DATE", "\\s*[+-]?\\d+-\\d{1,2}-\\d{1,2}\\s*"),
            (
                "timestamp",
                "TIMESTAMP",
                "\\s*[+-]?\\d+-\\d{1,2}-\\d{1,2}( \\d{1,2}:\\d{1,2}(:\\d{1,2}(\\.\\d+)?)?)?\\s*",
            ),
            (
                "zoned",
                "TIMESTAMPTZ",
                "\\s*[+-]?\\d+-\\d{1,2}-\\d{1,2}( \\d{1,2}:\\d{1,2}(:\\d{1,2}(\\.\\d+)?)?)?( ?[A-Za-z+-].*)?\\s*",
            ),
        )
        for suffix, cast, bad in (
            (
                "",
                "CAST",
                "CAST(CAST(athena_bad_cast(CAST(x AS VARCHAR),"
                f" '{name.replace('zoned', 'timestamp with time zone').upper()}') AS VARCHAR) AS {duckdb})",
            ),
            ("_or_null", "TRY_CAST", "NULL"),
        )
    ),
    "athena_to_json(x) AS CASE WHEN typeof(x) = 'JSON' THEN TRY_CAST(CAST(x AS VARCHAR) AS JSON) ELSE to_json(x) END",
    "athena_typeof(x) AS athena_type_name(typeof(x))",
)

_TEXTS: Final = (
    "athena_codepoint(s) AS CASE WHEN length(s) = 1 THEN unicode(s)"
    " ELSE athena_fail('INVALID_FUNCTION_ARGUMENT: Input string must be a single character string') END",
    f"athena_trim(s) AS trim(s, {_WHITESPACE})",
    f"athena_ltrim(s) AS ltrim(s, {_WHITESPACE})",
    f"athena_rtrim(s) AS rtrim(s, {_WHITESPACE})",
    "athena_length(x) AS CASE WHEN typeof(x) = 'BLOB' THEN octet_length(TRY_CAST(x AS BLOB)) ELSE length(CAST(x AS VARCHAR)) END",
    "athena_concat_ws(d, x) AS CASE WHEN typeof(x) LIKE '%[]' THEN array_to_string(TRY_CAST(x AS VARCHAR[]), d)"
    " ELSE concat_ws(d, x) END",
    "athena_substr(s, n) AS CASE WHEN n = 0 OR -n > length(s) THEN '' ELSE substr(s, n) END",
    "athena_substr_of(s, n, l) AS CASE WHEN n = 0 OR -n > length(s) OR l <= 0 THEN '' ELSE substr(s, n, l) END",
    "athena_split_limited(s, d, n) AS CASE WHEN len(string_split(s, d)) > n THEN list_append("
    "list_slice(string_split(s, d), 1, n - 1), array_to_string(list_slice(string_split(s, d), n, -1), d))"
    " ELSE string_split(s, d) END",
    "athena_split_part(s, d, n) AS CASE WHEN n <= 0 THEN CAST(athena_fail("
    "'INVALID_FUNCTION_ARGUMENT: Index must be greater than zero') AS VARCHAR)"
    " WHEN n <= len(string_split(s, d)) THEN split_part(s, d, n) END",
    "athena_strpos_of(s, t, n) AS CASE WHEN len(string_split(s, t)) > n"
    " THEN length(array_to_string(list_slice(string_split(s, t), 1, n), t)) + 1 ELSE 0 END",
    "athena_split_to_map(s, a, b) AS map_from_entries(list_transform(string_split(s, a),"
    " lambda e: {'k': split_part(e, b, 1), 'v': CASE WHEN contains(e, b) THEN substr(e, strpos(e, b) + length(b))"
    " ELSE CAST(athena_fail('INVALID_FUNCTION_ARGUMENT: Key-value delimiter must appear exactly once in each entry."
    " Bad input: ''' || e || '''') AS VARCHAR) END}))",
    "athena_from_utf8(b) AS coalesce(TRY(decode(b)), athena_decode(b))",
    "athena_java_replacement(r) AS regexp_replace(regexp_replace(r, '\\\\(.)', '\\1', 'g'), '\\$(\\d)', '\\\\\\1', 'g')",
    "athena_regexp_extract(s, p, g) AS CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p, g) END",
    "athena_regexp_position(s, p) AS CASE WHEN s IS NULL OR p IS NULL THEN NULL WHEN regexp_matches(s, p)"
    " THEN length(list_extract(regexp_split_to_array(s, p), 1)) + 1 ELSE -1 END",
    "athena_url_query(u) AS regexp_extract(u, '^[^?#]*[?]([^#]*)', 1)",
    "athena_url_part(u, p) AS CASE WHEN u IS NOT NULL THEN coalesce(athena_regexp_extract(u, p, 1), '') END",
)

_TIMES: Final = (
    "athena_now() AS date_trunc('millisecond', now())",
    "athena_date_trunc(u, d) AS cast_to_type(date_trunc(u, d), d)",
    "athena_plus(d, i) AS cast_to_type(d + i, d)",
    "athena_millisecond(t) AS CAST(date_part('millisecond', t) AS BIGINT) % 1000",
    "athena_to_milliseconds(i) AS CASE WHEN typeof(i) = 'INTERVAL' THEN CAST(epoch_ms(TRY_CAST(i AS INTERVAL)) AS BIGINT)"
    " ELSE TRY_CAST(CAST(i AS VARCHAR) AS BIGINT) * 86400000 END",
    "athena_to_iso8601(x) AS CASE typeof(x) WHEN 'DATE' THEN CAST(x AS VARCHAR)"
    " WHEN 'TIMESTAMP' THEN strftime(TRY_CAST(x AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%g')"
    " ELSE strftime(timezone('UTC', TRY_CAST(x AS TIMESTAMPTZ)), '%Y-%m-%dT%H:%M:%S.%gZ') END",
    "athena_from_unixtime(x) AS make_timestamptz(CAST(round(CAST(x AS DOUBLE) * 1000) AS BIGINT) * 1000)",
    "athena_from_iso8601(s) AS date_trunc('millisecond', CAST(s AS TIMESTAMPTZ))",
    "athena_parse_date(s, f, mask) AS coalesce(try_strptime(s, f), CASE WHEN s IS NOT NULL THEN CAST(athena_fail("
    "'INVALID_FUNCTION_ARGUMENT: Invalid format: \"' || s || '\"') AS VARCHAR)::TIMESTAMP END)",
    "athena_sequence(a, b) AS CASE WHEN a > b THEN generate_series(a, b, -1) ELSE generate_series(a, b) END",
    # each is reckoned from the start: months have not one length
    "athena_nth_step(a, step, n) AS cast_to_type(a + n * step, a)",
    "athena_sequence_by(a, b, step) AS CASE WHEN typeof(step) = 'INTERVAL' THEN list_transform("
    "range(len(generate_series(a, b, step))), lambda n: athena_nth_step(a, step, n))"
    " ELSE cast_to_type(generate_series(a, b, step), [a]) END",
)

_COLLECTIONS: Final = (
    "athena_is_map(x) AS typeof(x) LIKE 'MAP(%'",
    "athena_cardinality(x) AS CASE WHEN athena_is_map(x) THEN CAST(cardinality(TRY_CAST(x AS MAP(VARCHAR, VARCHAR))) AS BIGINT)"
    " ELSE len(TRY_CAST(x AS VARCHAR[])) END",
    "athena_reverse(x) AS CASE WHEN typeof(x) = 'VARCHAR' THEN cast_to_type(reverse(CAST(x AS VARCHAR)), x)"
    " ELSE cast_to_type(list_reverse(TRY_CAST(x AS VARCHAR[])), x) END",
    "athena_outside(i, n) AS athena_fail(CASE WHEN i = 0 THEN 'INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1'"
    " WHEN i < 0 THEN 'INVALID_FUNCTION_ARGUMENT: Array subscript is negative: ' || i"
    " ELSE 'INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to array length: ' || i || ' > ' || n END)",
    "athena_array_get(a, i) AS CASE WHEN i < 1 OR i > len(a) THEN cast_to_type(athena_outside(i, len(a)), a[i])"
    " ELSE a[i] END",
    "athena_map_get(m, k) AS CASE WHEN map_contains(m, k) OR m IS NULL OR k IS NULL THEN m[k]"
    " ELSE cast_to_type(athena_no_key(k), m[k]) END",
    "athena_no_key(k) AS athena_fail('INVALID_FUNCTION_ARGUMENT: Key not present in map: ' || CAST(k AS VARCHAR))",
    "athena_get(x, k) AS CASE WHEN x IS NULL OR k IS NULL THEN NULL"
    " WHEN athena_is_map(x) THEN CASE WHEN x[k] IS NULL AND NOT list_contains(json_keys(to_json(x)), CAST(k AS VARCHAR)) THEN cast_to_type(athena_no_key(k), x[k]) ELSE x[k] END"
    " WHEN typeof(x) LIKE '%[]' AND (x[k] IS NULL OR TRY_CAST(k AS BIGINT) < 1)"
    "  AND TRY_CAST(k AS BIGINT) NOT BETWEEN 1 AND len(TRY_CAST(x AS VARCHAR[]))"
    "  THEN cast_to_type(athena_outside(TRY_CAST(k AS BIGINT), len(TRY_CAST(x AS VARCHAR[]))), x[k])"
    " ELSE x[k] END",
    "athena_element_at(x, k) AS CASE WHEN NOT athena_is_map(x) AND TRY_CAST(k AS BIGINT) = 0"
    " THEN cast_to_type(athena_outside(0, 0), x[k]) ELSE x[k] END",
    "athena_array_distinct(a) AS list_filter(a, lambda e, i: list_position(a, e) = i)",
    "athena_array_union(a, b) AS athena_array_distinct(CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE list_concat(a, b) END)",
    "athena_in_array(a, e) AS list_position(a, e) IS NOT NULL",
    "athena_array_intersect(a, b) AS CASE WHEN b IS NOT NULL THEN"
    " athena_array_distinct(list_filter(a, lambda e: athena_in_array(b, e))) END",
    "athena_array_except(a, b) AS CASE WHEN b IS NOT NULL THEN"
    " athena_array_distinct(list_filter(a, lambda e: NOT athena_in_array(b, e))) END",
    "athena_arrays_overlap(a, b) AS CASE WHEN list_has_any(a, b) THEN true"
    " WHEN list_count(a) < len(a) OR list_count(b) < len(b) THEN NULL WHEN a IS NOT NULL AND b IS NOT NULL THEN false END",
    "athena_array_join(a, d) AS array_to_string(list_transform(list_filter(a, lambda e: e IS NOT NULL), lambda e: athena_varchar(e)), d)",
    "athena_array_join_null(a, d, n) AS array_to_string(list_transform(a, lambda e: coalesce(athena_varchar(e), n)), d)",
    "athena_array_max(a) AS CASE WHEN list_count(a) = len(a) THEN list_max(a) END",
    "athena_array_min(a) AS CASE WHEN list_count(a) = len(a) THEN list_min(a) END",
    "athena_array_position(a, e) AS CASE WHEN a IS NOT NULL AND e IS NOT NULL THEN CAST(coalesce(list_position(a, e), 0) AS BIGINT) END",
    "athena_array_remove(a, x) AS CASE WHEN x IS NOT NULL THEN list_filter(a, lambda e: e IS DISTINCT FROM x) END",
    "athena_contains(a, e) AS CASE WHEN list_contains(a, e) THEN true WHEN a IS NULL OR e IS NULL OR list_count(a) < len(a)"
    " THEN NULL ELSE false END",
    "athena_array_sort(a) AS list_sort(a, 'ASC', 'NULLS LAST')",
    "athena_slice(a, s, n) AS CASE WHEN s > 0 THEN list_slice(a, s, s + n - 1)"
    " WHEN s < 0 THEN CASE WHEN -s > len(a) THEN list_slice(a, 1, 0) ELSE list_slice(a, len(a) + s + 1, len(a) + s + n) END"
    " ELSE cast_to_type(CAST(athena_fail('INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1') AS VARCHAR), a) END",
    "athena_trim_array(a, n) AS list_slice(a, 1, len(a) - n)",
    "athena_repeat(x, n) AS list_transform(range(n), lambda i: x)",
    "athena_any(results) AS CASE WHEN len(results) = 0 THEN false ELSE list_bool_or(results) END",
    "athena_all(results) AS CASE WHEN len(results) = 0 THEN true ELSE list_bool_and(results) END",
    # Kleene's logic: a null among the results leaves the answer open unless another settles it
    "athena_any_match(results) AS CASE WHEN results IS NULL THEN NULL WHEN list_contains(results, true) THEN true"
    " WHEN list_count(results) < len(results) THEN NULL ELSE false END",
    "athena_all_match(results) AS CASE WHEN results IS NULL THEN NULL WHEN list_contains(results, false) THEN false"
    " WHEN list_count(results) < len(results) THEN NULL ELSE true END",
    "athena_none_match(results) AS NOT athena_any_match(results)",
    "athena_map_entries(m) AS list_transform(map_entries(m), lambda e: row(e.key, e.value))",
    "athena_sorted_by(pairs) AS list_transform(list_sort(pairs), lambda e: e.v)",
    "athena_first_of_key(l, key) AS list_extract(list_filter(l, lambda e: e.k = key), 1).v",
    "athena_keys_of(l) AS athena_array_distinct(list_transform(l, lambda e: e.k))",
    "athena_map(l) AS map_from_entries(list_transform(athena_keys_of(l), lambda key: {'k': key, 'v': athena_first_of_key(l, key)}))",
    "athena_multimap(l) AS map_from_entries(list_transform(athena_keys_of(l), lambda key: {'k': key, 'v':"
    " list_transform(list_filter(l, lambda e: e.k = key), lambda e: e.v)}))",
    "athena_split_to_multimap(s, a, b) AS athena_multimap(list_transform(string_split(s, a),"
    " lambda e: {'k': split_part(e, b, 1), 'v': split_part(e, b, 2)}))",
    "athena_map_union(maps) AS athena_map(flatten(list_transform(maps, lambda m: list_transform(map_entries(m),"
    " lambda e: {'k': e.key, 'v': e.value}))))",
    "athena_map_value(m, k) AS m[k]",
    "athena_all_keys(a, b) AS athena_array_distinct(list_concat(map_keys(a), map_keys(b)))",
    "athena_counts(m) AS map_from_entries(list_transform(map_entries(m), lambda e: {'k': e.key, 'v': CAST(e.value AS BIGINT)}))",
    "athena_most_frequent(m, n) AS map_from_entries(list_transform(list_slice(list_sort(list_transform(map_entries(m),"
    " lambda e: {'c': -CAST(e.value AS BIGINT), 'k': e.key})), 1, n), lambda e: {'k': e.k, 'v': -e.c}))",
)

_JSON: Final = (
    "athena_json(j) AS CASE WHEN json_valid(j) THEN j END",
    "athena_json_extract(j, p) AS json_extract(athena_json(j), p)",
    "athena_json_scalar(e) AS CASE WHEN json_type(e) NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN json_extract_string(e, '$') END",
    "athena_json_extract_scalar(j, p) AS athena_json_scalar(json_extract(athena_json(j), p))",
    "athena_json_array_length(j) AS CASE WHEN json_type(athena_json(j)) = 'ARRAY' THEN CAST(json_array_length(j) AS BIGINT) END",
    "athena_json_array_get(j, i) AS CASE WHEN json_type(athena_json(j)) = 'ARRAY' THEN json_extract(j, i) END",
    "athena_json_array_contains(j, v) AS CASE WHEN json_type(athena_json(j)) = 'ARRAY' THEN"
    " list_contains(json_extract(j, '$[*]'), to_json(v)) END",
    "athena_json_size(j, p) AS CASE json_type(athena_json(j), p) WHEN 'ARRAY' THEN CAST(json_array_length(j, p) AS BIGINT)"
    " WHEN 'OBJECT' THEN len(json_keys(j, p)) ELSE CASE WHEN json_extract(athena_json(j), p) IS NOT NULL THEN 0 END END",
    "athena_is_json_scalar(j) AS json_type(j) NOT IN ('OBJECT', 'ARRAY')",
    "athena_json_parse(s) AS CAST(athena_json_sorted(s) AS JSON)",
)

_AGGREGATES: Final = (
    # the type alone matters: sum() of whole numbers is a BIGINT, of decimals a DECIMAL(38, …)
    "athena_sum_type(x) AS x * CAST(1 AS BIGINT) * CAST(1 AS BIGINT)",
    # as typed by DuckDB: of whole numbers DOUBLE, of decimals their own
    "athena_avg_type(x) AS list_aggregate([x], 'median')",
    "athena_decimal_average(total, n, x) AS cast_to_type(athena_decimal_quotient(total, n,"
    " athena_scale(typeof(total)), 0), athena_avg_type(x))",
    "athena_average(plain, total, n, x) AS CASE WHEN typeof(x) LIKE 'DECIMAL%' THEN athena_decimal_average(total, n, x)"
    " ELSE cast_to_type(plain, athena_avg_type(x)) END",
    "athena_skewness(s, n) AS s * (n - 2) / sqrt(CAST(n AS DOUBLE) * (n - 1))",
)

MACROS: Final = (
    *_FAILURES, *_ARITHMETIC, *_CASTS, *_TEXTS, *_TIMES, *_COLLECTIONS, *_JSON, *_AGGREGATES,
)  # fmt: skip
"""``name(parameters) AS expression``; one uses only those before it, or functions of :mod:`udfs`."""
