"""Athena and Glue as a service of the stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fin_lake.local.aws import ACCESS_KEY, SECRET_KEY
from fin_lake.local.processes import LOOPBACK, python, service_environment
from fin_lake.local.service import Launch, Service, http_call, package_folder


class LocalAthena(Service):
    """Athena and Glue, in front of DuckDB and the objects of the local S3.

    Parameters
    ----------
    home : pathlib.Path
        The stack's folder, absolute.
    bucket, database : str
        The lake, and the Glue database that has its tables after every start.
    portfolios : pathlib.Path, optional
        The file that defines the portfolios, if it is not the shipped one.
    region : str
        The region that it says it is.
    s3_port : callable
        Returns the port of the local S3.
    """

    name = "athena"
    title = "Athena and Glue"
    argument = "fin_lake.local.athena"

    def __init__(
        self,
        home: Path,
        *,
        bucket: str,
        database: str,
        portfolios: Path | None,
        region: str,
        s3_port: Callable[[], int],
    ) -> None:
        super().__init__(home)
        self.bucket = bucket
        self.database = database
        self.portfolios = portfolios
        self.region = region
        self._s3_port = s3_port

    @property
    def data(self) -> Path:
        """The folder of the catalog and of the cache."""
        return self.home / "athena"

    def prepare(self) -> None:
        """Make the folder."""
        for package in ("duckdb", "sqlglot", "pyiceberg"):
            package_folder(package)
        self.data.mkdir(parents=True, exist_ok=True)

    def launch(self, port: int) -> Launch:
        """Return how to start it on a port."""
        return Launch(
            argv=[*python("fin_lake.local.athena"), "--home", str(self.data), "--port", str(port)],
            env=service_environment(
                AWS_ACCESS_KEY_ID=ACCESS_KEY,
                AWS_SECRET_ACCESS_KEY=SECRET_KEY,
                AWS_DEFAULT_REGION=self.region,
                AWS_ENDPOINT_URL_S3=self._s3_endpoint(),
                AWS_EC2_METADATA_DISABLED="true",
            ),
            cwd=self.data,
        )

    def answers(self, port: int) -> bool:
        """Return whether it serves requests."""
        return bool(self._said(port))

    def is_current(self, port: int) -> bool:
        """Return whether it reads the S3 that runs now."""
        return bool(self._said(port).get("s3_endpoint") == self._s3_endpoint())

    def settle(self, port: int) -> None:
        """Create the lake's tables in Glue, and bring those that are there up to date."""
        import boto3  # noqa: PLC0415 - a third of a second, and only `up` needs it

        from fin_lake.lake.catalog import ensure_catalog  # noqa: PLC0415
        from fin_lake.portfolios.definitions import load_portfolios  # noqa: PLC0415

        # everything said in full: a shell's AWS_PROFILE must not lead it elsewhere
        session = boto3.Session(
            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=self.region
        )
        client = session.client("glue", endpoint_url=f"http://{LOOPBACK}:{port}")
        portfolios = load_portfolios(self.portfolios)
        ensure_catalog(client, database=self.database, bucket=self.bucket, portfolios=portfolios)

    def environment(self, port: int) -> dict[str, str]:
        """Return the settings with which any client of Athena and Glue reaches it."""
        endpoint = f"http://{LOOPBACK}:{port}"
        return {
            "AWS_ENDPOINT_URL_ATHENA": endpoint,
            "AWS_ENDPOINT_URL_GLUE": endpoint,
            "FIN_LAKE_GLUE_DATABASE": self.database,
        }

    def _s3_endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self._s3_port()}"

    @staticmethod
    def _said(port: int) -> dict[str, Any]:
        answer = http_call(port, "/_athena/health")
        if answer is None or answer[0] != HTTPStatus.OK:
            return {}
        try:
            return dict(json.loads(answer[1]))
        except (ValueError, TypeError):
            return {}  # another server's answer
