from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmgw.stages import Clock
from llmgw_logins import LockBusy, flocked, lock_directory, lock_file
from llmgw_testing import FakeClock
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
    clock, path = FakeClock(), tmp_path / "a.lock"
    async with lock_directory(path, stale=10, tries=1, pause=pause, clock=clock.clock):
        begun = path.stat().st_mtime
        for _ in range(100):
            await clock.advance(1)
            assert clock.clock.time() - path.stat().st_mtime <= 5
    assert clock.clock.time() - begun == 100
    await clock.advance(20)
    assert not path.exists()


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


@pytest.mark.parametrize("lock", [lock_file, lock_directory])
async def test_who_slept_for_long_lets_anothers_lock_stand(tmp_path: Path, lock: Any) -> None:
    """Somebody else found ours stale and took it, as when a laptop was shut in the middle."""
    path = tmp_path / "a.lock"
    async with lock(path, stale=10, tries=1, pause=pause, clock=FakeClock().clock):
        path.rename(tmp_path / "ours")
        path.mkdir()
    assert path.is_dir()


@pytest.mark.parametrize("lock", [lock_file, lock_directory])
async def test_a_stale_one_is_taken_at_once(tmp_path: Path, lock: Any) -> None:
    """Also where there is only one try; nothing is left of it."""
    clock, path = FakeClock(), tmp_path / "a.lock"
    path.mkdir() if lock is lock_directory else path.touch()
    at = clock.clock.time() - 10.5
    os.utime(path, (at, at))
    async with lock(path, stale=10, tries=1, pause=pause, clock=clock.clock):
        assert ["a.lock"] == os.listdir(tmp_path)
    assert [] == os.listdir(tmp_path)


@pytest.mark.parametrize("lock", [lock_file, lock_directory])
async def test_one_that_is_just_not_stale(tmp_path: Path, lock: Any) -> None:
    """That very second it is not."""
    clock, path = FakeClock(), tmp_path / "a.lock"
    path.mkdir() if lock is lock_directory else path.touch()
    at = clock.clock.time() - 10
    os.utime(path, (at, at))
    with pytest.raises(LockBusy, match=r"^a\.lock$"):
        async with lock(path, stale=10, tries=1, pause=pause, clock=clock.clock):
            pytest.fail("it is held by somebody else")


@pytest.mark.parametrize("lock", [lock_file, lock_directory])
async def test_whoever_is_cancelled_inside_lets_go(tmp_path: Path, lock: Any) -> None:
    """The lock is gone."""
    path = tmp_path / "a.lock"

    async def holding() -> None:
        async with lock(path, stale=10, tries=1, pause=pause, clock=FakeClock().clock):
            inside.set()
            await asyncio.Event().wait()

    inside = asyncio.Event()
    task = asyncio.ensure_future(holding())
    await inside.wait()
    assert path.exists()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not path.exists()


async def test_the_pauses_are_the_vendors(tmp_path: Path) -> None:
    """By the number of tries so far; there is none behind the last."""
    clock, path = Hurried(), tmp_path / "a.lock"
    path.touch()
    os.utime(path, (clock.time + 60, clock.time + 60))
    begun = clock.now
    with pytest.raises(LockBusy):
        async with lock_file(path, stale=1e9, tries=4, pause=lambda number: 10.0**number, clock=clock.clock):
            pytest.fail("it is held by somebody else")
    assert 111.0 == clock.now - begun


async def test_another_process_holds_an_flock(tmp_path: Path) -> None:
    """It is waited for, and taken when that process ends, however it ends."""
    path = tmp_path / "a.lock"
    holder = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", holder, str(path), stdin=pipe, stdout=pipe)
    assert process.stdout is not None and b"held\n" == await process.stdout.readline()
    with pytest.raises(LockBusy):
        async with flocked(path, wait=0, clock=Clock()):
            pytest.fail("it is held by somebody else")
    process.kill()
    async with flocked(path, wait=10, clock=Clock()):
        assert -9 == await process.wait()
