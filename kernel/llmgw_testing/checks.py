"""What every back-end and every filter must keep to; a plugin's own tests call these."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence

from llmgw.errors import GatewayError
from llmgw.events import Error, Event, Invariants, Reply, ResponseEnd, fold
from llmgw.exchange import Exchange
from llmgw.model import Request
from llmgw.stages import Backend, Filter, Target


async def check_backend(backend: Backend, exchange: Exchange, target: Target, request: Request) -> Reply:
    """Ask a back-end, and check that its events keep the laws (``llmgw.events``).

    Returns:
        What they fold into.

    Raises:
        AssertionError: naming the law and the event.
        GatewayError: the attempt failed, as attempts may.
    """
    return _checked([event async for event in backend.stream(exchange, target, request)], backend.name)


async def check_filter(one: Filter, events: Sequence[Event]) -> Reply:
    """Run events through a filter, and check that what comes out keeps the laws if what goes in does.

    Returns:
        What comes out, folded.

    Raises:
        AssertionError: naming the law and the event.
    """

    async def source() -> AsyncGenerator[Event, None]:
        for event in events:
            yield event

    _checked(events, "the events given")
    inner = source()
    outer = one.events(inner)
    try:
        return _checked([event async for event in outer], type(one).__name__)
    finally:
        await outer.aclose()
        await inner.aclose()


def _checked(events: Iterable[Event], who: str) -> Reply:
    laws, seen = Invariants(), list(events)
    for number, event in enumerate(seen):
        broken = laws.feed(event)
        assert broken is None, f"{who}, event {number}: {broken}"
    assert seen, f"{who} gave no events"
    assert isinstance(seen[-1], ResponseEnd | Error), f"{who} ended without its end event"
    try:
        return fold(seen)
    except GatewayError:
        return Reply()
