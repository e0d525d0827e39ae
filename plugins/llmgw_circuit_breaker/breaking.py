"""One target behind its breaker.

A target is closed (asked as ever), open (not asked) or, when its rest is over, half-open: one exchange of all workers may see
whether it is back. The state has three things of a target: ``rest`` while it is open or half-open, ``fails`` and ``broken`` with
the failures since the last success, before and behind the point at which the client got something. So a provider whose replies
begin well and then break off is found, too, and in normal operation one look is all that it costs.
"""

from __future__ import annotations

import logging
import random
from contextlib import aclosing
from functools import partial
from itertools import count

from attrs import define, field, frozen

from llmgw import Attempt, Exchange, GatewayError, Guard, Onward, Resting, Route, StateStore, Target, UpstreamError, next_step
from llmgw.errors import Kind
from llmgw_routes.rests import Rest, Rests, growing, short

log = logging.getLogger("llmgw.circuit_breaker")

FAULTS: frozenset[Kind] = frozenset({"overloaded", "upstream_error", "timeout"})
"""Failures of a provider; others are a key's, a limit's or a client's, and show that it answers."""
_PROBE = 120.0
"""Seconds after which a probe of which nothing more was heard is given up: its process may have died."""
_SOON = 1.0
"""Seconds after which to ask again while somebody is probing."""
_NUMBERS = count()


@frozen
class Limits:
    """When a breaker opens, and for how long.

    Args:
        failures: without a success between them.
        window: seconds within which they count.
        open: seconds of the first rest.
        longest: seconds of any rest.
    """

    failures: int
    window: float
    open: float
    longest: float


@frozen
class Names:
    """What the state calls the parts of one target.

    Args:
        target: its name, shortened.
    """

    target: str

    @property
    def rest(self) -> str:
        """Until when it is open."""
        return f"circuit-breaker:rest:{self.target}"

    @property
    def fails(self) -> str:
        """Failures before the client got something."""
        return f"circuit-breaker:fails:{self.target}"

    @property
    def broken(self) -> str:
        """Replies that broke off."""
        return f"circuit-breaker:broken:{self.target}"

    @property
    def probe(self) -> str:
        """The seat of whoever probes."""
        return f"circuit-breaker:probe:{self.target}"


@define(eq=False)
class Breaker:
    """The breakers of a gateway.

    Args:
        state: where they are kept.
        rests: marks in it.
        limits: when they open.
        chance: for rests.
    """

    state: StateStore
    rests: Rests
    limits: Limits
    chance: random.Random
    failing: dict[str, None] = field(factory=dict)
    """Targets that were seen to fail lately, to tell of."""

    async def failed(self, names: Names, counter: str, kind: Kind) -> None:
        """Count a failure; enough of them open the breaker.

        Args:
            names: of the target.
            counter: to which it belongs.
            kind: of the failure.
        """
        self._remember(names.target)
        if await self.state.add(counter, 1, self.limits.window) < self.limits.failures:
            return
        if await self.state.get(names.rest) is None:  # else it is open already, or a probe is to tell
            await self.open(names, kind)

    async def open(self, names: Names, kind: Kind) -> None:
        """Let nothing through for a while, longer with each time.

        Args:
            names: of the target.
            kind: of the last failure.
        """
        pause = partial(growing, first=self.limits.open, longest=self.limits.longest, chance=self.chance)
        rest = await self.rests.rest(names.rest, kind, pause)
        self._remember(names.target)
        log.warning("'%s' is left alone for %.0f s, since it keeps failing (%s)", names.target, self.rests.left(rest), kind)

    async def close(self, names: Names) -> None:
        """Ask it again as ever.

        Args:
            names: of the target.
        """
        await self.state.delete(names.rest)
        log.info("'%s' answers again", names.target)

    def _remember(self, target: str) -> None:
        self.failing.pop(target, None)
        self.failing[target] = None
        if len(self.failing) > _MOST:
            del self.failing[next(iter(self.failing))]


_MOST = 200
"""Targets that are told of."""


