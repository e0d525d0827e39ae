from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import ConfigError
from llmgw.serve import where
from llmgw_anthropic_oauth.login import ClaudeLogin, home
from llmgw_logins import Tokens
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from tests.backends.fakes.anthropic import ANSWER, LIFE, FakeAnthropic, error
from tests.backends.fronts import FRONTS, asked

MODEL = "anthropic-oauth:claude-opus-4-6"
QUESTION = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
GO_ON = "Run: claude /login"
KEYED = "ANTHROPIC_API_KEY"


@frozen
class Machine:
    """Somebody's machine, with a login of Claude Code."""

    claude: FakeAnthropic
    clock: FakeClock
    home: Path

    @property
    def file(self) -> Path:
        return self.home / ".claude/.credentials.json"

    @property
    def tree(self) -> Any:
        return json.loads(self.file.read_bytes())

    def login(self, left: float = LIFE, **rest: Any) -> str:
        """Log in; the access token."""
        access = self.claude.token()
        until = int((self.clock.clock.time() + left) * 1000)
        held = {"accessToken": access, "refreshToken": self.claude.refresh, "expiresAt": until, "scopes": ["user:inference"],
                "subscriptionType": "max", **rest}  # fmt: skip
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps({"claudeAiOauth": held, "mcpOAuth": {"x": 1}}))
        return access

    def gateway(self, env: Mapping[str, str] | None = None, **options: Any) -> AbstractAsyncContextManager[RunningGateway]:
        url = self.claude.url
        own: dict[str, Any] = {
            "base_url": url,
            "token_url": f"{url}/v1/oauth/token",
            "allow_insecure_origin": True,
            "i_accept_vendor_terms": True,
        }
        config = {"backends": {"anthropic-oauth": own | options}}
        return run_gateway(config, {"HOME": str(self.home), **(env or {})}, self.clock.clock)

    @property
    def grants(self) -> int:
        return len(self.claude.asked("/oauth/token"))


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with FakeAnthropic().running() as claude:
        yield Machine(claude, FakeClock(), tmp_path)


# ---- who may ------------------------------------------------------------------------------------


async def test_off_until_the_terms_are_accepted(machine: Machine) -> None:
    """The start ends with what the vendor forbids, what to say, and what to use instead."""
    with pytest.raises(ConfigError) as raised:
        async with machine.gateway(i_accept_vendor_terms=False):
            pytest.fail("it must not serve")
    told = str(raised.value)
    assert "i_accept_vendor_terms: true" in told and KEYED in told and told.endswith("@ backends.anthropic-oauth")


async def test_this_machine_alone(machine: Machine) -> None:
    """Whatever host is configured, and whatever key it asks for."""
    machine.login()
    async with machine.gateway() as running:
        backend = running.gateway.backends["anthropic-oauth"]
        assert backend.loopback_only and "forbid" in backend.notices[0]
        assert "127.0.0.1" == where(running.gateway, open_to_all=True).host


@pytest.mark.parametrize("option", ["base_url", "token_url"])
async def test_a_login_is_shown_to_anthropic_alone(machine: Machine, option: str) -> None:
    """Elsewhere it needs to be said; nothing is sent before."""
    machine.login(left=0)
    url = {"base_url": "https://api.anthropic.com", "token_url": "https://platform.claude.com/v1/oauth/token"}
    options = url | {option: machine.claude.url, "allow_insecure_origin": False, "refresh": True}
    async with machine.gateway(**options) as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert (401, []) == (status, machine.claude.came) and "allow_insecure_origin" in body["error"]["message"]


async def test_nobody_is_imitated(machine: Machine) -> None:
    """No header and no word of the request says that this is Claude Code."""
    machine.login()
    async with machine.gateway() as running:
        await running.post(QUESTION, "/v1/messages", user_agent="python")
    [came] = machine.claude.came
    said = f"{came.headers} {came.body.decode()}".lower()
    assert came.headers["user-agent"].startswith("llmgw/") and "x-app" not in came.headers
    assert not any(word in said for word in ("claude-cli", "claude-code", "claude code", "billing-header", "user_id"))


