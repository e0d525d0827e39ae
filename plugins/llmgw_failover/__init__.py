"""One target after the other, until one answers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from attrs import define, evolve, field, frozen

from llmgw import ConfigError, Exchange, Guard, InvalidField, Request, Route, hookimpl
from llmgw_failover.following import ABOVE, Following
from llmgw_failover.policy import Limits, Policy
from llmgw_failover.spared import FOLLOWED, Spared
from llmgw_routes.names import Member, member, members

_SIGNS = "|^!?["
"""By which a client's name says more than a model's."""


@define(eq=False, kw_only=True)
class Failover:
    """Tries further targets where one fails, in order or by weight, with a policy for each model.

    ``a|b|c`` is tried in this order; of ``a^b`` one comes first by chance, ``[weight=3]a^b`` three times as often.
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
        problems = [problem for one in (self._usual, *self._limits.values()) for problem in one.problems()]
        self._chains = self._read(problems)
        if problems:
            raise ConfigError(*dict.fromkeys(problems))

    def _read(self, problems: list[str]) -> Mapping[str, Sequence[Group]]:
        """The chains of policies, read once."""
        chains: dict[str, Sequence[Group]] = {}
        for name, policy in self._policies.items():
            if policy.chain is None:
                continue
            where = f"routes.failover.models.{name}"
            try:
                chains[name] = _groups(policy.chain)
            except InvalidField as error:
                problems.append(f"{error.message} @ {where}")
            else:
                problems += [] if chains[name] else [f"a chain needs a member @ {where}"]
        return chains

    @hookimpl
    def open_guard(self, exchange: Exchange) -> Guard | None:
        """Leave targets of chains alone that have asked for it."""
        return Spared(exchange)

    @hookimpl
    def route(self, exchange: Exchange, request: Request) -> Route | None:
        """Answer for names that ``|`` or ``^`` join, and for those that have a policy."""
        name, above = request.model, ABOVE.get()
        pattern = self._pattern(name) if name not in above else None
        limits = self._usual if pattern is None else self._limits[pattern]
        groups = self._chains.get(pattern) if pattern is not None else None
        if groups is None:
            groups = _joined(name)
            if above:  # the rounds are those of the chain that it is in, and a policy without a chain is for who asks by name
                limits = evolve(limits, rounds=1)
            elif not groups and (pattern is not None or limits.rounds > 1):
                groups = [Group([Member(name)])]
        if not groups:
            return None
        exchange.notes[FOLLOWED] = True
        chain = [one for group in groups for one in (self._drawn(group.members) if group.by_chance else group.members)]
        return Following(exchange, request, chain, limits, self._random, (*above, name)).route()

    def _pattern(self, name: str) -> str | None:
        """The policy of a name: by the name itself, else by the longest pattern; a name with signs is no model's."""
        if name in self._policies:
            return name
        if any(sign in name for sign in _SIGNS):
            return None
        found = [pattern for pattern in self._policies if fnmatchcase(name, pattern)]
        return max(found, key=len, default=None)

    def _drawn(self, lots: Sequence[Member]) -> Sequence[Member]:
        """In an order in which a member with twice the weight is twice as likely to come first (Efraimidis, Spirakis, 2006)."""
        return sorted(lots, key=lambda one: self._random.random() ** (1 / one.options.weight), reverse=True)


@frozen
class Group:
    """Members that one sign joins."""

    members: Sequence[Member]
    by_chance: bool = False


def _joined(name: str) -> Sequence[Group]:
    """What ``|`` or ``^`` joins in a name, or the only member where it has options; nothing where it is a plain name."""
    if several := members(name, "|"):
        return [Group(several)]
    if several := members(name, "^"):
        return [Group(several, by_chance=True)]
    return [Group([member(name, name)])] if name.startswith("[") and "!" not in name else []


def _groups(chain: str | Sequence[str]) -> Sequence[Group]:
    """A chain of the configuration."""
    parts = [chain] if isinstance(chain, str) else chain
    return [group for part in parts for group in _joined(part) or [Group([member(part, part)])]]
