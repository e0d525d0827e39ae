"""From a route to a reply that has begun: one attempt after the other, or several at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from attrs import define, field

from llmgw.errors import ClientError, GatewayError, Misconfigured, Unsupported
from llmgw.events import Error, Event, Events, cut_short, is_meaningful
from llmgw.model import Request
from llmgw.route import next_step, resolve
from llmgw.stages import Attempt, Lane, Race, Route, Target

if TYPE_CHECKING:
    from llmgw.exchange import Exchange

log = logging.getLogger("llmgw.pipeline")

MOST_HELD = 1000
"""Events without meaning (keep-alives above all) that are held before an attempt is committed all the same."""


async def attempted(exchange: Exchange, request: Request) -> AsyncGenerator[Event, None]:
    """The events of the first attempt that comes to something; before that, failures go back to the route.

    Raises:
        GatewayError: none came to anything, or the one that did broke off.
    """
    begun = await _first(exchange, request, resolve(exchange, request))
    try:
        exchange.committed = begun.attempt.committed = True
        exchange.until = None
        for route in begun.routes:  # which hear only now that one of their targets was the one
            await route.aclose()
        for event in begun.held:
            yield event
        async for event in begun.events:
            yield event
    finally:
        await begun.aclose()


@define(eq=False)
class Begun:
    """An attempt that has come to something.

    Args:
        exchange: this attempt's own part of it, where there are several at once.
        attempt: its line in the account.
        held: the events so far.
        events: those that follow.
        routes: which led to it, from the inner to the outer.
    """

    exchange: Exchange
    attempt: Attempt
    held: Sequence[Event]
    events: Events
    routes: list[Route] = field(factory=list)

    async def aclose(self) -> None:
        """Close the reply, then the routes."""
        async with AsyncExitStack() as stack:
            for route in reversed(self.routes):
                stack.push_async_callback(route.aclose)
            stack.push_async_callback(self.events.aclose)


async def _first(exchange: Exchange, request: Request, route: Route) -> Begun:
    """Follow a route until an attempt has come to something; the route is closed unless it has."""
    failure: GatewayError | None = None
    async with AsyncExitStack() as stack:
        stack.push_async_callback(route.aclose)
        while (step := await next_step(route, failure)) is not None:
            try:
                begun = await (_raced(exchange, request, step) if isinstance(step, Race) else _tried(exchange, request, step))
            except Unsupported as error:  # what one model cannot do, another may
                failure = error
            except ClientError:  # nothing that another target could cure
                raise
            except GatewayError as error:
                failure = error
            else:
                stack.pop_all()
                begun.routes.append(route)
                return begun
            _obey()
    raise failure or Misconfigured("The route gave no target for this model.")


def _obey() -> None:
    """End a task that was told to end at the very moment at which its provider was given up for its silence."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _tried(exchange: Exchange, request: Request, target: Target) -> Begun:
    """One attempt, until it has come to something.

    Raises:
        GatewayError: it came to nothing.
    """
    backend = exchange.backend(target)
    if backend is None:
        raise Misconfigured(f"The route names the back-end '{target.backend}', which this deployment does not have.")
    attempt = exchange.begin(target)
    asked = target.request or request
    events = backend.stream(exchange, target, asked.with_model(target.model))
    try:
        held = await _until_meaningful(events)
    except BaseException as error:  # also when cancelled: nobody else would close what was opened
        await events.aclose()
        if isinstance(error, GatewayError):
            attempt.failure = error
            log.info("%s: attempt at %s failed: %s", exchange.id, target.name, error.message)
        raise
    return Begun(exchange, attempt, held, events)


async def _until_meaningful(events: Events) -> list[Event]:
    held: list[Event] = []
    async for event in events:
        if isinstance(event, Error):
            raise event.error
        held.append(event)
        if is_meaningful(event) or len(held) > MOST_HELD:
            return held
    raise cut_short("it sent nothing")


# ---- several at once ----------------------------------------------------------------------------


async def _raced(exchange: Exchange, request: Request, race: Race) -> Begun:
    """Several routes at once, until an attempt of one has come to something; the others are closed before it is used.

    Raises:
        GatewayError: all came to nothing; of the lane that failed last.
    """
    course = _Course(exchange, request, sorted(race.lanes, key=lambda lane: lane.handicap))
    try:
        async with asyncio.TaskGroup() as group:
            await course.run(group)
        begun = course.winner()
        await course.clear(but=begun)
    except BaseException:  # also when cancelled: whoever came in must be closed
        await course.clear()
        exchange.lanes.clear()
        raise
    exchange.adopt(begun.exchange)
    return begun


_INSTANT = 1e-6
"""Seconds that are no wait: what floating point may lose of a handicap."""


@define(eq=False)
class _Course:
    """One race. Lanes set out when their handicap is over, or when nobody is left on the way."""

    exchange: Exchange
    request: Request
    waiting: list[Lane]
    _running: list[asyncio.Task[None]] = field(factory=list)
    _failure: GatewayError | None = None
    _begun: list[Begun] = field(factory=list)
    """Whoever came in, the winner first."""
    _start: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._start = self._now

    @property
    def _now(self) -> float:
        return self.exchange.gateway.clock.monotonic()

    def _wait(self) -> float:
        """Seconds until the next lane sets out by itself."""
        return self._start + self.waiting[0].handicap - self._now

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Until somebody has come in, or nobody is left; who has lost is told to stop."""
        while (self.waiting or self._running) and not self._begun:
            if self.waiting and (not self._running or self._wait() <= _INSTANT):
                self._set_out(group, self.waiting.pop(0))
            else:
                await self._news(group)
        for task in self._running:
            task.cancel()

    def winner(self) -> Begun:
        """Whoever came in first.

        Raises:
            GatewayError: nobody did; of the lane that failed last.
        """
        if not self._begun:
            raise self._failure or Misconfigured("The route gave a race without lanes.")
        return self._begun[0]

    def _set_out(self, group: asyncio.TaskGroup, lane: Lane) -> None:
        own = self.exchange.lane()
        own.task = task = group.create_task(self._lane(own, lane.route))
        self._running.append(task)

    async def _lane(self, exchange: Exchange, route: Route) -> None:
        try:
            begun = await _first(exchange, self.request, route)
        except GatewayError as error:
            self._failure = error
        else:
            self._begun.append(begun)  # at once: whatever happens next, it is known here that it must be closed

    async def _news(self, group: asyncio.TaskGroup) -> None:
        """Wait until a lane has come to an end, or it is time for the next one to set out."""
        watched: set[asyncio.Task[None]] = set(self._running)
        alarm: asyncio.Task[None] | None = None
        if self.waiting:
            alarm = group.create_task(self._alarm(self._wait()))
            watched.add(alarm)
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if alarm is not None:
                alarm.cancel()
        self._running = [task for task in self._running if not task.done()]

    async def _alarm(self, seconds: float) -> None:
        await self.exchange.gateway.clock.sleep(seconds)

    async def clear(self, but: Begun | None = None) -> None:
        """Close what nobody wants: routes that never set out, and whoever came in at the very same moment as the winner."""
        async with AsyncExitStack() as stack:
            for lane in self.waiting:
                stack.push_async_callback(lane.route.aclose)
            for begun in self._begun:
                if begun is not but:
                    stack.push_async_callback(begun.aclose)
