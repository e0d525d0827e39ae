"""The items of a response of ours: each knows its events, what has been sent of it, and what it has come to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

from attrs import define, field

from llmgw.model import JSON, Carrier, Citation
from llmgw_dialects.openai_responses.calls import builtin
from llmgw_dialects.openai_responses.citations import write_annotation
from llmgw_dialects.openai_responses.names import given

Payload = dict[str, JSON]
"""An event of the wire format, but for its number."""


_KNOWN: Final = frozenset(
    {"id", "type", "status", "role", "content", "phase", "summary", "encrypted_content", "arguments", "input", "call_id", "name",
     "namespace", "caller", "async", "action", "actions", "operation"}
)  # fmt: skip


@define(eq=False)
class Built(ABC):
    """An item.

    Args:
        at: its ``output_index``.
        id: the same in all events.
    """

    at: int
    id: str
    announced: bool = False
    closed: bool = False
    dirty: bool = False
    """Whether it is no longer what the provider sent."""

    final: dict[str, Any] | None = None
    """The provider's own last word about it."""

    cut: bool = False
    """Whether it was not complete when the response ended."""

    @abstractmethod
    def item(self, status: str) -> dict[str, Any]:
        """The item, as far as it has come."""

    def announce(self) -> Iterator[Payload]:
        """That there is such an item, once."""
        if not self.announced:
            self.announced = True
            yield {"type": "response.output_item.added", "output_index": self.at, "item": self.item("in_progress")}

    def done(self) -> Iterator[Payload]:
        """That it is complete, once; open parts of it are closed."""
        if self.closed:
            return
        yield from self.announce()
        yield from self._close()
        self.closed = True
        yield {"type": "response.output_item.done", "output_index": self.at, "item": self.last()}

    def last(self) -> dict[str, Any]:
        """The item at its end: what the provider said of it that we do not know is kept."""
        made = self.item("incomplete" if self.cut else "completed")
        if self.final is None:
            return made
        unknown = {key: value for key, value in self.final.items() if key not in _KNOWN}
        return {**made, **given(status=self.final.get("status")), **unknown}

    def _close(self) -> Iterator[Payload]:
        return iter(())

    def _about(self, **more: JSON) -> Payload:
        return {"item_id": self.id, "output_index": self.at, **more}


@define(eq=False)
class Piece:
    """A text within an item: a content part, or a summary; ``sent`` counts the frames that open and close it."""

    kind: str
    number: int
    text: list[str] = field(factory=list)
    citations: list[Any] = field(factory=list)
    """``Citation``, or an annotation of a type that we do not know."""

    annotations: list[JSON] = field(factory=list)
    logprobs: list[JSON] = field(factory=list)
    opened: bool = False
    worded: bool = False
    closed: bool = False

    def said(self) -> str:
        """All of it so far."""
        return "".join(self.text)

    def part(self) -> dict[str, Any]:
        """As it stands in an item."""
        match self.kind:
            case "refusal":
                return {"type": "refusal", "refusal": self.said()}
            case "output_text":
                return {
                    "type": "output_text",
                    "text": self.said(),
                    "annotations": list(self.annotations),
                    "logprobs": list(self.logprobs),
                }
            case _:
                return {"type": self.kind, "text": self.said()}

    def empty(self) -> dict[str, Any]:
        """As it is announced."""
        return Piece(self.kind, self.number).part()


