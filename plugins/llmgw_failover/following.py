"""One request's way along a chain of targets."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from contextvars import ContextVar

from attrs import define, evolve, field

from llmgw import Exchange, GatewayError, ModelNotFound, Race, Request, Resting, Route, Target, next_step, resolve
from llmgw_failover.policy import Limits
from llmgw_routes.names import Member

ABOVE: ContextVar[tuple[str, ...]] = ContextVar("llmgw_failover.above", default=())
"""Names whose chains are being followed while another name is resolved: in its own chain a name means itself."""


@define(eq=False)
class Following:
    """Follows a chain.

    Args:
        exchange: whose it is.
        request: what is asked of each member, under its name.
        chain: the members, in their order.
        limits: when to go on.
        chance: for pauses.
        above: the names whose chains it is in, this one's among them.
    """

    exchange: Exchange
    request: Request
    chain: Sequence[Member]
    limits: Limits
    chance: random.Random
    above: tuple[str, ...]
    _failure: GatewayError | None = None
    """What the client is told where nothing comes to anything."""
    _over: bool = False
    _tried: int = 0
    _began: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._began = self._now

    @property
    def _now(self) -> float:
        return self.exchange.gateway.clock.monotonic()

    async def route(self) -> AsyncGenerator[Target | Race, GatewayError | None]:
        """The steps of all members, as long as the policy allows it.

        Raises:
            GatewayError: what the last one that was tried has said.
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
        if self._failure is not None:
            raise self._failure

    def _may_go_on(self) -> bool:
        if self._tried >= self.limits.attempts:
            self.exchange.remark(f"no further target: {self._tried} attempts are all that is allowed")
            return False
        if self._failure is not None and self._now - self._began >= self.limits.deadline:
            self.exchange.remark(f"no further target: {self.limits.deadline:g} s are over")
            return False
        return True

    # ---- one member

    async def _steps(self, member: Member) -> AsyncGenerator[Target | Race, GatewayError | None]:
        """The steps of one member; how it ended is noted."""
        inner = self._resolved(member)
        if inner is None:
            return
        failure: GatewayError | None = None
        async with aclosing(inner):
            while (step := await self._step(inner, failure)) is not None:
                if failure is not None and not self._may_go_on():
                    self._over = True
                    return
                self._tried += len(step.lanes) if isinstance(step, Race) else 1
                failure = yield _patient(step, member)
                if failure is not None:
                    self._told(failure)
        if failure is not None and not self._over:  # and the member has nothing more to try, no further key either
            self._goes_on(failure)

    def _resolved(self, member: Member) -> Route | None:
        """The member's own route; None where nobody knows its name, which is a failure like others."""
        try:
            with self._below():
                return resolve(self.exchange, self.request.with_model(member.name))
        except ModelNotFound as unknown:
            self._left_out(unknown)
            return None

    async def _step(self, inner: Route, failure: GatewayError | None) -> Target | Race | None:
        try:
            with self._below():
                return await next_step(inner, failure)
        except GatewayError as error:  # a guard holds it back, an alias of it is unknown, another chain has given up
            if error is not failure:
                self._left_out(error)
            return None

    @contextmanager
    def _below(self) -> Iterator[None]:
        token = ABOVE.set(self.above)
        try:
            yield
        finally:
            ABOVE.reset(token)

    def _left_out(self, error: GatewayError) -> None:
        self.exchange.remark(f"goes on without an attempt: {error.message}")
        self._told(error)
        self._goes_on(error)

    def _goes_on(self, failure: GatewayError) -> None:
        """Decide whether another member may be tried."""
        self._over = not (self.limits.allows(failure) or isinstance(failure, ModelNotFound))

    def _told(self, failure: GatewayError) -> None:
        """Keep what the client is to hear: of what was tried rather than of what was not, and when the first may be asked."""
        before = self._failure
        if (
            before is None
            or not isinstance(failure, Resting | ModelNotFound)
            or isinstance(before, ModelNotFound)
            or (isinstance(before, Resting) and _wait(failure) < _wait(before))
        ):
            self._failure = failure

    # ---- rounds

    async def _waited(self, number: int) -> bool:
        """Wait for the next round, unless that takes too long."""
        failure = self._failure
        if failure is None or self._over or not self._may_go_on():
            return False
        pause = self.limits.pause * 2 ** (number - 1) * (0.5 + self.chance.random() / 2)
        pause = max(pause, failure.retry_after or 0.0)
        if pause > self.limits.wait or self._now - self._began + pause >= self.limits.deadline:
            self.exchange.remark(f"no further round: it would have to wait for {pause:.1f} s")
            return False
        self.exchange.remark(f"another round after {pause:.1f} s")
        await self.exchange.gateway.clock.sleep(pause)
        return True


def _wait(failure: GatewayError) -> float:
    """Seconds until it makes sense to ask again."""
    if isinstance(failure, ModelNotFound):
        return float("inf")
    return failure.retry_after or 0.0


def _patient(step: Target | Race, member: Member) -> Target | Race:
    patience = member.options.patience
    if patience is None or isinstance(step, Race):
        return step
    return evolve(step, patience=patience if step.patience is None else min(patience, step.patience))
