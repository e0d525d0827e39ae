from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import ConfigError
from llmgw_anthropic_oauth.console import ConsoleLogin, active, home
from llmgw_logins import CredentialFile, Tokens
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from tests.backends.fakes.anthropic import ANSWER, LIFE, FakeAnthropic
from tests.backends.fronts import FRONTS, asked

NAME = "anthropic-console"
MODEL = f"{NAME}:claude-opus-4-6"
QUESTION = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
ANT = """#!/bin/sh
[ "$*" = "auth print-credentials --access-token" ] && [ -z "$ANTHROPIC_API_KEY" ] || exit 9
[ -f "$ANTHROPIC_CONFIG_DIR/next.json" ] || exit 1
cp "$ANTHROPIC_CONFIG_DIR/next.json" "$ANTHROPIC_CONFIG_DIR/credentials/$ANTHROPIC_PROFILE.json"
"""


@frozen
class Machine:
    """Somebody's machine, with a login of the Console."""

    claude: FakeAnthropic
    clock: FakeClock
    home: Path

    @property
    def folder(self) -> Path:
        return self.home / ".config/anthropic"

    @property
    def file(self) -> Path:
        return self.folder / "credentials/default.json"

    @property
    def tree(self) -> Any:
        return json.loads(self.file.read_bytes())

    def login(self, left: float = LIFE, profile: str = "default", to: str = "", **settings: Any) -> str:
        """Log in; the access token."""
        access = self.claude.token()
        held = {"version": "1.0", "type": "oauth_token", "access_token": access, "refresh_token": self.claude.refresh,
                "expires_at": int(self.clock.clock.time() + left), "x": [1]}  # fmt: skip
        how = {"type": "user_oauth", "client_id": self.claude.client}
        for name, tree in (("configs", {"authentication": how, **settings}), ("credentials", held)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / name / f"{profile}.json").write_text(json.dumps(tree))
        if to:
            self.file.rename(self.folder / to)
        return access

    def install_ant(self) -> dict[str, str]:
        """The command; the environment that finds it."""
        command = self.home / "bin/ant"
        command.parent.mkdir()
        command.write_text(ANT)
        command.chmod(0o755)
        return {"PATH": f"{command.parent}:/usr/bin:/bin", "ANTHROPIC_API_KEY": "sk-ant-api03-one"}

    def gateway(self, env: Mapping[str, str] | None = None, **options: Any) -> AbstractAsyncContextManager[RunningGateway]:
        own: dict[str, Any] = {"base_url": self.claude.url, "allow_insecure_origin": True}
        return run_gateway({"backends": {NAME: own | options}}, {"HOME": str(self.home), **(env or {})}, self.clock.clock)

    @property
    def grants(self) -> int:
        return len(self.claude.asked("/oauth/token"))


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with FakeAnthropic(console=True, client="ant").running() as claude:
        yield Machine(claude, FakeClock(), tmp_path)


# ---- requests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_every_front_is_answered(machine: Machine, front: str, stream: bool) -> None:
    """With the login, the beta that lets it in, and the workspace of the profile."""
    access = machine.login(workspace_id="wrkspc_1")
    async with machine.gateway() as running:
        assert (200, ANSWER) == await asked(running, front, MODEL, stream=stream)
    headers = machine.claude.came[0].headers
    assert (f"Bearer {access}", "oauth-2025-04-20") == (headers["authorization"], headers["anthropic-beta"])
    assert ("wrkspc_1", False) == (headers["anthropic-workspace-id"], "x-api-key" in headers)


@pytest.mark.parametrize("settings", [{}, {"workspace_id": "w", "authentication": {"type": "oidc_federation"}}])
async def test_no_workspace_is_named(machine: Machine, settings: dict[str, Any]) -> None:
    """Where the profile has none, or its tokens hold it."""
    machine.login(**settings)
    async with machine.gateway() as running:
        assert 200 == (await running.post(QUESTION, "/v1/messages"))[0]
    assert "anthropic-workspace-id" not in machine.claude.came[0].headers


async def test_counting_and_models(machine: Machine) -> None:
    """Both with the login; the list has pages."""
    machine.login()
    machine.claude.pages = [["claude-a"], ["claude-b"]]
    async with machine.gateway() as running:
        assert (200, {"input_tokens": 42}) == await running.post(QUESTION, "/v1/messages/count_tokens")
        listed = (await running.get("/v1/models"))[1]["data"]
    assert [f"{NAME}:claude-a", f"{NAME}:claude-b"] == [one["id"] for one in listed]


