"""What `fin-lake env` prints."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig

import pytest

from fin_lake.local.environment import exports, variables
from fin_lake.settings import load_settings

DATABASE = "postgresql://me:p%40ss%2Fword@db.example.com:6543/market?sslmode=require"


@pytest.fixture
def aws_settings(tmp_path):
    return load_settings(profile="aws", home=tmp_path, database_url=DATABASE, aws_region="eu-central-1")


def test_a_database_url_becomes_the_variables_of_psql(aws_settings):
    found = variables(aws_settings)
    assert found["PGHOST"] == "db.example.com"
    assert found["PGPORT"] == "6543"
    assert found["PGUSER"] == "me"
    assert found["PGPASSWORD"] == "p@ss/word"
    assert found["PGDATABASE"] == "market"
    assert found["PGSSLMODE"] == "require"


def test_in_aws_the_shells_own_credentials_stay(aws_settings):
    found = variables(aws_settings)
    assert "AWS_PROFILE" not in found
    assert "AWS_EC2_METADATA_DISABLED" not in found
    assert "AWS_ENDPOINT_URL" not in found
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "eu-central-1"


def test_locally_what_would_lead_astray_is_unset(tmp_path):
    found = variables(load_settings(home=tmp_path, database_url=DATABASE))
    assert found["AWS_PROFILE"] is None
    assert found["AWS_SESSION_TOKEN"] is None
    assert found["PGSERVICE"] is None
    assert found["AWS_EC2_METADATA_DISABLED"] == "true"


def test_a_proxy_is_kept_away_from_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "intranet")
    found = variables(load_settings(home=tmp_path))
    assert found["no_proxy"] == "intranet,127.0.0.1,localhost"
    assert found["NO_PROXY"] == "127.0.0.1,localhost"


def test_the_programs_come_first_in_the_path_and_once(tmp_path, monkeypatch):
    settings = load_settings(home=tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    once = variables(settings)["PATH"]
    monkeypatch.setenv("PATH", once)
    assert variables(settings)["PATH"] == once
    assert once.split(":")[0] == sysconfig.get_path("scripts")
    assert once.endswith(":/usr/bin:/bin")


def test_the_lines_survive_a_shell(tmp_path):
    odd = {"A_QUOTE": 'it\'s $HOME `x` "y"\nz', "GONE": None, "PLAIN": "1"}
    script = exports(odd) + '\nprintf "%s|%s|%s" "$A_QUOTE" "${GONE-unset}" "$PLAIN"'
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"GONE": "here"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{odd['A_QUOTE']}|unset|1"


def test_dagsters_home_is_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = variables(load_settings(home="relative"))
    assert found["DAGSTER_HOME"] == os.fspath(tmp_path / "relative" / "dagster")


@pytest.mark.parametrize("command", ["up", "down", "status", "env"])
def test_without_the_extra_the_commands_name_it(tmp_path, command):
    code = "import sys; sys.modules['psutil'] = None; from fin_lake.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, command],
        env={"FIN_LAKE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs the package psutil" in done.stderr
    assert "pip install 'fin_lake[local]'" in done.stderr


def test_in_aws_env_needs_no_extra(tmp_path):
    code = "import sys; sys.modules['psutil'] = None; from fin_lake.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "env"],
        env={"FIN_LAKE_HOME": str(tmp_path), "FIN_LAKE_PROFILE": "aws"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "export FIN_LAKE_PROFILE=aws\n" in done.stdout, done.stderr
