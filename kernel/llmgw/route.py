"""Which target a model name means, where no plugin knows better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmgw.errors import ModelNotFound
from llmgw.nearest import nearest
from llmgw.stages import Target

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
    known = [*names, *gateway.known_models]
    close = nearest(model, known) or (nearest(backend, names) if colon else [])
    asks = [f"{name}:{rest}" if colon and name in names else name for name in close]
    hint = f" Did you mean {' or '.join(repr(name) for name in asks)}?" if asks else ""
    return (
        f"There is no model '{model}' here.{hint} Models are asked for as backend:model, with one of the back-ends "
        f"{', '.join(names)}; GET /v1/models lists them."
    )
