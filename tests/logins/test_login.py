from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from llmgw.errors import CredentialUnusable
from llmgw_logins import CommandFailed, Login, Mode, Tokens
from llmgw_logins.login import PAUSE
from tests.logins.acme import LIFE, TokenServer, login, written
from tests.logins.clocks import Hurried
from tests.shared import ROOT


@frozen
class Place:
    """A file with a login, its token server, and time.

    ``login`` makes one more user of the file.
    """

    server: TokenServer
    path: Path
    clock: Hurried
    http: aiohttp.ClientSession

    def login(self, mode: Mode = "co-manage", **rest: Any) -> Login:
        return login(self.path, self.server.url, self.clock.clock, mode, **rest)

    def holds(self, access: str = "a0", refresh: str | None = "r0", left: float = 0.0, **rest: Any) -> None:
        written(self.path, access, refresh, self.clock.time + left, **rest)

    @property
    def tree(self) -> Any:
        return json.loads(self.path.read_bytes())


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with TokenServer().running() as server, aiohttp.ClientSession() as http:
        yield Place(server, tmp_path / "auth.json", Hurried(), http)


async def refused(asking: Awaitable[Any]) -> str:
    """What the message says."""
    with pytest.raises(CredentialUnusable) as raised:
        await asking
    return raised.value.message


# ---- while it is good ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["follow", "co-manage"])
async def test_a_token_that_is_good(place: Place, mode: Mode) -> None:
    """It is taken from the file, and nobody is asked."""
    place.holds(left=61)
    assert "a0" == (await place.login(mode).tokens(place.http)).access and not place.server.came


async def test_a_token_that_never_ends(place: Place) -> None:
    """Where nobody says when it ends, the provider will."""
    place.path.write_text('{"token": {"access": "a0"}}')
    assert "a0" == (await place.login().tokens(place.http)).access


async def test_somebody_else_logs_in(place: Place) -> None:
    """The file is looked at each time."""
    one = place.login("follow")
    place.holds(left=LIFE)
    await one.tokens(place.http)
    place.holds("b0", left=LIFE)
    assert "b0" == (await one.tokens(place.http)).access


async def test_a_variable(place: Place) -> None:
    """A token that a variable holds is used as it is, and no file is read."""
    one = place.login("env", given=Tokens("v"), where="ACME_TOKEN")
    assert "v" == (await one.tokens(place.http)).access and await one.renewed(place.http, "v") is None
    assert ("ACME_TOKEN", "token from ACME_TOKEN", "") == (one.state.name, one.state.told, one.state.problem)


# ---- when it is due -----------------------------------------------------------------------------


async def test_it_is_refreshed_and_written_back(place: Place) -> None:
    """With all else that the file holds, and only for its owner to read."""
    place.holds(left=60, other={"deep": [1]})
    made = await place.login().tokens(place.http)
    assert ("a1", "r1", place.clock.time + LIFE) == (made.access, made.refresh, made.expires_at)
    assert {
        "first": 1,
        "other": {"deep": [1]},
        "token": {"access": "a1", "refresh": "r1", "until": (place.clock.time + LIFE) * 1000},
    } == (place.tree)
    assert 0o600 == place.path.stat().st_mode & 0o777


async def test_a_hundred_who_ask_at_once(place: Place) -> None:
    """One grant, and all have its token."""
    place.holds()
    one = place.login()
    made = await asyncio.gather(*(one.tokens(place.http) for _ in range(100)))
    assert ({"a1"}, 1) == ({each.access for each in made}, len(place.server.came))


async def test_a_hundred_whose_token_was_refused(place: Place) -> None:
    """One grant as well."""
    place.holds(left=LIFE)
    one = place.login()
    made = await asyncio.gather(*(one.renewed(place.http, "a0") for _ in range(100)))
    assert ({"a1"}, 1) == ({each.access for each in made if each}, len(place.server.came))


async def test_several_workers(place: Place) -> None:
    """Each with its own eyes on the file: still one grant, though the token server turns refresh tokens over."""
    place.holds()
    made = await asyncio.gather(*(place.login().tokens(place.http) for _ in range(8)))
    assert ({"a1"}, 1) == ({each.access for each in made}, len(place.server.came))


