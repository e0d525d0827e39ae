"""Events become pieces of chunks: what of ``choices[].delta`` one event is worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from attrs import define, field, frozen

from llmgw.events import BlockDelta, BlockKind, BlockMeta, BlockStart, BlockStop, Event, Stop
from llmgw.model import JSON, Carrier, Citation
from llmgw_dialects.ids import minted
from llmgw_dialects.openai_chat.citations import is_own, write_citation
from llmgw_dialects.openai_chat.names import NAME
from llmgw_dialects.openai_chat.reasoning import carried_details, extra_details, sealed_detail
from llmgw_dialects.openai_chat.stops import write_stop

_KEYS: Final = {
    "text": "content",
    "reasoning_raw": "reasoning_content",
    "reasoning_summary": "reasoning_content",
    "refusal": "refusal",
}


@frozen
class Piece:
    """Part of a chunk: of one choice, a delta, or logprobs, or the finish_reason."""

    choice: int
    delta: dict[str, Any] = field(factory=dict)
    logprobs: JSON = None
    finish: str | None = None


@define
class _Block:
    kind: BlockKind
    legacy: bool = False
    tool: int = 0
    details: bool = False
    part: int | None = None
    thought: list[str] = field(factory=list)
    text: list[str] = field(factory=list)
    before: int = 0
    cited: list[Citation] = field(factory=list)


@define(eq=False)
class Deltas:
    """Turns events into pieces; knows the numbers of tool calls and annotations."""

    _blocks: dict[tuple[int, int], _Block] = field(factory=dict)
    _tools: dict[int, int] = field(factory=dict)
    _annotations: dict[int, int] = field(factory=dict)
    _sealed: dict[int, int] = field(factory=dict)
    _texts: dict[int, int] = field(factory=dict)
    """Characters of content, by choice."""
    _refusals: set[int] = field(factory=set)

    def note(self, event: Event) -> None:
        """Take an event that is written otherwise, for the sake of those that follow."""
        if isinstance(event, BlockDelta):
            self._spoken(event)
        elif not isinstance(event, Stop):
            self.pieces(event)

    def _spoken(self, event: BlockDelta) -> None:
        if event.channel == "text":
            block = self._blocks.setdefault((event.choice, event.index), _Block("text"))
            if not block.text:
                block.before = self._texts.get(event.choice, 0)
            block.text.append(event.fragment)
            self._texts[event.choice] = self._texts.get(event.choice, 0) + len(event.fragment)
        elif event.channel == "refusal":
            self._refusals.add(event.choice)

    def pieces(self, event: Event) -> Iterable[Piece]:
        """What an event is worth; events of blocks that Chat has no word for are worth nothing."""
        match event:
            case BlockStart():
                return self._start(event)
            case BlockDelta():
                return self._delta(event)
            case BlockMeta():
                return self._meta(event)
            case BlockStop():
                return self._cited(event)
            case Stop():
                own = event.frame is not None and event.frame.dialect == NAME
                silent = event.choice not in self._texts and event.choice not in self._refusals
                told = event.choice in self._refusals or bool(event.reason.explanation)
                reason = write_stop(event.reason, own=own, untold=silent or not told)
                return [*self._explained(event, own=own), Piece(event.choice, finish=reason)]
            case _:
                return ()

    def _explained(self, event: Stop, *, own: bool) -> Iterable[Piece]:
        """Why the model refused, where it has not said so itself."""
        why = event.reason.explanation
        if own or not why or event.reason.kind not in ("refusal", "content_filter") or event.choice in self._refusals:
            return ()
        return [Piece(event.choice, {"refusal": why})]

    def _start(self, event: BlockStart) -> Iterable[Piece]:
        block = self._blocks[event.choice, event.index] = _Block(event.kind, legacy=bool(event.meta.get("legacy")))
        if event.kind in ("tool_call", "custom_tool_call"):
            return [Piece(event.choice, self._call(event, block))]
        if event.kind == "media" and event.meta.get("type") == "audio":
            return [Piece(event.choice, {"audio": {key: value for key, value in event.meta.items() if key != "type"}})]
        if event.kind == "opaque" and event.meta.get("dialect") == NAME:
            return [Piece(event.choice, {"content": [event.meta["raw"]]})]
        return ()

    def _call(self, event: BlockStart, block: _Block) -> dict[str, Any]:
        name = event.meta.get("name") or ""
        if block.legacy:
            return {"function_call": {"name": name, "arguments": ""}}
        following = self._tools.get(event.choice, 0)
        given = event.meta.get("index")
        block.tool = given if isinstance(given, int) else following
        self._tools[event.choice] = max(following, block.tool + 1)
        ident = event.meta.get("call_id") or minted("call_", event.choice, event.index, name)
        entry: dict[str, Any] = {"index": block.tool, "id": ident}
        if block.kind == "custom_tool_call":
            entry |= {"type": "custom", "custom": {"name": name, "input": ""}}
        else:
            entry |= {"type": "function", "function": {"name": name, "arguments": ""}}
        return {"tool_calls": [entry]}

    def _delta(self, event: BlockDelta) -> Iterable[Piece]:
        block = self._blocks.setdefault((event.choice, event.index), _Block("text"))
        match event.channel:
            case "args" | "input" if block.legacy:
                return [Piece(event.choice, {"function_call": {"arguments": event.fragment}})]
            case "args":
                entry = {"index": block.tool, "function": {"arguments": event.fragment}}
                return [Piece(event.choice, {"tool_calls": [entry]})]
            case "input":
                return [Piece(event.choice, {"tool_calls": [{"index": block.tool, "custom": {"input": event.fragment}}]})]
            case "media":
                return [Piece(event.choice, {"audio": {"data": event.fragment}})] if block.kind == "media" else ()
            case channel:
                self._spoken(event)
                # summary parts are paragraphs; Chat has but one string
                gap = "\n\n" if channel == "reasoning_summary" and block.part not in (None, event.part) else ""
                block.part = event.part
                if block.kind == "reasoning":
                    block.thought.append(gap + event.fragment)
                return [Piece(event.choice, {_KEYS[channel]: gap + event.fragment})]

    def _meta(self, event: BlockMeta) -> Iterable[Piece]:
        block = self._blocks.setdefault((event.choice, event.index), _Block("text"))
        match event.value:
            case Citation():
                return self._citation(event.choice, event.value, block)
            case Carrier():
                return self._carrier(event.choice, event.value, block)
            case list() if event.what == "logprobs":
                key = "refusal" if block.kind == "refusal" else "content"
                other = "content" if key == "refusal" else "refusal"
                return [Piece(event.choice, logprobs={key: event.value, other: None})]
            case dict() if details := extra_details(event.value):
                block.details = True
                own = event.frame is not None and event.frame.dialect == NAME  # then as the provider counts, or does not
                return [Piece(event.choice, {"reasoning_details": details if own else _indexed(details)})]
            case dict() if block.kind == "media" and event.what == "extra":
                return [Piece(event.choice, {"audio": dict(event.value)})]
            case {"annotations": list(entries)}:
                return [Piece(event.choice, {"annotations": [self._annotation(event.choice, entry) for entry in entries]})]
            case _:
                return ()

    def _citation(self, choice: int, citation: Citation, block: _Block) -> Iterable[Piece]:
        """Chat's own goes out at once; of another's the offsets are known when the text is."""
        if not is_own(citation):
            block.cited.append(citation)
            return ()
        return [Piece(choice, {"annotations": [self._annotation(choice, citation.raw)]})]

    def _cited(self, event: BlockStop) -> Iterable[Piece]:
        block = self._blocks.get((event.choice, event.index))
        if block is None or not block.cited:
            return ()
        text = "".join(block.text)
        made = [entry for one in block.cited if (entry := write_citation(one, text, block.before)) is not None]
        return [Piece(event.choice, {"annotations": [self._annotation(event.choice, entry)]}) for entry in made]

    def _annotation(self, choice: int, entry: JSON) -> JSON:
        """With an index: the SDK's accumulator raises at a list without."""
        number = self._annotations.get(choice, 0)
        self._annotations[choice] = number + 1
        return {"index": number, **entry} if isinstance(entry, dict) else entry

    def _carrier(self, choice: int, carrier: Carrier, block: _Block) -> Iterable[Piece]:
        if carrier.kind == "thought_signature" and block.kind in ("tool_call", "custom_tool_call") and not block.legacy:
            google = {"google": {"thought_signature": carrier.payload}}
            # without a function the SDK's accumulator asserts
            call = {"custom": {"input": ""}} if block.kind == "custom_tool_call" else {"function": {"arguments": ""}}
            entry = {"index": block.tool, **call, "extra_content": google}
            return [Piece(choice, {"tool_calls": [entry]})]
        if carrier.kind == "details" and block.kind == "reasoning":
            # the pieces, where there were some, have said it already
            return () if block.details else [Piece(choice, {"reasoning_details": _indexed(carried_details(carrier))})]
        if block.kind == "reasoning":
            number = self._sealed.get(choice, 0)
            self._sealed[choice] = number + 1
            return [Piece(choice, {"reasoning_details": [{**sealed_detail(carrier, "".join(block.thought)), "index": number}]})]
        return ()


def _indexed(details: list[JSON]) -> list[JSON]:
    """With an index each: the SDK's accumulator raises at a list without."""
    return [
        {**entry, "index": number} if isinstance(entry, dict) and entry.get("index") is None else entry
        for number, entry in enumerate(details)
    ]
