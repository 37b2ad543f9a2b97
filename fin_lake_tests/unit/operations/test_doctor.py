"""What the doctor says of installations in which something is wrong, and that it never breaks."""

from __future__ import annotations

import datetime as dt
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.config import Config

from fin_lake.operations import aws_checks, database_checks
from fin_lake.operations.aws_checks import AwsChecks
from fin_lake.operations.doctor import Doctor, ServiceState
from fin_lake.operations.findings import Finding, Outcome, run_checks
from fin_lake.settings import Settings, load_settings

FIN_LAKE = Path(sys.executable).with_name("fin-lake")
KEY = {"aws_access_key_id": "AKIAEXAMPLE123456789", "aws_secret_access_key": "a-secret-of-forty-characters"}


def examine(settings: Settings | None = None, services: object = None) -> dict[str, Finding]:
    doctor = Doctor(settings, services)  # type: ignore[arg-type]
    return {name: finding for name, finding, _ in run_checks(doctor.checks(), doctor.secrets)}


def doctor_command(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FIN_LAKE, "doctor", *arguments],
        env={
            "HOME": str(folder),
            "FIN_LAKE_HOME": str(folder / "home"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "COLUMNS": "120",
            **variables,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def s3_that_answers(status: int, headers: dict[str, str]) -> Iterator[str]:
    """Serve S3's answer to every request, as AWS would give it."""

    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(status)
            for name, value in {"Date": self.date_time_string(), **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def of_aws(endpoint: str, **changes: object) -> Settings:
    return load_settings(
        profile="aws", aws_endpoint_url=endpoint, sts_endpoint_url=endpoint, **{**KEY, **changes}
    )


@pytest.mark.parametrize(
    ("minutes", "outcome"),
    [(-10, Outcome.FAILED), (10, Outcome.FAILED), (1, Outcome.WARNING), (0, Outcome.OK)],
)
def test_a_clock_that_would_break_signatures_is_told(minutes, outcome):
    now = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)
    with s3_that_answers(403, {"Date": format_datetime(now, usegmt=True)}) as endpoint:
        aws = AwsChecks(of_aws(endpoint))
        assert aws.s3().outcome is Outcome.OK
        clock = aws.clock()
    assert clock.outcome is outcome, clock
    assert ("ahead" if minutes > 0 else "behind") in clock.found or not minutes


@pytest.mark.parametrize("status", [200, 301, 403])
def test_a_bucket_of_another_region_is_told_with_its_region(status):
    with s3_that_answers(status, {"x-amz-bucket-region": "eu-central-1"}) as endpoint:
        finding = AwsChecks(of_aws(endpoint)).bucket()
    assert finding.outcome is Outcome.FAILED
    assert "is in eu-central-1, not in us-east-1" in finding.found
    assert "AWS_DEFAULT_REGION=eu-central-1" in finding.cure


def test_a_bucket_that_refuses_is_told_from_one_that_is_not_there():
    with s3_that_answers(403, {}) as endpoint:
        refused = AwsChecks(of_aws(endpoint)).bucket()
    with s3_that_answers(404, {}) as endpoint:
        missing = AwsChecks(of_aws(endpoint)).bucket()
    assert refused.outcome is missing.outcome is Outcome.FAILED
    assert "s3:ListBucket" in refused.cure
    assert "does not exist" in missing.found


@pytest.mark.parametrize(
    ("name", "outcome", "cure"),
    [
        ("us-east1", Outcome.WARNING, "us-east-1"),
        ("mars", Outcome.WARNING, "AWS_DEFAULT_REGION"),
        ("us east", Outcome.FAILED, "us-east-1"),
    ],
)
def test_a_mistyped_region_is_told(name, outcome, cure):
    finding = AwsChecks(load_settings(aws_region=name)).region()
    assert finding.outcome is outcome
    assert cure in finding.cure


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ({"bucket": "no such bucket"}, "AWS_S3_BUCKET_NAME"),
        ({"aws_endpoint_url": "not-a-url"}, "is no URL"),
        ({"aws_region": "us east"}, "AWS_DEFAULT_REGION"),
    ],
)
def test_settings_with_which_nothing_can_be_asked_are_named(wrong, cause):
    finding = AwsChecks(of_aws("http://127.0.0.1:9").model_copy(update=wrong)).s3()
    assert finding.outcome is Outcome.FAILED
    assert cause in finding.cause


