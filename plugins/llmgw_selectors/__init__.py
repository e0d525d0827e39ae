"""What a model's name may say: settings behind ``?``, aliases and wildcards of the deployment, a model without its back-end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Literal

from attrs import define, field

from llmgw import Events, Exchange, Filter, Gateway, GatewayError, Request, Route, hookimpl, next_step, resolve
from llmgw.route import select
from llmgw_routes.patterns import SIGNS
from llmgw_routes.settings import Changes
from llmgw_routes.shown import shown_as
from llmgw_selectors.aliases import Aliases
from llmgw_selectors.listed import by_backend, found

_PASSED = "selectors.passed"
"""The note in which an exchange keeps a name that the other plugins are asked for first."""


def _sound(_: object, attribute: object, value: Mapping[str, str]) -> None:
    Aliases(value)


@define(eq=False, kw_only=True)
class Selectors:
    """Reads models' names: ``openai:gpt-5?temperature=0.2``, aliases and wildcards, and models without their back-end.

    Behind ``?`` stand settings, encoded as in a URL; an empty value removes one. What a name without a back-end means is looked
    up in the lists of models, if no default back-end has it. An alias may mean whatever a client may ask for, also several
    models (``a|b``) and other aliases; an exact name goes before a pattern, a longer pattern before a shorter one.

    Args:
        aliases: by name or pattern, as ``fast`` or ``claude-*``, what is meant; ``{model}`` in it is the name that was asked
            for, ``{1}`` what the first star stands for.
        show: the model's name in replies where an alias was asked for: as it was ``asked``, or the ``real`` one.
    """

    aliases: dict[str, str] = field(factory=dict, validator=_sound)
    show: Literal["asked", "real"] = "asked"
    _aliases: Aliases = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._aliases = Aliases(self.aliases)

    @hookimpl
    def open_filter(self, exchange: Exchange) -> Filter | None:
        """Show the name that was asked for, where that is an alias; all other replies stay unread."""
        if not self._aliases or self.show == "real" or "override.model" in exchange.notes:
            return None
        name, _, _ = exchange.asked.partition("?")
        return None if self._meant(exchange.gateway, name) is None else Shown(exchange.asked)

    @hookimpl
    def route(self, exchange: Exchange, request: Request) -> Route | None:
        """Answer for names with settings, for aliases, and for models that stand in a list."""
        name = request.model
        if any(sign in name for sign in SIGNS):
            return None
        plain, mark, query = name.partition("?")
        if mark:
            changes = Changes.of_query(query, name)
            return resolve(exchange, changes.apply(request).with_model(plain))
        meant = self._meant(exchange.gateway, name)
        if meant is not None:
            exchange.remark(f"'{name[:200]}' is an alias of '{meant[:200]}'")
            return resolve(exchange, request.with_model(meant))
        return None if exchange.notes.get(_PASSED) == name else _unqualified(exchange, request)

    def _meant(self, gateway: Gateway, name: str) -> str | None:
        if not self._aliases or any(sign in name for sign in SIGNS):
            return None
        return self._aliases.meant(name, qualified=_names_backend(gateway, name))


@define(eq=False)
class Shown(Filter):
    """Shows a client the name that it asked for."""

    name: str

    def events(self, events: Events) -> Events:
        """The reply, from a model of that name."""
        return shown_as(events, self.name)


def _names_backend(gateway: Gateway, name: str) -> bool:
    backend, colon, rest = name.partition(":")
    return bool(colon and rest and backend in gateway.backends)


def _unqualified(exchange: Exchange, request: Request) -> Route | None:
    """The route of a name without a back-end, unless that is the default back-end's."""
    gateway, name = exchange.gateway, request.model
    default = gateway.default_backend
    if _names_backend(gateway, name) or not gateway.backends:
        return None
    if default is None or not gateway.backends[default].serves(name):
        return _elsewhere(exchange, request) or _looked_up(exchange, request)
    if (name in (default, "default") and gateway.config.default_model) or gateway.known(default, name) is not None:
        return None
    lists = by_backend(gateway.known_models)
    if default not in lists or found(name, {default: lists[default]}):
        return None
    return _elsewhere(exchange, request) or _at(exchange, request, found(name, lists))


def _elsewhere(exchange: Exchange, request: Request) -> Route | None:
    """The route of another plugin that knows the name, as one with a policy for it: a list of models has the last word."""
    exchange.notes[_PASSED] = request.model
    try:
        route: Route | None = exchange.gateway.hook.route(exchange=exchange, request=request)
    finally:
        del exchange.notes[_PASSED]
    return route


def _at(exchange: Exchange, request: Request, places: list[tuple[str, str]]) -> Route | None:
    """The route to the first of the places where a model is listed."""
    if not places:
        return None
    (backend, model), *others = places
    also = f", and at {', '.join(other for other, _ in others)}" if others else ""
    exchange.remark(f"'{request.model[:200]}' is listed as '{backend}:{model}'{also}")
    return resolve(exchange, request.with_model(f"{backend}:{model}"))


async def _looked_up(exchange: Exchange, request: Request) -> Route:
    """The route of a name that no default back-end has: the lists are asked for where they are not known."""
    gateway = exchange.gateway
    places = found(request.model, by_backend([one.id for one in await gateway.models()]))
    route = _at(exchange, request, places)
    if route is None:
        yield select(gateway, request.model)  # which raises, and names the nearest
        return
    failure: GatewayError | None = None
    async with aclosing(route) as inner:
        while (step := await next_step(inner, failure)) is not None:
            failure = yield step
