"""Events become a client's stream: frames that came through untouched are copied, everything else is written anew."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import define, field

from llmgw.events import BlockStop, Error, Event, Frame, Progress, Raw, ResponseEnd, ResponseStart, Stop, Usage, UsageUpdate
from llmgw.model import JSON, Request
from llmgw_dialects.anthropic_messages.errors import error_body
from llmgw_dialects.anthropic_messages.frames import framed, is_own, like
from llmgw_dialects.anthropic_messages.names import NAME, object_of
from llmgw_dialects.anthropic_messages.sequence import Copied, Sequence
from llmgw_dialects.anthropic_messages.stops import write_stop
from llmgw_dialects.anthropic_messages.usage import read_usage, write_usage
from llmgw_dialects.ids import minted
from llmgw_dialects.writing import StreamWriter


@define(eq=False)
class MessageStreamWriter(StreamWriter):
    """Writes the stream of a message."""

    name: ClassVar[str] = NAME
    keep_alive: ClassVar[bytes] = framed({"type": "ping"})

    _blocks: Sequence = field(factory=Sequence)
    _start: ResponseStart | None = None
    """A start that has not been written yet: usage may come right behind it."""
    _begun: bool = False
    _usage: Usage | None = None
    _stop: Stop | None = None
    """An end that has not been written yet: usage may come behind it."""
    _ended: bool = False
    _own: bool = False
    """Whether anything was written anew."""

    def _relays(self) -> bool:
        return not self._begun

    # ---- frames of this dialect

    def _copied(self, frame: Frame, group: list[Event]) -> bytes:
        index = _block_of(group)
        if index is not None and _kind(frame).startswith("content_block"):
            return self._opening(group) + self._blocks.take(index, Copied(frame, group))
        out = self._taken(group)
        for event in group:
            self._note(event)
        if isinstance(group[-1], ResponseEnd) and self._own:
            out += self._closing()
        return out + frame.data

    def _taken(self, group: list[Event]) -> bytes:
        """What must stand before a frame that ends or opens the message."""
        closing = b"".join(self._blocks.take(event.index, event) for event in group if isinstance(event, BlockStop))
        if any(isinstance(event, Stop | ResponseEnd) for event in group):
            closing += self._blocks.settle()
        return closing if self._own else b""

    def _opening(self, group: list[Event]) -> bytes:
        """A start that came from elsewhere, before a frame of a block."""
        for event in group:
            if isinstance(event, ResponseStart):
                self._note(event)
        return self._opened()

    def _note(self, event: Event) -> None:
        match event:
            case ResponseStart():
                self._begun, self._start = True, None
                self._used(event.usage)
            case UsageUpdate() | ResponseEnd():
                self._used(event.usage)
            case Stop():
                self._stop, self._ended = None, True
            case _:
                pass

    def _rebuilt(self, frame: Frame, group: list[Event]) -> bytes:
        self._own = True
        if _kind(frame) != "message_delta":
            return b"".join(self._foreign(event) for event in group)
        out, rest = b"", []
        for event in group:
            if isinstance(event, UsageUpdate | Stop):
                rest.append(event)
            else:
                out += self._foreign(event)
        return out + (self._ending(frame.tree, rest) if rest else b"")

    def _ending(self, tree: dict[str, Any], events: list[UsageUpdate | Stop]) -> bytes:
        """A ``message_delta`` in the place of the provider's, built on it."""
        stop = next((event for event in events if isinstance(event, Stop)), None)
        for event in events:
            self._note(event)
        out = self._opened() + (self._blocks.settle() if stop is not None else b"")
        delta = {**object_of(tree, "delta"), **write_stop(stop.reason if stop is not None else None, own=True)}
        return out + framed({**tree, "delta": delta, "usage": self._counted(tree, events)})

    def _counted(self, tree: dict[str, Any], events: list[UsageUpdate | Stop]) -> JSON:
        """What of usage the provider said in this frame, if it is still true; else all of it."""
        usage = self._usage
        true = usage is not None and usage.raw is not None and read_usage(usage.raw) == usage
        said = any(isinstance(event, UsageUpdate) for event in events) and "output_tokens" in object_of(tree, "usage")
        return tree["usage"] if true and said else write_usage(usage)

    # ---- events of another dialect, or of nobody's

    def _foreign(self, event: Event) -> bytes:
        self._own = self._own or not isinstance(event, ResponseEnd)
        match event:
            case ResponseStart():
                self._start, self._begun = event, True
                self._used(event.usage)
                return self._opened() if like(event, "message_start") else b""
            case UsageUpdate():
                self._used(event.usage)
                return b""
            case Stop():
                self._stop = event if event.choice == 0 else self._stop
                return b""
            case ResponseEnd():
                self._used(event.usage)
                return self._closing() + framed({"type": "message_stop"}) if self._own else b""
            case Error():
                return framed(error_body(event.error))
            case Progress():
                return self._opened() + self.keep_alive  # nothing comes before a message starts
            case Raw():
                return self._raw(event)
            case _ if getattr(event, "choice", 0) == 0 and (index := _index(event)) is not None:
                return self._opened() + self._blocks.take(index, event)
            case _:
                return b""

    def _raw(self, event: Raw) -> bytes:
        if event.dialect != NAME or not isinstance(event.payload, dict):
            return b""
        index = event.payload.get("index")
        return self._blocks.take(index, event) if isinstance(index, int) else framed(event.payload)

    def _opened(self) -> bytes:
        """The ``message_start``, once."""
        start, self._start = self._start, None
        if start is None:
            return b""
        tree = like(start, "message_start")
        message = {**object_of(tree, "message"), **envelope(start, self.request)} if tree else opening(start, self.request)
        message["usage"] = write_usage(self._usage)
        return framed({"type": "message_start"} | tree | {"message": message})

    def _closing(self) -> bytes:
        """All that has not been said when the message stops."""
        out = self._opened() + self._blocks.settle()
        if self._ended and self._stop is None:
            return out
        stop, self._stop, self._ended = self._stop, None, True
        reason = stop.reason if stop is not None else None
        delta = write_stop(reason, own=is_own(stop), refused=self._blocks.blocks.refused)
        return out + framed({"type": "message_delta", "delta": delta, "usage": write_usage(self._usage)})

    def _used(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage = usage if self._usage is None else self._usage.merged(usage)


def opening(start: ResponseStart, request: Request) -> dict[str, JSON]:
    """A message of which nothing has been said yet."""
    out = {**envelope(start, request), "type": "message", "role": "assistant", "content": []}
    out = {**out, "stop_reason": None, "stop_sequence": None, "usage": {}}
    return {**out, **(start.extras.get(NAME) or {})}


def envelope(start: ResponseStart | None, request: Request) -> dict[str, JSON]:
    """Id and model: the provider's, or such as are always the same for the same reply."""
    start = start or ResponseStart()
    return {"id": start.id or minted("msg_", start.created, start.model, request.model), "model": start.model or request.model}


def _kind(frame: Frame) -> str:
    kind = frame.tree.get("type") if isinstance(frame.tree, dict) else ""
    return kind if isinstance(kind, str) else ""


def _index(event: Event) -> int | None:
    index = getattr(event, "index", None)
    return index if isinstance(index, int) else None


def _block_of(group: list[Event]) -> int | None:
    """The block that a frame is about."""
    for event in group:
        if (index := _index(event)) is not None:
            return index
        if isinstance(event, Raw) and isinstance(event.payload, dict) and isinstance(event.payload.get("index"), int):
            return int(event.payload["index"])
    return None
