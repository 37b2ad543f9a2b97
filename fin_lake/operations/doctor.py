"""All that can be wrong with an installation, as checks: settings, machine, account, databases, APIs.

Nothing is changed but a scratch object, which is deleted again. What is checked of an account stands in
``aws_checks``, ``bucket_checks`` and ``catalog_checks``, of PostgreSQL and Dagster in ``database_checks``;
here it is put in order, and what is of this machine is looked at.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fin_lake.errors import FinLakeError
from fin_lake.operations.findings import NEEDS, Check, Finding, failed, ok, skipped, warning
from fin_lake.settings import (
    STACK_ENV,
    Settings,
    env_file,
    load_settings,
    origin,
    placeholders,
    unknown_variables,
)

_LITTLE_SPACE: Final = 5 * 10**9
_NO_SPACE: Final = 10**9
_HOST_SECONDS: Final = 4
_ATHENA_SECONDS: Final = 20
# what each service of the local stack is known by in the settings
_KNOWN_BY: Final = {
    "aws": "aws_endpoint_url",
    "athena": "athena_endpoint_url",
    "replay": "yahoo_base_url",
    "postgres": "database_url",
}


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service of the local stack: its name and title, how it is, whether it serves, and its log."""

    name: str
    title: str
    state: str
    is_running: bool
    log: Path


LookAtServices = Callable[[Settings], Sequence[ServiceState]]


