"""The fast path: client and provider both speak this dialect and nobody looks, so frames pass in blocks, unread.

Three things must be known all the same: whether anything meaningful has come (before that, a failure can still go to another
target), whether an error came, and whether the reply was complete. Bytes are searched for these; JSON is read only of the
first frames, of frames that may hold an error, and, where the provider has sent no ``[DONE]``, of those in which a choice
begins or ends. Inside JSON a quote is escaped, so a model that writes ``"error"`` or ``"finish_reason": "stop"`` is not mistaken
for its provider. Where either would do, ``rfind`` is three times as fast as ``in``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from attrs import define, field

from llmgw import sse
from llmgw.errors import UpstreamBroken, UpstreamRefused
from llmgw.events import Error, Event, Frame, Raw, ResponseEnd, cut_short, framed
from llmgw_dialects.openai_chat.errors import broken, find_error, loaded, refused_in_band
from llmgw_dialects.openai_chat.names import NAME, choices_of, index_of
from llmgw_dialects.openai_chat.reading import EMPTY, HELD, LastWords, WholeReader

_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"[^"]')
_NUMBERED: Final = rb'"index"(?<!"tool_calls":\[\{"index")(?<!"tool_calls": \[\{"index")\s*+:\s*+'
"""Before the number of a choice, or of something else but a tool call, as those write who begin a call with its number."""
_INDEX: Final = re.compile(_NUMBERED + rb"(-?\d{1,9})")
_NOT_ZERO: Final = re.compile(_NUMBERED + rb"(?!0\b)")
_ONE_CHOICE: Final = frozenset({0})

_AT_ONCE: Final = 32
_LARGE: Final = 2**16
"""Blocks and bytes of one: so much is kept to be searched at once; of most streams not all, of none more than two megabytes."""

_OPENING: Final = 1000
"""Frames that are kept back at most while they say nothing."""

_CHUNK: Final = re.compile(rb"data: ?\{")
_DONE: Final = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")


@define(eq=False)
class StreamRelay:
    """Relays a stream."""

    _splitter: sse.Splitter = field(factory=sse.Splitter)
    _held: list[bytes] = field(factory=list)
    """Whole frames from the start of the stream, none of them meaningful."""

    _size: int = 0
    _passing: bool = False
    _unsearched: list[bytes] = field(factory=list)
    _seen: set[int] = field(factory=set)
    _finished: set[int] = field(factory=set)
    _done: bool = False
    _ended: bool = False
    _words: LastWords = field(factory=LastWords)
    """From an error on; they are relayed as well if the client has begun to get the reply."""

    @property
    def passing(self) -> bool:
        """Whether something meaningful has come, or so much else that it cannot be kept back."""
        return self._passing

    @property
    def ended(self) -> bool:
        """Whether ``[DONE]`` has come, or there is no reading on."""
        return self._done or self._ended or self._words.ended

    @property
    def failing(self) -> bool:
        """Whether an error has come."""
        return bool(self._words)

    def through(self, data: bytes) -> bytes:
        """What may go on of a reply that has begun."""
        if self._words:
            self._words.add(data)
            return data
        block = self._splitter.feed(data)
        return self._watched(block) if block else b""

    def _watched(self, block: bytes) -> bytes:
        """Whole frames of a reply that has begun, looked over for an error and for the end."""
        if (block.rfind(b'"error"') >= 0 or block.rfind(b"event:") >= 0) and (found := find_error(block)) is not None:
            rest = block[found.at :] + self._splitter.close()
            self._words.add(rest)
            return block[: found.at] + rest
        at = block.rfind(b"[DONE]")
        if at >= 0 and _DONE.search(block, max(0, at - 8)) is not None:
            self._done = True
        if not self._done:
            self._unsearched.append(block)
            if len(self._unsearched) >= _AT_ONCE or len(block) >= _LARGE:
                self._search()
        return block

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        if self._ended:
            return ()
        try:
            if self._passing:
                return self._raws(self.through(data))
            if self._words:
                self._words.add(data)
                return ()
            block = self._splitter.feed(data)
        except UpstreamBroken as error:
            return self._end(error)
        return self._opening(block) if block else ()

    def close(self) -> Iterable[Event]:
        """The provider has closed."""
        if self._ended:
            return ()
        events: list[Event] = []
        last = self._splitter.close()
        if last and not self._words and ((self._held == [] and not self._passing) or _whole(last)):
            events += self._block(last)
        if self._ended:
            return events
        if self._words:
            return [*events, *self._failed(self._words.take())]
        if not self._passing:
            return [*events, *self._end(cut_short(EMPTY))]
        return [*events, *self._end(None if self._done or self._finishes() else cut_short())]

    def _block(self, block: bytes) -> Iterable[Event]:
        """Whole frames, the last one perhaps without its empty line."""
        if not self._passing:
            return self._opening(block)
        return self._raws(self._watched(block))

    def _raws(self, block: bytes) -> list[Event]:
        return [_raw(block)] if block else []

    def _finishes(self) -> bool:
        """Whether each choice that began has ended, now that the provider has closed without saying that all is said."""
        self._search()
        return bool(self._finished) and self._seen <= self._finished

    def _search(self) -> None:
        """Look for the beginnings and ends of choices in what has passed: JSON is read only of frames that may hold one."""
        passed, self._unsearched = b"".join(self._unsearched), []
        if self._known(passed):
            return
        for frame in sse.frames(passed):
            if not self._known(frame):
                tree = loaded(sse.parse(frame)[1] or b"")
                for position, choice in enumerate(choices_of(tree)):
                    index, reason = index_of(choice, position), choice.get("finish_reason")
                    self._seen.add(index)
                    if reason and isinstance(reason, str):
                        self._finished.add(index)

    def _known(self, data: bytes) -> bool:
        """Whether these frames end no choice, and hold no number that is not one of a choice we know."""
        if _FINISHED.search(data) is not None:
            return False
        if self._seen == _ONE_CHOICE:  # as nearly always
            return _NOT_ZERO.search(data) is None
        return self._seen.issuperset(map(int, _INDEX.findall(data)))

    def _opening(self, block: bytes) -> Iterable[Event]:
        """Nothing meaningful has come yet: look at each frame."""
        frames = sse.frames(block)
        for number, frame in enumerate(frames):
            _, data = sse.parse(frame)
            if find_error(frame) is not None or (data is None and frame.lstrip()[:1] in (b"{", b"[", b"<")):
                self._words.add(*self._held, *frames[number:], self._splitter.close())
                return ()
            if data == b"[DONE]":
                return self._silent(frame)
            tree = loaded(data or b"")
            if data is not None and not isinstance(tree, dict):
                return self._end(broken(data, "a stream of JSON objects was expected"))
            if (isinstance(tree, dict) and _says(tree)) or self._full(frame):
                self._passing = True
                return self._block(b"".join([*self._held, *frames[number:]]))
            self._held.append(frame)
            self._size += len(frame)
        return ()

    def _full(self, frame: bytes) -> bool:
        return len(self._held) >= _OPENING or self._size + len(frame) > HELD

    def _silent(self, done: bytes) -> list[Event]:
        """It said nothing, and that this was all."""
        if not any(map(_CHUNK.match, self._held)):
            return self._end(cut_short(EMPTY))
        return [_raw(b"".join([*self._held, done])), *self._end(None)]

    def _failed(self, rest: bytes) -> list[Event]:
        found = find_error(rest)
        if found is None:  # a page, or JSON that is no error, instead of a stream
            return self._end(broken(rest, "a stream of events was expected"))
        return self._end(refused_in_band(found.error, rest))

    def _end(self, error: UpstreamBroken | UpstreamRefused | None) -> list[Event]:
        self._ended = True
        if error is None:
            return framed([ResponseEnd()], Frame(NAME, b""))
        if self._words and self._passing:  # the client has the provider's own words already
            return framed([Error(error=error)], Frame(NAME, b""))
        return [Error(error=error)]


@define(eq=False)
class WholeRelay(WholeReader):
    """Relays a whole body, once it is seen to be one."""

    @property
    def passing(self) -> bool:
        """Never: a body passes as a whole, when it has come."""
        return False

    def through(self, data: bytes) -> bytes:
        """Nothing yet."""
        self._body.add(data)
        return b""

    def close(self) -> Iterable[Event]:
        """The provider has closed."""
        try:
            data, tree = self._body.take()
        except (UpstreamBroken, UpstreamRefused) as error:
            return [Error(error=error)]
        return [*framed([Raw(dialect=NAME)], Frame(NAME, data, tree=tree)), *framed([ResponseEnd()], Frame(NAME, b""))]


def _raw(block: bytes) -> Raw:
    return framed([Raw(dialect=NAME)], Frame(NAME, block))[0]


def _says(tree: dict[str, Any]) -> bool:
    """Whether a chunk has more than a role."""
    for choice in choices_of(tree):
        delta = choice.get("delta") or choice.get("message")
        if choice.get("finish_reason") or (isinstance(delta, dict) and any(v for key, v in delta.items() if key != "role")):
            return True
    return False


def _whole(last: bytes) -> bool:
    """Whether a last frame without its empty line is all there."""
    _, data = sse.parse(last)
    return data is not None and (data == b"[DONE]" or loaded(data) is not None)
