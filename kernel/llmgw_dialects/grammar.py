"""What the shared readers and relays must know of a dialect."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from attrs import frozen

from llmgw import sse
from llmgw.errors import UpstreamReply
from llmgw.events import Event
from llmgw.model import JSON
from llmgw_dialects.failures import loaded


class Grammar(Protocol):
    """What frames and bodies of a dialect mean, as far as every reader must know; it has no state."""

    name: ClassVar[str]
    """The dialect's."""
    wanted: ClassVar[str]
    """What a body is expected to be, for the message of one that is not: ``a chat completion with a list of choices``."""

    remembers: ClassVar[bool]
    """Whether its reader of replies must see each piece of a text, to know at the end what was said."""

    def is_body(self, tree: dict[str, Any]) -> bool:
        """Whether this is a whole reply."""
        ...

    def says(self, name: str, tree: dict[str, Any]) -> bool:
        """Whether a frame has something of meaning for the client, so that the reply is committed once it is sent."""
        ...

    def suspects(self, block: bytes) -> bool:
        """Whether these whole frames may hold an error; cheap, and never wrong when it says no."""
        ...

    def error_in(self, name: str, tree: JSON) -> JSON:
        """The error in a frame's or body's JSON that came with a 200; None if there is none."""
        ...


class ReplyReader(Protocol):
    """Reads the JSON of one reply's frames into events, each frame once; a whole body is one frame of a complete stream."""

    @property
    def started(self) -> bool:
        """Whether any frame has come."""
        ...

    @property
    def empty(self) -> bool:
        """Whether nothing has come that could be a reply."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the reply may end here: all that began has ended."""
        ...

    def read(self, name: str, tree: dict[str, Any]) -> list[Event]:
        """Take one frame: the event's name, empty where the frame has none, and its JSON.

        The last event is the terminal one if nothing can follow this frame.
        """
        ...

    def finish(self) -> list[Event]:
        """The provider has said that all is said: what closes that which is open, without the terminal event."""
        ...


@frozen
class InBand:
    """An error in a stream: where its frame begins, its data, and the error in it."""

    at: int
    data: bytes
    error: JSON


def find_error(grammar: Grammar, block: bytes) -> InBand | None:
    """The first error among whole frames, or in a body that came instead of a stream."""
    if block.lstrip()[:1] in (b"{", b"["):
        tree = loaded(block)
        error = None if tree is None else grammar.error_in("", tree)
        return None if error is None else InBand(0, block.strip(), error)
    at = 0
    for frame in sse.frames(block):
        name, data = sse.parse(frame)
        if data is not None and (name == "error" or grammar.suspects(frame)):
            tree = loaded(data)
            error = None if tree is None else grammar.error_in(name, tree)
            if name == "error" and error is None:
                error = tree or data.decode(errors="replace")
            if error is not None:
                return InBand(at, data, error)
        at += len(frame)
    return None


def own_error(grammar: Grammar, upstream: UpstreamReply | None) -> bytes | None:
    """A provider's own error body, if it spoke this dialect: the whole body, or the data of its frame in a stream."""
    if upstream is None or upstream.dialect != grammar.name:
        return None
    if isinstance(loaded(upstream.body), dict):
        return upstream.body
    found = find_error(grammar, upstream.body)
    return found.data if found is not None and isinstance(loaded(found.data), dict) else None
