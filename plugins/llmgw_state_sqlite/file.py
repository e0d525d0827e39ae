"""What is in the file: three tables, and how they are read and written without waiting for a disk.

Calls are made on the event loop, for they take tens of microseconds, less than handing them to a thread would: nothing is
ever flushed to the disk (``synchronous=OFF``), since after a crash of the machine state may start anew, and readers wait for
nobody (write-ahead log, https://www.sqlite.org/wal.html). A writer waits for another one, at most ``PATIENCE``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from attrs import define, field

from llmgw.state import Away, filling, flowed, taking
from llmgw.store import Bucket, Taken
from llmgw_state_sqlite.place import opened

_TABLES: Final = ("entries", "levels", "seats")
SWEEP_EVERY: Final = 256
"""Writes between two sweeps, each of which takes away up to four times as many rows as have come since the last."""
_EXPIRED: Final = "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries WHERE expires <= ? LIMIT 1024)"
_TOO_MANY: Final = """DELETE FROM entries WHERE rowid IN
    (SELECT rowid FROM entries ORDER BY rowid LIMIT max(0, min(1024, (SELECT count(*) FROM entries) - ?)))"""
"""Whoever is written anew gets a new rowid, so that the lowest are those written longest ago."""

_OLDEST: Final = """DELETE FROM entries WHERE rowid IN
    (SELECT rowid FROM entries ORDER BY rowid LIMIT min(1024, 1 + (SELECT count(*) FROM entries) / 2))"""
_USED: Final = """SELECT (page_count - freelist_count) * page_size
    FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"""

_NEVER: Final = float("inf")

_R = TypeVar("_R")


@define(eq=False)
class File:
    """State in a SQLite file; an implementation of ``llmgw.state.Shared``.

    Args:
        path: of the file, which is made when it is not there.
        now: Unix seconds, which all processes share.
        limit: of rows in a table, or a little more.
        room: bytes of the file, or a little more.
    """

    path: Path
    now: Callable[[], float] = field(repr=False)
    limit: int = 100_000
    room: int = 2**30
    _db: sqlite3.Connection | None = field(default=None, init=False, repr=False)
    _inode: int = field(default=0, init=False)
    _writes: int = field(default=0, init=False)

    @property
    def where(self) -> str:
        """The file's name; a message must not tell whose machine this is."""
        return f"the SQLite file {self.path.name}"

    async def probe(self) -> None:
        """Write something."""
        await self.set("llmgw.probe", "", 0.0)

    async def close(self) -> None:
        """Close the file."""
        self._drop()

    async def get(self, key: str) -> str | None:
        """The value, unless it has expired."""
        return self._call(lambda db: self._get(db, key))

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """The values of several keys, in their order."""
        return self._write(lambda db: [self._get(db, key) for key in keys], "BEGIN")

    async def set(self, key: str, value: str, ttl: float | None = None) -> None:
        """Keep a value, for ``ttl`` seconds."""
        row = _bytes(key), _bytes(value), self._end(ttl)
        self._call(lambda db: db.execute("REPLACE INTO entries VALUES (?, ?, ?)", row))
        self._sweep()

    async def add(self, key: str, amount: float, ttl: float | None = None) -> float:
        """Add to a number that starts at 0 and expires ``ttl`` after its start; the sum."""
        total = self._write(lambda db: self._add(db, key, amount, self._end(ttl)))
        self._sweep()
        return total

    async def delete(self, key: str) -> None:
        """Forget a value."""
        self._call(lambda db: db.execute("DELETE FROM entries WHERE key = ?", (_bytes(key),)))

    async def take(self, buckets: Sequence[Bucket], *, force: bool = False) -> Taken:
        """Take from all of these buckets, or from none."""
        taken = self._write(lambda db: self._take(db, buckets, force))
        self._sweep()
        return taken

    async def seat(self, key: str, who: str, limit: int, ttl: float) -> bool:
        """Take one of ``limit`` seats for ``ttl`` seconds, or keep the one that one has; whether there is one."""
        found = self._write(lambda db: self._seat(db, _bytes(key), _bytes(who), limit, self._end(ttl)))
        self._sweep()
        return found

    async def leave(self, key: str, who: str) -> None:
        """Give the seat back."""
        self._call(lambda db: db.execute("DELETE FROM seats WHERE key = ? AND who = ?", (_bytes(key), _bytes(who))))

    # ---- steps, each inside a transaction

    def _get(self, db: sqlite3.Connection, key: str) -> str | None:
        row = db.execute("SELECT value FROM entries WHERE key = ? AND expires > ?", (_bytes(key), self.now())).fetchone()
        return None if row is None else _text(row[0])

    def _add(self, db: sqlite3.Connection, key: str, amount: float, end: float) -> float:
        now = self.now()
        row = db.execute("SELECT value, expires FROM entries WHERE key = ? AND expires > ?", (_bytes(key), now)).fetchone()
        value, end = ("0", end) if row is None else (_text(row[0]), row[1])
        total = float(value) + amount
        db.execute("REPLACE INTO entries VALUES (?, ?, ?)", (_bytes(key), _bytes(str(total)), end))
        return total

    def _take(self, db: sqlite3.Connection, buckets: Sequence[Bucket], force: bool) -> Taken:
        now = self.now()
        taken = taking(buckets, [self._level(db, one, now) for one in buckets], force=force)
        # Where nothing was granted it is written all the same: were a clock set back, the bucket would stand still until then
        rows = [
            (_bytes(one.key), left, now, now + filling(one.capacity - left, one.rate))
            for one, left in zip(buckets, taken.left, strict=True)
        ]
        db.executemany("REPLACE INTO levels VALUES (?, ?, ?, ?)", rows)
        return taken

    def _level(self, db: sqlite3.Connection, bucket: Bucket, now: float) -> float:
        row = db.execute("SELECT left, at FROM levels WHERE key = ?", (_bytes(bucket.key),)).fetchone()
        return bucket.capacity if row is None else flowed(bucket, row[0], now - row[1])

    def _seat(self, db: sqlite3.Connection, key: bytes, who: bytes, limit: int, end: float) -> bool:
        now = self.now()
        others = "SELECT count(*) FROM seats WHERE key = ? AND who <> ? AND expires > ?"
        mine = "SELECT 1 FROM seats WHERE key = ? AND who = ? AND expires > ?"
        found = (
            db.execute(mine, (key, who, now)).fetchone() is not None or db.execute(others, (key, who, now)).fetchone()[0] < limit
        )
        if found:
            db.execute("REPLACE INTO seats VALUES (?, ?, ?)", (key, who, end))
        return found

    def _sweep(self) -> None:
        """Take away what has expired, and of what is too much the oldest; now and then, some at a time."""
        self._writes += 1
        if self._writes % SWEEP_EVERY:
            return
        with suppress(Away):  # what was written is written; the next call tells
            self._call(self._swept)

    def _swept(self, db: sqlite3.Connection) -> None:
        for table in _TABLES:
            db.execute(_EXPIRED.replace("entries", table), (self.now(),))
            db.execute(_TOO_MANY.replace("entries", table), (self.limit,))
        if db.execute(_USED).fetchone()[0] > self.room:
            db.execute(_OLDEST)
        if db is self._db and self.path.stat().st_ino != self._inode:  # moved away, and others use a new one
            self._drop()

    def _end(self, ttl: float | None) -> float:
        return _NEVER if ttl is None else self.now() + ttl

    # ---- the file

    def _write(self, step: Callable[[sqlite3.Connection], _R], begin: str = "BEGIN IMMEDIATE") -> _R:
        """Do several things as one; nobody else writes meanwhile."""

        def whole(db: sqlite3.Connection) -> _R:
            db.execute(begin)
            try:
                made = step(db)
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            return made

        return self._call(whole)

    def _call(self, step: Callable[[sqlite3.Connection], _R]) -> _R:
        try:
            if self._db is None:
                self._db, self._inode = opened(self.path), self.path.stat().st_ino
            return step(self._db)
        except (sqlite3.Error, OSError) as error:
            self._drop()  # a file that was replaced or mended is then opened anew
            raise Away(_told(error)) from None

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()


def _told(error: Exception) -> str:
    """Why a file cannot be used, and what to do, without its path."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return (
        f"{error}: move it away, and a new one is made" if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else str(error)
    )


def _bytes(text: str) -> bytes:
    # What a client sent may hold lone surrogates, which are no UTF-8
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
