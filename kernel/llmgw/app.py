"""Sockets in, sockets out: one handler for every front-end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import ceil
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from attrs import define, field

from llmgw import jsons, pipeline
from llmgw.decoding import decoded
from llmgw.errors import (
    BadRequest,
    GatewayError,
    GatewayFault,
    ModelNotFound,
    TooLarge,
    TooSlow,
    Unauthorized,
    UpstreamError,
)
from llmgw.events import Error, Events, ResponseEnd, cut_short
from llmgw.exchange import ClientLeft, ClientStalled, Exchange
from llmgw.model import Loss, ModelInfo, Request
from llmgw.nearest import nearest
from llmgw.stages import Dialect, Endpoint, Head, Target, Writer
from llmgw.version import VERSION

if TYPE_CHECKING:
    from llmgw.gateway import Gateway

log = logging.getLogger("llmgw")

_LONGEST_HEADER = 4096
"""Characters; clients refuse what is much longer."""

Ending = Callable[[BaseException | None], Awaitable[None]]

_STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


async def handle(
    gateway: Gateway, endpoint: Endpoint, request: web.Request, *, matched: bool = False, rivals: Sequence[Endpoint] = ()
) -> web.StreamResponse:
    """Serve one exchange, from the first header to its one end.

    Args:
        gateway: the generation that was current when the request came.
        endpoint: whose path matched.
        request: aiohttp's.
        matched: whether the path is a pattern, so that the request has what it matched.
        rivals: of other dialects at the same path.
    """
    match = request.match_info if matched else {}
    head = Head(request.method, request.path, match, request.query, request.headers, endpoint.operation)
    if rivals:
        claimed = next((one for one in (endpoint, *rivals) if one.dialect.claims(head)), None)
        endpoint, rivals = claimed or endpoint, () if claimed else rivals
    exchange = _begin(gateway, endpoint.dialect, head, request)
    exchange.rivals = [one.dialect for one in rivals]
    client = Client(exchange, request)
    outcome: BaseException | None = None
    try:
        await _answer(exchange, client, endpoint)
    except GatewayError as error:
        outcome = error
    except asyncio.CancelledError as left:
        outcome = exchange.interruption(of="all") or left
        if outcome is left:
            raise
    except ClientLeft:  # while we wrote
        outcome = asyncio.CancelledError("the client left")
    except Exception as bug:  # the handler's last line: a plugin's bug ends its exchange, not the server
        outcome = bug
        log.exception("exchange %s failed", exchange.id)
    finally:
        try:
            if not isinstance(outcome, asyncio.CancelledError | None):
                await client.fail(outcome if isinstance(outcome, GatewayError) else our_fault())
        finally:
            await _end(exchange, client, outcome)
    return client.response or web.Response(status=499)


def our_fault() -> GatewayFault:
    """What the client is told of a failure that only the log can explain."""
    return GatewayFault("The gateway failed on this request; its log says where.")


def _begin(gateway: Gateway, dialect: Dialect, head: Head, request: web.Request) -> Exchange:
    exchange = Exchange(
        gateway,
        dialect,
        head,
        request.remote or "",
        started=(now := gateway.clock.monotonic()),
        moved_at=now,
        written_at=now,
        task=asyncio.current_task(),
    )
    gateway.exchanges.add(exchange)
    return exchange


async def _end(exchange: Exchange, client: Client, outcome: BaseException | None) -> None:
    exchange.beat = exchange.flush = exchange.relay = None
    if isinstance(outcome, GatewayError) and exchange.attempt is not None and exchange.committed:
        exchange.attempt.failure = outcome  # it broke off
    for observer in exchange.observers:
        observer.closed(outcome)
    try:
        if exchange.endings:
            await _whatever_comes(_tell_of_end(exchange, outcome))
    finally:
        exchange.gateway.exchanges.discard(exchange)
    if log.isEnabledFor(logging.DEBUG) or isinstance(outcome, UpstreamError | GatewayFault):
        _log(exchange, client, outcome)
        for attempt in exchange.attempts[1:] and exchange.attempts:
            target = attempt.target
            log.debug("exchange %s tried %s [%s]: %s", exchange.id, target.name, target.credential, attempt.outcome)
        for remark in exchange.remarks:
            log.debug("exchange %s: %s", exchange.id, remark)
        for loss in exchange.losses:
            log.debug("exchange %s lost: %s %s at %s (%s -> %s)", exchange.id, *_told(loss))


async def _tell_of_end(exchange: Exchange, outcome: BaseException | None) -> None:
    for ending in reversed(exchange.endings):
        await _told_of_end(exchange, ending, outcome)


async def _whatever_comes(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to its end what a client's leaving must not cut short, and only then be cancelled.

    Who closes the connection behind an answer, as every client without keep-alive does, cancels us (``handler_cancellation``).
    """
    task, cancelled = asyncio.ensure_future(coroutine), None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():  # the loop itself ends
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _told_of_end(exchange: Exchange, ending: Ending, outcome: BaseException | None) -> None:
    try:
        await ending(outcome)
    except Exception:  # whatever a plugin raises: the exchange is over, and the others want to hear of it too
        log.exception("exchange %s: a plugin failed to take note of its end", exchange.id)


