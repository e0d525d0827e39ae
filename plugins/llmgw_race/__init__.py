"""Several models at once: the first that says something answers."""

from __future__ import annotations

from contextlib import aclosing

from attrs import define, evolve, field
from attrs.validators import ge

from llmgw import Exchange, GatewayError, Lane, ModelNotFound, Request, Route, Target, Unsupported, hookimpl, next_step, resolve
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
    most: int = field(default=4, validator=ge(1))

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


async def _raced(exchange: Exchange, request: Request, members: list[Member]) -> Route:
    exchange.remark(f"at once: {', '.join(one.name for one in members)}")
    lanes: list[Lane] = []
    unknown: ModelNotFound | None = None
    for one in members:
        try:
            route = resolve(exchange, request.with_model(one.name))
        except ModelNotFound as error:  # a lane that has failed before it could set out
            exchange.remark(f"'{one.name}' is left out: {error.message}")
            unknown = error
        else:
            lanes.append(Lane(_patient(route, one.options.patience), one.options.handicap))
    if unknown is not None and not lanes:
        raise unknown
    yield Course(lanes)


def _patient(route: Route, patience: float | None) -> Route:
    return route if patience is None else _waiting(route, patience)


async def _waiting(route: Route, patience: float) -> Route:
    """The same route, whose targets have so many seconds each."""
    async with aclosing(route):
        failure: GatewayError | None = None
        while (step := await next_step(route, failure)) is not None:
            failure = yield evolve(step, patience=patience) if isinstance(step, Target) and step.patience is None else step
