"""Targets that have said when they may be asked again, and are left alone until then."""

from __future__ import annotations

from contextlib import aclosing

from attrs import define, field

from llmgw import Exchange, GatewayError, Guard, Onward, Resting, Route, Target, UpstreamError, next_step
from llmgw_routes.rests import Rests, short

FOLLOWED = "failover.followed"
"""The note of an exchange that goes along a chain, so that there may be another target to ask, or a round to wait."""

_LONGEST = 3600.0
"""Seconds: who says that it may be asked again tomorrow may have changed its mind before."""
_GRACE = 0.1
"""Seconds by which clocks may differ: who has waited as long as it was told must not be told to wait again."""
_KINDS = ("rate_limited", "billing", "overloaded", "upstream_error")


@define(eq=False)
class Spared(Guard):
    """Stands before the targets of chains.

    Several keys of a target are told apart where they are tried before it, and are one where they are tried behind it: then it
    rests when the last of them has failed.

    Args:
        exchange: whose targets they are.
    """

    exchange: Exchange
    _rests: Rests = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._rests = Rests(self.exchange.gateway.state, self.exchange.gateway.clock, memory=0.0)

    def attempts(self, target: Target, onward: Onward) -> Route:
        """The attempts that the others make of it, unless it is to be left alone."""
        return self._attempts(target, onward) if FOLLOWED in self.exchange.notes else onward(target)

    async def _attempts(self, target: Target, onward: Onward) -> Route:
        mark = f"failover:rest:{target.credential}:{short(target.name)}"
        await self._look(target, mark)
        failure: GatewayError | None = None
        async with aclosing(onward(target)) as inner:
            while (step := await next_step(inner, failure)) is not None:
                failure = yield step
        if isinstance(failure, UpstreamError) and not isinstance(failure, Resting):
            await self._note(failure, mark)

    async def _look(self, target: Target, mark: str) -> None:
        """Raises Resting where it is not to be asked now."""
        [rest] = await self._rests.look([mark])
        left = self._rests.left(rest)
        if rest is None or left <= _GRACE:
            return
        message = f"'{target.name[:200]}' has said that it is not to be asked for {left:.0f} s more ({rest.kind})."
        raise Resting(f"{message} Ask again later.", kind=rest.kind, retry_after=left)

    async def _note(self, failure: UpstreamError, mark: str) -> None:
        said = failure.retry_after
        if said is not None and said > 0 and failure.kind in _KINDS:
            await self._rests.rest(mark, failure.kind, min(said, _LONGEST))