# ---- requests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_every_front_is_answered(machine: Machine, front: str, stream: bool) -> None:
    """With the login, and the beta that lets it in; never with a key's header."""
    access = machine.login()
    async with machine.gateway() as running:
        assert (200, ANSWER) == await asked(running, front, MODEL, stream=stream)
    [came] = machine.claude.came
    assert (f"Bearer {access}", "oauth-2025-04-20") == (came.headers["authorization"], came.headers["anthropic-beta"])
    assert "x-api-key" not in came.headers


async def test_the_clients_betas_and_version_stay(machine: Machine) -> None:
    """Ours is added behind them, once."""
    machine.login()
    async with machine.gateway() as running:
        await running.post(QUESTION, "/v1/messages", anthropic_beta="a,oauth-2025-04-20,b", anthropic_version="2026-10-21")
    headers = machine.claude.came[0].headers
    assert ("a,oauth-2025-04-20,b", "2026-10-21") == (headers["anthropic-beta"], headers["anthropic-version"])


async def test_a_clients_credential_goes_no_further(machine: Machine) -> None:
    """It is the gateway's key, or nobody's."""
    access = machine.login()
    async with machine.gateway() as running:
        await running.post(QUESTION, "/v1/messages", authorization="Bearer clients", x_api_key="clients")
    assert f"Bearer {access}" == machine.claude.came[0].headers["authorization"] and "clients" not in str(
        machine.claude.came[0].headers
    )


async def test_counting_and_models(machine: Machine) -> None:
    """Both with the login; models may be named instead."""
    machine.login()
    async with machine.gateway() as running:
        assert (200, {"input_tokens": 42}) == await running.post(QUESTION, "/v1/messages/count_tokens")
        assert [MODEL] == [one["id"] for one in (await running.get("/v1/models"))[1]["data"]]
    async with machine.gateway(models=["claude-x"]) as running:
        assert ["anthropic-oauth:claude-x"] == [one["id"] for one in (await running.get("/v1/models"))[1]["data"]]


# ---- the login ----------------------------------------------------------------------------------


async def test_a_variable(machine: Machine) -> None:
    """The token of ``claude setup-token`` counts before the file."""
    machine.login()
    token = machine.claude.token()
    async with machine.gateway({"CLAUDE_CODE_OAUTH_TOKEN": token}) as running:
        assert (200, ANSWER) == await asked(running, "chat", MODEL, stream=False)
        assert "token from CLAUDE_CODE_OAUTH_TOKEN" == running.gateway.backends["anthropic-oauth"].credential_state


async def test_the_variable_is_asked_for_and_not_set(machine: Machine) -> None:
    """It is said at the start."""
    with pytest.raises(ConfigError, match="CLAUDE_CODE_OAUTH_TOKEN, which is not set"):
        async with machine.gateway(source="env"):
            pytest.fail("it must not serve")


async def test_a_variables_token_is_not_refreshed(machine: Machine) -> None:
    """Once it is refused, the command that makes another is named, and the file is left alone."""
    machine.login()
    async with machine.gateway({"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-old"}) as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert (401, 0, 1) == (status, machine.grants, len(machine.claude.came))
    assert "claude setup-token" in body["error"]["message"]


@pytest.mark.parametrize(
    ("env", "expected"),
    [({"HOME": "/h"}, "/h/.claude"), ({"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c"}, "/c"),
     ({"CLAUDE_CONFIG_DIR": "/c", "CLAUDE_SECURESTORAGE_CONFIG_DIR": "/s"}, "/s")],
)  # fmt: skip
def test_where_the_file_is(env: dict[str, str], expected: str) -> None:
    """As Claude Code looks for it."""
    assert Path(expected) == home(env)


@pytest.mark.parametrize(
    "content", [None, "{}", '{"claudeAiOauth": {"accessToken": "", "refreshToken": "", "expiresAt": 0}}', "{"]
)
async def test_nobody_is_logged_in(machine: Machine, content: str | None) -> None:
    """Empty strings are what a login that has ended leaves behind."""
    machine.file.parent.mkdir()
    if content is not None:
        machine.file.write_text(content)
    async with machine.gateway() as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert (401, "authentication_error", []) == (status, body["error"]["type"], machine.claude.came)
    assert GO_ON in body["error"]["message"]


async def test_it_is_not_refreshed_unless_told_to(machine: Machine) -> None:
    """The file is Claude Code's; a login that has ended names the command."""
    machine.login(left=0)
    before = machine.file.read_bytes()
    async with machine.gateway() as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert (401, before, 0) == (status, machine.file.read_bytes(), machine.grants) and GO_ON in body["error"]["message"]


