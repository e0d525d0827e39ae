"""Where state is kept: in this process's memory, and what a plugin that brings another store needs besides.

That is the arithmetic of buckets, which all stores share, and what becomes of a store outside of the process when it is away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

from attrs import Factory, define, field, frozen

from llmgw.model import JSON
from llmgw.stages import Clock, Report
from llmgw.store import Bucket, StateStore, Taken

log = logging.getLogger("llmgw.state")

_NEVER = float("inf")

# ---- buckets ------------------------------------------------------------------------------------

_INSTANT = 1e-6
"""Seconds that are no wait. A clock's time is a float too, and of Unix time it tells a quarter of this."""
_GRAIN = 1e-9
"""What floating point may lose of an amount."""


def taking(buckets: Sequence[Bucket], levels: Sequence[float], *, force: bool = False) -> Taken:
    """What becomes of taking from buckets: the arithmetic that all stores share.

    Args:
        buckets: to take from.
        levels: what is in each now.
        force: take also what is not there.
    """
    pairs = list(zip(buckets, levels, strict=True))
    wait = max((_wait(bucket, level) for bucket, level in pairs), default=0.0)
    if wait > 0 and not force:
        return Taken(False, tuple(levels), wait)
    return Taken(True, tuple(min(bucket.capacity, level - bucket.amount) for bucket, level in pairs))


def _wait(bucket: Bucket, level: float) -> float:
    missing = bucket.amount - level
    if bucket.amount <= 0 or missing <= max(_GRAIN, bucket.rate * _INSTANT):
        return 0.0
    return filling(missing, bucket.rate) if bucket.amount <= bucket.capacity else _NEVER


def filling(missing: float, rate: float) -> float:
    """Seconds until so much has flowed in."""
    return missing / rate if rate > 0 else _NEVER


def flowed(bucket: Bucket, left: float, seconds: float) -> float:
    """What is in a bucket so many seconds after so much was left in it.

    Args:
        bucket: which.
        left: in it then.
        seconds: since then; where a clock was set back, nothing has flowed.
    """
    return min(bucket.capacity, left + max(0.0, seconds) * bucket.rate)


# ---- memory -------------------------------------------------------------------------------------


@frozen
class _Entry:
    value: str
    until: float

    @property
    def size(self) -> int:
        return len(self.value)


@frozen
class _Level:
    left: float
    at: float
    until: float
    """Then it is full, as one is that was never taken from."""
    size: int = 1


@define(eq=False)
class _Table:
    seats: dict[str, float] = field(factory=dict)
    """Who sits there, and until when."""
    until: float = 0.0
    """The last one leaves."""
    soonest: float = _NEVER
    """Nobody leaves before."""
    size: int = 1

    def clear(self, now: float) -> None:
        """Away with whose time is over; looks through all only when there may be somebody."""
        if self.soonest <= now:
            self.seats = {who: until for who, until in self.seats.items() if now < until}
            self.soonest = min(self.seats.values(), default=_NEVER)

    def sit(self, who: str, until: float) -> None:
        """Somebody sits down, or stays longer."""
        self.seats[who] = until
        self.until = max(self.until, until)
        self.soonest = min(self.soonest, until)


class _Thing(Protocol):
    @property
    def until(self) -> float: ...

    @property
    def size(self) -> int: ...


_T = TypeVar("_T", bound=_Thing)


