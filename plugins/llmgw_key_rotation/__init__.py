"""Several keys of one back-end, used in turn."""

from __future__ import annotations

import random
from collections.abc import Awaitable

from attrs import define, field
from attrs.validators import ge, gt

from llmgw import Exchange, Gateway, Guard, Report, hookimpl
from llmgw_key_rotation.keys import Rings
from llmgw_key_rotation.report import report
from llmgw_key_rotation.rotating import Rotating, Shared, Strategy, Times
from llmgw_key_rotation.uses import Uses
from llmgw_routes.rests import Rests


@define(eq=False, kw_only=True)
class KeyRotation:
    """Uses the keys of a back-end that has several in turn, and leaves alone those that are at their limit or refused.

    A conversation stays with its key while that is healthy, since prompt caches and signed reasoning belong to an account. What a
    worker learns of a key holds for all that share the state. The only key of a back-end is never held back.

    Args:
        strategy: ``round-robin`` takes one after the other, ``least-used`` the one that was used least in the last minutes,
            ``fill-first`` the first one that is not at its limit.
        backends: strategies of single back-ends, by their ids.
        quota_rest: seconds that a key without money or quota rests where the provider does not say until when, and one that may
            not use a model, for that model.
        revoked_rest: seconds until a key that was refused while another was taken is tried again.
        keep: seconds after its last turn for which a conversation keeps its key; 0 keeps none.
    """

    strategy: Strategy = "round-robin"
    backends: dict[str, Strategy] = field(factory=dict)
    quota_rest: float = field(default=3600.0, validator=gt(0))
    revoked_rest: float = field(default=86400.0, validator=gt(0))
    keep: float = field(default=3600.0, validator=ge(0))
    _random: random.Random = field(factory=random.Random, init=False, repr=False)
    _shared: Shared | None = field(default=None, init=False, repr=False)

    @hookimpl
    def open_guard(self, exchange: Exchange) -> Guard | None:
        """Stand before targets, where any back-end has several keys."""
        shared = self._of(exchange.gateway)
        if not shared.rings.any(exchange.gateway):
            return None
        return Rotating(exchange, shared, self.backends, self.strategy)

    @hookimpl
    def status(self, gateway: Gateway) -> Awaitable[Report] | None:
        """Tell of each key: whether it rests, until when, and how often it was used of late."""
        shared = self._of(gateway)
        keys = [key for name in gateway.backends for key in shared.rings.of(gateway, name)]
        return report(shared, keys) if keys else None

    def _of(self, gateway: Gateway) -> Shared:
        if self._shared is None:
            times = Times(self.quota_rest, self.revoked_rest, self.keep)
            state, clock = gateway.state, gateway.clock
            self._shared = Shared(Rings(), Rests(state, clock), Uses(state, clock), times, self._random)
        return self._shared
