"""What every state store must keep to; the tests of each store run these laws on it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from typing import Any, Protocol

import pytest
from attrs import define
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgw.state import MemoryStore
from llmgw.store import Bucket, StateStore, Taken

_EXAMPLES = count()
_SUPPRESSED = (HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)
"""Each example has keys of its own, and no example is kept for a later run, which might be another store's."""


class Place(Protocol):
    """A store under test, and its time.

    ``drift`` is how many seconds may pass that nobody asked for: none where the clock is a fake.
    """

    drift: float

    @property
    def store(self) -> StateStore: ...

    async def advance(self, seconds: float) -> None: ...


@define
class Time:
    """A clock that is moved by hand."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@define
class Timed:
    """A store whose time is a fake."""

    store: StateStore
    clock: Time
    drift: float = 0.0

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds


def bucket(amount: float, key: str = "b", capacity: float = 10.0, rate: float = 0.1) -> Bucket:
    """One that takes ten seconds for each."""
    return Bucket(key, amount, capacity, rate)


TEXTS = ["", "a:b c", "\0\r\n", "ключ", "\U0001f511", "\ud800 of JSON", "\udcff of a header", "x" * 5000]

# ---- steps that any two stores must answer alike ------------------------------------------------

_KEYS = st.sampled_from("abc")
_TTLS = st.sampled_from([None, 5.0, 15.0, 25.0])
_AMOUNTS = st.integers(-4, 12).map(float)
_TAKES = st.lists(st.tuples(_KEYS, _AMOUNTS), min_size=1, max_size=3, unique_by=lambda pair: pair[0])
STEPS = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from([10.0, 20.0, 200.0])),
    st.tuples(st.just("get"), _KEYS),
    st.tuples(st.just("set"), _KEYS, st.integers(0, 9).map(str), _TTLS),
    st.tuples(st.just("add"), _KEYS, st.integers(-3, 3).map(float), _TTLS),
    st.tuples(st.just("delete"), _KEYS),
    st.tuples(st.just("get_many"), st.lists(_KEYS, max_size=4)),
    st.tuples(st.just("take"), _TAKES, st.booleans()),
    st.tuples(st.just("seat"), _KEYS, st.sampled_from("xyz"), st.integers(1, 2), st.sampled_from([5.0, 15.0])),
    st.tuples(st.just("leave"), _KEYS, st.sampled_from("xyz")),
)


async def _done(place: Place, name: str, step: Sequence[Any]) -> Any:
    """Do a step; keys are of this example only."""
    store = place.store
    match step:
        case ("advance", seconds):
            return await place.advance(seconds)
        case ("get", key):
            return _number(await store.get(name + key))
        case ("get_many", keys):
            return [_number(one) for one in await store.get_many([name + key for key in keys])]
        case ("take", pairs, force):
            return await store.take([bucket(amount, name + key) for key, amount in pairs], force=force)
        case (word, key, *rest):
            return await getattr(store, word)(name + key, *rest)
        case _:
            raise AssertionError(step)


def _number(text: str | None) -> float | None:
    """How a number is written is left to the store."""
    return None if text is None else float(text)


def _alike(one: Any, other: Any, drift: float) -> bool:
    if isinstance(one, Taken) and isinstance(other, Taken):
        return (
            one.granted == other.granted
            and one.left == pytest.approx(other.left, abs=1e-6 + drift * 0.1)
            and one.wait == pytest.approx(other.wait, abs=1e-5 + drift)
        )
    return bool(one == other)


# ---- the laws -----------------------------------------------------------------------------------


class Laws:
    """Of one store, which the fixture ``place`` brings."""

    async def test_keeps_what_was_set(self, place: Place) -> None:
        """A value is there until it is set anew or deleted; deleting what is not there is no fault."""
        await place.store.set("a", "1")
        await place.store.set("a", "2")
        assert "2" == await place.store.get("a")

        await place.store.delete("a")
        await place.store.delete("a")
        assert await place.store.get("a") is None

    async def test_forgets_in_time(self, place: Place) -> None:
        """A value is gone when its time is over, and not before."""
        await place.store.set("a", "1", ttl=50)

        await place.advance(45)
        assert "1" == await place.store.get("a")
        await place.advance(5)
        assert await place.store.get("a") is None

    async def test_setting_anew_starts_anew(self, place: Place) -> None:
        """Setting a value gives it a new time, or none."""
        await place.store.set("a", "1", ttl=50)
        await place.store.set("a", "2")

        await place.advance(1000)
        assert "2" == await place.store.get("a")

    @pytest.mark.parametrize("ttl", [0.0, -1.0])
    async def test_no_time_at_all(self, place: Place, ttl: float) -> None:
        """What is kept for no time replaces what was there, and is gone."""
        await place.store.set("a", "1")
        await place.store.set("a", "2", ttl=ttl)

        assert await place.store.get("a") is None

    @pytest.mark.parametrize("text", TEXTS, ids=ascii)
    async def test_any_text(self, place: Place, text: str) -> None:
        """Whatever a client sent may be a key, a value or somebody's name."""
        await place.store.set(text, text)
        await place.store.add(f"n{text}", 1)

        assert [text, text] == await place.store.get_many([text, text])
        assert (await place.store.take([bucket(1, text)])).granted
        assert await place.store.seat(text, text, 1, 60)
        await place.store.leave(text, text)
        assert await place.store.seat(text, "other", 1, 60)

    async def test_kinds_do_not_meet(self, place: Place) -> None:
        """A value, a bucket and a table may have the same key."""
        await place.store.set("k", "v")
        await place.store.take([bucket(1, "k")])
        await place.store.seat("k", "w", 1, 60)
        await place.store.delete("k")

        assert pytest.approx(9 - 1, abs=0.1 * place.drift) == (await place.store.take([bucket(1, "k")])).left[0]
        assert not await place.store.seat("k", "other", 1, 60)

    async def test_many_in_their_order(self, place: Place) -> None:
        """Several values come in the order in which they were asked for, each as often as it was; none come of none."""
        await place.store.set("a", "1")
        await place.store.set("b", "2")

        assert ["2", None, "1", "2"] == await place.store.get_many(["b", "c", "a", "b"])
        assert [] == await place.store.get_many([])

    async def test_counts_from_nothing(self, place: Place) -> None:
        """A number starts at 0, and can be read as text."""
        assert 2.5 == await place.store.add("n", 2.5)
        assert 2.0 == await place.store.add("n", -0.5)
        assert 2.0 == float(await place.store.get("n") or "")

    async def test_counts_exactly(self, place: Place) -> None:
        """A number has all digits that Python's have."""
        assert 0.1 + 0.2 == await place.store.add("n", 0.1) + 0.2 == await place.store.add("n", 0.2)
        assert 2.0**53 == await place.store.add("big", 2.0**53)

    async def test_a_window_does_not_slide(self, place: Place) -> None:
        """Adding does not prolong a counter, so that it counts what happens in a fixed time."""
        await place.store.add("n", 1, ttl=100)
        await place.advance(90)
        assert 2.0 == await place.store.add("n", 1, ttl=100)

        await place.advance(10)
        assert 1.0 == await place.store.add("n", 1, ttl=100)

    async def test_adding_to_text_changes_nothing(self, place: Place) -> None:
        """What is no number is refused and kept, and nobody else is the worse for it."""
        await place.store.set("a", "word")

        with pytest.raises(ValueError, match="word"):
            await place.store.add("a", 1)
        assert "word" == await place.store.get("a")
        assert 1.0 == await place.store.add("b", 1)

    async def test_a_bucket_is_full_at_first(self, place: Place) -> None:
        """All that it holds can be taken at once, and then nothing."""
        assert Taken(True, (0.0,)) == await place.store.take([bucket(10)])
        assert not (await place.store.take([bucket(1)])).granted

    async def test_all_or_nothing(self, place: Place) -> None:
        """Where one of several buckets has not enough, nothing is taken from any."""
        await place.store.take([bucket(8, "b")])
        taken = await place.store.take([bucket(4, "a"), bucket(4, "b"), bucket(4, "c")])

        assert not taken.granted
        assert pytest.approx((10, 2, 10), abs=0.1 * place.drift) == taken.left
        assert Taken(True, (0.0, 0.0)) == await place.store.take([bucket(10, "a"), bucket(10, "c")])

    async def test_the_wait_is_honest(self, place: Place) -> None:
        """After waiting for what was said it is granted; shortly before, it is not, and what is then said is shorter."""
        await place.store.take([bucket(10, "a"), bucket(7, "b")])
        wait = (await place.store.take([bucket(3, "a"), bucket(8, "b")])).wait
        assert pytest.approx(50, abs=place.drift + 1e-5) == wait

        await place.advance(wait - place.drift - 0.01)
        early = await place.store.take([bucket(3, "a"), bucket(8, "b")])
        assert not early.granted and 0 < early.wait <= place.drift + 0.011
        await place.advance(early.wait)
        assert (await place.store.take([bucket(3, "a"), bucket(8, "b")])).granted

    @pytest.mark.parametrize("wanted", [bucket(11), Bucket("b", 5, 10, 0.0)], ids=["too much", "nothing flows"])
    async def test_what_can_never_be(self, place: Place, wanted: Bucket) -> None:
        """What a bucket will never hold is refused without a time."""
        await place.store.take([Bucket("b", 10, 10, 0.0)])

        assert float("inf") == (await place.store.take([wanted])).wait

    async def test_giving_back(self, place: Place) -> None:
        """A negative amount gives back, but a bucket holds no more than it can."""
        await place.store.take([bucket(6)])
        assert pytest.approx(8, abs=0.1 * place.drift) == (await place.store.take([bucket(-4)])).left[0]
        assert (10.0,) == (await place.store.take([bucket(-40)])).left
        assert Taken(True, (0.0,)) == await place.store.take([bucket(10)])

    async def test_owing(self, place: Place) -> None:
        """What was used already is taken though it is not there, and must flow in before anything is granted."""
        owed = await place.store.take([bucket(30)], force=True)
        assert owed.granted and (-20.0,) == owed.left

        await place.advance(190)
        wait = (await place.store.take([bucket(1)])).wait
        assert pytest.approx(20, abs=place.drift + 1e-5) == wait

    async def test_giving_back_what_is_owed(self, place: Place) -> None:
        """Giving back needs nothing to be there."""
        await place.store.take([bucket(30)], force=True)

        taken = await place.store.take([bucket(-5)])
        assert taken.granted and pytest.approx(-15, abs=0.1 * place.drift) == taken.left[0]

    async def test_never_above_its_capacity(self, place: Place) -> None:
        """However long nobody takes, no more flows in than the bucket holds."""
        await place.store.take([bucket(10)])
        await place.advance(100_000)

        assert Taken(True, (0.0,)) == await place.store.take([bucket(10)])
        assert not (await place.store.take([bucket(1)])).granted

    async def test_seats_are_counted(self, place: Place) -> None:
        """There are as many seats as the limit; whoever has one keeps it, and one that is given back is free."""
        assert [True, True, False] == [await place.store.seat("t", who, 2, 60) for who in "abc"]
        assert await place.store.seat("t", "a", 2, 60)

        await place.store.leave("t", "b")
        await place.store.leave("t", "nobody")
        assert [True, False] == [await place.store.seat("t", who, 2, 60) for who in "cb"]

    async def test_seats_expire(self, place: Place) -> None:
        """Whoever does not come back loses the seat in time; whoever does, stays."""
        await place.store.seat("t", "a", 2, 50)
        await place.store.seat("t", "b", 2, 50)
        await place.advance(40)
        assert await place.store.seat("t", "b", 2, 50)

        await place.advance(10)
        assert [True, False] == [await place.store.seat("t", who, 2, 50) for who in "ca"]

    async def test_each_seat_has_its_own_time(self, place: Place) -> None:
        """Who sits down briefly does not cut short the time of whoever sits there for long."""
        await place.store.seat("t", "long", 2, 90)
        await place.store.seat("t", "brief", 2, 30)
        await place.advance(50)

        assert [True, False] == [await place.store.seat("t", who, 2, 90) for who in "ab"]

    async def test_a_lost_seat_may_be_taken(self, place: Place) -> None:
        """Whoever is late has no right to a seat that others have."""
        await place.store.seat("t", "a", 1, 50)
        await place.advance(50)
        assert await place.store.seat("t", "b", 1, 50)

        assert not await place.store.seat("t", "a", 1, 50)

    async def test_tasks_at_the_same_time(self, place: Place) -> None:
        """However many take at once, as much is granted as there is, and as many sit as there are seats."""
        takes = await asyncio.gather(*(place.store.take([bucket(1, "t", 20, 1e-9), bucket(1, "u", 99, 1e-9)]) for _ in range(60)))
        seats = await asyncio.gather(*(place.store.seat("t", str(number), 7, 60) for number in range(30)))
        sums = await asyncio.gather(*(place.store.add("n", 1) for _ in range(30)))

        assert (20, 7) == (sum(one.granted for one in takes), sum(seats))
        assert list(range(1, 31)) == sorted(sums)

    @settings(max_examples=60, suppress_health_check=_SUPPRESSED)
    @given(steps=st.lists(STEPS, max_size=25))
    async def test_answers_as_the_memory_does(self, place: Place, steps: list[Sequence[Any]]) -> None:
        """Whatever is done in whatever order, each step has the answer that a store in memory gives."""
        clock = Time()
        model, name = Timed(MemoryStore(clock), clock), f"{next(_EXAMPLES)}-"
        for step in steps:
            expected, found = await _done(model, name, step), await _done(place, name, step)
            assert _alike(found, expected, place.drift), f"{step}: {found} and not {expected}"

    @settings(max_examples=30, suppress_health_check=_SUPPRESSED)
    @given(steps=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 90)), max_size=25))
    async def test_never_more_than_flows(self, place: Place, steps: list[tuple[int, int]]) -> None:
        """In any time no more is granted than the bucket holds and what flows in meanwhile."""
        name, elapsed, granted = f"flow-{next(_EXAMPLES)}", 0.0, 0.0
        for amount, pause in steps:
            await place.advance(pause)
            elapsed += pause
            granted += amount * (await place.store.take([bucket(amount, name)])).granted
            assert granted <= 10 + (elapsed + place.drift) * 0.1 + 1e-3