def test_hosts_that_never_answer_cost_seconds(monkeypatch):
    """A firewall drops packets: the connection stands, and nothing ever comes back."""
    monkeypatch.setattr(
        aws_checks,
        "_QUICKLY",
        Config(connect_timeout=0.5, read_timeout=0.5, retries={"total_max_attempts": 1}),
    )
    monkeypatch.setattr(database_checks, "_CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        url = f"http://{place}"
        database = f"postgresql://someone:a-long-password@{place}/market"
        settings = of_aws(
            url,
            glue_endpoint_url=url,
            athena_endpoint_url=url,
            sqs_endpoint_url=url,
            database_url=database,
            dagster_database_url=database,
            notifications_queue="some-queue",
            alpha_vantage_base_url=url,
            yahoo_base_url=url,
            coingecko_base_url=url,
        )
        began = time.monotonic()
        told = examine(settings)
        took = time.monotonic() - began
    assert took < 15
    assert told["s3"].outcome is told["database"].outcome is told["dagster"].outcome is Outcome.FAILED
    assert told["identity"].outcome is Outcome.WARNING  # S3 might answer where STS does not
    assert told["bucket"].found == told["athena"].found == "needs s3"
    assert told["quota"].found == "needs database"
    assert "a-long-password" not in repr(told)


def test_where_there_is_nothing_it_says_so_once(tmp_path):
    done = doctor_command(tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    failures = [line for line in done.stdout.splitlines() if line.startswith("failed")]
    assert len(failures) == 1
    assert "stack" in failures[0]
    assert "fin-lake up" in done.stdout
    assert not (tmp_path / "home").exists()


def test_without_credentials_each_missing_thing_is_told_with_its_cure(tmp_path):
    done = doctor_command(
        tmp_path,
        "--json",
        FIN_LAKE_PROFILE="aws",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        AWS_PROFILE="nobody",
    )
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["healthy"] is False
    by_name = {check["name"]: check for check in told["checks"]}
    assert "~/.aws/config" in by_name["credentials"]["cause"]
    assert by_name["s3"]["outcome"] == "failed"
    assert "AWS_ENDPOINT_URL" in by_name["s3"]["cure"]
    assert by_name["database"]["found"] == "FIN_LAKE_DATABASE_URL is not set"
    assert by_name["bucket"]["found"] == "needs s3"
    assert all(check["cure"] for check in told["checks"] if check["outcome"] == "failed")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("FIN_LAKE_START=never\n", "FIN_LAKE_START"),
        ("AWS_ACCESS_KEY_ID=AKIA\n", "AWS_SECRET_ACCESS_KEY is missing"),
        (b"AWS_S3_BUCKET_NAME=\xff\xfe\n", "UTF-8"),
    ],
)
def test_settings_that_cannot_be_read_are_the_only_failure(tmp_path, env, words):
    file = tmp_path / ".env"
    file.write_bytes(env if isinstance(env, bytes) else env.encode())
    done = doctor_command(tmp_path, "--json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    first, *rest = json.loads(done.stdout)["checks"]
    assert (first["name"], first["outcome"]) == ("settings", "failed")
    assert words in first["found"]
    assert {check["found"] for check in rest} == {"needs settings"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("AWS_S3_BUCKET=mine", "AWS_S3_BUCKET (AWS_S3_BUCKET_NAME?)"),
        ("ALPHA_VANTAGE_API_KEY=your_alpha_vantage_api_key_here", "ALPHA_VANTAGE_API_KEY"),
    ],
)
def test_lines_of_env_that_do_nothing_are_told(tmp_path, monkeypatch, line, words):
    (tmp_path / ".env").write_text(f"{line}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")
    finding = Doctor().settings()
    assert finding.outcome is Outcome.WARNING
    assert words in finding.found


def test_credentials_are_told_by_place_and_never_by_value(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    (tmp_path / "credentials").write_text(
        "[work]\naws_access_key_id = AKIAOFTHEFILE1234567\naws_secret_access_key = secret-of-the-file\n"
    )
    of_file = AwsChecks(load_settings(profile="aws")).credentials()
    for name, value in KEY.items():
        monkeypatch.setenv(name.upper(), value)
    of_environment = AwsChecks(load_settings(profile="aws")).credentials()
    assert "file of credentials, profile work" in of_file.found
    assert "the environment" in of_environment.found
    for secret in ("AKIA", "secret-of-the-file", *KEY.values()):
        assert secret not in f"{of_file}{of_environment}"


def test_what_stands_on_a_dead_service_is_skipped_and_nothing_else(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "stack.env").write_text(
        "AWS_ENDPOINT_URL=http://127.0.0.1:9\nYAHOO_BASE_URL=http://127.0.0.1:9\n"
    )
    names = {"aws": True, "athena": True, "replay": True, "postgres": False}

    def services(_: Settings) -> list[ServiceState]:
        return [
            ServiceState(name, name, "running" if runs else "dead", runs, home / f"{name}.log")
            for name, runs in names.items()
        ]

    told = examine(load_settings(home=home), services)
    assert told["stack"].found == "postgres: dead"
    assert "postgres.log" in told["stack"].cause
    assert told["database"].found == told["quota"].found == told["daemon"].found == "needs stack"
    assert told["yahoo"].outcome is Outcome.FAILED  # it was looked at