async def test_it_is_for_any_program(machine: Machine) -> None:
    """No terms to accept, and no host that may not be served: the organisation pays as for a key."""
    machine.login()
    async with machine.gateway() as running:
        backend = running.gateway.backends[NAME]
        assert (False, ()) == (backend.loopback_only, tuple(backend.notices))


# ---- which login --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "expected"), [({"HOME": "/h"}, "/h/.config/anthropic"), ({"HOME": "/h", "ANTHROPIC_CONFIG_DIR": "/c"}, "/c")]
)
def test_where_the_profiles_are(env: dict[str, str], expected: str) -> None:
    """As Anthropic's SDK looks for them."""
    assert Path(expected) == home(env)


@pytest.mark.parametrize(
    ("pointer", "env", "expected"),
    [(None, {}, "default"), (" \n", {}, "default"), ("work\n", {}, "work"), ("work", {"ANTHROPIC_PROFILE": "play"}, "play")],
)
def test_which_profile(tmp_path: Path, pointer: str | None, env: dict[str, str], expected: str) -> None:
    """The variable's, else the one that is active, else the default."""
    if pointer is not None:
        (tmp_path / "active_config").write_text(pointer)
    assert expected == active(tmp_path, env)


async def test_a_profile_of_its_own(machine: Machine) -> None:
    """The option counts most; its command says for which profile."""
    machine.login(profile="work")
    async with machine.gateway({"ANTHROPIC_PROFILE": "play"}, login="work") as running:
        assert 200 == (await running.post(QUESTION, "/v1/messages"))[0]
        (machine.folder / "credentials/work.json").unlink()
        status, body = await running.post(QUESTION, "/v1/messages")
    assert 401 == status and body["error"]["message"].endswith("Run: ANTHROPIC_PROFILE=work ant auth login")


@pytest.mark.parametrize("name", ["../default", ".hidden", "a/b", "a\\b", ".."])
async def test_a_profile_is_no_path(machine: Machine, name: str) -> None:
    """Whatever names it, it stays in its folder."""
    with pytest.raises(ConfigError, match="is no name of a profile"):
        async with machine.gateway({"ANTHROPIC_PROFILE": name}):
            pytest.fail("it must not serve")


@pytest.mark.parametrize("content", [None, "{}", '{"access_token": ""}', "{"])
async def test_nobody_is_logged_in(machine: Machine, content: str | None) -> None:
    """The command is named, and nobody is asked."""
    machine.login()
    machine.file.unlink() if content is None else machine.file.write_text(content)
    async with machine.gateway() as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert (401, []) == (status, machine.claude.came) and "Run: ant auth login" in body["error"]["message"]


async def test_a_login_is_shown_to_anthropic_alone(machine: Machine) -> None:
    """Elsewhere it needs to be said; nothing is sent before."""
    machine.login()
    async with machine.gateway(allow_insecure_origin=False) as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert (401, []) == (status, machine.claude.came) and "allow_insecure_origin" in body["error"]["message"]


async def test_tokens_that_are_kept_elsewhere(machine: Machine) -> None:
    """Where the profile's settings say so."""
    other = machine.home / "tokens.json"
    machine.login(authentication={"type": "user_oauth", "credentials_path": str(other)})
    machine.file.rename(other)
    async with machine.gateway() as running:
        assert 200 == (await running.post(QUESTION, "/v1/messages"))[0]


@pytest.mark.parametrize("own", [True, False])
async def test_a_profile_for_another_server(machine: Machine, own: bool) -> None:
    """It is told by who looks for problems, and is none where that server is the configured one."""
    machine.login(base_url=f"{machine.claude.url}/" if own else "https://eu.example.com")
    async with machine.gateway() as running:
        found = [one for one in running.gateway.backends[NAME].problems() if "base_url: https://eu.example.com" in one]
    assert (0 if own else 1) == len(found)


async def test_settings_that_are_corrupt(machine: Machine) -> None:
    """They are not passed over, for they may name whose workspace pays."""
    machine.login()
    (machine.folder / "configs/default.json").write_text("{")
    async with machine.gateway() as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert (401, []) == (status, machine.claude.came) and "corrupt" in body["error"]["message"]


# ---- a fresh token ------------------------------------------------------------------------------


