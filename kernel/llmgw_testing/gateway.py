"""A gateway in this process, on a free port, with real sockets on both sides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import yaml
from attrs import define, field

from llmgw import config as configuration
from llmgw.gateway import Gateway
from llmgw.server import Server
from llmgw.stages import Clock
from llmgw.workers import bind


@define(eq=False)
class RunningGateway:
    """A gateway that serves.

    Args:
        url: where, without a slash at the end.
        server: its process-wide part.
        file: its configuration, for tests that change it and reload.
        http: a client session.
        doors: where front-ends have a port of their own, by the port that they asked for; each gets a free one.
    """

    url: str
    server: Server
    file: Path
    http: aiohttp.ClientSession
    doors: Mapping[int, str] = field(factory=dict)

    @property
    def gateway(self) -> Gateway:
        """The current generation."""
        return self.server.gateway

    async def post(self, body: Any, path: str = "/v1/chat/completions", **headers: str) -> tuple[int, Any]:
        """The status, and the JSON of the reply or its text if it is none."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(self.url + path, headers=named, data=data) as response:
            text = await response.text()
            return response.status, await response.json() if "json" in response.content_type else text

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """The same, of a GET."""
        async with self.http.get(self.url + path, headers={n.replace("_", "-"): v for n, v in headers.items()}) as response:
            text = await response.text()
            return response.status, await response.json() if "json" in response.content_type else text


@asynccontextmanager
async def run_gateway(
    config: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None, clock: Clock | None = None
) -> AsyncIterator[RunningGateway]:
    """Run a gateway while the context lasts.

    Args:
        config: as the YAML would say it; the port is a free one unless it says otherwise.
        env: the whole environment that the gateway sees.
        clock: all its time.
    """
    with TemporaryDirectory() as folder, bind("127.0.0.1", 0) as sock, ExitStack() as stack:
        file = Path(folder) / "llmgw.yaml"
        file.write_text(yaml.safe_dump(dict(config or {})))

        def load() -> configuration.Config:
            return configuration.load(file, env or {}, port=0)

        gateway = Gateway.build(load(), clock or Clock())
        doors = {port: stack.enter_context(bind("127.0.0.1", 0)) for port in gateway.ports}
        urls = {port: f"http://127.0.0.1:{door.getsockname()[1]}" for port, door in doors.items()}
        serving: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        server = Server(load, clock or Clock(), announce=lambda _, address: serving.set_result(address), signals=False)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(server.serve(gateway, sock, doors))
            waited: set[asyncio.Future[Any]] = {serving, running}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running  # raises why it does not serve
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
                try:
                    yield RunningGateway(serving.result(), server, file, http, urls)
                finally:
                    server.stop()
                    server.stop()  # tests do not wait for exchanges that hang on purpose
