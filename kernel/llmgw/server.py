"""What lives as long as the process: the socket, the current generation, reload and the graceful stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

from aiohttp import web
from attrs import define, field

from llmgw import app, jsons
from llmgw.backlog import turn_away
from llmgw.config import Config
from llmgw.errors import BadRequest, ConfigError, GatewayError, MethodNotAllowed, NotFound, ShuttingDown
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.nearest import nearest
from llmgw.pulse import Pulse
from llmgw.stages import Clock, Endpoint, Head
from llmgw.version import VERSION

log = logging.getLogger("llmgw")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BACKLOG = 2048
"""Connections that may wait to be accepted; agents open hundreds at once."""
SETTLING = 0.2
"""Seconds between turning new connections away and closing the door: a handshake that has begun takes less."""
FIRST_WORDS = 1.0
"""Seconds for whoever was still let in to say what it wants."""
LAST_WORDS = 5.0
"""Seconds for an exchange to write its error once the grace is over."""
SAME_SIGNAL = 0.5
"""Seconds within which a second SIGTERM is taken for the first one."""


# ---- finding the handler ------------------------------------------------------------------------


@define(eq=False)
class Table:
    """The paths of one generation at one port.

    Args:
        gateway: the generation.
        port: as its endpoints name it; None is the gateway's own.
        health: answers whether it can serve.
    """

    gateway: Gateway
    port: int | None = None
    health: Callable[[], web.Response] | None = None
    _exact: dict[tuple[str, str], Handler] = field(factory=dict)
    _patterns: web.UrlDispatcher = field(factory=web.UrlDispatcher)

    @classmethod
    def of(cls, gateway: Gateway, port: int | None = None, health: Callable[[], web.Response] | None = None) -> Table:
        """Endpoints of front-ends first, then the further routes of plugins, behind the same authentication."""
        table = cls(gateway, port, health)
        for (method, path), endpoints in table._grouped().items():
            table._add(method, path, table._handler(*endpoints))
        if gateway.endpoints and port is None:  # whose dialect refuses strangers
            for routes in gateway.hook.extra_routes(gateway=gateway):
                for one in routes or ():
                    table._patterns.add_route(one.method, one.path, partial(_guarded, gateway, one.handler))
        return table

    def _grouped(self) -> dict[tuple[str, str], list[Endpoint]]:
        """Endpoints by method and path; of one dialect only the first."""
        groups: dict[tuple[str, str], list[Endpoint]] = {}
        for endpoint in self._endpoints:
            group = groups.setdefault((endpoint.method, endpoint.path), [])
            if all(one.dialect is not endpoint.dialect for one in group):
                group.append(endpoint)
        return groups

    @property
    def _endpoints(self) -> list[Endpoint]:
        return [endpoint for endpoint in self.gateway.endpoints if endpoint.port == self.port]

    def _handler(self, endpoint: Endpoint, *rivals: Endpoint) -> Handler:
        if endpoint.operation == "health" and self.health is not None:
            return partial(_healthy, self.health)
        if rivals:
            return partial(app.handle, self.gateway, endpoint, matched="{" in endpoint.path, rivals=rivals)
        return partial(app.handle, self.gateway, endpoint, matched="{" in endpoint.path)

    def _add(self, method: str, path: str, handler: Handler) -> None:
        if "{" in path:
            self._patterns.add_route(method, path, handler)
        else:
            self._exact.setdefault((method, path), handler)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request; with an error of our own where nothing serves its path."""
        handler = self._exact.get((request.method, request.path))
        if handler is None:
            match = await self._patterns.resolve(request)
            if match.http_exception is not None:
                return self._lost(request, match.http_exception)
            request._match_info = match  # what aiohttp's own application does; handlers read request.match_info
            handler = match.handler
        return await handler(request)

    def _lost(self, request: web.Request, why: web.HTTPException) -> web.StreamResponse:
        methods = {method for method, path in self._exact if path == request.path}
        if isinstance(why, web.HTTPMethodNotAllowed):
            methods |= why.allowed_methods
        if methods:
            use = f"{request.path} is served, but not under {request.method}: use {' or '.join(sorted(methods))}."
            response = _refuse(self.gateway, self.port, request, MethodNotAllowed(use))
            response.headers["allow"] = ", ".join(sorted(methods))  # RFC 9110, 15.5.6
            return response
        served = sorted({endpoint.path for endpoint in self._endpoints}) or ["nothing at this port any more"]
        close = nearest(request.path, served)
        hint = f"Did you mean {close[0]}?" if close else f"Served are: {', '.join(served)}."
        return _refuse(self.gateway, self.port, request, NotFound(f"There is no {request.path[:200]} here. {hint}"))


