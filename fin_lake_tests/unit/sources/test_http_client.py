"""The client: pace, retries, pauses, the circuit, time-outs, and that no key gets out of it."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import itertools
import logging
import pickle
import time
import traceback
from collections.abc import Callable
from email.utils import format_datetime
from typing import Any

import polars as pl
import pytest
from aiohttp import web

from fin_lake.settings import SettingsError
from fin_lake.sources import http
from fin_lake.sources.asking import Answer, Limits, Question, Request
from fin_lake.sources.failures import (
    NotAsked,
    NotFound,
    Pacing,
    SchemaMismatch,
    SourceFailure,
    Unauthorized,
    Unavailable,
)
from fin_lake.sources.http import SourceClient, UnexpectedError
from fin_lake.sources.redaction import Redactor
from fin_lake.traffic import traffic
from fin_lake_tests.unit.sources.answers import question
from fin_lake_tests.unit.sources.conftest import KEY, Api

ONE_ROW = pl.DataFrame({"row": [1]})


def limits(url: str, per_minute: float = 60_000) -> Limits:
    return Limits(url, "A_SOURCE_BASE_URL", per_minute)


def client(api: Api, *, per_minute: float = 60_000, **options: Any) -> SourceClient:
    return SourceClient("a_source", limits(api.url, per_minute), redact=Redactor([KEY]), **options)


def asking(read: Callable[[Answer], pl.DataFrame] = lambda _answer: ONE_ROW, symbol: str = "AAPL") -> Request:
    plain = question(symbol=symbol)
    about = Question("a_source", symbol, plain.hours, plain.clock, Redactor([KEY]))
    return Request(about, "2023-01", "/query", {"apikey": KEY}, read, {"X-Extra": "yes"})


async def failure_of(client: SourceClient, request: Request) -> SourceFailure:
    async with client:
        with pytest.raises(SourceFailure) as caught:
            await client.get(request)
    return caught.value


async def test_an_answer_is_read_and_logged(api: Api):
    api.answers("body")
    lines: list[str] = []
    read: list[Answer] = []

    async with client(api, log=lines.append) as one:
        frame = await one.get(asking(lambda answer: read.append(answer) or ONE_ROW))

    assert frame is ONE_ROW
    assert (read[0].status, read[0].body) == (200, b"body")
    assert abs(dt.datetime.now(dt.UTC) - read[0].fetched_at) < dt.timedelta(minutes=1)
    assert lines == [lines[0]]
    assert lines[0].startswith("a_source AAPL 2023-01: 1 bars in 0.")
    assert (api.sent[0].path.partition("?")[0], api.sent[0].query["apikey"]) == ("/query", KEY)
    assert api.sent[0].headers["X-Extra"] == "yes"


async def test_gzip_is_asked_for_and_understood(api: Api):
    api.reply = lambda _request: web.Response(
        body=gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"}
    )
    read: list[Answer] = []

    async with client(api) as one:
        await one.get(asking(lambda answer: read.append(answer) or ONE_ROW))

    assert read[0].body == b"plain"
    assert "gzip" in api.sent[0].headers["Accept-Encoding"]


async def test_what_came_over_the_wire_is_counted_refused_or_not(api: Api):
    body = gzip.compress(b"plain " * 1_000)
    compressed = web.Response(body=body, headers={"Content-Encoding": "gzip"})
    api.answers(web.Response(status=503, text="down"), compressed)
    traffic().take()
    async with client(api) as one:
        await one.get(asking())
    assert traffic().take()["bytes_fetched"] == len("down") + len(body)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_what_may_pass_is_tried_again(api: Api, status: int):
    api.answers(web.Response(status=status), "fine")

    async with client(api) as one:
        assert await one.get(asking()) is ONE_ROW

    assert (len(api.sent), one.requests_sent) == (2, 2)


async def test_a_broken_connection_is_tried_again(api: Api):
    def hang_up(request: web.BaseRequest) -> web.Response:
        if len(api.sent) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="fine")

    api.reply = hang_up

    async with client(api) as one:
        assert await one.get(asking()) is ONE_ROW

    assert len(api.sent) == 2


async def test_a_message_that_means_too_fast_is_tried_again(api: Api):
    api.answers("slow down", "fine")

    def read(answer: Answer) -> pl.DataFrame:
        if answer.body == b"slow down":
            raise asking().question.failure(Pacing, "slow down")
        return ONE_ROW

    async with client(api) as one:
        assert await one.get(asking(read)) is ONE_ROW


@pytest.mark.parametrize("reason", [NotFound, SchemaMismatch, Unauthorized])
async def test_what_will_not_pass_is_not_tried_again(api: Api, reason: type[SourceFailure]):
    api.answers("no")

    def refuse(_answer: Answer) -> pl.DataFrame:
        raise asking().question.failure(reason, "no")

    failure = await failure_of(client(api), asking(refuse))

    assert type(failure) is reason
    assert len(api.sent) == 1


@pytest.mark.parametrize(("status", "reason"), [(429, Pacing), (503, Unavailable)])
async def test_attempts_end(api: Api, status: int, reason: type[SourceFailure]):
    api.answers(f"busy {KEY}", status=status)

    failure = await failure_of(client(api, attempts=3), asking())

    assert type(failure) is reason
    assert str(status) in failure.what
    assert "busy ***" in failure.what
    assert len(api.sent) == 3


async def test_silence_is_unavailable(api: Api):
    async def silent(_request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    api.reply = silent

    failure = await failure_of(client(api, attempts=1, timeout_seconds=0.1), asking())

    assert type(failure) is Unavailable
    assert "no answer within 0.1 s" in failure.what


async def test_a_closed_port_is_unavailable_and_names_the_setting():
    one = SourceClient("a_source", limits("http://127.0.0.1:1"), redact=Redactor([KEY]), attempts=1)

    failure = await failure_of(one, asking())

    assert type(failure) is Unavailable
    assert "A_SOURCE_BASE_URL" in str(failure)


async def test_a_body_that_ends_too_early_is_unavailable(api: Api):
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    api.reply = cut

    assert type(await failure_of(client(api, attempts=1), asking())) is Unavailable


async def test_a_body_without_end_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "LARGEST_BODY_BYTES", 1000)
    # small on the wire, large when unpacked
    api.reply = lambda _request: web.Response(
        body=gzip.compress(b" " * 100_000), headers={"Content-Encoding": "gzip"}
    )

    failure = await failure_of(client(api), asking())

    assert type(failure) is SchemaMismatch
    assert "larger than 1,000 bytes" in failure.what


async def test_a_redirect_is_not_followed_with_the_key(api: Api):
    api.answers(web.Response(status=302, headers={"Location": f"{api.url}/elsewhere?apikey={KEY}"}))

    failure = await failure_of(client(api), asking())

    assert type(failure) is SchemaMismatch
    assert "/elsewhere?apikey=***" in failure.what
    assert len(api.sent) == 1


async def test_requests_are_evenly_spaced(api: Api):
    api.answers("fine")

    async with client(api, per_minute=60 / 0.05) as one:
        await asyncio.gather(*(one.get(asking()) for _ in range(5)))

    times = [sent.at for sent in api.sent]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) > 0.03
    assert times[-1] - times[0] < 1


async def test_retry_after_in_seconds_holds_everybody_back(api: Api):
    api.answers(web.Response(status=429, headers={"Retry-After": "0.3"}), "fine")
    pausing = asyncio.Event()

    async with client(api, log=lambda line: pausing.set() if "pausing for 0.3 s" in line else None) as one:
        first = asyncio.create_task(one.get(asking()))
        await pausing.wait()
        await asyncio.gather(first, one.get(asking(symbol="MSFT")))

    assert api.sent[1].at - api.sent[0].at > 0.29
    assert api.sent[2].at - api.sent[0].at > 0.29


async def test_retry_after_of_a_message_with_status_200_counts_too(api: Api):
    api.answers(web.Response(text="slow down", headers={"Retry-After": "0.2"}), "fine")

    def read(answer: Answer) -> pl.DataFrame:
        if answer.body == b"slow down":
            raise asking().question.failure(Pacing, "slow down")
        return ONE_ROW

    async with client(api) as one:
        await one.get(asking(read))

    assert api.sent[1].at - api.sent[0].at > 0.19


async def test_a_longer_pause_than_we_take_is_said_and_not_taken(api: Api):
    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    api.answers("busy", status=503, headers={"Retry-After": format_datetime(until, usegmt=True)})

    async with client(api) as one:
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"asks to wait 3[56]\d\d s, longer than") as caught:
            await one.get(asking())
        with pytest.raises(Unavailable, match="MSFT"):
            await one.get(asking(symbol="MSFT"))

    assert caught.value.retry_after == pytest.approx(3600, abs=10)
    assert time.monotonic() - started < 2
    assert len(api.sent) == 1


@pytest.mark.parametrize("header", ["soon", "", "inf", "nan", "Fri, 99 Foo 2023"])
async def test_a_retry_after_that_says_nothing_is_ignored(api: Api, header: str):
    api.answers(web.Response(status=429, headers={"Retry-After": header}), "fine")

    async with client(api) as one:
        assert await one.get(asking()) is ONE_ROW


async def test_retry_after_in_the_past_is_now(api: Api):
    past = format_datetime(dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    api.answers(web.Response(status=429, headers={"Retry-After": past}), "fine")

    async with client(api) as one:
        assert await one.get(asking()) is ONE_ROW


async def test_the_circuit_opens_and_the_others_fail_at_once(api: Api):
    api.answers("down", status=500)

    async with client(api, attempts=2, broken_after=4) as one:
        results = await asyncio.gather(
            *(one.get(asking(symbol=f"S{i}")) for i in range(30)), return_exceptions=True
        )

    assert all(isinstance(result, Unavailable) for result in results)
    assert isinstance(results[-1], NotAsked)
    assert "lastly: answered with status 500: 'down'" in str(results[-1])
    assert len(api.sent) < 30


async def test_the_circuit_lets_a_request_try_again_later(api: Api):
    api.answers("down", status=500)

    async with client(api, attempts=1, broken_after=2, broken_seconds=0.2) as one:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await one.get(asking())
        with pytest.raises(NotAsked):
            await one.get(asking())
        api.answers("fine")
        await asyncio.sleep(0.3)
        assert await one.get(asking()) is ONE_ROW
        assert await one.get(asking()) is ONE_ROW


async def test_refusals_do_not_open_the_circuit(api: Api):
    api.answers("no")

    def refuse(_answer: Answer) -> pl.DataFrame:
        raise asking().question.failure(NotFound, "no")

    async with client(api, broken_after=2) as one:
        for _ in range(5):
            with pytest.raises(NotFound):
                await one.get(asking(refuse))

    assert len(api.sent) == 5


async def test_a_single_symbol_cannot_open_the_circuit(api: Api):
    api.answers("down", status=500)

    async with client(api, attempts=4) as one:
        with pytest.raises(Unavailable):
            await one.get(asking())
        api.answers("fine")
        assert await one.get(asking(symbol="MSFT")) is ONE_ROW


async def test_a_refusal_of_the_whole_source_spares_the_others_the_wait(api: Api):
    api.answers("no key")

    def refuse(_answer: Answer) -> pl.DataFrame:
        raise asking().question.failure(Unauthorized, "no key", "set it")

    async with client(api, per_minute=60) as one:
        started = time.monotonic()
        results = await asyncio.gather(
            *(one.get(asking(refuse, symbol=f"S{i}")) for i in range(20)), return_exceptions=True
        )

    assert [type(result) for result in results] == [Unauthorized] * 20
    assert "S19" in str(results[-1])
    assert len(api.sent) <= 2
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "url", ["", "localhost:80", "ftp://x", "http://", "http://x:notaport", "https://x/?key=1"]
)
def test_a_base_url_that_is_none_is_named(url: str):
    with pytest.raises(SettingsError, match="A_SOURCE_BASE_URL"):
        SourceClient("a_source", limits(url), redact=Redactor(()))


async def test_the_key_is_in_no_failure_log_or_representation(
    api: Api, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
):
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    texts: list[str] = []
    echo = f"We have detected your API key as {KEY}"

    def refuse(answer: Answer) -> pl.DataFrame:
        raise asking().question.failure(
            SchemaMismatch, f"{asking().question.excerpt(answer.body)} {answer.body!r}"
        )

    for body, status, timeout in ((echo, 200, 5), (echo, 500, 5), (echo, 429, 5), (echo, 200, 0.000001)):
        api.answers(body, status=status)
        one = client(api, attempts=2, timeout_seconds=timeout, log=lines.append)
        failure = await failure_of(one, asking(refuse))
        texts += ["".join(traceback.format_exception(failure)), repr(failure), repr(one), repr(vars(one))]
        assert failure.__cause__ is None

    logged = [
        record.getMessage() for record in caplog.records if record.name != "aiohttp.access"
    ]  # the server's
    shown = "\n".join([*texts, *lines, *logged, *(str(warning.message) for warning in recwarn)])
    assert "API key as ***" in shown
    assert any("asking again" in line for line in logged)
    for form in (KEY, "SECRET%2BKEY%2F7", "SECRET%2BKEY/7", "SECRET+KEY"):
        assert form not in shown


async def test_aiohttps_exceptions_are_not_kept_behind_a_failure():
    one = SourceClient("a_source", limits("http://127.0.0.1:1"), redact=Redactor([KEY]), attempts=1)

    failure = await failure_of(one, asking())

    chain: list[BaseException] = [failure]
    while follower := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(follower)
    assert [type(each) for each in chain] == [Unavailable]


async def test_a_fault_is_raised_as_it_is(api: Api):
    api.answers("fine")

    def stumble(_answer: Answer) -> pl.DataFrame:
        raise ZeroDivisionError("a fault")

    async with client(api) as one:
        with pytest.raises(ZeroDivisionError):
            await one.get(asking(stumble))


async def test_a_fault_that_shows_the_key_is_raised_without_it(api: Api):
    api.answers("fine")

    def stumble(_answer: Answer) -> pl.DataFrame:
        raise ValueError(f"cannot read {KEY}")

    async with client(api) as one:
        with pytest.raises(UnexpectedError, match=r"cannot read \*\*\*") as caught:
            await one.get(asking(stumble))

    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_failure_survives_pickling():
    failure = question().failure(Pacing, "too fast", "wait", retry_after=3.0)

    copy = pickle.loads(pickle.dumps(failure))

    assert (str(copy), copy.symbol, copy.retry_after) == (str(failure), "AAPL", 3.0)
