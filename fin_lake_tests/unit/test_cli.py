from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fin_lake.cli import cli

FIN_LAKE = Path(sys.executable).with_name("fin-lake")


@pytest.mark.parametrize(
    "command",
    [
        "extract",
        "up",
        "down",
        "status",
        "env",
        "replay",
        "query",
        "as-of",
        "hours",
        "backfill",
        "doctor",
        "connect",
    ],
)
def test_every_command_has_help_with_an_example(command):
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0
    assert "fin-lake" in shown.output
    assert command in CliRunner().invoke(cli, ["--help"]).output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hour", "2023-01-03T14:30"], "is not the start of an hour"),
        (["--hour", "soon"], "is not an hour"),
        (["--to", "2023-01-03"], "--to needs --from"),
        (["--hour", "2023-01-03T14", "--from", "2023-01-03"], "exclude each other"),
        (["--no-stocks", "--no-crypto"], "nothing is left"),
    ],
)
def test_wrong_usage_is_explained(arguments, words):
    refused = CliRunner().invoke(cli, ["extract", *arguments])
    assert refused.exit_code == 2
    assert words in refused.output


@pytest.mark.parametrize(
    ("env", "arguments", "words"),
    [
        ({"FIN_LAKE_START": "never"}, ["extract"], "FIN_LAKE_START"),
        ({"FIN_LAKE_NOW": "2025-01-01T05:00Z"}, ["extract"], "fin-lake up"),
        ({}, ["extract", "--from", "2024-05-02T00", "--to", "2024-05-01T00"], "holds no hour"),
        ({}, ["env"], "fin-lake up"),
    ],
)
def test_errors_are_one_message_on_stderr_without_a_traceback(tmp_path, env, arguments, words):
    done = subprocess.run(
        [FIN_LAKE, *arguments],
        env={"FIN_LAKE_HOME": str(tmp_path), **env},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
