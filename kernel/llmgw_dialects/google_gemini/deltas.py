"""Events become pieces of candidates: what of ``content.parts`` one event is worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from attrs import define, evolve, field, frozen

from llmgw import jsons
from llmgw.events import BlockDelta, BlockKind, BlockMeta, BlockStart, BlockStop, Event, Stop, StopReason
from llmgw.model import JSON, Carrier, Citation
from llmgw_dialects import envelope
from llmgw_dialects.google_gemini.calls import arguments_object
from llmgw_dialects.google_gemini.citations import Cited, write_citations
from llmgw_dialects.google_gemini.envelopes import OWN
from llmgw_dialects.google_gemini.logprobs import write_logprobs
from llmgw_dialects.google_gemini.names import NAME
from llmgw_dialects.google_gemini.parts import is_server
from llmgw_dialects.google_gemini.signatures import is_google
from llmgw_dialects.google_gemini.stops import is_blocked, write_feedback, write_stop
from llmgw_dialects.ids import minted


@frozen
class Piece:
    """Part of a chunk: of one candidate, a part, or keys that are about it, or its end.

    Args:
        choice: the candidate's index.
        block: of the reply.
        kind: of what it is a piece.
        part: an entry of ``parts``.
        about: keys of the candidate.
        feedback: ``promptFeedback``, where there is no candidate.
        own: whether the provider was Google itself.
    """

    choice: int
    kind: Literal["text", "thought", "call", "signature", "other", "about", "stop"]
    block: int = -1
    part: dict[str, JSON] | None = None
    about: dict[str, JSON] = field(factory=dict)
    feedback: dict[str, JSON] | None = None
    own: bool = False


@define(eq=False)
class _Block:
    kind: BlockKind
    meta: dict[str, Any]
    own: bool
    texts: list[str] = field(factory=list)
    carrier: Carrier | None = None
    extra: dict[str, Any] = field(factory=dict)
    part: int | None = None
    stopped: bool = False

    @property
    def text(self) -> str:
        return "".join(self.texts)


@define(eq=False)
class _Choice:
    blocks: dict[int, _Block] = field(factory=dict)
    calls: list[int] = field(factory=list)
    """Blocks of calls that are yet to be told, in their order."""
    due: list[str] = field(factory=list)
    """Envelopes that go with the next call."""
    citations: list[tuple[Citation, int]] = field(factory=list)
    said: bool = False


@define(eq=False)
class Pieces:
    """Turns events into pieces. A call is told as a whole, in the order of the blocks; so the events of one may wait.

    Args:
        whole: whether they are for a body, and not for chunks in which what Google said about a candidate stands already.
    """

    whole: bool = False
    _choices: dict[int, _Choice] = field(factory=dict)

    def note(self, event: Event) -> None:
        """Take an event that is written otherwise, for the sake of those that follow."""
        self.pieces(event)

    def pieces(self, event: Event) -> list[Piece]:
        """What an event is worth; events of blocks that Google has no word for are worth nothing."""
        match event:
            case BlockStart():
                return self._start(event)
            case BlockDelta():
                return self._delta(event)
            case BlockMeta():
                return self._meta(event)
            case BlockStop():
                return self._stop(event)
            case Stop():
                return self._end(event)
            case _:
                return []

    def _at(self, choice: int) -> _Choice:
        return self._choices.setdefault(choice, _Choice())

    def _block(self, event: BlockDelta | BlockMeta | BlockStop) -> _Block:
        return self._at(event.choice).blocks.setdefault(event.index, _Block("text", {}, own=is_own(event)))

    def _start(self, event: BlockStart) -> list[Piece]:
        choice = self._at(event.choice)
        choice.blocks[event.index] = _Block(event.kind, dict(event.meta), own=is_own(event))
        if event.kind in ("tool_call", "custom_tool_call"):
            choice.calls.append(event.index)
        elif event.kind not in ("text", "reasoning", "refusal", "media") and (raw := _raw(event.meta)) is not None:
            choice.said = True
            return [Piece(event.choice, "other", event.index, raw, own=is_own(event))]
        return []

    def _delta(self, event: BlockDelta) -> list[Piece]:
        block = self._block(event)
        gap = "\n\n" if event.channel == "reasoning_summary" and block.part not in (None, event.part) else ""
        block.part = event.part
        text = gap + event.fragment
        block.texts.append(text)
        if not text or block.kind not in ("text", "reasoning", "refusal"):
            return []
        if block.kind == "reasoning":
            return [Piece(event.choice, "thought", event.index, {"text": text, "thought": True}, own=block.own)]
        self._at(event.choice).said = True
        return [Piece(event.choice, "text", event.index, {"text": text}, own=block.own)]

    def _meta(self, event: BlockMeta) -> list[Piece]:
        block, choice = self._block(event), self._at(event.choice)
        match event.value:
            case Citation() if self.whole or not is_own(event):
                choice.citations.append((event.value, event.index))
            case Carrier():
                block.carrier = event.value
                if is_google(event.value) and block.kind in ("text", "reasoning", "refusal"):
                    signed: dict[str, JSON] = {"text": "", "thoughtSignature": event.value.payload}
                    return [Piece(event.choice, "signature", event.index, signed, {"at": event.value.position}, own=block.own)]
            case list() if event.what == "logprobs" and (self.whole or not is_own(event)):
                return [Piece(event.choice, "about", event.index, about={"logprobsResult": write_logprobs(event.value)})]
            case dict() if event.what == "extra":
                block.extra.update(event.value)
            case _:
                pass
        return []

    def _stop(self, event: BlockStop) -> list[Piece]:
        block, choice = self._block(event), self._at(event.choice)
        block.stopped = True
        carrier = block.carrier
        if carrier is not None and not is_google(carrier):
            words = block.text if block.kind == "reasoning" else None
            choice.due.append(envelope.in_base64(envelope.sealed(carrier, words)))
        if block.kind == "media":
            return self._media(event, block)
        return self._told(event.choice, choice)

    def _media(self, event: BlockStop, block: _Block) -> list[Piece]:
        data = block.text
        if not data:
            return []
        self._at(event.choice).said = True
        part: dict[str, JSON] = {"inlineData": {"mimeType": block.meta.get("media_type") or "", "data": data}}
        part |= block.extra.get(NAME) or {}
        return [Piece(event.choice, "other", event.index, part, own=block.own)]

    def _told(self, index: int, choice: _Choice, end: StopReason | None = None) -> list[Piece]:
        """The calls that can be told: those before the first that is still open, or that makes no sense as it is."""
        out: list[Piece] = []
        while choice.calls:
            block = choice.blocks[choice.calls[0]]
            sound = block.kind == "custom_tool_call" or _is_sound(block.text)
            if end is None and not (block.stopped and sound):
                break
            number = choice.calls.pop(0)
            if end is not None and end.kind in ("max_tokens", "context_window") and not (block.stopped and sound):
                continue  # it was cut off, and nobody could run it
            out += self._call(index, choice, number, block)
        return out

    def _call(self, index: int, choice: _Choice, number: int, block: _Block) -> list[Piece]:
        choice.said = True
        name, given = block.meta.get("name") or "", block.meta.get("native_id") if block.own else block.meta.get("call_id")
        ident = given if given or block.own else minted("call_", index, number, name)
        args = {"input": block.text} if block.kind == "custom_tool_call" else arguments_object(block.text)
        call: dict[str, JSON] = {"id": ident} if ident else {}
        part: dict[str, JSON] = {"functionCall": {**call, "name": name, "args": args}}
        own = [block.carrier.payload] if block.carrier is not None and is_google(block.carrier) else []
        *before, on = [*choice.due, *own] or [""]
        choice.due = []
        out = [Piece(index, "signature", part=_empty(slot), own=block.own) for slot in before]
        if on:
            part["thoughtSignature"] = on
        return [*out, Piece(index, "call", number, part, own=block.own)]

    def _end(self, event: Stop) -> list[Piece]:
        choice = self._at(event.choice)
        out = self._told(event.choice, choice, event.reason)
        out += [Piece(event.choice, "signature", part=_empty(slot)) for slot in choice.due]
        choice.due = []
        if is_blocked(event.reason) and not choice.said:
            return [*out, Piece(event.choice, "stop", feedback=write_feedback(event.reason), own=is_own(event))]
        about = write_stop(event.reason, own=is_own(event), empty=not choice.said)
        about |= write_citations(self._cited(choice))
        return [*out, Piece(event.choice, "stop", about=about, own=is_own(event))]

    @staticmethod
    def _cited(choice: _Choice) -> list[Cited]:
        before: dict[int, int] = {}
        size = 0
        for number, block in sorted(choice.blocks.items()):
            before[number] = size
            if block.kind == "text":
                size += len(block.text.encode("utf-8", "surrogatepass"))
        return [Cited(one, before[number], choice.blocks[number].text) for one, number in choice.citations]


def is_own(event: Event) -> bool:
    """Whether an event was made of a frame of Google's."""
    return event.frame is not None and event.frame.dialect in OWN


