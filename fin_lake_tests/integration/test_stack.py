"""The real stack: what it keeps through kills, what it prints, and that nothing outlives `down`."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

import boto3
import psutil
import psycopg
import pytest
from botocore.config import Config

from fin_lake.local import processes
from fin_lake.local.aws import LocalAws
from fin_lake.local.postgres import Postgres
from fin_lake.local.replay import recording
from fin_lake.local.stack import Stack, State
from fin_lake.local.state import StackError, StackState
from fin_lake.settings import load_settings

pytestmark = pytest.mark.stack
FIN_LAKE = Path(sysconfig.get_path("scripts")) / "fin-lake"
BUCKET = "financial-trading-data-lake"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A stack's home that nobody else uses; as root, below a folder that only root may enter."""
    folder = tmp_path_factory.mktemp("stack home") / ".fin_lake"
    yield folder
    Stack(load_settings(home=folder)).stop()


@pytest.fixture
def running(home) -> Stack:
    """The stack, running, whatever the test before has done to it."""
    stack = Stack(load_settings(home=home))
    stack.start()
    return stack


def fin_lake(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FIN_LAKE, *arguments],
        env={"PATH": os.environ["PATH"], "FIN_LAKE_HOME": str(home), "COLUMNS": "120", **variables},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def pids(stack: Stack) -> dict[str, int]:
    return {service.name: service.pid for service in stack.status(notes=False).services}


def kill(*numbers: int) -> None:
    for number in numbers:
        os.kill(number, signal.SIGKILL)


def s3(home: Path):
    settings = load_settings(home=home)
    return boto3.client(
        "s3",
        endpoint_url=settings.aws_endpoint_url,
        region_name=settings.aws_region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}),
    )


def market(home: Path) -> psycopg.Connection:
    return psycopg.connect(load_settings(home=home).database(), autocommit=True)


def test_up_twice_is_one_stack(home):
    first = fin_lake(home, "up")
    assert first.returncode == 0, first.stderr
    for said in ("AWS (ministack)", "market replay", "PostgreSQL", "running", "fin-lake extract", "make dev"):
        assert said in first.stdout
    before = pids(Stack(load_settings(home=home)))
    assert fin_lake(home, "up").returncode == 0
    assert pids(Stack(load_settings(home=home))) == before


def test_two_ups_at_once_are_one_stack(running, home):
    running.stop()
    both = [threading.Thread(target=fin_lake, args=(home, "up")) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert running.status().running
    services = [one for one in psutil.process_iter() if f"{home}/" in mark_of(one)]
    assert sum("ministack" in one.cmdline() for one in services) == 1
    assert sum("fin_lake.local.replay" in one.cmdline() for one in services) == 1
    assert sum("-D" in one.cmdline() for one in services) == 1


def mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("FIN_LAKE_SERVICE", "")
    except psutil.Error:
        return ""


def test_settings_come_from_the_running_stack(running, home):
    settings = load_settings(home=home)
    playing = recording.active_recording(home)
    assert settings.now == playing.now
    assert settings.start == playing.start
    assert list(settings.stock_symbols) == playing.stock_symbols
    assert settings.crypto_coins == playing.crypto_coins
    assert settings.alpha_vantage_per_day == 0
    assert settings.coingecko_plan == "pro"
    assert [database_of(url) for url in (settings.database(), settings.dagster_database())] == [
        "fin_lake",
        "dagster",
    ]


def database_of(url: str) -> str:
    with psycopg.connect(url) as connection:
        return connection.info.dbname


def test_only_the_loopback_is_listened_on(running):
    for service in running.status(notes=False).services:
        process = psutil.Process(service.pid)
        listening = [
            connection.laddr
            for one in (process, *process.children(recursive=True))
            for connection in one.net_connections("inet")
            if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
        ]
        assert [tuple(address) for address in listening] == [("127.0.0.1", service.port)]


def test_objects_and_rows_survive_the_death_of_everything(running, home):
    s3(home).put_object(Bucket=BUCKET, Key="kept/one.json.gz", Body=b"one", ContentEncoding="gzip")
    with market(home) as connection:
        connection.execute("create table if not exists kept as select 42 as answer")
    before = pids(running)
    kill(*before.values())
    assert processes.wait_until(lambda: not any(pids(running).values()), seconds=10)
    assert {service.state for service in running.status().services} == {State.DEAD}

    again = fin_lake(home, "up")
    assert again.returncode == 0, again.stderr
    kept = s3(home).get_object(Bucket=BUCKET, Key="kept/one.json.gz")
    assert (kept["Body"].read(), kept["ContentEncoding"]) == (b"one", "gzip")
    with market(home) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)
    assert not set(pids(running).values()) & set(before.values())


