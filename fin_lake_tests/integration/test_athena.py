"""The local Athena as its clients see it: boto3, PyAthena, awswrangler, the aws CLI and fin-lake."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import awswrangler
import boto3
import pandas as pd
import polars as pl
import pyathena
import pytest
from botocore.exceptions import ClientError

from fin_lake.lake.catalog import ensure_catalog
from fin_lake.lake.processed import write_hours
from fin_lake.lake.store import Lake
from fin_lake.local import environment
from fin_lake.operations.athena import Athena, AthenaError
from fin_lake.settings import Settings
from fin_lake.tables import PROCESSED
from fin_lake_tests.conftest import hours
from fin_lake_tests.frames import stock_bars

pytestmark = pytest.mark.stack

USERS_QUERY = """SELECT symbol, AVG(close_price) as avg_price
FROM financial_stocks
WHERE year = '2025' AND month = '10'
GROUP BY symbol
ORDER BY avg_price DESC;"""


@pytest.fixture
def settings(stack_settings: Settings) -> Settings:
    """The stack, with stores of the test's own, and the lake's tables in Glue."""
    mine = stack_settings
    ensure_catalog(_client(mine, "glue"), database=mine.glue_database, bucket=mine.bucket)
    return mine


def _session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")


def _client(settings: Settings, service: str) -> Any:
    endpoints = {"glue": settings.glue_endpoint_url, "athena": settings.athena_endpoint_url}
    return _session().client(service, endpoint_url=endpoints.get(service, settings.aws_endpoint_url))


def _finished(athena: Any, settings: Settings, sql: str, **more: Any) -> Any:
    """Run a statement through boto3 and return its QueryExecution."""
    started = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": settings.glue_database},
        ResultConfiguration={"OutputLocation": f"s3://{settings.bucket}/athena-results/"},
        **more,
    )
    while True:
        found = athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])["QueryExecution"]
        if found["Status"]["State"] not in ("QUEUED", "RUNNING"):
            return found


def _lay_bars(settings: Settings) -> None:
    """Write bars of two symbols and two hours onto October 2025."""
    span = hours("2025-10-13T14", 2)
    bars = pl.concat([stock_bars(symbol, span.start, 4) for symbol in ("AAPL", "IBM")])
    bars = bars.with_columns(close_price=pl.when(symbol="IBM").then(200.0).otherwise(100.0))
    by_hour = {hour: bars.filter(pl.col("timestamp").dt.truncate("1h") == hour) for hour in span}
    write_hours(Lake(settings), PROCESSED["stocks"], span, by_hour)


def test_the_users_own_query_runs_as_written(settings: Settings) -> None:
    _lay_bars(settings)
    assert list(Athena(settings).run(USERS_QUERY).rows()) == [("IBM", "200.0"), ("AAPL", "100.0")]


def test_the_users_own_table_needs_three_corrections(settings: Settings) -> None:
    """As docs/athena.md shows them: backticks, a serializer, and partitions that are made known."""
    _lay_bars(settings)
    athena = Athena(settings)
    athena.run("drop table financial_stocks")
    table = """CREATE EXTERNAL TABLE financial_stocks (
      symbol string, {timestamp} string, close_price double, volume bigint
    ) PARTITIONED BY (year string, month string, day string)
    {stored} LOCATION 's3://BUCKET/processed/stocks/json/'""".replace("BUCKET", settings.bucket)
    serde = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
    with pytest.raises(AthenaError, match="reserved word"):
        athena.run(table.format(timestamp="timestamp", stored="STORED AS JSON"))
    with pytest.raises(AthenaError, match="Unrecognized file format"):
        athena.run(table.format(timestamp="`timestamp`", stored="STORED AS JSON"))
    athena.run(table.format(timestamp="`timestamp`", stored=serde))
    assert list(athena.run(USERS_QUERY).rows()) == []
    athena.run("MSCK REPAIR TABLE financial_stocks")
    assert list(athena.run(USERS_QUERY).rows()) == [("IBM", "200.0"), ("AAPL", "100.0")]


def test_boto3_runs_a_parametrised_query_page_by_page(settings: Settings) -> None:
    athena = _client(settings, "athena")
    sql = "select x, 'a,\"b' as t, cast(null as varchar) as n from unnest(sequence(1, ?)) as u(x)"
    execution = _finished(athena, settings, sql, ExecutionParameters=["2500"])
    assert (execution["StatementType"], execution["SubstatementType"]) == ("DML", "SELECT")
    pages = list(
        athena.get_paginator("get_query_results").paginate(QueryExecutionId=execution["QueryExecutionId"])
    )
    rows = [row["Data"] for page in pages for row in page["ResultSet"]["Rows"]]
    assert [len(page["ResultSet"]["Rows"]) for page in pages] == [1000, 1000, 501]
    assert rows[0] == [{"VarCharValue": name} for name in ("x", "t", "n")]
    assert rows[2500] == [{"VarCharValue": "2500"}, {"VarCharValue": 'a,"b'}, {}]
    described = pages[0]["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [one["Type"] for one in described] == ["bigint", "varchar", "varchar"]
    bucket, _, key = execution["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").partition("/")
    text = _client(settings, "s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert text.splitlines()[:2] == ['"x","t","n"', '"1","a,""b",']


def test_boto3_makes_a_table_and_is_told_why_a_query_fails(settings: Settings) -> None:
    athena = _client(settings, "athena")
    made = _finished(athena, settings, "create table t with (format = 'parquet') as select 1 as x, 'a' as y")
    assert (made["StatementType"], made["SubstatementType"]) == ("DDL", "CREATE_TABLE_AS_SELECT")
    results = athena.get_query_results(QueryExecutionId=made["QueryExecutionId"])
    assert (results["UpdateCount"], results["ResultSet"]["Rows"]) == (1, [])
    manifest = made["Statistics"]["DataManifestLocation"].removeprefix("s3://").partition("/")
    written = _client(settings, "s3").get_object(Bucket=manifest[0], Key=manifest[2])["Body"].read().decode()
    assert written.startswith(f"s3://{settings.bucket}/athena-results/tables/")
    failed = _finished(athena, settings, "select nope from t")
    assert failed["Status"]["State"] == "FAILED"
    assert "Column 'nope' cannot be resolved" in failed["Status"]["AthenaError"]["ErrorMessage"]
    with pytest.raises(ClientError, match="did not finish successfully"):
        athena.get_query_results(QueryExecutionId=failed["QueryExecutionId"])


def test_a_running_query_can_be_stopped(settings: Settings) -> None:
    athena = _client(settings, "athena")
    endless = (
        "select count(*) from unnest(sequence(1, 200000)) a(x)"
        " cross join unnest(sequence(1, 200000)) b(y) where x * y % 7 = 3"
    )
    id_ = athena.start_query_execution(
        QueryString=endless, ResultConfiguration={"OutputLocation": f"s3://{settings.bucket}/r/"}
    )["QueryExecutionId"]
    athena.stop_query_execution(QueryExecutionId=id_)
    status = athena.get_query_execution(QueryExecutionId=id_)["QueryExecution"]["Status"]
    assert status["State"] == "CANCELLED"


def test_a_workgroup_limits_what_its_queries_read(settings: Settings) -> None:
    _lay_bars(settings)
    athena = _client(settings, "athena")
    name = settings.glue_database
    place = {"OutputLocation": f"s3://{settings.bucket}/of-the-group/"}
    athena.create_work_group(
        Name=name,
        Configuration={"ResultConfiguration": place, "BytesScannedCutoffPerQuery": 10_000_000},
    )
    found = _finished(
        athena, settings, "select count(*) from processed_stocks where year = '2025'", WorkGroup=name
    )
    assert found["ResultConfiguration"]["OutputLocation"].startswith(place["OutputLocation"])
    assert 0 < found["Statistics"]["DataScannedInBytes"] < 10_000_000
    athena.update_work_group(WorkGroup=name, State="DISABLED")
    with pytest.raises(ClientError, match="disabled"):
        _finished(athena, settings, "select 1", WorkGroup=name)


def test_pyathena_reads_makes_and_fails(settings: Settings) -> None:
    with pyathena.connect(
        s3_staging_dir=f"s3://{settings.bucket}/athena-results/",
        endpoint_url=settings.athena_endpoint_url,
        schema_name=settings.glue_database,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        poll_interval=0.05,
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("create table p as select 1 as x, date '2023-01-03' as d")
        cursor.execute("select x, d, %(name)s as n, array[1, null] as a from p", {"name": "O'Brien"})
        assert cursor.fetchall() == [(1, pd.Timestamp("2023-01-03").date(), "O'Brien", [1, None])]
        with pytest.raises(pyathena.error.OperationalError, match="TABLE_NOT_FOUND"):
            cursor.execute("select * from nope")


def test_awswrangler_reads_makes_and_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.variables(settings).items():
        if value is not None:
            monkeypatch.setenv(name, value)
    place = {"database": settings.glue_database, "s3_output": f"s3://{settings.bucket}/athena-results/"}
    awswrangler.athena.create_ctas_table(
        sql="select x, cast(x as varchar) as t from unnest(sequence(1, 3)) as u(x)",
        ctas_table="w",
        wait=True,
        boto3_session=_session(),
        **place,
    )
    for through_a_table in (True, False):
        frame = awswrangler.athena.read_sql_query(
            "select x, t from w where x > :least order by x",
            params={"least": 1},
            ctas_approach=through_a_table,
            boto3_session=_session(),
            **place,
        )
        assert frame["x"].tolist() == [2, 3]
        assert frame["t"].tolist() == ["2", "3"]
    with pytest.raises(awswrangler.exceptions.QueryFailed, match="cannot be resolved"):
        awswrangler.athena.read_sql_query("select nope from w", ctas_approach=False, **place)


def test_the_aws_and_the_fin_lake_command_line_query_the_same(settings: Settings) -> None:
    _lay_bars(settings)
    exported = {name: value for name, value in environment.variables(settings).items() if value is not None}
    env = {**os.environ, **exported}

    def ran(*command: str) -> str:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    sql = "select symbol, count(*) as n from processed_stocks where year = '2025' group by 1 order by 1"
    assert ran("fin-lake", "query", sql) == "symbol,n\nAAPL,4\nIBM,4\n"
    as_json = ran("fin-lake", "query", "--format", "json", sql + " limit ?", "--param", "1")
    assert json.loads(as_json) == {"symbol": "AAPL", "n": 4}
    started = ran(
        "aws", "athena", "start-query-execution", "--query-string", sql, "--query-execution-context",
        f"Database={settings.glue_database}", "--result-configuration",
        f"OutputLocation=s3://{settings.bucket}/athena-results/",
    )  # fmt: skip
    found = ran(
        "aws", "athena", "get-query-results", "--query-execution-id", json.loads(started)["QueryExecutionId"]
    )
    assert len(json.loads(found)["ResultSet"]["Rows"]) == 3
    tables = json.loads(ran("aws", "glue", "get-tables", "--database-name", settings.glue_database))
    assert "financial_stocks" in [one["Name"] for one in tables["TableList"]]
    failed = subprocess.run(
        ["fin-lake", "query", "select nope from processed_stocks where year = '2025'"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert failed.returncode == 1
    assert "Column 'nope' cannot be resolved" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_catalog_survives_a_restart_of_the_service(settings: Settings) -> None:
    changes = ensure_catalog(
        _client(settings, "glue"), database=settings.glue_database, bucket=settings.bucket
    )
    assert (changes.created, changes.updated, len(changes.unchanged)) == ([], [], 13)
