"""Time that passes only when a test says so."""

from __future__ import annotations

import asyncio

from attrs import define, field

from llmgw.stages import Clock


@define(eq=False)
class FakeClock:
    """A clock at a fixed moment; ``advance`` moves it and wakes who slept until then."""

    now: float = 1000.0
    _sleepers: list[tuple[float, asyncio.Event]] = field(factory=list)

    @property
    def clock(self) -> Clock:
        """What a gateway is handed."""
        return Clock(monotonic=lambda: self.now, time=lambda: 1_700_000_000.0 + self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved that far."""
        event = asyncio.Event()
        self._sleepers.append((self.now + seconds, event))
        await event.wait()

    async def advance(self, seconds: float, *, step: float = 1.0) -> None:
        """Let time pass, in steps, letting everybody run in between."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            due = [entry for entry in self._sleepers if entry[0] <= self.now]
            self._sleepers = [entry for entry in self._sleepers if entry[0] > self.now]
            for _, event in due:
                event.set()
            for _ in range(20):
                await asyncio.sleep(0)
