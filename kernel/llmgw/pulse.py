"""Once a second, for all exchanges together: heartbeats to clients that wait, an end to those that nobody serves.

One look at counters here costs an exchange nothing; a timer for each would cost it with every chunk.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from attrs import define, field

from llmgw.errors import Deadline, UpstreamTimeout
from llmgw.exchange import ClientLeft, ClientStalled

if TYPE_CHECKING:
    from llmgw.exchange import Exchange
    from llmgw.gateway import Gateway

log = logging.getLogger("llmgw")

PERIOD = 1.0
"""Seconds between two looks."""


@define(eq=False)
class Pulse:
    """Looks after the exchanges of one generation."""

    gateway: Gateway
    _beating: set[Exchange] = field(factory=set)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self.gateway.clock.sleep(PERIOD)
                for exchange in self.look():
                    group.create_task(self._beat(exchange))

    def look(self) -> list[Exchange]:
        """End what has taken too long; the exchanges whose clients should hear a heartbeat now."""
        now = self.gateway.clock.monotonic()
        return [exchange for exchange in tuple(self.gateway.exchanges) if self._look(exchange, now)]

    def _look(self, exchange: Exchange, now: float) -> bool:
        limits = self.gateway.config.proxy
        self._note(exchange, now)
        for lane in exchange.lanes:
            self._look_at_lane(lane, now)
        still = now - exchange.moved_at
        if limits.deadline is not None and now - exchange.started >= limits.deadline:
            exchange.interrupt(Deadline(f"The answer took longer than the {limits.deadline:g} s that this gateway allows."))
        elif why := self._silent(exchange, now):
            exchange.interrupt(why)
        elif exchange.writing and still >= limits.client_timeout:
            exchange.interrupt(ClientStalled(f"The client took nothing for {limits.client_timeout:g} s."))
        elif not exchange.writing and exchange.beat is not None and exchange not in self._beating:
            patience = limits.heartbeat if exchange.writes else limits.commit_delay
            return now - exchange.written_at >= patience
        return False

    def _look_at_lane(self, lane: Exchange, now: float) -> None:
        """One of several attempts at the same time waits for its own provider."""
        self._note(lane, now)
        for inner in lane.lanes:  # a race within a race
            self._look_at_lane(inner, now)
        if why := self._silent(lane, now):
            lane.interrupt(why)

    def _silent(self, exchange: Exchange, now: float) -> UpstreamTimeout | None:
        """What to say of a provider that has not said anything for too long."""
        if not exchange.waiting:
            return None
        limits = self.gateway.config.proxy
        where = f"'{exchange.target.backend}'" if exchange.target else "the provider"
        if now - exchange.moved_at >= limits.silence_timeout:
            return UpstreamTimeout(f"{where} was silent for {limits.silence_timeout:g} s. Try again later.")
        if exchange.until is not None and now >= exchange.until:
            return UpstreamTimeout(f"{where} gave no sign of an answer in the time that this route allows.")
        return None

    @staticmethod
    def _note(exchange: Exchange, now: float) -> None:
        """See what has moved since the last look; a heartbeat is no move, or it would hide the silence it is for."""
        # by its own attempt: lanes share the list of all, and one that sets out is no sign of life of the others
        moves = exchange.writes - exchange.beats, exchange.reads, exchange.waiting, exchange.writing, id(exchange.attempt)
        if exchange.moves is not None and moves != exchange.moves:
            exchange.moved_at = now
        exchange.moves = moves
        if exchange.writes != exchange.written:
            exchange.written, exchange.written_at = exchange.writes, now

    async def _beat(self, exchange: Exchange) -> None:
        self._beating.add(exchange)
        try:
            if exchange.beat is not None:
                await exchange.beat()
        except ClientLeft:
            pass  # the exchange's own task hears of it
        except Exception:  # a dialect's bug: the hearts of the others beat on
            log.exception("exchange %s gets no heartbeat", exchange.id)
        finally:
            self._beating.discard(exchange)