def test_an_acknowledged_object_is_whole_after_a_kill_in_the_middle_of_writing(running, home):
    """ministack describes an object in a second step; between the two it used to become unreadable."""
    client, acknowledged, tried = s3(home), {}, {}
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            key = f"torn/{number % 3}"
            tried[key] = os.urandom(1_000 + (number * 7919) % 400_000)
            try:
                client.put_object(Bucket=BUCKET, Key=key, Body=tried[key])
            except Exception:  # noqa: BLE001 - the server is killed under it, in whatever state
                return
            acknowledged[key] = tried[key]
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    assert processes.wait_until(lambda: len(acknowledged) == 3, seconds=20)
    kill(pids(running)["aws"])
    stop.set()
    writer.join()
    running.start()
    for key, body in acknowledged.items():
        assert s3(home).get_object(Bucket=BUCKET, Key=key)["Body"].read() in (body, tried[key])


def test_an_object_whose_description_is_out_of_date_can_be_read_after_up(running, home):
    s3(home).put_object(Bucket=BUCKET, Key="torn/described", Body=b"old")
    kill(pids(running)["aws"])
    (running.aws.data / "s3" / "000000000000" / BUCKET / "torn" / "described").write_bytes(b"new, longer")
    running.start()
    found = s3(home).get_object(Bucket=BUCKET, Key="torn/described")
    assert (found["Body"].read(), found["ContentLength"]) == (b"new, longer", 11)


def test_a_backend_that_outlives_its_postmaster_does_not_keep_the_next_one_from_starting(running, home):
    """A backend in a long query does not notice, and holds the shared memory."""
    busy = threading.Thread(target=spin_for_ever, args=(home,))
    busy.start()
    with market(home) as connection:
        spinning = "select 1 from pg_stat_activity where query like 'do %' and state = 'active'"
        assert processes.wait_until(lambda: connection.execute(spinning).fetchone() is not None, seconds=10)
        kill(pids(running)["postgres"])
    running.start()
    busy.join()
    with market(home) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def spin_for_ever(home: Path) -> None:
    with pytest.raises(psycopg.OperationalError), market(home) as connection:
        connection.execute("do $$ begin loop end loop; end $$")


def test_a_lock_file_that_names_another_program_does_not_keep_postgres_from_starting(running):
    """After the machine's restart the number in postmaster.pid may be anybody's."""
    kill(pids(running)["postgres"])
    lock = running.postgres.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n" + lock.read_text().split("\n", 1)[1])
    assert running.start().running


@pytest.mark.parametrize("service", ["aws", "replay", "postgres"])
def test_status_names_the_dead_and_up_starts_it_alone(running, home, service):
    before = pids(running)
    kill(before[service])
    assert processes.wait_until(lambda: pids(running)[service] is None, seconds=10)
    shown = fin_lake(home, "status", "--json")
    assert shown.returncode == 1
    states = {one["name"]: one["state"] for one in json.loads(shown.stdout)["services"]}
    assert states == dict.fromkeys(before, "running") | {service: "dead"}
    running.start()
    changed = {name for name, pid in pids(running).items() if pid != before[name]}
    assert changed == {service}


