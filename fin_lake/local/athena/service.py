"""The HTTP server in front of Athena and Glue, on the loopback."""

from __future__ import annotations

import asyncio
import functools
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from fin_lake.collector import collect_seldom
from fin_lake.local.athena.api import AthenaApi
from fin_lake.local.athena.executions import Executions
from fin_lake.local.athena.glue import GlueCatalog, GlueClient
from fin_lake.local.athena.json_protocol import http_answer
from fin_lake.local.athena.session import Engine
from fin_lake.local.athena.storage import Objects
from fin_lake.local.athena.workgroups import Workgroups
from fin_lake.local.processes import LOOPBACK

ACCOUNT: Final = "000000000000"
_CALLS: Final = 32
"""Calls answered at a time; one that waits for a query to end holds a thread."""
_LARGEST_REQUEST: Final = 64 * 1024 * 1024
_SHUTDOWN_SECONDS: Final = 1.0
_JSON: Final = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the service keeps what, and how it reaches S3.

    Parameters
    ----------
    home : pathlib.Path
        Its folder: catalog, workgroups, cache and unfinished files.
    s3_endpoint : str
        URL of the S3 API.
    """

    home: Path
    s3_endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str


class Service:
    """Athena and Glue behind one port."""

    def __init__(self, place: Place, *, threads: int = 2, workers: int = 4) -> None:
        place.home.mkdir(parents=True, exist_ok=True)
        self._place = place
        objects = Objects(
            endpoint=place.s3_endpoint,
            access_key_id=place.access_key_id,
            secret_access_key=place.secret_access_key,
            region=place.region,
            cache=place.home / "cache",
        )
        catalog = GlueCatalog(place.home / "glue.db")
        engine = Engine(GlueClient(catalog), objects, work=place.home / "work", threads=threads)
        groups = Workgroups(place.home / "workgroups.json")
        executions = Executions(engine, groups, workers=workers)
        athena = AthenaApi(executions, groups, engine.metastore, account=ACCOUNT)
        self._services = {
            "AmazonAthena": (athena.call, "InternalServerException"),
            "AWSGlue": (catalog.call, "InternalServiceException"),
        }
        self._pool = ThreadPoolExecutor(_CALLS, thread_name_prefix="call")

    def application(self) -> web.Application:
        """Return the application to be served."""
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        application.router.add_get("/_athena/health", self._health)
        application.router.add_post("/", self._call)
        return application

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"s3_endpoint": self._place.s3_endpoint})

    async def _call(self, request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target", "")
        service, _, operation = target.rpartition(".")
        body = await request.read()
        if service not in self._services:
            answer = {"__type": "UnknownOperationException", "message": "Athena and Glue only"}
            return web.json_response(answer, status=400, content_type=_JSON)
        call, internal = self._services[service]
        status, answered = await asyncio.get_running_loop().run_in_executor(
            self._pool, functools.partial(http_answer, call, operation, body, internal=internal)
        )
        headers = {"Content-Type": _JSON, "x-amzn-RequestId": str(uuid.uuid4())}
        return web.Response(status=status, body=answered, headers=headers)


def serve(place: Place, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    collect_seldom()
    web.run_app(
        Service(place).application(),
        host=LOOPBACK,
        port=port,
        print=None,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
