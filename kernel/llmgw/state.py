"""The state store of a single process, used where no plugin brings another."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field, frozen


@frozen
class _Entry:
    value: str
    expires: float


_NEVER = float("inf")


@define(eq=False)
class MemoryStore:
    """Keeps values in memory, each until it expires; when there are too many, those longest unused go.

    An implementation of ``llmgw.StateStore``. Whatever clients can make up, such as session names, becomes a key sooner or
    later, so that the number of keys must be bounded.

    Args:
        clock: seconds from some fixed moment.
        limit: of keys.
    """

    clock: Callable[[], float] = time.monotonic
    limit: int = 100_000
    _entries: dict[str, _Entry] = field(factory=dict, init=False, repr=False)
    """In the order of their last use."""

    async def get(self, key: str) -> str | None:
        """The value, unless it has expired."""
        entry = self._alive(key)
        if entry is None:
            return None
        self._put(key, entry)
        return entry.value

    async def set(self, key: str, value: str, ttl: float | None = None) -> None:
        """Keep a value, for ``ttl`` seconds."""
        self._put(key, _Entry(value, self._end(ttl)))

    async def add(self, key: str, amount: float, ttl: float | None = None) -> float:
        """Add to a number that starts at 0 and expires ``ttl`` after its start; the sum."""
        entry = self._alive(key) or _Entry("0", self._end(ttl))
        total = float(entry.value) + amount
        self._put(key, _Entry(str(total), entry.expires))
        return total

    async def delete(self, key: str) -> None:
        """Forget a value."""
        self._entries.pop(key, None)

    def _end(self, ttl: float | None) -> float:
        return _NEVER if ttl is None else self.clock() + ttl

    def _alive(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        return entry if entry is not None and self.clock() < entry.expires else None

    def _put(self, key: str, entry: _Entry) -> None:
        self._entries.pop(key, None)  # so that it goes to the end
        if len(self._entries) >= self.limit:
            self._shrink()
        self._entries[key] = entry

    def _shrink(self) -> None:
        """Make room for a tenth: looking through all keys is then paid by the many that fit in."""
        now = self.clock()
        alive = [(key, entry) for key, entry in self._entries.items() if now < entry.expires]
        room = min(len(alive), self.limit - max(1, self.limit // 10))
        self._entries = dict(alive[len(alive) - room :])
