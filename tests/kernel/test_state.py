from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import pytest_asyncio
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from llmgw.state import Away, Degrading, Late, MemoryStore, Shared, taking
from llmgw.store import Bucket, StateStore, Taken
from llmgw_testing import FakeClock
from tests.plugins.stores import Laws, Place, Time, Timed, bucket


class TestMemoryStore(Laws):
    """The laws, of memory."""

    @pytest_asyncio.fixture
    async def place(self) -> Place:
        """An empty store."""
        clock = Time()
        return Timed(MemoryStore(clock), clock)


# ---- bounds -------------------------------------------------------------------------------------


@define
class World:
    """A store and its clock."""

    clock: Time = field(factory=lambda: Time(0.0))
    store: MemoryStore = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(self.clock, limit=10)


@pytest.fixture
def world() -> World:
    """A store that holds ten keys."""
    return World()


def test_is_a_store() -> None:
    """It has what plugins expect of a store."""
    store: StateStore = MemoryStore()

    assert store is not None


async def test_forgets_at_the_very_moment(world: World) -> None:
    """A value is gone at the moment at which its time is over."""
    await world.store.set("a", "1", ttl=5)

    world.clock.now = 4.999
    assert "1" == await world.store.get("a")
    world.clock.now = 5.0
    assert await world.store.get("a") is None


async def test_values_are_bounded(world: World) -> None:
    """Whatever keys clients make up, there are never more than the limit, and the newest is among them."""
    for number in range(1000):
        await world.store.set(f"session-{number}", "x")
        assert len(world.store._entries.things) <= 10
        assert "x" == await world.store.get(f"session-{number}")


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60), st.sampled_from([None, 5.0]), st.integers(0, 3))))
async def test_values_are_bounded_in_size(steps: list[tuple[str, int, float | None, int]]) -> None:
    """However long values are, together they take no more than the room there is, and one that fits is there."""
    clock = Time(0.0)
    store = MemoryStore(clock, limit=4, room=100)
    for key, length, ttl, pause in steps:
        await store.set(key, "x" * length, ttl)
        held = [entry.value for entry in store._entries.things.values()]
        assert "x" * length == await store.get(key)
        assert sum(map(len, held)) == store._entries.size <= 100 and len(held) <= 4
        clock.now += pause


async def test_what_is_larger_than_the_room() -> None:
    """One value that is larger than all the room is kept alone, until the next one comes."""
    store = MemoryStore(room=100)
    await store.set("a", "x")
    await store.set("b", "x" * 101)
    assert [None, "x" * 101] == await store.get_many(["a", "b"])

    await store.set("c", "x")
    assert [None, "x"] == await store.get_many(["b", "c"])


async def test_buckets_are_bounded(world: World) -> None:
    """Of buckets that are not full there are never more than the limit; who took last owes still."""
    for number in range(1000):
        await world.store.take([bucket(10, f"client-{number}")])
        assert len(world.store._levels.things) <= 10
        assert not (await world.store.take([bucket(1, f"client-{number}")])).granted


async def test_tables_are_bounded(world: World) -> None:
    """Of tables at which somebody sits there are never more than the limit."""
    for number in range(1000):
        assert await world.store.seat(f"client-{number}", "w", 1, 60)
        assert len(world.store._tables.things) <= 10
        assert not await world.store.seat(f"client-{number}", "other", 1, 60)


async def test_an_empty_table_is_taken_away(world: World) -> None:
    """When the last one leaves, nothing is left; nor is a table kept at which nobody may sit."""
    await world.store.seat("t", "a", 2, 60)
    await world.store.seat("t", "b", 2, 60)
    for who in "ab":
        await world.store.leave("t", who)
    assert not await world.store.seat("u", "a", 0, 60)

    assert {} == world.store._tables.things


async def test_a_table_has_no_more_guests_than_seats(world: World) -> None:
    """Those whose time is over are forgotten when somebody comes."""
    for number in range(100):
        assert await world.store.seat("t", str(number), 3, 20)
        world.clock.now += 10
        assert len(world.store._tables.things["t"].seats) <= 3


async def test_the_expired_go_first(world: World) -> None:
    """What is alive stays as long as there is something expired to drop; of buckets, those that are full again."""
    await world.store.set("old", "x")
    await world.store.take([bucket(9, "old")])
    for number in range(9):
        await world.store.set(f"brief-{number}", "x", ttl=1)
        await world.store.take([bucket(0.1, f"brief-{number}")])

    world.clock.now = 2.0
    await world.store.set("new", "x")
    await world.store.take([bucket(1, "new")])
    assert "x" == await world.store.get("old")
    assert not (await world.store.take([bucket(9, "old")])).granted


