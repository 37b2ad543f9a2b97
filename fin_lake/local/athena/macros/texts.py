"""Texts, JSON, dates and times."""

from __future__ import annotations

from typing import Final

SQL: Final = r"""
CREATE MACRO athena_codepoint(s) AS
    CASE
        WHEN length(s) = 1 THEN unicode(s)
        ELSE athena_fail('INVALID_FUNCTION_ARGUMENT: Input string must be a single character string') END;
CREATE MACRO athena_blanks() AS ' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13);
CREATE MACRO athena_trim(s) AS trim(s, athena_blanks());
CREATE MACRO athena_ltrim(s) AS ltrim(s, athena_blanks());
CREATE MACRO athena_rtrim(s) AS rtrim(s, athena_blanks());
CREATE MACRO athena_length(x) AS
    CASE
        WHEN typeof(x) = 'BLOB' THEN octet_length(TRY_CAST(x AS BLOB))
        ELSE length(CAST(x AS VARCHAR)) END;
CREATE MACRO athena_concat_ws(d, x) AS
    CASE
        WHEN typeof(x) LIKE '%[]' THEN array_to_string(TRY_CAST(x AS VARCHAR[]), d)
        ELSE concat_ws(d, x) END;
CREATE MACRO athena_substr(s, n) AS CASE WHEN n = 0 OR -n > length(s) THEN '' ELSE substr(s, n) END;
CREATE MACRO athena_substr_of(s, n, l) AS
    CASE
        WHEN n = 0 OR -n > length(s) OR l <= 0 THEN ''
        ELSE substr(s, n, l) END;
CREATE MACRO athena_split_limited(s, d, n) AS
    CASE
        WHEN len(string_split(s, d)) > n THEN list_append(
            list_slice(string_split(s, d), 1, n - 1),
            array_to_string(list_slice(string_split(s, d), n, -1), d))
        ELSE string_split(s, d) END;
CREATE MACRO athena_split_part(s, d, n) AS
    CASE
        WHEN n <= 0
            THEN CAST(athena_fail('INVALID_FUNCTION_ARGUMENT: Index must be greater than zero') AS VARCHAR)
        WHEN n <= len(string_split(s, d)) THEN split_part(s, d, n) END;
CREATE MACRO athena_strpos_of(s, t, n) AS
    CASE
        WHEN len(string_split(s, t)) > n
            THEN length(array_to_string(list_slice(string_split(s, t), 1, n), t)) + 1
        ELSE 0 END;
CREATE MACRO athena_bad_entry(e) AS
    athena_fail('INVALID_FUNCTION_ARGUMENT: Key-value delimiter must appear exactly once in each entry.'
        || ' Bad input: ' || e);
CREATE MACRO athena_entry_value(e, b) AS
    CASE
        WHEN len(string_split(e, b)) = 2 THEN split_part(e, b, 2)
        ELSE CAST(athena_bad_entry(e) AS VARCHAR) END;
CREATE MACRO athena_split_to_map(s, a, b) AS
    map_from_entries(list_transform(string_split(s, a), lambda e:
        {'k': split_part(e, b, 1), 'v': athena_entry_value(e, b)}));
CREATE MACRO athena_from_utf8(b) AS coalesce(TRY(decode(b)), athena_decode(b));
CREATE MACRO athena_java_replacement(r) AS
    regexp_replace(regexp_replace(r, '\\(.)', '\1', 'g'), '\$(\d)', '\\\1', 'g');
CREATE MACRO athena_regexp_extract(s, p, g) AS
    CASE
        WHEN regexp_matches(s, p) THEN regexp_extract(s, p, g) END;
CREATE MACRO athena_regexp_position(s, p) AS
    CASE
        WHEN s IS NULL OR p IS NULL THEN NULL
        WHEN regexp_matches(s, p) THEN length(list_extract(regexp_split_to_array(s, p), 1)) + 1
        ELSE -1 END;
CREATE MACRO athena_url_part(u, p) AS
    CASE
        WHEN u IS NOT NULL THEN coalesce(athena_regexp_extract(u, p, 1), '') END;
-- dates and times: DuckDB makes timestamps of dates
CREATE MACRO athena_now() AS date_trunc('millisecond', now());
CREATE MACRO athena_date_trunc(u, d) AS cast_to_type(date_trunc(u, d), d);
CREATE MACRO athena_plus(d, i) AS cast_to_type(d + i, d);
CREATE MACRO athena_millisecond(t) AS CAST(date_part('millisecond', t) AS BIGINT) % 1000;
CREATE MACRO athena_to_milliseconds(i) AS
    CASE
        WHEN typeof(i) = 'INTERVAL' THEN CAST(epoch_ms(TRY_CAST(i AS INTERVAL)) AS BIGINT)
        ELSE TRY_CAST(CAST(i AS VARCHAR) AS BIGINT) * 86400000 END;
CREATE MACRO athena_to_iso8601(x) AS
    CASE typeof(x)
        WHEN 'DATE' THEN CAST(x AS VARCHAR)
        WHEN 'TIMESTAMP' THEN strftime(TRY_CAST(x AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%g')
        ELSE strftime(timezone('UTC', TRY_CAST(x AS TIMESTAMPTZ)), '%Y-%m-%dT%H:%M:%S.%gZ') END;
CREATE MACRO athena_from_unixtime(x) AS
    make_timestamptz(CAST(round(CAST(x AS DOUBLE) * 1000) AS BIGINT) * 1000);
CREATE MACRO athena_from_iso8601(s) AS date_trunc('millisecond', CAST(s AS TIMESTAMPTZ));
CREATE MACRO athena_parse_date(s, f) AS
    coalesce(try_strptime(s, f), CASE
        WHEN s IS NOT NULL
            THEN CAST(CAST(athena_fail('INVALID_FUNCTION_ARGUMENT: Invalid format: "' || s || '"')
                AS VARCHAR) AS TIMESTAMP) END);
CREATE MACRO athena_sequence(a, b) AS
    CASE
        WHEN a > b THEN generate_series(a, b, -1)
        ELSE generate_series(a, b) END;
-- each is reckoned from the start: months have not one length
CREATE MACRO athena_nth_step(a, step, n) AS cast_to_type(a + n * step, a);
CREATE MACRO athena_sequence_by(a, b, step) AS
    CASE
        WHEN typeof(step) = 'INTERVAL' THEN list_transform(
            range(len(generate_series(a, b, step))), lambda n: athena_nth_step(a, step, n))
        ELSE cast_to_type(generate_series(a, b, step), [a]) END;
-- JSON: what is not JSON gives null
CREATE MACRO athena_json(j) AS CASE WHEN json_valid(j) THEN j END;
CREATE MACRO athena_json_extract(j, p) AS json_extract(athena_json(j), p);
CREATE MACRO athena_json_scalar(e) AS
    CASE
        WHEN json_type(e) NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN json_extract_string(e, '$') END;
CREATE MACRO athena_json_extract_scalar(j, p) AS athena_json_scalar(json_extract(athena_json(j), p));
CREATE MACRO athena_json_array_length(j) AS
    CASE
        WHEN json_type(athena_json(j)) = 'ARRAY' THEN CAST(json_array_length(j) AS BIGINT) END;
CREATE MACRO athena_json_array_get(j, i) AS
    CASE
        WHEN json_type(athena_json(j)) = 'ARRAY' THEN json_extract(j, i) END;
CREATE MACRO athena_json_array_contains(j, v) AS
    CASE
        WHEN json_type(athena_json(j)) = 'ARRAY' THEN list_contains(json_extract(j, '$[*]'), to_json(v)) END;
CREATE MACRO athena_json_size(j, p) AS
    CASE json_type(athena_json(j), p)
        WHEN 'ARRAY' THEN CAST(json_array_length(j, p) AS BIGINT)
        WHEN 'OBJECT' THEN len(json_keys(j, p))
        ELSE CASE
            WHEN json_extract(athena_json(j), p) IS NOT NULL THEN 0 END END;
CREATE MACRO athena_is_json_scalar(j) AS json_type(j) NOT IN ('OBJECT', 'ARRAY');
CREATE MACRO athena_json_parse(s) AS CAST(athena_json_sorted(s) AS JSON);
"""
