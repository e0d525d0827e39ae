"""Readers and relays of streams, whichever of the two framings they come in, and of whole bodies that come instead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, field

from llmgw.errors import UpstreamBroken
from llmgw.events import Error, Event, Frame, Raw, ResponseEnd, cut_short, framed
from llmgw.model import JSON
from llmgw.stages import Reader, Relay
from llmgw_dialects.failures import broken, loaded, refused_in_band
from llmgw_dialects.google_gemini.arrays import ArraySplitter, element
from llmgw_dialects.google_gemini.candidates import ChunkReader
from llmgw_dialects.google_gemini.grammar import Ends, GeminiGrammar
from llmgw_dialects.reading import EMPTY, HELD, StreamReader, WholeReader

_SPACE: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"


@define(eq=False)
class GeminiStreamReader(StreamReader):
    """Reads server-sent events; the bytes of each are at hand while it is read."""

    def _frame(self, frame: bytes, suspected: bool) -> list[Event]:
        assert isinstance(self.reply, ChunkReader)
        self.reply.wire = frame
        return super()._frame(frame, suspected)


@define(eq=False)
class GeminiWholeReader(WholeReader):
    """Reads a whole body; its bytes are at hand while it is read."""

    def close(self) -> Iterable[Event]:
        """The provider has closed: all events."""
        assert isinstance(self.reply, ChunkReader)
        self.reply.wire = b"".join(self._body._pieces)
        return super().close()


@define(eq=False)
class _Array(ABC):
    """What reader and relay of an array have in common.

    Args:
        grammar: the dialect's.
    """

    grammar: GeminiGrammar
    _splitter: ArraySplitter = field(factory=ArraySplitter)
    _words: list[bytes] = field(factory=list)
    """All pieces from an error on."""
    _size: int = 0
    _ended: bool = False

    @property
    def ended(self) -> bool:
        """Whether the array's end has come, or there is no reading on."""
        return self._ended or self._splitter.closed or self._size > HELD

    @property
    def failing(self) -> bool:
        """Whether an error has come."""
        return bool(self._words)

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        events: list[Event] = []
        try:
            for piece in () if self._ended else self._splitter.feed(data):
                events += self._piece(piece)
        except UpstreamBroken as error:
            return [*events, *self._end(error)]
        return events

    def close(self) -> Iterable[Event]:
        """The provider has closed."""
        if self._ended:
            return ()
        rest = self._splitter.close()
        if self._words:
            return self._failed(b"".join([*self._words, rest]))
        return self._last(rest)

    def _piece(self, piece: bytes) -> Iterable[Event]:
        if self._ended:
            return ()
        bare = element(piece)
        tree = loaded(bare)
        if self._words or (tree is not None and self.grammar.error_in("", tree) is not None):
            self._words.append(piece)
            self._size += len(piece)
            return ()
        if not isinstance(tree, dict):
            return self._end(broken(bare, "an array of JSON objects was expected"))
        return self._read(piece, bare, tree)

    def _failed(self, words: bytes) -> list[Event]:
        bare = element(self._words[0])
        refused = refused_in_band(self.grammar.name, self.grammar.error_in("", loaded(bare)), bare)
        self._ended = True
        return list(framed([Error(error=refused)], Frame(self.grammar.name, words)))

    def _end(self, error: UpstreamBroken) -> list[Event]:
        self._ended = True
        return [Error(error=error)]

    @abstractmethod
    def _read(self, piece: bytes, bare: bytes, tree: dict[str, JSON]) -> Iterable[Event]:
        """What an element says."""

    @abstractmethod
    def _last(self, rest: bytes) -> Iterable[Event]:
        """What the end says."""


