"""One target after the other, until one answers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from attrs import define, field, frozen

from llmgw import ConfigError, Exchange, InvalidField, Request, Route, hookimpl
from llmgw_failover.following import Following
from llmgw_failover.policy import Limits, Policy
from llmgw_routes.names import Member, member, members

_WITHIN = "failover.within"
"""The note in which an exchange keeps the name that is being resolved for itself."""


@define(eq=False, kw_only=True)
class Failover:
    """Tries further targets where one fails: ``a|b|c`` in this order, ``a^b`` by weight, and policies for models.

    What a failure's class is decides whether another target is tried; nothing is tried again once the client has got something of
    an answer, and nothing that is the client's own fault. A target that said when it may be asked again is left alone until
    then, by all who share the state.

    Args:
        on: classes of failure after which to go on.
        attempts: most for one request.
        deadline: seconds after which no further target is tried.
        rounds: how often to go through all targets; with more than one, a single target is asked again, too.
        wait: most seconds to wait before another round.
        pause: seconds before the second round; it doubles with each, and is drawn from between half and all of that.
        models: by patterns of names as clients ask for them: a chain, as a text with signs or as a list; or a policy, which has
            the same options as this plugin and ``chain``.
    """

    on: list[str] = field(factory=lambda: list(Limits.GO_ON))
    attempts: int = 8
    deadline: float = 120.0
    rounds: int = 1
    wait: float = 15.0
    pause: float = 0.5
    models: dict[str, str | list[str] | Policy] = field(factory=dict)
    _random: random.Random = field(factory=random.Random, init=False, repr=False)
    _policies: dict[str, Policy] = field(init=False, repr=False)
    _usual: Limits = field(init=False)
    _limits: Mapping[str, Limits] = field(init=False)
    _chains: Mapping[str, Sequence[Group]] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._usual = Limits(self.on, self.attempts, self.deadline, self.rounds, self.wait, self.pause)
        self._policies = {name: one if isinstance(one, Policy) else Policy(chain=one) for name, one in self.models.items()}
        self._limits = {name: policy.over(self._usual) for name, policy in self._policies.items()}
        try:
            self._chains = {name: _groups(one.chain) for name, one in self._policies.items() if one.chain is not None}
        except InvalidField as wrong:
            raise ConfigError(f"{wrong.message} @ routes.failover.models") from None
        problems = [problem for one in (self._usual, *self._limits.values()) for problem in one.problems()]
        if problems:
            raise ConfigError(*dict.fromkeys(problems))

    @hookimpl
    def route(self, exchange: Exchange, request: Request) -> Route | None:
        """Answer for names that ``|`` or ``^`` join, and for those that have a policy."""
        name, within = request.model, exchange.notes.get(_WITHIN)
        pattern = self._pattern(name) if within != name else None
        limits = self._limits[pattern] if pattern is not None else self._usual
        chain = self._chain(name, pattern)
        if not chain and self.rounds > 1 and within is None:  # the rounds of a chain are the chain's
            chain = [member(name, name)]
        if not chain:
            return None
        return Following(exchange, request, chain, limits, self._random, _WITHIN).route()

    def _pattern(self, name: str) -> str | None:
        """The policy of a name: by the name itself, else by the longest pattern."""
        if name in self.models:
            return name
        found = [pattern for pattern in self.models if fnmatchcase(name, pattern)]
        return max(found, key=len, default=None)

    def _chain(self, name: str, pattern: str | None) -> Sequence[Member]:
        """The members behind a name, those that ``^`` joins in an order by chance."""
        groups = self._chains.get(pattern) if pattern is not None else None
        if groups is None:
            groups = _joined(name) or ([Group([member(name, name)])] if pattern is not None else ())
        return [one for group in groups for one in (self._drawn(group.members) if group.by_chance else group.members)]

    def _drawn(self, lots: Sequence[Member]) -> Sequence[Member]:
        """In an order in which a member with twice the weight is twice as likely to come first (Efraimidis, Spirakis, 2006)."""
        return sorted(lots, key=lambda one: self._random.random() ** (1 / one.options.weight), reverse=True)


@frozen
class Group:
    """Members that one sign joins."""

    members: Sequence[Member]
    by_chance: bool = False


def _joined(name: str) -> Sequence[Group]:
    if chain := members(name, "|"):
        return [Group(chain)]
    return [Group(lots, by_chance=True)] if (lots := members(name, "^")) else []


def _groups(chain: str | Sequence[str]) -> Sequence[Group]:
    """A chain of the configuration, read once."""
    parts = [chain] if isinstance(chain, str) else chain
    return [group for part in parts for group in _joined(part) or [Group([member(part, part)])]]