async def test_a_hundred_requests_at_an_expired_token(machine: Machine) -> None:
    """One refresh, five minutes before the end, written back in milliseconds with all that is others'."""
    machine.login(left=299, rateLimitTier="t")
    async with machine.gateway(refresh=True) as running:
        said = await asyncio.gather(*(running.post(QUESTION, "/v1/messages") for _ in range(100)))
    assert ({200}, 1) == ({status for status, _ in said}, machine.grants)
    held = machine.tree["claudeAiOauth"]
    assert (machine.claude.refresh, int((machine.clock.clock.time() + LIFE) * 1000)) == (held["refreshToken"], held["expiresAt"])
    assert ({"x": 1}, "max", "t") == (machine.tree["mcpOAuth"], held["subscriptionType"], held["rateLimitTier"])
    assert 0o600 == machine.file.stat().st_mode & 0o777
    left = {one.name for one in machine.file.parent.iterdir()}
    assert {".credentials.json", ".credentials.json.llmgw.lock"} == left and not (machine.home / ".claude.lock").exists()


async def test_a_refresh_token_that_stays(machine: Machine) -> None:
    """Where the answer has none, the old one is kept, and good for the next time."""
    machine.claude.rotates = False
    machine.login(left=0)
    async with machine.gateway(refresh=True) as running:
        for grants in (1, 2):
            assert 200 == (await running.post(QUESTION, "/v1/messages"))[0]
            assert (grants, "sk-ant-ort01-0") == (machine.grants, machine.tree["claudeAiOauth"]["refreshToken"])
            machine.clock.now += LIFE


@pytest.mark.parametrize("inside", [True, False])
async def test_a_login_of_another_client(machine: Machine, inside: bool) -> None:
    """A refresh token is bound to whom it was issued to: the file says it, or the variable that Claude Code has for it."""
    machine.claude.client = "another"
    machine.login(left=0, **({"clientId": "another"} if inside else {}))
    async with machine.gateway({} if inside else {"CLAUDE_CODE_OAUTH_CLIENT_ID": "another"}, refresh=True) as running:
        assert 200 == (await running.post(QUESTION, "/v1/messages"))[0]


@pytest.mark.parametrize(("left", "status"), [(200, 200), (0, 401)])
async def test_the_token_server_is_down(machine: Machine, left: float, status: int) -> None:
    """The old token serves while it is good; after that, asking again later may help, and logging in would not."""
    machine.login(left=left)
    machine.claude.fails("/oauth/token", 503, "down")
    async with machine.gateway(refresh=True) as running:
        found, body = await running.post(QUESTION, "/v1/messages")
    assert (status, 1) == (found, machine.grants)
    assert status == 200 or "Ask again later" in body["error"]["message"]


async def test_the_lock_of_claude_code_is_waited_for(machine: Machine) -> None:
    """Who refreshes meanwhile has done it for both: nobody asks for a second token."""
    machine.login(left=0)
    lock = machine.file.with_name(".oauth_refresh.lock")
    lock.mkdir()
    now = machine.clock.clock.time()
    os.utime(lock, (now, now))
    async with machine.gateway(refresh=True) as running:
        asked = asyncio.ensure_future(running.post(QUESTION, "/v1/messages"))
        while not machine.file.with_name(".credentials.json.llmgw.lock").exists():
            await machine.clock.advance(0.001)
        machine.login()
        lock.rmdir()
        while not asked.done():
            await machine.clock.advance(0.1)
    assert (200, 0) == (asked.result()[0], machine.grants)


@given(st.integers(0, 2**45), st.integers(1, 10**8), st.booleans())
def test_times_are_in_milliseconds(until: int, left: int, rotated: bool) -> None:
    """What is read from a file is what was written there; whatever else stands in it stays."""
    vendor = ClaudeLogin("", "")
    tree = {"x": [1], "claudeAiOauth": {"accessToken": "a", "refreshToken": "r", "expiresAt": until, "y": 2}}
    assert Tokens("a", "r", until / 1000, {"client": ""}) == vendor.tokens(tree)
    answer = {"access_token": "b", "expires_in": left} | ({"refresh_token": "s"} if rotated else {})
    merged = vendor.merged(tree, answer, until)
    assert Tokens("b", "s" if rotated else "r", float(until + left), {"client": ""}) == vendor.tokens(merged)
    assert ([1], 2) == (merged["x"], merged["claudeAiOauth"]["y"])


