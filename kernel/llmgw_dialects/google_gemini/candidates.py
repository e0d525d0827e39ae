"""A provider's JSON becomes events: chunk after chunk of a stream, or a whole body, which is read as one big chunk.

Rules that hold here (each has a test named after it):

- Each chunk is a whole response. Parts of one kind that follow one another are one block, in and across chunks.
- A signature ends its block: nothing may be joined to what is signed. On an empty text it belongs behind the open block.
- A call is a block that opens and closes at once; only Vertex sends one in pieces.
- ``STOP`` behind calls means that they are to be run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import Any, Final, Literal

from attrs import define, field

from llmgw import sse
from llmgw.events import (
    BlockDelta,
    BlockKind,
    BlockMeta,
    BlockStart,
    BlockStop,
    Channel,
    Event,
    Progress,
    ResponseStart,
    Stop,
    StopReason,
    UsageUpdate,
)
from llmgw.model import JSON, ServerToolCall
from llmgw.splice import Path
from llmgw_dialects.google_gemini.calls import arguments_text
from llmgw_dialects.google_gemini.citations import read_citations, told
from llmgw_dialects.google_gemini.logprobs import read_logprobs
from llmgw_dialects.google_gemini.names import (
    NAME,
    at,
    candidates_of,
    has,
    index_of,
    known,
    object_of,
    parts_of,
    text_of,
)
from llmgw_dialects.google_gemini.partial import PartialCall, is_partial
from llmgw_dialects.google_gemini.parts import read_server, type_of
from llmgw_dialects.google_gemini.signatures import google
from llmgw_dialects.google_gemini.stops import blocked, read_stop
from llmgw_dialects.google_gemini.usage import read_usage
from llmgw_dialects.ids import minted

_ENVELOPE: Final = ("candidates", "usageMetadata", "modelVersion", "responseId", "error")
_PLAIN: Final = frozenset({"content", "index"})
_COMMON: Final = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "createTime"})
"""All keys of a candidate and of a chunk that say nothing but more of a text."""
_CHANNELS: Final[dict[BlockKind, Channel]] = {"text": "text", "reasoning": "reasoning_summary"}


@define(eq=False)
class ChunkReader:
    """Reads the chunks of one reply, in their order.

    Args:
        wire: the bytes that the chunk at hand came in, for numbers that JSON libraries would bend.
        below: where in these the response stands.
    """

    wire: bytes = b""
    below: Path = ()
    started: bool = False
    _blocked: bool = False
    _id: str = ""
    _choices: dict[int, ChoiceReader] = field(factory=dict)
    _usage: JSON = None

    def read(self, name: str, tree: dict[str, Any]) -> list[Event]:
        """What one chunk, or a whole body, says; nothing if it says nothing."""
        if (more := self._more(tree)) is not None:
            return more
        events: list[Event] = []
        candidates = candidates_of(tree)
        feedback = object_of(tree, "promptFeedback")
        usage = read_usage(at(tree, "usageMetadata"))
        if not self.started and (candidates or feedback or usage or has(tree, "responseId")):
            events.append(self._start(tree))
        for position, candidate in enumerate(candidates):
            events += self._choice(index_of(candidate, position)).read(candidate, self._exact(position))
        reason = at(feedback, "blockReason")
        if reason and not candidates and not self._choices:
            self._blocked = True
            choice = self._choice(0)
            events += choice.stopped(blocked(str(reason), text_of(feedback, "blockReasonMessage")))
        if usage is not None:
            events.append(UsageUpdate(usage=usage))
        return events

    def _more(self, tree: dict[str, Any]) -> list[Event] | None:
        """What nearly every chunk says, found without looking at all that it might: more of the text that is being said."""
        candidates = tree.get("candidates")
        if not isinstance(candidates, list) or len(candidates) != 1 or not tree.keys() <= _COMMON:
            return None
        candidate = candidates[0]
        content = candidate.get("content") if isinstance(candidate, dict) and candidate.keys() <= _PLAIN else None
        parts = content.get("parts") if isinstance(content, dict) else None
        if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict) or len(parts[0]) != 1:
            return None
        text, reader = parts[0].get("text"), self._choices.get(candidate.get("index", 0))
        if not text or not isinstance(text, str) or reader is None or not reader.says_text:
            return None
        return [reader.more(text), *self._counted(tree.get("usageMetadata"))]

    def _counted(self, raw: JSON) -> Iterator[Event]:
        """What was used, if that has changed: every chunk tells it again."""
        if raw is not None and raw != self._usage:
            self._usage = raw
            if (usage := read_usage(raw)) is not None:
                yield UsageUpdate(usage=usage)

    def finish(self) -> list[Event]:
        """The provider says that all is said: the stops that did not come."""
        return [event for choice in self._choices.values() for event in choice.stopped(StopReason("other"))]

    @property
    def complete(self) -> bool:
        """Whether each candidate that began has ended, or the prompt was refused."""
        return bool(self._choices) and all(choice.ended for choice in self._choices.values())

    @property
    def empty(self) -> bool:
        """Whether no candidate has begun."""
        return not self._choices

    def _choice(self, index: int) -> ChoiceReader:
        if index not in self._choices:
            self._choices[index] = ChoiceReader(index, self._id)
        return self._choices[index]

    def _exact(self, position: int) -> tuple[bytes, Path]:
        return self.wire, (*self.below, "candidates", position)

    def _start(self, tree: dict[str, Any]) -> ResponseStart:
        self.started = True
        self._id = text_of(tree, "responseId")
        extras = known(tree, *_ENVELOPE)
        return ResponseStart(
            id=self._id or None,
            model=text_of(tree, "modelVersion") or None,
            created=_seconds(text_of(tree, "createTime")),
            extras={NAME: extras} if extras else {},
        )


@define(eq=False)
class ChoiceReader:
    """Reads one candidate's parts; ``_open`` is its block of text or reasoning that may still grow."""

    index: int
    _salt: str
    ended: bool = False
    _open: BlockKind | None = None
    _block: int = -1
    _blocks: Iterator[int] = field(factory=count)
    _called: bool = False
    _partial: PartialCall | None = None
    _cited: set[tuple[Any, ...]] = field(factory=set)

    @property
    def says_text(self) -> bool:
        """Whether a text is open that may grow."""
        return self._open == "text" and not self.ended and self._partial is None

    def more(self, text: str) -> Event:
        """More of the text that is open."""
        return BlockDelta(index=self._block, choice=self.index, channel="text", fragment=text)

    def read(self, candidate: dict[str, Any], exact: tuple[bytes, Path]) -> list[Event]:
        """What a candidate of a chunk says."""
        events: list[Event] = []
        for number, part in enumerate(parts_of(candidate)):
            events += self._part(part, (exact[0], (*exact[1], "content", "parts", number)))
        events += self._about(candidate)
        reason = at(candidate, "finishReason")
        if reason:
            message, token = text_of(candidate, "finishMessage"), text_of(candidate, "continuationToken")
            events += self._close()
            events += self.stopped(read_stop(reason, called=self._called, message=message, token=token))
        return events

    def stopped(self, reason: StopReason) -> list[Event]:
        """The candidate ends, unless it has ended before."""
        events = self._close()
        if self.ended:
            return events
        self.ended = True
        return [*events, Stop(choice=self.index, reason=reason)]

    def _part(self, part: dict[str, Any], exact: tuple[bytes, Path]) -> Iterator[Event]:
        if has(part, "functionCall"):
            yield from self._call(part, exact)
            return
        if self._partial is not None:
            yield from self._end_partial()
        if has(part, "inlineData"):
            yield from self._media(part)
        elif has(part, "text") or not known(part, "thoughtSignature", "thought"):  # some hold nothing at all
            yield from self._text(part)
        else:
            yield from self._carried(part)

    def _text(self, part: dict[str, Any]) -> Iterator[Event]:
        kind: BlockKind = "reasoning" if part.get("thought") is True else "text"
        text, signature = text_of(part, "text"), text_of(part, "thoughtSignature")
        if text:
            yield from self._begin(kind)
            yield BlockDelta(index=self._block, choice=self.index, channel=_CHANNELS[kind], fragment=text)
        if not signature:
            return
        after = not text and self._open is not None
        if self._open is None:
            yield from self._begin("text")
        yield self._meta("carrier", google(signature, after=after))
        yield from self._end_block()

    def _call(self, part: dict[str, Any], exact: tuple[bytes, Path]) -> Iterator[Event]:
        call = object_of(part, "functionCall")
        self._called = True
        if self._partial is not None and (text_of(call, "name") or not (is_partial(call) or not call)):
            yield from self._end_partial()
        yield from self._end_block()
        if self._partial is None:
            arguments = arguments_text(object_of(call, "args"), *_below(exact))
            yield self._begin_call(call, arguments)
            if signature := text_of(part, "thoughtSignature"):
                yield self._meta("carrier", google(signature))
            if not is_partial(call):
                yield BlockDelta(index=self._block, choice=self.index, channel="args", fragment=arguments)
                yield BlockStop(index=self._block, choice=self.index)
                return
            self._partial = PartialCall(self._block)
        if self._partial.take(call):
            yield from self._end_partial()
        else:
            yield Progress(kind="in_progress")

    def _begin_call(self, call: dict[str, Any], arguments: str) -> BlockStart:
        self._block = next(self._blocks)
        name, ident = text_of(call, "name"), text_of(call, "id")
        meta: dict[str, JSON] = {
            "call_id": ident or minted("call_", self._salt or arguments, self.index, self._block, name),
            "name": name,
        }
        if ident:
            meta["native_id"] = ident
        return BlockStart(index=self._block, choice=self.index, kind="tool_call", meta=meta)

    def _end_partial(self) -> Iterator[Event]:
        if self._partial is not None:
            block, text = self._partial.block, self._partial.text
            self._partial = None
            yield BlockDelta(index=block, choice=self.index, channel="args", fragment=text)
            yield BlockStop(index=block, choice=self.index)

    def _media(self, part: dict[str, Any]) -> Iterator[Event]:
        blob = object_of(part, "inlineData")
        media_type = text_of(blob, "mimeType")
        kind = media_type.partition("/")[0]
        if kind not in ("image", "audio"):
            yield from self._carried(part)
            return
        yield from self._end_block()
        yield self._new("media", {"type": kind, "media_type": media_type})
        yield BlockDelta(index=self._block, choice=self.index, channel="media", fragment=text_of(blob, "data"))
        if signature := text_of(part, "thoughtSignature"):
            yield self._meta("extra", {NAME: {"thoughtSignature": signature}})
        yield from self._end_block()

    def _carried(self, part: dict[str, Any]) -> Iterator[Event]:
        """What is a block of its own, as it came."""
        server = read_server(part)
        yield from self._end_block()
        if server is None:
            yield self._new("opaque", {"dialect": NAME, "type": type_of(part), "raw": part})
        elif isinstance(server, ServerToolCall):
            meta = {"tool": server.tool, "id": server.id, "input": server.input, "raw": part}
            yield self._new("server_tool_call", meta)
        else:
            yield self._new("server_tool_result", {"tool": server.tool, "id": server.id, "output": server.output, "raw": part})
        yield from self._end_block()

    def _about(self, candidate: dict[str, Any]) -> Iterator[Event]:
        """What a candidate says about its text."""
        if self._open != "text":
            return
        if logprobs := read_logprobs(at(candidate, "logprobsResult")):
            yield self._meta("logprobs", logprobs)
        for citation in read_citations(candidate):
            if told(citation) not in self._cited:
                self._cited.add(told(citation))
                yield self._meta("citation", citation)

    def _begin(self, kind: BlockKind) -> Iterator[Event]:
        if self._open != kind:
            yield from self._end_block()
            yield self._new(kind, {})

    def _new(self, kind: BlockKind, meta: dict[str, JSON]) -> Event:
        self._open, self._block = kind, next(self._blocks)
        return BlockStart(index=self._block, choice=self.index, kind=kind, meta=meta)

    def _end_block(self) -> Iterator[Event]:
        if self._open is not None:
            self._open = None
            yield BlockStop(index=self._block, choice=self.index)

    def _close(self) -> list[Event]:
        return [*self._end_partial(), *self._end_block()]

    def _meta(self, what: Literal["citation", "logprobs", "carrier", "extra"], value: JSON) -> Event:
        return BlockMeta(index=self._block, choice=self.index, what=what, value=value)


def _below(exact: tuple[bytes, Path]) -> tuple[bytes, Path]:
    """The bytes of a chunk's JSON, and where in them a part's arguments stand."""
    data, path = exact
    if data.lstrip()[:1] not in (b"{", b"["):
        data = sse.parse(data)[1] or b""
    return data, (*path, "functionCall", "args")


def _seconds(time: str) -> int | None:
    try:
        return int(datetime.fromisoformat(time).timestamp()) if time else None
    except ValueError:
        return None
