"""Statements to trees, parameters, and the SQL that DuckDB is given."""

from __future__ import annotations

import time

import duckdb
import pytest
from sqlglot import exp

from fin_lake.local.athena import translation
from fin_lake.local.athena.date_masks import java_date_mask, mysql_date_mask
from fin_lake.local.athena.duckdb_errors import explain
from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.functions import FUNCTIONS, REFUSED
from fin_lake_tests.unit.local.athena.answers import failure, rows


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select 1 from", "line 1:10: mismatched input 'from'"),
        ("select (1", "line 1:9: mismatched input '1'. Expecting )"),
        ("selec 1", "line 1:7: mismatched input '1'"),
        ("selec", "line 1:1: mismatched input 'selec'"),
        ("", "line 1:1: Query is empty"),
        ("select 1; select 2", "Only one sql statement is allowed"),
        ("select 'a", "line 1:1: "),
        ("explain select 1", "line 1:1: mismatched input"),
    ],
)
def test_what_is_no_statement_fails_with_its_place(sql, words):
    with pytest.raises(QueryFailed) as failed:
        translation.parse(sql)
    assert str(failed.value).startswith(words) or words in str(failed.value)


def test_parameters_go_where_the_question_marks_stand_in_the_text():
    sql = "select ?, x from (values ?, 3) as t(x) where x > ? order by 2 limit ?"
    assert rows(sql, "'a'", "2", "1 + 0", "1") == [["a", "2"]]
    assert rows("select ?", "date '2026-01-01'") == [["2026-01-01"]]
    assert rows("select '?' as x") == [["?"]]


@pytest.mark.parametrize(
    ("sql", "parameters", "words"),
    [
        ("select ?", (), "Incorrect number of parameters: expected 1 but found 0"),
        ("select 1", ("1",), "Incorrect number of parameters: expected 0 but found 1"),
        ("select ?", ("1 from t",), "Invalid parameter"),
        ("select ?", ("1, 2",), "Invalid parameter"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(sql, parameters, words):
    assert words in failure(sql, *parameters)


def test_a_tree_is_not_changed_by_what_is_made_of_it():
    tree = translation.parse(
        "select try(sum(a[1]) / ?) filter (where b), date '2026-01-01' + interval '1' day"
    )
    before = repr(tree)
    translation.name_outputs(tree)
    translation.bind_parameters(tree, ["1"])
    translation.to_duckdb(translation.bind_parameters(tree, ["1"]))
    assert repr(tree) == before


def test_hive_statements_keep_their_own_grammar():
    tree = translation.parse(
        "create external table t (`a` int) partitioned by (p string) location 's3://b/t/'"
    )
    assert isinstance(tree, exp.Create)
    assert tree.find(exp.PartitionedByProperty) is not None


def test_ordinary_sql_is_left_to_duckdb():
    sql = "select a + b * 2, a > b, count(*), max(a), lower(c) from t where a is not null group by 1, 2, 5"
    made = translation.to_duckdb(translation.parse(sql))
    assert "athena_" not in made.lower()


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select 1::int", "'::'"),
        ("select 1 & 2", "'&'"),
        ("select 'a' ilike 'A'", "'ILIKE'"),
        ("select * exclude (x) from t", "'EXCEPT'"),
        ("select x from t group by all", "'ALL'"),
        ("select distinct on (x) y from t", "'ON'"),
        ("select 1 union by name select 2", "'BY'"),
        ("select a.x from a semi join b on a.x = b.x", "'SEMI'"),
        ("select * from a asof join b on a.x >= b.x", "'ASOF'"),
    ],
)
def test_duckdbs_own_syntax_is_refused(sql, word):
    assert f"mismatched input {word}" in failure(sql)


def test_no_function_is_both_supported_and_refused():
    assert not set(FUNCTIONS) & REFUSED


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_function_that_is_not_supported_is_refused_by_its_name(name):
    words = failure(f"select {name}(1)")
    assert words == f"NOT_SUPPORTED: the function {name} is not supported by the local Athena" or (
        "mismatched input" in words  # those with a syntax of their own
    )


def test_a_model_of_forty_lines_is_translated_in_milliseconds():
    columns = ",\n".join(
        f"sum(x{n} * y) / nullif(sum(y), 0) as a{n}, lag(x{n}) over (partition by k order by t) as b{n}"
        for n in range(20)
    )
    sql = f"with s as (select * from t where d >= date '2026-01-01')\nselect k, {columns}\nfrom s\ngroup by k, t"
    took = []
    for _ in range(5):
        start = time.perf_counter()
        translation.to_duckdb(translation.parse(sql))
        took.append(time.perf_counter() - start)
    assert min(took) < 0.1


def test_date_masks():
    assert mysql_date_mask("%Y-%m-%d %H:%i:%s 100%") == "%Y-%m-%d %H:%M:%S 100%%"
    assert java_date_mask("yyyy-MM-dd'T'HH:mm:ss.SSS") == "%Y-%m-%dT%H:%M:%S.%g"
    assert java_date_mask("''yy''") == "'%y'"
    with pytest.raises(QueryFailed, match="the letter G of a date mask"):
        java_date_mask("G yyyy")
    with pytest.raises(QueryFailed, match="%U not currently supported"):
        mysql_date_mask("%U")


def test_what_duckdb_runs_out_of_is_told_in_athenas_words():
    assert str(explain(duckdb.OutOfMemoryException("Out of Memory Error: x"))).startswith(
        "EXCEEDED_LOCAL_MEMORY_LIMIT"
    )
    assert str(explain(duckdb.InterruptException("INTERRUPT Error: x"))).startswith("QUERY_CANCELLED")
    assert str(explain(duckdb.Error("something else"))) == "GENERIC_USER_ERROR: something else"
    assert failure("select sum(x) from (values 9223372036854775807, 1) as t(x)").startswith(
        "NUMERIC_VALUE_OUT_OF_RANGE"
    )
