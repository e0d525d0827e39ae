"""The one way through: down through commands, filters and route to a back-end, and back up as events."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Literal

from attrs import define, evolve, field

from llmgw import chat
from llmgw.attempts import attempted
from llmgw.errors import GatewayFault, Misconfigured, Redo, UpstreamError
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Error,
    Event,
    Events,
    Reply,
    ResponseEnd,
    ResponseStart,
    Stop,
    Usage,
    UsageUpdate,
    unfold,
)
from llmgw.model import Request
from llmgw.route import next_step, resolve
from llmgw.stages import Count, Filter, Observer, Race, Target
from llmgw.tokens import estimated

if TYPE_CHECKING:
    from llmgw.exchange import Exchange

log = logging.getLogger("llmgw.pipeline")

MOST_REDOS = 5
"""Attempts that filters may splice into one reply: a filter that never has enough must not run for ever."""

_UNCOUNTED = frozenset({404, 405})
"""Statuses of a provider that has no such path."""


async def answer(exchange: Exchange, request: Request) -> Events:
    """Answer a request.

    Args:
        exchange: authenticated.
        request: as the client's dialect read it.

    Returns:
        Events as the client gets them, the terminal one last. Close it, also when it is not read to the end: everything that
        was opened on the way is closed with it.

    Raises:
        GatewayError: before anything of meaning came; what comes later is an ``Error`` event.
    """
    gateway = exchange.gateway
    exchange.asked = request.model
    if gateway.implements("session_key"):
        exchange.session = gateway.hook.session_key(exchange=exchange, request=request)
    if gateway.commands:
        outcome = await chat.run(exchange, request)
        if isinstance(outcome, Reply):
            return _replay(outcome)
        request = outcome
    filters: list[Filter] = []
    if gateway.implements("open_filter"):
        filters = [one for one in gateway.hook.open_filter(exchange=exchange) if one is not None]
        exchange.reads_events |= any(type(one).events is not Filter.events for one in filters)
    if not filters:
        return attempted(exchange, request)
    return Passage(exchange, filters).run(request)


async def count(exchange: Exchange, request: Request) -> Count:
    """How many tokens a prompt has, as the filters leave it: the provider's count, or else an estimate.

    Args:
        exchange: authenticated.
        request: as the client's dialect read it.

    Raises:
        GatewayError: no back-end has the model, or the provider refused the request itself.
    """
    gateway = exchange.gateway
    exchange.asked = request.model
    for one in gateway.hook.open_filter(exchange=exchange) if gateway.implements("open_filter") else ():
        outcome = request if one is None else await one.request(request)
        if isinstance(outcome, Reply):  # nothing will be asked of a provider
            return _estimate(request)
        request = outcome
    target = await _leading(exchange, request)
    backend = None if target is None else exchange.backend(target)
    if target is None or backend is None:
        raise Misconfigured("The route gave no target for this model.")
    exchange.target = target
    request = target.request or request
    try:
        counted = await backend.count(exchange, target, request.with_model(target.model))
    except UpstreamError as error:
        if error.status < 500 and (error.status not in _UNCOUNTED or error.kind == "model_not_found"):
            raise
        log.info("%s: '%s' does not count tokens (%s), so they are estimated", exchange.id, target.backend, error.message)
        counted = None
    return counted or _estimate(request)


async def _leading(exchange: Exchange, request: Request) -> Target | None:
    """The first target of the route; of a race, the first lane's."""
    async with aclosing(resolve(exchange, request)) as route:
        step = await next_step(route, None)
        while isinstance(step, Race):
            first, *others = step.lanes
            step = await next_step(first.route, None)
            for lane in (first, *others):
                await lane.route.aclose()
        return step


def _estimate(request: Request) -> Count:
    return Count(estimated(request.prompt), estimated=True)


def open_observers(exchange: Exchange) -> None:
    """Ask the plugins for observers; one that fails while it watches is dropped, and never the exchange."""
    opened = [_Guarded(one) for one in exchange.gateway.hook.open_observer(exchange=exchange) if one is not None]
    exchange.observers = list(opened)
    exchange.reads_events |= any(type(one.inner).event is not Observer.event for one in opened)


async def _replay(reply: Reply) -> AsyncGenerator[Event, None]:
    for event in unfold(reply):
        yield event


# ---- filters ------------------------------------------------------------------------------------


