"""Readers of the items of one response: each turns what frames say of its item into the events of a block, or several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

from attrs import define, field

from llmgw.events import BlockDelta, BlockKind, BlockMeta, BlockStart, BlockStop, Channel, Event, Progress
from llmgw.model import JSON, Carrier
from llmgw_dialects.ids import minted
from llmgw_dialects.openai_responses.calls import action_of
from llmgw_dialects.openai_responses.citations import read_annotation
from llmgw_dialects.openai_responses.names import (
    BY_CALL,
    HOSTED,
    NAME,
    RESULTS,
    VENDOR,
    dict_of,
    input_of,
    list_of,
    text_of,
)

_PHASES: Final = ("commentary", "final_answer")


@define(eq=False)
class ItemReader(ABC):
    """Reads one item.

    Args:
        blocks: the indices of the response's blocks.
    """

    _blocks: Iterator[int]
    id: str = ""
    call_id: str = ""
    type: str = ""
    closed: bool = False

    def begin(self, item: dict[str, Any]) -> Iterator[Event]:
        """The item is announced."""
        self._note(item)
        return iter(())

    @abstractmethod
    def more(self, kind: str, tree: dict[str, Any]) -> Iterator[Event]:
        """A frame says more of it."""

    @abstractmethod
    def done(self, item: dict[str, Any]) -> Iterator[Event]:
        """It is complete, and this is all of it."""

    def close(self) -> list[Event]:
        """Nothing more will come of it."""
        return []

    def _note(self, item: dict[str, Any]) -> None:
        self.id = self.id or text_of(item, "id")
        self.call_id = self.call_id or text_of(item, "call_id")
        self.type = self.type or text_of(item, "type")


@define(eq=False)
class Growing:
    """A text that grows in one block: what has been told of it, so that no more is told than there is."""

    index: int
    channel: Channel
    part: int = 0
    told: list[str] = field(factory=list)
    open: bool = True
    logprobs: bool = False
    annotations: list[JSON] = field(factory=list)

    def more(self, fragment: str) -> Iterator[Event]:
        """A fragment."""
        if fragment:
            self.told.append(fragment)
            yield BlockDelta(index=self.index, channel=self.channel, fragment=fragment, part=self.part)

    def rest(self, text: str) -> Iterator[Event]:
        """What of the whole text has not been told."""
        told = "".join(self.told)
        if len(text) > len(told) and text.startswith(told):
            yield from self.more(text[len(told) :])

    def annotate(self, entry: JSON) -> Iterator[Event]:
        """An annotation."""
        self.annotations.append(entry)
        citation = read_annotation(entry)
        if citation is not None:
            yield BlockMeta(index=self.index, what="citation", value=citation)
        else:
            yield BlockMeta(index=self.index, what="extra", value={"annotations": [entry]})

    def count(self, logprobs: JSON) -> Iterator[Event]:
        """What each token was worth."""
        if isinstance(logprobs, list) and logprobs:
            self.logprobs = True
            yield BlockMeta(index=self.index, what="logprobs", value=logprobs)

    def whole(self, part: dict[str, Any]) -> Iterator[Event]:
        """What of the whole content part has not been told."""
        yield from self.rest(text_of(part, "refusal" if self.channel == "refusal" else "text"))
        if not self.logprobs:
            yield from self.count(part.get("logprobs"))
        for entry in list_of(part, "annotations")[len(self.annotations) :]:
            yield from self.annotate(entry)


@define(eq=False)
class MessageReader(ItemReader):
    """Reads a message: each part of its content is a block; ``group`` numbers the message."""

    group: int = 0
    refused: bool = False
    _phase: str | None = None
    _parts: dict[int, Growing] = field(factory=dict)
    _things: set[int] = field(factory=set)

    def more(self, kind: str, tree: dict[str, Any]) -> Iterator[Event]:
        """A frame says more of it."""
        at = tree.get("content_index")
        at = at if isinstance(at, int) else max(self._parts, default=0)
        match kind:
            case "response.content_part.added":
                part = dict_of(tree, "part")
                if at not in self._parts and text_of(part, "type") in ("output_text", "refusal"):
                    yield from self._open(at, part)
                    yield from self._parts[at].whole(part)
            case "response.output_text.delta" | "response.refusal.delta":
                yield from self._open(at, {"type": "refusal" if "refusal" in kind else "output_text"})
                yield from self._parts[at].more(text_of(tree, "delta"))
                yield from self._parts[at].count(tree.get("logprobs"))
            case "response.output_text.annotation.added" if "annotation" in tree:
                yield from self._open(at, {"type": "output_text"})
                yield from self._parts[at].annotate(tree["annotation"])
            case "response.output_text.done" | "response.refusal.done" if at in self._parts:
                yield from self._parts[at].rest(text_of(tree, "text") or text_of(tree, "refusal"))
            case "response.content_part.done":
                yield from self._whole(at, dict_of(tree, "part"))
            case _:
                pass

    def done(self, item: dict[str, Any]) -> Iterator[Event]:
        """All of it."""
        self._note(item)
        known = sorted({*self._parts, *self._things})  # some count them from one
        for number, part in enumerate(list_of(item, "content")):
            if isinstance(part, dict):
                at = known[number] if number < len(known) else max((*known, *self._parts, *self._things), default=-1) + 1
                yield from self._whole(at, part)
        yield from self.close()

    def close(self) -> list[Event]:
        """The blocks that are open."""
        self.closed = True
        return [event for at in self._parts for event in self._stop(at)]

    def _note(self, item: dict[str, Any]) -> None:
        super()._note(item)
        self._phase = self._phase or text_of(item, "phase") or None

    def _open(self, at: int, part: dict[str, Any]) -> Iterator[Event]:
        if at in self._parts:
            return
        refusal = text_of(part, "type") == "refusal"
        self.refused |= refusal
        index = next(self._blocks)
        self._parts[at] = Growing(index, "refusal" if refusal else "text")
        meta: dict[str, Any] = {"group": self.group}
        if self.id:
            meta["id"] = self.id
        if self._phase in _PHASES:
            meta["phase"] = self._phase
        yield BlockStart(index=index, kind="refusal" if refusal else "text", meta=meta)

    def _whole(self, at: int, part: dict[str, Any]) -> Iterator[Event]:
        """A content part is complete."""
        if text_of(part, "type") in ("output_text", "refusal"):
            yield from self._open(at, part)
            if self._parts[at].open:
                yield from self._parts[at].whole(part)
                yield from self._stop(at)
        elif part and at not in self._things and at not in self._parts:
            self._things.add(at)
            index = next(self._blocks)
            item = {"id": self.id, "type": "message", "status": "completed", "role": "assistant", "content": [part]}
            yield BlockStart(index=index, kind="opaque", meta={"dialect": NAME, "type": "message", "raw": item})
            yield BlockStop(index=index)

    def _stop(self, at: int) -> list[Event]:
        part = self._parts[at]
        if not part.open:
            return []
        part.open = False
        return [BlockStop(index=part.index)]


@define(eq=False)
class ThoughtReader(ItemReader):
    """Reads a thought: one block, with summary texts and raw texts, and what OpenAI has encrypted."""

    _block: int = -1
    _texts: dict[tuple[Channel, int], Growing] = field(factory=dict)

    def begin(self, item: dict[str, Any]) -> Iterator[Event]:
        """The thought is announced; what is encrypted may not be whole yet."""
        self._note(item)
        yield from self._start()

    def more(self, kind: str, tree: dict[str, Any]) -> Iterator[Event]:
        """A frame says more of it."""
        yield from self._start()
        if kind == "response.reasoning_summary_text.delta":
            yield from self._text("reasoning_summary", tree.get("summary_index")).more(text_of(tree, "delta"))
        elif kind == "response.reasoning_text.delta":
            yield from self._text("reasoning_raw", tree.get("content_index")).more(text_of(tree, "delta"))
        elif kind == "response.reasoning_summary_text.done":
            yield from self._text("reasoning_summary", tree.get("summary_index")).rest(text_of(tree, "text"))
        elif kind == "response.reasoning_text.done":
            yield from self._text("reasoning_raw", tree.get("content_index")).rest(text_of(tree, "text"))

    def done(self, item: dict[str, Any]) -> Iterator[Event]:
        """All of it."""
        self._note(item)
        yield from self._start()
        told: tuple[tuple[str, Channel], ...] = (("summary", "reasoning_summary"), ("content", "reasoning_raw"))
        for key, channel in told:
            for at, part in enumerate(list_of(item, key)):
                if isinstance(part, dict):
                    yield from self._text(channel, at).rest(text_of(part, "text"))
        if payload := text_of(item, "encrypted_content"):
            carrier = Carrier(VENDOR, "encrypted_content", payload)
            yield BlockMeta(index=self._block, what="carrier", value=carrier)
        self.closed = True
        yield BlockStop(index=self._block, final=item)

    def close(self) -> list[Event]:
        """The block, if it is open."""
        if self.closed or self._block < 0:
            return []
        self.closed = True
        return [BlockStop(index=self._block)]

    def _start(self) -> Iterator[Event]:
        if self._block < 0:
            self._block = next(self._blocks)
            yield BlockStart(index=self._block, kind="reasoning", meta={"id": self.id} if self.id else {})

    def _text(self, channel: Channel, at: JSON) -> Growing:
        number = at if isinstance(at, int) else 0
        if (channel, number) not in self._texts:
            self._texts[channel, number] = Growing(self._block, channel, number)
        return self._texts[channel, number]


@define(eq=False)
class CallReader(ItemReader):
    """Reads a call of a tool of the client's."""

    _block: int = -1
    _text: Growing | None = None

    def begin(self, item: dict[str, Any]) -> Iterator[Event]:
        """The call is announced; one of OpenAI's own tools is told once it is done."""
        self._note(item)
        if self.type not in BY_CALL:
            yield from self._start(item)
            yield from self._told(item)

    def more(self, kind: str, tree: dict[str, Any]) -> Iterator[Event]:
        """A frame says more of it."""
        if self.type in BY_CALL:
            yield Progress(kind="processing", state=tree)
            return
        yield from self._start({"type": self.type})
        assert self._text is not None
        if kind.endswith(".delta"):
            yield from self._text.more(text_of(tree, "delta"))
        elif kind.endswith(".done"):
            yield from self._told(tree)

    def done(self, item: dict[str, Any]) -> Iterator[Event]:
        """All of it."""
        self._note(item)
        yield from self._start(item)
        yield from self._told(item)
        self.closed = True
        yield BlockStop(index=self._block, final=item)

    def close(self) -> list[Event]:
        """The block, if it is open."""
        if self.closed or self._block < 0:
            return []
        self.closed = True
        return [BlockStop(index=self._block)]

    def _start(self, item: dict[str, Any]) -> Iterator[Event]:
        if self._block >= 0:
            return
        self._block = next(self._blocks)
        custom = self.type == "custom_tool_call"
        self._text = Growing(self._block, "input" if custom else "args")
        name = BY_CALL[self.type].tool if self.type in BY_CALL else text_of(item, "name")
        ident = self.call_id or self.id or minted("call_", self._block, name)
        meta: dict[str, Any] = {"call_id": ident, "name": name}
        if self.id:
            meta["id"] = self.id
        if self.type in BY_CALL:
            meta["kind"] = "builtin"
        if namespace := text_of(item, "namespace"):
            meta["namespace"] = namespace
        if item.get("caller") is not None:
            meta["caller"] = item["caller"]
        if item.get("async") is True:
            meta["is_async"] = True
        kind: BlockKind = "custom_tool_call" if custom else "tool_call"
        yield BlockStart(index=self._block, kind=kind, meta=meta)

    def _told(self, item: dict[str, Any]) -> Iterator[Event]:
        assert self._text is not None
        if self.type in BY_CALL:
            yield from self._text.rest(action_of({"type": self.type, **item}))
        else:
            yield from self._text.rest(text_of(item, "input") or text_of(item, "arguments"))


@define(eq=False)
class ThingReader(ItemReader):
    """Reads an item that is a block as a whole: of a tool that OpenAI runs, or of a type that we do not know."""

    def more(self, kind: str, tree: dict[str, Any]) -> Iterator[Event]:
        """A frame says more of it: that it goes on is all that there is to tell."""
        yield Progress(kind="server_tool", state={"type": kind, "id": self.id})

    def done(self, item: dict[str, Any]) -> Iterator[Event]:
        """All of it."""
        self._note(item)
        self.closed = True
        index = next(self._blocks)
        ident = self.call_id or self.id or None
        if self.type in HOSTED:
            meta = {"tool": HOSTED[self.type], "id": ident, "input": input_of(item), "raw": item}
            yield BlockStart(index=index, kind="server_tool_call", meta=meta)
        elif self.type in RESULTS:
            meta = {"tool": RESULTS[self.type], "id": ident, "output": None, "raw": item}
            yield BlockStart(index=index, kind="server_tool_result", meta=meta)
        else:
            yield BlockStart(index=index, kind="opaque", meta={"dialect": NAME, "type": self.type, "raw": item})
        yield BlockStop(index=index, final=item)
