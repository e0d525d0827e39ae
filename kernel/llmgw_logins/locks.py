"""Locks of files, as vendors' own clients take them: who writes a login that is not only ours must wait where they wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from llmgw.stages import Clock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class LockBusy(Exception):
    """Somebody else holds it, longer than it is worth waiting for."""


@asynccontextmanager
async def flocked(path: Path, *, wait: float, clock: Clock) -> AsyncIterator[None]:
    """Hold an ``flock(2)`` of a file, which is made where there is none and stays.

    Args:
        path: the file.
        wait: seconds.
        clock: for waiting.

    Raises:
        LockBusy: it was not free in this time.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        until = clock.monotonic() + wait
        while not _taken(handle):
            if clock.monotonic() >= until:
                raise LockBusy(path.name)
            await clock.sleep(0.05)
        yield
    finally:
        os.close(handle)  # which lets go of the lock


def _taken(handle: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@asynccontextmanager
async def lock_directory(
    path: Path, *, stale: float, tries: int, pause: Callable[[int], float], clock: Clock
) -> AsyncIterator[None]:
    """Hold a lock that is a directory, as the npm package proper-lockfile has it: who makes it has it, and touches it meanwhile.

    Args:
        path: the directory.
        stale: seconds after which one that nobody has touched is anybody's.
        tries: so many.
        pause: seconds before the next try, by the number of those so far.
        clock: for waiting, and for how old a lock is.

    Raises:
        LockBusy: it was not free in so many tries.
    """
    await _taken_in(tries, pause, clock, lambda: _made(path, stale, clock), path)
    ours = _which(path)
    touching = asyncio.ensure_future(_touching(path, stale / 2, clock))
    try:
        yield
    finally:
        touching.cancel()
        _left(path, ours)


def _left(path: Path, ours: int | None) -> None:
    if _which(path) == ours:
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def _which(path: Path) -> int | None:
    """Which one stands there: who sleeps for long, as a laptop does, finds another's lock, and must let it stand."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _made(path: Path, stale: float, clock: Clock) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return _aside(path, stale, clock) and _made(path, -1, clock)
    _touched(path, clock)
    return True


def _aside(path: Path, stale: float, clock: Clock) -> bool:
    """Whether a stale lock was taken away: of two who find it stale, one does."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.stale")
    with suppress(OSError):
        if 0 <= stale < clock.time() - path.stat().st_mtime:
            path.rename(aside)
            aside.rmdir() if aside.is_dir() else aside.unlink()
            return True
    return False


def _touched(path: Path, clock: Clock) -> None:
    with suppress(OSError):
        os.utime(path, (clock.time(), clock.time()))


async def _touching(path: Path, every: float, clock: Clock) -> None:
    while True:
        await clock.sleep(every)
        _touched(path, clock)


@asynccontextmanager
async def lock_file(path: Path, *, stale: float, tries: int, pause: Callable[[int], float], clock: Clock) -> AsyncIterator[None]:
    """Hold a lock that is a file which must not have been there.

    Args:
        path: the file.
        stale: seconds after which one is anybody's.
        tries: so many.
        pause: seconds before the next try, by the number of those so far.
        clock: for waiting, and for how old a lock is.

    Raises:
        LockBusy: it was not free in so many tries.
    """
    await _taken_in(tries, pause, clock, lambda: _created(path, stale, clock), path)
    ours = _which(path)
    try:
        yield
    finally:
        _left(path, ours)


def _created(path: Path, stale: float, clock: Clock) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return _aside(path, stale, clock) and _created(path, -1, clock)
    _touched(path, clock)
    return True


async def _taken_in(tries: int, pause: Callable[[int], float], clock: Clock, take: Callable[[], bool], path: Path) -> None:
    for number in range(tries):
        if take():
            return
        if number + 1 < tries:
            await clock.sleep(pause(number))
    raise LockBusy(path.name)
