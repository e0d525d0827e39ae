"""HTTP to providers, done once for all of them."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
from attrs import define, evolve, field, frozen
from yarl import URL

from llmgw.errors import (
    GatewayError,
    Misconfigured,
    Unsupported,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmgw.events import BlockDelta, Error, Event, ResponseEnd, UsageUpdate
from llmgw.exchange import ClientLeft
from llmgw.identity import Identity
from llmgw.memory import CARRIERS, Memory
from llmgw.model import Loss, ModelInfo, Profile, Request
from llmgw.stages import Backend, Count, Crossing, Dialect, Operation, Reader, Relay, Target

if TYPE_CHECKING:
    from llmgw.exchange import Exchange
    from llmgw.gateway import Gateway

log = logging.getLogger("llmgw.transport")

ERROR_LIMIT = 2**20
"""Bytes of a provider's error that are read; what is behind them helps nobody."""

MODELS_LIMIT = 16 * 2**20
"""Bytes of a page of a provider's list of models."""

MODELS_PAGES = 100
"""Pages of such a list, for a provider whose pages never end."""

_HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}

AT_ONCE = 1.0
"""Seconds within which a kept connection that turns out to be closed shows it."""
LAST_WORDS = 1.0
"""Seconds for which a provider that has said that it failed is listened to."""
LINGER = 0.1
"""Seconds for the end of a body whose content is complete, so that its connection can be kept."""

RENEWALS = 2
"""Times that a login is renewed for one request: somebody else may have done it just before it was refused once more."""

CARRIERS_TTL = 6 * 3600.0
"""Seconds for which opaque state is kept that a client may lose: as long as somebody may sit before one conversation."""
NONE: frozenset[str] = frozenset()

_LARGE = 2**20  # aiohttp warns about larger bodies given as bytes, and writes them at once


_fresh: ContextVar[bool] = ContextVar("fresh")
"""Whether the connection that the task at hand was given had to be made."""


class Connector(aiohttp.TCPConnector):
    """Connections to providers, kept for the next request; tells a task whether its one had to be made."""

    async def _create_connection(self, *args: Any, **kwargs: Any) -> Any:
        _fresh.set(True)
        return await super()._create_connection(*args, **kwargs)


