"""A gateway between a client that says anything and a provider that says anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp
from attrs import define, frozen

from llmgw_testing import Provider, RunningGateway, whole
from tests.shared import answer, error_in, question, text_of, until

KEY = "acme-key-of-the-provider"
"""The back-end's key."""
CHAT = "/v1/chat/completions"


def config(provider: Provider, **proxy: Any) -> dict[str, Any]:
    """A deployment with the scripted provider, to which bare names go, and echo."""
    acme = {"type": "openai-compatible", "base_url": provider.base_url, "api_key": "env:ACME_KEY"}
    return {"proxy": proxy, "backends": {"acme": acme, "echo": {}}, "default_backend": "acme"}


ENV = {"ACME_KEY": KEY}


@frozen
class Said:
    """What came back.

    Args:
        status: of the response.
        headers: names in lower case.
        body: its bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever is in it."""
        return self.body.decode(errors="replace")

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@define(eq=False)
class Place:
    """A gateway, and the provider behind it."""

    gateway: RunningGateway
    provider: Provider

    async def ask(self, body: Any, path: str = CHAT, **headers: str) -> Said:
        """Post a body: bytes as they are, a file or a generator as a stream, anything else as JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = {"json": body} if isinstance(body, dict | list | str | int | float | None) else {"data": body}
        patience = aiohttp.ClientTimeout(20)
        async with self.gateway.http.post(self.gateway.url + path, headers=named, timeout=patience, **data) as response:
            return Said(response.status, _lowered(response.headers), await response.read())

    async def refused(self, body: Any, status: int, path: str = CHAT, **headers: str) -> dict[str, Any]:
        """The error with which a body is refused, under this status, in OpenAI's shape and without the provider's key."""
        said = await self.ask(body, path, **headers)
        assert (status, "application/json") == (said.status, said.headers["content-type"]), said.text
        assert KEY not in said.text
        return error_in(said.json)

    async def talk(self, *pieces: bytes, half_close: bool = False, end: bytes = b"") -> bytes:
        """What the gateway says on a bare socket until it closes the connection, or until ``end``."""
        host, _, port = self.gateway.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if half_close:
                writer.write_eof()
            async with asyncio.timeout(5):
                return await (reader.readuntil(end) if end else reader.read())
        finally:
            writer.transport.abort()

    async def check(self) -> None:
        """Nothing is left of what was asked, and a good question is answered."""
        await until(lambda: not self.gateway.gateway.exchanges)
        self.provider.answers(whole(answer("Still here.")))
        said = await self.ask(question())
        assert (200, "Still here.") == (said.status, text_of(said.json))


def post(body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A request as it goes over the wire."""
    framing = () if length == -1 else (f"content-length: {len(body) if length is None else length}",)
    return "\r\n".join([f"POST {CHAT} HTTP/1.1", "host: gateway", *framing, *headers, "", ""]).encode() + body


def responses(data: bytes) -> list[Said]:
    """The responses on a connection, each with a content-length."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = _lowered(dict(line.split(": ", 1) for line in lines))
        size = int(headers.get("content-length", "0"))
        found.append(Said(int(first.split(" ")[1]), headers, rest[:size]))
        data = rest[size:]
    return found


def only(data: bytes) -> Said:
    """The one response on a connection."""
    (said,) = responses(data)
    return said


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def values(pairs: Sequence[tuple[str, Any]], key: str) -> list[Any]:
    """All values of a key that may be repeated."""
    return [value for name, value in pairs if name == key]
