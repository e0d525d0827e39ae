"""A provider's JSON becomes events: frame after frame of a stream, or a whole message, whose blocks are read as if streamed.

Rules that hold here (each has a test named after it):

- Blocks are numbered in the order they open, however the provider counts.
- A tool call whose arguments came with its start, and not in pieces, tells them when it stops; one without any has ``{}``.
- What a server tool is asked, and what other blocks we do not look into become piece by piece, is told when they stop.
- A frame about a block that never opened opens it, if it says what kind of block it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from attrs import define, field

from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Event,
    Progress,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    UsageUpdate,
)
from llmgw.model import JSON, Carrier, RawDoc
from llmgw_dialects.anthropic_messages.arguments import read_input
from llmgw_dialects.anthropic_messages.blocks import server_call, server_result
from llmgw_dialects.anthropic_messages.citations import read_citation
from llmgw_dialects.anthropic_messages.names import NAME, VENDOR, object_of, text_of
from llmgw_dialects.anthropic_messages.stops import read_stop
from llmgw_dialects.anthropic_messages.usage import joined, read_usage
from llmgw_dialects.failures import loaded
from llmgw_dialects.reading import WholeReader

_MESSAGE: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage", "error"}
)
_OPENED_BY: Final = {"text_delta": {"type": "text"}, "thinking_delta": {"type": "thinking"}}


@define
class _Block:
    """A block that is open.

    Args:
        index: its canonical number.
        start: the ``content_block`` it began with.
    """

    index: int
    start: dict[str, Any]
    json: list[str] = field(factory=list)
    grown: dict[str, str] = field(factory=dict)
    kind: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.kind = text_of(self.start, "type")


@define(eq=False)
class MessageReader:
    """Reads one reply.

    Args:
        body: the whole message it is read from, for integers that are too wide for the reader of JSON.
    """

    body: RawDoc | None = None
    started: bool = False
    _stopped: bool = False
    _called: bool = False
    _next: int = 0
    _open: dict[int, _Block] = field(factory=dict)
    _usage: dict[str, Any] = field(factory=dict)

    @property
    def empty(self) -> bool:
        """Whether no message has begun."""
        return not self.started

    @property
    def complete(self) -> bool:
        """Whether the provider has said why it stopped; some close without ``message_stop``."""
        return self._stopped

    def read(self, name: str, tree: dict[str, Any]) -> list[Event]:
        """What one frame, or a whole message, says; nothing if it has no name here."""
        if (more := self._more(tree)) is not None:
            return [more]
        kind = text_of(tree, "type") or name
        match kind:
            case "message_start":
                return [] if self.started else [self._start(object_of(tree, "message"))]
            case "content_block_start":
                return self._begun([*self._block_start(_index(tree), object_of(tree, "content_block"))])
            case "content_block_delta":
                return self._begun([*self._delta(_index(tree), object_of(tree, "delta"))])
            case "content_block_stop":
                block = self._open.pop(_index(tree), None)
                return [] if block is None else [*self._block_stop(block)]
            case "message_delta":
                return self._begun([*self._end(object_of(tree, "delta"), tree.get("usage"))])
            case "message_stop":
                return self._begun([*self.finish(), ResponseEnd()])
            case "ping":
                return [Progress()]
            case _ if isinstance(tree.get("content"), list):
                return [*self._whole(tree)]
            case _:
                return []

    def _more(self, tree: dict[str, Any]) -> BlockDelta | None:
        """What nearly every frame says, found without looking at all that it might: more of a text."""
        if tree.get("type") != "content_block_delta":
            return None
        delta, block = tree.get("delta"), self._open.get(_index(tree))
        if block is None or block.kind != "text" or not isinstance(delta, dict) or delta.get("type") != "text_delta":
            return None
        text = delta.get("text")
        return BlockDelta(index=block.index, channel="text", fragment=text) if text and isinstance(text, str) else None

    def finish(self) -> list[Event]:
        """The provider has said that all is said."""
        events = self._close()
        if not self._stopped:
            self._stopped = True
            events.append(Stop(reason=StopReason("other")))
        return events

    def _whole(self, tree: dict[str, Any]) -> Iterator[Event]:
        yield self._start(tree)
        for index, block in enumerate(tree["content"]):
            yield from self._block_start(index, block if isinstance(block, dict) else {"type": "", "": block})
            yield from self._block_stop(self._open.pop(index))
        yield from self._end(tree, tree.get("usage"))

    def _start(self, message: dict[str, Any]) -> Event:
        self.started = True
        self._usage = joined({}, message.get("usage"))
        extras = {key: value for key, value in message.items() if key not in _MESSAGE}
        return ResponseStart(
            id=text_of(message, "id") or None,
            model=text_of(message, "model") or None,
            usage=read_usage(self._usage),
            extras={NAME: extras} if extras else {},
        )

    def _begun(self, events: list[Event]) -> list[Event]:
        """With a start, if the provider left that out."""
        if events and not self.started:
            self.started = True
            return [ResponseStart(), *events]
        return events

    # ---- blocks

    def _block_start(self, wire: int, start: dict[str, Any]) -> Iterator[Event]:
        if (old := self._open.pop(wire, None)) is not None:
            yield from self._block_stop(old)
        block = self._open[wire] = _Block(self._next, start)
        self._next += 1
        kind, index = block.kind, block.index
        match kind:
            case "text":
                yield BlockStart(index=index, kind="text")
                yield from self._said(block, "text_delta", text_of(start, "text"))
                given = start.get("citations")
                for one in given if isinstance(given, list) else ():
                    yield from _cited(index, one)
            case "thinking":
                yield BlockStart(index=index, kind="reasoning")
                yield from self._said(block, "thinking_delta", text_of(start, "thinking"))
                yield from _signed(index, text_of(start, "signature"))
            case "redacted_thinking":
                yield BlockStart(index=index, kind="reasoning", meta={"redacted": True})
                carrier = Carrier(VENDOR, "redacted", text_of(start, "data"))
                yield BlockMeta(index=index, what="carrier", value=carrier)
            case "tool_use":
                self._called = True
                meta = {"call_id": text_of(start, "id"), "name": text_of(start, "name"), "caller": start.get("caller")}
                yield BlockStart(index=index, kind="tool_call", meta={k: v for k, v in meta.items() if v is not None})
                if extra := {key: value for key, value in start.items() if key not in ("type", "input", "id", "name", "caller")}:
                    yield BlockMeta(index=index, what="extra", value={NAME: extra})
            case _:
                yield self._served(block)

    def _served(self, block: _Block) -> Event:
        start = block.start
        if (call := server_call(start, start.get("input"))) is not None:
            raw = {key: value for key, value in start.items() if key != "input"}  # which the pieces may tell
            return BlockStart(index=block.index, kind="server_tool_call", meta={**call, "raw": raw})
        if (result := server_result(start)) is not None:
            return BlockStart(index=block.index, kind="server_tool_result", meta={**result, "raw": start})
        meta = {"dialect": NAME, "type": block.kind, "raw": start[""] if start.keys() == {"type", ""} else start}
        return BlockStart(index=block.index, kind="opaque", meta=meta)

    def _delta(self, wire: int, delta: dict[str, Any]) -> Iterator[Event]:
        kind = text_of(delta, "type")
        if wire not in self._open:
            if kind not in _OPENED_BY:
                return
            yield from self._block_start(wire, _OPENED_BY[kind])
        block = self._open[wire]
        match kind:
            case "text_delta":
                yield from self._said(block, kind, text_of(delta, "text"))
            case "thinking_delta":
                yield from self._said(block, kind, text_of(delta, "thinking"))
            case "input_json_delta":
                yield from self._asked(block, text_of(delta, "partial_json"))
            case "signature_delta" if block.kind == "thinking":
                yield from _signed(block.index, text_of(delta, "signature"))
            case "citations_delta" if block.kind == "text":
                yield from _cited(block.index, delta.get("citation"))
            case "compaction_delta":
                for key, value in delta.items():
                    if key != "type" and isinstance(value, str):
                        block.grown[key] = block.grown.get(key, "") + value
            case _:
                return

    def _said(self, block: _Block, kind: str, text: str) -> Iterator[Event]:
        """More of a text or a thought; it is no text that stands in a block of another kind."""
        if not text or block.kind != _OPENED_BY[kind]["type"]:
            return
        thinks = kind == "thinking_delta"
        yield BlockDelta(index=block.index, channel="reasoning_summary" if thinks else "text", fragment=text)

    def _asked(self, block: _Block, fragment: str) -> Iterator[Event]:
        if fragment:
            block.json.append(fragment)
            if block.kind == "tool_use":
                yield BlockDelta(index=block.index, channel="args", fragment=fragment)

    def _block_stop(self, block: _Block) -> Iterator[Event]:
        index = block.index
        if block.kind == "tool_use" and not block.json:
            given = block.start.get("input")
            yield BlockDelta(index=index, channel="args", fragment=self._input(index, given))
        elif block.json and server_call(block.start, None) is not None:
            value = loaded("".join(block.json).encode("utf-8", "surrogatepass"))
            yield BlockMeta(index=index, what="extra", value={"input": value})
        elif block.grown:
            yield BlockMeta(index=index, what="extra", value={"raw": {**block.start, **block.grown}})
        yield BlockStop(index=index)

    def _input(self, index: int, given: JSON) -> str:
        return read_input({} if given is None else given, self.body, ("content", index, "input"))

    # ---- the end

    def _end(self, delta: dict[str, Any], usage: JSON) -> Iterator[Event]:
        if isinstance(usage, dict) and usage:
            self._usage = joined(self._usage, usage)
            if (counted := read_usage(self._usage)) is not None:
                yield UsageUpdate(usage=counted)
        reason = read_stop(delta, called=self._called)
        if reason is not None and not self._stopped:
            yield from self._close()
            self._stopped = True
            yield Stop(reason=reason)

    def _close(self) -> list[Event]:
        blocks = sorted(self._open.values(), key=lambda block: block.index)
        self._open.clear()
        return [event for block in blocks for event in self._block_stop(block)]


def _cited(index: int, raw: JSON) -> Iterator[Event]:
    citation = read_citation(raw)
    if citation is not None:
        yield BlockMeta(index=index, what="citation", value=citation)
    elif raw is not None:
        yield BlockMeta(index=index, what="extra", value={NAME: {"citations": [raw]}})


def _signed(index: int, signature: str) -> Iterator[Event]:
    if signature:
        yield BlockMeta(index=index, what="carrier", value=Carrier(VENDOR, "signature", signature))


def _index(tree: dict[str, Any]) -> int:
    index = tree.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else -1


@define(eq=False)
class MessageWholeReader(WholeReader):
    """Reads a whole message, with its bytes at hand."""

    def close(self) -> Iterable[Event]:
        """The provider has closed: all events."""
        assert isinstance(self.reply, MessageReader)
        self.reply.body = RawDoc(NAME, b"".join(self._body._pieces))
        return super().close()
