"""The laws that a stream of events keeps (``llmgw.events``), checked event by event."""

from __future__ import annotations

from attrs import define, field

from llmgw.events.kinds import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Error,
    Event,
    Progress,
    Raw,
    ResponseEnd,
    ResponseStart,
    Stop,
)


@define(eq=False)
class Invariants:
    """Checks the laws at the head of this module, event by event."""

    _started: bool = False
    _ended: bool = False
    _open: set[tuple[int, int]] = field(factory=set)
    _next: dict[int, int] = field(factory=dict)
    _stopped: set[int] = field(factory=set)
    _coarse: bool = False

    def feed(self, event: Event) -> str | None:
        """Take one event more; what it breaks, in words, or None."""
        if self._ended:
            return f"{type(event).__name__} after the end"
        match event:
            case Raw() | Progress():
                self._coarse |= isinstance(event, Raw)
                return None
            case Error():
                self._ended = True
                return None
            case ResponseEnd():
                self._ended = True
                return self._end()
            case ResponseStart():
                twice, self._started = self._started, True
                return "a second ResponseStart" if twice else None
            case _:
                pass
        if not self._started:
            return f"{type(event).__name__} before ResponseStart"
        return self._block(event)

    def _block(self, event: Event) -> str | None:
        match event:
            case BlockStart():
                expected = self._next.get(event.choice, 0)
                self._next[event.choice] = event.index + 1
                self._open.add((event.choice, event.index))
                return None if event.index == expected else f"block {event.index} where {expected} is next"
            case BlockDelta() | BlockMeta():
                there = (event.choice, event.index) in self._open
                return None if there else f"{type(event).__name__} for block {event.index}, which is not open"
            case BlockStop():
                there = (event.choice, event.index) in self._open
                self._open.discard((event.choice, event.index))
                return None if there else f"BlockStop for block {event.index}, which is not open"
            case Stop():
                twice = event.choice in self._stopped
                self._stopped.add(event.choice)
                return f"a second Stop for choice {event.choice}" if twice else None
            case _:
                return None

    def _end(self) -> str | None:
        if self._open:
            return f"ended with open blocks {sorted(self._open)}"
        missing = set(self._next) - self._stopped
        if missing or (self._started and not self._stopped):
            return f"ended without a Stop for choices {sorted(missing) or [0]}"
        if not self._started and not self._coarse:
            return "ended before it started"
        return None
