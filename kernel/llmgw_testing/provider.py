"""A scripted provider on a real socket: it says what the test wrote, cut, broken or silent where the test wants it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field, frozen


@frozen(eq=False)
class Wait:
    """Go on when the event is set."""

    event: asyncio.Event


@frozen
class Break:
    """Cut the connection here."""


@frozen
class Hang:
    """Say nothing more, and keep the connection."""


Step = bytes | Wait | Break | Hang


@frozen
class Answer:
    """One answer: a head, and the steps of a body.

    Args:
        steps: pieces of the body, each sent for itself, and what happens between them.
        status: HTTP status.
        headers: besides those that frame the body.
        chunked: send the body in HTTP chunks, as streams are; else with its length.
        verbatim: the steps are the whole answer, head and all.
    """

    steps: tuple[Step, ...]
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    chunked: bool = False
    verbatim: bool = False


def whole(body: Any, status: int = 200, **headers: str) -> Answer:
    """A whole answer; what is not bytes is written as JSON. Header names are given with ``_`` for ``-``."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer((data,), status, {"content-type": "application/json"} | _named(headers))


def stream(*steps: Step | str | dict[str, Any], status: int = 200, **headers: str) -> Answer:
    """A streamed answer; a dict becomes an SSE frame with that JSON, a str one with that text."""
    framed = tuple(_frame(step) for step in steps)
    return Answer(framed, status, {"content-type": "text/event-stream"} | _named(headers), chunked=True)


def raw(*steps: Step) -> Answer:
    """Bytes that are no HTTP, or not such as a library would send."""
    return Answer(steps, verbatim=True)


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _frame(step: Step | str | dict[str, Any]) -> Step:
    if isinstance(step, dict):
        return b"data: " + json.dumps(step).encode() + b"\n\n"
    return f"data: {step}\n\n".encode() if isinstance(step, str) else step


@frozen
class Seen:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@define(eq=False)
class Provider:
    """Gives its answers in their order, the last one again and again, and keeps what it was asked."""

    base_url: str = ""
    seen: list[Seen] = field(factory=list)
    left: asyncio.Event = field(factory=asyncio.Event)
    """Set when the other side has closed a connection in the middle of an answer."""
    asked: asyncio.Event = field(factory=asyncio.Event)
    """Set when a request has arrived."""
    connections: int = 0
    _answers: deque[Answer] = field(factory=deque)
    _open: set[asyncio.StreamWriter] = field(factory=set)

    def answers(self, *answers: Answer) -> None:
        """Say these from now on."""
        self._answers = deque(answers)

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Provider]:
        """A provider on a free port of this machine."""
        provider = cls()
        server = await asyncio.start_server(provider._serve, "127.0.0.1", 0)
        provider.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield provider
        finally:
            server.close()
            for writer in tuple(provider._open):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while (seen := await _read(reader)) is not None:
                self.seen.append(seen)
                self.asked.set()
                answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
                if not await self._say(answer, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _say(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can be used again."""
        if not answer.verbatim:
            writer.write(_head(answer))
        for step in answer.steps:
            match step:
                case bytes():
                    writer.write(b"%x\r\n%b\r\n" % (len(step), step) if answer.chunked else step)
                    await writer.drain()
                case Wait(event):
                    if not await self._until(event.wait(), reader):
                        return False
                case Hang():
                    await self._until(asyncio.Event().wait(), reader)
                    return False
                case Break():
                    return False
        if answer.chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return not answer.verbatim

    async def _until(self, waited: Coroutine[Any, Any, Any], reader: asyncio.StreamReader) -> bool:
        """Wait, but not for longer than the other side is there."""
        gone, done = asyncio.ensure_future(reader.read(1)), asyncio.ensure_future(waited)
        await asyncio.wait({gone, done}, return_when=asyncio.FIRST_COMPLETED)
        still_there: bool = done.done()
        done.cancel()
        gone.cancel()
        await asyncio.gather(done, gone, return_exceptions=True)  # or the reader is still busy with the cancelled read
        if not still_there:
            self.left.set()
        return still_there


def _head(answer: Answer) -> bytes:
    length = sum(len(step) for step in answer.steps if isinstance(step, bytes))
    ends = all(isinstance(step, bytes | Wait) for step in answer.steps)
    framing = {"transfer-encoding": "chunked"} if answer.chunked else {"content-length": str(length if ends else length + 1)}
    headers = [f"{name}: {value}" for name, value in (framing | dict(answer.headers)).items()]
    return "\r\n".join([f"HTTP/1.1 {answer.status} Scripted", *headers, "", ""]).encode()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    method, path, _ = first.split(" ")
    body = await _chunks(reader) if "chunked" in headers.get("transfer-encoding", "") else b""
    body = body or await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    pieces: list[bytes] = []
    while size := int(await reader.readline(), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(pieces)
