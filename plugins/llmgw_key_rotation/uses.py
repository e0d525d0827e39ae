"""How often keys are used, over all workers."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from llmgw import Clock, StateStore
from llmgw_key_rotation.keys import Key

WINDOW = 300.0
"""Seconds of a span in which uses are counted."""
_FLUSH = 10.0
"""Seconds for which a worker may keep a count to itself, where nobody chooses by it."""


@define(eq=False)
class Uses:
    """Counts in spans of the clock; of the one before, as much counts as has not yet passed of this one.

    Args:
        state: where they are kept.
        clock: of the gateway.
    """

    state: StateStore
    clock: Clock = field(repr=False)
    _mine: dict[str, int] = field(factory=dict)
    """Not yet told to others, by what the state calls it."""
    _told: float = 0.0
    """On the monotonic clock, when they were."""

    def names(self, keys: Sequence[Key]) -> list[str]:
        """Of the counts of these keys, two each, for the state."""
        span = int(self.clock.time() // WINDOW)
        return [f"{key.uses}{number}" for key in keys for number in (span, span - 1)]

    def counts(self, found: Sequence[str | None]) -> list[float]:
        """How often each was used in about the last ``WINDOW`` seconds.

        Args:
            found: what the state has under ``names``.
        """
        numbers = [_number(text) for text in found]
        old = 1.0 - self.clock.time() % WINDOW / WINDOW
        return [now + old * before for now, before in zip(numbers[::2], numbers[1::2], strict=True)]

    async def note(self, key: Key, *, at_once: bool) -> None:
        """A key is used.

        Args:
            key: which.
            at_once: tell the others now.
        """
        [name, _] = self.names([key])
        self._mine[name] = self._mine.get(name, 0) + 1
        if at_once or self.clock.monotonic() - self._told >= _FLUSH:
            await self.flush()

    async def flush(self) -> None:
        """Tell the others."""
        mine, self._mine, self._told = self._mine, {}, self.clock.monotonic()
        for name, number in mine.items():
            await self.state.add(name, number, 2 * WINDOW)


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:  # a shared store may hold anything
        return 0.0
