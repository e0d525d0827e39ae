"""A provider's reply becomes events: a stream frame by frame, a whole body at its end. One machine for all dialects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from attrs import define, field

from llmgw import sse
from llmgw.errors import UpstreamBroken, UpstreamRefused
from llmgw.events import Error, Event, Frame, Progress, Raw, ResponseEnd, cut_short, framed
from llmgw_dialects.failures import broken, loaded, refused_in_band
from llmgw_dialects.grammar import Grammar, ReplyReader, find_error
from llmgw_dialects.refrain import Refrain

EMPTY: Final = "it sent nothing"
HELD: Final = 2**20
"""Bytes that are kept back of a reply that says nothing yet, or that has failed."""


@define(eq=False)
class LastWords:
    """All bytes from an error on, to the end of ``[DONE]`` if that comes; ended by that, or once there are too many."""

    limit: int = HELD
    ended: bool = False
    _frames: list[bytes] = field(factory=list)
    _size: int = 0
    _splitter: sse.Splitter = field(factory=sse.Splitter)

    def __bool__(self) -> bool:
        """Whether there was an error."""
        return self._size > 0

    def add(self, *pieces: bytes) -> None:
        """Take what comes next."""
        for data in pieces:
            if self.ended:
                return
            self._size += len(data)
            if self._size > self.limit:
                self.ended = True
                self._frames += [self._splitter.close(), data]
            else:
                self._split(self._splitter.feed(data))

    def take(self) -> bytes:
        """All that came."""
        return b"".join([*self._frames, self._splitter.close()])

    def _split(self, block: bytes) -> None:
        for frame in sse.frames(block) if block else ():
            self._frames.append(frame)
            if sse.parse(frame)[1] == b"[DONE]":
                self.ended = True
                self._splitter.close()
                return


@define(eq=False)
class StreamReader:
    """Reads a stream.

    An error of the provider's is told when the stream is closed, which may be soon: its frame then holds all bytes that
    followed, so that a client of this dialect gets them and yet nothing comes behind the terminal event.

    Args:
        grammar: the dialect's.
        reply: reads the frames' JSON.
    """

    grammar: Grammar
    reply: ReplyReader
    _splitter: sse.Splitter = field(factory=sse.Splitter)
    _words: LastWords = field(factory=LastWords)
    _refrain: Refrain = field(factory=Refrain)
    _ended: bool = False

    @property
    def ended(self) -> bool:
        """Whether the terminal event or ``[DONE]`` has come, or there is no reading on."""
        return self._ended or self._words.ended

    @property
    def failing(self) -> bool:
        """Whether an error has come."""
        return bool(self._words)

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        if self._ended:
            return ()
        if self._words:
            self._words.add(data)
            return ()
        try:
            block = self._splitter.feed(data)
        except UpstreamBroken as error:
            self._ended = True
            return [Error(error=error)]
        return self._frames(block) if block else ()

    def close(self) -> Iterable[Event]:
        """The provider has closed."""
        if self._ended:
            return ()
        events: list[Event] = []
        if not self._words and (last := self._splitter.close()):
            events = self._last(last)
        if self._ended:
            return events
        self._ended = True
        if self._words:
            return [*events, self._in_band(self._words.take())]
        if self.reply.complete:
            return [*events, *self.reply.finish(), ResponseEnd()]
        return [*events, Error(error=cut_short() if self.reply.started else cut_short(EMPTY))]

    def _frames(self, block: bytes) -> list[Event]:
        """Whole frames; whether one of them may be an error is asked of all at once."""
        frames, suspected = sse.frames(block), self.grammar.suspects(block)
        events: list[Event] = []
        at = 0
        while at < len(frames):
            if not self.grammar.remembers and (
                repeated := self._refrain.repeats(frames[at:] if at else frames, self.grammar.name)
            ):
                events += repeated
                at += len(repeated)
                continue
            frame = frames[at]
            made = self._frame(frame, suspected)
            self._refrain.learn(frame, made)
            events += made
            at += 1
            if self._words:
                self._words.add(*frames[at:], self._splitter.close())
            if self._words or self._ended:
                break
        return events

    def _last(self, frame: bytes) -> list[Event]:
        """A last frame without its empty line; one that breaks off in its JSON says nothing."""
        _, data = sse.parse(frame)
        if data is not None and data != b"[DONE]" and loaded(data) is None and not self.reply.empty:
            return []
        return self._frame(frame, True)

    def _frame(self, frame: bytes, suspected: bool) -> list[Event]:
        name, data = sse.parse(frame)
        if data is None:
            return self._comment(frame)
        made = Frame(self.grammar.name, frame)
        if data == b"[DONE]":
            return self._done(made)
        tree = loaded(data)
        if name == "error" or (suspected and tree is not None and self.grammar.error_in(name, tree) is not None):
            self._words.add(frame)
            return []
        if not isinstance(tree, dict):
            self._ended = True
            return [Error(error=broken(data, "a stream of JSON objects was expected"))]
        made.tree = tree
        events = framed(self.reply.read(name, tree) or [Raw(dialect=self.grammar.name, name=name, payload=tree)], made)
        self._ended = isinstance(events[-1], ResponseEnd | Error)
        return events

    def _comment(self, frame: bytes) -> list[Event]:
        if frame.lstrip()[:1] in (b"{", b"[", b"<") and not self.reply.started:  # a page or an error instead of a stream
            self._words.add(frame)
            return []
        return framed([Progress()], Frame(self.grammar.name, frame))

    def _done(self, frame: Frame) -> list[Event]:
        self._ended = True
        if self.reply.empty:
            return [*framed([Raw(dialect=self.grammar.name)], frame), Error(error=cut_short(EMPTY))]
        return framed([*self.reply.finish(), ResponseEnd()], frame)

    def _in_band(self, rest: bytes) -> Error:
        """The terminal event for an error that came where a frame was expected."""
        found = find_error(self.grammar, rest)
        if found is None:
            return Error(error=broken(rest, "a stream of events was expected"))
        refused = refused_in_band(self.grammar.name, found.error, rest)
        return framed([Error(error=refused)], Frame(self.grammar.name, rest))[0]


@define(eq=False)
class Body:
    """Gathers a whole body, up to a limit.

    Args:
        grammar: the dialect's.
        limit: bytes.
    """

    grammar: Grammar
    limit: int = sse.LIMIT
    _pieces: list[bytes] = field(factory=list)
    _size: int = 0

    def add(self, data: bytes) -> None:
        """Take a piece; what is over the limit is let go."""
        self._size += len(data)
        if self._size <= self.limit:
            self._pieces.append(data)

    def take(self) -> tuple[bytes, dict[str, Any]]:
        """The body, as bytes and as JSON, which is a reply.

        Raises:
            UpstreamRefused: it is an error.
            UpstreamBroken: it is neither, or too large.
        """
        if self._size > self.limit:
            raise UpstreamBroken(f"The provider sent a reply of more than {self.limit} bytes.")
        data = b"".join(self._pieces)
        tree = loaded(data)
        if tree is not None and (error := self.grammar.error_in("", tree)) is not None:
            raise refused_in_band(self.grammar.name, error, data)
        if not isinstance(tree, dict) or not self.grammar.is_body(tree):
            raise broken(data, f"{self.grammar.wanted} was expected")
        return data, tree


@define(eq=False)
class WholeReader:
    """Reads a whole body, as the one frame of a stream that is complete.

    Args:
        grammar: the dialect's.
        reply: reads the body's JSON.
    """

    grammar: Grammar
    reply: ReplyReader
    _body: Body = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._body = Body(self.grammar)

    @property
    def ended(self) -> bool:
        """Never: a body ends where HTTP says so."""
        return False

    @property
    def failing(self) -> bool:
        """Never: an error is a body too."""
        return False

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        self._body.add(data)
        return ()

    def close(self) -> Iterable[Event]:
        """The provider has closed: all events."""
        try:
            data, tree = self._body.take()
        except (UpstreamBroken, UpstreamRefused) as error:
            return [Error(error=error)]
        events = [*self.reply.read("", tree), *self.reply.finish()]
        frame = Frame(self.grammar.name, data, tree=tree)
        if self.reply.empty:
            return [*framed([*events, Raw(dialect=self.grammar.name)], frame), Error(error=cut_short("there is nothing in it"))]
        return framed([*events, ResponseEnd()], frame)
