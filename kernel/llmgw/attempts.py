"""From a route to a reply that has begun: one attempt after the other, or several at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

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
    raise failure or Misconfigured("The route gave no target for this model.")


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
    except BaseException as error:
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
    outcome: Begun | GatewayError | None = None
    try:
        async with asyncio.TaskGroup() as group:
            outcome = await course.run(group)
    finally:
        await course.clear(outcome)
    if isinstance(outcome, GatewayError):
        raise outcome
    exchange.adopt(outcome.exchange)
    return outcome


@define(eq=False)
class _Course:
    """One race. Lanes set out when their handicap is over, or when nobody is left on the way."""

    exchange: Exchange
    request: Request
    waiting: list[Lane]
    _running: list[asyncio.Task[Begun | GatewayError]] = field(factory=list)
    _passed: float = 0.0
    """Seconds since the start."""

    async def run(self, group: asyncio.TaskGroup) -> Begun | GatewayError:
        """The winner, or why nobody is; who has lost is told to stop."""
        failure: GatewayError = Misconfigured("A race without lanes.")
        while self.waiting or self._running:
            if self.waiting and (not self._running or self.waiting[0].handicap <= self._passed):
                self._set_out(group, self.waiting.pop(0))
                continue
            for outcome in await self._news(group):
                if isinstance(outcome, Begun):
                    for task in self._running:
                        task.cancel()
                    return outcome
                failure = outcome
        return failure

    def _set_out(self, group: asyncio.TaskGroup, lane: Lane) -> None:
        self._passed = max(self._passed, lane.handicap)
        own = self.exchange.lane()
        own.task = task = group.create_task(_lane(own, self.request, lane.route))
        self._running.append(task)

    async def _news(self, group: asyncio.TaskGroup) -> list[Begun | GatewayError]:
        """What has become of lanes that have come to an end; nothing when it is time for the next one to set out."""
        watched: set[asyncio.Task[Any]] = set(self._running)
        alarm: asyncio.Task[None] | None = None
        if self.waiting:
            alarm = group.create_task(self._time_for(self.waiting[0]))
            watched.add(alarm)
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if alarm is not None:
                alarm.cancel()
        ended = [task for task in self._running if task.done()]
        outcomes = [task.result() for task in ended]
        winner = next((task for task in ended if isinstance(task.result(), Begun)), None)
        self._running = [task for task in self._running if task not in ended or (winner is not None and task is not winner)]
        return outcomes

    async def _time_for(self, lane: Lane) -> None:
        await self.exchange.gateway.clock.sleep(lane.handicap - self._passed)
        self._passed = lane.handicap

    async def clear(self, outcome: Begun | GatewayError | None) -> None:
        """Close what nobody wants: routes that never set out, and whoever came in at the very same moment as the winner."""
        for lane in self.waiting:
            await lane.route.aclose()
        for task in self._running:
            ended = task.done() and not task.cancelled() and task.exception() is None
            if ended and isinstance(begun := task.result(), Begun) and begun is not outcome:
                await begun.aclose()


async def _lane(exchange: Exchange, request: Request, route: Route) -> Begun | GatewayError:
    try:
        return await _first(exchange, request, route)
    except GatewayError as error:
        return error