def _told(loss: Loss) -> tuple[str, str, str, str, str]:
    return loss.feature, loss.action, loss.path, loss.from_, loss.to


def _log(exchange: Exchange, client: Client, outcome: BaseException | None) -> None:
    level = logging.DEBUG if outcome is None or isinstance(outcome, asyncio.CancelledError) else logging.WARNING
    target = exchange.target
    log.log(
        level,
        "exchange %s %s -> %s: %s after %.3f s",
        exchange.id,
        exchange.head.path,
        f"{target.backend}:{target.model}" if target else "no target",
        "done" if outcome is None else f"{type(outcome).__name__}: {outcome}",
        exchange.gateway.clock.monotonic() - exchange.started,
    )


async def _answer(exchange: Exchange, client: Client, endpoint: Endpoint) -> None:
    gateway, operation = exchange.gateway, endpoint.operation
    if gateway.implements("open_observer"):
        pipeline.open_observers(exchange)
    await authenticate(exchange)
    if operation in ("models", "model"):
        await client.reply(await _models(exchange, operation))
        return
    if operation == "info":
        await client.reply(_info(gateway, endpoint))
        return
    body = await read_body(exchange, client.request)
    request = exchange.dialect.read_request(exchange.head, body)
    if operation == "count_tokens":
        await client.reply(await _counted(exchange, request))
        return
    client.begin(request)
    events = await pipeline.answer(exchange, request)
    try:
        await client.send(events)
    finally:
        await events.aclose()


async def _counted(exchange: Exchange, request: Request) -> web.Response:
    counted, dialect = await pipeline.count(exchange, request), exchange.dialect
    own = counted.body and counted.dialect == dialect.name
    headers = {"x-llmgw-exchange": exchange.id, **reply_headers(exchange)}
    if counted.estimated:
        headers["x-llmgw-estimated"] = "true"
    body = counted.body if own else dialect.write_count(counted.tokens)
    return web.Response(body=body, content_type="application/json", headers=headers)


def _info(gateway: Gateway, endpoint: Endpoint) -> web.Response:
    """What is served at this endpoint's port, for people who look."""
    paths = [f"{one.method} {one.path}" for one in gateway.endpoints if one.port == endpoint.port]
    body = {"service": "llmgw", "version": VERSION, "dialect": endpoint.dialect.name, "supported_endpoints": paths}
    return web.Response(body=jsons.dumps(body), content_type="application/json")


async def _models(exchange: Exchange, operation: str) -> web.Response:
    models = await exchange.gateway.models()
    if exchange.principal is not None:
        models = [one for one in models if exchange.principal.may(_target(one), one.id)]
    if operation == "models":
        return _listing(exchange, lambda dialect: dialect.write_models(models))
    model = _asked_for(exchange.head.match["id"], models)
    return _listing(exchange, lambda dialect: dialect.write_model(model))


def _target(model: ModelInfo) -> Target:
    backend, _, name = model.id.partition(":")
    return Target(backend, name)


def _asked_for(asked: str, models: Sequence[ModelInfo]) -> ModelInfo:
    for model in models:
        if asked in (model.id, model.id.partition(":")[2]):
            return model
    close = nearest(asked, [model.id for model in models])
    hint = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    raise ModelNotFound(f"No list of models has '{asked}'.{hint}")


def _listing(exchange: Exchange, write: Callable[[Dialect], bytes]) -> web.Response:
    return web.Response(body=_agreed(exchange, write), content_type="application/json")


def _waiting(seconds: float) -> dict[str, str]:
    """Whole seconds (RFC 9110, 10.2.3), never fewer than are to be waited; SDKs read the exact time first, where there is one."""
    exact = max(0.0, seconds)
    whole = {"retry-after": str(ceil(exact))}
    return whole if exact == ceil(exact) else {**whole, "retry-after-ms": str(ceil(exact * 1000))}


