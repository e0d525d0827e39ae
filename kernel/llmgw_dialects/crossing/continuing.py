"""Replies that a provider breaks off to be asked again: the gateway asks, and the client gets one reply.

Anthropic stops with ``pause_turn`` while its own tools work long, Gemini with ``CONTINUATION`` and a token. Their own clients
know what to do; no other does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import evolve

from llmgw.events import (
    Accumulator,
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Event,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
)
from llmgw.model import BuiltinTool, Message, Prompt
from llmgw_dialects.crossing.legs import Heard, Leg, Step

MOST: Final = 8
"""Times that a provider is asked to go on."""

_HEARD: Final = (BlockStart, ResponseStart, UsageUpdate, Stop, ResponseEnd)
_KINDS: Final = frozenset({"pause", "continuation"})


class Continuing(Step):
    """Asks the provider to go on, and makes one reply of the pieces; it stands last, for it speaks the provider's terms."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._prompt: Prompt | None = None
        self._fold: Accumulator | None = None
        self._hops = 0
        self._offset: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._paused: StopReason | None = None
        self._usage: Usage | None = None
        self._spent: Usage | None = None

    def prompt(self, prompt: Prompt) -> Prompt:
        """The same prompt; what is said in answer to it must be known if a tool of the provider's may take long."""
        self._prompt = prompt
        if any(isinstance(tool, BuiltinTool) and not tool.client_executed for tool in prompt.tools):
            self._fold = Accumulator()
        return prompt

    @property
    def hears(self) -> Heard:
        """What it must count or may hold back; of blocks only what it must move or remember."""
        return (Event,) if self._fold is not None or self._hops else _HEARD

    def back(self, event: Event) -> Iterable[Event]:
        """The event, as it stands in the reply as a whole."""
        if self._fold is not None and not isinstance(event, Stop | ResponseEnd):
            self._fold.feed(event)
        match event:
            case BlockStart() | BlockDelta() | BlockMeta() | BlockStop():
                return (self._moved(event),)
            case ResponseStart():
                self._used(event.usage)
                return () if self._hops else (event,)
            case UsageUpdate():
                self._used(event.usage)
                return (evolve(event, usage=event.usage.plus(self._spent)),) if self._spent else (event,)
            case Stop() if event.reason.kind in _KINDS and self._may_go_on:
                self._paused = event.reason
                return ()
            case ResponseEnd() if self._paused is not None:
                self._used(event.usage)
                return ()
            case ResponseEnd() if event.usage is not None and self._spent is not None:
                return (evolve(event, usage=event.usage.plus(self._spent)),)
            case _:
                return (event,)

    def further(self) -> Prompt | None:
        """What to ask next, now that the reply has broken off; None where it has not."""
        if self._paused is None or self._prompt is None:
            return None
        reason, self._paused = self._paused, None
        self._hops += 1
        self._offset = dict(self._next)
        self._spent = self._usage if self._spent is None or self._usage is None else self._spent.plus(self._usage)
        self._usage = None
        if reason.kind == "continuation":
            state = evolve(self._prompt.server_state, continuation=reason.continuation)
            self._prompt = evolve(self._prompt, server_state=state)
        elif self._fold is not None:
            said = self._fold.reply().choices
            parts = said[0].parts if said else ()
            self._prompt = evolve(self._prompt, items=(*self._prompt.items, Message(role="assistant", parts=parts)))
            self._fold = Accumulator()
        return self._prompt

    @property
    def _may_go_on(self) -> bool:
        return self._hops < MOST and self._prompt is not None

    def _moved(self, event: BlockStart | BlockDelta | BlockMeta | BlockStop) -> Event:
        offset = self._offset.get(event.choice, 0)
        if isinstance(event, BlockStart):
            self._next[event.choice] = event.index + offset + 1
        return evolve(event, index=event.index + offset) if offset else event

    def _used(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage = usage if self._usage is None else self._usage.merged(usage)
