"""``llmgw serve`` as a process: clients that leave, signals, workers, keys, and what it says when it starts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from llmgw.server import SAME_SIGNAL
from llmgw_testing import Answer, Hang, Program, Provider, Wait, raw, stream, whole
from tests.shared import (
    ROLE,
    ROOT,
    answer,
    chunk,
    chunks,
    error_for_all,
    error_in,
    frames,
    question,
    streamed_text,
    text_of,
    until,
)

pytestmark = pytest.mark.scenario

Run = Callable[..., Program]

KEY, GATEWAY_KEY = "acme-key-of-the-provider", "key-of-this-very-gateway"
WITH_KEY = {"LLM_INTERACTIVE_PROXY_API_KEY": GATEWAY_KEY}
BEARER = {"authorization": f"Bearer {GATEWAY_KEY}"}
CHAT = "/v1/chat/completions"
STREAM = question(stream=True)
ECHO = question(model="echo:echo")
IT = chunk({"content": "It"})
DONE = "[DONE]"
HANGING = stream(ROLE, IT, Hang())


# ---- tools --------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, provider: Provider) -> Path:
    """A configuration with the scripted provider and echo."""
    return written(tmp_path / "llmgw.yaml", provider)


def written(file: Path, provider: Provider, name: str = "acme", **proxy: Any) -> Path:
    """Write such a configuration."""
    acme = {"type": "openai-compatible", "base_url": provider.base_url, "api_key": "env:ACME_KEY"}
    file.write_text(yaml.safe_dump({"proxy": proxy, "backends": {name: acme, "echo": {}}}))
    return file


@pytest.fixture
def run(serve: Callable[..., Program]) -> Iterator[Run]:
    """``run("--config", file, env=…)`` starts ``llmgw serve``; what it logs holds no key and no traceback."""
    programs: list[Program] = []

    def start(*options: object, env: Mapping[str, str] | None = None) -> Program:
        programs.append(serve(*map(str, options), env={"ACME_KEY": KEY, **(env or {})}))
        return programs[-1]

    yield start
    for program in programs:
        log = program.log.read_text()
        assert "Traceback" not in log, log
        assert [] == [key for key in (KEY, GATEWAY_KEY) if key in log + program.banner]


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client, whose connections are each used once."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(20)) as one:
        yield one


@pytest_asyncio.fixture
async def other() -> AsyncIterator[Provider]:
    """Another provider."""
    async with Provider.start() as one:
        yield one


async def ask(http: aiohttp.ClientSession, program: Program, body: Any = ECHO, **headers: str) -> tuple[int, Any]:
    """The status, and the reply as JSON or as text."""
    async with http.post(program.url + CHAT, json=body, headers=headers) as response:
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.content_type else text


async def begun(http: aiohttp.ClientSession, program: Program, provider: Provider) -> tuple[aiohttp.ClientResponse, bytes]:
    """A stream of which something has arrived, and that."""
    response = await http.post(program.url + CHAT, json=STREAM)
    first = await response.content.readany()
    assert 200 == response.status, first
    return response, first


def address(program: Program) -> tuple[str, int]:
    """Where it listens."""
    host, _, port = program.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def accepts(program: Program, host: str | None = None) -> bool:
    """Whether it takes a new connection, there or at another address of this machine."""
    own, port = address(program)
    with contextlib.suppress(OSError), socket.create_connection((host or own, port), timeout=2):
        return True
    return False


async def ended(program: Program, patience: float = 10.0) -> int:
    """Its exit code, once it has ended."""
    await until(lambda: program.process.poll() is not None, patience)
    return int(program.process.returncode)


def llmgw(*words: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "llmgw.cli", *map(str, words)]
    return subprocess.run(command, env=dict(env or {}), capture_output=True, text=True, timeout=30, check=False)


class Connection:
    """One connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, program: Program) -> AsyncIterator[Connection]:
        """Open one."""
        reader, writer = await asyncio.open_connection(*address(program))
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(self, method: str = "GET", path: str = "/health", body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of one request."""
        self.send(method, path, body)
        return await self.answered()

    def send(self, method: str, path: str, body: Any = None) -> None:
        """Send one request."""
        data = b"" if body is None else json.dumps(body).encode()
        self._writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)

    async def answered(self, patience: float = 10) -> tuple[int, Any]:
        """The next response, which has a content-length."""
        async with asyncio.timeout(patience):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = re.search(r"content-length: (\d+)", head)
            assert size is not None, head
            return int(head.split(" ")[1]), json.loads(await self._reader.readexactly(int(size[1])))


# ---- a client that leaves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(STREAM, HANGING, id="stream"),
        pytest.param(STREAM, raw(Hang()), id="stream, before the head"),
        pytest.param(STREAM, stream(ROLE, Hang()), id="stream, before anything meaningful"),
        pytest.param(question(), raw(Hang()), id="whole, before the head"),
        pytest.param(
            question(), Answer((b'{"id": ', Hang()), headers={"content-type": "application/json"}), id="whole, in the body"
        ),
        pytest.param(question(), HANGING, id="whole, from a stream"),
    ],
)
async def test_leaving(run: Run, file: Path, provider: Provider, body: Any, said: Answer, record_property: Any) -> None:
    """When the client leaves, the provider's connection is closed at once: within 0.1 s, and never behind 1 s."""
    program = run("--config", file)
    provider.answers(said)
    took = []
    for _ in range(5):
        provider.asked.clear()
        provider.left.clear()
        async with Connection.to(program) as client:
            client.send("POST", CHAT, body)
            await asyncio.wait_for(provider.asked.wait(), 5)
            await asyncio.sleep(0.05)  # what the provider says is read by nobody who could tell
        begin = time.monotonic()
        await asyncio.wait_for(provider.left.wait(), 5)
        took.append(time.monotonic() - begin)

    record_property("seconds", took)
    print(f"the provider's connection was closed after {', '.join(f'{1000 * each:.1f}' for each in took)} ms")
    assert 1 > max(took)
    assert 0.1 > sorted(took)[2]


async def test_leaving_a_stream_that_runs(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """The same while the provider talks on and on."""
    program = run("--config", file)
    provider.answers(stream(ROLE, *[chunk({"content": "x" * 1000})] * 20_000))

    response, _ = await begun(http, program, provider)
    response.close()

    await asyncio.wait_for(provider.left.wait(), 1)


# ---- the graceful stop --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession, number: signal.Signals) -> None:
    """Told to stop, it takes no new connection, lets a running stream come to its end, and ends with 0."""
    program, go = run("--config", file), asyncio.Event()
    provider.answers(stream(ROLE, IT, Wait(go), chunk({"content": " is."}), chunk({}, "stop"), DONE))
    response, first = await begun(http, program, provider)

    program.process.send_signal(number)
    await until(lambda: not accepts(program))
    running = program.process.poll()
    go.set()
    text = (first + await response.read()).decode()

    assert running is None
    assert ("It is.", DONE) == (streamed_text(text), frames(text)[-1])
    assert 0 == await ended(program)


async def test_stop_when_idle(run: Run, file: Path) -> None:
    """With nothing to do it stops at once, whoever keeps a connection open."""
    program = run("--config", file)
    async with Connection.to(program) as kept:
        assert 200 == (await kept.ask())[0]
        program.process.send_signal(signal.SIGTERM)

        assert 0 == await ended(program, 3)


async def test_stop_with_a_whole_reply_running(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """A whole reply that is being waited for comes to its end too."""
    program, go = run("--config", file), asyncio.Event()
    data = json.dumps(answer("It is.")).encode()
    provider.answers(Answer((data[:10], Wait(go), data[10:]), headers={"content-type": "application/json"}))

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(ask(http, program, question()))
        await provider.asked.wait()
        program.process.send_signal(signal.SIGTERM)
        await until(lambda: not accepts(program))
        go.set()

    assert "It is." == text_of(asking.result()[1])
    assert 0 == await ended(program)


async def test_grace_ends_a_stream(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """When the grace is over, a stream ends with an error in the stream, and without ``[DONE]``; the exit code is 0."""
    program = run("--config", file, "--grace", "0.3")
    provider.answers(HANGING)
    response, first = await begun(http, program, provider)

    program.process.send_signal(signal.SIGTERM)
    told = frames((first + await response.read()).decode())

    assert DONE not in told
    assert "stopping" in error_in(told[-1])["message"]
    assert 0 == await ended(program)


async def test_grace_ends_a_whole_reply(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """When the grace is over, who waits for a whole reply gets 503; the exit code is 0."""
    program = run("--config", file, "--grace", "0.3")
    provider.answers(raw(Hang()))

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(ask(http, program, question()))
        await provider.asked.wait()
        program.process.send_signal(signal.SIGTERM)

    status, body = asking.result()
    assert (503, True) == (status, "stopping" in error_in(body)["message"])
    assert 0 == await ended(program)


async def test_second_signal(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """Told again, a while later, it does not wait for the grace to be over; the client still hears why."""
    program = run("--config", file, "--grace", "60")
    provider.answers(HANGING)
    response, first = await begun(http, program, provider)
    program.process.send_signal(signal.SIGTERM)
    await until(lambda: not accepts(program))

    begin = time.monotonic()
    await until(lambda: time.monotonic() - begin > SAME_SIGNAL)  # one at once would be taken for the first
    program.process.send_signal(signal.SIGTERM)
    told = frames((first + await response.read()).decode())

    assert "stopping" in error_in(told[-1])["message"]
    assert 0 == await ended(program, 3)


async def test_health_while_stopping(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """While it stops, ``/health`` says so with 503, on a connection that was there before."""
    program = run("--config", file)
    provider.answers(HANGING)
    async with Connection.to(program) as kept:
        assert (200, "ok") == ((before := await kept.ask())[0], before[1]["status"])
        response, _ = await begun(http, program, provider)
        program.process.send_signal(signal.SIGTERM)
        await until(lambda: not accepts(program))

        status, body = await kept.ask()

        assert (503, "unavailable", "stopping") == (status, body["status"], body["why"])
        response.close()
    assert 0 == await ended(program)


async def test_request_while_stopping(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """While it stops, who asks over a connection that was there before is still answered; then the connection is closed."""
    program = run("--config", file)
    provider.answers(HANGING)
    async with Connection.to(program) as kept:
        assert 200 == (await kept.ask())[0]
        response, _ = await begun(http, program, provider)
        program.process.send_signal(signal.SIGTERM)
        await until(lambda: not accepts(program))

        status, body = await kept.ask("POST", CHAT, ECHO)

        assert (200, True) == (status, "This is echo" in text_of(body))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await kept.ask()
        response.close()
    assert 0 == await ended(program)


# ---- reload -------------------------------------------------------------------------------------


def change(file: Path, text: str | None) -> None:
    """Write over a file, or remove it."""
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


async def reloaded(program: Program, word: str = "INFO    llmgw: reloaded") -> None:
    """Send SIGHUP, and wait until the log says what came of it."""
    before = program.log.read_text().count(word)
    program.process.send_signal(signal.SIGHUP)
    await until(lambda: program.log.read_text().count(word) > before)


async def test_reload(run: Run, file: Path, provider: Provider, other: Provider, http: aiohttp.ClientSession) -> None:
    """After SIGHUP new requests see the new configuration, while a running stream comes to its end on the old one."""
    program, go = run("--config", file), asyncio.Event()
    provider.answers(stream(ROLE, IT, Wait(go), chunk({"content": " is."}), chunk({}, "stop"), DONE))
    other.answers(whole(answer("I am new.")))
    response, first = await begun(http, program, provider)

    written(file, other, "zinc")
    await reloaded(program)
    status, body = await ask(http, program, question(model="zinc:anvil"))
    go.set()
    text = (first + await response.read()).decode()

    assert (200, "I am new.") == (status, text_of(body))
    assert "It is." == streamed_text(text)
    assert (1, 1) == (len(provider.seen), len(other.seen))


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        pytest.param("backends: {acme: {tpye: openai}}", "tpye", id="misspelt"),
        pytest.param("backends: [", "llmgw.yaml", id="no YAML"),
        pytest.param("default_backend: nobody", "default_backend", id="names nobody"),
        pytest.param(None, "llmgw.yaml", id="gone"),
    ],
)
async def test_broken_reload(run: Run, file: Path, http: aiohttp.ClientSession, broken: str | None, why: str) -> None:
    """A broken file changes nothing on SIGHUP, and the log says why."""
    program = run("--config", file)
    change(file, broken)

    await reloaded(program, "not reloaded")

    assert 200 == (await ask(http, program))[0]
    assert why in program.log.read_text().partition("not reloaded")[2]


async def test_reload_keeps_connections(run: Run, file: Path, provider: Provider) -> None:
    """A client's connection survives a reload, and what it asks then is answered by the new configuration."""
    program = run("--config", file)
    provider.answers(whole(answer()))
    async with Connection.to(program) as kept:
        assert 200 == (await kept.ask("POST", CHAT, question()))[0]
        written(file, provider, "zinc")
        await reloaded(program)

        assert 200 == (await kept.ask("POST", CHAT, question(model="zinc:anvil")))[0]


async def test_many_reloads(run: Run, file: Path, http: aiohttp.ClientSession) -> None:
    """Reloads one behind the other under load lose no request."""
    program = run("--config", file)
    over = asyncio.Event()
    statuses: list[int] = []

    async def load() -> None:
        while not over.is_set():
            statuses.append((await ask(http, program))[0])

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(load())
        for _ in range(8):
            await reloaded(program)
        over.set()

    assert {200} == set(statuses)
    assert 8 <= len(statuses)


# ---- health -------------------------------------------------------------------------------------


def test_health(run: Run, file: Path) -> None:
    """``/health`` says that it serves."""
    status, body = run("--config", file).get("/health")

    assert (200, "ok") == (status, body["status"])


# ---- workers ------------------------------------------------------------------------------------


def workers(program: Program) -> set[int]:
    """The processes that serve."""
    pid = program.process.pid
    with contextlib.suppress(OSError):
        return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


def sockets(pid: int) -> int:
    """How many sockets a process holds."""
    with contextlib.suppress(OSError):
        return sum(one.readlink().name.startswith("socket:") for one in Path(f"/proc/{pid}/fd").iterdir())
    return 0


async def all_serve(program: Program) -> set[int]:
    """The two workers, once each of them listens: beside a socket for that, a loop has a pair of its own."""
    await until(lambda: len(workers(program)) == 2 and all(sockets(pid) >= 3 for pid in workers(program)), 10)
    return workers(program)


linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes through /proc")


@linux
async def test_workers_share_a_port(run: Run, file: Path) -> None:
    """Two workers serve on one port, and connections are spread over both."""
    program = run("--config", file, "--workers", "2")
    idle = {pid: sockets(pid) for pid in await all_serve(program)}

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(40):
            kept = await stack.enter_async_context(Connection.to(program))
            assert 200 == (await kept.ask())[0]
        more = {pid: sockets(pid) - count for pid, count in idle.items()}

    assert 40 == sum(more.values())
    assert 0 < min(more.values())


@linux
async def test_workers_number_exchanges(run: Run, file: Path, http: aiohttp.ClientSession) -> None:
    """No two exchanges have the same id, whichever worker had them."""
    program = run("--config", file, "--workers", "2")

    async def one() -> str:
        async with http.post(program.url + CHAT, json=ECHO) as response:
            return response.headers["x-llmgw-exchange"]

    ids = [await one() for _ in range(40)]

    assert 40 == len(set(ids))


@linux
async def test_killed_worker_is_replaced(run: Run, file: Path, http: aiohttp.ClientSession) -> None:
    """A worker that is killed is replaced, the log says so, and the port serves on."""
    program = run("--config", file, "--workers", "2")
    before = await all_serve(program)
    victim = min(before)

    os.kill(victim, signal.SIGKILL)
    await until(lambda: len(workers(program) - before) == 1)
    await all_serve(program)

    assert {200} == {(await ask(http, program))[0] for _ in range(20)}
    assert f"(pid {victim}) ended with -9 and is replaced" in program.log.read_text()


@linux
async def test_workers_stop(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """SIGTERM reaches all workers: streams at each come to their end, none is left, and the exit code is 0."""
    program, go = run("--config", file, "--workers", "2"), asyncio.Event()
    provider.answers(stream(ROLE, IT, Wait(go), chunk({"content": " is."}), chunk({}, "stop"), DONE))
    pids = await all_serve(program)
    running = [await begun(http, program, provider) for _ in range(12)]

    program.process.send_signal(signal.SIGTERM)
    await until(lambda: not accepts(program))
    go.set()
    texts = [streamed_text((first + await response.read()).decode()) for response, first in running]

    assert ["It is."] * 12 == texts
    assert 0 == await ended(program)
    assert [] == [pid for pid in pids if sockets(pid)]


@linux
async def test_a_group_told_to_stop(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """A SIGTERM to all processes at once, as systemd sends it, still lets a stream come to its end."""
    program, go = run("--config", file, "--workers", "2"), asyncio.Event()
    provider.answers(stream(ROLE, IT, Wait(go), chunk({"content": " is."}), chunk({}, "stop"), DONE))
    await all_serve(program)
    response, first = await begun(http, program, provider)

    os.killpg(program.process.pid, signal.SIGTERM)
    await until(lambda: not accepts(program))
    go.set()

    assert "It is." == streamed_text((first + await response.read()).decode())
    assert 0 == await ended(program)


def swapped(file: Path, text: str) -> str:
    """What the file said before it says this."""
    before = file.read_text()
    file.write_text(text)
    return before


@linux
async def test_a_worker_that_cannot_be_replaced(run: Run, file: Path) -> None:
    """While the file is broken a dead worker is not replaced, the log says why, and the other one serves on."""
    program = run("--config", file, "--workers", "2")
    before = await all_serve(program)

    good = swapped(file, "filters: [nothing]")
    os.kill(min(before), signal.SIGKILL)
    await until(lambda: program.log.read_text().count("cannot start: no plugin 'nothing' is installed") >= 2, 20)
    assert 200 == program.get("/health")[0]

    swapped(file, good)
    await until(lambda: len(workers(program)) == 2 and program.get("/health")[0] == 200, 20)
    await all_serve(program)


@linux
async def test_workers_do_not_outlive_their_supervisor(run: Run, file: Path) -> None:
    """When the supervisor is killed its workers stop: nobody else would tell them, and the port would stay taken."""
    program = run("--config", file, "--workers", "2")
    before = await all_serve(program)

    program.process.kill()
    await until(lambda: not any(sockets(pid) for pid in before), 20)


@linux
async def test_workers_reload(run: Run, file: Path, provider: Provider, http: aiohttp.ClientSession) -> None:
    """SIGHUP reaches all workers."""
    program = run("--config", file, "--workers", "2")
    await all_serve(program)
    provider.answers(whole(answer()))
    written(file, provider, "zinc")

    program.process.send_signal(signal.SIGHUP)
    await until(lambda: program.log.read_text().count("llmgw: reloaded") == 2)

    assert {200} == {(await ask(http, program, question(model="zinc:anvil")))[0] for _ in range(20)}
    assert {"anvil"} == {seen.json["model"] for seen in provider.seen}


# ---- who may come in ----------------------------------------------------------------------------

FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "Bearer": ("", {"Authorization": f"Bearer {GATEWAY_KEY}"}),
    "bearer": ("", {"authorization": f"bearer {GATEWAY_KEY}"}),
    "BEARER": ("", {"AUTHORIZATION": f"BEARER {GATEWAY_KEY}"}),
    "spaces": ("", {"authorization": f"Bearer   {GATEWAY_KEY} "}),
    "x-api-key": ("", {"x-api-key": GATEWAY_KEY}),
    "x-goog-api-key": ("", {"X-Goog-Api-Key": GATEWAY_KEY}),
    "query": (f"?key={GATEWAY_KEY}", {}),
    "beside a wrong one": ("", {"authorization": "Bearer not-used", "x-api-key": GATEWAY_KEY}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def listener() -> AsyncIterator[Provider]:
    """A provider for the gateway that asks for a key."""
    async with Provider.start() as one:
        yield one


@pytest.fixture(scope="module")
def guarded(listener: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A gateway that asks for a key; what it logs, at the most talkative, holds none."""
    folder = tmp_path_factory.mktemp("guarded")
    config = written(folder / "llmgw.yaml", listener)
    env, log = {"ACME_KEY": KEY, **WITH_KEY}, folder / "serve.log"
    with Program.serve("--config", str(config), "--log-level", "debug", env=env, log=log) as program:
        yield program
    assert [] == [key for key in (KEY, GATEWAY_KEY) if key in log.read_text() + program.banner]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("form", FORMS)
async def test_key(guarded: Program, listener: Provider, form: str) -> None:
    """The gateway's key lets in, however a client sends it, and none of it goes to the provider, who gets its own."""
    query, headers = FORMS[form]
    listener.seen.clear()
    listener.answers(whole(answer()))

    async with (
        aiohttp.ClientSession() as http,
        http.post(guarded.url + CHAT + query, json=question(), headers=headers) as response,
    ):
        status = response.status

    (seen,) = listener.seen
    assert (200, f"Bearer {KEY}") == (status, seen.headers["authorization"])
    assert GATEWAY_KEY not in json.dumps(dict(seen.headers)) + seen.path + seen.body.decode()
    assert set() == {"x-api-key", "x-goog-api-key"} & seen.headers.keys()


WRONG = {
    "none": ("", {}),
    "wrong": ("", {"authorization": "Bearer wrong"}),
    "empty": ("", {"authorization": "Bearer "}),
    "no scheme": ("", {"authorization": GATEWAY_KEY}),
    "basic": ("", {"authorization": f"Basic {GATEWAY_KEY}"}),
    "longer": ("", {"authorization": f"Bearer {GATEWAY_KEY}x"}),
    "shorter": ("", {"x-api-key": GATEWAY_KEY[:-1]}),
    "other case": ("", {"x-api-key": GATEWAY_KEY.upper()}),
    "query": ("?key=wrong", {}),
    "not ASCII": ("?key=%ff%00ü", {}),
    "the provider's": ("", {"authorization": f"Bearer {KEY}"}),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("GET", "/v1/models"), ("GET", "/v1/models/echo:echo")])
async def test_wrong_key(guarded: Program, listener: Provider, wrong: str, method: str, path: str) -> None:
    """Without the key, or with another, the answer is 401 in the client's shape, if that can be told; no provider is asked."""
    query, headers = WRONG[wrong]
    listener.seen.clear()

    async with aiohttp.ClientSession() as http:
        body = json.dumps(question()) if method == "POST" else None
        async with http.request(method, guarded.url + path + query, data=body, headers=headers) as response:
            status, scheme, said = response.status, response.headers["www-authenticate"], await response.json()

    assert (401, "Bearer") == (status, scheme)
    if method == "POST":
        assert "invalid_api_key" == error_in(said)["code"]
    elif "?key=" in query:  # as only Gemini's clients send it
        assert {"error"} == said.keys() and "UNAUTHENTICATED" == said["error"]["status"]
    else:
        assert "invalid_api_key" == error_for_all(said)["code"]
    assert [] == listener.seen


def test_health_is_open(guarded: Program) -> None:
    """``/health`` asks nobody for a key."""
    assert 200 == guarded.get("/health")[0]


@pytest.mark.parametrize(
    ("options", "env", "note"),
    [
        pytest.param(["--disable-auth"], WITH_KEY, "authentication is disabled", id="disabled"),
        pytest.param([], {}, "nobody is asked for a key", id="no key"),
        pytest.param(
            ["--disable-auth", "--i-know-this-is-open"], WITH_KEY, "authentication is disabled", id="disabled, and known"
        ),
    ],
)
async def test_open_is_local(
    run: Run, file: Path, http: aiohttp.ClientSession, options: list[str], env: dict[str, str], note: str
) -> None:
    """Where nobody is asked for a key, 127.0.0.1 alone is served whatever was asked for, and the banner says why."""
    program = run("--config", file, "--host", "0.0.0.0", *options, env=env)

    assert "127.0.0.1" == address(program)[0]
    assert not accepts(program, "127.0.0.2")
    assert 200 == (await ask(http, program))[0]
    assert note in program.process.stdout.readline()  # type: ignore[union-attr]  # it is a pipe


@pytest.mark.parametrize(
    ("options", "env"), [pytest.param([], WITH_KEY, id="key"), pytest.param(["--i-know-this-is-open"], {}, id="known")]
)
def test_everywhere(run: Run, file: Path, options: list[str], env: dict[str, str]) -> None:
    """With a key, or where somebody says that they know, every address of the machine is served."""
    program = run("--config", file, "--host", "0.0.0.0", *options, env=env)

    assert accepts(program, "127.0.0.1") and accepts(program, "127.0.0.2")


# ---- the start ----------------------------------------------------------------------------------


def test_banner(run: Run) -> None:
    """Five lines say where it listens, which back-ends found their key, and what to try; never a key."""
    keys = {"OPENAI_API_KEY": "sk-one-of-many-keys", "DEEPSEEK_API_KEY": "sk-another-of-many"}

    program = run(env=keys | WITH_KEY)

    assert 5 == len(program.banner.splitlines())
    assert "openai (key from OPENAI_API_KEY)" in program.banner and "deepseek (key from DEEPSEEK_API_KEY)" in program.banner
    assert "asks for a key" in program.banner
    assert [] == [key for key in (*keys.values(), GATEWAY_KEY) if key in program.banner + program.log.read_text()]


def test_banner_can_be_tried(run: Run) -> None:
    """What the banner says to try works as it stands."""
    program = run()
    (line,) = [line for line in program.banner.splitlines() if line.strip().startswith("try ")]

    said = json.loads(curl(line.strip().removeprefix("try ").strip()))
    assert "This is echo" in said["content"][0]["text"]


@pytest.mark.parametrize("workers_", ["1", "2"])
def test_taken_port(file: Path, workers_: str) -> None:
    """A port that is taken ends the start with 1, and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended_ = llmgw("serve", "--config", file, "--port", taken.getsockname()[1], "--workers", workers_, env={"ACME_KEY": KEY})

    assert (1, "") == (ended_.returncode, ended_.stdout)
    assert "--port" in ended_.stderr and "Traceback" not in ended_.stderr


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("backends: {acme: {tpye: openai}}", "@ backends.acme", id="unknown key"),
        pytest.param("proxy: {prot: 1}", "@ proxy", id="unknown key of the proxy"),
        pytest.param("proxy: {heartbeat: often}", "@ proxy.heartbeat", id="wrong type"),
        pytest.param("default_backend: nobody", "@ default_backend", id="names nobody"),
        pytest.param("backends: {openai: {api_key: sk-literal-key-1234567890}}", "@ backends.openai.api_key", id="literal key"),
        pytest.param("backends: [", "bad.yaml", id="no YAML"),
        pytest.param("frontends: [gopher]", "@ frontends[0]", id="no such plugin"),
    ],
)
def test_bad_configuration(tmp_path: Path, text: str, place: str) -> None:
    """A bad configuration ends the start with 2, names the place, and gives no key away."""
    file = tmp_path / "bad.yaml"
    file.write_text(text)

    ended_ = llmgw("serve", "--config", file, "--port", "0")

    assert (2, "") == (ended_.returncode, ended_.stdout)
    assert place in ended_.stderr
    assert "Traceback" not in ended_.stderr and "sk-literal" not in ended_.stderr


@pytest.mark.parametrize("words", [["--config", "/nowhere/llmgw.yaml"], ["--workers", "0"], ["--port", "70000"], ["--prot", "1"]])
def test_bad_command_line(words: list[str]) -> None:
    """So does a command line that cannot be."""
    ended_ = llmgw("serve", *words)

    assert (2, "") == (ended_.returncode, ended_.stdout)
    assert words[-1 if words[0] == "--config" else 0].lstrip("-") in ended_.stderr
    assert "Traceback" not in ended_.stderr


# ---- what the README promises -------------------------------------------------------------------

README = (ROOT / "README.md").read_text()


def blocks(kind: str) -> list[str]:
    """The README's blocks of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def curl(line: str) -> bytes:
    """What a curl line gets; an equal request makes do where there is no curl."""
    command = shlex.split(line)
    if shutil.which("curl"):
        return subprocess.run([*command, "--silent", "--show-error", "--fail"], capture_output=True, check=True).stdout
    url, body = command[1], command[command.index("-d") + 1]
    with urllib.request.urlopen(urllib.request.Request(url, body.encode())) as response:
        data: bytes = response.read()
        return data


def test_readme_curl(run: Run) -> None:
    """With no key and no file, the README's first request is answered by echo."""
    (line,) = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("curl ")]
    program = run()

    reply = json.loads(curl(line.replace("http://127.0.0.1:8000", program.url)))

    assert "Last message (user): Hello" in text_of(reply)


@pytest.mark.parametrize("env", [{}, {"OPENAI_API_KEY": "sk-one-of-many-keys"} | WITH_KEY], ids=["no keys", "keys"])
def test_readme_yaml(run: Run, tmp_path: Path, env: dict[str, str]) -> None:
    """The README's configuration starts as it stands, with the keys it needs and without."""
    file = tmp_path / "llmgw.yaml"
    file.write_text(blocks("yaml")[0])

    program = run("--config", file, env=env)

    assert 200 == program.get("/health")[0]
    assert "openai (" in program.banner and "local (" in program.banner
    assert ("0.0.0.0" if env else "127.0.0.1") == address(program)[0]


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"OPENAI_API_KEY": "sk-one-of-many-keys"}, id="OpenAI"),
        pytest.param({"GROQ_API_KEY": "gsk_x", "DEEPSEEK_API_KEY": "sk-y", **WITH_KEY}, id="several"),
    ],
)
def test_init(tmp_path: Path, env: dict[str, str]) -> None:
    """What ``llmgw init`` writes passes ``llmgw check``, and holds no key."""
    file = tmp_path / "llmgw.yaml"

    made, checked = llmgw("init", file, env=env), llmgw("check", "--config", file, env=env)

    assert (0, 0) == (made.returncode, checked.returncode), made.stderr + checked.stderr
    assert checked.stdout.startswith("good: ")
    assert [] == [key for key in env.values() if key in file.read_text()]


# ---- heartbeats ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before", [pytest.param((), id="before the first token"), pytest.param((ROLE, IT), id="behind the first token")]
)
async def test_heartbeats(run: Run, tmp_path: Path, provider: Provider, before: tuple[Any, ...]) -> None:
    """While the provider is silent the client hears ``: keep-alive``, before the first token too, and then the reply."""
    file, go = written(tmp_path / "llmgw.yaml", provider, heartbeat=0.5, commit_delay=0.5), asyncio.Event()
    program = run("--config", file)
    provider.answers(stream(*before, Wait(go), *chunks("It", " is.")[0 if not before else 2 :], DONE))

    async with aiohttp.ClientSession() as http, http.post(program.url + CHAT, json=STREAM) as response:
        data = b""
        async with asyncio.timeout(6):
            while data.count(b": keep-alive\n\n") < 2:
                data += await response.content.readany()
        go.set()
        data += await response.read()

    text = data.decode()
    assert 200 == response.status
    assert ("It is.", DONE) == (streamed_text(text), frames(text)[-1])


async def test_no_heartbeat_in_a_whole_reply(run: Run, tmp_path: Path, provider: Provider) -> None:
    """Who waits for a whole reply hears nothing before it, so that a late failure keeps its status."""
    file, go = written(tmp_path / "llmgw.yaml", provider, heartbeat=0.5, commit_delay=0.5), asyncio.Event()
    program = run("--config", file)
    provider.answers(raw(Wait(go), b"garbage\r\n\r\n"))

    async with Connection.to(program) as client:
        client.send("POST", CHAT, question())
        with pytest.raises(TimeoutError):
            await client.answered(patience=2.5)
        go.set()
        status, body = await client.answered()

    assert (502, "upstream_error") == (status, error_in(body)["code"])


# ---- who is at the door when it stops -----------------------------------------------------------

LONG = json.dumps(question("hi " * 100_000, model="echo:echo")).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
    LONG
)


async def test_who_connected_before_it_stops_is_answered(run: Run, file: Path) -> None:
    """A connection that was made before SIGTERM, and says what it wants only then."""
    program = run("--config", file)
    reader, writer = await asyncio.open_connection(*address(program))
    program.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    writer.write(HEAD + LONG)
    assert b"HTTP/1.1 200" == await reader.readexactly(12)
    writer.transport.abort()


async def test_a_body_that_comes_late_is_read_while_it_stops(run: Run, file: Path) -> None:
    """The rest of a body is read though its head came while the gateway stops; the answer says that the connection ends."""
    program = run("--config", file)
    reader, writer = await asyncio.open_connection(*address(program))
    program.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    writer.write(HEAD)
    await asyncio.sleep(0.05)
    writer.write(LONG)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and b"\r\nconnection: close\r\n" in head.lower()
    writer.transport.abort()
