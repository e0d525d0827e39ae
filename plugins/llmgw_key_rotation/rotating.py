"""One target's way through the keys of its back-end."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import Literal

from attrs import define, evolve, field, frozen

from llmgw import (
    Attempt,
    CredentialUnusable,
    Exchange,
    GatewayError,
    Guard,
    Onward,
    Race,
    Resting,
    Route,
    Target,
    UpstreamError,
    next_step,
)
from llmgw_key_rotation.keys import Key, Rings, Seen
from llmgw_key_rotation.uses import Uses
from llmgw_routes.rests import Rest, Rests, digest, growing, short

log = logging.getLogger("llmgw.key_rotation")

Strategy = Literal["round-robin", "least-used", "fill-first"]

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds of rest of a key that was asked too often, where the provider does not say how long."""
_DAY = 86400.0


@frozen
class Times:
    """How long keys rest, in seconds.

    Args:
        quota: without money or quota.
        revoked: refused, while others are taken.
        keep: a conversation keeps its key after its last turn.
    """

    quota: float
    revoked: float
    keep: float


@define(eq=False)
class Shared:
    """What all exchanges of a gateway have in common.

    Args:
        rings: its keys.
        rests: marks of keys.
        uses: counts of keys.
        times: how long keys rest.
        chance: for pauses.
        seen: models for which keys rest.
    """

    rings: Rings
    rests: Rests
    uses: Uses
    times: Times
    chance: random.Random
    seen: Seen = field(factory=Seen)


@define(eq=False)
class Rotating(Guard):
    """Tries a target with one key after the other.

    Args:
        exchange: whose targets they are.
        shared: what all exchanges have in common.
        strategy: by back-end.
        otherwise: of the others.
    """

    exchange: Exchange
    shared: Shared
    strategy: dict[str, Strategy]
    otherwise: Strategy

    def attempts(self, target: Target, onward: Onward) -> Route:
        """The attempts with each key that does not rest; where there is no choice, or it is made already, nothing changes."""
        keys = self.shared.rings.of(self.exchange.gateway, target.backend)
        if not keys or target.credential != "default":
            return onward(target)
        return Turn(self.exchange, self.shared, target, keys, self.strategy.get(target.backend, self.otherwise)).route(onward)


