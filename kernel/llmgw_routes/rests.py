"""What is left alone for a while: marks in the shared state, so that all workers and machines do the same."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Final, get_args

from attrs import define, field, frozen

from llmgw.errors import Kind
from llmgw.stages import Clock
from llmgw.store import StateStore

LONGEST: Final = 30 * 86400.0
"""Seconds that anything rests at most, whatever a provider says."""
_LONGEST_NAME: Final = 100
"""Characters of a name that a client may have made up; longer ones are hashed."""
_KINDS: Final = {kind: kind for kind in get_args(Kind)}


@frozen
class Rest:
    """How long something is left alone, and why.

    Args:
        until: Unix seconds.
        kind: of the failure after which it rests.
        times: how often in a row it had to.
    """

    until: float
    kind: Kind
    times: int = 1

    @classmethod
    def of_text(cls, text: str | None) -> Rest | None:
        """Read what ``text`` wrote; None where it is nothing of the kind."""
        if text is None:
            return None
        try:
            until, kind, times = text.split(" ")
            return cls(float(until), _KINDS[kind], int(times))
        except (ValueError, KeyError):  # a shared store may hold anything: no rest is then known
            return None

    @property
    def text(self) -> str:
        """As it is kept."""
        return f"{self.until!r} {self.kind} {self.times}"


@define(eq=False)
class Rests:
    """Marks of what rests.

    Args:
        state: where they are kept.
        clock: of the gateway; marks hold over machines, so they are in Unix time.
        memory: seconds after a rest in which another failure counts as one in a row.
    """

    state: StateStore
    clock: Clock = field(repr=False)
    memory: float = 60.0

    async def look(self, names: Sequence[str]) -> list[Rest | None]:
        """The marks of these, in one step, those that are over but not forgotten too.

        Args:
            names: keys of the state.
        """
        return [Rest.of_text(text) for text in await self.state.get_many(names)]

    def left(self, rest: Rest | None) -> float:
        """Seconds of a rest that are left; 0 where there are none."""
        return 0.0 if rest is None else max(0.0, rest.until - self.clock.time())

    async def rest(self, name: str, kind: Kind, seconds: float | Callable[[int], float]) -> Rest:
        """Mark that something rests; a mark that lasts longer stays.

        Failures of requests that were on their way together are one failure: only one after the rest is another in a row.

        Args:
            name: key of the state.
            kind: of the failure.
            seconds: how long; or what tells it, given how often in a row.

        Returns:
            The mark that holds now.
        """
        known, now = Rest.of_text(await self.state.get(name)), self.clock.time()
        resting = known is not None and known.until > now
        times = 1 if known is None else known.times + (0 if resting else 1)
        lasting = seconds(times) if callable(seconds) else seconds
        made = Rest(now + min(LONGEST, max(0.0, lasting)), kind, times)
        if known is not None and known.until >= made.until:
            return known
        await self.state.set(name, made.text, made.until - now + self.memory)
        return made


def growing(times: int, first: float, longest: float, chance: random.Random) -> float:
    """Seconds to rest: twice as long each time, drawn from the last fifth so that not all come back at once.

    Args:
        times: how often in a row.
        first: seconds of the first one.
        longest: seconds at most.
        chance: draws.
    """
    return min(longest, first * 2.0 ** min(times - 1, 64)) * chance.uniform(0.8, 1.0)


def short(name: str) -> str:
    """A name for a key of the state, as it is unless it is long.

    Args:
        name: perhaps made up by a client.
    """
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}#{digest(name)}"


def digest(text: str) -> str:
    """A text that tells this one from others, and shows nothing of it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
