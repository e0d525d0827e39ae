"""Events of blocks become their frames, each block begun no sooner than there is something in it.

A block that came in this dialect begins when it began. Of another one's it is not known at once what it will be: a text may stay
empty, which clients refuse; a thought without words is a ``redacted_thinking``; a thought's signature may only come with
the call behind it (Gemini), so the thought is left open until then, and so are the first words of that call.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from llmgw import jsons
from llmgw.events import BlockDelta, BlockMeta, BlockStart, BlockStop, Event, Frame, Raw, StopReason
from llmgw.model import JSON, Carrier, Citation
from llmgw_dialects.anthropic_messages.blocks import is_caller, server_call, server_result
from llmgw_dialects.anthropic_messages.citations import write_citation
from llmgw_dialects.anthropic_messages.frames import delta, framed, is_own, like, renumbered
from llmgw_dialects.anthropic_messages.names import NAME, object_of, present
from llmgw_dialects.anthropic_messages.thinking import hidden, signature
from llmgw_dialects.ids import minted

_CALLS = ("tool_call", "custom_tool_call")


@define
class _Block:
    """A block that is being written.

    Args:
        start: what began it.
        own: whether it came in this dialect.
        number: as the client counts; None while it has not begun.
    """

    start: BlockStart
    own: bool
    number: int | None = None
    carrier: Carrier | None = None
    said: list[str] = field(factory=list)
    part: int | None = None
    held: list[BlockDelta] = field(factory=list)
    extra: dict[str, Any] = field(factory=dict)
    signed: bool = False
    pieces: bool = False
    """Whether pieces that we do not look into have gone out."""

    @property
    def kind(self) -> str:
        return self.start.kind


@define(eq=False)
class Blocks:
    """Writes the blocks of one reply; they come one behind the other."""

    refused: StopReason | None = None
    """What a refusal in words has told of itself."""

    _next: int = 0
    _open: dict[int, _Block] = field(factory=dict)
    _thought: _Block | None = None
    """A thought whose words are all said, but which may yet be signed by the call behind it."""
    _thinks: bool = False
    _called: bool = False

    def copy(self, index: int, frame: Frame, group: list[Event]) -> bytes:
        """A frame as it came, if the client knows its block; take note of its events for the sake of those that follow."""
        out = b""
        for event in group:
            if isinstance(event, BlockStart):
                out += self.settle()
                self._begin(event)
        block = self._open.get(index)
        if block is None:
            return out
        if block.number is None:  # its start came from elsewhere
            return out + b"".join(self.write(index, event) for event in group if not isinstance(event, BlockStart))
        for event in group:
            self._note(block, event)
        if block.kind == "reasoning" and any(isinstance(event, BlockStop) for event in group):
            out += self._signed(block)  # its own frame was changed
        return out + renumbered(frame, block.number)

    def write(self, index: int, event: Event) -> bytes:
        """What an event is worth."""
        if isinstance(event, BlockStart):
            block = self._open[index] = _Block(event, is_own(event))
            if block.kind == "refusal":
                meta = event.meta
                self.refused = StopReason("refusal", category=meta.get("category"), explanation=meta.get("explanation"))
            return self._started(block) if _begins(block) else b""
        block_ = self._open.get(index)
        if block_ is None:
            return b""
        match event:
            case BlockDelta():
                return self._delta(block_, event)
            case BlockMeta():
                return self._meta(block_, event)
            case BlockStop():
                del self._open[index]
                return self._stop(block_, event)
            case Raw(payload=dict(payload)):
                block_.pieces = True
                return self._started(block_) + framed({**payload, "index": block_.number})
            case _:
                return b""

    def settle(self, carrier: Carrier | None = None) -> bytes:
        """Close a thought that is still open.

        Args:
            carrier: came with the call behind it.
        """
        block, self._thought = self._thought, None
        if block is None:
            return b""
        block.carrier = carrier
        return self._signed(block) + _stopped(block)

    # ---- blocks of every kind

    def _begin(self, event: BlockStart) -> None:
        """Take note of a block whose start is copied."""
        self._open[event.index] = _Block(event, own=True, number=self._number(event))

    def _number(self, event: BlockStart) -> int:
        self._thinks |= event.kind == "reasoning"
        self._called |= event.kind in _CALLS
        self._next += 1
        return self._next - 1

    def _note(self, block: _Block, event: Event) -> None:
        match event:
            case BlockDelta():
                block.said.append(event.fragment)
            case BlockMeta(what="carrier", value=carrier):
                block.carrier, block.signed = carrier, True
            case Raw():
                block.pieces = True
            case BlockStop():
                self._open.pop(event.index, None)
            case _:
                pass

    def _started(self, block: _Block, content: dict[str, JSON] | None = None) -> bytes:
        """The start, once."""
        if block.number is not None:
            return b""
        if content is None and (content := _content(block)) is None:
            return b""
        out = self.settle()
        block.number = self._number(block.start)
        tree = like(block.start, "content_block_start")
        old = object_of(tree, "content_block")
        if old.get("type") == content.get("type"):
            content = {**old, **({"citations": []} if old.get("citations") else {}), **content}
        start = {"type": "content_block_start", "index": block.number}
        return out + framed(start | tree | {"index": block.number, "content_block": content})

    def _delta(self, block: _Block, event: BlockDelta) -> bytes:
        if not event.fragment:
            return b""
        match event.channel:
            case "text" | "refusal":
                return self._said(block, event, {"type": "text_delta", "text": event.fragment})
            case "reasoning_summary" | "reasoning_raw":
                # summary parts are paragraphs; a block has but one string
                gap = "\n\n" if event.channel == "reasoning_summary" and block.part not in (None, event.part) else ""
                block.part = event.part
                block.said.append(gap + event.fragment)
                return self._said(block, event, {"type": "thinking_delta", "thinking": gap + event.fragment})
            case "args" | "input":
                return self._asked(block, event)
            case _:
                return b""

    def _said(self, block: _Block, event: Event, said: dict[str, JSON]) -> bytes:
        out = self._started(block)
        return b"" if block.number is None else out + delta(event, block.number, said)

    def _meta(self, block: _Block, event: BlockMeta) -> bytes:
        match event.value:
            case Carrier() as carrier:
                return self._carried(block, carrier)
            case Citation() as citation:
                raw = write_citation(citation)
                return b"" if raw is None else self._said(block, event, {"type": "citations_delta", "citation": raw})
            case dict() as extra if event.what == "extra":
                cited = object_of(extra, NAME).get("citations")
                if block.kind == "text" and isinstance(cited, list):
                    return b"".join(self._said(block, event, {"type": "citations_delta", "citation": one}) for one in cited)
                block.extra |= extra
                return b""
            case _:
                return b""

    def _stop(self, block: _Block, event: Event) -> bytes:
        match block.kind:
            case "reasoning":
                return self._close_thought(block, event)
            case "tool_call" | "custom_tool_call":
                out = self._decided(block) if block.number is None or block.held else b""
                if block.kind == "custom_tool_call":
                    out += self._json(block, event, '"}' if block.said else '{"input":""}')
                return out + _stopped(block, event)
            case "server_tool_call":
                asked = block.extra.get("input", block.start.meta.get("input"))
                out = self._started(block)
                if not block.pieces and block.number is not None and asked not in (None, {}):
                    out += self._json(block, event, jsons.dumps(asked).decode("utf-8", "surrogatepass"))
                return out + _stopped(block, event)
            case "text" | "refusal":
                return b"" if block.number is None else _stopped(block, event)
            case _:
                return self._started(block) + _stopped(block, event)

    # ---- thoughts

    def _carried(self, block: _Block, carrier: Carrier) -> bytes:
        block.carrier, block.signed = carrier, False
        if block.kind == "reasoning" and block.own and block.start.meta.get("redacted"):
            return self._started(block, hidden(carrier))
        if block.kind in _CALLS and block.number is None:
            return self._decided(block)
        return b""

    def _close_thought(self, block: _Block, event: Event) -> bytes:
        if block.number is None:
            if block.carrier is None:
                return b""
            content = hidden(block.carrier)
            if content["type"] == "redacted_thinking":
                return self._started(block, content) + _stopped(block, event)
            out = self._started(block)
            return out + self._signed(block) + _stopped(block, event)
        if block.carrier is None and not block.own:
            self._thought = block
            return b""
        return self._signed(block) + _stopped(block, event)

    def _signed(self, block: _Block) -> bytes:
        """The signature, once, right before the stop."""
        slot = signature(block.carrier, "".join(block.said), own=block.own)
        if slot is None or block.signed or block.number is None or block.start.meta.get("redacted"):
            return b""
        return delta(block.start, block.number, {"type": "signature_delta", "signature": slot})

    # ---- calls

    def _asked(self, block: _Block, event: BlockDelta) -> bytes:
        if block.kind not in _CALLS:
            return b""
        waits = not block.own and (self._thought is not None or not self._called)
        if block.number is None and waits and not block.held:
            block.held.append(event)  # its carrier may come next
            return b""
        out = self._decided(block) if block.number is None else b""
        return out + self._words(block, event)

    def _decided(self, block: _Block) -> bytes:
        """Begin a call; what it carries goes where a client keeps such things: to the thought before it, or in place of one."""
        carrier, out = block.carrier, b""
        if self._thought is not None:
            out = self.settle(carrier)
        elif carrier is not None and not (self._called or self._thinks or block.own):
            number = self._next
            self._next, self._thinks = number + 1, True
            start = {"type": "content_block_start", "index": number, "content_block": hidden(carrier)}
            out = framed(start) + framed({"type": "content_block_stop", "index": number})
        out += self._started(block)
        held, block.held = block.held, []
        return out + b"".join(self._words(block, event) for event in held)

    def _words(self, block: _Block, event: BlockDelta) -> bytes:
        text = event.fragment
        if block.kind == "custom_tool_call":  # a function with one text takes its place
            text = ("" if block.said else '{"input":"') + jsons.dumps(text).decode()[1:-1]
        block.said.append(text)
        return self._json(block, event, text)

    @staticmethod
    def _json(block: _Block, event: Event, text: str) -> bytes:
        assert block.number is not None  # it has begun
        return delta(event, block.number, {"type": "input_json_delta", "partial_json": text})


def _begins(block: _Block) -> bool:
    """Whether a block is to begin at once: of one that came whole there may be more to say of its start."""
    if block.kind in _CALLS:
        return bool(like(block.start, "content_block_start"))
    return block.own and not block.start.meta.get("redacted")


def _stopped(block: _Block, event: Event | None = None) -> bytes:
    if block.number is None:
        return b""
    tree = {} if event is None else like(event, "content_block_stop")
    return framed({"type": "content_block_stop", "index": block.number} | tree | {"index": block.number})


def _content(block: _Block) -> dict[str, JSON] | None:
    """The ``content_block`` that a block begins with; None where Anthropic has none for it."""
    meta = block.start.meta
    match block.kind:
        case "text" | "refusal":
            return {"type": "text", "text": ""}
        case "reasoning":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_call" | "custom_tool_call":
            return call_content(meta, block.start.index, object_of(block.extra, NAME))
        case _:
            return served_content(block.kind, {**meta, **block.extra})


def call_content(meta: Any, index: int, extra: dict[str, JSON]) -> dict[str, JSON]:
    """A ``tool_use`` without its arguments."""
    name = meta.get("name") or ""
    caller = {"caller": meta["caller"]} if is_caller(meta.get("caller")) else {}
    ident = meta.get("call_id") or minted("toolu_", index, name)
    return {"type": "tool_use", "id": ident, "name": name, "input": {}, **caller, **extra}


def served_content(kind: str, meta: dict[str, Any]) -> dict[str, JSON] | None:
    """A block that Anthropic's own servers made, or one that we do not look into; None for those of other providers."""
    raw = meta.get("raw")
    if kind == "opaque":
        return raw if meta.get("dialect") == NAME and isinstance(raw, dict) else None
    if not isinstance(raw, dict):
        return None
    if kind == "server_tool_call" and server_call(raw, None) is not None:
        return {**raw, **present({"id": meta.get("id")}), "input": {}}
    if kind == "server_tool_result" and server_result(raw) is not None:
        return {**raw, **present({"tool_use_id": meta.get("id"), "content": meta.get("output")})}
    return None
