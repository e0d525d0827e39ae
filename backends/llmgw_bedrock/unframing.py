"""Bedrock's frames become those that Anthropic sends itself, which are then read or relayed as if Anthropic had sent them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator

from attrs import define, field

from llmgw import jsons
from llmgw.errors import UpstreamBroken
from llmgw.events import Error, Event
from llmgw.model import JSON
from llmgw.stages import Reader, Relay
from llmgw_bedrock.errors import in_stream
from llmgw_bedrock.eventstream import Message, Splitter
from llmgw_dialects.failures import broken, loaded

Unframe = Callable[[Message], bytes]
"""Makes server-sent events of a message that is no failure."""


@define(eq=False)
class Unframer:
    """Reads a stream of AWS's.

    Args:
        inner: reads what is in it.
        unframe: makes server-sent events of messages.
    """

    inner: Reader
    unframe: Unframe
    _splitter: Splitter = field(factory=Splitter)
    _failure: UpstreamBroken | None = None

    @property
    def ended(self) -> bool:
        """Whether the reply has come to its end, or there is no reading on."""
        return self._failure is not None or self.inner.ended

    @property
    def failing(self) -> bool:
        """Whether an error has come."""
        return self.inner.failing

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        return [event for block in self._blocks(data) for event in self.inner.feed(block)]

    def close(self) -> Iterable[Event]:
        """AWS has closed."""
        if self._failure is not None:
            return [Error(error=self._failure)]
        return self.inner.close()

    def _blocks(self, data: bytes) -> Iterator[bytes]:
        """Server-sent events, up to what cannot be read, which is told when all before it is."""
        if self._failure is not None:
            return
        try:
            for message in self._splitter.feed(data):
                if block := _failure_in(message) or self.unframe(message):
                    yield block
        except UpstreamBroken as error:
            self._failure = error


@define(eq=False)
class RelayUnframer(Unframer):
    """The same, for frames that pass unread.

    Args:
        relay: ``inner``, by its own type.
    """

    relay: Relay = field(kw_only=True)

    @property
    def passing(self) -> bool:
        """Whether the reply has come to something."""
        return self.relay.passing

    def through(self, data: bytes) -> bytes:
        """What may go to the client."""
        return b"".join(self.relay.through(block) for block in self._blocks(data))


def chunk(message: Message) -> bytes:
    """One of Anthropic's events, which a ``chunk`` has in its ``bytes``.

    Raises:
        UpstreamBroken: it has not.
    """
    if message.headers.get(":event-type") != "chunk":
        return b""
    tree = loaded(message.payload)
    try:
        data = base64.b64decode(tree["bytes"], validate=True)
        inner = jsons.loads(data)
        return event(inner["type"], data if b"\n" not in data and b"\r" not in data else jsons.dumps(inner))
    except (KeyError, TypeError, AttributeError, binascii.Error, ValueError):
        raise broken(message.payload, "a chunk with one of Anthropic's events was expected") from None


def event(name: str, data: bytes) -> bytes:
    """A server-sent event."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def told(tree: dict[str, JSON]) -> bytes:
    """An event of Anthropic's, as one."""
    return event(str(tree["type"]), jsons.dumps(tree))


def _failure_in(message: Message) -> bytes:
    """The error that a message is, as Anthropic's event for it; nothing where it is none."""
    headers = message.headers
    match headers.get(":message-type"):
        case "exception":
            return told(in_stream(headers.get(":exception-type", ""), message.payload))
        case "error":
            words = jsons.dumps({"message": headers.get(":error-message", "")})
            return told(in_stream(headers.get(":error-code", ""), words))
        case _:
            return b""