def _agreed(exchange: Exchange, write: Callable[[Dialect], bytes]) -> bytes:
    """One body in which each dialect's clients find what they look for, where nobody can tell which of them has asked.

    Where they use one name for two things, the front-end that was added last goes before.
    """
    if not exchange.rivals:
        return write(exchange.dialect)
    body: Any = {}
    for dialect in (exchange.dialect, *exchange.rivals):
        body = _united(jsons.loads(write(dialect)), body)
    return jsons.dumps(body)


def _united(one: Any, other: Any) -> Any:
    """Both objects in one; the first goes before, and lists of objects are united entry by entry."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**other, **{key: _united(value, other[key]) if key in other else value for key, value in one.items()}}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [_united(first, second) for first, second in zip(one, other, strict=True)]
    return one


async def authenticate(exchange: Exchange) -> None:
    """Find out who is calling.

    Raises:
        Unauthorized: nobody we know.
    """
    gateway = exchange.gateway
    if not gateway.authenticates:
        return
    answer = gateway.hook.authenticate(exchange=exchange)
    if answer is None:
        raise Unauthorized("No plugin knows who is calling.")
    exchange.principal = await answer


async def read_body(exchange: Exchange, request: web.Request) -> bytes:
    """The request's body, decompressed.

    Raises:
        TooLarge: larger than the deployment allows, before or after decompression.
        TooSlow: it did not arrive in time.
        BadRequest: it broke off, or is not compressed as it says.
    """
    limits = exchange.gateway.config.proxy
    if (request.content_length or 0) > limits.max_request_bytes:
        raise _too_large(limits.max_request_bytes)
    try:
        if request.content.is_eof():  # it came with the head, as most do
            body = await _up_to(request.content, limits.max_request_bytes)
        else:
            async with asyncio.timeout(limits.request_timeout):
                body = await _up_to(request.content, limits.max_request_bytes)
    except TimeoutError:
        raise TooSlow(f"The request's body did not arrive within {limits.request_timeout:g} s.") from None
    except web.RequestPayloadError:
        raise BadRequest("The request's body broke off.") from None
    if encodings := request.headers.get("content-encoding"):
        body = decoded(body, encodings, limits.max_request_bytes)
    if exchange.observers:
        exchange.saw("client", "in", body)
    return body


async def _up_to(content: aiohttp.StreamReader, limit: int) -> bytes:
    pieces, size = [], 0
    while piece := await content.readany():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request's body is larger than {limit} bytes. Send less, or raise proxy.max_request_bytes.")


@define(eq=False)
class Client:
    """The client's side of an exchange: what is written to it, and when the response begins."""

    exchange: Exchange
    request: web.Request
    response: web.StreamResponse | None = None
    _writer: Writer | None = None
    _stream: bool = False
    _ended: bool = False
    _pending: list[bytes] = field(factory=list)
    _opening: asyncio.Lock | None = None

    def begin(self, request: Request) -> None:
        """The request is read: from now on the writer of its dialect decides what the client gets."""
        self._writer = self.exchange.dialect.writer(request, self.exchange.losses)
        self._stream = request.stream
        if request.stream:
            self.exchange.flush = self.flush
            self.exchange.beat = self.beat

    async def send(self, events: Events) -> None:
        """Write events until the terminal one.

        Raises:
            GatewayError: in which they ended; where the response has begun, the client has heard of it.
        """
        exchange, writer = self.exchange, self._writer
        assert writer is not None
        async for event in events:
            for observer in exchange.observers:
                observer.event(event)
            if isinstance(event, Error) and self.response is None:
                raise event.error
            if data := writer.feed(event):
                if exchange.more:
                    self._pending.append(data)
                else:
                    await self._write(data)
            if isinstance(event, ResponseEnd | Error):
                break
        else:  # a back-end or a filter that forgot: a truncated reply never looks like success
            raise cut_short("it ended without its end event")
        await self.flush()
        await self._finish()
        if isinstance(event, Error):
            raise event.error

    async def reply(self, response: web.Response) -> None:
        """Answer with a whole response, and see it sent."""
        self.response = response
        await self._finish()

    async def fail(self, error: GatewayError) -> None:
        """End with an error: as the response itself, or in the stream where that has begun."""
        if isinstance(error, ClientStalled):
            if self.request.transport is not None:
                self.request.transport.abort()
            return
        if self._opening is not None:
            async with self._opening:  # a heartbeat may be about to begin the response
                pass
        with suppress(ClientLeft):  # nobody is there to hear of it
            if self.response is None:
                await self.reply(error_response(self.exchange, error, stream=self._stream))
            elif not self._ended and self._writer is not None:  # else what failed was only the clearing up
                await self._fail_inside(self._writer, Error(error=error))

    async def _fail_inside(self, writer: Writer, event: Error) -> None:
        for observer in self.exchange.observers:
            observer.event(event)
        if data := writer.feed(event):
            self._pending.append(data)
        await self.flush()
        await self._finish()

    async def flush(self) -> None:
        """Write what waits to be written."""
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            await self._write(data)

    async def beat(self) -> None:
        """A sign of life while the provider is silent; begins the response if it has not begun."""
        if self._writer is None or self._pending or self._ended:
            return
        if data := self._writer.idle():
            await self._write(data)
            self.exchange.beats += 1

    async def _write(self, data: bytes) -> None:
        if self._pending:
            data = b"".join([*self._pending, data])
            self._pending.clear()
        if self.exchange.observers:
            self.exchange.saw("client", "out", data)
        if not self._stream:
            self.response = web.Response(body=data, headers=self._headers())
            return
        with self._writing():
            if self.response is None or not self.response.prepared:
                await self._open()
            assert self.response is not None
            await self.response.write(data)
        self.exchange.writes += 1

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """While the client is written to: the pulse sees how long it takes, and a closed socket means that it left."""
        self.exchange.writing = True
        try:
            yield
        except ConnectionResetError:  # aiohttp's own is also a ClientError, as if the provider had failed
            raise ClientLeft from None
        finally:
            self.exchange.writing = False

    async def _open(self) -> None:
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:  # the pulse may open it for a heartbeat at the very same time
            if self.response is None:
                response = web.StreamResponse(headers=self._headers())
                await response.prepare(self.request)
                self.response = response
                if not self.exchange.observers:
                    self.exchange.relay = response.write

    def _headers(self) -> dict[str, str]:
        assert self._writer is not None
        exchange = self.exchange
        headers = {"content-type": self._writer.content_type, "x-llmgw-exchange": exchange.id}
        if self._stream:
            headers |= _STREAM_HEADERS
        return headers | reply_headers(exchange)

    async def _finish(self) -> None:
        self._ended = True
        if self.response is not None:
            with self._writing():
                await self.response.prepare(self.request)
                await self.response.write_eof()