def test_status_of_a_running_stack(running, home):
    shown = fin_lake(home, "status")
    assert shown.returncode == 0
    assert "postgres.log" in shown.stdout
    assert all(note in shown.stdout for note in recording.active_recording(home).notes)
    told = json.loads(fin_lake(home, "status", "--json").stdout)
    assert told["running"] is True
    assert all(one["data_bytes"] > 0 for one in told["services"] if one["name"] != "replay")


def test_a_failing_postgres_is_shown_with_its_log(running, home):
    running.stop()
    config = running.postgres.data / "postgresql.auto.conf"
    good = config.read_text()
    config.write_text("wal_level = nonsense\n")
    try:
        failed = fin_lake(home, "up")
    finally:
        config.write_text(good)
    assert failed.returncode == 1
    assert "PostgreSQL ended at its start" in failed.stderr
    assert "wal_level" in failed.stderr
    assert str(home / "logs" / "postgres.log") in failed.stderr
    assert "AWS (ministack), Athena and Glue, market replay: running" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_taken_port_is_named_and_new_ports_help(running, home):
    running.stop()
    port = StackState.load(home).services["replay"].port
    with socket.create_server(("127.0.0.1", port)):
        failed = fin_lake(home, "up")
        assert failed.returncode == 1
        assert f"market replay: port {port} is taken by" in failed.stderr
        assert "fin-lake up --new-ports" in failed.stderr
        moved = fin_lake(home, "up", "--new-ports")
        assert moved.returncode == 0, moved.stderr
    assert f":{port}/" not in (home / "stack.env").read_text()


def test_a_recording_that_becomes_active_is_played_after_up(running, home):
    before = pids(running)
    chosen = home / "recordings" / "active"
    shutil.copytree(recording.PACK, home / "recordings" / "another")
    manifest = home / "recordings" / "another" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": "another"}))
    chosen.write_text("another")
    try:
        assert any("another" in note for note in running.start().notes)
        changed = {name for name, pid in pids(running).items() if pid != before[name]}
        assert changed == {"replay"}
    finally:
        chosen.unlink()
    running.start()


