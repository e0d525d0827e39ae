"""Events become a client's stream: frames that came through untouched are copied, everything else is written anew.

The end of a candidate is held until the reply's end, for the last chunk has it together with the counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar, Final

from attrs import define, field

from llmgw import jsons, splice, sse
from llmgw.events import Error, Event, Frame, Progress, Raw, ResponseEnd, ResponseStart, Usage, UsageUpdate
from llmgw.model import JSON, Request
from llmgw_dialects.google_gemini.arrays import ArraySplitter, element, is_piece
from llmgw_dialects.google_gemini.deltas import Piece, Pieces, is_own, joined, shown
from llmgw_dialects.google_gemini.envelopes import CODE_ASSIST, OWN, converted, response_in
from llmgw_dialects.google_gemini.errors import error_body
from llmgw_dialects.google_gemini.names import NAME, at, key_of, known
from llmgw_dialects.google_gemini.rebuilt import rebuilt
from llmgw_dialects.google_gemini.usage import write_usage
from llmgw_dialects.ids import minted
from llmgw_dialects.writing import StreamWriter

_SPACE: Final = b" \t\r\n"
_LATEST: Final = 10**11
"""Seconds since 1970 beyond which a time must be in milliseconds: the year 5138."""


@define(eq=False)
class GeminiStreamWriter(StreamWriter):
    """Writes server-sent events; the SDKs stumble over event names, comments and ``[DONE]``."""

    name: ClassVar[str] = NAME
    keep_alive: ClassVar[bytes] = b"\n"

    pieces: Pieces = field(factory=Pieces)
    _start: ResponseStart | None = None
    _renamed: dict[str, JSON] = field(factory=dict)
    _usage: Usage | None = None
    _ends: dict[int, Piece] = field(factory=dict)
    _thoughts: bool | None = None

    def enclosed(self, response: JSON) -> JSON:
        """The JSON of a frame, given the response in it, or a template for it."""
        return response

    def feed(self, event: Event) -> bytes:
        """What the client gets for this event."""
        frame = event.frame
        if frame is None or not (isinstance(event, Raw) and event.pristine and self._is_ours(frame)) or self._is_native(frame):
            return super().feed(event)
        return self._flush() + b"".join(map(self._framed, self._elements(frame)))

    def _is_ours(self, frame: Frame) -> bool:
        """Whether a frame is Google's, however it is framed."""
        return frame.dialect in OWN

    def _is_native(self, frame: Frame) -> bool:
        """Whether it may go out as it is."""
        return frame.dialect == self.name and not is_piece(frame.data) and frame.data.lstrip(_SPACE)[:1] != b"{"

    def _relays(self) -> bool:
        return not self._renamed

    # ---- what came in this dialect

    def _copied(self, frame: Frame, group: list[Event]) -> bytes:
        for event in group:
            if isinstance(event, ResponseStart):
                self._begin(event)
            self.pieces.note(event)
        if not self._renamed or not isinstance(frame.tree, dict):
            return self._as_it_came(frame)
        inner = response_in(frame.dialect, frame.tree)
        changed = {key_of(inner, key): value for key, value in self._renamed.items()}
        response = splice.splice(converted(self._data(frame), frame.dialect, NAME), splice.merged(inner, changed))
        return self._framed(jsons.dumps(self._around(frame, jsons.Exact(response))))

    def _around(self, frame: Frame, response: JSON) -> JSON:
        """The response of a frame, in the envelope that it came in or in a new one."""
        rest = known(frame.tree, "response") if frame.dialect == self.name == CODE_ASSIST else {}
        enclosed = self.enclosed(response)
        return {**enclosed, **rest} if rest else enclosed

    def _as_it_came(self, frame: Frame) -> bytes:
        return frame.data if self._is_native(frame) else b"".join(map(self._framed, self._elements(frame)))

    def _data(self, frame: Frame) -> bytes:
        return next(self._bare(frame), b"")

    def _begin(self, event: ResponseStart) -> None:
        """Remember who speaks; a name that was changed must be the same in each chunk."""
        self._start = event
        tree = response_in(event.frame.dialect, event.frame.tree) if event.frame is not None else None
        if not event.pristine and isinstance(tree, dict):
            named = {"responseId": event.id, "modelVersion": event.model}
            self._renamed = {key: value for key, value in named.items() if value is not None and value != at(tree, key)}

    def _rebuilt(self, frame: Frame, group: list[Event]) -> bytes:
        out = b""
        rest: list[tuple[Event, list[Piece]]] = []
        for event in group:
            if isinstance(event, ResponseStart):
                self._begin(event)
            if isinstance(event, ResponseEnd | Error | Raw | Progress) and not (
                isinstance(event, Progress) and isinstance(frame.tree, dict)
            ):
                out += self._chunk(frame, rest) + self._alone(event)
                rest = []
            else:
                rest.append((event, self.pieces.pieces(event)))
        return out + self._chunk(frame, rest)

    def _chunk(self, frame: Frame, told: list[tuple[Event, list[Piece]]]) -> bytes:
        if not told or not isinstance(frame.tree, dict):
            return b""
        first = self._told is not frame
        self._told = frame
        chunk = rebuilt(response_in(frame.dialect, frame.tree), told, first=first)
        if chunk is None:
            return b""
        named = {key_of(chunk, key): value for key, value in self._renamed.items()}
        return self._framed(jsons.dumps(self._around(frame, {**chunk, **named})))

    # ---- what did not

    def _foreign(self, event: Event) -> bytes:
        match event:
            case ResponseStart():
                self._start = event
                self._used(event.usage)
                return b""
            case UsageUpdate():
                self._used(event.usage)
                return b""
            case ResponseEnd() | Error() | Raw() | Progress():
                return self._alone(event)
            case _:
                pieces = shown(self.pieces.pieces(event), thoughts=self._shows())
                for end in (piece for piece in pieces if piece.kind == "stop"):
                    self._ends[end.choice] = end
                said = [piece for piece in pieces if piece.kind != "stop"]
                return self._said(said) if said else b""

    def _said(self, pieces: list[Piece]) -> bytes:
        index = pieces[0].choice
        parts = [piece.part for piece in joined(pieces) if piece.part is not None]
        candidate: dict[str, JSON] = {"content": {"role": "model", "parts": parts}} if parts else {}
        for piece in pieces:
            candidate |= piece.about if piece.kind == "about" else {}
        return self._enveloped({"candidates": [{**candidate, "index": index}]})

    def _alone(self, event: Event) -> bytes:
        match event:
            case ResponseEnd():
                self._used(event.usage)
                return self._last()
            case Error():
                return self._failed(event)
            case Raw() if event.dialect == NAME and isinstance(event.payload, dict):
                return self._framed(jsons.dumps(event.payload))
            case Progress():
                return self.keep_alive
            case _:
                return b""

    def _failed(self, event: Error) -> bytes:
        return self._framed(jsons.dumps(error_body(event.error)))

    def _last(self) -> bytes:
        """The chunk with which it ends: all candidates' ends, and the counts."""
        if not self._ends and self._usage is None:
            return b""
        out: dict[str, JSON] = {}
        candidates: list[JSON] = []
        for index, end in sorted(self._ends.items()):
            if end.feedback is not None:
                out["promptFeedback"] = end.feedback
            else:
                candidates.append({"content": {"role": "model", "parts": [{"text": ""}]}, **end.about, "index": index})
        self._ends = {}
        if candidates:
            out["candidates"] = candidates
        if self._usage is not None:
            out["usageMetadata"] = write_usage(self._usage)
        self._usage = None
        return self._enveloped(out)

    def _used(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage = usage if self._usage is None else self._usage.merged(usage)

    def _shows(self) -> bool:
        """Whether the client asked for thoughts."""
        if self._thoughts is None:
            self._thoughts = shows_thoughts(self.request)
        return self._thoughts

    def _elements(self, frame: Frame) -> Iterator[bytes]:
        """The JSON of what is framed otherwise, one for each chunk."""
        return (converted(data, frame.dialect, self.name) for data in self._bare(frame))

    @staticmethod
    def _bare(frame: Frame) -> Iterator[bytes]:
        if is_piece(frame.data):
            bare = frame.data.lstrip(b"[,\r\n \t")
            yield from filter(None, map(element, ArraySplitter().feed(b"[" + bare)))
        elif frame.data.lstrip(_SPACE)[:1] == b"{":
            yield frame.data.strip(_SPACE)
        else:
            yield from (data for one in sse.frames(frame.data) if (data := sse.parse(one)[1]) is not None)

    def _enveloped(self, rest: dict[str, JSON]) -> bytes:
        return self._framed(jsons.dumps(self.enclosed({**rest, **envelope(self._start, self.request)})))

    def _framed(self, data: bytes) -> bytes:
        return b"data: " + data.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n\r\n"


@define(eq=False)
class GeminiArrayWriter(GeminiStreamWriter):
    """Writes one array, piece by piece."""

    _opened: bool = False
    _closed: bool = False

    @property
    def content_type(self) -> str:
        """Of what it writes."""
        return "application/json"

    def _is_native(self, frame: Frame) -> bool:
        first = frame.data.lstrip(_SPACE)[:1]
        return frame.dialect == self.name and (first == (b"," if self._opened else b"[") or first == b"]")

    def _relays(self) -> bool:
        return False

    def _copied(self, frame: Frame, group: list[Event]) -> bytes:
        out = super()._copied(frame, group)
        if isinstance(group[-1], ResponseEnd):
            return self._end(out)
        self._closed = self._closed or isinstance(group[-1], Error)
        return out

    def _as_it_came(self, frame: Frame) -> bytes:
        """As it came, if it goes to the same place: first, behind another, or at the end."""
        if not self._is_native(frame):
            return b"".join(map(self._framed, self._elements(frame)))
        self._opened = True
        return frame.data

    def _alone(self, event: Event) -> bytes:
        out = super()._alone(event)
        if isinstance(event, ResponseEnd | Error):
            return self._end(out)
        return out

    def _end(self, out: bytes) -> bytes:
        if self._closed:
            return out
        self._closed = True
        return out if out.rstrip(_SPACE).endswith(b"]") and is_piece(out) else out + (b"\r\n]" if self._opened else b"[]")

    def _framed(self, data: bytes) -> bytes:
        before = b",\r\n" if self._opened else b"["
        self._opened = True
        return before + data

    def _separated(self, out: bytes) -> bytes:
        return out


def envelope(start: ResponseStart | None, request: Request) -> dict[str, JSON]:
    """Model, time and id: the provider's, or where that was not Google such as are always the same for the same reply."""
    start = start or ResponseStart()
    told: dict[str, JSON] = {"modelVersion": start.model, "createTime": None, "responseId": start.id}
    if not is_own(start):
        told["modelVersion"] = start.model or request.model
        told["responseId"] = start.id or minted("", start.created, start.model, request.model)
    if start.created:
        told["createTime"] = _time(start.created)
    return {key: value for key, value in {**told, **(start.extras.get(NAME) or {})}.items() if value is not None}


def _time(created: int) -> str:
    """RFC 3339; some providers give milliseconds."""
    seconds = created / 1000 if created > _LATEST else created
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shows_thoughts(request: Request) -> bool:
    """Whether the client asked for thoughts."""
    return request.prompt.reasoning.show not in (None, "omitted")
