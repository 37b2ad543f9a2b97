"""The files of `fin-lake connect`: what the tools read in them, and that no secret is there."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fin_lake.cli import cli
from fin_lake.engines.tableau import REPORTS
from fin_lake.errors import FinLakeError
from fin_lake.settings import SettingsError
from fin_lake.warehouse.reporting import READER, VIEWS

SECRETS = ("a-password", "a-secret-key", "another-password", "AKIAEXAMPLE", "writer")


@pytest.fixture(autouse=True)
def in_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FIN_LAKE_PROFILE": "aws",
        "FIN_LAKE_DATABASE_URL": "postgresql://writer:a-password@db.example.com:6432/bars?sslmode=require",
        "FIN_LAKE_READER_PASSWORD": "another-password",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_S3_BUCKET_NAME": "my-lake",
        "FIN_LAKE_GLUE_DATABASE": "bars_and_more",
        "FIN_LAKE_ATHENA_WORKGROUP": "analysts",
    }.items():
        monkeypatch.setenv(name, value)


def written(tool: str, folder: Path) -> dict[str, str]:
    done = CliRunner().invoke(cli, ["connect", tool, "--to", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert {Path(line).name for line in done.stdout.split()} == set(files)
    return files


def data_source(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The live connection's attributes and the tables of a .tds, by the way Tableau takes through it."""
    root = ET.fromstring(text)
    assert (root.tag, root.get("inline"), root.get("version")) == ("datasource", "true", "18.1")
    federated = root.find("connection")
    assert federated.get("class") == "federated"
    (named,) = federated.findall("named-connections/named-connection")
    (collection,) = federated.findall("relation")
    assert collection.get("type") == "collection"
    tables = [dict(one.attrib) for one in collection.findall("relation")]
    assert {one["connection"] for one in tables} == {named.get("name")}
    return dict(named.find("connection").attrib), tables


def test_tableau_opens_the_views_as_the_reader(tmp_path):
    connection, tables = data_source(written("tableau", tmp_path)["fin_lake_postgresql.tds"])
    assert connection == {
        "class": "postgres",
        "authentication": "username-password",
        "server": "db.example.com",
        "port": "6432",
        "dbname": "bars",
        "sslmode": "require",
        "username": READER,
    }
    assert [one["table"] for one in tables] == [f"[reporting].[{view}]" for view in VIEWS]


def test_tableau_opens_the_reports_on_athena_in_the_workgroup(tmp_path):
    files = written("tableau", tmp_path)
    connection, tables = data_source(files["fin_lake_athena.tds"])
    assert (connection["class"], connection["server"]) == ("athena", "athena.eu-west-1.amazonaws.com")
    assert [one["table"] for one in tables] == [f"[bars_and_more].[reports_{name}]" for name in REPORTS]
    properties = dict(line.split("=") for line in files["athena.properties"].splitlines())
    assert properties == {"Workgroup": "analysts", "S3OutputLocation": "s3://my-lake/athena-results/"}


def test_power_bi_is_given_one_connection_a_file(tmp_path):
    files = {name: json.loads(text) for name, text in written("power-bi", tmp_path).items()}
    (postgres,) = files["fin_lake_postgresql.pbids"]["connections"]
    assert files["fin_lake_postgresql.pbids"]["version"] == "0.1"
    assert postgres["details"] == {
        "protocol": "postgresql",
        "address": {"server": "db.example.com:6432", "database": "bars"},
    }
    assert postgres["mode"] in ("DirectQuery", "Import")


@pytest.mark.parametrize("tool", ["tableau", "power-bi"])
def test_no_file_holds_a_secret_or_the_writers_name(tool, tmp_path):
    for text in written(tool, tmp_path).values():
        assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("tool", ["tableau", "power-bi"])
def test_of_a_local_athena_there_is_no_file_and_that_is_said(tool, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", "http://127.0.0.1:4567")
    done = CliRunner().invoke(cli, ["connect", tool, "--to", str(tmp_path)], catch_exceptions=False)
    assert "no file for Athena" in done.stderr
    assert not [path for path in tmp_path.iterdir() if "athena" in path.name]


def refused(arguments: list[str]) -> Exception:
    done: Result = CliRunner().invoke(cli, ["connect", *arguments])
    assert done.exit_code != 0
    return done.exception


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    error = refused(["tableau", "--to", str(tmp_path / "file" / "below")])
    assert isinstance(error, FinLakeError)
    assert "--to" in error.remedy


def test_a_reader_without_a_password_is_not_made(monkeypatch):
    monkeypatch.delenv("FIN_LAKE_READER_PASSWORD")
    error = refused(["reader"])
    assert isinstance(error, SettingsError)
    assert "FIN_LAKE_READER_PASSWORD" in error.what


def test_a_url_that_is_none_is_not_repeated(monkeypatch):
    monkeypatch.setenv("FIN_LAKE_DATABASE_URL", "mysql://writer:a-password@db")
    error = refused(["tableau"])
    assert isinstance(error, FinLakeError)
    assert "a-password" not in str(error)