def joined(pieces: Iterable[Piece], *, texts: bool = False) -> list[Piece]:
    """Pieces of one candidate with each signature on the text that it belongs to.

    Args:
        pieces: in their order.
        texts: whether texts of one block are one.
    """
    out: list[Piece] = []
    for piece in pieces:
        last = out[-1] if out else None
        if last is None or last.part is None or piece.part is None or last.block != piece.block or piece.block < 0:
            out.append(piece)
        elif piece.kind == "signature" and piece.about.get("at") != "after" and "thoughtSignature" not in last.part:
            out[-1] = evolve(last, part={**last.part, "thoughtSignature": piece.part["thoughtSignature"]})
        elif texts and piece.kind == last.kind and piece.kind in ("text", "thought"):
            words = f"{last.part['text']}{piece.part['text']}"
            out[-1] = evolve(last, part={**last.part, "text": words})
        else:
            out.append(piece)
    return out


def shown(pieces: Sequence[Piece], *, thoughts: bool) -> list[Piece]:
    """Without thoughts that the client did not ask for; what Google itself sent has been asked for."""
    return [piece for piece in pieces if piece.kind != "thought" or thoughts or piece.own]


def _empty(slot: str) -> dict[str, JSON]:
    return {"text": "", "thoughtSignature": slot}


def _raw(meta: Any) -> dict[str, JSON] | None:
    """A part that is carried as it came, if it is Google's."""
    raw = meta.get("raw")
    if not isinstance(raw, dict):
        return None
    return raw if meta.get("dialect") in OWN or is_server(raw) else None


def _is_sound(arguments: str) -> bool:
    if not arguments.strip():
        return True
    try:
        jsons.loads(arguments.encode("utf-8", "surrogatepass"))
    except jsons.JsonError:
        return False
    return True
