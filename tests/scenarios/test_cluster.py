"""Three instances of two workers each, behind nginx, with one Redis: what holds on one machine holds over all."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web
from attrs import define, field, frozen

from examples.cluster.run import Cluster, cluster
from tests.shared import ROOT, answer, chunks, question, text_of, until

pytestmark = pytest.mark.scenario

FOLDER = ROOT / "examples" / "cluster"
CHAT = "/v1/chat/completions"
FIRST, SECOND = "first-key-of-the-provider", "second-key-of-the-provider"
ALICE, NIGHTLY = "alice-key-of-the-gateway", "nightly-key-of-the-gateway"
LIMIT = 600
"""Requests a minute of alice, as examples/cluster/llmgw.yaml has it."""
TELLING = ("Gran", "ite ", "is ", "heavy.")
TOLD = "".join(TELLING)


# ---- the provider -------------------------------------------------------------------------------


@frozen
class Asked:
    """One request, as the provider saw it."""

    key: str
    model: str
    said: str


@define(eq=False)
class Strict:
    """A provider of two keys, in a thread of its own, that takes nothing but what OpenAI would take, and logs it.

    A model whose name begins with ``held`` is answered when the gate is open; one that begins with ``tired`` is refused the
    first key.
    """

    url: str = ""
    log: list[Asked] = field(factory=list)
    faults: list[str] = field(factory=list)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.new_event_loop)
    _gate: asyncio.Event = field(factory=asyncio.Event)
    _over: asyncio.Event = field(factory=asyncio.Event)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Strict]:
        """One that runs while the context lasts."""
        one, ready = cls(), threading.Event()
        thread = threading.Thread(target=one._serve, args=[ready])
        thread.start()
        assert ready.wait(10)
        try:
            yield one
        finally:
            one._loop.call_soon_threadsafe(one._over.set)
            thread.join(10)

    def open_gate(self) -> None:
        """Answer what was held."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def _serve(self, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run(ready))

    def asked(self, model: str) -> list[Asked]:
        """What was asked of this model."""
        return [one for one in self.log if one.model == model]

    async def _run(self, ready: threading.Event) -> None:
        server = web.Server(self._answer, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1000)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        fault = self._fault(request)
        body = await request.json()
        if fault:
            self.faults.append(fault)
            return _refusal(400, fault)
        key = request.headers["authorization"].removeprefix("Bearer ")
        self.log.append(Asked(key, body["model"], body["messages"][-1]["content"]))
        if body["model"].startswith("tired") and key == FIRST:
            return _refusal(429, "Too many requests.", "30")
        if body["model"].startswith("held"):
            await self._gate.wait()
        return await (self._stream(request) if body.get("stream") else self._whole())

    def _fault(self, request: web.BaseRequest) -> str:
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            return f"{request.method} {request.path}"
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in (FIRST, SECOND):
            return "the key is not one of the two"
        if {"x-session-id", "cookie", "x-forwarded-for"} & {name.lower() for name in request.headers}:
            return "a header of the client's"
        return ""

    async def _whole(self) -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return web.json_response(answer(TOLD))

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for one in chunks(*TELLING):
            await response.write(b"data: " + json.dumps(one).encode() + b"\n\n")
            await asyncio.sleep(0.02)
        await response.write(b"data: [DONE]\n\n")
        return response