@define(eq=False)
class Turn:
    """One target of one exchange.

    Args:
        exchange: whose it is.
        shared: what all exchanges have in common.
        target: which.
        keys: those of its back-end.
        strategy: how to choose among them.
    """

    exchange: Exchange
    shared: Shared
    target: Target
    keys: Sequence[Key]
    strategy: Strategy
    _model: str = field(init=False)
    _talk: str = ""
    """What the state calls the conversation."""
    _kept: str = ""
    """What it has of it."""
    _uses: Sequence[float] = ()
    _rests: dict[str, Rest] = field(factory=dict)
    """By key, what keeps it from being used."""
    _suspected: list[tuple[str, UpstreamError, float]] = field(factory=list)
    """Marks to make once another key was taken: only then is it the key's fault, and not everybody's."""

    def __attrs_post_init__(self) -> None:
        self._model = short(self.target.model)

    async def route(self, onward: Onward) -> Route:
        """The attempts with one key after the other.

        Raises:
            Resting: all of them rest.
        """
        await self._look()
        failure: GatewayError | None = None
        held: Resting | None = None
        for key in await self._order():
            failure, held = None, None
            await self.shared.uses.note(key, at_once=self.strategy == "least-used")
            async with aclosing(onward(evolve(self.target, credential=key.name))) as inner:
                while (step := await self._step(inner, failure)) is not None:
                    if isinstance(step, Resting):  # a guard behind this one holds it back: maybe not with another key
                        held = step
                        break
                    before = self.exchange.attempt
                    try:
                        failure = yield step
                    except GeneratorExit:
                        if _won(self.exchange, before):
                            await self._succeeded(key)
                        raise
            if held is None and (failure is None or not await self._blame(key, failure)):
                return
        if held is not None:
            raise held
        if len(self._rests) == len(self.keys):
            raise self._all_rest() from failure

    async def _step(self, inner: Route, failure: GatewayError | None) -> Target | Race | Resting | None:
        try:
            return await next_step(inner, failure)
        except Resting as held:
            return held

    # ---- before

    async def _look(self) -> None:
        """Ask the state for all that matters, in one step."""
        self._talk = self._conversation()
        marks = [name for key in self.keys for name in (key.mark, key.mark_for(self._model))]
        counts = self.shared.uses.names(self.keys) if self.strategy == "least-used" else []
        talk = [self._talk] if self._talk else []
        found = await self.exchange.gateway.state.get_many([*marks, *counts, *talk])
        self._kept = (found[-1] or "") if talk else ""
        self._uses = self.shared.uses.counts(found[len(marks) : len(marks) + len(counts)])
        for number, text in enumerate(found[: len(marks)]):
            if text is not None:
                self._note(self.keys[number // 2], Rest.of_text(text))

    def _note(self, key: Key, rest: Rest | None) -> None:
        """Take note of a rest; the one that lasts longest counts."""
        if rest is not None and self.shared.rests.left(rest) > 0:
            self.shared.seen.note(key.backend, self._model)
            known = self._rests.get(key.id)
            self._rests[key.id] = rest if known is None or rest.until > known.until else known

    def _conversation(self) -> str:
        """What the state calls this conversation; empty where nobody can tell which it is."""
        exchange, request = self.exchange, self.target.request
        if self.shared.times.keep <= 0 or request is None:
            return ""
        told = exchange.conversation(request)
        if told is None:
            return ""
        who = exchange.principal.name if exchange.principal is not None else ""
        return f"key-rotation:talk:{digest(repr((who, self.target.backend, told)))}"

    async def _order(self) -> list[Key]:
        """Those that do not rest: the conversation's own first, then by the strategy."""
        awake = [key for key in self.keys if key.id not in self._rests] if self._rests else list(self.keys)
        kept = self._kept.partition(" ")[0]
        own = next((key for key in awake if key.id == kept), None)
        if own is not None:
            return [own, *(key for key in awake if key is not own)]
        if len(awake) > 1 and self.strategy == "round-robin":
            name = f"key-rotation:turn:{self.target.backend}:{self._model}"
            turn = int(await self.exchange.gateway.state.add(name, 1, _DAY) - 1) % len(awake)
            return awake[turn:] + awake[:turn]
        if self.strategy == "least-used":
            uses = {key.id: count for key, count in zip(self.keys, self._uses, strict=True)}
            return sorted(awake, key=lambda key: uses[key.id])
        return awake

    # ---- after a failure

    async def _blame(self, key: Key, failure: GatewayError) -> bool:
        """Whether it is the key's fault, so that the next one is tried; then the key rests."""
        if not isinstance(failure, UpstreamError) or isinstance(failure, Resting):
            return False
        said = failure.retry_after if failure.retry_after is not None and failure.retry_after > 0 else None
        match failure.kind:
            case "rate_limited":
                await self._rest(key, key.mark_for(self._model), failure, said)
            case "billing":
                await self._rest(key, key.mark, failure, said or self.shared.times.quota)
            case "authentication":
                await self._rest(key, key.mark, failure, _LONGEST_PAUSE)
                if key.fingerprint and not isinstance(failure, CredentialUnusable):  # a login says itself when it is good again
                    self._suspected.append((key.mark, failure, self.shared.times.revoked))
                await self._warn(key)
            case "permission":
                self._suspected.append((key.mark_for(self._model), failure, self.shared.times.quota))
            case _:
                return False
        self.exchange.remark(f"the key of {key.name} at '{key.backend}' failed ({failure.kind}), so the next one is tried")
        return True

    async def _rest(self, key: Key, name: str, failure: UpstreamError, seconds: float | None) -> None:
        pause = partial(growing, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE, chance=self.shared.chance)
        self._note(key, await self.shared.rests.rest(name, failure.kind, pause if seconds is None else seconds))

    async def _warn(self, key: Key) -> None:
        """Say once, for all workers, that somebody has to do something."""
        if await self.exchange.gateway.state.add(f"{key.mark}:told", 1, self.shared.times.revoked) == 1:
            advice = "it is left out until the variable has another value, and tried again now and then"
            log.warning("'%s' refuses the key of %s: %s", key.backend, key.name, advice)

    def _all_rest(self) -> Resting:
        first = min(self._rests.values(), key=lambda rest: rest.until)
        left, number = self.shared.rests.left(first), len(self.keys)
        message = f"All {number} keys of the back-end '{self.target.backend}' rest (the next one after '{first.kind}')."
        return Resting(f"{message} Ask again in {max(1.0, left):.0f} s.", kind=first.kind, retry_after=left)

    # ---- after all

    async def _succeeded(self, key: Key) -> None:
        """The client got something: the conversation stays with this key, and what others failed at was their own fault."""
        for name, failure, seconds in self._suspected:
            await self.shared.rests.rest(name, failure.kind, seconds)
        self.exchange.endings.append(partial(self._ended, key))
        if self._talk:
            await self._keep(key)

    async def _keep(self, key: Key) -> None:
        """Remember the conversation's key; where it is known, not again with each turn."""
        now, keep = self.exchange.gateway.clock.time(), self.shared.times.keep
        kept, _, since = self._kept.partition(" ")
        if kept != key.id or not since.isdigit() or now - int(since) >= keep / 2:
            await self.exchange.gateway.state.set(self._talk, f"{key.id} {int(now)}", keep)

    async def _ended(self, key: Key, error: BaseException | None) -> None:
        """The exchange is over: a reply that broke off may have been the key's fault, too."""
        last = self.exchange.attempt
        if isinstance(error, UpstreamError) and last is not None and last.failure is error and last.target.credential == key.name:
            await self._blame(key, error)


def _won(exchange: Exchange, before: Attempt | None) -> bool:
    """Whether the client got something of an attempt made since; an earlier one may be on its way again, with its reply begun."""
    last = exchange.attempt
    return last is not None and last is not before and last.committed
