"""What Snowflake is told: all of it is Snowflake's SQL, and none of it can lose or double rows."""

from __future__ import annotations

import datetime as dt
import json
import sys

import dagster as dg
import pytest
import sqlglot
from click.testing import CliRunner
from sqlglot import exp

from fin_lake.cli import cli
from fin_lake.definitions import EXTRACT_JOB, SNOWFLAKE_JOB, build_definitions
from fin_lake.engines.snowflake import sql
from fin_lake.engines.snowflake.connection import Snowflake
from fin_lake.engines.snowflake.loading import replace_hours
from fin_lake.engines.snowflake.sql import SnowflakeError
from fin_lake.operations.backfill import selected_tables
from fin_lake.partitions import parse_hour
from fin_lake.schema import Table
from fin_lake.settings import Settings, SettingsError, load_settings
from fin_lake.tables import POSTGRES_TABLES, PROCESSED, TABLES_BY_ASSET
from fin_lake_tests.conftest import hours
from fin_lake_tests.snowflake_account import ACCOUNT

PARTS = ("growth", "sixty_forty")
LOADED = {key: TABLES_BY_ASSET[source] for key, source in sql.SOURCES.items()}


@pytest.fixture
def settings() -> Settings:
    return load_settings(bucket="lake-bucket", start=parse_hour("2023-01-01"), **ACCOUNT)


def parsed(statement: str) -> exp.Expression:
    (found,) = sqlglot.parse(statement, dialect="snowflake")
    assert found is not None
    assert not list(found.find_all(exp.Command)), statement
    return found


def test_all_objects_are_snowflakes_sql_and_may_be_made_again(settings: Settings):
    made = [parsed(one) for one in sql.objects(settings)]
    creates = [one for one in made if isinstance(one, exp.Create)]
    assert all(one.args.get("exists") or one.args.get("replace") for one in creates)
    kinds = {str(one.kind).upper() for one in creates}
    assert kinds == {"DATABASE", "SCHEMA", "FILE FORMAT", "STORAGE INTEGRATION", "STAGE", "TABLE"}
    # what holds rows, or what the role trusts, is never replaced
    replaced = {str(one.kind).upper() for one in creates if one.args.get("replace")}
    assert replaced == {"FILE FORMAT", "STAGE"}


@pytest.mark.parametrize("table", POSTGRES_TABLES, ids=lambda table: table.postgres)
def test_a_table_has_the_columns_meanings_and_key_of_its_description(settings: Settings, table: Table):
    creates = [one for one in map(parsed, sql.objects(settings)) if isinstance(one, exp.Create)]
    tables = [one for one in creates if one.kind == "TABLE"]
    (made,) = [one for one in tables if one.find(exp.Table).name == table.postgres.upper()]
    columns = {one.name: one for one in made.find_all(exp.ColumnDef)}
    assert list(columns) == [name.upper() for name in table.column_names]
    for column in table.columns:
        found = columns[column.name.upper()]
        assert found.find(exp.CommentColumnConstraint).this.name == column.description
        assert bool(found.find(exp.NotNullColumnConstraint)) is not column.nullable
    key = made.find(exp.PrimaryKey)
    assert [one.name for one in key.expressions] == [name.upper() for name in table.key]


@pytest.mark.parametrize("key", LOADED)
@pytest.mark.parametrize("file_format", ["parquet", "json"])
def test_a_load_is_one_transaction_over_the_hours_own_objects(settings: Settings, key: str, file_format):
    table = LOADED[key]
    if file_format not in table.formats:
        with pytest.raises(SnowflakeError, match="does not keep"):
            sql.replacement(settings, table, hours("2023-01-03"), PARTS, file_format)
        return
    statements = sql.replacement(settings, table, hours("2023-01-03T14", 2), PARTS, file_format)
    kinds = [type(parsed(one)) for one in statements]
    copies = len(PARTS) if table.split_by else 1
    assert kinds == [exp.Transaction, exp.Update, exp.Delete, *[exp.Copy] * copies, exp.Commit]
    for copy in statements[3:-1]:
        assert copy.count("/hour=14/") == copy.count("/hour=15/") == 1
        assert copy.endswith("FORCE = TRUE")
        assert '@"FIN_LAKE"."MARKET"."FINANCIAL_S3_STAGE"/' in copy
        assert "/processed/" not in copy


def test_no_copy_names_more_objects_than_snowflake_takes(settings: Settings):
    statements = sql.replacement(settings, PROCESSED["stocks"], hours("2023-01-03", 2500))
    files = [one.count("stock_data.parquet") for one in statements if one.startswith("COPY")]
    assert files == [1000, 1000, 500]