def _refusal(status: int, message: str, after: str | None = None) -> web.Response:
    error = {"message": message, "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    return web.json_response({"error": error}, status=status, headers={"retry-after": after} if after else {})


# ---- tools --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def provider() -> Iterator[Strict]:
    """The provider; what it was asked had no fault."""
    with Strict.running() as one:
        yield one
    assert [] == one.faults


@pytest.fixture(scope="module")
def running(provider: Strict) -> Iterator[Cluster]:
    """The cluster of the example; nothing that it logs holds a key or a traceback."""
    with cluster(FOLDER / "llmgw.yaml", env=environment(provider)) as one:
        yield one
        logs = "\n".join(each.log.read_text() for each in one.instances)
    assert "Traceback" not in logs, logs
    assert [] == [key for key in (FIRST, SECOND, ALICE, NIGHTLY) if key in logs]


def environment(provider: Strict) -> dict[str, str]:
    """What the example's configuration takes from the environment."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    keys = {"OPENAI_API_KEY": FIRST, "OPENAI_API_KEY_2": SECOND, "ALICE_KEY": ALICE, "NIGHTLY_KEY": NIGHTLY}
    return {**kept, **keys, "OPENAI_BASE_URL": provider.url}


@asynccontextmanager
async def client(running: Cluster, retries: int) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's own SDK, at nginx."""
    async with openai.AsyncOpenAI(base_url=running.url + "/v1", api_key=NIGHTLY, max_retries=retries, timeout=30) as one:
        yield one


async def ask(url: str, text: str, key: str = NIGHTLY, model: str = "granite", **headers: str) -> tuple[int, Any]:
    """The status and the reply, over a connection of its own."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as http,
        http.post(
            url + CHAT, json=question(text, model=model), headers={"authorization": f"Bearer {key}", **headers}
        ) as response,
    ):
        return response.status, await response.json(content_type=None)


async def said(sdk: openai.AsyncOpenAI, model: str = "granite") -> str:
    """What a whole answer says."""
    reply = await sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "Is it heavy?"}])
    return str(reply.choices[0].message.content)


async def streamed(sdk: openai.AsyncOpenAI, model: str = "granite") -> str:
    """What a streamed answer says, with how it ended."""
    pieces, ends = [], []
    stream = await sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "Is it?"}], stream=True)
    async for each in stream:
        for choice in each.choices:
            pieces.append(choice.delta.content or "")
            ends += [choice.finish_reason] if choice.finish_reason else []
    return "".join(pieces) + ("" if ends == ["stop"] else f" (ended with {ends})")


@define(eq=False)
class Load:
    """Callers who ask again as soon as they have an answer.

    Args:
        answers: how often each answer came, or what was raised.
    """

    answers: dict[str, int] = field(factory=dict)
    over: asyncio.Event = field(factory=asyncio.Event)

    @property
    def count(self) -> int:
        """Of all that ended."""
        return sum(self.answers.values())

    async def caller(self, sdk: openai.AsyncOpenAI, whole: bool) -> None:
        """One of them."""
        while not self.over.is_set():
            try:
                heard = await (said(sdk) if whole else streamed(sdk))
            except openai.OpenAIError as error:
                heard = f"{type(error).__name__}: {error}"[:200]
            self.answers[heard] = self.answers.get(heard, 0) + 1


@asynccontextmanager
async def load(sdk: openai.AsyncOpenAI, callers: int) -> AsyncIterator[Load]:
    """Load while the context lasts, half of it whole answers and half of it streams."""
    made = Load()
    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(made.caller(sdk, whole=number % 2 == 0))
        try:
            yield made
        finally:
            made.over.set()


# ---- what holds over all ------------------------------------------------------------------------


async def test_every_instance_answers(running: Cluster) -> None:
    """nginx answers, and so does each instance by itself."""
    for url in (running.url, *running.urls):
        status, reply = await ask(url, "Is it heavy?")
        assert (200, TOLD) == (status, text_of(reply))


async def test_a_stranger_is_let_in_nowhere(running: Cluster) -> None:
    """Who shows no key of a client is refused, through nginx and by each instance."""
    for url in (running.url, *running.urls):
        assert 401 == (await ask(url, "Is it heavy?", "no-such-key"))[0]


async def test_a_limit_holds_over_all_instances(running: Cluster, provider: Strict) -> None:
    """Who asks for more than its limit gets what the token bucket has held and what has flowed in since, to within 1 %."""
    statuses: list[int] = []
    begin = end = time.monotonic()

    async def caller(http: aiohttp.ClientSession) -> None:
        nonlocal end
        while len(statuses) < LIMIT + 200 or end - begin < 3:
            async with http.post(running.url + CHAT, json=question(model="limited")) as response:
                await response.read()
                statuses.append(response.status)
                end = time.monotonic()

    bearer = {"authorization": f"Bearer {ALICE}"}
    async with aiohttp.ClientSession(headers=bearer) as http, asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(caller(http))

    granted, expected = statuses.count(200), LIMIT + (end - begin) * LIMIT / 60
    assert [] == [one.name for one in running.instances if "is away" in one.log.read_text()], "too busy a machine for this"
    assert {200, 429} == set(statuses)
    assert expected == pytest.approx(granted, rel=0.01)
    assert granted == len(provider.asked("limited"))


async def test_a_key_that_rests_rests_everywhere(running: Cluster, provider: Strict) -> None:
    """A key that one instance was told to leave alone is not tried by the others."""
    first, *others = running.urls
    while FIRST not in {one.key for one in provider.asked("tired")}:  # whichever key is the first one's turn
        assert 200 == (await ask(first, f"Number {len(provider.asked('tired'))}?", model="tired"))[0]
    known = len(provider.asked("tired"))

    statuses = [(await ask(url, f"Here is {number}?", model="tired"))[0] for number in range(8) for url in others]

    assert [200] * 16 == statuses
    assert [SECOND] * 16 == [one.key for one in provider.asked("tired")[known:]]


async def test_a_model_chosen_at_one_instance_is_asked_by_another(running: Cluster, provider: Strict) -> None:
    """``!/model`` holds for its conversation, wherever that goes on, and for no other."""
    first, second, third = running.urls
    status, reply = await ask(first, "!/model(openai:marble)", **{"x-session-id": "quarry"})
    assert (200, True) == (status, "marble" in text_of(reply))

    for url in (second, third):
        assert 200 == (await ask(url, "Is this it?", **{"x-session-id": "quarry"}))[0]
    assert 200 == (await ask(second, "And here?", **{"x-session-id": "elsewhere"}))[0]

    assert ["Is this it?"] * 2 == [one.said for one in provider.asked("marble")]


# ---- what may fail ------------------------------------------------------------------------------


async def test_an_instance_that_dies_loses_nothing_that_may_be_asked_again(running: Cluster, provider: Strict) -> None:
    """SIGKILL in the middle of answers, and calls while it is gone: the SDK's own retries end each of them well."""
    victim = running.instances[1]
    try:
        async with client(running, retries=5) as sdk, asyncio.TaskGroup() as group:
            calls = [group.create_task(said(sdk, "held")) for _ in range(24)]
            await until(lambda: len(provider.asked("held")) == 24, 15)
            await asyncio.to_thread(victim.kill)
            calls += [group.create_task(said(sdk, "held")) for _ in range(24)]
            await until(lambda: len(provider.asked("held")) >= 48, 15)
            provider.open_gate()
        assert [TOLD] * 48 == [each.result() for each in calls]
        assert len(provider.asked("held")) > 48, "the one that was killed had nothing to lose"
    finally:
        assert [victim.name] == await asyncio.to_thread(running.mend)


async def test_an_instance_that_stops_hangs_up_on_nobody(running: Cluster) -> None:
    """Who could connect to it is answered, also at the very moment of its stopping; all others are refused at once.

    On this nginx relies: it asks another instance only where nothing was sent.
    """
    instance, port = running.instances[2], int(running.urls[2].rpartition(":")[2])
    heard: list[str] = []

    async def caller() -> None:
        while not heard or heard[-1] != "refused":
            heard.append(await _health(port))

    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            group.create_task(caller())
        await until(lambda: len(heard) > 200, 10)
        await asyncio.to_thread(instance.stop)
    assert [instance.name] == await asyncio.to_thread(running.mend)
    assert {"200", "refused"} <= set(heard) <= {"200", "503", "refused"}, Counter(heard)


async def _health(port: int) -> str:
    """The status over a connection of its own, or how it failed."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return "refused"
    except ConnectionError as error:  # it was let in and thrown out before we could say a word
        return type(error).__name__
    try:
        writer.write(b"GET /health HTTP/1.1\r\nhost: llmgw\r\nconnection: close\r\n\r\n")
        return (await reader.read(12)).decode().removeprefix("HTTP/1.1 ") or "hung up"
    except ConnectionError as error:
        return type(error).__name__
    finally:
        writer.transport.abort()


async def test_a_rolling_restart_fails_nobody(running: Cluster) -> None:
    """Instances that are restarted one after the other, under load: no request fails, without a client's retries."""
    async with client(running, retries=0) as sdk, load(sdk, 4) as made:
        for number in range(len(running.instances)):
            before = made.count
            await asyncio.to_thread(running.restart, number)
            assert made.count > before + 10, "there was no load"
    assert {TOLD} == set(made.answers), made.answers


async def test_without_redis_all_serve_on(running: Cluster) -> None:
    """When Redis dies, each instance answers with what it knows itself."""
    redis = next(one for one in running.others if one.name == "redis")
    await asyncio.to_thread(redis.kill)
    try:
        assert [200] * 3 == [(await ask(url, "Is it heavy?"))[0] for url in running.urls]
    finally:
        assert [redis.name] == await asyncio.to_thread(running.mend)


# ---- the script ---------------------------------------------------------------------------------


def test_the_script_is_of_use_to_a_person(provider: Strict) -> None:
    """``run.py`` answers where it says, SIGHUP restarts its instances, and Ctrl-C leaves nothing behind."""
    command = [sys.executable, str(FOLDER / "run.py"), "--port", "0", "--instances", "1", "--workers", "1"]
    with subprocess.Popen(command, env=environment(provider), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            (url, *_) = re.findall(r"http://[\d.:]+", process.stdout.readline())
            before = asyncio.run(ask(url, "Is it heavy?"))
            process.send_signal(signal.SIGHUP)
            while "llmgw-1 runs again" not in (line := process.stdout.readline()):
                assert line, "it ended"
            after = asyncio.run(ask(url, "Is it heavy still?"))
        finally:
            process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert [(200, TOLD)] * 2 == [(status, text_of(reply)) for status, reply in (before, after)]
    assert 0 == process.returncode, rest
    with pytest.raises(aiohttp.ClientConnectionError):
        asyncio.run(ask(url, "Is anybody there?"))