@define(eq=False, kw_only=True)
class HttpBackend(Backend):
    """A provider that is reached by HTTP: a dialect, a URL and headers. Override what differs.

    Args:
        name: its id in the deployment.
        base_url: the URL before ``path``, without a slash at its end.
        identity: whose program the provider is told that this is.
    """

    dialect: ClassVar[Dialect]
    path: ClassVar[str] = ""
    """Behind ``base_url``, where requests go."""
    paths: ClassVar[Mapping[Operation, str]] = {}
    """Where those go that ask for something else than an answer; what is not here, the provider does not do."""
    models_path: ClassVar[str] = "/models"

    name: str = ""
    base_url: str = ""
    identity: Identity = field(factory=Identity)
    _memory: Memory = field(factory=Memory, init=False)

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes."""
        return self.base_url.rstrip("/") + self.paths.get(request.operation, self.path)

    def speaks(self, request: Request) -> Dialect:
        """The dialect for this request, where a provider has several."""
        return self.dialect

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What is known of a model; override to say more than the dialect does."""
        return dialect.profile(model)

    def headers(self, target: Target) -> Mapping[str, str]:
        """The credential, and whatever else this provider wants."""
        return {}

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        """The same, where it takes time to come by: override this instead of ``headers``.

        Raises:
            CredentialUnusable: there is none; the message says what to do.
        """
        return self.headers(target)

    async def signed(
        self, gateway: Gateway, target: Target, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """All headers, now that it is known what they stand above: override where a provider wants it signed.

        Args:
            gateway: the running one.
            target: of the request.
            url: as it is sent.
            headers: so far.
            body: as it is sent.

        Raises:
            CredentialUnusable: there is nothing to sign with; the message says what to do.
        """
        return headers

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        """Whether there is another credential now than the one that the provider has just refused.

        Args:
            gateway: the running one.
            target: of the request.
            refused: the headers it was sent with.

        Raises:
            CredentialUnusable: the login has ended; the message says what to do.
        """
        return False

    async def prepared(self, gateway: Gateway, target: Target) -> None:
        """Find out what must be known before a request can be written, as the project that a login belongs to."""

    def explained(self, error: UpstreamError) -> UpstreamError:
        """A provider's error, instead of a reply or within one, where more is known of it here than in its dialect."""
        return error

    def asking(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """What else is sent.

        Args:
            headers: of a client of the same dialect, those that mean something to its provider; none of any other client's.
        """
        return headers

    @property
    def models_url(self) -> str:
        """Where its list of models is."""
        return self.base_url.rstrip("/") + self.models_path

    # ---- one attempt

    async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
        """Ask the provider, and read its reply as it comes; relay its frames unread where nobody wants to look.

        Raises:
            UpstreamError: it refused, broke, was silent or could not be reached.
        """
        attempt = await self.written(exchange, target, request)
        asked: Request | None = request
        while True:
            with self._failures(exchange):
                exchange.waiting = True
                response, attempt = await self._answered(exchange, target, asked, attempt)
            async with aclosing(self._streamed(exchange, attempt, response)) as events:
                async for event in events:
                    yield event
            further = attempt.crossing.further() if attempt.crossing is not None else None
            if further is None:
                return
            body, _ = self._memory.trimmed(target.model, attempt.dialect.write_request(further))
            attempt, asked = evolve(attempt, request=further, body=body, losses=()), None  # whose losses were told

    async def _streamed(
        self, exchange: Exchange, attempt: Written, response: aiohttp.ClientResponse
    ) -> AsyncGenerator[Event, None]:
        """The events of a reply that has begun."""
        served = False
        back = attempt.back
        try:
            self._keep_headers(exchange, response, attempt.dialect)
            reader, relay = _reader(exchange, attempt, response)
            with self._failures(exchange), _woken(response):
                while data := await _next(exchange, response.content, reader):
                    events = self._understood(back(reader.feed(data)))
                    over = bool(events) and isinstance(events[-1], ResponseEnd | Error)
                    if over:  # the next request may come as soon as the client has the end
                        await _kept(exchange, attempt)
                    exchange.more = len(events) > 1  # what came in one read leaves in one write
                    for event in events:
                        yield event
                    if exchange.more:
                        exchange.more = False
                        if exchange.flush is not None:
                            await exchange.flush()
                    if over:
                        served = True
                        return
                    if relay is not None and relay.passing and exchange.relay is not None:
                        await _relayed(exchange, response.content, relay, exchange.relay)
                        break
            served = True
            events = self._understood(back(reader.close()))
            await _kept(exchange, attempt)
            for event in events:
                yield event
        finally:
            exchange.waiting = exchange.more = exchange.writing = False
            if served and not response.content.at_eof():
                # the client has all; behind the end of the body the connection is free again
                await _rest(response.content)
            response.release()  # closes the connection unless all was read
            if not served:  # what the client has got of it may come back all the same
                await _kept(exchange, attempt)

    def _understood(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """The same, an error at their end explained as one instead of a reply would be."""
        last = events[-1] if events else None
        if not isinstance(last, Error) or not isinstance(last.error, UpstreamError):
            return events
        known = self.explained(last.error)
        return events if known is last.error else (*events[:-1], evolve(last, error=known))

    async def written(self, exchange: Exchange, target: Target, request: Request, cured: frozenset[str] = NONE) -> Written:
        """The request as this provider and this model can take it; nothing is sent.

        Args:
            exchange: whose it is.
            target: of the attempt.
            request: for the model that the provider knows.
            cured: what the provider has refused and must not be told.

        Raises:
            Unsupported: something of it cannot be said, and may not be left out.
        """
        if request.operation not in ("generate", *self.paths):
            raise Unsupported(f"{self._where} does not do this: {request.operation}.")
        await self.prepared(exchange.gateway, target)
        losses: list[Loss] = []
        dialect = self.speaks(request)
        everything = CARRIERS in cured
        if everything or self._memory.may_hold_refused(request, dialect):
            kept, request = request, self._memory.without_carriers(request, everything=everything)
            if kept is not request:
                losses.append(Loss("carrier", "carrier", "dropped", exchange.dialect.name, dialect.name))
        crossing = dialect.crossing(request, self.profile_of(dialect, target.model), losses)
        if crossing is not None:
            await (_forgotten if everything else _recalled)(exchange, crossing)
            request = crossing.request()
        body = dialect.write_request(request, losses)
        if request.dialect != dialect.name:
            body, left_out = self._memory.trimmed(target.model, body)
            losses += [Loss(name, name, "dropped", exchange.dialect.name, dialect.name) for name in left_out]
        judged = exchange.gateway.config.losses.judged(losses, exchange.dialect, self.name)
        return Written(dialect, request, body, crossing, list(judged))

    async def _answered(
        self, exchange: Exchange, target: Target, request: Request | None, attempt: Written
    ) -> tuple[aiohttp.ClientResponse, Written]:
        """The provider's reply, which has begun; where it refused only for what can be left out, it is asked once more without.

        Raises:
            UpstreamError: it refused.
        """
        cured: frozenset[str] = NONE
        lost = len(exchange.losses)
        renewals = RENEWALS
        while True:
            exchange.losses[lost:] = attempt.losses
            if exchange.observers:
                exchange.saw("provider", "out", attempt.body)
            authorization = await self.authorization(exchange.gateway, target)
            response = await self._post(exchange, target, attempt, authorization)
            if response.status < 300:
                return response, attempt
            try:
                error = await self._refusal(exchange, response, attempt.dialect)
            finally:
                response.release()
            refused = error.kind == "authentication"  # which some say with a 403
            if refused and renewals and await self.renewed(exchange.gateway, target, authorization):
                renewals -= 1
                continue
            cure = self._memory.cure(error, attempt, target.model)
            if request is None or cure is None or cure in cured:
                raise error
            log.info("exchange %s: '%s' refused %s; asking again without", exchange.id, self.name, cure)
            cured |= {cure}
            attempt = await self.written(exchange, target, request, cured)

    def _keep_headers(self, exchange: Exchange, response: aiohttp.ClientResponse, dialect: Dialect) -> None:
        client = exchange.dialect
        if client.name == dialect.name:
            exchange.reply_headers = {name: value for name, value in response.headers.items() if client.passes(name.lower())}
            return
        headers, now = _lowered(response), exchange.gateway.clock.time()
        known = {"retry-after": headers["retry-after"]} if "retry-after" in headers else {}
        exchange.reply_headers = {**known, **client.write_limits(dialect.read_limits(headers, now), now)}

    async def _refusal(self, exchange: Exchange, response: aiohttp.ClientResponse, dialect: Dialect) -> GatewayError:
        body = await _up_to(response.content, ERROR_LIMIT)
        if exchange.observers:
            exchange.saw("provider", "in", body)
        if response.status < 400:  # SECURITY: a redirect would carry the key to wherever it points
            return UpstreamBroken(f"{self._where} answered with a redirect, which is not followed. Check its base_url.")
        return self.explained(dialect.read_error(response.status, _lowered(response), body))

    async def _post(
        self, exchange: Exchange, target: Target, attempt: Written, authorization: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        request, body = attempt.request, attempt.body
        known = attempt.dialect.forwarded(request.headers) if request.dialect == attempt.dialect.name else {}
        headers = {**_HEADERS, **self.identity.headers(exchange.head.headers), **self.asking(known), **authorization}
        url = _url(self.url(target, request))
        headers = {**await self.signed(exchange.gateway, target, str(url), headers, body)}
        clock, http = exchange.gateway.clock, exchange.gateway.http
        while True:
            before, begun = _fresh.set(False), clock.monotonic()
            try:
                data = io.BytesIO(body) if len(body) > _LARGE else body
                if exchange.attempt is not None:
                    exchange.attempt.requests += 1
                return await http.post(url, data=data, headers=headers, allow_redirects=False)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                # A kept connection that the provider closed at the very moment we used it: it has not seen the request, so it
                # is asked again (RFC 9112, 9.3.1). On a fresh one, or after a while, it has, and might be paid twice.
                if _fresh.get() or isinstance(error, aiohttp.ClientConnectorError) or clock.monotonic() - begun > AT_ONCE:
                    raise
                log.info("exchange %s: a kept connection to '%s' was closed; asking again", exchange.id, self.name)
            finally:
                _fresh.reset(before)

    # ---- counting

    async def count(self, exchange: Exchange, target: Target, request: Request) -> Count | None:
        """Ask the provider to count; None where it does not."""
        if "count_tokens" not in self.paths:
            return None
        attempt = await self.written(exchange, target, request)
        with self._failures(exchange):
            exchange.waiting = True
            response, attempt = await self._answered(exchange, target, request, attempt)
            try:
                body = await _up_to(response.content, ERROR_LIMIT)
            finally:
                response.release()
        if exchange.observers:
            exchange.saw("provider", "in", body)
        self._keep_headers(exchange, response, attempt.dialect)
        return Count(attempt.dialect.read_count(body), body, attempt.dialect.name)

    # ---- models

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """Ask the provider for its list."""
        target = Target(self.name, "")
        await self.prepared(gateway, target)
        url, found = self.models_url, list[ModelInfo]()
        for _ in range(MODELS_PAGES):
            body = await self._page(gateway, target, url)
            found += self.read_models(body)
            further = self.further_models(body)
            if further is None:
                break
            url = further
        return found

    async def _page(self, gateway: Gateway, target: Target, url: str) -> bytes:
        authorization = await self.authorization(gateway, target)
        status, told, body = await self._listed(gateway, url, authorization)
        if status == 401 and await self.renewed(gateway, target, authorization):
            status, told, body = await self._listed(gateway, url, await self.authorization(gateway, target))
        if status != 200:
            raise self.explained(self.dialect.read_error(status, told, body))
        return body

    def further_models(self, body: bytes) -> str | None:
        """Where the next page of its list is, at a provider that has pages; None behind the last."""
        return None

    def read_models(self, body: bytes) -> Sequence[ModelInfo]:
        """Read the provider's list; override where it is not as its dialect has it."""
        return self.dialect.read_models(body)

    async def _listed(self, gateway: Gateway, url: str, authorization: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        headers = {**_HEADERS, **self.identity.headers({}), **self.asking({}), **authorization}
        try:
            async with gateway.http.get(url, headers=headers, allow_redirects=False) as response:
                return response.status, _lowered(response), await _up_to(response.content, MODELS_LIMIT)
        except aiohttp.ClientError as error:
            raise self.failure(error) from None
        except TimeoutError:
            raise UpstreamTimeout(f"{self._where} did not accept a connection in time.") from None

    # ---- failures

    @contextmanager
    def _failures(self, exchange: Exchange) -> Iterator[None]:
        """What goes wrong while the provider is spoken to, as errors of ours."""
        try:
            yield
        except asyncio.CancelledError:
            silence = exchange.interruption(of="provider")
            if silence is None:
                raise
            raise silence from None
        except aiohttp.ClientError as error:
            raise self.failure(error) from None
        except TimeoutError:
            raise UpstreamTimeout(f"{self._where} did not accept a connection in time.") from None
        finally:
            exchange.waiting = False

    @property
    def _where(self) -> str:
        return f"The back-end '{self.name}' ({_origin(self.base_url)})"

    def failure(self, error: aiohttp.ClientError) -> GatewayError:
        match error:
            case aiohttp.ServerDisconnectedError():
                return UpstreamBroken(f"{self._where} closed the connection without an answer. Ask again.")
            case aiohttp.ClientConnectorDNSError():
                return UpstreamUnreachable(f"{self._where} is unknown to the network. Check its base_url.")
            case aiohttp.ServerTimeoutError():
                return UpstreamTimeout(f"{self._where} did not accept a connection in time.")
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
                return UpstreamUnreachable(f"{self._where} shows a certificate that is not trusted.")
            case aiohttp.ClientConnectionError():
                return UpstreamUnreachable(f"{self._where} cannot be reached. Is it running, and is its base_url right?")
            case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
                return Misconfigured(f"The back-end '{self.name}' has a base_url that is no URL.")
            case _:
                return UpstreamBroken(f"{self._where} answered what is not HTTP.")


@frozen
class Written:
    """One request, as a provider gets it.

    Args:
        dialect: in which.
        request: as it can be said there.
        body: as it goes out.
        crossing: the way back of what comes in, where it is not as the client wants it.
        losses: what of the request is not said in it.
    """

    dialect: Dialect
    request: Request
    body: bytes = field(repr=False)
    crossing: Crossing | None = None
    losses: Sequence[Loss] = ()

    @property
    def crosses(self) -> bool:
        """Whether the client speaks another dialect."""
        return self.request.dialect != self.dialect.name

    def back(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """Events in the client's terms, up to the terminal one."""
        if self.crossing is None:
            return tuple(events)
        out: list[Event] = []
        for event in joined(events):
            out += self.crossing.back(event)
            if out and isinstance(out[-1], ResponseEnd | Error):
                break
        return tuple(out)


def joined(events: Iterable[Event]) -> Iterator[Event]:
    """The events of one read, with neighbouring pieces of a block in one: a provider that is faster than we are gains nothing
    from being copied word by word. Of several counts the last one stands, behind what it counts."""
    pieces: list[BlockDelta] = []
    usage: UsageUpdate | None = None
    for event in events:
        if isinstance(event, BlockDelta):
            if pieces and not _continues(pieces[-1], event):
                yield _one(pieces)
                pieces.clear()
            pieces.append(event)
        elif isinstance(event, UsageUpdate):
            usage = event if usage is None else evolve(event, usage=usage.usage.merged(event.usage))
        else:
            if pieces:
                yield _one(pieces)
                pieces.clear()
            if usage is not None:
                yield usage
                usage = None
            yield event
    if pieces:
        yield _one(pieces)
    if usage is not None:
        yield usage


def _continues(last: BlockDelta, event: BlockDelta) -> bool:
    return (last.index, last.channel, last.choice, last.part) == (event.index, event.channel, event.choice, event.part)


def _one(pieces: list[BlockDelta]) -> BlockDelta:
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    fragment = "".join(piece.fragment for piece in pieces)
    return BlockDelta(index=first.index, channel=first.channel, fragment=fragment, choice=first.choice, part=first.part)


async def _recalled(exchange: Exchange, crossing: Crossing) -> None:
    found = {}
    for key in crossing.wanted:
        value = await exchange.gateway.state.get(_key(exchange, key))
        if value is not None:
            found[key] = value
    if found:
        crossing.recall(found)


async def _forgotten(exchange: Exchange, crossing: Crossing) -> None:
    """The provider has refused what was kept."""
    for key in crossing.wanted:
        await exchange.gateway.state.delete(_key(exchange, key))


async def _kept(exchange: Exchange, attempt: Written) -> None:
    if attempt.crossing is not None:
        for key, value in attempt.crossing.kept.items():
            await exchange.gateway.state.set(_key(exchange, key), value, CARRIERS_TTL)


def _key(exchange: Exchange, key: str) -> str:
    """Of one caller alone: what a provider thought for one must not reach another."""
    name = exchange.principal.name if exchange.principal is not None else ""
    return f"crossing:{len(name)}:{name}:{key}"


def _reader(exchange: Exchange, attempt: Written, response: aiohttp.ClientResponse) -> tuple[Reader, Relay | None]:
    """By what came, not by what was asked: some providers answer whole when asked to stream, or the reverse."""
    stream = attempt.dialect.is_stream(response.headers.get("content-type", ""), attempt.request)
    if stream == attempt.request.stream and attempt.crossing is None and exchange.relays(attempt.dialect):
        relay = attempt.dialect.relay(stream=stream)
        return relay, relay
    return attempt.dialect.reader(stream=stream), None


@lru_cache(256)
def _url(url: str) -> URL:
    try:
        return URL(url)
    except ValueError:
        raise aiohttp.InvalidURL(url) from None


async def _next(exchange: Exchange, content: aiohttp.StreamReader, reader: Reader) -> bytes:
    """What comes next from the provider; nothing when it has closed, or has said all that it had to say."""
    if reader.ended:
        return b""
    exchange.waiting = True
    try:
        if reader.failing:  # it has said that it failed: more may come, but need not
            async with asyncio.timeout(LAST_WORDS):
                data = await content.readany()
        else:
            data = await content.readany()
    except (aiohttp.ClientPayloadError, TimeoutError):
        data = b""  # the reader knows whether the reply was complete
    exchange.waiting = False
    exchange.reads += 1
    if exchange.observers and data:
        exchange.saw("provider", "in", data)
    return data


async def _relayed(
    exchange: Exchange, content: aiohttp.StreamReader, relay: Relay, write: Callable[[bytes], Awaitable[None]]
) -> None:
    """From socket to socket, until the reply has ended, and what a few providers send behind its end."""

    async def passed(data: bytes) -> None:
        if block := relay.through(data):
            exchange.writing = True
            try:
                await write(block)
            except ConnectionResetError:  # aiohttp's own is also a ClientError, as if the provider had failed
                raise ClientLeft from None
            exchange.writing = False
            exchange.writes += 1

    while data := await _next(exchange, content, relay):
        await passed(data)
    if relay.ended and not relay.failing and not content.at_eof():
        await _rest(content, passed)


async def _rest(content: aiohttp.StreamReader, use: Callable[[bytes], Awaitable[None]] | None = None) -> None:
    """What comes behind the end, until the provider closes: nothing, as nearly always."""
    try:
        async with asyncio.timeout(LINGER):
            while not content.at_eof():
                more = await content.readany()
                if use is not None and more:
                    await use(more)
    except (aiohttp.ClientError, TimeoutError):
        pass  # then the connection is closed instead


@contextmanager
def _woken(response: aiohttp.ClientResponse) -> Iterator[None]:
    """Wake whoever reads when the connection is gone.

    aiohttp 3.14 closes a connection over which something came that is no HTTP chunk, and never tells the reader.
    """
    connection = response.connection
    ended = connection.protocol.closed if connection is not None and connection.protocol is not None else None
    if ended is None:
        yield
        return
    content = response.content

    def wake(_: asyncio.Future[None]) -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection is gone"))

    ended.remove_done_callback(_noted)  # it stays behind: a connection that is kept serves many, and may end when none reads
    ended.add_done_callback(_noted)
    ended.add_done_callback(wake)
    try:
        yield
    finally:
        ended.remove_done_callback(wake)


def _noted(ended: asyncio.Future[None]) -> None:
    """Why a connection ended; asyncio logs as an error what nobody asks for."""
    if not ended.cancelled():
        ended.exception()


async def _up_to(content: aiohttp.StreamReader, limit: int) -> bytes:
    pieces, size = [], 0
    while size < limit and (piece := await content.read(limit - size)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _lowered(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _origin(url: str) -> str:
    """Scheme, host and port: a path may hold an account, a query a key."""
    try:
        return str(URL(url).origin())
    except ValueError:
        return "no URL"
