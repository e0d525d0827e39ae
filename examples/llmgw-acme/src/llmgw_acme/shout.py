"""A filter, at its smallest: what it does to a request, and what it does to the reply."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from attrs import define, evolve
from llmgw import Event, Events, Exchange, Filter, Reply, Request, hookimpl
from llmgw.events import BlockDelta
from llmgw.model import Item, Message, Part, Text


@define(eq=False)
class Shout:
    """Writes what the user says and what the model answers in capitals.

    Args:
        requests: whether the model is shouted at, too.
    """

    requests: bool = True

    @hookimpl
    def open_filter(self, exchange: Exchange) -> Filter | None:
        """One for each exchange; return None where there is nothing to do, which costs nothing."""
        return Shouting(self.requests)


class Shouting(Filter):
    """Shouts in one exchange."""

    def __init__(self, requests: bool) -> None:
        self.requests = requests

    async def request(self, request: Request) -> Request | Reply:
        """All that the user said, not only the last turn: a changed past would break the provider's prompt cache."""
        if not self.requests:
            return request
        return request.with_prompt(items=tuple(_loud(item) for item in request.prompt.items))

    async def events(self, events: Events) -> AsyncGenerator[Event, None]:
        """Streamed and whole replies alike come through here.

        Capitals need no context. What looks for words must hold back the end of a fragment, where a word may be cut.
        """
        async for event in events:
            if isinstance(event, BlockDelta) and event.channel == "text":
                yield evolve(event, fragment=event.fragment.upper())
            else:
                yield event


def _loud(item: Item) -> Item:
    if isinstance(item, Message) and item.role == "user":
        return evolve(item, parts=tuple(map(_louder, item.parts)))
    return item


def _louder(part: Part) -> Part:
    return evolve(part, text=part.text.upper()) if isinstance(part, Text) else part
