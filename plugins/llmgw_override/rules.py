"""For whom a rule is, and what it makes of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal

from attrs import define, field, frozen

from llmgw import ConfigError, Events, Exchange, Filter, Request
from llmgw_routes.patterns import SIGNS, Pattern, Template
from llmgw_routes.settings import Changes, faults
from llmgw_routes.shown import shown_as

Texts = str | list[str]

_pattern = cache(Pattern)
"""Those of the deployment are made once."""


def _listed(texts: Texts | None) -> list[str]:
    return [] if texts is None else [texts] if isinstance(texts, str) else texts


@frozen(kw_only=True)
class Match:
    """For whom a rule is; all that is said must be so. ``*`` stands for any text, and of several patterns one is enough.

    Args:
        model: as the client asks for it, without settings.
        frontend: the dialect that it speaks, as ``openai.chat``.
        key: the name of its key, as ``auth.keys`` has it.
        agent: its ``User-Agent``, as ``claude-cli*``.
    """

    model: str | list[str] | None = None
    frontend: str | list[str] | None = None
    key: str | list[str] | None = None
    agent: str | list[str] | None = None

    def stars(self, exchange: Exchange) -> tuple[str, ...] | None:
        """What the stars of ``model`` stand for; None where the exchange is not meant."""
        principal = exchange.principal
        others = (
            (self.frontend, exchange.dialect.name),
            (self.key, None if principal is None else principal.name),
            (self.agent, exchange.head.headers.get("user-agent", "")),
        )
        for patterns, value in others:
            if patterns is not None and (value is None or _first(_listed(patterns), value) is None):
                return None
        return () if self.model is None else _first(_listed(self.model), parted(exchange.asked)[0])

    @property
    def stars_of_all(self) -> int:
        """Stars that each pattern of ``model`` has."""
        return min((Pattern(one).stars for one in _listed(self.model)), default=0)


def _first(patterns: Iterable[str], value: str) -> tuple[str, ...] | None:
    """What the stars of the first pattern that matches stand for; capitals do not matter."""
    for one in patterns:
        stars = _pattern(one).match(value, fold=True)
        if stars is not None:
            return stars
    return None


def _known(_: object, attribute: object, value: Mapping[str, Any]) -> None:
    Changes.of_mapping(value)


def _removable(_: object, attribute: object, value: Iterable[str]) -> None:
    Changes.of_mapping({}, removed=value)


@define(eq=False, kw_only=True)
class Rule:
    """What is done for whom.

    Args:
        match: for whom; for everybody where it is left out.
        model: that is asked instead; ``{model}`` is the name that was asked for, ``{1}`` what the first star stands for.
        set: settings by name, in the spelling of any dialect; null removes one.
        remove: settings that are taken out.
        show: the model's name in replies: as it was ``asked``, or the ``real`` one.
    """

    match: Match = field(factory=Match)
    model: str | None = None
    settings: dict[str, Any] = field(factory=dict, alias="set", validator=_known)
    remove: list[str] = field(factory=list, validator=_removable)
    show: Literal["asked", "real"] = "asked"
    _changes: Changes = field(init=False, repr=False)
    _template: Template | None = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._changes = Changes.of_mapping(self.settings, removed=self.remove)
        self._template = None if self.model is None else Template(self.model, self.match.stars_of_all)
        if self.model is None and not self._changes:
            raise ConfigError("a rule does nothing: give it a model, set or remove")
        if problems := list(faults(self.model or "")):
            raise ConfigError(*problems)

    def applied(self, exchange: Exchange, stars: tuple[str, ...]) -> Filter | None:
        """What changes an exchange; None where it is already so.

        Args:
            exchange: that it is for.
            stars: what the stars of the rule's pattern stand for.
        """
        name, query = parted(exchange.asked)
        model = None if self._template is None else self._template.filled(name, stars)
        if model is None or (model == name and not query):
            return Overriding(exchange, None, query, self._changes) if self._changes else None
        exchange.notes["override.model"] = model  # so that others leave the name in the reply alone
        kind = Renaming if self.show == "asked" else Overriding
        return kind(exchange, model, query, self._changes)


@define(eq=False)
class Overriding(Filter):
    """Changes one request.

    Args:
        exchange: whose it is.
        model: to ask; None leaves it.
        query: settings that the client asked for in the name.
        changes: of settings, the deployment's.
    """

    exchange: Exchange
    model: str | None
    query: str
    changes: Changes

    async def request(self, request: Request) -> Request:
        """The request that is made instead."""
        changed = self._unasked(request)
        if self.model is not None:
            self.exchange.remark(f"the override gives '{self.model[:200]}' for '{self.exchange.asked[:200]}'")
            changed = changed.with_model(self.model)
        done = self.changes.apply(changed)
        if done is not changed:
            self.exchange.remark(f"the override changes {', '.join(self.changes.names)}")
        return done

    def _unasked(self, request: Request) -> Request:
        """The request with what stands behind ``?`` already done, so that the deployment has the last word."""
        asked = self.exchange.asked
        if not self.query or request.model != asked:
            return request
        return Changes.of_query(self.query, asked).apply(request).with_model(parted(asked)[0])


class Renaming(Overriding):
    """And shows the name that was asked for."""

    def events(self, events: Events) -> Events:
        """The reply, from a model of that name."""
        return shown_as(events, self.exchange.asked)


def parted(name: str) -> tuple[str, str]:
    """A model's name, and the settings behind its ``?``; those of one of several names stay where they are."""
    if any(sign in name for sign in SIGNS):
        return name, ""
    plain, _, query = name.partition("?")
    return plain, query
