"""What all fake vendors have in common: a real socket, a log of what came, and failures on demand."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from aiohttp import web
from attrs import define, field, frozen


@frozen
class Came:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


class Refused(Exception):
    """What the vendor says instead of an answer; raised by a fake's checks."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.body, self.headers = status, body, dict(headers or {})


@define(eq=False)
class FakeVendor:
    """A vendor's server. Override ``answer``, which gets each request, checks it as the vendor would, and answers.

    ``came`` is the log. ``failures`` are raised first, one for each request to a path that ends as they say.
    """

    came: list[Came] = field(factory=list)
    failures: deque[tuple[str, Refused]] = field(factory=deque)
    url: str = ""

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """Answer a request; raise ``Refused`` where the vendor would."""
        raise NotImplementedError

    def fails(self, path: str, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Refuse the next request to a path that ends like this."""
        self.failures.append((path, Refused(status, body, headers)))

    def asked(self, path: str) -> list[Came]:
        """The requests to paths that end like this."""
        return [one for one in self.came if one.path.endswith(path)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve on a free port of this machine."""
        runner = web.ServerRunner(web.Server(self._serve))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        came = Came(request.method, request.path, dict(request.query), headers, await request.read())
        self.came.append(came)
        try:
            if self.failures and came.path.endswith(self.failures[0][0]):
                raise self.failures.popleft()[1]
            return await self.answer(came, request)  # type: ignore[arg-type]  # a BaseRequest does all that a fake needs
        except Refused as refused:
            if isinstance(refused.body, str):
                return web.Response(status=refused.status, text=refused.body, content_type="text/html", headers=refused.headers)
            return web.json_response(refused.body, status=refused.status, headers=refused.headers)


async def streamed(request: web.Request, *pieces: bytes, kind: str = "text/event-stream") -> web.StreamResponse:
    """Send a stream, each piece by itself."""
    response = web.StreamResponse(headers={"content-type": kind})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


def event(tree: Any, name: str | None = None) -> bytes:
    """A server-sent event."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(tree).encode() + b"\n\n"
