from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import frozen

from llmgw.errors import CredentialUnusable
from llmgw_logins import CommandFailed, Login, Mode, Tokens
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
    roots = [str(ROOT), *(str(ROOT / part) for part in ("kernel", "frontends", "backends", "plugins"))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
    async with TokenServer().running() as server:
        words = [sys.executable, "-c", WORKER, str(path), server.url]
        pair = [await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, env=env, cwd=ROOT) for _ in range(2)]
        said = [(await one.communicate())[0].decode().strip() for one in pair]
    assert (["a1", "a1"], 1) == (said, len(server.came))


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
