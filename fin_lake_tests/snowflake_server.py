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
import os
import sys
from typing import Any

import fakesnow
import fakesnow.arrow
import pyarrow as pa
import s3fs
from fakesnow.copy_into import ReadJSON
from sqlglot import exp

serve = fakesnow.server  # a function, until the module of this name is imported
from fakesnow.server import shared_fs  # noqa: E402

timestamps_without_nulls = fakesnow.arrow.timestamp_to_sf_struct


class Stages(s3fs.S3FileSystem):
    """S3 as a stage sees it: a place is a prefix, and whatever begins with it."""

    def glob(self, path: str, **_: Any) -> list[str]:
        if not path.endswith("*"):
            return [path]
        bucket, _slash, prefix = path.removeprefix("s3://").removesuffix("*").partition("/")
        return [f"s3://{key}" for key in self.find(f"{bucket}/{prefix}", refresh=True)]


def timestamps(times: pa.Array | pa.ChunkedArray) -> pa.StructArray:
    """Send a null as a null, where the server would send 1970."""
    whole = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
    made = timestamps_without_nulls(whole.fill_null(0))
    return pa.StructArray.from_arrays(made.flatten(), fields=list(made.type), mask=whole.is_null())


def read_json(reader: ReadJSON, url: str) -> exp.Expression:
    """Read a record as one value, where DuckDB would put the folders' year=, month=, … beside it."""
    without = reader.make_eq("hive_partitioning", value=False)
    return exp.func("read_json_objects", exp.Literal.string(url), without)


fakesnow.arrow.timestamp_to_sf_struct = timestamps
ReadJSON.read_expression = read_json

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
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody reads the pipe any more; its log would fill it
    sys.stdin.read()