def test_env_serves_aws_and_psql_in_a_clean_shell_of_any_folder(running, home):
    script = (
        f'set -e; cd /; eval "$({FIN_LAKE} env)"; '
        'echo hello > "$HOME/hello"; aws s3 cp --quiet "$HOME/hello" s3://$AWS_S3_BUCKET_NAME/from/shell; '
        "aws s3 ls s3://$AWS_S3_BUCKET_NAME/from/; "
        "psql -Atc 'select current_user, current_database()'; echo $DAGSTER_HOME"
    )
    private = home.parent / "someone"
    private.mkdir()
    misleading = {
        "AWS_PROFILE": "mine",
        "AWS_SESSION_TOKEN": "x",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "PGSERVICE": "mine",
        "PGHOSTADDR": "192.0.2.1",
        "PGSSLMODE": "require",
        "http_proxy": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    for variables in ({}, misleading):
        done = subprocess.run(
            ["bash", "-c", script],
            env={"HOME": str(private), "FIN_LAKE_HOME": str(home), **variables},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "shell" in done.stdout
        assert "fin_lake|fin_lake" in done.stdout
        assert done.stdout.endswith(f"{home}/dagster\n")
    assert s3(home).get_object(Bucket=BUCKET, Key="from/shell")["Body"].read() == b"hello\n"


def test_env_as_json_holds_what_the_lines_hold(running, home):
    told = json.loads(fin_lake(home, "env", "--json").stdout)
    assert told["PGPASSWORD"] == Postgres(home).password
    assert told["AWS_PROFILE"] is None
    assert told["DAGSTER_EVENT_BATCH_SIZE"] == "500"


def test_the_password_is_nowhere_but_where_it_belongs(running, home):
    password = running.postgres.password
    for shown in (fin_lake(home, "up"), fin_lake(home, "status"), fin_lake(home, "status", "--json")):
        assert password not in shown.stdout + shown.stderr
    assert password not in repr(running.status())
    holding = {
        path.relative_to(home).as_posix()
        for path in home.rglob("*")
        if path.is_file() and path.stat().st_size < 1_000_000 and password.encode() in path.read_bytes()
    }
    assert holding == {"postgres/password", "stack.env"}
    assert all((home / name).stat().st_mode & 0o077 == 0 for name in holding)


def test_dagsters_instance_takes_the_shipped_configuration(running, home, monkeypatch):
    import dagster as dg  # noqa: PLC0415

    assert fin_lake(home, "up").returncode == 0
    monkeypatch.setenv("FIN_LAKE_DAGSTER_DATABASE_URL", load_settings(home=home).dagster_database())
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert instance.run_coordinator.dequeue_interval_seconds == 1
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 4
        assert instance.run_monitoring_enabled
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert "postgresql" in instance.run_storage.postgres_url


def test_a_bucket_of_another_name_and_region_is_made(running, home):
    settings = load_settings(home=home, bucket="another-lake", aws_region="eu-west-1")
    assert Stack(settings).start().running
    assert s3(home).get_bucket_location(Bucket="another-lake")["LocationConstraint"] == "eu-west-1"
    with pytest.raises(StackError, match=r"bucket No_Bucket cannot be created.*not valid") as caught:
        LocalAws(home, bucket="No_Bucket", region="us-east-1").settle(
            StackState.load(home).services["aws"].port
        )
    assert "AWS_S3_BUCKET_NAME" in caught.value.remedy
    running.start()


def test_up_is_refused_in_the_aws_profile(home):
    refused = fin_lake(home, "up", FIN_LAKE_PROFILE="aws")
    assert refused.returncode == 1
    assert "FIN_LAKE_PROFILE is aws" in refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be without the means to be someone else")
def test_root_without_setpriv_is_told_to_be_someone_else(running, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StackError, match="does not run as root") as caught:
        running.postgres.launch(1)
    assert "ordinary user" in caught.value.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="is what every other test shows")
def test_an_ordinary_user_runs_it_all(tmp_path_factory):
    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))  # pytest's own folders are closed to others
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    code = (
        "from fin_lake.settings import load_settings; from fin_lake.local.stack import Stack; import os;"
        "stack = Stack(load_settings()); print(stack.start().running, os.getuid()); stack.stop()"
    )
    interpreter = next((p for p in ("/usr/bin/python3.11", sys.executable) if may_run(p, nobody)), None)
    if interpreter is None:
        pytest.skip("no Python that an ordinary user may run")
    try:
        done = subprocess.run(
            [interpreter, "-c", code],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            env={
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "FIN_LAKE_HOME": str(folder / "home"),
            },
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert done.stdout == f"True {nobody.pw_uid}\n", done.stderr


def may_run(program: str, user: pwd.struct_passwd) -> bool:
    needed = f"import sys; sys.path[:0] = {sys.path!r}; import fin_lake.local.stack, ministack"
    try:
        return (
            subprocess.run(
                [program, "-c", needed],
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )
    except OSError:
        return False


def test_down_leaves_nothing(running, home):
    services = running.status(notes=False).services
    family = [
        one
        for service in services
        for one in (psutil.Process(service.pid), *psutil.Process(service.pid).children(recursive=True))
    ]
    assert len(family) > 5
    idle = market(home)  # a client that stays connected must not hold it up
    down = fin_lake(home, "down")
    idle.close()
    assert (down.returncode, down.stdout) == (0, "stopped: aws, athena, replay, postgres\n")
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert all(processes.port_is_free(service.port) for service in services)
    assert not (running.postgres.data / "postmaster.pid").exists()

    again = fin_lake(home, "down")
    assert (again.returncode, again.stdout) == (0, "nothing was running\n")
    refused = fin_lake(home, "env")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "fin-lake up" in refused.stderr
    shown = fin_lake(home, "status", "--json")
    assert {one["state"] for one in json.loads(shown.stdout)["services"]} == {"stopped"}
