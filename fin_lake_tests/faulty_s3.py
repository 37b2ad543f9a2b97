"""An S3 that fails as the real one does: a proxy that answers some requests badly, or not at all.

Which requests fail, and how, is drawn from a seed; the same seed gives the same faults in the same order
of requests.
"""

from __future__ import annotations

import random
import re
import socket
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
INTERNAL = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
NO_UPLOAD = b"<Error><Code>NoSuchUpload</Code><Message>The specified upload does not exist.</Message></Error>"
_REFUSALS = {
    "slow_down": (503, SLOW_DOWN),
    "internal_error": (500, INTERNAL),
    "no_such_upload": (404, NO_UPLOAD),
}
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}


class FaultyS3:
    """A running proxy.

    Attributes
    ----------
    endpoint : str
        Where it answers.
    injected : Counter
        How often each fault was injected: ``slow_down`` (503), ``internal_error`` (500), ``reset`` (the
        connection is cut before anything is answered), ``lost_answer`` (the request takes effect, and the
        connection is cut), ``no_such_upload`` (404, what S3 says when an upload is completed again),
        ``latency``.
    """

    def __init__(
        self,
        upstream: str,
        rates: Mapping[str, float],
        *,
        seed: int,
        latency: float,
        once: Mapping[str, str],
    ) -> None:
        parts = urllib.parse.urlsplit(upstream)
        self.upstream = (str(parts.hostname), int(parts.port or 80))
        self.injected: Counter[str] = Counter()
        self.latency = latency
        self._rates = dict(rates)
        self._once = dict(once)
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.faulty = self
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def draw(self, request: str) -> str | None:
        """Return the fault of the next request (method and path), if it is to have one."""
        with self._lock:
            first = next((pattern for pattern in self._once if re.match(pattern, request)), None)
            if first is not None:
                fault = self._once.pop(first)
                self.injected[fault] += 1
                return fault
            chance = self._random.random()
            for fault, rate in self._rates.items():
                if chance < rate:
                    self.injected[fault] += 1
                    return fault
                chance -= rate
        return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def faulty_s3(
    upstream: str,
    rates: Mapping[str, float] | None = None,
    *,
    seed: int = 1,
    latency: float = 0.1,
    once: Mapping[str, str] | None = None,
) -> Iterator[FaultyS3]:
    """Run a proxy in front of an S3: each fault at its rate, latency in seconds.

    ``once`` has faults of the first request whose method and path match a regular expression.
    """
    running = FaultyS3(upstream, rates or {}, seed=seed, latency=latency, once=once or {})
    try:
        yield running
    finally:
        running.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    faulty: FaultyS3

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that were cut on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.faulty.draw(f"{self.command} {self.path}")
        if fault in _REFUSALS:
            status, said = _REFUSALS[fault]
            self._answer(status, {"Content-Type": "application/xml"}, said)
            return
        if fault == "reset":
            self._cut()
            return
        if fault == "latency":
            time.sleep(self.server.faulty.latency)  # the fault itself
        upstream = HTTPConnection(*self.server.faulty.upstream, timeout=60)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            said = answer.read()
        finally:
            upstream.close()
        if fault == "lost_answer":
            self._cut()
            return
        self._answer(answer.status, dict(answer.getheaders()), said)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST, not FIN
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 - http.server's names