async def test_the_longest_unused_goes(world: World) -> None:
    """Of those alive, the one that nobody used for longest goes; reading and adding are uses."""
    for number in range(10):
        await world.store.add(f"n{number}", 1)
    await world.store.get("n0")
    await world.store.get_many(["n1"])
    await world.store.add("n2", 1)

    await world.store.set("new", "x")
    assert {"n0", "n1", "n2"} < set(world.store._entries.things)
    assert "n3" not in world.store._entries.things


async def test_a_single_key_fits() -> None:
    """The smallest store holds the last key."""
    store = MemoryStore(limit=1)
    await store.set("a", "1")
    await store.set("b", "2")

    assert [None, "2"] == [await store.get("a"), await store.get("b")]


# ---- arithmetic ---------------------------------------------------------------------------------

_LEVELS = st.floats(-100, 100)
_BUCKETS = st.builds(Bucket, st.just("b"), st.floats(-50, 50), st.floats(1, 40), st.floats(0.001, 1e4))


@given(st.lists(st.tuples(_BUCKETS, _LEVELS), max_size=4), st.booleans())
def test_taking_is_all_or_nothing(pairs: list[tuple[Bucket, float]], force: bool) -> None:
    """Granted, each has less by its amount and never more than it holds; refused, all are as they were and there is a wait."""
    buckets, levels = [one for one, _ in pairs], [level for _, level in pairs]
    taken = taking(buckets, levels, force=force)

    if taken.granted:
        assert (0.0, tuple(min(one.capacity, level - one.amount) for one, level in pairs)) == (taken.wait, taken.left)
    else:
        assert (False, tuple(levels)) == (force, taken.left)
        assert taken.wait > 0


@given(_BUCKETS, _LEVELS)
def test_after_the_wait_it_is_granted(one: Bucket, level: float) -> None:
    """A wait is as long as it must be, and no longer."""
    taken = taking([one], [level])
    for share, granted in ((1.0, True), (0.99, False)):
        if 1e-3 < taken.wait < float("inf"):
            assert granted == taking([one], [level + taken.wait * share * one.rate]).granted


def test_taking_from_nothing() -> None:
    """Nothing can always be taken."""
    assert Taken(True, ()) == taking([], [])


# ---- a store that is away -----------------------------------------------------------------------


@define(eq=False)
class Elsewhere(MemoryStore):
    """A shared store that does what the test says."""

    why: str = ""
    """Why it is away, while it is."""
    late: bool = False
    """Whether that is not its own fault."""
    calls: list[str] = field(factory=list)
    hold: asyncio.Event | None = None
    """What calls wait for."""
    closed: bool = False
    deaf: bool = False
    """Whether it lets nobody leave."""

    @property
    def where(self) -> str:
        """Where it is."""
        return "Elsewhere"

    async def _called(self, what: str) -> None:
        self.calls.append(what)
        if self.hold is not None:
            await self.hold.wait()
        if self.why:
            raise (Late if self.late else Away)(self.why)

    async def probe(self) -> None:
        """Whether it can be written."""
        await self._called("probe")

    async def close(self) -> None:
        """Close it."""
        self.closed = True

    async def get(self, key: str) -> str | None:
        await self._called(f"get {key}")
        return await super().get(key)

    async def set(self, key: str, value: str, ttl: float | None = None) -> None:
        await self._called(f"set {key}")
        await super().set(key, value, ttl)

    async def add(self, key: str, amount: float, ttl: float | None = None) -> float:
        await self._called(f"add {key}")
        return await super().add(key, amount, ttl)

    async def take(self, buckets: Sequence[Bucket], *, force: bool = False) -> Taken:
        await self._called("take")
        return await super().take(buckets, force=force)

    async def seat(self, key: str, who: str, limit: int, ttl: float) -> bool:
        await self._called(f"seat {who}")
        return await super().seat(key, who, limit, ttl)

    async def leave(self, key: str, who: str) -> None:
        await self._called(f"leave {who}")
        if self.deaf:
            raise Away("gone again")
        await super().leave(key, who)