class Doctor:
    """The checks of one installation.

    Parameters
    ----------
    settings : Settings, optional
        Those of the environment and ``.env``, if omitted.
    services : callable, optional
        Looks at the local stack's services.
    """

    def __init__(self, settings: Settings | None = None, services: LookAtServices | None = None) -> None:
        self._services = services
        self._down: frozenset[str] = frozenset()
        self._problem: FinLakeError | None = None
        self._known = settings
        if settings is None:
            try:
                self._known = load_settings()
            except FinLakeError as error:
                self._problem = error

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        return self._known.secrets if self._known else ()

    @property
    def _settings(self) -> Settings:
        if self._known is None:
            raise self._problem or FinLakeError("the settings cannot be read")
        return self._known

    def checks(self) -> Sequence[Check]:
        """Return the checks in the order in which they are told."""
        here = [
            Check("settings", self.settings),
            Check("disk", self.disk, needs=("settings",)),
            Check("stack", self.stack, needs=("settings",)),
        ]
        if self._known is None:  # everything else asks the settings where to look
            return here
        return [*here, *self._of_account(), *self._of_catalog(), *self._of_databases(), *self._of_sources()]

    def _of_account(self) -> list[Check]:
        from fin_lake.operations.aws_checks import AwsChecks  # noqa: PLC0415 - boto3
        from fin_lake.operations.bucket_checks import BucketChecks  # noqa: PLC0415

        aws = self._aws = AwsChecks(self._settings)
        kept = BucketChecks(self._settings, aws.client)

        def of_bucket(name: str, look: Callable[[], Finding]) -> Check:
            return Check(name, look, needs=("bucket",))

        return [
            Check("region", aws.region),
            Check("credentials", self._on("aws", aws.credentials), after=("stack",)),
            Check("identity", aws.identity, needs=("region", "credentials")),
            Check("s3", self._on("aws", aws.s3), needs=("region",), after=("stack",)),
            Check("clock", aws.clock, needs=("s3",)),
            Check("bucket", aws.bucket, needs=("s3", "identity")),
            of_bucket("list", aws.list_),
            of_bucket("read", aws.get),
            of_bucket("write", aws.put),
            of_bucket("round trip", aws.round_trip),
            of_bucket("encryption", kept.encryption),
            Check("key", kept.kms, needs=("encryption",)),
            of_bucket("versioning", kept.versioning),
            of_bucket("public access", kept.public_access),
            of_bucket("lifecycle", kept.lifecycle),
            Check("queue", kept.queue, needs=("s3", "identity")),
            Check("notification", kept.notifications, needs=("bucket", "queue")),
        ]

    def _of_catalog(self) -> list[Check]:
        from fin_lake.operations import catalog_checks as of  # noqa: PLC0415 - polars

        settings, client = self._settings, self._aws.client
        return [
            Check(
                "glue",
                self._on("athena", lambda: of.glue_tables(settings, client("glue"))),
                needs=("s3", "identity"),
            ),
            Check(
                "workgroup",
                self._on("athena", lambda: of.workgroup(settings, client("athena"))),
                needs=("s3", "identity"),
            ),
            Check(
                "athena", lambda: of.query(settings), needs=("workgroup", "bucket"), seconds=_ATHENA_SECONDS
            ),
        ]

    def _of_databases(self) -> list[Check]:
        from fin_lake.operations import database_checks as of  # noqa: PLC0415 - psycopg

        settings = self._settings
        return [
            Check("database", self._on("postgres", lambda: of.market_database(settings)), after=("stack",)),
            Check("dagster", self._on("postgres", lambda: of.dagster_database(settings)), after=("stack",)),
            Check("daemon", lambda: of.daemon(settings), needs=("dagster",)),
        ]

    def _of_sources(self) -> list[Check]:
        from fin_lake.operations.database_checks import quotas  # noqa: PLC0415 - psycopg
        from fin_lake.sources.fetching import SOURCES  # noqa: PLC0415 - aiohttp
        from fin_lake.sources.redaction import Redactor  # noqa: PLC0415

        settings, redact = self._settings, Redactor(())
        sources = [make(settings, settings.clock, redact) for some in SOURCES.values() for make in some]
        keys = {
            "alpha_vantage": (settings.alpha_vantage_api_key, "Yahoo alone serves the stocks"),
            "coingecko": (settings.coingecko_api_key, "CoinGecko may refuse, or soon say 429"),
        }

        def source(name: str, url: str) -> Check:
            key, consequence = keys.get(name, (True, ""))

            def look() -> Finding:
                return _source(url, "" if key else f"{name.upper()}_API_KEY", consequence)

            return Check(name, self._on("replay", look), after=("stack",))

        return [
            *(source(one.name, one.limits.base_url) for one in sources),
            Check("quota", lambda: quotas(settings, sources), needs=("database",)),
        ]

    def _on(self, service: str, look: Callable[[], Finding]) -> Callable[[], Finding]:
        """Return a look that is not worth it while a service of the local stack is down."""
        return lambda: skipped(f"{NEEDS}stack") if service in self._down else look()

    # --- of this machine ---

    def settings(self) -> Finding:
        """Look whether the settings can be read, and for names and values that are surely not meant."""
        settings = self._settings
        file = env_file()
        where = (
            f"the environment and {file.resolve()}" if file else f"the environment; no .env in {Path.cwd()}"
        )
        mistyped = unknown_variables()
        if mistyped:
            names = ", ".join(f"{name} ({near}?)" if near else name for name, near in mistyped.items())
            return warning(
                f"profile {settings.profile}; unknown in .env: {names}",
                "a name that nothing reads",
                "correct it; .env.example lists them all",
            )
        unfilled = placeholders(settings)
        if unfilled:
            return warning(
                f"profile {settings.profile}; still as in .env.example: {', '.join(unfilled)}",
                "the line was not filled in",
                "fill it in, or put a # before it",
            )
        return ok(f"profile {settings.profile}, from {where}")

    def disk(self) -> Finding:
        """Look whether there is room under home, and whether it may be written."""
        home = self._settings.home.resolve()
        there = next(folder for folder in (home, *home.parents) if folder.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            return failed(
                f"{there} is not a folder that this user may write to",
                "FIN_LAKE_HOME lies in it; another user made it, or it is mounted to be read",
                "set FIN_LAKE_HOME to a folder of your own",
            )
        free = shutil.disk_usage(there).free
        said = f"{free / 1e9:,.1f} GB free for {home}"
        if free < _NO_SPACE:
            return failed(said, "PostgreSQL and S3 stop when it is full", "make room, or move FIN_LAKE_HOME")
        if free < _LITTLE_SPACE:
            return warning(said, "a year of hours takes some gigabytes", "make room, or move FIN_LAKE_HOME")
        return ok(said)

    def stack(self) -> Finding:
        """Look at the services of the local stack that the settings point to."""
        settings = self._settings
        if settings.profile != "local":
            return skipped(f"the profile is {settings.profile}")
        if self._services is None:
            return skipped("not looked at")
        ours = ("the default", str(settings.home / STACK_ENV))
        try:
            there = self._services(settings)
        except ModuleNotFoundError as error:
            return failed(
                f"the local stack needs the package {error.name}",
                "the extra `local` is not installed",
                "`pip install 'fin_lake[local]'`, or FIN_LAKE_PROFILE=aws",
            )
        services = [
            one
            for one in there
            if origin(settings, _KNOWN_BY.get(one.name, "home")) in ours or one.name not in _KNOWN_BY
        ]
        if not services:
            return skipped("the settings name services of their own")
        down = [one for one in services if not one.is_running]
        if not down and (settings.home / STACK_ENV).exists():
            return ok(", ".join(one.title for one in services))
        self._down = frozenset(one.name for one in (down or services))
        crashed = [one for one in down if one.state not in ("stopped", "running")]
        return failed(
            ", ".join(f"{one.title}: {one.state}" for one in (down or services)),
            f"the ends of {', '.join(str(one.log) for one in crashed)} may say why"
            if crashed
            else "it was not started, or the machine was",
            "`fin-lake up`",
        )


def _source(url: str, missing_key: str, consequence: str) -> Finding:
    """Look whether a source's host takes connections; it is asked nothing, which would count."""
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    try:
        host, _, port = place.rpartition(":")
        with socket.create_connection((host, int(port)), _HOST_SECONDS):
            pass
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        return failed(
            f"{place} cannot be reached: {reason}",
            "no network, or a firewall in between",
            f"`curl -sI {parts.scheme}://{parts.netloc}`",
        )
    if missing_key:
        return warning(
            f"{place} takes connections, but {missing_key} is not set",
            consequence,
            f"set {missing_key} in .env",
        )
    return ok(f"{place} takes connections{'' if not consequence else ', the key is set'}")