@define(eq=False)
class ArrayReader(_Array):
    """Reads a stream that is one array.

    Args:
        reply: reads the elements.
    """

    reply: ChunkReader = field(kw_only=True)

    def _read(self, piece: bytes, bare: bytes, tree: dict[str, JSON]) -> Iterable[Event]:
        self.reply.wire = bare
        frame = Frame(self.grammar.name, piece, tree=tree)
        return framed(self.reply.read("", tree) or [Raw(dialect=self.grammar.name, payload=tree)], frame)

    def _last(self, rest: bytes) -> Iterable[Event]:
        self._ended = True
        if not self.reply.complete:
            return [Error(error=cut_short() if self.reply.started else cut_short(EMPTY))]
        end: list[Event] = [*self.reply.finish(), ResponseEnd()]
        return framed(end, Frame(self.grammar.name, rest)) if self._splitter.closed else end


@define(eq=False)
class ArrayRelay(_Array):
    """Relays a stream that is one array."""

    _watch: Ends = field(init=False)
    _held: list[bytes] = field(factory=list)
    _begun: bool = False

    def __attrs_post_init__(self) -> None:
        self._watch = Ends(self.grammar)

    @property
    def passing(self) -> bool:
        """Never: its pieces are looked at one by one."""
        return False

    def through(self, data: bytes) -> bytes:
        """Nothing: it never passes."""
        return b""

    def _read(self, piece: bytes, bare: bytes, tree: dict[str, JSON]) -> Iterable[Event]:
        self._watch.look(tree)
        self._held.append(piece)
        self._begun = self._begun or self.grammar.says("", tree)
        return self._raws() if self._begun else ()

    def _raws(self) -> list[Event]:
        data, self._held = b"".join(self._held), []
        return list(framed([Raw(dialect=self.grammar.name)], Frame(self.grammar.name, data))) if data else []

    def _failed(self, words: bytes) -> list[Event]:
        failed = super()._failed(words)
        return failed if self._begun else [Error(error=event.error) for event in failed if isinstance(event, Error)]

    def _last(self, rest: bytes) -> Iterable[Event]:
        self._ended = True
        if not self._watch.finishes():
            return [Error(error=cut_short() if self._begun else cut_short(EMPTY))]
        end = [ResponseEnd()]
        return [*self._raws(), *(framed(end, Frame(self.grammar.name, rest)) if self._splitter.closed else end)]


@define(eq=False)
class AnyReader:
    """Reads what comes where a stream was expected: told by its first byte.

    Args:
        events: makes the reader of server-sent events.
        array: of an array.
        whole: of a body.
    """

    events: Callable[[], Reader]
    array: Callable[[], Reader]
    whole: Callable[[], Reader]
    _reader: Reader | None = None
    _held: bytes = b""

    @property
    def ended(self) -> bool:
        """Whether the reply has come to its end."""
        return self._reader is not None and self._reader.ended

    @property
    def failing(self) -> bool:
        """Whether an error has come."""
        return self._reader is not None and self._reader.failing

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        if self._reader is not None:
            return self._reader.feed(data)
        data, self._held = self._held + data, b""
        first = data.removeprefix(_BOM).lstrip(_SPACE)[:1]
        if not first or _BOM.startswith(data):
            self._held = data
            return ()
        self._reader = self._made(first)
        return self._reader.feed(data)

    def close(self) -> Iterable[Event]:
        """The provider has closed."""
        if self._reader is None:
            self._reader = self.events()
            return [*self._reader.feed(self._held), *self._reader.close()]
        return self._reader.close()

    def _made(self, first: bytes) -> Reader:
        return {b"[": self.array, b"{": self.whole}.get(first, self.events)()


@define(eq=False)
class AnyRelay(AnyReader):
    """Relays it."""

    @property
    def passing(self) -> bool:
        """Whether something meaningful has come."""
        return self._relay is not None and self._relay.passing

    def through(self, data: bytes) -> bytes:
        """What may go on of a reply that has begun."""
        return b"" if self._relay is None else self._relay.through(data)

    @property
    def _relay(self) -> Relay | None:
        return self._reader  # type: ignore[return-value]  # all three are relays