@define
class Case:
    """A degrading store, and what is behind it."""

    caplog: pytest.LogCaptureFixture = field(repr=False)
    clock: FakeClock = field(factory=FakeClock)
    shared: Elsewhere = field(init=False)
    store: Degrading = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.shared = Elsewhere(lambda: self.clock.now)
        self.store = Degrading(self.shared, self.clock.clock, retry=5.0)

    @property
    def said(self) -> list[str]:
        """What was logged."""
        return [f"{one.levelname} {one.message}" for one in self.caplog.records if one.name == "llmgw.state"]

    async def told(self) -> Mapping[str, Any]:
        """What the status says."""
        report = await self.store.report()
        assert ("state", 1) == (report.title, len(report.rows))
        return report.rows[0]


@pytest.fixture
def case(caplog: pytest.LogCaptureFixture) -> Case:
    """A store that is there."""
    caplog.set_level(logging.INFO, "llmgw.state")
    return Case(caplog)


def test_a_shared_store(case: Case) -> None:
    """What the test plays has the methods of a shared store, and what stands before it those of a store."""
    shared: Shared = case.shared
    store: StateStore = case.store

    assert shared is not store


async def test_uses_the_store(case: Case) -> None:
    """While it is there everything goes to it, and nothing is said."""
    await case.shared.set("a", "1")

    assert "1" == await case.store.get("a")
    assert ["1"] == await case.store.get_many(["a"])
    assert {"kept in": "Elsewhere", "away": False, "since": None, "why": None} == await case.told()
    assert [] == case.said


async def test_serves_on(case: Case) -> None:
    """While it is away every method does its work here; one warning says so, and it is asked only once."""
    case.shared.why = "gone"
    await case.store.set("a", "1")
    assert "1" == await case.store.get("a")
    assert 2.0 == await case.store.add("n", 2)
    assert Taken(True, (0.0,)) == await case.store.take([bucket(10)])
    assert [True, False] == [await case.store.seat("t", who, 1, 60) for who in "ab"]
    await case.store.leave("t", "a")
    await case.store.delete("a")
    assert [None] == await case.store.get_many(["a"])

    assert ["set a"] == case.shared.calls
    assert ["WARNING Elsewhere is away (gone): what it would keep is kept in this process until it is back"] == case.said
    assert {"kept in": "Elsewhere", "away": True, "since": case.clock.clock.time(), "why": "gone"} == await case.told()


async def test_is_left_alone_for_a_while(case: Case) -> None:
    """It is looked for after the time for that, and then after as long again; in between nobody asks."""
    case.shared.why = "gone"
    for _ in range(13):
        await case.store.get("a")
        case.clock.now += 1

    assert ["get a", "probe", "probe"] == case.shared.calls
    assert 1 == len(case.said)


async def test_comes_back(case: Case) -> None:
    """When it is back one line says so, and it is used again."""
    case.shared.why = "gone"
    await case.store.get("a")
    case.shared.why = ""
    await case.store.set("a", "here")
    case.clock.now += 7

    assert await case.store.get("a") is None
    assert ["get a", "probe", "get a"] == case.shared.calls
    assert "INFO Elsewhere is back after 7 seconds" == case.said[-1]
    assert False is (await case.told())["away"]


async def test_one_looks_and_the_others_do_not_wait(case: Case) -> None:
    """While one call looks whether it is back, those that come are answered here."""
    case.shared.why = "gone"
    await case.store.set("a", "here")
    case.clock.now += 5
    case.shared.hold, case.shared.why = asyncio.Event(), ""
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(case.store.get("a"))
        await asyncio.sleep(0)
        assert ["here"] * 3 == [await case.store.get("a") for _ in range(3)]
        case.shared.hold.set()

    assert looking.result() is None
    assert ["set a", "probe", "get a"] == case.shared.calls


async def test_whoever_looks_may_leave(case: Case) -> None:
    """A client that leaves while its call looks does not keep the store away for ever."""
    case.shared.why = "gone"
    await case.store.get("a")
    case.clock.now += 5
    case.shared.hold, case.shared.why = asyncio.Event(), ""
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(case.store.get("a"))
        await asyncio.sleep(0)
        looking.cancel()
    case.shared.hold = None

    case.clock.now += 5
    await case.store.get("a")
    assert ["get a", "probe", "probe", "get a"] == case.shared.calls


async def test_the_status_looks_itself(case: Case) -> None:
    """Where nobody else uses the store, the status still tells how it is now."""
    case.shared.why = "gone"
    assert True is (await case.told())["away"]
    case.shared.why = ""
    case.clock.now += 5

    assert False is (await case.told())["away"]


async def test_many_fail_at_once(case: Case) -> None:
    """Of calls that were under way, all are answered here and one warning is given."""
    case.shared.hold, case.shared.why = asyncio.Event(), "gone"
    async with asyncio.TaskGroup() as group:
        under_way = [group.create_task(case.store.get("a")) for _ in range(5)]
        await asyncio.sleep(0)
        case.shared.hold.set()

    assert [None] * 5 == [one.result() for one in under_way]
    assert 1 == len(case.said)


