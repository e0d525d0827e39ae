"""Targets that keep failing are left alone for a while."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime

from attrs import define, field
from attrs.validators import ge, gt

from llmgw import Exchange, Gateway, Guard, Report, hookimpl
from llmgw.model import JSON
from llmgw_circuit_breaker.breaking import Breaker, Breaking, Limits, Names
from llmgw_routes.rests import Rest, Rests


@define(eq=False, kw_only=True)
class CircuitBreaker:
    """Leaves a model alone for a while when its provider keeps failing, so that nobody waits for what will fail.

    Counted are overload, errors of the provider and its silence; not limits, keys or what the client did wrong. When the rest is
    over, a single request of all workers sees whether it is back. A target is held back even where there is no other: requests
    then fail at once, and say when to ask again.

    Args:
        failures: so many without a success between them open it.
        window: seconds within which they count.
        open: seconds of the first rest; each one that follows a failed trial is twice as long.
        longest: seconds of any rest.
    """

    failures: int = field(default=5, validator=ge(1))
    window: float = field(default=60.0, validator=gt(0))
    open: float = field(default=15.0, validator=gt(0))
    longest: float = field(default=300.0, validator=gt(0))
    _random: random.Random = field(factory=random.Random, init=False, repr=False)
    _breaker: Breaker | None = field(default=None, init=False, repr=False)

    @hookimpl
    def open_guard(self, exchange: Exchange) -> Guard | None:
        """Stand before all targets."""
        return Breaking(exchange, self._of(exchange.gateway))

    @hookimpl
    def status(self, gateway: Gateway) -> Awaitable[Report] | None:
        """Tell of each target that has failed since its last success."""
        return _report(self._of(gateway))

    def _of(self, gateway: Gateway) -> Breaker:
        if self._breaker is None:
            limits = Limits(self.failures, self.window, self.open, self.longest)
            rests = Rests(gateway.state, gateway.clock, memory=max(self.window, self.longest))
            self._breaker = Breaker(gateway.state, rests, limits, self._random)
        return self._breaker


async def _report(breaker: Breaker) -> Report:
    names = [Names(target) for target in breaker.failing]
    found = await breaker.state.get_many([key for one in names for key in (one.rest, one.fails, one.broken)])
    rows = [_row(breaker, one, found[3 * number : 3 * number + 3]) for number, one in enumerate(names)]
    return Report("circuits", [row for row in rows if row is not None])


def _row(breaker: Breaker, names: Names, found: Sequence[str | None]) -> dict[str, JSON] | None:
    rest, failures = Rest.of_text(found[0]), sum(float(text) for text in found[1:] if text is not None)
    if rest is None and not failures:
        return None
    row: dict[str, JSON] = {"target": names.target, "state": "closed", "failures": int(failures), "until": None}
    if rest is not None:
        until = datetime.fromtimestamp(rest.until, UTC).isoformat(timespec="seconds")
        row |= {"state": "open", "until": until} if breaker.rests.left(rest) > 0 else {"state": "half-open"}
    return row
