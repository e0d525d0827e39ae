"""Limits for clients: requests and tokens a minute and requests at the same time, by key and by model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import inf

from attrs import define, field
from attrs.validators import ge, gt, lt

from llmgw import Config, Exchange, Filter, Gateway, Guard, Limits, Report, hookimpl
from llmgw.model import JSON
from llmgw_rate_limit.rules import Client, Rule, Share, matches, stored
from llmgw_rate_limit.sharing import active
from llmgw_rate_limit.turn import SEAT_TTL, Admission, Checkpoint, Meter, Turn

_TURN = "rate-limit.turn"
"""The note in which an exchange keeps what it holds."""
_NONE = Limits()


@define(eq=False, kw_only=True)
class RateLimit:
    """Limits what clients ask for: requests and tokens a minute and requests at the same time, by key and by model.

    A client is a key, or an address where nobody is asked for a key. All limits that hold for a request apply together: those
    of the key itself (``auth.keys``), ``default``, and those of ``models`` and ``shared`` whose pattern is like the name that
    was asked for, like the target that is tried, or like the target's name at its back-end. Where a chain of targets leads to
    one whose limit is reached, the next one is tried.

    Tokens are taken before: an estimate of the prompt, and what the answer may have as far as there can be so much. When the
    exchange is over, they are settled with what was used; whatever was not known before is then owed. A request that failed has
    used none, but it was a request. What a client is refused is never counted.

    Each bucket begins full, and is full again after a rest. In a minute that begins so a client can have what the burst allows
    and, besides, what flows in during it: with a burst of 1 twice the amount of a minute, and never more.

    Args:
        default: of each client.
        models: of each client, for models whose name is like a pattern (as of a shell).
        shared: of all clients together, for such models. Nobody may take more than its equal part while others have asked in
            this minute or the last; what they do not want is not handed on, so that it is there when they come.
        burst: how much can be had at once, as a multiple of what comes in a minute; always at least one request.
        answer: tokens that are taken for an answer whose length the client does not limit.
        count_tokens: whether a question for the tokens of a prompt is a request like others. It is answered without a model.
    """

    default: Limits = _NONE
    models: dict[str, Limits] = field(factory=dict)
    shared: dict[str, Limits] = field(factory=dict)
    burst: float = field(default=1.0, validator=[gt(0.0), lt(inf)])
    answer: int = field(default=1000, validator=ge(0))
    count_tokens: bool = False
    _seated: set[Turn] = field(factory=set, init=False, repr=False)

    def sits_out(self, config: Config) -> str | None:
        """Where nothing is limited."""
        if self._options_limit():
            return None
        return None if any(one.limits != _NONE for one in config.auth.keys.values()) else "nothing is limited"

    def _options_limit(self) -> bool:
        return any(one != _NONE for one in (self.default, *self.models.values(), *self.shared.values()))

    # ---- one exchange

    @hookimpl
    def open_filter(self, exchange: Exchange) -> Filter | None:
        """Stand before the exchange, where anything may limit it."""
        own = _NONE if exchange.principal is None else exchange.principal.limits
        limits = [one for one in (own, self.default, *self.models.values(), *self.shared.values()) if one != _NONE]
        counting = exchange.head.operation == "count_tokens"
        if not limits or (counting and not self.count_tokens):
            return None
        turn = self._turn(exchange, counting)
        metered = not counting and any(one.tokens is not None for one in limits)
        return (Meter if metered else Admission)(turn, self._rules)

    @hookimpl
    def open_guard(self, exchange: Exchange) -> Guard | None:
        """Stand before its targets, where there are limits for models."""
        turn: Turn | None = exchange.notes.get(_TURN)
        if turn is None or turn.counting or not (self.models or self.shared):
            return None
        return Checkpoint(turn, self._rules)

    def _turn(self, exchange: Exchange, counting: bool) -> Turn:
        turn = Turn(exchange, Client.of(exchange), self.answer, self.burst, counting)
        exchange.notes[_TURN] = turn
        self._seated.add(turn)

        async def end(error: BaseException | None) -> None:
            self._seated.discard(turn)
            await turn.end(error)

        exchange.endings.append(end)
        return turn

    async def _rules(self, turn: Turn, names: Sequence[str]) -> list[Rule]:
        """Those that hold for an exchange and these names, and that it is not under yet."""
        gateway, client = turn.exchange.gateway, turn.client
        rules = [rule for rule in (*self._own(turn), *self._of_models(client, names)) if rule.key not in turn.held]
        shared = [_shared(pattern, limits) for pattern, limits in self.shared.items() if matches(pattern, names)]
        if fresh := [rule for rule in shared if rule.key not in turn.held]:
            numbers = await active(gateway, [rule.pattern or "" for rule in fresh], client)
            rules += [one for rule, number in zip(fresh, numbers, strict=True) for one in (rule, rule.part(client, number))]
        return rules

    def _own(self, turn: Turn) -> Iterator[Rule]:
        principal = turn.exchange.principal
        if principal is not None:
            yield _of_key(turn.client, principal.limits)
        yield _of_each(turn.client, self.default)

    def _of_models(self, client: Client, names: Sequence[str]) -> Iterator[Rule]:
        for pattern, limits in self.models.items():
            if matches(pattern, names):
                yield Rule(stored("model", pattern, client.id), limits, client.told, f" for '{pattern}'", pattern)

    # ---- seats

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[None] | None:
        """Keep the seats of exchanges that last."""
        return self._renewing(gateway)

    @asynccontextmanager
    async def _renewing(self, gateway: Gateway) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._renew(gateway))
            try:
                yield
            finally:
                task.cancel()

    async def _renew(self, gateway: Gateway) -> None:
        while True:
            await gateway.clock.sleep(SEAT_TTL / 3)
            for turn in tuple(self._seated):
                await turn.renew()

    # ---- status

    @hookimpl
    def status(self, gateway: Gateway) -> Awaitable[Report] | None:
        """What named keys and shared limits have left."""
        return self._report(gateway)

    async def _report(self, gateway: Gateway) -> Report:
        rules = {}
        for name, one in gateway.config.auth.keys.items():
            client = Client(f"key {name}", f"The key '{name}'")
            rules[f"key {name}"] = _of_key(client, one.limits)
            rules[f"key {name}, default"] = _of_each(client, self.default)
        rules |= {f"shared {pattern}": _shared(pattern, limits) for pattern, limits in self.shared.items()}
        rows = [await self._row(gateway, name, rule) for name, rule in rules.items() if rule.limits != _NONE]
        return Report("limits", rows)

    async def _row(self, gateway: Gateway, name: str, rule: Rule) -> Mapping[str, JSON]:
        """Taking nothing tells what is there."""
        shares = [Share.of(rule, scope, amount, 0.0, self.burst) for scope, amount in rule.amounts()]
        taken = await gateway.state.take([share.bucket for share in shares])
        left = {share.scope: int(level) for share, level in zip(shares, taken.left, strict=True)}
        here = sum(key == rule.key for turn in self._seated for key, _ in turn.seats)
        return {
            "limit": name,
            "requests left": left.get("requests"),
            "tokens left": left.get("tokens"),
            "under way here": here if rule.limits.concurrent is not None else None,
        }


def _of_key(client: Client, limits: Limits) -> Rule:
    return Rule(stored("key", client.id), limits, client.told)


def _of_each(client: Client, limits: Limits) -> Rule:
    return Rule(stored("each", client.id), limits, client.told)


def _shared(pattern: str, limits: Limits) -> Rule:
    return Rule(stored("shared", pattern), limits, "All clients together", f" for '{pattern}'", pattern)
