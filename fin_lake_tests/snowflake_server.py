# /// script
# requires-python = ">=3.11"
# dependencies = ["fakesnow[server]==0.12.1", "s3fs==2026.9.0", "snowflake-connector-python<5"]
# ///
"""A server that answers Snowflake's connector, and reads stages from the S3 that it is given.

It runs in an environment of its own: its DuckDB is not the one that the embedded Athena needs. It writes
the connector's arguments as JSON when it is up, and ends with its standard input.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import fakesnow
import s3fs

serve = fakesnow.server  # a function, until the module of this name is imported
from fakesnow.server import shared_fs  # noqa: E402


class Stages(s3fs.S3FileSystem):
    """S3 as a stage sees it: a place is a prefix, and whatever begins with it."""

    def glob(self, path: str, **_: Any) -> list[str]:
        if not path.endswith("*"):
            return [path]
        bucket, _slash, prefix = path.removeprefix("s3://").removesuffix("*").partition("/")
        return [f"s3://{key}" for key in self.find(f"{bucket}/{prefix}", refresh=True)]


# what has no meaning without an account
NOTHING = [r"^\s*CREATE STORAGE INTEGRATION\b", r"^\s*GRANT\b"]

endpoint = sys.argv[1]
stages = Stages(
    endpoint_url=endpoint, key="test", secret="test", skip_instance_cache=True, use_listings_cache=False
)
shared_fs.duck_conn.register_filesystem(stages)
shared_fs.duck_conn.execute("SET GLOBAL TimeZone = 'UTC'")
with serve(session_parameters={"nop_regexes": NOTHING}) as arguments:
    sys.stdout.write(json.dumps(arguments) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
