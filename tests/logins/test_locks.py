from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmgw_logins import LockBusy, flocked, lock_directory, lock_file
from tests.logins.clocks import Hurried


def pause(number: int) -> float:
    return 1.0


@contextmanager
def held(path: Path) -> Iterator[None]:
    """An ``flock`` of somebody else's."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


async def test_an_flock_that_is_free(tmp_path: Path) -> None:
    """It is held inside, free behind, and its file stays."""
    path = tmp_path / "a.lock"
    async with flocked(path, wait=1, clock=Hurried().clock):
        handle = os.open(path, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
    with held(path):
        assert path.exists()


async def test_an_flock_is_not_waited_for_without_end(tmp_path: Path) -> None:
    """After so many seconds it is busy."""
    clock = Hurried()
    with held(tmp_path / "a.lock"), pytest.raises(LockBusy):
        async with flocked(tmp_path / "a.lock", wait=5, clock=clock.clock):
            pytest.fail("it is held by somebody else")
    assert 5 <= clock.now - Hurried().now < 6


async def test_an_flock_is_let_go_after_a_failure(tmp_path: Path) -> None:
    """Whatever happens inside."""
    with pytest.raises(ZeroDivisionError):
        async with flocked(tmp_path / "a.lock", wait=1, clock=Hurried().clock):
            raise ZeroDivisionError
    with held(tmp_path / "a.lock"):
        pass


async def test_a_directory(tmp_path: Path) -> None:
    """Who makes it has the lock, and takes it away."""
    path = tmp_path / "a.lock"
    async with lock_directory(path, stale=10, tries=1, pause=pause, clock=Hurried().clock):
        assert path.is_dir()
    assert not path.exists()


async def test_a_directory_that_stays_fresh(tmp_path: Path) -> None:
    """It is another's; after so many tries, with pauses between them, it is busy."""
    clock, path = Hurried(), tmp_path / "a.lock"
    path.mkdir()
    os.utime(path, (clock.time + 60, clock.time + 60))
    begun = clock.now
    with pytest.raises(LockBusy):
        async with lock_directory(path, stale=10, tries=5, pause=pause, clock=clock.clock):
            pytest.fail("it is held by somebody else")
    assert path.is_dir() and 4.0 == clock.now - begun


async def test_a_directory_that_nobody_touches_any_more(tmp_path: Path) -> None:
    """Its owner is gone."""
    clock, path = Hurried(), tmp_path / "a.lock"
    path.mkdir()
    os.utime(path, (clock.time - 11, clock.time - 11))
    async with lock_directory(path, stale=10, tries=1, pause=pause, clock=clock.clock):
        assert path.is_dir()
    assert not path.exists()


async def test_a_directory_is_touched_while_it_is_held(tmp_path: Path) -> None:
    """So that nobody takes a slow owner for a dead one."""
    clock, path = Hurried(), tmp_path / "a.lock"
    async with lock_directory(path, stale=10, tries=1, pause=pause, clock=clock.clock):
        for _ in range(50):  # each turn lets five seconds pass
            await asyncio.sleep(0)
        assert clock.now > Hurried().now + 60
        assert clock.time - path.stat().st_mtime < 10


async def test_a_file(tmp_path: Path) -> None:
    """Who makes it has the lock, and takes it away."""
    path = tmp_path / "a.lock"
    async with lock_file(path, stale=10, tries=1, pause=pause, clock=Hurried().clock):
        assert path.is_file()
    assert not path.exists()


async def test_a_file_of_another(tmp_path: Path) -> None:
    """It is not taken away."""
    clock, path = Hurried(), tmp_path / "a.lock"
    path.touch()
    os.utime(path, (clock.time + 60, clock.time + 60))
    with pytest.raises(LockBusy):
        async with lock_file(path, stale=10, tries=3, pause=pause, clock=clock.clock):
            pytest.fail("it is held by somebody else")
    assert path.is_file()


async def test_a_file_that_is_stale(tmp_path: Path) -> None:
    """The next try has it."""
    clock, path = Hurried(), tmp_path / "a.lock"
    path.touch()
    os.utime(path, (clock.time - 11, clock.time - 11))
    async with lock_file(path, stale=10, tries=2, pause=pause, clock=clock.clock):
        assert ["a.lock"] == os.listdir(tmp_path)
    assert [] == os.listdir(tmp_path)


async def test_two_take_turns(tmp_path: Path) -> None:
    """Never are both inside."""
    inside, most = 0, 0

    async def one() -> None:
        nonlocal inside, most
        async with lock_file(tmp_path / "a.lock", stale=1e9, tries=100, pause=pause, clock=Hurried().clock):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(one() for _ in range(10)))
    assert 1 == most
