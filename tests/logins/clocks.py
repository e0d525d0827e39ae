"""Time that passes at once when somebody waits for it."""

from __future__ import annotations

import asyncio

from attrs import define

from llmgw_testing import FakeClock


@define(eq=False)
class Hurried(FakeClock):
    """A clock whose sleepers wake at once, at the time that they wanted."""

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds
        await asyncio.sleep(0)

    @property
    def time(self) -> float:
        """Unix seconds."""
        return self.clock.time()