@define(eq=False)
class Breaking(Guard):
    """Stands before the targets of an exchange.

    Args:
        exchange: whose targets they are.
        breaker: of the gateway.
    """

    exchange: Exchange
    breaker: Breaker

    def attempts(self, target: Target, onward: Onward) -> Route:
        """The attempts that the others make of it, unless its breaker is open."""
        return Passage(self.exchange, self.breaker, target, Names(short(target.name))).route(onward)


@define(eq=False)
class Passage:
    """One target of one exchange, on its way through.

    Args:
        exchange: whose it is.
        breaker: of the gateway.
        target: which.
        names: of its state.
    """

    exchange: Exchange
    breaker: Breaker
    target: Target
    names: Names
    _probe: str = ""
    """Who has the seat of the one that probes; empty where nobody has to."""
    _failing: bool = False
    _breaking: bool = False

    async def route(self, onward: Onward) -> Route:
        """The attempts, if any.

        Raises:
            Resting: the breaker is open.
        """
        failure: GatewayError | None = None
        try:
            await self._enter()
            async with aclosing(onward(self.target)) as inner:
                while (step := await next_step(inner, failure)) is not None:
                    before = self.exchange.attempt
                    try:
                        failure = yield step
                    except GeneratorExit:
                        if _won(self.exchange, before):
                            await self._succeeded()
                        raise
                    await self._heard(failure)
        finally:
            await self._leave()

    async def _enter(self) -> None:
        """Raises Resting where nothing is let through."""
        names = self.names
        rest, fails, broken = await self.breaker.state.get_many([names.rest, names.fails, names.broken])
        self._failing, self._breaking = fails is not None, broken is not None
        known = Rest.of_text(rest)
        if known is None:
            return
        self._refuse(known)
        who = f"{self.exchange.id}-{next(_NUMBERS)}"
        if not await self.breaker.state.seat(names.probe, who, 1, _PROBE):
            raise self._resting("is being tried by another request", known.kind, _SOON)
        self._probe = who
        now = Rest.of_text(await self.breaker.state.get(names.rest))  # whoever had the seat before may have found out
        if now is None:
            await self._leave()
            return
        self._refuse(now)
        self.exchange.remark(f"'{names.target}' failed before; this request shows whether it is back")

    def _refuse(self, rest: Rest) -> None:
        left = self.breaker.rests.left(rest)
        if left > 0:
            raise self._resting(f"keeps failing ({rest.kind})", rest.kind, left)

    def _resting(self, why: str, kind: Kind, left: float) -> Resting:
        self.exchange.remark(f"'{self.names.target}' is not asked: it {why}")
        message = f"'{self.names.target}' {why}, so it is left alone. Ask again in {max(1.0, left):.0f} s."
        return Resting(message, retry_after=left)

    async def _heard(self, failure: GatewayError | None) -> None:
        """An attempt came to nothing."""
        if not isinstance(failure, UpstreamError) or isinstance(failure, Resting) or failure.kind not in FAULTS:
            return
        if self._probe:
            await self.breaker.open(self.names, failure.kind)
            await self._leave()
        else:
            await self.breaker.failed(self.names, self.names.fails, failure.kind)

    async def _succeeded(self) -> None:
        """The client got something."""
        if self._probe:
            await self.breaker.close(self.names)
        if self._failing:
            await self.breaker.state.delete(self.names.fails)
        self.exchange.endings.append(self._ended)

    async def _ended(self, error: BaseException | None) -> None:
        """The exchange is over; a reply that broke off is a failure, too."""
        if error is None and self._breaking:
            await self.breaker.state.delete(self.names.broken)
        elif isinstance(error, UpstreamError) and error.kind in FAULTS and self._is_mine(error):
            await self.breaker.failed(self.names, self.names.broken, error.kind)

    def _is_mine(self, error: UpstreamError) -> bool:
        """Whether it was this target that has failed last."""
        last = self.exchange.attempt
        return last is not None and last.failure is error and last.target.name == self.target.name

    async def _leave(self) -> None:
        """Give the seat back, so that another may probe."""
        probe, self._probe = self._probe, ""
        if probe:
            await self.breaker.state.leave(self.names.probe, probe)


def _won(exchange: Exchange, before: Attempt | None) -> bool:
    """Whether the client got something of an attempt made since; an earlier one may be on its way again, with its reply begun."""
    last = exchange.attempt
    return last is not None and last is not before and last.committed
