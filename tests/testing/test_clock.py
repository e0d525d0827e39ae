from __future__ import annotations

import asyncio

from llmgw_testing import FakeClock


async def test_it_stands_still() -> None:
    """Time passes only when it is told to; the wall clock moves with it."""
    fake = FakeClock()
    clock = fake.clock
    before = clock.monotonic(), clock.time()
    await asyncio.sleep(0)
    assert before == (clock.monotonic(), clock.time())

    await fake.advance(2.5)
    assert (before[0] + 2.5, before[1] + 2.5) == (clock.monotonic(), clock.time())


async def test_sleepers_wake_in_time() -> None:
    """Each at its moment, those of one moment in the order in which they lay down."""
    clock, woken = FakeClock(now=0.0), list[tuple[str, float]]()

    async def sleep(name: str, seconds: float) -> None:
        await clock.clock.sleep(seconds)
        woken.append((name, clock.now))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 3.0), ("early", 1.0), ("too", 1.0)):
            group.create_task(sleep(name, seconds))
        await asyncio.sleep(0)
        await clock.advance(0.5)
        assert [] == woken
        await clock.advance(9.5)

    assert [("early", 1.5), ("too", 1.5), ("late", 3.5)] == woken


async def test_who_lies_down_again_wakes_again() -> None:
    """A loop that sleeps runs once for each step of the time that passes."""
    clock, count = FakeClock(), 0

    async def loop() -> None:
        nonlocal count
        while True:
            await clock.clock.sleep(1.0)
            count += 1

    task = asyncio.ensure_future(loop())
    await asyncio.sleep(0)
    await clock.advance(10)
    task.cancel()

    assert 10 == count
