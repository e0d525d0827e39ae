"""The model's name that a client sees."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from attrs import evolve

from llmgw.events import Event, Events, ResponseStart


async def shown_as(events: Events, name: str) -> AsyncGenerator[Event, None]:
    """The same events, from a model of this name.

    Args:
        events: of a reply.
        name: that the client asked for.
    """
    async for event in events:
        yield evolve(event, model=name) if isinstance(event, ResponseStart) and event.model != name else event
