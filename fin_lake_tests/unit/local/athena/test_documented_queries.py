"""Facts of the documentation about whole queries, and the functions over columns of tables."""

from __future__ import annotations

import pytest

from fin_lake_tests.unit.local.athena.answers import check, columns, failure, rows, value

TABLE = """
with t as (
    select * from (values
        (1, 2.5e0, decimal '1.10', 'a', true, timestamp '2026-01-01 00:30:00', date '2026-01-01',
         array[1, 2], map(array['k'], array[10]), '{"x": [1, 2]}', cast(row(1, 'p') as row(n integer, s varchar))),
        (2, -1.5e0, decimal '2.20', 'b', false, timestamp '2026-01-01 01:15:00.250', date '2026-01-31',
         array[3], map(array['k', 'l'], array[20, 30]), '{"x": []}', cast(row(2, 'q') as row(n integer, s varchar))),
        (3, null, null, null, null, null, null, null, null, null, null)
    ) as v(i, d, p, s, b, ts, dt, a, m, j, r)
)
"""
OVER_COLUMNS = [
    ("i / 2", ["0", "1", "1"]),
    ("d / 0", ["Infinity", "-Infinity", None]),
    ("p / 3", ["0.37", "0.73", None]),
    ("p / i", ["1.10", "1.10", None]),
    ("i % 2", ["1", "0", "1"]),
    ("cast(d as bigint)", ["3", "-2", None]),
    ("cast(d as varchar)", ["2.5", "-1.5", None]),
    ("cast(p as integer)", ["1", "2", None]),
    ("cast(ts as varchar)", ["2026-01-01 00:30:00.000", "2026-01-01 01:15:00.250", None]),
    ("cast(s as varchar) || cast(i as varchar)", ["a1", "b2", None]),
    ("try_cast(s as integer)", [None, None, None]),
    ("try(i / (i - 1))", [None, "2", "1"]),
    ("round(d)", ["3.0", "-2.0", None]),
    ("round(p, 1)", ["1.10", "2.20", None]),
    ("floor(p)", ["1", "2", None]),
    ("greatest(i, d)", ["2.5", "2.0", None]),
    ("concat(s, '-', s)", ["a-a", "b-b", None]),
    ("coalesce(s, 'none')", ["a", "b", "none"]),
    ("format('%s=%d', s, i)", ["a=1", "b=2", "null=3"]),
    ("substr(s, i)", ["a", "", None]),
    ("date_trunc('hour', ts)", ["2026-01-01 00:00:00.000", "2026-01-01 01:00:00.000", None]),
    ("date_trunc('month', dt)", ["2026-01-01", "2026-01-01", None]),
    ("date_add('month', i, dt)", ["2026-02-01", "2026-03-31", None]),
    ("dt + interval '1' month", ["2026-02-01", "2026-02-28", None]),
    ("ts - interval '30' minute", ["2026-01-01 00:00:00.000", "2026-01-01 00:45:00.250", None]),
    ("date_diff('minute', cast(dt as timestamp), ts)", ["30", "-43124", None]),
    ("date_format(ts, '%H:%i')", ["00:30", "01:15", None]),
    ("to_unixtime(ts)", ["1.7672274E9", "1.76723010025E9", None]),
    ("day_of_week(dt)", ["4", "6", None]),
    ("hour(ts at time zone 'America/New_York')", ["19", "20", None]),
    ("date_format(date_parse(date_format(ts, '%Y%m%d'), '%Y%m%d'), '%d.%m.')", ["01.01.", "01.01.", None]),
    ("cardinality(a)", ["2", "1", None]),
    ("cardinality(m)", ["1", "2", None]),
    ("a[1]", ["1", "3", None]),
    ("element_at(a, 2)", ["2", None, None]),
    ("m['k']", ["10", "20", None]),
    ("element_at(m, 'l')", [None, "30", None]),
    ("reverse(a)", ["[2, 1]", "[3]", None]),
    ("reverse(s)", ["a", "b", None]),
    ("a || 9", ["[1, 2, 9]", "[3, 9]", None]),
    ("a || a", ["[1, 2, 1, 2]", "[3, 3]", None]),
    ("contains(a, i)", ["true", "false", None]),
    ("array_join(a, '+')", ["1+2", "3", None]),
    ("array_sort(a, (x, y) -> y - x)", ["[2, 1]", "[3]", None]),
    ("transform(a, x -> x * i)", ["[1, 2]", "[6]", None]),
    ("filter(a, x -> x > i)", ["[2]", "[3]", None]),
    ("reduce(a, 0, (acc, x) -> acc + x * i, acc -> acc)", ["3", "6", None]),
    ("transform_values(m, (k, v) -> v + i)", ["{k=11}", "{k=22, l=32}", None]),
    ("map_keys(m)", ["[k]", "[k, l]", None]),
    ("map_filter(m, (k, v) -> k = 'l')", ["{}", "{l=30}", None]),
    ("sequence(1, i)", ["[1]", "[1, 2]", "[1, 2, 3]"]),
    ("json_extract_scalar(j, '$.x[0]')", ["1", None, None]),
    ("cast(json_extract(j, '$.x') as array(integer))", ["[1, 2]", "[]", None]),
    ("json_array_length(json_extract(j, '$.x'))", ["2", "0", None]),
    ("r.n + i", ["2", "4", None]),
    ("r.s", ["p", "q", None]),
    ("regexp_extract(s, '[a-c]')", ["a", "b", None]),
    ("typeof(p)", ["decimal(3,2)", "decimal(3,2)", "decimal(3,2)"]),
    ("if(b, 'yes', 'no')", ["yes", "no", "no"]),
    ("to_hex(md5(to_utf8(s)))", ["0CC175B9C0F1B6A831C399E269772661", "92EB5FFEE6AE2FEC3AD71C777531578F", None]),
]  # fmt: skip
AGGREGATED = [
    ("sum(i)", "6"),
    ("sum(d)", "1.0"),
    ("sum(p)", "3.30"),
    ("avg(i)", "2.0"),
    ("avg(p)", "1.65"),
    ("avg(d) / count(d)", "0.25"),
    ("sum(i) / count(*)", "2"),
    ("sum(p) / 2", "1.65"),
    ("cast(sum(d) as varchar)", "1.0"),
    ("cast(max(ts) as varchar)", "2026-01-01 01:15:00.250"),
    ("date_diff('second', min(ts), max(ts))", "2700"),
    ("date_trunc('day', max(ts))", "2026-01-01 00:00:00.000"),
    ("round(avg(d), 1)", "0.5"),
    ("cast(sum(d) as bigint)", "1"),
    ("try(sum(i) / (count(*) - 3))", None),
    ("count(distinct s)", "2"),
    ("count(s) filter (where i > 1)", "1"),
    ("array_agg(s)", "[a, b, null]"),
    ("array_agg(s) filter (where s is not null)", "[a, b]"),
    ("array_join(array_agg(s order by i desc), ',')", "b,a"),
    ("array_agg(i order by d desc)", "[1, 2, 3]"),
    ("cardinality(array_agg(i))", "3"),
    ("element_at(array_agg(i order by i), -1)", "3"),
    ("max_by(d, i)", None),
    ("min_by(s, i)", "a"),
    ("max_by(s, i, 2)", "[null, b]"),
    ("map_agg(s, i)", "{a=1, b=2}"),
    ("map_union(m)", "{k=10, l=30}"),
    ("reduce_agg(i, 0, (x, y) -> x + y, (x, y) -> x + y)", "6"),
    ("approx_percentile(d, 0.5)", "-1.5"),
    ("listagg(s, '/') within group (order by s desc)", "b/a"),
    ("bool_and(b)", "false"),
    ("count_if(b)", "1"),
    ("stddev(i)", "~1.0"),
    ("histogram(b)", "{false=1, true=1}"),
    ("greatest(max(i), 2)", "3"),
]
SERIES = """from (values
    ('x', timestamp '2026-01-01 00:00:00', 1), ('x', timestamp '2026-01-01 01:00:00', 2),
    ('x', timestamp '2026-01-01 03:00:00', cast(null as integer)), ('x', timestamp '2026-01-01 04:00:00', 5),
    ('y', timestamp '2026-01-01 00:00:00', 7)
) as w(k, t, v)"""
WINDOWS = [
    ("lag(v) over (partition by k order by t)", [None, "1", "2", None, None]),
    ("lag(v, 1, 0) over (partition by k order by t)", ["0", "1", "2", None, "0"]),
    ("lag(v) ignore nulls over (partition by k order by t)", [None, "1", "2", "2", None]),
    ("lead(v, 2) over (partition by k order by t)", [None, "5", None, None, None]),
    ("first_value(v) over (partition by k order by t desc)", ["5", "5", "5", "5", "7"]),
    ("last_value(v) over (partition by k order by t)", ["1", "2", None, "5", "7"]),
    ("last_value(v) ignore nulls over (partition by k order by t)", ["1", "2", "2", "5", "7"]),
    ("nth_value(v, 2) over (partition by k order by t rows between unbounded preceding and unbounded following)",
     ["2", "2", "2", "2", None]),
    ("sum(v) over (partition by k order by t)", ["1", "3", "3", "8", "7"]),
    ("sum(v) over (partition by k order by t rows between 1 preceding and current row)", ["1", "3", "2", "5", "7"]),
    ("sum(v) over (partition by k order by t range between interval '1' hour preceding and current row)",
     ["1", "3", None, "5", "7"]),
    ("count(*) over (partition by k order by t range between interval '2' hour preceding and interval '1' hour"
     " preceding)", ["0", "1", "1", "1", "0"]),
    ("avg(v) over (partition by k)", ["2.6666666666666665"] * 4 + ["7.0"]),
    ("avg(cast(v as decimal(10,2))) over (partition by k)", ["2.67"] * 4 + ["7.00"]),
    ("row_number() over (partition by k order by t desc)", ["4", "3", "2", "1", "1"]),
    ("rank() over (order by k)", ["1", "1", "1", "1", "5"]),
    ("dense_rank() over (order by k)", ["1", "1", "1", "1", "2"]),
    ("percent_rank() over (order by t, k)", ["0.0", "0.5", "0.75", "1.0", "0.25"]),
    ("cume_dist() over (order by k)", ["0.8", "0.8", "0.8", "0.8", "1.0"]),
    ("ntile(2) over (order by k, t)", ["1", "1", "1", "2", "2"]),
    ("v - lag(v) over (partition by k order by t)", [None, "1", None, None, None]),
    ("v / nullif(lag(v) over (partition by k order by t), 0)", [None, "2", None, None, None]),
    ("v * 1e0 / sum(v) over (partition by k)", ["0.125", "0.25", None, "0.625", "1.0"]),
    ("array_agg(v) over (partition by k order by t rows between 1 preceding and current row)",
     ["[1]", "[1, 2]", "[2, null]", "[null, 5]", "[7]"]),
    ("max_by(v, t) over (partition by k)", ["5", "5", "5", "5", "7"]),
    ("date_diff('hour', lag(t) over (partition by k order by t), t)", [None, "1", "2", "1", None]),
    ("sum(v) filter (where v > 1) over (partition by k)", ["7"] * 4 + ["7"]),
    ("count_if(v > 1) over (partition by k)", ["2"] * 4 + ["1"]),
]  # fmt: skip
QUERIES = [
    ("select * from unnest(array[1, 2]) as t(x)", ["1", "2"]),
    ("select x, n from unnest(array['a', 'b']) with ordinality as t(x, n)", ["a|1", "b|2"]),
    ("select x, y, n from unnest(array[1, 2], array['a']) with ordinality as t(x, y, n)", ["1|a|1", "2|None|2"]),
    ("select k, v from unnest(map(array['a', 'b'], array[1, 2])) as t(k, v)", ["a|1", "b|2"]),
    ("select a, b from unnest(array[row(1, 'x'), row(2, 'y')]) as t(a, b)", ["1|x", "2|y"]),
    ("select i, x from (values (1, array[10, 20]), (2, array[])) as t(i, a) cross join unnest(a) as u(x)",
     ["1|10", "1|20"]),
    ("select i, x from (values (1, array[10]), (2, array[])) as t(i, a) left join unnest(a) as u(x) on true"
     " order by i", ["1|10", "2|None"]),
    ("select i, k, v from (values (1, map(array['a'], array[5]))) as t(i, m), unnest(m) as u(k, v)", ["1|a|5"]),
    ("select k, v from (select map_agg(x, y) as m from (values ('a', 1)) as t(x, y)) cross join unnest(m) as u(k, v)",
     ["a|1"]),
    ("select i, x, n from (values (1, array['p', 'q'])) as t(i, a) cross join unnest(a) with ordinality as u(x, n)",
     ["1|p|1", "1|q|2"]),
    ("select t.i, u.z from (values 1, 2) as t(i) cross join lateral (select t.i * 10 as z) as u", ["1|10", "2|20"]),
    ("select k, sum(v) from (values ('a', 1), ('b', 2)) as t(k, v) group by rollup (k) order by 1",
     ["a|1", "b|2", "None|3"]),
    ("select k, l, sum(v), grouping(k, l) from (values ('a', 'p', 1)) as t(k, l, v) group by cube (k, l)"
     " order by 4", ["a|p|1|0", "a|None|1|1", "None|p|1|2", "None|None|1|3"]),
    ("select k, count(*) from (values 'a', 'a', 'b') as t(k) group by grouping sets ((k), ()) order by 2",
     ["b|1", "a|2", "None|3"]),
    ("values (1, 'a'), (2, 'b')", ["1|a", "2|b"]),
    ("select x from (values 3, 1, 2) as t(x) order by x offset 1 limit 1", ["2"]),
    ("select x from (values 3, 1, 2) as t(x) order by x offset 1 rows fetch first 2 rows only", ["2", "3"]),
    ("select x from (values 3, 1) as t(x) order by x fetch next row only", ["1"]),
    ("select x from (values 1, 1, 2) as t(x) union select 3 order by 1", ["1", "2", "3"]),
    ("select x from (values 1, 1, 2) as t(x) intersect all select x from (values 1, 1) as u(x)", ["1", "1"]),
    ("select x from (values 1, 1, 2) as t(x) except select 2", ["1"]),
    ("with recursive n(x) as (select 1 union all select x + 1 from n where x < 3) select x from n", ["1", "2", "3"]),
    ("select x from (values 1, 2) as t(x) tablesample bernoulli (100)", ["1", "2"]),
    ("select count(*) from (values 1, 2) as t(x) where x in (select y from (values 2) as u(y))", ["1"]),
    ("select (select max(y) from (values 5, x) as u(y)) from (values 1, 9) as t(x) order by 1", ["5", "9"]),
    ("select a.x from (values 1) as a(x) join (values 1) as b(x) using (x)", ["1"]),
    ("select x, y from (values 1) as a(x) full join (values 2) as b(y) on x = y order by x", ["1|None", "None|2"]),
    ("select x from (values 1, 2) as t(x) group by x having sum(x) > 1", ["2"]),
    ("select sum(x) over w from (values 1, 2) as t(x) window w as (order by x)", ["1", "3"]),
    ("select distinct x from (values 1, 1) as t(x)", ["1"]),
    ('select "Select" from (values 1) as t("Select")', ["1"]),
    ("-- a comment\nselect /* another */ 1;", ["1"]),
    ("select x + 1 as y from (values 1) as t(x) where x = 1 and x between 0 and 2", ["2"]),
    ("select upper(s) from (values 'a') as t(s) where s like 'a%' and s <> 'b'", ["A"]),
    ("select case x when 1 then 'one' else 'many' end from (values 1, 2) as t(x)", ["one", "many"]),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "expected"), OVER_COLUMNS)
