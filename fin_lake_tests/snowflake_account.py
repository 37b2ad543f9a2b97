"""A Snowflake for the tests: fakesnow's server in an environment of its own, and the real connector."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

ACCOUNT: Final = {
    "snowflake_account": "fakesnow",
    "snowflake_user": "loader",
    "snowflake_password": SecretStr("not-in-any-log-1"),
    "snowflake_role": "LOADER",
    "snowflake_storage_role": "arn:aws:iam::123456789012:role/fin-lake-snowflake",
}
_OF_SETTINGS: Final = ("user", "password", "account")
_SERVER = Path(__file__).with_name("snowflake_server.py")


@contextmanager
def snowflake_server(s3_endpoint: str, log: Path) -> Iterator[dict[str, Any]]:
    """Yield the connector's further arguments for a server that reads its stages from an S3."""
    command = [sys.executable, "-m", "uv", "run", "--quiet", "--no-project", "--script"]
    command += [str(_SERVER), s3_endpoint]
    pipe = subprocess.PIPE
    with (
        log.open("w") as said,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, text=True) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        first = server.stdout.readline()
        assert first, log.read_text()
        try:
            given = json.loads(first)
            yield {name: value for name, value in given.items() if name not in _OF_SETTINGS}
        finally:
            server.stdin.close()
