"""One request's way along a chain of targets."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from attrs import define, evolve, field

from llmgw import Exchange, GatewayError, ModelNotFound, Race, Request, Resting, Route, Target, UpstreamError, next_step, resolve
from llmgw.errors import Kind
from llmgw_failover.policy import Limits
from llmgw_routes.names import Member

_RESTS = "failover:rest:"
_LONGEST_REST = 3600.0
"""Seconds: who says that it may be asked again tomorrow may have changed its mind before."""


@define(eq=False)
class Following:
    """Follows a chain.

    Args:
        exchange: whose it is.
        request: what is asked of each member, under its name.
        chain: the members, in their order.
        limits: when to go on.
        chance: for pauses.
        within: the note of the exchange that says which name is asked for itself.
    """

    exchange: Exchange
    request: Request
    chain: Sequence[Member]
    limits: Limits
    chance: random.Random
    within: str
    _failure: GatewayError | None = None
    """The last one, of an attempt or of a member that could not be tried."""
    _over: bool = False
    _began: float = field(init=False)
    _before: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._began = self._now
        self._before = len(self.exchange.attempts)

    @property
    def _now(self) -> float:
        return self.exchange.gateway.clock.monotonic()

    async def route(self) -> AsyncGenerator[Target | Race, GatewayError | None]:
        """The steps of all members, as long as the policy allows it.

        Raises:
            GatewayError: the last failure, where nothing was tried after it.
        """
        for number in range(self.limits.rounds):
            if number and not await self._waited(number):
                break
            for member in self.chain:
                if self._over or not self._may_go_on():
                    break
                async with aclosing(self._steps(member)) as steps:
                    failure: GatewayError | None = None
                    while (step := await next_step(steps, failure)) is not None:
                        failure = yield step
            if self._over:
                break
        if self._failure is not None:
            raise self._failure

    def _may_go_on(self) -> bool:
        tried = len(self.exchange.attempts) - self._before
        if tried >= self.limits.attempts:
            self.exchange.remark(f"no further target: {tried} attempts are all that is allowed")
            return False
        if self._failure is not None and self._now - self._began >= self.limits.deadline:
            self.exchange.remark(f"no further target: {self.limits.deadline:g} s are over")
            return False
        return True

    # ---- one member

    async def _steps(self, member: Member) -> AsyncGenerator[Target | Race, GatewayError | None]:
        """The steps of one member; how each ended is noted."""
        inner = self._resolved(member)
        if inner is None:
            return
        async with aclosing(inner):
            last: Target | Race | None = None
            failure: GatewayError | None = None
            while (step := await self._step(inner, failure)) is not None:
                if last is not None and not self._may_go_on():
                    self._over = True
                    return
                last, failure = step, await self._left_alone(step)
                if failure is None:
                    failure = yield _patient(step, member)
                self._failure = failure
            if last is not None and failure is not None:  # and the member has nothing more to try, no further key either
                await self._note(last, failure)
                self._goes_on(failure)

    def _resolved(self, member: Member) -> Route | None:
        """The member's own route; None where nobody knows its name, which is a failure like others."""
        notes, before = self.exchange.notes, self.exchange.notes.get(self.within)
        notes[self.within] = member.name  # or a policy for this very name would be asked again
        try:
            return resolve(self.exchange, self.request.with_model(member.name))
        except ModelNotFound as unknown:
            self._failure = unknown
            self.exchange.remark(f"'{member.name}' is left out: {unknown.message}")
            return None
        finally:
            notes[self.within] = before

    async def _step(self, inner: Route, failure: GatewayError | None) -> Target | Race | None:
        try:
            return await next_step(inner, failure)
        except (UpstreamError, ModelNotFound) as error:  # a guard holds it back, or another chain has given up
            if error is not failure:
                self.exchange.remark(f"left out: {error.message}")
            self._goes_on(error)
            return None

    def _goes_on(self, failure: GatewayError) -> None:
        """Decide whether another member may be tried."""
        self._failure = failure
        self._over = not (self.limits.allows(failure) or isinstance(failure, ModelNotFound))

    # ---- resting targets

    async def _left_alone(self, step: Target | Race) -> Resting | None:
        """Why a target is not asked now."""
        if isinstance(step, Race):
            return None
        known = await self.exchange.gateway.state.get(_RESTS + step.name)
        if known is None:
            return None
        until, _, kind = known.partition(" ")
        left = float(until) - self.exchange.gateway.clock.time()
        if left <= 0:
            return None
        self.exchange.remark(f"'{step.name}' is left alone for {left:.1f} s more: {kind}")
        return Resting(f"'{step.name}' asked to be left alone ({kind}). Ask again later.", kind=_kind(kind), retry_after=left)

    async def _note(self, step: Target | Race, failure: GatewayError | None) -> None:
        """Leave a target alone for as long as it has said, where there is another to ask or a round to wait."""
        said = failure.retry_after if isinstance(failure, UpstreamError) and not isinstance(failure, Resting) else None
        if isinstance(step, Race) or said is None or said <= 0 or failure is None:
            return
        if failure.kind not in ("rate_limited", "billing", "overloaded"):
            return
        rest, clock = min(said, _LONGEST_REST), self.exchange.gateway.clock
        await self.exchange.gateway.state.set(_RESTS + step.name, f"{clock.time() + rest} {failure.kind}", rest)

    # ---- rounds

    async def _waited(self, number: int) -> bool:
        """Wait for the next round, unless that takes too long."""
        failure = self._failure
        if failure is None or self._over:
            return False
        pause = self.limits.pause * 2 ** (number - 1) * (0.5 + self.chance.random() / 2)
        pause = max(pause, failure.retry_after or 0.0)
        if pause > self.limits.wait or self._now - self._began + pause >= self.limits.deadline:
            self.exchange.remark(f"no further round: it would have to wait for {pause:.1f} s")
            return False
        self.exchange.remark(f"another round after {pause:.1f} s")
        await self.exchange.gateway.clock.sleep(pause)
        return True


def _patient(step: Target | Race, member: Member) -> Target | Race:
    patience = member.options.patience
    return step if patience is None or isinstance(step, Race) else evolve(step, patience=patience)


def _kind(word: str) -> Kind:
    return "billing" if word == "billing" else "rate_limited" if word == "rate_limited" else "overloaded"
