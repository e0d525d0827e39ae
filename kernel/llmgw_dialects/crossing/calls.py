"""A reply that calls a tool ends in that call, whatever the provider says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import evolve

from llmgw.events import BlockStart, BlockStop, Event, Stop, StopKind
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import CALLS

_ENDS: Final[frozenset[StopKind]] = frozenset({"end", "stop_sequence", "other"})
"""What a provider says that has not noticed; a limit or a refusal is the truth."""


class Calls(Step):
    """Tells the client that tools are to be run, where a call is complete: it would take the reply for the last one."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._open: set[tuple[int, int]] = set()
        self._made: set[int] = set()

    @property
    def hears(self) -> Heard:
        """Calls and the end of a choice."""
        return (BlockStart, BlockStop, Stop)

    def back(self, event: Event) -> Iterable[Event]:
        """A choice's end, told as it is."""
        match event:
            case BlockStart() if event.kind in CALLS:
                self._open.add((event.choice, event.index))
            case BlockStop() if (event.choice, event.index) in self._open:
                self._made.add(event.choice)
            case Stop() if event.choice in self._made and event.reason.kind in _ENDS:
                return (evolve(event, reason=evolve(event.reason, kind="tool_use", sequence=None)),)
            case _:
                pass
        return (event,)