def reply_headers(exchange: Exchange) -> dict[str, str]:
    """Headers that say what the provider said and what was lost on the way."""
    own = exchange.headers  # what the gateway itself allows a client goes before what its provider allows the gateway
    headers = {name: value for name, value in exchange.reply_headers.items() if name.lower() not in own} | own
    told = {name.lower() for name in headers}
    for name in exchange.dialect.request_ids:
        if name not in told:
            headers[name] = f"req_{exchange.id}"
    if exchange.losses:
        headers["x-llmgw-losses"] = ";".join(dict.fromkeys(loss.feature for loss in exchange.losses))
    if len(exchange.attempts) > 1:
        headers["x-llmgw-attempts"] = _printable(", ".join(f"{one.target.name}={one.outcome}" for one in exchange.attempts))
    return headers


def _printable(text: str) -> str:
    """SECURITY: fit for a header, for a model's name may hold whatever a client has sent."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:_LONGEST_HEADER])


def error_response(exchange: Exchange, error: GatewayError, *, stream: bool = False) -> web.Response:
    """An error in the client's dialect; a provider's own words, byte by byte, if it spoke the same one.

    An error that came in a 200 stays one where the client's SDK would have found it there: in a body, or in a stream that began.
    Else it gets the status that it means: no client asks again after a success.

    Args:
        exchange: which failed before its response began.
        error: why.
        stream: whether the client asked for a stream.
    """
    dialect = exchange.dialect
    headers: dict[str, Any] = {"x-llmgw-exchange": exchange.id, **reply_headers(exchange)}
    upstream = error.upstream if isinstance(error, UpstreamError) and error.upstream else None
    content_type, status, body = "application/json", dialect.error_status(error), b""
    if upstream is not None and upstream.dialect == dialect.name:
        ours = exchange.headers
        headers |= {name: value for name, value in upstream.headers.items() if dialect.passes(name) and name not in ours}
        found = upstream.began if stream else upstream.content_type.startswith("application/json")
        if own := upstream.status >= 400 or found:
            status = upstream.status
        if own or upstream.content_type.startswith("application/json"):
            content_type, body = upstream.content_type, upstream.body
    if error.retry_after is not None:
        headers |= {name: told for name, told in _waiting(error.retry_after).items() if name not in headers}
    if status == 429 and error.kind == "billing":  # SDKs ask again after any 429 unless they are told that it is of no use
        headers.setdefault("x-should-retry", "false")
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    body = body or _agreed(exchange, lambda dialect: dialect.write_error(error))
    if exchange.observers:
        exchange.saw("client", "out", body)
    return web.Response(status=status, body=body, headers=headers | {"content-type": content_type})