def test_the_command_prints_what_is_parsed_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SNOWFLAKE_STORAGE_ROLE_ARN", "arn:aws:iam::123456789012:role/fin-lake-snowflake")
    monkeypatch.setenv("SNOWFLAKE_DATABASE", "other")
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "not-to-be-seen-1")
    plain = CliRunner().invoke(cli, ["snowflake", "ddl"])
    listed = CliRunner().invoke(cli, ["snowflake", "ddl", "--json"])
    assert plain.exit_code == listed.exit_code == 0
    assert len(sqlglot.parse(plain.output, dialect="snowflake")) == len(json.loads(listed.output))
    assert '"OTHER"."MARKET"."STOCKS"' in plain.output
    assert "not-to-be-seen-1" not in plain.output
    copy = CliRunner().invoke(cli, ["snowflake", "copy", "stocks", "--from", "2023-01-03T14", "--json"])
    assert [one.split()[0] for one in json.loads(copy.output)] == [
        "BEGIN",
        "UPDATE",
        "DELETE",
        "COPY",
        "COMMIT",
    ]


def test_without_the_role_it_is_said_which_one(settings: Settings):
    with pytest.raises(SnowflakeError, match="SNOWFLAKE_STORAGE_ROLE_ARN is not set"):
        sql.objects(settings.model_copy(update={"snowflake_storage_role": ""}))


@pytest.mark.parametrize("variable", ["SNOWFLAKE_DATABASE", "SNOWFLAKE_STAGE", "SNOWFLAKE_ROLE"])
def test_a_name_that_would_end_the_statement_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str):
    monkeypatch.setenv(variable, 'x"; DROP DATABASE y; --')
    with pytest.raises(SettingsError, match=variable):
        load_settings()


def test_without_the_extra_definitions_load_and_a_load_names_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    for module in ("dagster_snowflake", "snowflake", "snowflake.connector"):
        monkeypatch.setitem(sys.modules, module, None)
    dg.Definitions.validate_loadable(build_definitions(settings))
    with pytest.raises(SnowflakeError, match=r"pip install 'fin_lake\[snowflake\]'"):
        replace_hours(Snowflake(settings), PROCESSED["stocks"], hours("2023-01-03T14"))


@pytest.mark.parametrize(
    ("missing", "variable"),
    [
        ({"snowflake_account": ""}, "SNOWFLAKE_ACCOUNT"),
        ({"snowflake_user": ""}, "SNOWFLAKE_USER"),
        ({"snowflake_password": None}, "SNOWFLAKE_PASSWORD"),
    ],
)
def test_a_missing_setting_is_named_before_anything_is_asked(settings: Settings, missing, variable):
    snowflake = Snowflake(settings.model_copy(update=missing))
    with pytest.raises(SettingsError, match=variable):
        replace_hours(snowflake, PROCESSED["stocks"], hours("2023-01-03T14"))


def test_snowflake_is_no_part_of_the_hourly_job(settings: Settings):
    definitions = build_definitions(settings)
    keys = {dg.AssetKey.from_user_string(key) for key in sql.SOURCES}
    hourly = definitions.resolve_job_def(EXTRACT_JOB).asset_layer
    assert not keys & hourly.executable_asset_keys
    assert not [one for one in hourly.asset_graph.asset_check_keys if one.asset_key in keys]
    assert definitions.resolve_job_def(SNOWFLAKE_JOB).asset_layer.executable_asset_keys == keys
    schedule = definitions.resolve_schedule_def(f"{SNOWFLAKE_JOB}_hourly")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert not keys & set(selected_tables(settings))
    assert set(selected_tables(settings, ["group:snowflake"])) == keys


def test_the_schedule_loads_what_the_lake_has_newly_made_and_read_again(settings: Settings):
    now = settings.model_copy(update={"now": parse_hour("2023-01-05T12"), "reread_hours": 2})
    schedule = build_definitions(now).resolve_schedule_def(f"{SNOWFLAKE_JOB}_hourly")
    with dg.instance_for_test() as instance:
        moment = dt.datetime(2023, 1, 5, 12, 35, tzinfo=dt.UTC)
        with dg.build_schedule_context(instance, moment) as context:
            assert isinstance(schedule(context), dg.SkipReason)
        for key in sql.SOURCES.values():
            for hour in ("2023-01-05-08:00", "2023-01-05-09:00"):
                event = dg.AssetMaterialization(dg.AssetKey.from_user_string(key), partition=hour)
                instance.report_runless_asset_event(event)
        with dg.build_schedule_context(instance, moment) as context:
            request = schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == "2023-01-05-07:00"
    assert request.tags["dagster/asset_partition_range_end"] == "2023-01-05-09:00"
