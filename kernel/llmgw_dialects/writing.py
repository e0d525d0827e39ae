"""Events become a client's bytes. One machine for all dialects: what came through untouched is copied, all else written anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

from attrs import define, field

from llmgw import jsons
from llmgw.events import BlockDelta, Error, Event, Frame, Raw, ResponseEnd
from llmgw.model import JSON, Request
from llmgw.splice import splice
from llmgw_dialects.grammar import ReplyReader
from llmgw_dialects.patch import patched

_BLANK: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


class ReplyLosses(Protocol):
    """Finds what of a reply a dialect has no word for."""

    def feed(self, event: Event) -> None:
        """Take one event more."""
        ...


@define(eq=False)
class StreamWriter(ABC):
    """Writes a stream of server-sent events.

    Events of one frame arrive one behind the other. Once all of them have come untouched the frame goes out as it is. If one
    was changed, dropped, or had something put before it, what there is of the frame is written anew.

    Args:
        request: what it answers.
        losses: sees each event before it is written.
    """

    name: ClassVar[str]
    """The dialect's."""
    keep_alive: ClassVar[bytes]
    """What all SDKs of the dialect skip."""

    request: Request
    losses: ReplyLosses
    _frame: Frame | None = None
    _group: list[Event] = field(factory=list)
    _told: Frame | None = None
    """The frame of which part was written anew."""
    _dangling: bool = False

    @property
    def content_type(self) -> str:
        """Of what it writes."""
        return "text/event-stream; charset=utf-8"

    def idle(self) -> bytes:
        """What keeps the connection alive and means nothing."""
        return self.keep_alive

    def feed(self, event: Event) -> bytes:
        """What the client gets for this event."""
        if not isinstance(event, BlockDelta):  # of which nothing is lost that its block has not told
            self.losses.feed(event)
        frame = event.frame if event.frame is not None and self._is_ours(event.frame) else None
        if frame is not None and self._frame is None and isinstance(event, Raw) and event.pristine and self._relays():
            return self._separated(frame.data)
        out = b"" if frame is self._frame else self._flush()
        if frame is None:
            return self._separated(out + self._foreign(event))
        self._frame = frame
        self._group.append(event)
        if len(self._group) >= frame.count or isinstance(event, ResponseEnd | Error):
            out += self._flush()
        return self._separated(out)

    def _flush(self) -> bytes:
        """What has come of the frame at hand."""
        frame, group = self._frame, self._group
        if frame is None or not group:
            return b""
        self._frame, self._group = None, []
        if len(group) == frame.count and self._told is not frame and all(event.pristine for event in group):
            return self._copied(frame, group)
        out = self._rebuilt(frame, group)
        self._told = frame
        return out

    def _is_ours(self, frame: Frame) -> bool:
        """Whether a frame can be copied into a stream; a whole body of this dialect cannot."""
        return frame.dialect == self.name and frame.data[:32].lstrip()[:1] != b"{"

    def _relays(self) -> bool:
        """Whether a frame that nobody has read may go out as it is."""
        return True

    @abstractmethod
    def _copied(self, frame: Frame, group: list[Event]) -> bytes:
        """A frame, all of whose events came untouched; take note of them for the sake of those that follow."""

    @abstractmethod
    def _rebuilt(self, frame: Frame, group: list[Event]) -> bytes:
        """What is left of a frame of this dialect."""

    @abstractmethod
    def _foreign(self, event: Event) -> bytes:
        """An event of another dialect, or of nobody's."""

    def _separated(self, out: bytes) -> bytes:
        """A provider's last frame may lack its empty line; what comes behind it must not run into it."""
        if out and self._dangling:
            out = b"\n\n" + out
        if out:
            self._dangling = not out.endswith(_BLANK)
        return out


class Gathered(Protocol):
    """The events of a reply, folded into a body."""

    def feed(self, event: Event) -> None:
        """Take one event more."""
        ...

    def body(self, request: Request, like: JSON) -> dict[str, JSON]:
        """The whole reply.

        Args:
            request: what it answers.
            like: a body whose spelling to follow, where there are several; an empty object if there is none.
        """
        ...


@define(eq=False)
class WholeWriter:
    """Writes a whole body, once the last event has come; the provider's own if nobody changed it.

    Args:
        name: the dialect's.
        request: what it answers.
        losses: sees each event.
        gather: makes what folds the events.
        reread: makes what reads a body of this dialect, to compare a changed reply with.
    """

    name: str
    request: Request
    losses: ReplyLosses
    gather: Callable[[], Gathered]
    reread: Callable[[], ReplyReader]
    _frames: list[Frame] = field(factory=list)
    _copied: list[Event] = field(factory=list)
    """Events of a body that may yet leave as it came; folded only when one of them turns out to be changed."""
    _gathered: Gathered | None = None

    @property
    def content_type(self) -> str:
        """Of what it writes."""
        return "application/json"

    def idle(self) -> bytes:
        """Nothing: a body has no room for it."""
        return b""

    def feed(self, event: Event) -> bytes:
        """Nothing, until the terminal event; and nothing for an error, which the application answers."""
        self.losses.feed(event)
        if event.frame is not None and (not self._frames or self._frames[-1] is not event.frame):
            self._frames.append(event.frame)
        if self._gathered is not None:
            self._gathered.feed(event)
        else:
            self._copied.append(event)
            if not event.pristine or _is_streamed(event):
                self._touch()
        if isinstance(event, Error) or not isinstance(event, ResponseEnd):
            return b""
        return self._body()

    def _body(self) -> bytes:
        body = self._whole()
        if body is not None and self._gathered is None and len(self._copied) == sum(frame.count for frame in self._frames):
            return body.data
        gathered = self._gathered or self._touch()
        if body is None:
            return jsons.dumps(gathered.body(self.request, {}))
        before, reread = self.gather(), self.reread()
        for event in (*reread.read("", body.tree), *reread.finish()):
            before.feed(event)
        was, now = before.body(self.request, body.tree), gathered.body(self.request, body.tree)
        return splice(body.data, patched(body.tree, was, now))

    def _whole(self) -> Frame | None:
        """The provider's own body, if it sent one in this dialect."""
        bodies = [frame for frame in self._frames if frame.dialect == self.name and frame.data.lstrip()[:1] == b"{"]
        return bodies[0] if bodies else None

    def _touch(self) -> Gathered:
        gathered = self._gathered = self.gather()
        for event in self._copied:
            gathered.feed(event)
        self._copied = []
        return gathered


def _is_streamed(event: Event) -> bool:
    """Whether it came in a frame of a stream, which is no body."""
    return event.frame is not None and event.frame.data[:1] not in (b"{", b" ", b"\n", b"\r", b"\t", b"")