@define(eq=False)
class Message(Built):
    """Words: texts and refusals.

    Args:
        group: numbers the message among those of the reply.
    """

    group: int | None = None
    phase: str | None = None
    pieces: list[Any] = field(factory=list)
    """``Piece``, or a content part of a type that we do not know."""

    open: int = 0
    after: list[Carrier] = field(factory=list)
    """What belongs to its words and must stand behind them, in items of its own."""

    def item(self, status: str) -> dict[str, Any]:
        """The message."""
        pieces = [] if status == "in_progress" else self.pieces
        content = [piece.part() if isinstance(piece, Piece) else piece for piece in pieces]
        told = given(phase=self.phase)
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content, **told}

    def begin(self, kind: str, number: JSON = None) -> tuple[Piece, Iterator[Payload]]:
        """A new content part; ``number`` is the provider's for it, if there is one."""
        piece = Piece(kind, number if isinstance(number, int) else len(self.pieces))
        self.pieces.append(piece)
        self.open += 1
        return piece, self._begin(piece)

    def _begin(self, piece: Piece) -> Iterator[Payload]:
        yield from self.announce()
        if not piece.opened:
            piece.opened = True
            about = self._about(content_index=piece.number)
            yield {"type": "response.content_part.added", **about, "part": piece.empty()}

    def more(self, piece: Piece, fragment: str) -> Iterator[Payload]:
        """More of a part."""
        piece.text.append(fragment)
        about = self._about(content_index=piece.number)
        if piece.kind == "refusal":
            yield {"type": "response.refusal.delta", **about, "delta": fragment}
        else:
            yield {"type": "response.output_text.delta", **about, "delta": fragment, "logprobs": []}

    def end(self, piece: Piece) -> Iterator[Payload]:
        """A part is complete: only now is it known where in it the citations belong."""
        if piece.closed:
            return
        about = self._about(content_index=piece.number)
        for citation in piece.citations:
            known = isinstance(citation, Citation)
            yield from self._annotate(piece, write_annotation(citation, piece.said()) if known else citation)
        piece.citations = []
        if not piece.worded:
            piece.worded = True
            if piece.kind == "refusal":
                yield {"type": "response.refusal.done", **about, "refusal": piece.said()}
            else:
                logprobs = list(piece.logprobs)
                yield {"type": "response.output_text.done", **about, "text": piece.said(), "logprobs": logprobs}
        piece.closed = True
        self.open -= 1
        yield {"type": "response.content_part.done", **about, "part": piece.part()}

    def _annotate(self, piece: Piece, annotation: JSON) -> Iterator[Payload]:
        if annotation is None:
            return
        number = len(piece.annotations)
        piece.annotations.append(annotation)
        about = self._about(content_index=piece.number, annotation_index=number)
        yield {"type": "response.output_text.annotation.added", **about, "annotation": annotation}

    def _close(self) -> Iterator[Payload]:
        for piece in self.pieces:
            if isinstance(piece, Piece):
                yield from self.end(piece)


@define(eq=False)
class Thought(Built):
    """A thought: summaries, which clients show, and raw texts.

    Args:
        raw: whether raw texts may be told as such; else they are told as summaries.
    """

    raw: bool = False
    slot: str | None = None
    """What only its issuer can read."""

    pieces: dict[tuple[str, int], Piece] = field(factory=dict)

    def item(self, status: str) -> dict[str, Any]:
        """The item; while it grows it is empty, for clients take it from its end."""
        pieces = [] if status == "in_progress" else list(self.pieces.values())
        summary = [piece.part() for piece in pieces if piece.kind == "summary_text"]
        content = [piece.part() for piece in pieces if piece.kind == "reasoning_text"]
        told = given(content=content or None, encrypted_content=None if status == "in_progress" else self.slot)
        return {"id": self.id, "type": "reasoning", "summary": summary, **told}

    def text(self) -> str:
        """All words of it."""
        return "\n\n".join(piece.said() for piece in self.pieces.values())

    def more(self, channel: str, part: int, fragment: str) -> Iterator[Payload]:
        """More of one of its texts; of summaries only one is open at a time."""
        yield from self.announce()
        piece, begun = self.piece(channel, part)
        yield from begun
        piece.text.append(fragment)
        yield {"type": self._event(piece, "delta"), **self._where(piece), "delta": fragment}

    def piece(self, channel: str, part: int) -> tuple[Piece, Iterator[Payload]]:
        """One of its texts, and what announces it."""
        summary = channel == "reasoning_summary" or not self.raw
        kind = "summary_text" if summary else "reasoning_text"
        piece = self.pieces.get((channel, part))
        if piece is None:
            number = sum(one.kind == kind for one in self.pieces.values())
            piece = self.pieces[channel, part] = Piece(kind, number)
        return piece, self._begin(piece)

    def _begin(self, piece: Piece) -> Iterator[Payload]:
        if piece.opened:
            return
        for other in self.pieces.values():
            if other is not piece and other.kind == piece.kind:
                yield from self._end(other)
        piece.opened = True
        yield {"type": self._event(piece, "part.added"), **self._where(piece), "part": piece.empty()}

    def _end(self, piece: Piece) -> Iterator[Payload]:
        if piece.closed or not piece.opened:
            return
        if not piece.worded:
            piece.worded = True
            yield {"type": self._event(piece, "done"), **self._where(piece), "text": piece.said()}
        piece.closed = True
        yield {"type": self._event(piece, "part.done"), **self._where(piece), "part": piece.part()}

    def _event(self, piece: Piece, what: str) -> str:
        if piece.kind == "summary_text":
            return f"response.reasoning_summary_{what}" if what.startswith("part") else f"response.reasoning_summary_text.{what}"
        return f"response.content_{what}" if what.startswith("part") else f"response.reasoning_text.{what}"

    def _where(self, piece: Piece) -> Payload:
        key = "summary_index" if piece.kind == "summary_text" else "content_index"
        return self._about(**{key: piece.number})

    def _close(self) -> Iterator[Payload]:
        for piece in self.pieces.values():
            yield from self._end(piece)