def test_an_expression_over_columns(expression, expected):
    assert [row[0] for row in rows(f"{TABLE} select {expression} from t order by i")] == expected


@pytest.mark.parametrize(("expression", "expected"), AGGREGATED)
def test_an_aggregate_over_columns(expression, expected):
    found = rows(f"{TABLE} select {expression} from t")[0][0]
    if expected is not None and expected.startswith("~"):
        assert float(found) == pytest.approx(float(expected[1:]))
    else:
        assert found == expected


@pytest.mark.parametrize(("expression", "expected"), WINDOWS)
def test_a_window(expression, expected):
    assert [row[-1] for row in rows(f"select k, t, {expression} {SERIES} order by k, t")] == expected


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_a_query(query, expected):
    assert ["|".join(map(str, row)) for row in rows(query)] == expected


def test_a_macro_works_in_a_correlated_subquery():
    inner = (
        "select cast(cast(t.d as bigint) / u.y as varchar) || cast(t.ts as varchar) from (values 2) as u(y)"
    )
    found = rows(f"{TABLE} select ({inner}) from t where i = 1")
    assert found == [["12026-01-01 00:30:00.000"]]


@pytest.mark.parametrize(
    ("expression", "type_"),
    [
        ("sum(i)", "bigint"),
        ("sum(d)", "double"),
        ("sum(p)", "decimal"),
        ("avg(i)", "double"),
        ("avg(p)", "decimal"),
        ("count(*)", "bigint"),
        ("count_if(b)", "bigint"),
        ("cardinality(array_agg(i))", "bigint"),
        ("max(i) / 2", "integer"),
        ("max(ts)", "timestamp"),
        ("date_trunc('month', max(dt))", "date"),
        ("approx_distinct(i)", "bigint"),
        ("round(max(d))", "double"),
        ("max(p) / max(i)", "decimal"),
        ("now()", "timestamp with time zone"),
    ],
)
def test_the_type_of_a_result(expression, type_):
    assert [found for _, found in columns(f"{TABLE} select {expression} from t")] == [type_]


