"""Several models at once: the first that says something answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from attrs import define

from llmgw import Exchange, GatewayError, Lane, Request, Route, Target, Unsupported, hookimpl, resolve
from llmgw import Race as Course
from llmgw_routes.names import Member, members


@define(eq=False)
class Race:
    """Asks several models at once, as in ``a!b`` or ``a![handicap=0.5]b``; the first that says something answers.

    The others are cancelled at once; what they have cost until then has to be paid all the same. A lane with a handicap sets out
    so many seconds later, or as soon as all before it have failed.

    Args:
        clients: whether clients may ask for races of their own; else only aliases and chains of this deployment are.
        most: lanes of one race.
    """

    clients: bool = True
    most: int = 4

    @hookimpl
    def route(self, exchange: Exchange, request: Request) -> Route | None:
        """Answer for names that ``!`` joins."""
        lanes = members(request.model, "!")
        if not lanes:
            return None
        if not self.clients and "!" in exchange.asked:
            raise Unsupported("This gateway lets nobody ask several models at once. Ask for one of them.", param="model")
        if len(lanes) > self.most:
            raise Unsupported(f"At most {self.most} models can be asked at once, not {len(lanes)}.", param="model")
        return _raced(exchange, request, lanes)


async def _raced(
    exchange: Exchange, request: Request, lanes: list[Member]
) -> AsyncGenerator[Target | Course, GatewayError | None]:
    exchange.remark(f"at once: {', '.join(lane.name for lane in lanes)}")
    yield Course([Lane(resolve(exchange, request.with_model(lane.name)), lane.options.handicap) for lane in lanes])