@define(eq=False)
class _Shelf(Generic[_T]):
    """Things by their keys, in the order of their last use, each good until its end; bounded in number and in size."""

    limit: int
    room: int
    things: dict[str, _T] = field(factory=dict, init=False)
    size: int = field(default=0, init=False)

    def find(self, key: str, now: float) -> _T | None:
        thing = self.things.get(key)
        return thing if thing is not None and now < thing.until else None

    def drop(self, key: str) -> None:
        thing = self.things.pop(key, None)
        self.size -= 0 if thing is None else thing.size

    def put(self, key: str, thing: _T, now: float) -> None:
        self.drop(key)  # so that it goes to the end
        if len(self.things) >= self.limit or self.size + thing.size > self.room:
            self._shrink(now, thing.size)
        self.things[key] = thing
        self.size += thing.size

    def _shrink(self, now: float, needed: int) -> None:
        """Make room, and a tenth more: looking through all is then paid by the many that fit in."""
        kept: list[tuple[str, _T]] = []
        number, size = self.limit - max(1, self.limit // 10), self.room - max(needed, self.room // 10)
        for key, thing in reversed(self.things.items()):
            if now < thing.until and len(kept) < number and thing.size <= size:
                size -= thing.size
                kept.append((key, thing))
        self.things = dict(reversed(kept))
        self.size = sum(thing.size for _, thing in kept)


@define(eq=False)
class MemoryStore:
    """Keeps values in memory, each until it expires; when there are too many, those longest unused go.

    An implementation of ``llmgw.StateStore``. Whatever clients can make up, such as session names, becomes a key sooner or
    later, so that the number of keys must be bounded.

    Args:
        clock: seconds from some fixed moment.
        limit: of values, of buckets that are not full, and of tables at which somebody sits.
        room: characters of all values.
    """

    clock: Callable[[], float] = time.monotonic
    limit: int = 100_000
    room: int = 128 * 2**20
    _entries: _Shelf[_Entry] = field(init=False, repr=False)
    _levels: _Shelf[_Level] = field(init=False, repr=False)
    _tables: _Shelf[_Table] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._entries = _Shelf(self.limit, self.room)
        self._levels, self._tables = _Shelf(self.limit, self.limit), _Shelf(self.limit, self.limit)

    async def get(self, key: str) -> str | None:
        """The value, unless it has expired."""
        return self._get(key, self.clock())

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """The values of several keys, in their order."""
        now = self.clock()
        return [self._get(key, now) for key in keys]

    async def set(self, key: str, value: str, ttl: float | None = None) -> None:
        """Keep a value, for ``ttl`` seconds."""
        now = self.clock()
        self._entries.put(key, _Entry(value, _end(now, ttl)), now)

    async def add(self, key: str, amount: float, ttl: float | None = None) -> float:
        """Add to a number that starts at 0 and expires ``ttl`` after its start; the sum."""
        now = self.clock()
        entry = self._entries.find(key, now) or _Entry("0", _end(now, ttl))
        total = float(entry.value) + amount
        self._entries.put(key, _Entry(str(total), entry.until), now)
        return total

    async def delete(self, key: str) -> None:
        """Forget a value."""
        self._entries.drop(key)

    async def take(self, buckets: Sequence[Bucket], *, force: bool = False) -> Taken:
        """Take from all of these buckets, or from none."""
        now = self.clock()
        taken = taking(buckets, [self._level(one, now) for one in buckets], force=force)
        if taken.granted:
            for one, left in zip(buckets, taken.left, strict=True):
                self._levels.put(one.key, _Level(left, now, now + filling(one.capacity - left, one.rate)), now)
        return taken

    async def seat(self, key: str, who: str, limit: int, ttl: float) -> bool:
        """Take one of ``limit`` seats for ``ttl`` seconds, or keep the one that one has; whether there is one."""
        now = self.clock()
        table = self._tables.find(key, now) or _Table()
        table.clear(now)
        if who not in table.seats and len(table.seats) >= limit:
            return False
        table.sit(who, now + ttl)
        self._tables.put(key, table, now)
        return True

    async def leave(self, key: str, who: str) -> None:
        """Give the seat back."""
        table = self._tables.things.get(key)
        if table is not None:
            table.seats.pop(who, None)
            if not table.seats:
                self._tables.drop(key)

    def _get(self, key: str, now: float) -> str | None:
        entry = self._entries.find(key, now)
        if entry is None:
            return None
        self._entries.put(key, entry, now)
        return entry.value

    def _level(self, bucket: Bucket, now: float) -> float:
        """What is in a bucket now."""
        level = self._levels.find(bucket.key, now)
        return bucket.capacity if level is None else flowed(bucket, level.left, now - level.at)


def _end(now: float, ttl: float | None) -> float:
    return _NEVER if ttl is None else now + ttl


# ---- a store outside of the process -------------------------------------------------------------


class Away(Exception):
    """A shared store does not do what it should; the text says why, in words for the log."""


class Late(Away):
    """This process was too slow to hear the answer: one call is answered here, and the store is not away."""


class Shared(StateStore, Protocol):
    """A store outside of this process, as ``Degrading`` takes it: every method may raise Away, and none may take long."""

    @property
    def where(self) -> str:
        """Where it is, for people, as ``Redis at 127.0.0.1:6379``; no secret and no path of this machine."""
        ...

    async def probe(self) -> None:
        """Write something, since one that can only be read is away too."""
        ...

    async def close(self) -> None:
        """Let go of files and connections; whatever is called after it opens them again."""
        ...


_MOST_LEAVING = 1000
"""Seats that are given back later, one after the other while somebody waits."""

_R = TypeVar("_R")


@define(eq=False)
class Degrading:
    """A shared store while it is there, and this process's memory while it is away.

    An implementation of ``llmgw.StateStore`` of which no method fails because the store does. What this process itself has
    written is remembered here as well, so that its own cooldowns and counts hold when the store goes away; limits then hold for
    each process. What is written meanwhile stays here and is not brought to the store when that is back, but for seats that were
    given back: there they would stay taken until their time is over.

    Args:
        shared: the store.
        clock: all time comes from here.
        retry: seconds for which a store that was away is left alone; then one call looks whether it is back, and those that
            come meanwhile do not wait for it.
    """

    shared: Shared
    clock: Clock = field(repr=False)
    retry: float = 5.0
    local: MemoryStore = field(
        init=False, repr=False, default=Factory(lambda self: MemoryStore(self.clock.monotonic), takes_self=True)
    )
    _since: float | None = field(default=None, init=False)
    """Unix seconds, while it is away."""
    _why: str = field(default="", init=False)
    _again: float = field(default=0.0, init=False)
    """When to look for it."""
    _spell: int = field(default=0, init=False)
    """How often it went away: a call that began before it came back says nothing of how it is now."""
    _leaving: dict[tuple[str, str], None] = field(factory=dict, init=False, repr=False)
    """Seats given back while it was away."""
    _closed: bool = field(default=False, init=False)

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None, None]:
        """What a plugin's ``lifespan`` returns: says at once if the store is away, and closes it at the end."""
        try:
            await self.shared.probe()
        except Away as away:
            self._left(str(away), self._spell)
        try:
            yield
        finally:
            self._closed, self._since = True, self.clock.time()  # who still writes, writes for nobody
            await self.shared.close()

    async def report(self) -> Report:
        """Where state is kept, whether that is away, and since when (Unix seconds): what a plugin's ``status`` returns."""
        await self.get("state")  # with nobody else asking it would be as it was when somebody last did
        away = self._since is not None
        row: dict[str, JSON] = {"kept in": self.shared.where, "away": away, "since": self._since}
        return Report("state", [row | {"why": self._why if away else None}])

    async def get(self, key: str) -> str | None:
        """The value, unless it has expired."""
        return await self._ask(lambda store: store.get(key))

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """The values of several keys, in their order."""
        return await self._ask(lambda store: store.get_many(keys)) if keys else []

    async def set(self, key: str, value: str, ttl: float | None = None) -> None:
        """Keep a value, for ``ttl`` seconds."""
        await self._ask(lambda store: store.set(key, value, ttl), lambda _: self.local.set(key, value, ttl))

    async def add(self, key: str, amount: float, ttl: float | None = None) -> float:
        """Add to a number that starts at 0 and expires ``ttl`` after its start; the sum."""
        return await self._ask(lambda store: store.add(key, amount, ttl), lambda _: self.local.add(key, amount, ttl))

    async def delete(self, key: str) -> None:
        """Forget a value."""
        await self._ask(lambda store: store.delete(key), lambda _: self.local.delete(key))

    async def take(self, buckets: Sequence[Bucket], *, force: bool = False) -> Taken:
        """Take from all of these buckets, or from none."""
        return await self._ask(
            lambda store: store.take(buckets, force=force),
            lambda taken: self.local.take(buckets if taken.granted else (), force=True),
        )

    async def seat(self, key: str, who: str, limit: int, ttl: float) -> bool:
        """Take one of ``limit`` seats for ``ttl`` seconds, or keep the one that one has; whether there is one."""
        return await self._ask(
            lambda store: store.seat(key, who, limit, ttl),
            lambda found: self.local.seat(key, who, limit, ttl) if found else self.local.leave(key, who),
        )

    async def leave(self, key: str, who: str) -> None:
        """Give the seat back."""
        await self._ask(lambda store: store.leave(key, who), lambda _: self.local.leave(key, who))
        if self._since is not None and len(self._leaving) < _MOST_LEAVING:
            self._leaving[key, who] = None

    async def _ask(
        self, call: Callable[[StateStore], Awaitable[_R]], echo: Callable[[_R], Awaitable[object]] | None = None
    ) -> _R:
        """Call the store, or the memory while it is away.

        Args:
            call: either of the two.
            echo: what the memory is told when the store has done it.
        """
        if self._since is not None and not await self._returned():
            return await call(self.local)
        spell = self._spell
        try:
            found = await call(self.shared)
        except Away as away:
            if not isinstance(away, Late):
                self._left(str(away), spell)
            return await call(self.local)
        if echo is not None:
            await echo(found)
        return found

    def _left(self, why: str, spell: int) -> None:
        if self._since is not None or spell != self._spell:
            return
        self._since, self._why, self._spell = self.clock.time(), why, spell + 1
        self._again = self.clock.monotonic() + self.retry
        log.warning("%s is away (%s): what it would keep is kept in this process until it is back", self.shared.where, why)

    async def _returned(self) -> bool:
        """Whether it is back, where it is time to look."""
        if self._closed or self.clock.monotonic() < self._again:
            return False
        self._again = _NEVER  # whoever comes meanwhile does not wait
        try:
            await self.shared.probe()
            while self._leaving:
                key, who = next(iter(self._leaving))
                await self.shared.leave(key, who)
                del self._leaving[key, who]
        except Away as away:
            self._why = str(away)
            return False
        finally:
            self._again = self.clock.monotonic() + self.retry
        seconds = self.clock.time() - (self._since or 0.0)
        self._since = None
        log.info("%s is back after %.0f seconds", self.shared.where, seconds)
        return True
