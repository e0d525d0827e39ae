"""Events become a client's whole body, once the last of them has come."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from llmgw.events import Accumulator, Event, Frame, ResponseStart, framed
from llmgw.model import JSON, Request
from llmgw_dialects.google_gemini import names
from llmgw_dialects.google_gemini.candidates import ChunkReader
from llmgw_dialects.google_gemini.deltas import Piece, Pieces, joined, shown
from llmgw_dialects.google_gemini.envelopes import OWN, converted
from llmgw_dialects.google_gemini.names import NAME, candidates_of, has, index_of, object_of, parts_of
from llmgw_dialects.google_gemini.rebuilt import kind_of
from llmgw_dialects.google_gemini.usage import write_usage
from llmgw_dialects.google_gemini.writing import envelope, shows_thoughts
from llmgw_dialects.writing import WholeWriter


@define(eq=False)
class Rereader(ChunkReader):
    """Reads the provider's own body once more; its events are as much the provider's own as those of the first time."""

    def read(self, name: str, tree: dict[str, Any]) -> list[Event]:
        """What the body says."""
        return framed(super().read(name, tree), Frame(NAME, b"", tree=tree))


@define(eq=False)
class Gathered:
    """The events of a reply, gathered part by part."""

    _fold: Accumulator = field(factory=Accumulator)
    _pieces: Pieces = field(factory=lambda: Pieces(whole=True))
    _said: list[Piece] = field(factory=list)
    _start: ResponseStart | None = None

    def feed(self, event: Event) -> None:
        """Take one event more."""
        self._fold.feed(event)
        if isinstance(event, ResponseStart):
            self._start = event
        self._said += self._pieces.pieces(event)

    def body(self, request: Request, like: JSON) -> dict[str, JSON]:
        """A response.

        Args:
            request: what it answers.
            like: the provider's own body, whose parts to follow; an empty object if there is none.
        """
        reply = self._fold.reply()
        own = bool(like)
        pieces = shown(self._said, thoughts=own or shows_thoughts(request))
        choices = {choice.index: position for position, choice in enumerate(reply.choices)}
        originals = {index_of(one, position): one for position, one in enumerate(candidates_of(like))}
        out: dict[str, JSON] = {}
        candidates: list[JSON] = []
        for index in choices:
            told = [piece for piece in pieces if piece.choice == index]
            feedback = next((piece.feedback for piece in told if piece.feedback is not None), None)
            if feedback is not None:
                out["promptFeedback"] = feedback
            else:
                candidates.append(_candidate(index, told, originals.get(index, {}), own=own))
        if candidates:
            out = {"candidates": candidates, **out}
        if reply.usage is not None:
            out["usageMetadata"] = write_usage(reply.usage)
        written: dict[str, JSON] = names.like(like, {**out, **envelope(self._start, request)})
        return written


def _candidate(index: int, pieces: list[Piece], original: dict[str, Any], *, own: bool) -> dict[str, JSON]:
    said = [piece.part for piece in joined(pieces, texts=not own) if piece.part is not None]
    parts = _among(parts_of(original), said)
    out: dict[str, JSON] = {}
    if parts or not original or has(object_of(original, "content"), "parts"):
        out["content"] = {"role": "model", "parts": parts}
    for piece in pieces:
        if piece.kind in ("about", "stop"):
            out |= piece.about
    return {**out, "index": index}


def _among(originals: list[dict[str, Any]], said: list[dict[str, JSON]]) -> list[JSON]:
    """What was said, among the parts of the provider's body that say nothing, so that each stands where it stood."""
    out: list[JSON] = list(said)
    for number, part in enumerate(originals):
        if kind_of(part) == "mute" and number <= len(out):
            out.insert(number, part)
    return out


@define(eq=False)
class GeminiWholeWriter(WholeWriter):
    """Writes a whole body; one of Google's that came in the other of its two dialects only changes its envelope."""

    def _body(self) -> bytes:
        frame = self._frames[0] if len(self._frames) == 1 else None
        if frame is None or self._gathered is not None or frame.dialect == self.name or frame.dialect not in OWN:
            return super()._body()
        return converted(frame.data, frame.dialect, self.name)