async def _healthy(health: Callable[[], web.Response], request: web.Request) -> web.StreamResponse:
    return health()


async def _guarded(gateway: Gateway, handler: Handler, request: web.Request) -> web.StreamResponse:
    exchange = _passer_by(gateway, request)
    try:
        await app.authenticate(exchange)
        return await handler(request)
    except GatewayError as error:
        return app.error_response(exchange, error)


def _refuse(gateway: Gateway, port: int | None, request: web.BaseRequest, error: GatewayError) -> web.Response:
    if gateway.endpoints:
        return app.error_response(_passer_by(gateway, request, port), error)
    return web.Response(status=error.status, text=error.message)


def _passer_by(gateway: Gateway, request: web.BaseRequest, port: int | None = None) -> Exchange:
    """What a request beside the pipeline is, so that plugins can tell who is calling: an exchange that nobody counts."""
    head = Head(request.method, request.path, {}, request.query, request.headers)
    here = [endpoint for endpoint in gateway.endpoints if endpoint.port == port] or gateway.endpoints
    here = [endpoint for endpoint in here if endpoint.path == request.path] or here
    dialects = list(dict.fromkeys(endpoint.dialect for endpoint in here))
    dialects = [dialect for dialect in dialects if dialect.claims(head)][:1] or dialects
    return Exchange(gateway, dialects[0], head, request.remote or "", rivals=dialects[1:])


class _Connection(web.RequestHandler):
    """One client's connection; what comes over it and is no HTTP gets an answer of ours."""

    __slots__ = ("asked", "refuse")
    refuse: Callable[[web.BaseRequest, GatewayError], web.Response]
    asked: bool
    """Whether anything came over it yet."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in a dialect, and log one line: aiohttp's own answer is text, and its log quotes what the client sent."""
        error: GatewayError
        if status == 400:
            log.info("a request from %s is no HTTP: %s", request.remote, type(exc).__name__)
            error = BadRequest("This is not a request in HTTP/1.1.")
        else:  # a plugin's route, or we ourselves
            log.error("%s %s failed", request.method, request.path, exc_info=exc)
            error = app.our_fault()
        if request.writer.output_size > 0:  # part of a response is sent already
            raise ConnectionError("the connection is of no use any more")
        response = self.refuse(request, error)
        response.force_close()
        return response


class _Listener(web.Server):
    """aiohttp's server, with our connections.

    Args:
        refuse: makes the answer to what is no HTTP.
    """

    def __init__(self, handler: Any, refuse: Callable[[web.BaseRequest, GatewayError], web.Response], **options: Any) -> None:
        super().__init__(handler, **options)
        self._refuse = refuse

    def __call__(self) -> web.RequestHandler:
        connection = _Connection(self, loop=self._loop, **self._kwargs)
        connection.refuse = self._refuse
        connection.asked = False
        return connection


# ---- the process --------------------------------------------------------------------------------