@define(eq=False)
class Passage:
    """One exchange's way through its filters.

    The kernel owns every generator that a filter gave it, and closes them outermost first (PEP 533).
    """

    exchange: Exchange
    filters: Sequence[Filter]
    _redos: int = field(default=0, init=False)

    async def run(self, request: Request) -> AsyncGenerator[Event, None]:
        """The reply to this request, as the first filter hands it out."""
        opened: list[Events] = []
        try:
            async for event in await self.descend(request, 0, opened):
                yield event
        finally:
            await _close(opened)

    async def descend(self, request: Request, start: int, opened: list[Events]) -> Events:
        """Take a request through the filters from ``start`` on; every generator made is added to ``opened``."""
        last = len(self.filters)
        events: Events | None = None
        for position in range(start, last):
            outcome = await self.filters[position].request(request)
            if isinstance(outcome, Reply):
                events, last = _replay(outcome), position
                break
            request = outcome
        if events is None:
            events = attempted(self.exchange, request)
        opened.append(events)
        for position in reversed(range(start, last)):
            one = self.filters[position]
            if type(one).events is not Filter.events:
                events = self._spliced(position, opened.copy()) if one.redoes else one.events(events)
                opened.append(events)
        return events

    async def _spliced(self, position: int, opened: list[Events]) -> AsyncGenerator[Event, None]:
        """Events of one filter over the last of ``opened``; when it raises Redo, these are closed and another attempt follows."""
        seam, inner = Seam(), opened[-1]
        try:
            while True:
                events = self.filters[position].events(inner)
                opened.append(events)
                try:
                    async for event in events:
                        for sewn in seam.sew(event):
                            yield sewn
                    return
                except Redo as redo:
                    self._redos += 1
                    if self._redos > MOST_REDOS:
                        raise GatewayFault(f"A filter asked for more than {MOST_REDOS} further attempts.") from None
                    for event in seam.cut():
                        yield event
                    request = redo.request
                await _close(opened)
                opened = []
                inner = await self.descend(request, position + 1, opened)
        finally:
            await _close(opened)


@define(eq=False)
class Seam:
    """Makes one reply of several attempts: one start, blocks numbered through, one end."""

    _open: dict[tuple[int, int], BlockStart] = field(factory=dict)
    _next: dict[int, int] = field(factory=dict)
    _offset: dict[int, int] = field(factory=dict)
    _started: bool = False
    _last: list[Event] = field(factory=list)
    """From a choice's end on, all is held until the attempt itself has ended: it may yet be broken off."""
    _usage: Usage | None = None
    _spent: Usage | None = None

    def sew(self, event: Event) -> list[Event]:
        """The events that may go on now, as they stand in the reply as a whole."""
        if isinstance(event, Stop) or self._last:
            self._last.append(event)
            if not isinstance(event, ResponseEnd | Error):
                return []
            ready, self._last = self._last, []
            return [sewn for one in ready for sewn in self._sewn(one)]
        return self._sewn(event)

    def _sewn(self, event: Event) -> list[Event]:
        match event:
            case ResponseStart():
                again, self._started = self._started, True
                return [] if again else [event]
            case UsageUpdate():
                self._usage = event.usage
                return [evolve(event, usage=event.usage.plus(self._spent))] if self._spent else [event]
            case ResponseEnd() if event.usage is not None and self._spent is not None:
                return [evolve(event, usage=event.usage.plus(self._spent))]
            case BlockStart() | BlockDelta() | BlockMeta() | BlockStop():
                shift = self._offset.get(event.choice, 0)
                moved = evolve(event, index=event.index + shift) if shift else event
                self._track(moved)
                return [moved]
            case _:
                return [event]

    def cut(self) -> list[Event]:
        """What closes the blocks of an attempt that is broken off; what it used is not forgotten."""
        used = next((one.usage for one in reversed(self._last) if isinstance(one, UsageUpdate)), self._usage)
        if used is not None:
            self._spent = used if self._spent is None else self._spent.plus(used)
        self._last, self._usage = [], None
        stops: list[Event] = [BlockStop(index=index, choice=choice) for choice, index in sorted(self._open)]
        self._open.clear()
        self._offset = dict(self._next)
        return stops

    def _track(self, event: BlockStart | BlockDelta | BlockMeta | BlockStop) -> None:
        if isinstance(event, BlockStart):
            self._open[event.choice, event.index] = event
            self._next[event.choice] = event.index + 1
        elif isinstance(event, BlockStop):
            self._open.pop((event.choice, event.index), None)


async def _close(opened: list[Events]) -> None:
    """Close the last opened first, and each whatever another one raises."""
    async with AsyncExitStack() as stack:
        for events in opened:
            stack.push_async_callback(events.aclose)


# ---- observers ----------------------------------------------------------------------------------


class _Guarded(Observer):
    """An observer that is dropped when it raises: watching must never break what is watched."""

    def __init__(self, inner: Observer) -> None:
        self.inner = inner
        self._dropped = False

    def _fail(self) -> None:
        self._dropped = True
        log.exception("observer %s failed and is dropped from this exchange", type(self.inner).__name__)

    def wire(self, leg: Literal["client", "provider"], direction: Literal["in", "out"], data: bytes) -> None:
        if not self._dropped:
            try:
                self.inner.wire(leg, direction, data)
            except Exception:  # noqa: BLE001 -- whatever a plugin raises
                self._fail()

    def event(self, event: Event) -> None:
        if not self._dropped:
            try:
                self.inner.event(event)
            except Exception:  # noqa: BLE001 -- whatever a plugin raises
                self._fail()

    def closed(self, error: BaseException | None) -> None:
        if not self._dropped:
            try:
                self.inner.closed(error)
            except Exception:  # noqa: BLE001 -- whatever a plugin raises
                self._fail()
