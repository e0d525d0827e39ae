"""Events become a client's stream: frames that came through untouched are copied, everything else is written anew.

Events of one frame arrive one behind the other. Once all of them have come untouched the frame goes out as it is. If one was
changed, dropped, or had something put before it, what there is of the frame is written as a chunk of its own, built on the
original chunk, so that keys we do not know survive and nothing is sent twice.
"""

from __future__ import annotations

from typing import ClassVar, Final

from attrs import define, field

from llmgw import jsons, splice, sse
from llmgw.events import BlockDelta, Error, Event, Frame, Progress, Raw, ResponseEnd, ResponseStart, Usage, UsageUpdate
from llmgw.model import JSON, Request
from llmgw_dialects.ids import minted
from llmgw_dialects.openai_chat.deltas import Deltas, Piece
from llmgw_dialects.openai_chat.errors import error_body
from llmgw_dialects.openai_chat.names import NAME, choices_of, index_of
from llmgw_dialects.openai_chat.rebuilt import Rebuilder
from llmgw_dialects.openai_chat.usage import write_usage
from llmgw_dialects.writing import StreamWriter

DONE: Final = b"data: [DONE]\n\n"


@define(eq=False)
class ChatStreamWriter(StreamWriter):
    """Writes a stream of chunks."""

    name: ClassVar[str] = NAME
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"

    deltas: Deltas = field(factory=Deltas)
    _start: ResponseStart | None = None
    _renamed: dict[str, JSON] = field(factory=dict)
    _begun: set[int] = field(factory=set)
    _usage: Usage | None = None
    _own: bool = False
    _around: dict[int, tuple[bytes, bytes]] = field(factory=dict)
    """What stands around the words in a chunk of text, by choice."""

    def _relays(self) -> bool:
        return not self._renamed

    def _copied(self, frame: Frame, group: list[Event]) -> bytes:
        self._note(frame, group)
        for event in group:
            self.deltas.note(event)
        due = self._usage_due(group) if isinstance(group[-1], ResponseEnd) else b""
        return due + self._as_it_came(frame)

    def _note(self, frame: Frame, group: list[Event]) -> None:
        for event in group:
            if isinstance(event, ResponseStart):
                self._begin(event)
        if not isinstance(group[0], BlockDelta):  # a chunk that only has a role is worth no piece, but it begins a choice
            self._begun.update(index_of(choice, n) for n, choice in enumerate(choices_of(frame.tree)))

    def _begin(self, event: ResponseStart) -> None:
        """Remember who speaks; a name that was changed must be the same in each chunk."""
        self._start = event
        tree = event.frame.tree if event.frame is not None else None
        if not event.pristine and isinstance(tree, dict):
            named = {"id": event.id, "created": event.created, "model": event.model}
            self._renamed = {key: value for key, value in named.items() if value is not None and value != tree.get(key)}

    def _as_it_came(self, frame: Frame) -> bytes:
        if not self._renamed or not isinstance(frame.tree, dict):
            return frame.data
        changed = {key: value for key, value in self._renamed.items() if key in frame.tree}
        _, data = sse.parse(frame.data)
        return frame.data if data is None else _framed(splice.splice(data, splice.merged(frame.tree, changed)))

    def _rebuilt(self, frame: Frame, group: list[Event]) -> bytes:
        self._note(frame, group)
        out = b""
        rest: list[tuple[Event, list[Piece]]] = []
        for event, made in [(event, list(self.deltas.pieces(event))) for event in group]:
            match event:
                case ResponseEnd():
                    out += self._chunk(frame, rest) + self._usage_due([event]) + DONE
                    rest = []
                case Error() | Raw() | Progress():
                    out += self._chunk(frame, rest) + self._alone(event)
                    rest = []
                case _:
                    rest.append((event, made))
        self._own = True
        return out + self._chunk(frame, rest)

    def _chunk(self, frame: Frame, pieces: list[tuple[Event, list[Piece]]]) -> bytes:
        if not pieces or not isinstance(frame.tree, dict):
            return b""
        first = self._told is not frame
        chunk = Rebuilder(frame.tree, first=first).build(pieces)
        return b"" if chunk is None else _framed(jsons.dumps({**chunk, **self._renamed}))

    def _alone(self, event: Event) -> bytes:
        """A changed event that is a frame in itself."""
        match event:
            case Error():
                return _framed(jsons.dumps(error_body(event.error)))
            case Raw() if event.pristine and event.frame is not None and event.frame.dialect == NAME:
                return event.frame.data
            case Raw() if event.dialect == NAME and event.payload is not None:
                return _framed(jsons.dumps(event.payload))
            case Progress():
                return self.keep_alive
            case _:
                return b""

    def _foreign(self, event: Event) -> bytes:
        """An event of another dialect, or of nobody's."""
        match event:
            case BlockDelta(channel="text") if event.choice in self._begun:
                self.deltas.note(event)
                return self._text(event)
            case ResponseStart():
                self._start, self._around = event, {}
                self._own = True
                self._usage = event.usage or self._usage
                return self._begun_choice(0)
            case UsageUpdate():
                self._used(event.usage)
                return b""
            case ResponseEnd():
                self._used(event.usage)
                return self._usage_due([event]) + DONE if self._own else b""
            case Error() | Raw() | Progress():
                return self._alone(event)
            case _:
                return b"".join(self._piece(piece) for piece in self.deltas.pieces(event))

    def _text(self, event: BlockDelta) -> bytes:
        """More of a text: as most events are, the same chunk but for the words."""
        around = self._around.get(event.choice)
        if around is None:
            choice = {"index": event.choice, "delta": {"content": ""}, "finish_reason": None}
            before, _, after = self._enveloped({"choices": [choice]}).rpartition(b'""')
            around = self._around[event.choice] = before, after
        self._own = True
        return around[0] + jsons.dumps(event.fragment) + around[1]

    def _piece(self, piece: Piece) -> bytes:
        self._own = True
        choice = {"index": piece.choice, "delta": piece.delta, "finish_reason": piece.finish}
        if piece.logprobs is not None:
            choice["logprobs"] = piece.logprobs
        return self._begun_choice(piece.choice) + self._enveloped({"choices": [choice]})

    def _begun_choice(self, index: int) -> bytes:
        """The role, once for each choice."""
        if index in self._begun:
            return b""
        first = not self._begun
        self._begun.add(index)
        extras = (self._start.extras.get(NAME) or {}) if self._start is not None and first else {}
        delta = {"role": "assistant", "content": ""}
        return self._enveloped({"choices": [{"index": index, "delta": delta, "finish_reason": None}], **extras})

    def _usage_due(self, group: list[Event]) -> bytes:
        """The last chunk, in which the SDKs look for usage; what came in a provider's frames has gone out with these."""
        due = self._usage is not None and self.request.stream_usage and any(isinstance(event, ResponseEnd) for event in group)
        return self._enveloped({"choices": [], "usage": write_usage(self._usage)}) if due and self._usage is not None else b""

    def _used(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage = usage if self._usage is None else self._usage.merged(usage)

    def _enveloped(self, rest: dict[str, JSON]) -> bytes:
        return _framed(jsons.dumps({**envelope(self._start, self.request, "chat.completion.chunk"), **rest}))


def envelope(start: ResponseStart | None, request: Request, kind: str) -> dict[str, JSON]:
    """Id, kind, time and model: the provider's, or such as are always the same for the same reply."""
    start = start or ResponseStart()
    ident = start.id or minted("chatcmpl-", start.created, start.model, request.model)
    return {"id": ident, "object": kind, "created": start.created or 0, "model": start.model or request.model}


def _framed(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
