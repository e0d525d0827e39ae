from __future__ import annotations

import pytest
from attrs import define, field

from llmgw.stages import StateStore
from llmgw.state import MemoryStore


@define
class Time:
    """A clock that is moved by hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@define
class World:
    """A store and its clock."""

    clock: Time = field(factory=Time)
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


async def test_keeps_what_was_set(world: World) -> None:
    """A value is there until it is set anew or deleted."""
    await world.store.set("a", "1")
    await world.store.set("a", "2")
    assert "2" == await world.store.get("a")

    await world.store.delete("a")
    await world.store.delete("a")
    assert await world.store.get("a") is None


async def test_forgets_in_time(world: World) -> None:
    """A value is gone at the very moment at which its time is over."""
    await world.store.set("a", "1", ttl=5)

    world.clock.now = 4.9
    assert "1" == await world.store.get("a")
    world.clock.now = 5.0
    assert await world.store.get("a") is None


async def test_setting_anew_starts_anew(world: World) -> None:
    """Setting a value gives it a new time, or none."""
    await world.store.set("a", "1", ttl=5)
    await world.store.set("a", "2")

    world.clock.now = 100.0
    assert "2" == await world.store.get("a")


async def test_counts_from_nothing(world: World) -> None:
    """A number starts at 0, and can be read as text."""
    assert 2.5 == await world.store.add("n", 2.5)
    assert 2.0 == await world.store.add("n", -0.5)
    assert 2.0 == float(await world.store.get("n") or "")


async def test_a_window_does_not_slide(world: World) -> None:
    """Adding does not prolong a counter, so that it counts what happens in a fixed time."""
    await world.store.add("n", 1, ttl=10)
    world.clock.now = 9.0
    assert 2.0 == await world.store.add("n", 1, ttl=10)

    world.clock.now = 10.0
    assert 1.0 == await world.store.add("n", 1, ttl=10)


async def test_adding_to_text_changes_nothing(world: World) -> None:
    """What is no number is refused and kept."""
    await world.store.set("a", "word")

    with pytest.raises(ValueError, match="word"):
        await world.store.add("a", 1)
    assert "word" == await world.store.get("a")


async def test_is_bounded(world: World) -> None:
    """Whatever keys clients make up, there are never more than the limit, and the newest is among them."""
    for number in range(1000):
        await world.store.set(f"session-{number}", "x")
        assert len(world.store._entries) <= 10
        assert "x" == await world.store.get(f"session-{number}")


async def test_the_expired_go_first(world: World) -> None:
    """What is alive stays as long as there is something expired to drop."""
    await world.store.set("old", "x")
    for number in range(9):
        await world.store.set(f"brief-{number}", "x", ttl=1)

    world.clock.now = 2.0
    await world.store.set("new", "x")
    assert "x" == await world.store.get("old")


async def test_the_longest_unused_goes(world: World) -> None:
    """Of those alive, the one that nobody used for longest goes; reading and adding are uses."""
    for number in range(10):
        await world.store.add(f"n{number}", 1)
    await world.store.get("n0")
    await world.store.add("n1", 1)

    await world.store.set("new", "x")
    assert {"n0", "n1"} < set(world.store._entries)
    assert "n2" not in world.store._entries


async def test_a_single_key_fits(world: World) -> None:
    """The smallest store holds the last key."""
    store = MemoryStore(limit=1)
    await store.set("a", "1")
    await store.set("b", "2")

    assert [None, "2"] == [await store.get("a"), await store.get("b")]