@define(eq=False)
class Call(Built):
    """A call of a function or of a freeform tool.

    Args:
        custom: whether it is of a freeform tool.
        facts: its ``call_id``, ``name`` and what else is known of it.
    """

    custom: bool = False
    facts: dict[str, Any] = field(factory=dict)
    arguments: list[str] = field(factory=list)
    worded: bool = False
    needs: bool = True
    """Whether arguments that are empty are told as an empty object."""

    def item(self, status: str) -> dict[str, Any]:
        """The call."""
        key = "input" if self.custom else "arguments"
        text = "" if status == "in_progress" else self.said()
        kind = "custom_tool_call" if self.custom else "function_call"
        return {"id": self.id, "type": kind, "status": status, **self.facts, key: text}

    def said(self) -> str:
        """Its arguments, as text."""
        return "".join(self.arguments)

    def more(self, fragment: str) -> Iterator[Payload]:
        """More of its arguments."""
        yield from self.announce()
        self.arguments.append(fragment)
        yield {"type": f"{self._event}.delta", **self._about(), "delta": fragment}

    def _close(self) -> Iterator[Payload]:
        return self.words()

    def words(self) -> Iterator[Payload]:
        """All of its arguments."""
        if self.needs and not self.custom and not self.said():
            yield from self.more("{}")
        if not self.worded:
            self.worded = True
            key = "input" if self.custom else "arguments"
            yield {"type": f"{self._event}.done", **self._about(), key: self.said()}

    @property
    def _event(self) -> str:
        return "response.custom_tool_call_input" if self.custom else "response.function_call_arguments"


@define(eq=False)
class BuiltinCall(Built):
    """A call of a tool of OpenAI's making that the client runs: told whole, when it is known."""

    tool: str = ""
    call_id: str = ""
    arguments: list[str] = field(factory=list)

    def item(self, status: str) -> dict[str, Any]:
        """The call."""
        text = "".join(self.arguments)
        return {"id": self.id, **builtin(self.tool, self.call_id, text), "status": status}

    def more(self, fragment: str) -> Iterator[Payload]:
        """More of its arguments."""
        self.arguments.append(fragment)
        return iter(())


@define(eq=False)
class Thing(Built):
    """An item that is told as a whole: of a tool that the provider ran, or of a type that we do not know."""

    raw: dict[str, Any] = field(factory=dict)

    def item(self, status: str) -> dict[str, Any]:
        """As it is; while it is announced it has hardly begun."""
        progress = {"status": status} if status == "in_progress" and "status" in self.raw else {}
        return {"id": self.id, **self.raw, **progress}

    def last(self) -> dict[str, Any]:
        """As it is."""
        return {"id": self.id, **self.raw}
