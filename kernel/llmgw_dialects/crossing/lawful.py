"""The laws of a reply (``llmgw.events``), enforced: what breaks them ends in an error, never in what looks like success."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from llmgw.errors import UpstreamBroken
from llmgw.events import BlockStart, BlockStop, Error, Event, Invariants, ResponseEnd, ResponseStart, Stop
from llmgw_dialects.crossing.legs import Heard, Leg, Step

_HEARD: Final = (ResponseStart, BlockStart, BlockStop, Stop, ResponseEnd, Error)

log = logging.getLogger("llmgw.crossing")


class Lawful(Step):
    """Watches over the reply as the client will get it."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._laws = Invariants()
        self._broken = False

    @property
    def hears(self) -> Heard:
        """Everything but what grows a block: a law is broken where one begins or ends."""
        return _HEARD

    def back(self, event: Event) -> Iterable[Event]:
        """The event, or the error that it amounts to; nothing more once there was one."""
        if self._broken:
            return ()  # behind it only pieces of blocks can come, which say nothing by themselves
        broken = self._laws.feed(event)
        if broken is None:
            return (event,)
        self._broken = True
        log.warning("a reply of %s breaks a law: %s", self.leg.target, broken)
        return (Error(error=UpstreamBroken(f"The provider's answer cannot be understood: {broken}. Ask again.")),)
