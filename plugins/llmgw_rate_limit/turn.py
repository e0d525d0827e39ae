"""One exchange under limits: what it takes before anything is asked of a provider, and what it gives back at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from math import inf
from typing import Final

from attrs import define, evolve, field

from llmgw import Event, Events, Exchange, Filter, Guard, Onward, Request, Resting, Route, Target, TooMany, next_step
from llmgw.events import BlockDelta, ResponseEnd, Usage, UsageUpdate
from llmgw.model import RateLimit
from llmgw.tokens import estimated
from llmgw_rate_limit.rules import Client, Rule, Scope, Share

SEAT_TTL: Final = 60.0
"""Seconds for which a seat is kept without a word: as long as the seats of a worker that was killed stay taken."""
_LETTERS: Final = 4
"""Of one token, where nobody has counted."""


@define(eq=False)
class Turn:
    """What one exchange holds.

    Args:
        exchange: which.
        client: who is limited.
        answer: tokens of an answer whose length the client does not limit.
        burst: what a bucket holds, as a multiple of what comes in a minute.
        counting: whether only the tokens of a prompt are asked for, which uses none.
    """

    exchange: Exchange
    client: Client
    answer: int
    burst: float
    counting: bool = False
    request: Request | None = None
    """As it came by."""
    refused: bool = False
    """Whether a target was not asked because of a limit."""
    held: set[str] = field(factory=set)
    """Keys of rules: an exchange is under each once, however often it is asked."""
    seats: list[tuple[str, int]] = field(factory=list)
    _shares: list[Share] = field(factory=list)
    _spent: Usage | None = None
    """As far as known, of attempts that are over."""
    _usage: Usage | None = None
    _letters: int = 0
    """That the client got since usage was last told."""
    _told: dict[Scope, RateLimit] = field(factory=dict)
    _prompt: int | None = None
    _lock: asyncio.Lock = field(factory=asyncio.Lock)

    # ---- before

    async def admit(self, rules: Sequence[Rule], request: Request) -> None:
        """Take what these rules ask for, where that is not taken yet: all of it, or nothing.

        Raises:
            TooMany: a limit is reached; without ``retry_after`` where waiting does not help.
        """
        async with self._lock:  # several targets may be tried at once
            fresh = [rule for rule in rules if rule.key not in self.held]
            kept = len(self.seats)
            try:
                await self._sit(fresh)
                await self._take(fresh, request)
            except TooMany:
                await self._rise(kept)
                raise
            self.held |= {rule.key for rule in fresh}

    async def _sit(self, rules: Sequence[Rule]) -> None:
        for rule in rules:
            if (limit := rule.limits.concurrent) is None:
                continue
            self.seats.append((rule.key, limit))  # first, so that it is given back even if we are cancelled while we sit down
            if not await self.exchange.gateway.state.seat(rule.key, self.exchange.id, limit, SEAT_TTL):
                raise TooMany(f"{rule.sentence('concurrent')} Ask again when one has ended.", retry_after=1.0)

    async def _rise(self, kept: int = 0) -> None:
        while len(self.seats) > kept:
            await self.exchange.gateway.state.leave(self.seats.pop()[0], self.exchange.id)

    async def _take(self, rules: Sequence[Rule], request: Request) -> None:
        amounts: list[tuple[Rule, Scope, float]] = []
        for rule in rules:
            amounts += [(rule, *one) for one in rule.amounts() if one[0] == "requests" or not self.counting]
        tokens = self._tokens([a_minute for _, scope, a_minute in amounts if scope == "tokens"], request)
        needs: dict[Scope, float] = {"requests": 1.0, "tokens": tokens}
        shares = [Share.of(rule, scope, a_minute, needs[scope], self.burst) for rule, scope, a_minute in amounts]
        if not shares:
            return
        taken = await self.exchange.gateway.state.take([share.bucket for share in shares])
        self._tell(shares, taken.left)
        if not taken.granted:
            raise _refusal(max(zip(shares, taken.left, strict=True), key=lambda pair: pair[0].missing(pair[1]))[0], taken.wait)
        self._shares += shares

    def _tokens(self, limits: Sequence[float], request: Request) -> float:
        """Tokens of the prompt, and of the answer as far as the smallest bucket can hold them.

        What clients name as the most that an answer may have is no wish: agents name tens of thousands each time. So a request
        is too large only by its prompt, and what its answer has beyond the bucket is owed afterwards.
        """
        if not limits:
            return 0.0  # and the prompt need not be read
        if self._prompt is None:
            self._prompt = estimated(request.prompt)
        asked = request.prompt.sampling.max_output
        answer = self.answer if asked is None else max(0, asked)
        return max(self._prompt, min(self._prompt + answer, min(limits) * self.burst))

    def _tell(self, shares: Sequence[Share], left: Sequence[float]) -> None:
        """The client's headers: of each scope the limit of which the least is left."""
        exchange = self.exchange
        now = exchange.gateway.clock.time()
        for share, remaining in zip(shares, left, strict=True):
            told = share.told(remaining, now)
            known = self._told.get(share.scope)
            if known is None or (told.remaining or 0) < (known.remaining or 0):
                self._told[share.scope] = told
        exchange.headers.update(exchange.dialect.write_limits(list(self._told.values()), now))

    # ---- meanwhile

    def saw(self, event: Event) -> None:
        """Note what the client gets."""
        match event:
            case UsageUpdate(usage=usage) | ResponseEnd(usage=Usage() as usage):
                self._usage = usage if self._usage is None else self._usage.merged(usage)
                self._letters = 0
            case BlockDelta():
                self._letters += len(event.fragment)
            case _:
                pass

    def again(self) -> None:
        """Another attempt follows in the same reply; what the last one used is added to what it will use."""
        if self._usage is not None:
            self._spent = self._usage if self._spent is None else self._spent.plus(self._usage)
        self._usage = None

    async def renew(self) -> None:
        """Keep the seats."""
        async with self._lock:  # or one might be kept that was just given back
            for key, limit in self.seats:
                await self.exchange.gateway.state.seat(key, self.exchange.id, limit, SEAT_TTL)

    # ---- afterwards

    async def end(self, error: BaseException | None) -> None:
        """Give the seats back, and settle the tokens with what was really used."""
        async with self._lock:
            await self._rise()
            used, names = self._used(error), self._names()
            unasked = self.refused and not self.exchange.attempts
            owed = [
                evolve(one.bucket, amount=one.due(used, names) - one.bucket.amount if not unasked else -one.bucket.amount)
                for one in self._shares
            ]
            self._shares = []
            if differing := [bucket for bucket in owed if bucket.amount]:
                await self.exchange.gateway.state.take(differing, force=True)

    def _used(self, error: BaseException | None) -> float:
        """Tokens, as the provider has counted them; else the estimate of the prompt, and of the answer as far as it came.

        Nothing where the client got nothing, for no provider bills a failure; but one that leaves while a provider works has used
        the prompt.
        """
        self.again()
        if not self.exchange.committed and not (self.exchange.attempts and isinstance(error, asyncio.CancelledError)):
            return 0.0
        known = self._spent or Usage()
        read = self._prompt or 0 if known.input_total is None else known.input_total
        return read + (known.output_total or 0) + self._letters / _LETTERS

    def _names(self) -> list[str]:
        """Under which the exchange was answered."""
        target, request = self.exchange.target, self.request
        asked = [] if request is None else [request.model]
        return asked if target is None else [*asked, target.name, target.model]


