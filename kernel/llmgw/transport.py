"""HTTP to providers, done once for all of them."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
from attrs import define
from yarl import URL

from llmgw.errors import GatewayError, Misconfigured, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from llmgw.events import Error, Event, ResponseEnd
from llmgw.exchange import ClientLeft
from llmgw.model import ModelInfo, Request
from llmgw.stages import Backend, Dialect, Reader, Relay, Target
from llmgw.version import VERSION

if TYPE_CHECKING:
    from llmgw.exchange import Exchange
    from llmgw.gateway import Gateway

log = logging.getLogger("llmgw.transport")

ERROR_LIMIT = 2**20
"""Bytes of a provider's error that are read; what is behind them helps nobody."""

MODELS_LIMIT = 16 * 2**20
"""Bytes of a provider's list of models."""

_HEADERS = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": f"llmgw/{VERSION}"}

AT_ONCE = 1.0
"""Seconds within which a kept connection that turns out to be closed shows it."""
LAST_WORDS = 1.0
"""Seconds for which a provider that has said that it failed is listened to."""
LINGER = 0.1
"""Seconds for the end of a body whose content is complete, so that its connection can be kept."""

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
    """

    dialect: ClassVar[Dialect]
    path: ClassVar[str] = ""
    """Behind ``base_url``, where requests go."""
    models_path: ClassVar[str] = "/models"

    name: str = ""
    base_url: str = ""

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes."""
        return self.base_url.rstrip("/") + self.path

    def headers(self, target: Target) -> Mapping[str, str]:
        """The credential, and whatever else this provider wants."""
        return {}

    # ---- one attempt

    async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
        """Ask the provider, and read its reply as it comes; relay its frames unread where nobody wants to look.

        Raises:
            UpstreamError: it refused, broke, was silent or could not be reached.
        """
        body = self.dialect.write_request(request, exchange.losses)
        watched = bool(exchange.observers)
        if watched:
            exchange.saw("provider", "out", body)
        response: aiohttp.ClientResponse | None = None
        served = False
        try:
            exchange.waiting = True
            response = await self._post(exchange, target, request, body)
            if response.status >= 300:
                raise await self._refusal(exchange, response)
            self._keep_headers(exchange, response)
            reader, relay = self._reader(exchange, request, response)
            with _woken(response):
                while data := await _next(exchange, response.content, reader):
                    events = tuple(reader.feed(data))
                    exchange.more = len(events) > 1  # what came in one read leaves in one write
                    for event in events:
                        yield event
                    if exchange.more:
                        exchange.more = False
                        if exchange.flush is not None:
                            await exchange.flush()
                    if events and isinstance(events[-1], ResponseEnd | Error):
                        served = True
                        return
                    if relay is not None and relay.passing and exchange.relay is not None:
                        await _relayed(exchange, response.content, relay, exchange.relay)
                        break
            served = True
            for event in reader.close():
                yield event
        except asyncio.CancelledError:
            silence = exchange.interruption(of="provider")
            if silence is None:
                raise
            raise silence from None
        except aiohttp.ClientError as error:
            raise self._failure(error) from None
        except TimeoutError:
            raise UpstreamTimeout(f"{self._where} did not accept a connection in time.") from None
        finally:
            exchange.waiting = exchange.more = exchange.writing = False
            if response is not None:
                if served and not response.content.at_eof():
                    # the client has all; behind the end of the body the connection is free again
                    await _rest(response.content)
                response.release()  # closes the connection unless all was read

    def _keep_headers(self, exchange: Exchange, response: aiohttp.ClientResponse) -> None:
        passes = exchange.dialect.passes if exchange.dialect.name == self.dialect.name else _retry_after
        exchange.reply_headers = {name: value for name, value in response.headers.items() if passes(name.lower())}

    async def _refusal(self, exchange: Exchange, response: aiohttp.ClientResponse) -> GatewayError:
        body = await _up_to(response.content, ERROR_LIMIT)
        if exchange.observers:
            exchange.saw("provider", "in", body)
        if response.status < 400:  # SECURITY: a redirect would carry the key to wherever it points
            return UpstreamBroken(f"{self._where} answered with a redirect, which is not followed. Check its base_url.")
        return self.dialect.read_error(response.status, _lowered(response), body)

    def _reader(self, exchange: Exchange, request: Request, response: aiohttp.ClientResponse) -> tuple[Reader, Relay | None]:
        """By what came, not by what was asked: some providers answer whole when asked to stream, or the reverse."""
        stream = response.headers.get("content-type", "").startswith("text/event-stream")
        if stream == request.stream and exchange.relays(self.dialect):
            relay = self.dialect.relay(stream=stream)
            return relay, relay
        return self.dialect.reader(stream=stream), None

    async def _post(self, exchange: Exchange, target: Target, request: Request, body: bytes) -> aiohttp.ClientResponse:
        known = request.headers if request.dialect == self.dialect.name else {}
        headers = {**_HEADERS, **known, **self.headers(target)}
        url = _url(self.url(target, request))
        clock, http = exchange.gateway.clock, exchange.gateway.http
        while True:
            before, begun = _fresh.set(False), clock.monotonic()
            try:
                data = io.BytesIO(body) if len(body) > _LARGE else body
                return await http.post(url, data=data, headers=headers, allow_redirects=False)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                # A kept connection that the provider closed at the very moment we used it: it has not seen the request, so it
                # is asked again (RFC 9112, 9.3.1). On a fresh one, or after a while, it has, and might be paid twice.
                if _fresh.get() or isinstance(error, aiohttp.ClientConnectorError) or clock.monotonic() - begun > AT_ONCE:
                    raise
                log.info("exchange %s: a kept connection to '%s' was closed; asking again", exchange.id, self.name)
            finally:
                _fresh.reset(before)

    # ---- models

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """Ask the provider for its list."""
        headers = {**_HEADERS, **self.headers(Target(self.name, ""))}
        try:
            url = self.base_url.rstrip("/") + self.models_path
            async with gateway.http.get(url, headers=headers, allow_redirects=False) as response:
                body = await _up_to(response.content, MODELS_LIMIT)
                if response.status != 200:
                    raise self.dialect.read_error(response.status, _lowered(response), body)
                return self.dialect.read_models(body)
        except aiohttp.ClientError as error:
            raise self._failure(error) from None
        except TimeoutError:
            raise UpstreamTimeout(f"{self._where} did not accept a connection in time.") from None

    # ---- failures

    @property
    def _where(self) -> str:
        return f"The back-end '{self.name}' ({_origin(self.base_url)})"

    def _failure(self, error: aiohttp.ClientError) -> GatewayError:
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
    """From socket to socket, until the reply has ended."""
    while data := await _next(exchange, content, relay):
        if block := relay.through(data):
            exchange.writing = True
            try:
                await write(block)
            except ConnectionResetError:  # aiohttp's own is also a ClientError, as if the provider had failed
                raise ClientLeft from None
            exchange.writing = False
            exchange.writes += 1


async def _rest(content: aiohttp.StreamReader) -> None:
    try:
        async with asyncio.timeout(LINGER):
            while not content.at_eof():
                await content.readany()
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

    def wake(future: asyncio.Future[None]) -> None:
        if not future.cancelled():
            future.exception()  # taken note of
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection is gone"))

    ended.add_done_callback(wake)
    try:
        yield
    finally:
        ended.remove_done_callback(wake)


async def _up_to(content: aiohttp.StreamReader, limit: int) -> bytes:
    pieces, size = [], 0
    while size < limit and (piece := await content.read(limit - size)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _lowered(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _retry_after(name: str) -> bool:
    return name == "retry-after"


def _origin(url: str) -> str:
    """Scheme, host and port: a path may hold an account, a query a key."""
    try:
        return str(URL(url).origin())
    except ValueError:
        return "no URL"