async def test_it_is_not_refreshed_unless_told_to(machine: Machine) -> None:
    """Without the command the file is read only."""
    machine.login(left=0)
    before = machine.file.read_bytes()
    async with machine.gateway() as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert (401, before, 0) == (status, machine.file.read_bytes(), machine.grants)
    assert "Run: ant auth login" in body["error"]["message"]


async def test_a_hundred_requests_at_an_expired_token(machine: Machine) -> None:
    """One refresh, two minutes before the end, written back in seconds with all that is others'."""
    machine.login(left=119)
    async with machine.gateway(refresh=True) as running:
        said = await asyncio.gather(*(running.post(QUESTION, "/v1/messages") for _ in range(100)))
    assert ({200}, 1) == ({status for status, _ in said}, machine.grants)
    until = int(machine.clock.clock.time() + LIFE)
    expected = {"version": "1.0", "type": "oauth_token", "access_token": next(iter(machine.claude.good)),
                "refresh_token": machine.claude.refresh, "expires_at": until, "x": [1]}  # fmt: skip
    assert (expected, 0o600) == (machine.tree, machine.file.stat().st_mode & 0o777)


async def test_a_token_that_is_refused_is_refreshed(machine: Machine) -> None:
    """And the request sent again, once."""
    machine.login()
    machine.claude.good.clear()
    async with machine.gateway(source="co-manage") as running:
        assert (200, ANSWER) == await asked(running, "chat", MODEL, stream=True)
    assert (1, 2) == (machine.grants, len(machine.claude.asked("/v1/messages")))


async def test_a_profile_that_somebody_else_refreshes(machine: Machine) -> None:
    """Without a client of its own it is read and never refreshed here, whatever is configured."""
    machine.login(left=0, authentication={"type": "user_oauth"})
    async with machine.gateway(refresh=True) as running:
        assert 401 == (await running.post(QUESTION, "/v1/messages"))[0]
        machine.login(authentication={"type": "user_oauth"})
        assert 200 == (await running.post(QUESTION, "/v1/messages"))[0]
    assert 0 == machine.grants


async def test_a_login_that_was_revoked(machine: Machine) -> None:
    """The command is named; the dead token is not tried again."""
    machine.login(left=0)
    machine.claude.refresh = "sk-ant-ort01-another"
    async with machine.gateway(refresh=True) as running:
        for _ in range(2):
            status, body = await running.post(QUESTION, "/v1/messages")
            assert 401 == status and "Run: ant auth login" in body["error"]["message"]
    assert 1 == machine.grants


async def test_the_vendors_own_command(machine: Machine) -> None:
    """Where it is installed it is asked to refresh the profile, without the key that it would take instead."""
    machine.login(to="next.json")
    machine.claude.good, good = set(), machine.claude.good
    machine.login(left=0)
    machine.claude.good = good
    async with machine.gateway(machine.install_ant()) as running:
        assert (200, ANSWER) == await asked(running, "anthropic", MODEL, stream=False)
    assert 0 == machine.grants


async def test_the_vendors_own_command_fails(machine: Machine) -> None:
    """Then it is the login that has ended."""
    machine.login(left=0)
    async with machine.gateway(machine.install_ant()) as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert 401 == status and "Run: ant auth login" in body["error"]["message"]


async def test_a_command_that_is_not_there(machine: Machine) -> None:
    """It is told by who looks for problems."""
    machine.login()
    async with machine.gateway({"PATH": ""}, source="delegate") as running:
        assert any("needs the command ant" in one for one in running.gateway.backends[NAME].problems())


@given(st.integers(0, 2**40), st.one_of(st.none(), st.integers(1, 10**8)), st.booleans())
def test_times_are_in_seconds(until: int, left: int | None, rotated: bool) -> None:
    """What is read is what was written; a token that does not say how long it is good for is good for an hour."""
    vendor = ConsoleLogin("", CredentialFile(Path("/nowhere/x.json"), ""), "")
    tree = {"x": 1, "access_token": "a", "refresh_token": "r", "expires_at": until}
    assert Tokens("a", None, until) == vendor.tokens(tree)
    answer = {"access_token": "b", **({"expires_in": left} if left else {}), **({"refresh_token": "s"} if rotated else {})}
    expected = {"x": 1, "access_token": "b", "refresh_token": "s" if rotated else "r", "expires_at": until + (left or 3600)}
    assert expected == vendor.merged(tree, answer, until)
