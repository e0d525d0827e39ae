"""Where the file lies: how it is made, and how it is opened if it is ours."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from llmgw.state import Away

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PATIENCE: Final = 0.05
"""Seconds for which the whole event loop waits while another process writes."""
_MAKING: Final = 1.0
"""Seconds for which it waits while another worker makes the file, once, when all of them start."""

_OURS: Final = 0x6C6C6D67
_VERSION: Final = 1
"""Of the tables; a file of another version is left alone."""

SCHEMA: Final = f"""
PRAGMA journal_mode = WAL;
PRAGMA application_id = {_OURS};
PRAGMA user_version = {_VERSION};
CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL);
CREATE TABLE levels (key BLOB PRIMARY KEY, left REAL NOT NULL, at REAL NOT NULL, expires REAL NOT NULL);
CREATE TABLE seats (key BLOB, who BLOB, expires REAL NOT NULL, PRIMARY KEY (key, who));
CREATE INDEX entries_expire ON entries (expires);
CREATE INDEX levels_expire ON levels (expires);
CREATE INDEX seats_expire ON seats (expires);
"""


def opened(path: Path) -> sqlite3.Connection:
    """A connection to the file, which is made when it is not there.

    Args:
        path: of the file.

    Raises:
        Away: it is somebody else's.
        sqlite3.Error: it cannot be opened.
        OSError: it cannot be made.
    """
    if not path.exists():
        _make(path)
    # mode=rw: were the file gone by now, SQLite would make one that anybody may read
    db = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=rw", timeout=PATIENCE, isolation_level=None, uri=True)
    try:
        db.execute("PRAGMA synchronous = OFF")
        (mark,), (version,) = db.execute("PRAGMA application_id").fetchone(), db.execute("PRAGMA user_version").fetchone()
        if mark != _OURS:
            raise Away("it holds something else: name another file")
        if version != _VERSION:
            raise Away(f"its tables are of version {version} and not of {_VERSION}: move it away, or name another file")
    except BaseException:  # whatever it is, the file must not stay open
        db.close()
        raise
    return db


def _make(path: Path) -> None:
    """Make the file beside its place and put it there whole, so that nobody ever opens half of one.

    It is not touched where it lies: closing any descriptor of it would drop the locks of this process's connections, and a log
    that was left behind by another file of this name would be played into it (https://www.sqlite.org/howtocorrupt.html, 2.2
    and 1.4).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path.parent):
        if path.exists():  # another worker was quicker
            return
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # which only its owner may read
        os.close(handle)
        try:
            with closing(sqlite3.connect(name, isolation_level=None)) as db:
                db.executescript(SCHEMA)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else of ours makes a file in this folder meanwhile."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + _MAKING
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.002)
        yield
    finally:
        os.close(handle)  # which lets go of the lock