@define(eq=False)
class Generation:
    """A gateway that runs, in a task of its own so that what it opened is closed where it was opened."""

    gateway: Gateway
    over: asyncio.Event = field(factory=asyncio.Event)
    started: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Hold the gateway open until it is over."""
        assert self.started is not None
        try:
            async with self.gateway.running(), asyncio.TaskGroup() as group:
                pulse = group.create_task(Pulse(self.gateway).run())
                self.started.set_result(None)
                await self.over.wait()
                pulse.cancel()
        except Exception as error:  # whatever a plugin's lifespan raises; whoever started us decides
            if self.started.done():
                log.exception("a generation ended badly")
            else:
                self.started.set_exception(error)


@define(eq=False)
class Server:
    """Serves until it is told to stop.

    Args:
        load: reads the configuration anew.
        clock: for every generation.
        admit: raises ConfigError for a gateway that may not serve on this socket, on which the one before it might.
        announce: told the gateway and the address once it serves.
        signals: listen to SIGTERM, SIGINT and SIGHUP.
    """

    load: Callable[[], Config]
    clock: Clock = field(factory=Clock)
    admit: Callable[[Gateway], None] = lambda gateway: None
    announce: Callable[[Gateway, str], None] = lambda gateway, address: None
    signals: bool = True
    stopping: asyncio.Event = field(factory=asyncio.Event)
    hurry: asyncio.Event = field(factory=asyncio.Event)
    tables: dict[int | None, Table] = field(factory=dict, init=False)
    """By port, as endpoints name it; None is the gateway's own."""
    _generation: Generation | None = field(default=None, init=False)
    _alive: set[Generation] = field(factory=set, init=False)
    _reloading: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _stopped_at: float = field(default=0.0, init=False)
    _tasks: asyncio.TaskGroup = field(factory=asyncio.TaskGroup, init=False)
    _listeners: list[_Listener] = field(factory=list, init=False)

    @property
    def gateway(self) -> Gateway:
        """The current generation."""
        return self.tables[None].gateway

    async def serve(self, gateway: Gateway, sock: socket.socket, doors: Mapping[int, socket.socket] | None = None) -> None:
        """Serve on bound sockets until SIGTERM or SIGINT; SIGHUP reloads.

        Args:
            gateway: the first generation, built.
            sock: bound, not yet listening.
            doors: further ones, by the ports that endpoints name.
        """
        further: dict[int | None, socket.socket] = {port: door for port, door in (doors or {}).items()}  # noqa: C416 -- of wider keys
        sockets = {None: sock, **further}
        self.tables = dict.fromkeys(sockets, Table(gateway))
        async with self._tasks, AsyncExitStack() as stack:
            await self._switch(gateway)
            sites = [await self._open(gateway, port, one, stack) for port, one in sockets.items()]
            if self.signals:
                self._listen_to_signals()
            self.announce(gateway, _address(sock))
            await self.stopping.wait()
            await self._close_doors(sockets.values(), sites)
            await self._drain(self.gateway.config.proxy.grace)
            await stack.aclose()
            async with self._reloading:  # one that is under way makes no generation that nobody ends
                for generation in self._alive:
                    generation.over.set()

    async def _open(self, gateway: Gateway, port: int | None, sock: socket.socket, stack: AsyncExitStack) -> web.SockSite:
        runner = self._runner(gateway, port)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.SockSite(runner, sock, backlog=BACKLOG)
        await site.start()
        return site

    def _runner(self, gateway: Gateway, port: int | None) -> web.ServerRunner:
        """aiohttp's low-level server: its application freezes its table of paths when it starts, ours changes with a reload."""
        proxy, loop = gateway.config.proxy, asyncio.get_running_loop()

        def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.Request:
            return web.Request(message, payload, protocol, writer, task, loop, client_max_size=0)  # see app.read_body

        server = _Listener(
            partial(self._serve, port),
            lambda request, error: _refuse(self.gateway, port, request, error),
            request_factory=request,
            access_log=None,
            auto_decompress=False,  # it would inflate a bomb piece by piece; see llmgw.decoding
            handler_cancellation=True,  # or an exchange whose client left would run to its end
            keepalive_timeout=proxy.keepalive_timeout,
            max_field_size=32_768,
            max_line_size=32_768,
        )
        self._listeners.append(server)
        return web.ServerRunner(server, shutdown_timeout=LAST_WORDS)

    async def _serve(self, port: int | None, request: web.Request) -> web.StreamResponse:
        if isinstance(request.protocol, _Connection):
            request.protocol.asked = True
        if self.stopping.is_set():  # the connection ends behind this answer; protocol.close() would drop the rest of a body
            request._message = request._message._replace(should_close=True)
        if request.path == "/health":
            return await self._verbose(request) if "verbose" in request.query else self.health()
        if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await self.tables[port].serve(request)

    # ---- reload

    async def _switch(self, gateway: Gateway) -> None:
        """Make this gateway the current one; exchanges of the one before finish on theirs."""
        before = self._generation
        if before is not None:
            gateway.keep_memory_of(before.gateway)
        generation = Generation(gateway, started=asyncio.get_running_loop().create_future())
        task = self._tasks.create_task(generation.run())
        assert generation.started is not None
        try:
            await generation.started
            tables = {port: Table.of(gateway, port, self.health) for port in self.tables}
        except Exception:  # whatever a plugin raises: what was opened is closed before it goes on
            generation.over.set()
            await task
            raise
        old, self._generation, self.tables = self._generation, generation, tables
        self._alive.add(generation)
        if old is not None:
            _warn_of_restart(old.gateway, gateway)
            self._tasks.create_task(self._retire(old))

    async def _retire(self, generation: Generation) -> None:
        while generation.gateway.exchanges:
            await _ended(generation.gateway.exchanges, None)
        generation.over.set()
        self._alive.discard(generation)

    async def reload(self) -> None:
        """Read the configuration anew; a broken one changes nothing, and the log says why."""
        async with self._reloading:  # one after the other, or an older configuration might come last
            if self.stopping.is_set():
                return
            try:
                gateway = Gateway.build(self.load(), self.clock)
                self.admit(gateway)
                await self._switch(gateway)
            except ConfigError as error:
                log.error("not reloaded: %s", "; ".join(error.problems))
            except Exception:  # whatever a plugin raises: the old generation serves on
                log.exception("not reloaded, a plugin did not start")
            else:
                log.info("reloaded")

    # ---- stop

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.create_task(self.reload()))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # one that came before is heard now

    def _told_to_stop(self) -> None:
        """A signal to a whole group comes twice, once from the supervisor: only a later one means that somebody is in a hurry."""
        now = self.clock.monotonic()
        if not self.stopping.is_set() or now - self._stopped_at >= SAME_SIGNAL:
            self._stopped_at = now
            self.stop()

    def stop(self) -> None:
        """Stop, gracefully; at once when called again."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()

    async def _close_doors(self, sockets: Iterable[socket.socket], sites: Iterable[web.SockSite]) -> None:
        """No new connections; those that are here already are all accepted, and may say what they want."""
        for sock in sockets:
            turn_away(sock)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.hurry.wait(), SETTLING)
        for site in sites:
            await site.stop()
        end = self.clock.monotonic() + FIRST_WORDS
        # aiohttp tells nobody when a connection ends
        while self._newcomers() and self.clock.monotonic() < end and not self.hurry.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def _newcomers(self) -> list[web.RequestHandler]:
        """Connections over which nothing came yet."""
        return [one for listener in self._listeners for one in listener.connections if not getattr(one, "asked", True)]

    async def _drain(self, grace: float) -> None:
        """Running exchanges may finish within the grace, then they end with an error."""
        log.info("stopping: %d exchanges may finish within %g s", len(self._running()), grace)
        await self._finished(grace)
        for exchange in self._running():
            exchange.interrupt(ShuttingDown("The gateway is stopping. Ask again; another instance will answer.", retry_after=1))
        await _ended(self._running(), LAST_WORDS)

    async def _finished(self, seconds: float) -> None:
        """Wait until nothing runs, or the time is over, or somebody is in a hurry."""
        ended, hurried = asyncio.ensure_future(self._quiet()), asyncio.ensure_future(self.hurry.wait())
        await asyncio.wait({ended, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for one in (ended, hurried):
            one.cancel()

    async def _quiet(self) -> None:
        while running := self._running():  # others may come meanwhile, over connections that were kept
            await _ended(running, None)

    def _running(self) -> list[Exchange]:
        return [exchange for generation in self._alive for exchange in generation.gateway.exchanges]

    # ---- health

    def health(self) -> web.Response:
        """200 when it can serve, 503 and why when it cannot."""
        gateway = self.gateway
        why = "stopping" if self.stopping.is_set() else gateway.ready
        body = {"status": "ok" if why is None else "unavailable", "version": VERSION} | ({"why": why} if why else {})
        return web.Response(status=200 if why is None else 503, body=jsons.dumps(body), content_type="application/json")

    async def _verbose(self, request: web.Request) -> web.StreamResponse:
        """The same with what the plugins tell of their parts, for whoever may use the gateway."""

        async def told(_: web.Request) -> web.StreamResponse:
            plain, gateway = self.health(), self.gateway
            reports = {one.title: [dict(row) for row in one.rows] for one in await gateway.reports()}
            body = {**jsons.loads(bytes(plain.body)), "exchanges": len(self._running()), **reports}  # type: ignore[arg-type]
            return web.Response(status=plain.status, body=jsons.dumps(body), content_type="application/json")

        return await _guarded(self.gateway, told, request)


def _warn_of_restart(old: Gateway, new: Gateway) -> None:
    changed = [f"proxy.{name}" for name in ("host", "port", "keepalive_timeout") if _differ(old, new, name)]
    if old.ports != new.ports:
        changed.append("the port of a front-end")
    for what in changed:
        log.warning("%s has changed, which takes effect only when llmgw is started again", what)


def _differ(old: Gateway, new: Gateway, name: str) -> bool:
    return bool(getattr(old.config.proxy, name) != getattr(new.config.proxy, name))


async def _ended(exchanges: Iterable[Exchange], seconds: float | None) -> None:
    """Wait until these exchanges have ended, for so many seconds at the most."""
    tasks = {exchange.task for exchange in exchanges if exchange.task is not None}
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