async def test_an_answer_without_a_refresh_token(place: Place) -> None:
    """The old one stays, and is used again."""
    place.server.turns_over = False
    place.holds()
    one = place.login()
    await one.tokens(place.http)
    assert "r0" == place.tree["token"]["refresh"]
    place.clock.now += LIFE
    assert "a2" == (await one.tokens(place.http)).access


async def test_somebody_else_was_faster(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """While we wait for our turn the file changes: its token is taken, and nobody is asked."""
    place.holds()
    one = place.login()
    async with one._turn:
        asking = asyncio.ensure_future(one.tokens(place.http))
        await asyncio.sleep(0)
        place.holds("b0", left=LIFE)
    assert "b0" == (await asking).access and not place.server.came


async def test_somebody_logs_in_while_the_server_refuses(place: Place) -> None:
    """The new login counts, and the old one's end is nobody's trouble."""
    place.holds(refresh="spent")
    one = place.login()

    async def grant(*_: Any) -> Any:
        place.holds("b0", "r9", left=LIFE)
        return await kind.grant(one.vendor, place.http, Tokens("a0", "spent"))

    kind = type(one.vendor)
    one.vendor.grant = grant  # type: ignore[method-assign]
    assert "b0" == (await one.tokens(place.http)).access


# ---- when it cannot be refreshed ----------------------------------------------------------------


async def test_it_was_revoked(place: Place) -> None:
    """The message says which command to run; the dead token is not tried again until the file changes."""
    place.holds(refresh="spent")
    one = place.login()
    assert "Run: acme login" in await refused(one.tokens(place.http))
    assert "Run: acme login" in await refused(one.tokens(place.http))
    assert 1 == len(place.server.came)
    place.holds("a0", "r0")
    assert "a1" == (await one.tokens(place.http)).access


async def test_the_token_server_is_down_for_a_while(place: Place) -> None:
    """The old token is used while it is good; then the client is told to come back."""
    place.holds(left=30)
    one = place.login()
    place.server.fails("/", 503, {"error": "temporarily_unavailable"})
    assert "a0" == (await one.tokens(place.http)).access
    place.clock.now += 30
    place.server.fails("/", 503, {"error": "temporarily_unavailable"})
    assert "Ask again later" in await refused(one.tokens(place.http))
    place.clock.now += PAUSE
    assert "a1" == (await one.tokens(place.http)).access


async def test_a_vendors_client_that_holds_its_lock(place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is not waited for without end: the old token is used while it is good."""
    (tmp_path / "vendor.lock").touch()
    place.holds(left=30)
    assert "a0" == (await place.login(locked=tmp_path / "vendor.lock").tokens(place.http)).access
    assert "held by somebody else" in caplog.text and not place.server.came


@pytest.mark.parametrize("content", [None, "{}", '{"token": {"access": ""}}', "nonsense"])
async def test_nobody_is_logged_in(place: Place, content: str | None) -> None:
    """Whatever the reason, the command to run is named, also by what is told of its state."""
    if content is not None:
        place.path.write_text(content)
    assert (await refused(place.login().tokens(place.http))).endswith("Run: acme login")
    assert place.login().state.problem.endswith("Run: acme login")


async def test_without_a_refresh_token(place: Place) -> None:
    """It ends when it ends; the message says when that was."""
    place.holds(refresh=None)
    assert "has ended on 2023-11-14" in await refused(place.login().tokens(place.http))


# ---- following and delegating -------------------------------------------------------------------


async def test_who_follows_never_writes(place: Place) -> None:
    """An old token is told to be one, with the command; nothing is asked, and the file stays as it is."""
    place.holds()
    before = place.path.read_bytes()
    one = place.login("follow")
    assert "Run: acme login" in await refused(one.tokens(place.http))
    assert "Run: acme login" in one.state.problem
    assert (before, []) == (place.path.read_bytes(), place.server.came)


async def test_who_follows_takes_another_token_after_a_refusal(place: Place) -> None:
    """Only where the file has another."""
    place.holds(left=LIFE)
    one = place.login("follow")
    assert await one.renewed(place.http, "a0") is None
    place.holds("b0", left=LIFE)
    made = await one.renewed(place.http, "a0")
    assert made is not None and "b0" == made.access


def delegating(place: Place, fresh: Callable[[], None]) -> Login:
    async def delegate() -> None:
        fresh()

    return place.login("delegate", delegate=delegate)


async def test_the_vendors_own_command_refreshes(place: Place) -> None:
    """Its file is read again; we ask no token server and write nothing."""
    place.holds()
    one = delegating(place, lambda: place.holds("b0", left=LIFE))
    assert "b0" == (await one.tokens(place.http)).access and not place.server.came


@pytest.mark.parametrize("left", [30, 0])
async def test_the_vendors_own_command_fails(place: Place, left: float, caplog: pytest.LogCaptureFixture) -> None:
    """The token is used while it is good; then the command to run by hand is named."""

    def fail() -> None:
        raise CommandFailed("'acme' gave no answer within 30 s")

    place.holds(left=left)
    one = delegating(place, fail)
    if left:
        assert "a0" == (await one.tokens(place.http)).access
    else:
        assert "Run: acme login" in await refused(one.tokens(place.http))
    assert "gave no answer within 30 s" in caplog.text


async def test_a_command_that_changes_nothing(place: Place) -> None:
    """After a refusal there is then no other token."""
    place.holds(left=LIFE)
    assert await delegating(place, lambda: None).renewed(place.http, "a0") is None


# ---- several processes --------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """In which a process finds llmgw and these tests."""
    roots = [str(ROOT), *(str(ROOT / part) for part in ("kernel", "frontends", "backends", "plugins"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}


WORKER = """
import asyncio, sys, aiohttp
from pathlib import Path
from llmgw.stages import Clock
from tests.logins.acme import login

async def main():
    async with aiohttp.ClientSession() as http:
        made = await login(Path(sys.argv[1]), sys.argv[2], Clock()).tokens(http)
        print(made.access)

asyncio.run(main())
"""


async def test_two_processes_and_one_file(tmp_path: Path) -> None:
    """One refreshes, and the other has its token."""
    path = tmp_path / "auth.json"
    written(path, "a0", "r0", 0.0)
    async with TokenServer().running() as server:
        words = [sys.executable, "-c", WORKER, str(path), server.url]
        pair = [
            await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, env=environment(), cwd=ROOT) for _ in range(2)
        ]
        said = [(await one.communicate())[0].decode().strip() for one in pair]
    assert (["a1", "a1"], 1) == (said, len(server.came))


KILLED = """
import asyncio, os, signal, sys, aiohttp
from pathlib import Path
from llmgw.stages import Clock
from tests.logins.acme import Acme, login

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

Acme.merged = killed

async def main():
    async with aiohttp.ClientSession() as http:
        await login(Path(sys.argv[1]), sys.argv[2], Clock()).tokens(http)

asyncio.run(main())
"""


@pytest.mark.parametrize("turns_over", [True, False])
async def test_killed_before_it_could_write(place: Place, turns_over: bool) -> None:
    """The file is whole and no lock is left behind. The one grant is lost, and with it, where refresh tokens are good for one
    use, the login: then it is said what to run."""
    place.server.turns_over = turns_over
    written(place.path, "a0", "r0", 0.0)
    before = place.path.read_bytes()
    words = [sys.executable, "-c", KILLED, str(place.path), place.server.url]
    process = await asyncio.create_subprocess_exec(*words, env=environment(), cwd=ROOT)
    assert (-9, before, 1) == (await process.wait(), place.path.read_bytes(), len(place.server.came))
    if turns_over:
        assert "revoked or has ended (the token server answered 400: invalid_grant). Run: acme login" in await refused(
            place.login().tokens(place.http)
        )
    else:
        assert "a2" == (await place.login().tokens(place.http)).access


async def test_one_file_by_two_paths(place: Place, tmp_path: Path) -> None:
    """Who comes by a link waits for who comes by the file: one grant."""
    place.holds()
    (tmp_path / "there").mkdir()
    link = tmp_path / "there" / "link.json"
    link.symlink_to(place.path)
    both = [place.login(), login(link, place.server.url, place.clock.clock)]
    made = await asyncio.gather(*(one.tokens(place.http) for one in both))
    assert (["a1", "a1"], 1) == ([one.access for one in made], len(place.server.came))


# ---- in the middle of a grant -------------------------------------------------------------------


def meanwhile(one: Login, does: Callable[[], None]) -> None:
    """Let something happen between the token server's answer and the write."""
    grant = one.vendor.grant

    async def granting(http: aiohttp.ClientSession, tokens: Tokens) -> Any:
        answer = await grant(http, tokens)
        does()
        return answer

    one.vendor.grant = granting  # type: ignore[method-assign]


async def test_whoever_asked_leaves(place: Place) -> None:
    """The old refresh token may be spent: what was begun is ended and written, and only then does another get a turn."""
    place.holds()
    one, asked, go = place.login(), asyncio.Event(), asyncio.Event()
    grant = one.vendor.grant

    async def granting(http: aiohttp.ClientSession, tokens: Tokens) -> Any:
        asked.set()
        await go.wait()
        return await grant(http, tokens)

    one.vendor.grant = granting  # type: ignore[method-assign]
    asking = asyncio.ensure_future(one.tokens(place.http))
    await asked.wait()
    asking.cancel()
    await asyncio.wait({asking}, timeout=0.05)
    assert not asking.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert ("a1", "r1") == (place.tree["token"]["access"], place.tree["token"]["refresh"])
    assert "a1" == (await one.tokens(place.http)).access and 1 == len(place.server.came)


async def test_somebody_logs_in_during_a_grant(place: Place) -> None:
    """The new login counts; the answer for the old one is not written over it."""
    place.holds()
    one = place.login()
    meanwhile(one, lambda: place.holds("b0", "other", left=LIFE))
    assert "b0" == (await one.tokens(place.http)).access
    assert ("b0", "other") == (place.tree["token"]["access"], place.tree["token"]["refresh"])


async def test_somebody_changes_something_else_during_a_grant(place: Place) -> None:
    """It stays."""
    place.holds()
    one = place.login()
    meanwhile(one, lambda: place.holds(theirs=True))
    assert "a1" == (await one.tokens(place.http)).access
    assert ("a1", True) == (place.tree["token"]["access"], place.tree["theirs"])


async def test_somebody_logs_out_during_a_grant(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The login does not come back."""
    place.holds()
    one = place.login()
    meanwhile(one, place.path.unlink)
    assert "there is none. Run: acme login" in await refused(one.tokens(place.http))
    assert not place.path.exists() and "kept in memory" not in caplog.text


async def test_a_lock_that_is_held_for_long_while_we_want_to_write(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The old refresh token is spent, so the fresh one is written without the lock."""
    (tmp_path / "vendor.lock").touch()
    place.holds()
    one = place.login(locked=tmp_path / "vendor.lock")
    one.vendor.locks_grant = False  # type: ignore[misc]
    assert "a1" == (await one.tokens(place.http)).access
    assert ("r1", True) == (place.tree["token"]["refresh"], "written without the lock" in caplog.text)


async def test_it_cannot_be_written(place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is kept in memory, refreshed from there, and written once there is room again."""
    place.holds(theirs=True)
    one = place.login()
    before = place.path.read_bytes()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", no_space)
        assert "a1" == (await one.tokens(place.http)).access == (await one.tokens(place.http)).access
        place.clock.now += LIFE
        assert ("a2", "r2") == ((made := await one.tokens(place.http)).access, made.refresh)
        assert before == place.path.read_bytes()
    place.clock.now += PAUSE
    assert "a2" == (await one.tokens(place.http)).access
    assert ("a2", "r2", True) == (place.tree["token"]["access"], place.tree["token"]["refresh"], place.tree["theirs"])
    assert "No space left on device" in caplog.text and 2 == len(place.server.came)


async def test_somebody_logs_in_while_it_cannot_be_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory is forgotten."""
    place.holds()
    one = place.login()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", no_space)
        await one.tokens(place.http)
    place.holds("b0", "other", left=LIFE)
    place.clock.now += PAUSE
    assert "b0" == (await one.tokens(place.http)).access == place.tree["token"]["access"]


def no_space(handle: int) -> None:
    raise OSError(28, "No space left on device")


# ---- no hammering -------------------------------------------------------------------------------


async def test_a_hundred_while_the_token_server_is_down(place: Place) -> None:
    """One question; all others are told at once what it answered, and when to come back."""
    place.holds()
    place.server.fails("/", 503, {})
    one = place.login()
    made = await asyncio.gather(*(one.tokens(place.http) for _ in range(100)), return_exceptions=True)
    assert ({"CredentialUnusable"}, 1) == ({type(each).__name__ for each in made}, len(place.server.came))
    assert {PAUSE} == {each.retry_after for each in made if isinstance(each, CredentialUnusable)}


async def test_a_hundred_whose_command_fails(place: Place) -> None:
    """It is run once; after a while, once more."""
    count = 0

    async def delegate() -> None:
        nonlocal count
        count += 1
        raise CommandFailed("'acme' ended with the code 1")

    place.holds(left=30)
    one = place.login("delegate", delegate=delegate)
    await asyncio.gather(*(one.tokens(place.http) for _ in range(100)))
    assert 1 == count
    place.clock.now += PAUSE
    await one.tokens(place.http)
    assert 2 == count


async def test_a_new_login_ends_the_pause(place: Place) -> None:
    """Whose own refresh token is then tried."""
    place.holds()
    place.server.fails("/", 503, {})
    one = place.login()
    await refused(one.tokens(place.http))
    place.holds("b0", "r7")
    assert "a1" == (await one.tokens(place.http)).access


async def test_a_provider_that_refuses_what_is_fresh(place: Place) -> None:
    """It gets no other within a minute: its refusal has another reason."""
    place.holds(left=LIFE)
    one = place.login()
    made = await one.renewed(place.http, "a0")
    assert made is not None and await one.renewed(place.http, made.access) is None
    place.clock.now += 60
    assert await one.renewed(place.http, made.access) is not None and 2 == len(place.server.came)


async def test_revoked_while_the_token_is_still_good(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """It is used to its end, the log tells, and the dead refresh token is not tried again."""
    place.holds(refresh="spent", left=30)
    one = place.login()
    assert ["a0", "a0"] == [(await one.tokens(place.http)).access for _ in range(2)]
    assert 1 == len(place.server.came) and "Run: acme login" in caplog.text
    place.clock.now += 30
    assert "has ended on 2023-11-14" in await refused(one.tokens(place.http))
    assert "Run: acme login" in one.state.problem and 1 == len(place.server.came)


async def test_no_lock_can_be_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the file could not be written either, and the token server is not asked."""
    place.holds()

    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("llmgw_logins.login.flocked", denied)
    assert "no lock can be made beside its file (Permission denied)" in await refused(place.login().tokens(place.http))
    assert not place.server.came


# ---- times --------------------------------------------------------------------------------------


@given(left=st.floats(-1e6, 1e6), skew=st.floats(0, 1e4))
def test_a_token_is_due_at_its_skew_and_not_before(left: float, skew: float) -> None:
    """That very second is late enough."""
    clock = Hurried()
    one = login(Path("nowhere"), "", clock.clock)
    at = clock.time + left
    assert (at - clock.time <= skew) == one._due(Tokens("a", expires_at=at), skew)


async def test_a_variable_whose_token_has_ended(place: Place) -> None:
    """It is said which, since when, and what to do; the provider is not asked."""
    one = place.login("env", given=Tokens("v", expires_at=place.clock.time), where="ACME_TOKEN")
    told = "The token in ACME_TOKEN has ended on 2023-11-14 22:30 UTC. Put a fresh one there, or unset it. Run: acme login"
    assert (told, told) == (await refused(one.tokens(place.http)), one.state.problem)


@pytest.mark.parametrize("until", [-1e25, -1.0])
async def test_a_time_before_all_times(place: Place, until: float) -> None:
    """A file may hold any number; that of a logout is 0 or less."""
    place.path.write_text(json.dumps({"token": {"access": "a0", "until": until}}))
    assert "has ended" in await refused(place.login("follow").tokens(place.http))


async def test_a_time_behind_all_times(place: Place) -> None:
    """It is not ended, and what is told of it can be told."""
    place.path.write_text('{"token": {"access": "a0", "until": 1e25}}')
    one = place.login("follow")
    assert ("a0", 1e22) == ((await one.tokens(place.http)).access, one.state.expires_at)


# ---- secrets ------------------------------------------------------------------------------------


async def test_no_token_is_ever_shown(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a message, nor in the log, nor where an object is printed."""
    caplog.set_level(logging.DEBUG)
    place.holds("SECRET-access", "SECRET-refresh")
    one = place.login()
    said = await refused(one.tokens(place.http))  # the server knows no such refresh token
    place.holds("SECRET-access", "SECRET-refresh", left=LIFE)
    told = await one.tokens(place.http)
    assert "SECRET" not in f"{said} {caplog.text} {one!r} {told!r} {one.state!r} {one.file!r}"


PLACES = (
    ("access", '{"token": {"access": "%s", "refresh": "r", "until": 0}}', 503, "{}"),
    ("refresh", '{"token": {"access": "a", "refresh": "%s", "until": 0}}', 400, '{"error": "invalid_grant"}'),
    ("corrupt", '{"token": {"access": "%s"', 200, "{}"),
    ("bare", '"%s"', 200, "{}"),
    ("elsewhere", '{"other": "%s"}', 200, "{}"),
    ("error", '{"token": {"access": "a", "refresh": "%s", "until": 0}}', 400, '{"error": "%s"}'),
    ("nested", '{"token": {"access": "a", "refresh": "%s", "until": 0}}', 400, '{"error": {"code": "x %s", "message": "%s"}}'),
    ("code", '{"token": {"access": "a", "refresh": "%s", "until": 0}}', 401, '{"code": "%s", "error_description": "%s"}'),
    ("answer", '{"token": {"access": "a", "refresh": "r", "until": 0}}', 400, '{"access_token": "%s", "error": "%s"}'),
    ("page", '{"token": {"access": "a", "refresh": "%s", "until": 0}}', 500, "<html>%s</html>"),
)


@given(where=st.sampled_from(PLACES), token=st.text("abcXYZ0189._-~+/=", min_size=8, max_size=60), again=st.booleans())
@settings(max_examples=60)
def test_wherever_a_token_stands_it_is_not_shown(where: tuple[str, str, int, str], token: str, again: bool) -> None:
    """Neither by a message nor in the log nor where an object is printed; whatever the file and the token server hold."""
    _, held, status, said = where
    log = Listening()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "auth.json"
        path.write_text(held.replace("%s", token))
        told = asyncio.run(asked_all(path, status, said.replace("%s", token), again))
    assert token not in f"{told} {log.close()}"


async def asked_all(path: Path, status: int, said: str, again: bool) -> str:
    """Whatever a login can say."""
    told: list[str] = []
    async with TokenServer().running() as server, aiohttp.ClientSession() as http:
        server.fails("/", status, said)
        one = login(path, server.url, Hurried().clock)
        for asking in (one.tokens(http), one.renewed(http, "a")) if again else (one.tokens(http),):
            try:
                told.append(repr(await asking))
            except CredentialUnusable as error:
                told += [error.message, repr(error), *traceback.format_exception(error, chain=True)]
        return " ".join([*told, repr(one), repr(one.state), repr(one.file)])


class Listening(logging.Handler):
    """What the log says, in all its words."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""
        logging.getLogger("llmgw").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()} {record.exc_info}"

    def close(self) -> str:  # type: ignore[override]
        """All that was said."""
        logging.getLogger("llmgw").removeHandler(self)
        return self.text
