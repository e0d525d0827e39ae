from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from llmgw import Gateway, Report
from llmgw.config import load
from llmgw.state import Away, Degrading
from llmgw_state_sqlite import usual
from llmgw_state_sqlite.file import SWEEP_EVERY, File
from llmgw_state_sqlite.place import SCHEMA, opened
from llmgw_testing import FakeClock
from tests.plugins.stores import Laws, Place, Time, Timed, bucket, taken_by_processes


class TestFile(Laws):
    """The laws, of a file."""

    @pytest_asyncio.fixture
    async def place(self, tmp_path: Path) -> AsyncIterator[Place]:
        """A new file."""
        clock = Time()
        store = File(tmp_path / "state.sqlite", clock)
        yield Timed(store, clock)
        await store.close()


def test_processes_at_the_same_time(tmp_path: Path) -> None:
    """However many processes take at once, exactly as much is granted as there is, and as many sit as there are seats."""
    made = (
        "from pathlib import Path; from time import time; from llmgw_state_sqlite.file import File; "
        f"store = File(Path({str(tmp_path / 'state.sqlite')!r}), time)"
    )

    assert [100, 20] == taken_by_processes(made)


# ---- the file -----------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def file(tmp_path: Path) -> AsyncIterator[File]:
    """One that holds ten rows of each kind, in a folder that is not there yet."""
    file = File(tmp_path / "a" / "b" / "state.sqlite", Time(), limit=10)
    yield file
    await file.close()


async def test_only_its_owner_may_read_it(file: File) -> None:
    """The file, its log and its folder are nobody else's, whatever the umask."""
    before = os.umask(0)
    try:
        await file.set("a", "1")
    finally:
        os.umask(before)

    modes = {one.name: one.stat().st_mode & 0o777 for one in file.path.parent.iterdir()}
    assert {"state.sqlite": 0o600, "state.sqlite-wal": 0o600, "state.sqlite-shm": 0o600} == modes
    assert 0o700 == file.path.parent.stat().st_mode & 0o777


async def test_outlives_its_users(file: File) -> None:
    """What was kept is found by the next one who opens the file."""
    await file.set("a", "1")
    await file.close()

    assert "1" == await file.get("a")


def test_many_make_it_at_once(tmp_path: Path) -> None:
    """However many workers start with no file there, it is made once, and no half of one is left."""
    path = tmp_path / "a" / "state.sqlite"
    start = threading.Barrier(4)
    made: list[int] = []

    def make() -> None:
        start.wait()
        with closing(opened(path)):
            made.append(path.stat().st_ino)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert (4, 1) == (len(made), len(set(made)))
    assert ["state.sqlite"] == os.listdir(path.parent)


async def test_a_log_that_was_left_behind(file: File) -> None:
    """When a file was deleted without its log, nothing of it comes into the new one."""
    await file.set("old", "1")
    log = file.path.with_name("state.sqlite-wal")
    written = log.read_bytes()
    await file.close()
    file.path.unlink()
    log.write_bytes(written)

    await file.set("new", "2")
    assert [None, "2"] == await file.get_many(["old", "new"])


async def test_is_bounded(file: File) -> None:
    """Whatever clients make up, there are never many more rows than the limit, and the newest are among them."""
    for number in range(2000):
        await file.set(f"s{number}", "x")
        await file.take([bucket(1, f"b{number}")])
        await file.seat(f"t{number}", "w", 1, 60)

    assert all(count <= 10 + SWEEP_EVERY for count in counted(file))
    assert "x" == await file.get("s1999")


async def test_is_bounded_in_size(tmp_path: Path) -> None:
    """However large values are, the file does not grow beyond its room by more than is written between sweeps."""
    file = File(tmp_path / "state.sqlite", Time(), room=1_000_000)
    for number in range(3 * SWEEP_EVERY):
        await file.set(f"s{number}", "x" * 10_000)

    assert file.path.stat().st_size < 1_000_000 + 2 * SWEEP_EVERY * 12_500
    assert "x" * 10_000 == await file.get(f"s{number}")
    await file.close()


async def test_what_has_expired_is_swept(tmp_path: Path) -> None:
    """What nobody asks for again goes too when its time is over; what is alive stays."""
    clock = Time()
    file = File(tmp_path / "state.sqlite", clock)
    await file.set("alive", "x", ttl=100_000)
    for number in range(200):
        await file.set(f"s{number}", "x", ttl=5)
        await file.take([bucket(1, f"b{number}")])
        await file.seat(f"t{number}", "w", 1, 5)
    clock.now += 1000
    for _ in range(SWEEP_EVERY):
        await file.set("alive", "x", ttl=100_000)

    assert [1, 0, 0] == counted(file)
    await file.close()


def counted(file: File) -> list[int]:
    """How many rows each table has."""
    with closing(sqlite3.connect(file.path)) as db:
        return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("entries", "levels", "seats")]


async def test_a_clock_set_back(file: File) -> None:
    """A bucket that was last taken from in the future flows on from now, and not before."""
    clock = Time()
    file.now = clock
    await file.take([bucket(8)])
    clock.now -= 3600
    assert not (await file.take([bucket(8)])).granted

    clock.now += 60
    assert (await file.take([bucket(8)])).granted


async def test_moved_away(file: File) -> None:
    """When somebody has moved the file away, all workers soon use the same new one."""
    await file.set("a", "1")
    file.path.rename(file.path.with_name("old"))
    other = File(file.path, file.now)
    await other.set("b", "2")
    for _ in range(SWEEP_EVERY):
        await file.set("c", "3")

    assert "2" == await file.get("b")
    await other.close()


# ---- when it cannot be used ---------------------------------------------------------------------


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else writes, and does not come to an end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