def _refusal(share: Share, wait: float) -> TooMany:
    """Why nothing was taken, by the rule that has to be waited for longest."""
    sentence = share.rule.sentence(share.scope)
    if wait == inf:
        bucket = share.bucket
        return TooMany(
            f"This request needs about {bucket.amount:.0f} tokens, and only {bucket.capacity:.0f} can ever be had at once. "
            f"{sentence} Send a shorter prompt."
        )
    return TooMany(f"{sentence} Ask again in {wait:.1f} s.", retry_after=wait)


# ---- where it stands in an exchange -------------------------------------------------------------

Rules = Callable[[Turn, Sequence[str]], Awaitable[list[Rule]]]
"""The rules of an exchange for these names."""


@define(eq=False)
class Admission(Filter):
    """Takes what an exchange needs when its request comes by."""

    turn: Turn
    rules: Rules

    async def request(self, request: Request) -> Request:
        """Let the request through, or refuse it."""
        turn = self.turn
        turn.request = request
        try:
            await turn.admit(await self.rules(turn, [request.model]), request)
        except TooMany as refusal:
            if refusal.retry_after is None:
                turn.exchange.headers["x-should-retry"] = "false"  # or an SDK would ask again after any 429
            raise
        return request


@define(eq=False)
class Meter(Admission):
    """The same where tokens are limited, so that those of the reply are looked at."""

    async def events(self, events: Events) -> AsyncGenerator[Event, None]:
        """All events, unchanged."""
        self.turn.again()
        async for event in events:
            self.turn.saw(event)
            yield event


@define(eq=False)
class Checkpoint(Guard):
    """Takes what a target's own limits ask for, where its name was not the one that was asked for."""

    turn: Turn
    rules: Rules

    def attempts(self, target: Target, onward: Onward) -> Route:
        """The target, unless one of its limits is reached: the route then goes on to the next one."""
        return self._checked(target, onward)

    async def _checked(self, target: Target, onward: Onward) -> Route:
        turn = self.turn
        request = target.request or turn.request
        if request is not None:
            try:
                await turn.admit(await self.rules(turn, [target.name, target.model]), request)
            except TooMany as refusal:
                turn.refused = True
                turn.exchange.remark(f"'{target.name}' is not asked: {refusal.message}")
                raise Resting(refusal.message, kind="rate_limited", retry_after=refusal.retry_after) from None
        async with aclosing(onward(target)) as route:
            failure = None
            while (step := await next_step(route, failure)) is not None:
                failure = yield step
