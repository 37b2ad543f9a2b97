"""Arrays and maps."""

from __future__ import annotations

from typing import Final

SQL: Final = r"""
CREATE MACRO athena_is_map(x) AS typeof(x) LIKE 'MAP(%';
CREATE MACRO athena_cardinality(x) AS
    CASE
        WHEN athena_is_map(x) THEN CAST(cardinality(TRY_CAST(x AS MAP(VARCHAR, VARCHAR))) AS BIGINT)
        ELSE len(TRY_CAST(x AS VARCHAR[])) END;
CREATE MACRO athena_reverse(x) AS
    CASE
        WHEN typeof(x) = 'VARCHAR' THEN cast_to_type(reverse(CAST(x AS VARCHAR)), x)
        ELSE cast_to_type(list_reverse(TRY_CAST(x AS VARCHAR[])), x) END;
CREATE MACRO athena_outside(i, n) AS
    athena_fail(CASE
        WHEN i = 0 THEN 'INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1'
        WHEN i < 0 THEN 'INVALID_FUNCTION_ARGUMENT: Array subscript is negative: ' || i
        ELSE 'INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to array length: '
            || i || ' > ' || n END);
CREATE MACRO athena_array_get(a, i) AS
    CASE
        WHEN i < 1 OR i > len(a) THEN cast_to_type(athena_outside(i, len(a)), a[i])
        ELSE a[i] END;
CREATE MACRO athena_map_get(m, k) AS
    CASE
        WHEN map_contains(m, k) OR m IS NULL OR k IS NULL THEN m[k]
        ELSE cast_to_type(athena_no_key(k), m[k]) END;
CREATE MACRO athena_no_key(k) AS
    athena_fail('INVALID_FUNCTION_ARGUMENT: Key not present in map: ' || CAST(k AS VARCHAR));
-- of an array or a map, whichever it turns out to be
CREATE MACRO athena_get(x, k) AS
    CASE
        WHEN x IS NULL OR k IS NULL THEN NULL
        WHEN athena_is_map(x) THEN CASE
            WHEN x[k] IS NULL AND NOT list_contains(json_keys(to_json(x)), CAST(k AS VARCHAR))
                THEN cast_to_type(athena_no_key(k), x[k])
            ELSE x[k] END
        WHEN typeof(x) LIKE '%[]' AND (x[k] IS NULL OR TRY_CAST(k AS BIGINT) < 1)
            AND TRY_CAST(k AS BIGINT) NOT BETWEEN 1 AND len(TRY_CAST(x AS VARCHAR[]))
            THEN cast_to_type(athena_outside(TRY_CAST(k AS BIGINT), len(TRY_CAST(x AS VARCHAR[]))), x[k])
        ELSE x[k] END;
CREATE MACRO athena_element_at(x, k) AS
    CASE
        WHEN NOT athena_is_map(x) AND TRY_CAST(k AS BIGINT) = 0
            THEN cast_to_type(athena_outside(0, 0), x[k])
        ELSE x[k] END;
CREATE MACRO athena_append(a, e) AS CASE WHEN a IS NOT NULL THEN list_append(a, e) END;
CREATE MACRO athena_prepend(e, a) AS CASE WHEN a IS NOT NULL THEN list_prepend(e, a) END;
-- DuckDB's list_distinct() drops nulls and the order: it tells whether there is anything to do
CREATE MACRO athena_array_distinct(a) AS
    CASE
        WHEN len(list_distinct(a)) = len(a) THEN a
        ELSE list_filter(a, lambda e, i: list_position(a, e) = i) END;
CREATE MACRO athena_array_union(a, b) AS
    athena_array_distinct(CASE
        WHEN a IS NULL OR b IS NULL THEN NULL
        ELSE list_concat(a, b) END);
CREATE MACRO athena_in_array(a, e) AS list_position(a, e) IS NOT NULL;
CREATE MACRO athena_array_intersect(a, b) AS
    CASE
        WHEN b IS NOT NULL THEN athena_array_distinct(list_filter(a, lambda e: athena_in_array(b, e))) END;
CREATE MACRO athena_array_except(a, b) AS
    CASE
        WHEN b IS NOT NULL
            THEN athena_array_distinct(list_filter(a, lambda e: NOT athena_in_array(b, e))) END;
CREATE MACRO athena_arrays_overlap(a, b) AS
    CASE
        WHEN list_has_any(a, b) THEN true
        WHEN list_count(a) < len(a) OR list_count(b) < len(b) THEN NULL
        WHEN a IS NOT NULL AND b IS NOT NULL THEN false END;
CREATE MACRO athena_array_join(a, d) AS
    array_to_string(list_transform(list_filter(a, lambda e: e IS NOT NULL), lambda e: athena_varchar(e)), d);
CREATE MACRO athena_array_join_null(a, d, n) AS
    array_to_string(list_transform(a, lambda e: coalesce(athena_varchar(e), n)), d);
CREATE MACRO athena_array_max(a) AS CASE WHEN list_count(a) = len(a) THEN list_max(a) END;
CREATE MACRO athena_array_min(a) AS CASE WHEN list_count(a) = len(a) THEN list_min(a) END;
CREATE MACRO athena_array_position(a, e) AS
    CASE
        WHEN a IS NOT NULL AND e IS NOT NULL THEN CAST(coalesce(list_position(a, e), 0) AS BIGINT) END;
CREATE MACRO athena_array_remove(a, x) AS
    CASE
        WHEN x IS NOT NULL THEN list_filter(a, lambda e: e IS DISTINCT FROM x) END;
CREATE MACRO athena_contains(a, e) AS
    CASE
        WHEN list_contains(a, e) THEN true
        WHEN a IS NULL OR e IS NULL OR list_count(a) < len(a) THEN NULL
        ELSE false END;
CREATE MACRO athena_array_sort(a) AS list_sort(a, 'ASC', 'NULLS LAST');
CREATE MACRO athena_slice(a, s, n) AS
    CASE
        WHEN s > 0 THEN list_slice(a, s, s + n - 1)
        WHEN s < 0 THEN CASE
            WHEN -s > len(a) THEN list_slice(a, 1, 0)
            ELSE list_slice(a, len(a) + s + 1, len(a) + s + n) END
        ELSE cast_to_type(CAST(athena_outside(0, 0) AS VARCHAR), a) END;
CREATE MACRO athena_trim_array(a, n) AS list_slice(a, 1, len(a) - n);
CREATE MACRO athena_repeat(x, n) AS list_transform(range(n), lambda i: x);
-- Kleene's logic: a null among the results leaves the answer open unless another settles it
CREATE MACRO athena_any_match(results) AS
    CASE
        WHEN results IS NULL THEN NULL
        WHEN list_contains(results, true) THEN true
        WHEN list_count(results) < len(results) THEN NULL
        ELSE false END;
CREATE MACRO athena_all_match(results) AS
    CASE
        WHEN results IS NULL THEN NULL
        WHEN list_contains(results, false) THEN false
        WHEN list_count(results) < len(results) THEN NULL
        ELSE true END;
CREATE MACRO athena_none_match(results) AS NOT athena_any_match(results);
CREATE MACRO athena_map_entries(m) AS list_transform(map_entries(m), lambda e: row(e.key, e.value));
CREATE MACRO athena_sorted_by(pairs) AS list_transform(list_sort(pairs), lambda e: e.v);
CREATE MACRO athena_first_of_key(l, key) AS list_extract(list_filter(l, lambda e: e.k = key), 1).v;
CREATE MACRO athena_keys_of(l) AS athena_array_distinct(list_transform(l, lambda e: e.k));
-- of pairs of k and v; of several with one key the first counts
CREATE MACRO athena_map_of_first(l) AS
    map_from_entries(list_transform(athena_keys_of(l), lambda key:
        {'k': key, 'v': athena_first_of_key(l, key)}));
CREATE MACRO athena_map(l) AS
    CASE
        WHEN len(list_distinct(list_transform(l, lambda e: e.k))) = len(l) THEN map_from_entries(l)
        ELSE athena_map_of_first(l) END;
CREATE MACRO athena_multimap(l) AS
    map_from_entries(list_transform(athena_keys_of(l), lambda key:
        {'k': key, 'v': list_transform(list_filter(l, lambda e: e.k = key), lambda e: e.v)}));
CREATE MACRO athena_split_to_multimap(s, a, b) AS
    athena_multimap(list_transform(string_split(s, a), lambda e:
        {'k': split_part(e, b, 1), 'v': split_part(e, b, 2)}));
CREATE MACRO athena_map_union(maps) AS
    athena_map(flatten(list_transform(maps, lambda m:
        list_transform(map_entries(m), lambda e: {'k': e.key, 'v': e.value}))));
CREATE MACRO athena_map_value(m, k) AS m[k];
CREATE MACRO athena_all_keys(a, b) AS athena_array_distinct(list_concat(map_keys(a), map_keys(b)));
CREATE MACRO athena_counts(m) AS
    map_from_entries(list_transform(map_entries(m), lambda e: {'k': e.key, 'v': CAST(e.value AS BIGINT)}));
CREATE MACRO athena_most_frequent(m, n) AS
    map_from_entries(list_transform(
        list_slice(list_sort(list_transform(map_entries(m), lambda e:
            {'c': -CAST(e.value AS BIGINT), 'k': e.key})), 1, n),
        lambda e: {'k': e.k, 'v': -e.c}));
"""
