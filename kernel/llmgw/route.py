"""Which target a model name means, where no plugin knows better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmgw.errors import ModelNotFound
from llmgw.nearest import nearest
from llmgw.stages import Backend, Target

if TYPE_CHECKING:
    from llmgw.gateway import Gateway


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