def test_columns_without_a_name_are_numbered_and_names_are_in_lower_case():
    source = "from (values (1, 2)) as t(Aa, b)"
    assert [name for name, _ in columns(f"select 1, Aa, aA + 1, sum(b) over () as S, (b) {source}")] == [
        "_col0", "aa", "_col2", "s", "b",
    ]  # fmt: skip
    assert [name for name, _ in columns("values (1, 'a')")] == ["_col0", "_col1"]
    assert [name for name, _ in columns("select * from (select 1, 2 as x)")] == ["_col0", "x"]
    assert [name for name, _ in columns("select 1 union all select 2 as z")] == ["_col0"]
    assert [name for name, _ in columns("select r.n from (select cast(row(1) as row(n integer)) as r)")] == [
        "n"
    ]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select nope from (values 1) as t(x)", "COLUMN_NOT_FOUND: line 1:1: Column 'nope' cannot be resolved"),
        ("select u.x from (values 1) as t(x)", "COLUMN_NOT_FOUND: line 1:1: Column 'u' cannot be resolved"),
        ("select nope(1)", "FUNCTION_NOT_FOUND: line 1:1: Function 'nope' not registered"),
        ("select list_sum(array[1])", "FUNCTION_NOT_FOUND: line 1:1: Function 'list_sum' not registered"),
        ("select strftime(now(), '%Y')", "FUNCTION_NOT_FOUND"),
        ("select len('a')", "FUNCTION_NOT_FOUND: line 1:1: Function 'len' not registered"),
        ("select left('abc', 1)", "FUNCTION_NOT_FOUND"),
        ("select athena_varchar(1)", "FUNCTION_NOT_FOUND"),
        ("select sqrt()", "FUNCTION_NOT_FOUND: line 1:1: Unexpected parameters (0) for function sqrt"),
        ("select x, sum(y) from (values (1, 2)) as t(x, y)",
         "EXPRESSION_NOT_AGGREGATE: line 1:1: 'x' must be an aggregate expression or appear in GROUP BY clause"),
        ("select x from (values 1) as t(x) where sum(x) > 1", "EXPRESSION_NOT_SCALAR"),
        ("select (select x from (values 1, 2) as t(x))", "SUBQUERY_MULTIPLE_ROWS"),
        ("select x from (values 1) as t(x), (values 2) as u(x)", "AMBIGUOUS_NAME"),
        ("select 1 union select 1, 2", "TYPE_MISMATCH"),
        ("select * from t match_recognize (pattern (a) define a as true)", "NOT_SUPPORTED: MATCH_RECOGNIZE"),
        ("select json_value('{}', '$.a')", "NOT_SUPPORTED: the function json_value"),
        ("select word_stem('running')", "NOT_SUPPORTED: the function word_stem"),
        ("select st_point(1, 2)", "NOT_SUPPORTED: the function st_point"),
        ("select json_extract('{}', '$..a')", "NOT_SUPPORTED: the JSON path $..a"),
        ("select try(coalesce(sum(1 / x), 1) / 0) from (values 1) as t(x)", None),
        ("select try(coalesce(1 / count(*), 1)) from (values 1) as t(x)", "NOT_SUPPORTED: TRY"),
        ("select x from (values 1) as t(x) where x ilike 'a'", "line 1:1: mismatched input 'ILIKE'"),
        ("select count(*) from (values 1) as t(x) fetch first 1 rows with ties", "NOT_SUPPORTED: FETCH FIRST"),
    ],
)  # fmt: skip
def test_a_query_that_fails(sql, words):
    if words is None:
        assert rows(sql) == [[None]]
    else:
        assert words in failure(sql)


def test_a_division_by_zero_in_a_row_fails_and_elsewhere_does_not():
    source = "from (values (4, 2), (1, 0)) as t(x, y)"
    assert failure(f"select x / y {source}") == "DIVISION_BY_ZERO: Division by zero"
    assert rows(f"select x / y {source} where y <> 0") == [["2"]]
    assert rows(f"select x / nullif(y, 0) {source}") == [["2"], [None]]
    assert rows(f"select if(y = 0, 0, x / y) {source}") == [["2"], ["0"]]
    assert rows(f"select try(x / y) {source}") == [["2"], [None]]


def test_a_value_in_random_order_is_not_computed_twice():
    check("x between 0 and 1", "true", "from (select rand() as x)")
    assert value("count(distinct uuid())", "from unnest(sequence(1, 5)) as t(x)") == "5"
