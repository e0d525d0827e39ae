"""The fast path: client and provider both speak this dialect and nobody looks, so frames pass in blocks, unread.

Three things must be known all the same: whether anything meaningful has come (before that, a failure can still go to another
target), whether an error came, and whether the reply was complete. Bytes are searched for these; JSON is read only of the
first frames and of frames that may hold an error. Inside JSON a quote is escaped, so a model that writes ``"error"`` or
``"finish_reason": "stop"`` is not mistaken for its provider. Where either would do, ``rfind`` is three times as fast as ``in``.
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
from llmgw_dialects.openai_chat.names import NAME, choices_of
from llmgw_dialects.openai_chat.reading import EMPTY, Body

_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"[^"]')
_AT_ONCE: Final = 32
"""Blocks; of most streams all, and of none more than some megabytes."""

_CHUNK: Final = re.compile(rb"data: ?\{")
_DONE: Final = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")


@define(eq=False)
class StreamRelay:
    """Relays a stream."""

    _splitter: sse.Splitter = field(factory=sse.Splitter)
    _held: list[bytes] = field(factory=list)
    """Whole frames from the start of the stream, none of them meaningful."""

    _passing: bool = False
    _unsearched: list[bytes] = field(factory=list)
    _complete: bool = False
    _ended: bool = False
    _rest: list[bytes] = field(factory=list)
    """From an error on, all bytes; they are relayed as well if the client has begun to get the reply."""

    @property
    def passing(self) -> bool:
        """Whether something meaningful has come."""
        return self._passing

    def through(self, data: bytes) -> bytes:
        """What may go on of a reply that has begun."""
        if self._rest:
            self._rest.append(data)
            return data
        block = self._splitter.feed(data)
        return self._watched(block) if block else b""

    def _watched(self, block: bytes) -> bytes:
        """Whole frames of a reply that has begun, looked over for an error and for the end."""
        if (block.rfind(b'"error"') >= 0 or block.rfind(b"event:") >= 0) and (found := find_error(block)) is not None:
            self._rest = [block[found.at :], self._splitter.close()]
            return b"".join([block[: found.at], *self._rest])
        if not self._complete:
            self._unsearched.append(block)
            if len(self._unsearched) >= _AT_ONCE:
                self._search()
        return block

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        if self._ended:
            return ()
        try:
            if self._passing:
                return self._raws(self.through(data))
            if self._rest:
                self._rest.append(data)
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
        if last and not self._rest and ((self._held == [] and not self._passing) or _whole(last)):
            events += self._block(last)
        if self._ended:
            return events
        if self._rest:
            return [*events, *self._failed()]
        if not self._passing:
            if any(map(_DONE.search, self._held)) and any(map(_CHUNK.match, self._held)):
                # it said nothing, and that this was all
                return [*events, _raw(b"".join(self._held)), *self._end(None)]
            return [*events, *self._end(cut_short(EMPTY))]
        self._search()
        return [*events, *self._end(None if self._complete else cut_short())]

    def _block(self, block: bytes) -> Iterable[Event]:
        """Whole frames, the last one perhaps without its empty line."""
        if not self._passing:
            return self._opening(block)
        return self._raws(self._watched(block))

    def _raws(self, block: bytes) -> list[Event]:
        return [_raw(block)] if block else []

    def _search(self) -> None:
        """Look for the end in what has passed; as a rule once, when the provider has closed."""
        passed, self._unsearched = b"".join(self._unsearched), []
        done = passed.rfind(b"[DONE]") >= 0 and _DONE.search(passed, passed.rfind(b"[DONE]") - 8) is not None
        self._complete = self._complete or done or _FINISHED.search(passed) is not None

    def _opening(self, block: bytes) -> Iterable[Event]:
        """Nothing meaningful has come yet: look at each frame."""
        frames = sse.frames(block)
        for number, frame in enumerate(frames):
            _, data = sse.parse(frame)
            if find_error(frame) is not None or (data is None and frame.lstrip()[:1] in (b"{", b"[", b"<")):
                self._rest = [*self._held, *frames[number:], self._splitter.close()]
                return ()
            tree = loaded(data or b"")
            if data not in (None, b"[DONE]") and not isinstance(tree, dict):
                return self._end(broken(data or b"", "a stream of JSON objects was expected"))
            if isinstance(tree, dict) and _says(tree):
                self._passing = True
                return self._block(b"".join([*self._held, *frames[number:]]))
            self._held.append(frame)
        return ()

    def _failed(self) -> list[Event]:
        rest = b"".join(self._rest)
        found = find_error(rest)
        if found is None:  # a page, or JSON that is no error, instead of a stream
            return self._end(broken(rest, "a stream of events was expected"))
        return self._end(refused_in_band(found.error, rest))

    def _end(self, error: UpstreamBroken | UpstreamRefused | None) -> list[Event]:
        self._ended = True
        if error is None:
            return framed([ResponseEnd()], Frame(NAME, b""))
        if self._rest and self._passing:  # the client has the provider's own words already
            return framed([Error(error=error)], Frame(NAME, b""))
        return [Error(error=error)]


@define(eq=False)
class WholeRelay:
    """Relays a whole body, once it is seen to be one."""

    _body: Body = field(factory=Body)

    @property
    def passing(self) -> bool:
        """Never: a body passes as a whole, when it has come."""
        return False

    def through(self, data: bytes) -> bytes:
        """Nothing yet."""
        self._body.add(data)
        return b""

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        self._body.add(data)
        return ()

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
