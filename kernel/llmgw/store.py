"""What is kept beyond one exchange, and what is asked of whoever keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen


@frozen
class Bucket:
    """A token bucket to take from; it is full when nobody has taken anything yet.

    Args:
        key: of the bucket.
        amount: to take; a negative one gives back.
        capacity: how much it holds.
        rate: how much flows in a second, until it is full.
    """

    key: str
    amount: float
    capacity: float
    rate: float


@frozen
class Taken:
    """What became of a taking.

    Args:
        granted: whether all of it was taken; else nothing was.
        left: in each bucket, in the order in which they were asked; below zero where something is owed.
        wait: seconds until all of it could be granted; 0 where it was, infinite where a bucket can never hold so much.
    """

    granted: bool
    left: tuple[float, ...]
    wait: float = 0.0


class StateStore(Protocol):
    """Counters, cooldowns and sessions, shared by whoever shares the store. Values are text; times are in seconds.

    Each method is one atomic step. None raises because the store is away: it then goes on with what this process knows.
    """

    async def get(self, key: str) -> str | None:
        """The value, unless it has expired."""
        ...

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """The values of several keys, in their order."""
        ...

    async def take(self, buckets: Sequence[Bucket], *, force: bool = False) -> Taken:
        """Take from all of these buckets, or from none.

        Args:
            buckets: each key once.
            force: take also what is not there, so that a bucket owes: for what was used already.
        """
        ...

    async def seat(self, key: str, who: str, limit: int, ttl: float) -> bool:
        """Take one of ``limit`` seats at a table for ``ttl`` seconds, or keep the one that one has; whether there is one."""
        ...

    async def leave(self, key: str, who: str) -> None:
        """Give the seat back."""
        ...

    async def set(self, key: str, value: str, ttl: float | None = None) -> None:
        """Keep a value, for ``ttl`` seconds."""
        ...

    async def add(self, key: str, amount: float, ttl: float | None = None) -> float:
        """Add to a number that starts at 0 and expires ``ttl`` after its start; the sum."""
        ...

    async def delete(self, key: str) -> None:
        """Forget a value."""
        ...
