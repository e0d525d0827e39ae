"""Which targets a model's name means: what a plugin knows, else the name itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import evolve

from llmgw.errors import Forbidden, GatewayError, Misconfigured, ModelNotFound
from llmgw.model import Request
from llmgw.nearest import nearest
from llmgw.stages import Backend, Guard, Race, Route, Target

if TYPE_CHECKING:
    from llmgw.exchange import Exchange
    from llmgw.gateway import Gateway

MOST_NAMES: Final = 100
"""Names that one exchange may resolve: an alias may lead to a chain, whose members are aliases, but not round in a circle."""


def resolve(exchange: Exchange, request: Request) -> Route:
    """The route of a model's name.

    Plugins that know the name by other names call this for those.

    Args:
        exchange: for which it is.
        request: that names the model; the targets are asked this.

    Returns:
        A route, to be closed by whoever iterates it.

    Raises:
        ModelNotFound: with the nearest names.
        Forbidden: the caller may not reach the target.
        Misconfigured: the name leads round in a circle.
    """
    exchange.names += 1
    if exchange.names > MOST_NAMES:
        raise Misconfigured(f"The model '{exchange.asked[:200]}' stands for more than {MOST_NAMES} names, or for itself.")
    gateway = exchange.gateway
    if gateway.implements("route"):
        route: Route | None = gateway.hook.route(exchange=exchange, request=request)
        if route is not None:
            return route
    target = evolve(select(gateway, request.model), request=request)
    _admit(exchange, target)
    return guarded(exchange.guards, target)


def guarded(guards: Sequence[Guard], target: Target) -> Route:
    """The attempts that guards make of a target."""
    if not guards:
        return _alone(target)
    return guards[0].attempts(target, partial(guarded, guards[1:]))


async def _alone(target: Target) -> Route:
    yield target


def _admit(exchange: Exchange, target: Target) -> None:
    principal = exchange.principal
    if principal is not None and not principal.may(target, exchange.asked):
        raise Forbidden(f"The key '{principal.name}' may not use '{target.name[:200]}'. The list of models has what it may use.")


async def next_step(route: Route, failure: GatewayError | None) -> Target | Race | None:
    """What the route says next, having heard of the failure before; None where it has nothing more."""
    try:
        return await route.asend(failure)
    except StopAsyncIteration:
        return None


def select(gateway: Gateway, model: str) -> Target:
    """The target of ``backend:model``, or of a bare name at the default back-end.

    A colon belongs to the model's own name unless a back-end's id stands before it (``llama3:8b``).

    Raises:
        ModelNotFound: with the nearest names.
    """
    backend, colon, rest = model.partition(":")
    if colon and rest and backend in gateway.backends:
        return Target(backend, rest)
    default = gateway.default_backend
    if default is not None:
        if model in (default, "default") and gateway.config.default_model:
            return Target(default, gateway.config.default_model)
        if gateway.backends[default].serves(model):
            return Target(default, model)
    raise ModelNotFound(_advice(gateway, model))


def _advice(gateway: Gateway, model: str) -> str:
    model = model[:200]  # as much as a message needs
    backend, colon, rest = model.partition(":")
    names = sorted(gateway.backends)
    if not names:
        return f"There is no model '{model}': this deployment has no back-end. Name one under 'backends' in its configuration."
    close = nearest(model, [*names, *gateway.known_models]) or (nearest(backend, names) if colon else [])
    asks = _served(gateway, model) or [ask for name in close for ask in (_asks(gateway, name, rest) if name in names else [name])]
    hint = " or ".join(repr(name) for name in dict.fromkeys(asks) if name != model)
    return (
        f"There is no model '{model}' here.{f' Did you mean {hint}?' if hint else ''} Models are asked for as backend:model, "
        f"with one of the back-ends {', '.join(names)}; the list of models has them."
    )


def _asks(gateway: Gateway, backend: str, model: str) -> list[str]:
    """How to ask at a back-end, whose id alone means nothing."""
    return [f"{backend}:{model}"] if model else _served(gateway, backend) or [f"{backend}:…"]


def _served(gateway: Gateway, model: str) -> list[str]:
    """The same name at those back-ends that say of themselves which names are theirs."""
    picky = (name for name, backend in gateway.backends.items() if type(backend).serves is not Backend.serves)
    return [f"{name}:{model}" for name in picky if gateway.backends[name].serves(model)]