async def test_an_old_failure_says_nothing(case: Case) -> None:
    """A call that began before the store came back, and fails after, does not send it away again."""
    case.shared.hold = old = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        under_way = group.create_task(case.store.get("a"))
        await asyncio.sleep(0)
        case.shared.hold, case.shared.why = None, "gone"
        await case.store.get("a")
        case.shared.why = ""
        case.clock.now += 5
        await case.store.get("a")
        case.shared.why = "gone"
        old.set()
        await under_way
    case.shared.why = ""

    assert False is (await case.told())["away"]
    assert 2 == len(case.said)


async def test_who_was_late_says_nothing(case: Case) -> None:
    """A call whose answer was not heard is answered here, and the next one goes to the store again."""
    case.shared.why, case.shared.late = "late", True
    await case.store.set("a", "1")
    case.shared.why = ""

    assert await case.store.get("a") is None
    assert (["set a", "get a"], []) == (case.shared.calls, case.said)


async def test_own_writes_are_remembered(case: Case) -> None:
    """When it goes away, this process knows what it has itself set, counted, taken and where it sits."""
    await case.store.set("a", "1")
    await case.store.set("b", "2")
    await case.store.delete("b")
    await case.store.add("n", 3)
    await case.store.take([bucket(7)])
    await case.store.seat("t", "me", 1, 60)
    case.shared.why = "gone"

    assert ["1", None] == await case.store.get_many(["a", "b"])
    assert 4.0 == await case.store.add("n", 1)
    assert not (await case.store.take([bucket(4)])).granted
    assert not await case.store.seat("t", "other", 1, 60)


async def test_what_was_refused_is_not_remembered(case: Case) -> None:
    """Nobody has taken what the store refused, nor sits where it had no seat."""
    await case.shared.take([bucket(10)])
    await case.shared.seat("t", "somebody", 1, 60)
    await case.store.take([bucket(1)])
    await case.store.seat("t", "me", 1, 60)
    case.shared.why = "gone"

    assert Taken(True, (0.0,)) == await case.store.take([bucket(10)])
    assert await case.store.seat("t", "other", 1, 60)


async def test_faults_of_the_caller_are_no_absence(case: Case) -> None:
    """Adding to a text is refused, and the store is there."""
    await case.store.set("a", "word")

    with pytest.raises(ValueError, match="word"):
        await case.store.add("a", 1)
    assert [] == case.said


async def test_says_at_once_that_it_is_away(case: Case) -> None:
    """When the gateway starts it is looked for, so that nobody finds out only when it is needed."""
    case.shared.why = "gone"
    async with case.store.held():
        assert 1 == len(case.said)

    assert ["probe"] == case.shared.calls


async def test_is_closed_in_the_end(case: Case) -> None:
    """After its end the store is not opened again, however late somebody writes, and nothing is said of it."""
    async with case.store.held():
        await case.store.set("a", "1")
    case.clock.now += 100
    await case.store.set("b", "2")

    assert (True, ["probe", "set a"]) == (case.shared.closed, case.shared.calls)
    assert [] == case.said


async def test_seats_given_back_meanwhile(case: Case) -> None:
    """Who left while the store was away leaves there when it is back, before anybody asks for a seat."""
    for who in "ab":
        await case.store.seat("t", who, 2, 600)
    case.shared.why = "gone"
    for who in "ab":
        await case.store.leave("t", who)
    case.shared.why = ""
    case.clock.now += 5

    assert [True, True] == [await case.store.seat("t", who, 2, 600) for who in "cd"]


async def test_goes_away_while_they_are_given_back(case: Case) -> None:
    """What could not be given back is tried again the next time."""
    await case.store.seat("t", "a", 1, 600)
    case.shared.why = "gone"
    await case.store.leave("t", "a")
    case.shared.why, case.shared.deaf = "", True
    case.clock.now += 5
    await case.store.get("x")
    assert True is (await case.told())["away"]

    case.shared.deaf = False
    case.clock.now += 5
    assert await case.store.seat("t", "b", 1, 600)


async def test_bounded_here_too(case: Case) -> None:
    """What is kept while it is away, and what is remembered of it, is as bounded as any memory."""
    case.shared.why = "gone"
    for number in range(2000):
        await case.store.leave("t", str(number))

    assert MemoryStore().limit == case.store.local.limit
    assert 1000 == len(case.store._leaving)