async def test_somebody_else_writes(file: File) -> None:
    """It is waited for briefly, then the file is away; it can be read all the same, and written when the other is done."""
    await file.set("a", "1")
    with locked(file.path):
        begun = time.perf_counter()
        with pytest.raises(Away, match="locked"):
            await file.take([bucket(1)])
        assert 0.03 < time.perf_counter() - begun < 1.0
        assert "1" == await file.get("a")

    assert (9.0,) == (await file.take([bucket(1)])).left


def garbage(path: Path) -> None:
    """No database."""
    path.write_bytes(b"x" * 5000)


def torn(path: Path) -> None:
    """A database of ours of which a part was overwritten."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * 40_000)


def foreign(path: Path) -> None:
    """Somebody else's database."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE entries (whatever)")


def newer(path: Path) -> None:
    """A database of a later version."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA)
        db.execute("PRAGMA user_version = 2")


def empty(path: Path) -> None:
    """A file in which there is nothing."""
    path.touch()


def folder(path: Path) -> None:
    """No file."""
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (garbage, "not a database: move it away"),
        (torn, "malformed: move it away"),
        (foreign, "it holds something else: name another file"),
        (newer, "its tables are of version 2 and not of 1"),
        (empty, "it holds something else"),
        (folder, "unable to open"),
    ],
)
async def test_cannot_be_used(tmp_path: Path, gateway: Any, caplog: Any, spoil: Callable[[Path], None], why: str) -> None:
    """The gateway serves on with its own memory, says once why, without the path, and leaves the file as it is."""
    path = tmp_path / "state.sqlite"
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    running = await gateway(deployment(path))
    state = running.gateway.state
    await state.set("a", "1")

    assert "1" == await state.get("a")
    (warning,) = [one.message for one in caplog.records if one.name == "llmgw.state"]
    assert why in warning and str(tmp_path) not in warning
    assert before == (path.read_bytes() if path.is_file() else b"")


@pytest.mark.parametrize("spoil", [garbage, torn])
async def test_a_bad_file_is_replaced(tmp_path: Path, gateway: Any, spoil: Callable[[Path], None]) -> None:
    """When the bad file was moved away a new one is made, without a restart."""
    path, clock = tmp_path / "state.sqlite", FakeClock()
    spoil(path)
    running = await gateway(deployment(path), clock=clock.clock)
    path.rename(tmp_path / "bad")
    clock.now += 1.0
    await running.gateway.state.set("a", "1")

    assert path.is_file() and "1" == await running.gateway.state.get("a")
    (report,) = [await report for report in running.gateway.hook.status(gateway=running.gateway)]
    assert Report("state", [{"kept in": "the SQLite file state.sqlite", "away": False, "since": None, "why": None}]) == report


async def test_a_full_disk(tmp_path: Path) -> None:
    """Where nothing more can be written no call fails, and the file is used again when there is room."""
    clock = FakeClock()
    file = File(tmp_path / "state.sqlite", clock.clock.time)
    store = Degrading(file, clock.clock, 1.0)
    async with store.held():
        await store.set("a", "1")
        assert file._db is not None
        file._db.execute("PRAGMA max_page_count = 1")
        await store.set("b", "x" * 100_000)
        (row,) = (await store.report()).rows
        assert (True, "x" * 100_000) == (row["away"], await store.get("b"))
        assert "full" in str(row["why"])

        clock.now += 1.0
        await store.set("c", "3")
        assert ["1", None, "3"] == await store.get_many(["a", "b", "c"])


async def test_no_folder_can_be_made(tmp_path: Path) -> None:
    """Where a file stands in the way of the folder, the message says so."""
    (tmp_path / "a").touch()
    with pytest.raises(Away, match=r"Not a directory|File exists"):
        await File(tmp_path / "a" / "state.sqlite", Time()).set("a", "1")


# ---- the plugin ---------------------------------------------------------------------------------


def deployment(path: Path, **options: Any) -> dict[str, Any]:
    """A gateway that keeps its state in a file."""
    return {"backends": {"echo": {}}, "plugins": [{"state-sqlite": {"path": str(path), **options}}]}


async def test_gateways_share_it(tmp_path: Path, gateway: Any) -> None:
    """What one sets, the other finds."""
    one, other = [await gateway(deployment(tmp_path / "state.sqlite")) for _ in range(2)]
    await one.gateway.state.set("selectors.a", "1")

    assert "1" == await other.gateway.state.get("selectors.a")


def test_nothing_is_opened_before_workers_fork(tmp_path: Path) -> None:
    """Building a gateway, as ``llmgw check`` does too, makes no file."""
    config = tmp_path / "llmgw.yaml"
    config.write_text(yaml.safe_dump(deployment(tmp_path / "state.sqlite")))
    built = Gateway.build(load(config, {}))

    assert isinstance(built.state, Degrading)
    assert not (tmp_path / "state.sqlite").exists()


async def test_the_first_store_is_it(tmp_path: Path, gateway: Any) -> None:
    """A second store in the configuration stays closed and tells nothing."""
    config = deployment(tmp_path / "one")
    config["plugins"].append({"state-redis": {"url": f"unix://{tmp_path}/none"}})
    running = await gateway(config)

    (report,) = [await report for report in running.gateway.hook.status(gateway=running.gateway)]
    assert "the SQLite file one" == report.rows[0]["kept in"]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/llmgw/state.sqlite"),
        ({"HOME": "/h"}, "/h/.local/state/llmgw/state.sqlite"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/llmgw/state.sqlite"),
        ({}, str(Path.home() / ".local/state/llmgw/state.sqlite")),
    ],
)
def test_the_usual_place(env: dict[str, str], expected: str) -> None:
    """Where a user's programs keep their state."""
    assert expected == str(usual(env))
