"""One call at a time, for a client that asked for it and a model that cannot be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import evolve

from llmgw.events import BlockDelta, BlockMeta, BlockStart, BlockStop, Event
from llmgw.model import Prompt
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import CALLS, revised

Block = BlockStart | BlockDelta | BlockMeta | BlockStop


class Parallel(Step):
    """Passes the first call of a reply and leaves out the others; the model will call again."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._single = False
        self._calling: set[int] = set()
        """Choices with a call."""
        self._left_out: Counter[int] = Counter()
        """How many blocks of a choice."""
        self._numbers: dict[tuple[int, int], int | None] = {}
        """The blocks' numbers for the client; None for those that are left out."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt without the wish, where it is granted here."""
        self._single = prompt.parallel_tools is False and not self.leg.profile.parallel_switch
        if not self._single:
            return prompt
        self.leg.losses.emulated("parallel_tools", "the first call of a reply")
        return revised(prompt, parallel_tools=None)

    @property
    def hears(self) -> Heard:
        """All blocks, where one call alone may pass."""
        return (BlockStart, BlockDelta, BlockMeta, BlockStop) if self._single else ()

    def back(self, event: Event) -> Iterable[Event]:
        """Nothing for a later call, all else with its blocks numbered without a gap."""
        if not self._single or not isinstance(event, Block):
            return (event,)
        if isinstance(event, BlockStart):
            self._number(event)
        number = self._numbers.get((event.choice, event.index), event.index)
        if number is None:
            return ()
        return (event,) if number == event.index else (evolve(event, index=number),)

    def _number(self, event: BlockStart) -> None:
        calls = event.kind in CALLS
        if calls and event.choice in self._calling:
            self._left_out[event.choice] += 1
            self._numbers[event.choice, event.index] = None
            self.leg.losses.dropped("tool_call", "a second one")
            return
        if calls:
            self._calling.add(event.choice)
        self._numbers[event.choice, event.index] = event.index - self._left_out[event.choice]