async def test_a_token_that_is_refused_is_refreshed(machine: Machine) -> None:
    """And the request sent again, once."""
    machine.login()
    machine.claude.good.clear()
    async with machine.gateway(refresh=True) as running:
        assert (200, ANSWER) == await asked(running, "anthropic", MODEL, stream=True)
    assert (1, 2) == (machine.grants, len(machine.claude.asked("/v1/messages")))


async def test_claude_code_refreshes_meanwhile(machine: Machine) -> None:
    """After a refusal the file is looked at first; nobody is asked for a token."""
    machine.login()
    async with machine.gateway(refresh=True) as running:
        await running.post(QUESTION, "/v1/messages")
        machine.login()
        status, _ = await running.post(QUESTION, "/v1/messages")
    assert (200, 0) == (status, machine.grants)


@pytest.mark.parametrize("lock", [".claude/.oauth_refresh.lock", ".claude.lock"])
async def test_a_stale_lock_is_anybodys(machine: Machine, lock: str) -> None:
    """A Claude Code that died holding it keeps nobody from refreshing."""
    machine.login(left=0)
    (machine.home / lock).mkdir()  # made in the past of the fake clock: the clock's now is far behind the file's time
    machine.clock.now += 1e9
    async with machine.gateway(refresh=True) as running:
        status, _ = await running.post(QUESTION, "/v1/messages")
    assert (200, 1) == (status, machine.grants)


async def test_a_login_that_was_revoked(machine: Machine) -> None:
    """The command is named; the dead token is not tried again."""
    machine.login(left=0, refreshToken="sk-ant-ort01-revoked")
    async with machine.gateway(refresh=True) as running:
        for _ in range(2):
            status, body = await running.post(QUESTION, "/v1/messages")
            assert 401 == status and GO_ON in body["error"]["message"]
    assert 1 == machine.grants


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    "words",
    [
        "This credential is only authorized for use with Claude Code and cannot be used for other API requests.",
        "Third-party apps now draw from your extra usage, not your plan limits. We've added a credit.",
    ],
)
async def test_anthropic_refuses_other_programs(machine: Machine, front: str, words: str) -> None:
    """Its own words, and what works instead; to clients of every dialect."""
    machine.login()
    machine.claude.fails("/v1/messages", 400, error("invalid_request_error", words))
    async with machine.gateway() as running:
        status, said = await asked(running, front, MODEL, stream=False)
    assert status in (400, 403) and words[:40] in said and KEYED in said
    assert 1 == len(machine.claude.came)


async def test_the_plans_limit(machine: Machine) -> None:
    """When it is whole again is told as the seconds until then."""
    machine.login()
    reset = str(int(machine.clock.clock.time()) + 600)
    told = {"anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-reset": reset}
    machine.claude.fails("/v1/messages", 429, error("rate_limit_error", "You have hit your limit."), told)
    async with machine.gateway() as running, running.http.post(f"{running.url}/v1/messages", json=QUESTION) as answer:
        assert (429, "600") == (answer.status, answer.headers["retry-after"])
        assert KEYED in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("status", "kind", "retry"), [(429, "rate_limit_error", "7"), (529, "overloaded_error", None), (404, "not_found_error", None)]
)
async def test_other_failures_are_anthropics_own(machine: Machine, status: int, kind: str, retry: str | None) -> None:
    """Word for word, to a client of its dialect."""
    machine.login()
    told = error(kind, "No")
    machine.claude.fails("/v1/messages", status, told, {"retry-after": retry} if retry else None)
    async with machine.gateway() as running, running.http.post(f"{running.url}/v1/messages", json=QUESTION) as answer:
        assert (status, told, retry) == (answer.status, await answer.json(), answer.headers.get("retry-after"))


async def test_no_token_is_ever_shown(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in an answer nor in the log."""
    caplog.set_level("DEBUG")
    access = machine.login(left=0, refreshToken="sk-ant-ort01-SECRET")
    async with machine.gateway(refresh=True) as running:
        _, body = await running.post(QUESTION, "/v1/messages")
        shown = f"{body} {caplog.text} {running.gateway.backends} {running.gateway.config}"
    assert access not in shown and "SECRET" not in shown