# ---- several processes --------------------------------------------------------------------------

_TAKER = """
import asyncio, sys
from llmgw.store import Bucket
from llmgw.state import Away

async def sure(call):
    while True:
        try:
            return await call()
        except Away:
            pass

async def main():
    {store}
    print("ready", flush=True)
    sys.stdin.readline()
    buckets = [Bucket("p", 1, {capacity}, 1e-9), Bucket("q", 1, 100000, 1e-9)]
    taken = seats = 0
    for number in range({each}):
        taken += (await sure(lambda: store.take(buckets))).granted
        seats += await sure(lambda: store.seat("t", f"{{sys.argv[1]}}-{{number}}", {limit}, 600))
        await sure(lambda: store.add("n", 1))
    await store.close()
    print(taken, seats)

asyncio.run(main())
"""


def taken_by_processes(store: str, *, processes: int = 3, each: int = 80, capacity: int = 100, limit: int = 20) -> list[int]:
    """Let processes take, sit down and count at the same time; how often each was granted, in all.

    Args:
        store: the lines that make it.
        processes: how many.
        each: how often each does all three.
        capacity: of the bucket.
        limit: of seats.
    """
    code = _TAKER.format(store=store, each=each, capacity=capacity, limit=limit)
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, str(number)],
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for one in running:
        assert one.stdout is not None and "ready\n" == one.stdout.readline()
    results = [one.communicate("go\n", timeout=30)[0].split() for one in running]
    return [sum(int(result[column]) for result in results) for column in (0, 1)]
