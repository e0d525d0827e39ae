"""Qwen with the login of Qwen Code: its file and lock, who may be shown it, and what is said now that it has ended."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from attrs import define, field
from hypothesis import example, given
from hypothesis import strategies as st

from llmgw.errors import UpstreamRefused, UpstreamReply
from llmgw.identity import OURS
from llmgw.serve import where
from llmgw_dialects.openai_chat import COMPATIBLE
from llmgw_qwen_oauth import VENDOR, VENDORS, QwenOAuth, endpoint
from llmgw_qwen_oauth.login import TOKEN_URL, QwenLogin
from llmgw_qwen_oauth.refusals import explained
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from tests.backends.fakes.qwen import CLIENT, GONE, LIFE, SPENT, FakeQwen, wrong
from tests.backends.fakes.server import Came
from tests.backends.fronts import FRONTS, asked

MODEL = "qwen-oauth:coder-model"
CHAT, TOKEN = "/chat/completions", "/oauth2/token"
INSTEAD = "DASHSCOPE_API_KEY"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@define(eq=False)
class Machine:
    """Somebody's machine, with Qwen Code's login.

    Args:
        qwen: the servers.
        clock: the time.
        home: of the user.
    """

    qwen: FakeQwen
    clock: FakeClock
    home: Path
    options: dict[str, Any] = field(factory=dict)

    @property
    def file(self) -> Path:
        """Qwen Code's login."""
        return self.home / ".qwen/oauth_creds.json"

    @property
    def lock(self) -> Path:
        """What Qwen Code makes while it refreshes."""
        return self.home / ".qwen/oauth_creds.lock"

    @property
    def tree(self) -> Any:
        """What the login's file holds."""
        return json.loads(self.file.read_text())

    def login(self, life: float = LIFE, tokens: tuple[str, str] | None = None, **more: Any) -> str:
        """Log in with Qwen Code; the access token."""
        access, refresh = tokens or self.qwen.issue(life)
        ends = round((self.clock.clock.time() + life) * 1000)
        tree = {
            "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "resource_url": self.qwen.url,
            "expiry_date": ends, **more,
        }  # fmt: skip
        self.file.parent.mkdir(exist_ok=True)
        made = self.file.with_name("new")
        made.write_text(json.dumps(tree))
        made.replace(self.file)
        return access

    @asynccontextmanager
    async def gateway(self, env: Mapping[str, str] | None = None, **options: Any) -> AsyncIterator[RunningGateway]:
        """A gateway on this machine."""
        told = {"token_url": f"{self.qwen.url}/api/v1/oauth2/token", "allow_insecure_origin": True, **options}
        given_env = {"HOME": str(self.home)} if env is None else env
        async with run_gateway({"backends": {"qwen-oauth": told}}, given_env, self.clock.clock) as running:
            yield running


@pytest_asyncio.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    clock = FakeClock()
    async with FakeQwen(now=clock.clock.time).running() as qwen:
        yield Machine(qwen, clock, tmp_path)


async def chat(running: RunningGateway, **more: Any) -> tuple[int, Any]:
    """A question of a client of Chat Completions."""
    return await running.post({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **more})


def shown(came: list[Came]) -> list[str]:
    """The tokens that were shown."""
    return [one.headers["authorization"].removeprefix("Bearer ") for one in came]


# ---- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_a_question(machine: Machine, front: str, stream: bool) -> None:
    """Each client gets the answer, whole and streamed."""
    machine.login()
    async with machine.gateway() as running:
        assert (200, machine.qwen.says) == await asked(running, front, MODEL, stream=stream)


async def test_a_picture_and_a_tool(machine: Machine) -> None:
    """Of a client of Anthropic's, in Chat's words."""
    machine.login()
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    messages = [{"role": "user", "content": [picture, {"type": "text", "text": "What is this?"}]}]
    async with machine.gateway() as running:
        await asked(running, "anthropic", MODEL, stream=False, messages=messages, tools=[TOOL])
    sent = machine.qwen.came[-1].json
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert (True, "weather") == (part in sent["messages"][-1]["content"], sent["tools"][0]["function"]["name"])


async def test_a_schema_is_asked_for_in_words(machine: Machine) -> None:
    """DashScope holds an answer to being JSON and no more."""
    machine.login()
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}}
    form = {"type": "json_schema", "name": "answer", "schema": schema}
    async with machine.gateway() as running:
        status, _ = await asked(running, "responses", MODEL, stream=False, text={"format": form})
    sent = machine.qwen.came[-1].json
    assert (200, {"type": "json_object"}, True) == (status, sent["response_format"], "integer" in str(sent["messages"]))


async def test_thinking_cannot_be_asked_for(machine: Machine) -> None:
    """It is left out, and the client of another dialect is told."""
    machine.login()
    body = FRONTS["anthropic"].body(MODEL, False) | {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
    async with machine.gateway() as running, running.http.post(running.url + "/v1/messages", json=body) as response:
        told = [value for name, value in response.headers.items() if name.lower().startswith("x-llmgw-loss")]
    assert (200, True) == (response.status, any("reasoning" in one or "thinking" in one for one in told))


async def test_qwen_code_is_not_imitated(machine: Machine) -> None:
    """Whose program this is is said twice, and both times it is the gateway."""
    machine.login()
    async with machine.gateway() as running:
        await chat(running)
    headers = machine.qwen.came[-1].headers
    told = {name: value for name, value in headers.items() if name.startswith("x-dashscope")} | {"ua": headers["user-agent"]}
    expected = {"authtype": "qwen-oauth", "cachecontrol": "enable", "useragent": OURS}
    assert {f"x-dashscope-{name}": value for name, value in expected.items()} | {"ua": OURS} == told


async def test_the_list_of_models(machine: Machine) -> None:
    """The one that the login is for, or what is configured; nobody is asked."""
    machine.login()
    found = []
    for options in ({}, {"models": ["a", "b"]}):
        async with machine.gateway(**options) as running:
            found.append([one.id for one in await running.gateway.backends["qwen-oauth"].models(running.gateway)])
    assert ([["coder-model"], ["a", "b"]], []) == (found, machine.qwen.came)


async def test_an_unknown_model(machine: Machine) -> None:
    """DashScope's own words."""
    machine.login()
    async with machine.gateway() as running:
        status, body = await running.post({"model": "qwen-oauth:qwen-9", "messages": [{"role": "user", "content": "Hi"}]})
    assert (404, "model_not_found") == (status, body["error"]["code"])


# ---- where the login is shown -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("", VENDOR),
        ("portal.qwen.ai", "https://portal.qwen.ai/v1"),
        ("portal.qwen.ai/", "https://portal.qwen.ai/v1"),
        ("https://portal.qwen.ai/v1", "https://portal.qwen.ai/v1"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/v1"),
    ],
)
def test_where_a_login_says_to_ask(resource: str, expected: str) -> None:
    """A host, a URL, or nothing."""
    assert expected == endpoint(resource)


@given(st.text())
@example("/")
@example("https://")
def test_where_to_ask_is_found_once(resource: str) -> None:
    """What was found is found again."""
    assert endpoint(resource) == endpoint(endpoint(resource))


async def test_a_configured_url_counts(machine: Machine) -> None:
    """Whatever the login names."""
    machine.login(resource_url="nowhere.example")
    async with machine.gateway(base_url=f"{machine.qwen.url}/v1") as running:
        assert 200 == (await chat(running))[0]


async def test_a_login_that_names_no_host() -> None:
    """DashScope is asked."""
    backend = QwenOAuth(credentials_file=Path("/nowhere/oauth_creds.json"))
    backend.backends(Env())  # type: ignore[arg-type]
    assert VENDOR == backend.base_url


class Env:
    """A gateway as far as the hook looks at one."""

    def __init__(self, **env: str) -> None:
        self.env, self.clock = env, FakeClock().clock


@pytest.mark.parametrize("options", [{}, {"refresh": True}])
async def test_the_login_is_shown_to_qwen_alone(machine: Machine, options: dict[str, Any]) -> None:
    """A host that the file or the configuration names gets neither a token nor a request, and no token server is asked."""
    machine.login(life=-1)
    async with machine.gateway(allow_insecure_origin=False, **options) as running:
        status, body = await chat(running)
    assert (401, True, []) == (status, "allow_insecure_origin" in body["error"]["message"], machine.qwen.came)


@pytest.mark.parametrize("vendor", VENDORS)
def test_qwens_own_doors(tmp_path: Path, vendor: str) -> None:
    """Each may be shown the login."""
    (tmp_path / "oauth_creds.json").write_text(json.dumps({"access_token": "a", "resource_url": vendor}))
    backend = QwenOAuth(credentials_file=tmp_path / "oauth_creds.json", refresh=True)
    backend.backends(Env())  # type: ignore[arg-type]
    assert [] == list(backend.problems())


@pytest.mark.parametrize("host", ["bucket.aliyuncs.com", "qwen.ai.example", "http://portal.qwen.ai", "portal.qwen.ai:8443"])
def test_other_doors(tmp_path: Path, host: str) -> None:
    """Everybody can have a host under aliyuncs.com, or one that begins like Qwen's."""
    (tmp_path / "oauth_creds.json").write_text(json.dumps({"access_token": "a", "resource_url": host}))
    backend = QwenOAuth(credentials_file=tmp_path / "oauth_creds.json")
    backend.backends(Env())  # type: ignore[arg-type]
    assert 1 == len(list(backend.problems()))


async def test_a_refreshed_login_may_name_another_host(machine: Machine) -> None:
    """Then the request goes there."""
    machine.login(life=-1, resource_url="nowhere.example")
    machine.qwen.resource = machine.qwen.url
    async with machine.gateway(refresh=True) as running:
        status, _ = await chat(running)
    assert (200, machine.qwen.url) == (status, machine.tree["resource_url"])


async def test_a_token_server_that_names_a_stranger(machine: Machine) -> None:
    """The fresh token is not shown there either."""
    machine.login(life=-1, resource_url="portal.qwen.ai")
    machine.qwen.resource = "nowhere.example"
    async with machine.gateway(refresh=True) as running:
        backend = running.gateway.backends["qwen-oauth"]
        assert isinstance(backend, QwenOAuth)
        backend.allow_insecure_origin, backend.token_url = False, TOKEN_URL  # the login itself still asks the fake
        status, body = await chat(running)
    message = body["error"]["message"]
    assert (401, True, 1) == (status, "nowhere.example is another" in message, len(machine.qwen.came))


async def test_only_this_machine_is_served(machine: Machine) -> None:
    """A login is one person's."""
    machine.login()
    async with machine.gateway() as running:
        assert "127.0.0.1" == where(running.gateway).host


# ---- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("env", ["HOME", "QWEN_HOME"])
async def test_where_the_file_is(machine: Machine, env: str) -> None:
    """Below the home directory, or where QWEN_HOME says."""
    machine.login()
    folder = machine.home if env == "HOME" else machine.home / ".qwen"
    async with machine.gateway({env: str(folder)}) as running:
        assert 200 == (await chat(running))[0]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"refresh_token": "r"}', '{"access_token": 1}', '{"access_token": ""}'])
async def test_no_login(machine: Machine, content: str | None) -> None:
    """None, or a corrupt one: the message says that there are no new ones, and what to use instead."""
    machine.file.parent.mkdir()
    if content is not None:
        machine.file.write_text(content)
    async with machine.gateway(base_url=f"{machine.qwen.url}/v1") as running:
        status, body = await chat(running)
    message = body["error"]["message"]
    assert (401, True, False, []) == (status, INSTEAD in message, str(machine.home) in message, machine.qwen.came)


async def test_the_end_is_told_in_milliseconds(machine: Machine) -> None:
    """A token is used until its very end, and not a thousand times as long."""
    machine.login(life=100)
    async with machine.gateway() as running:
        first, _ = await chat(running)
        await machine.clock.advance(200, step=200)
        second, body = await chat(running)
    assert (200, 401, 1, True) == (first, second, len(machine.qwen.asked(CHAT)), INSTEAD in body["error"]["message"])


async def test_nothing_is_written_unless_told_to(machine: Machine) -> None:
    """The file is only read, and no token server asked."""
    machine.login(life=-1)
    before = machine.file.read_bytes()
    async with machine.gateway() as running:
        status, _ = await chat(running)
    assert (401, before, []) == (status, machine.file.read_bytes(), machine.qwen.came)


async def test_qwen_code_logs_in_anew(machine: Machine) -> None:
    """The next request takes the new token, although nothing was restarted."""
    first = machine.login()
    async with machine.gateway() as running:
        await chat(running)
        second = machine.login()
        await chat(running)
    assert [first, second] == shown(machine.qwen.asked(CHAT))


async def test_qwen_code_refreshes_while_a_token_is_refused(machine: Machine) -> None:
    """Who follows the file reads it again after a 401, and asks once more."""
    old = machine.login()
    del machine.qwen.good[old]
    fresh = machine.qwen.issue()
    machine.qwen.meanwhile = lambda came: machine.login(tokens=fresh)
    async with machine.gateway() as running:
        status, _ = await chat(running)
    assert (200, [old, fresh[0]]) == (status, shown(machine.qwen.asked(CHAT)))


# ---- refreshing ---------------------------------------------------------------------------------


async def test_it_is_refreshed_and_written(machine: Machine) -> None:
    """As Qwen Code does it: its keys in their order, others kept, the end in milliseconds, and for nobody else to read."""
    machine.login(life=-1, extra={"kept": True})
    keys = list(machine.tree)
    async with machine.gateway(refresh=True) as running:
        status, _ = await chat(running)
    tree, now = machine.tree, machine.clock.clock.time()
    expected = ("access-secret-2", "refresh-secret-2", {"kept": True}, round((now + LIFE) * 1000), keys)
    found = (tree["access_token"], tree["refresh_token"], tree["extra"], tree["expiry_date"], list(tree))
    assert (200, expected, 0o600, False) == (
        status,
        found,
        stat.S_IMODE(os.stat(machine.file).st_mode),
        machine.lock.exists(),
    )


@pytest.mark.parametrize(("left", "asked_for"), [(31, 0), (29, 1)])
async def test_when_it_is_due(machine: Machine, left: float, asked_for: int) -> None:
    """Half a minute before its end, as for Qwen Code."""
    machine.login(life=left)
    async with machine.gateway(refresh=True) as running:
        await chat(running)
    assert asked_for == len(machine.qwen.asked(TOKEN))


async def test_an_answer_without_a_refresh_token(machine: Machine) -> None:
    """The old one stays."""
    machine.qwen.rotates = False
    machine.login(life=-1)
    async with machine.gateway(refresh=True) as running:
        await chat(running)
    assert ("access-secret-2", "refresh-secret-1") == (machine.tree["access_token"], machine.tree["refresh_token"])


async def test_a_hundred_at_an_expired_token(machine: Machine) -> None:
    """One refreshes, all are answered."""
    machine.login(life=-1)
    async with machine.gateway(refresh=True) as running:
        answers = await asyncio.gather(*(chat(running) for _ in range(100)))
    assert ({200}, 1) == ({status for status, _ in answers}, len(machine.qwen.asked(TOKEN)))


async def test_a_hundred_whose_token_is_refused(machine: Machine) -> None:
    """One refreshes, each is asked once more."""
    access = machine.login()
    del machine.qwen.good[access]
    async with machine.gateway(refresh=True) as running:
        answers = await asyncio.gather(*(chat(running) for _ in range(100)))
    assert ({200}, 1) == ({status for status, _ in answers}, len(machine.qwen.asked(TOKEN)))


async def test_the_lock_is_held_while_the_token_server_is_asked(machine: Machine) -> None:
    """Qwen Code must wait from before the question until after the write."""
    machine.login(life=-1)
    held: list[bool] = []
    machine.qwen.meanwhile = lambda came: held.append(machine.lock.exists())
    async with machine.gateway(refresh=True) as running:
        await chat(running)
    assert ([True, False], False) == (held, machine.lock.exists())


async def test_qwen_code_holds_the_lock_and_refreshes(machine: Machine) -> None:
    """We wait, and take what it has written; nobody is asked twice."""
    machine.login(life=-1)
    machine.lock.touch()
    now = machine.clock.clock.time()
    os.utime(machine.lock, (now, now))
    async with machine.gateway(refresh=True) as running:
        question = asyncio.ensure_future(chat(running))
        for _ in range(50):
            await asyncio.sleep(0.01)
        fresh = machine.login()
        machine.lock.unlink()
        for _ in range(50):
            await machine.clock.advance(1, step=0.5)
            await asyncio.sleep(0.01)
        status, _ = await asyncio.wait_for(question, 5)
    assert (200, [fresh], []) == (status, shown(machine.qwen.asked(CHAT)), machine.qwen.asked(TOKEN))


async def test_a_stale_lock_is_anybodys(machine: Machine) -> None:
    """One that is older than ten seconds was left behind."""
    machine.login(life=-1)
    machine.lock.touch()
    then = machine.clock.clock.time() - 11
    os.utime(machine.lock, (then, then))
    async with machine.gateway(refresh=True) as running, asyncio.timeout(5):
        status, _ = await chat(running)
    assert (200, False) == (status, machine.lock.exists())


async def test_somebody_rewrites_the_file_in_between(machine: Machine) -> None:
    """A login made while the token server answered counts more than its answer."""
    machine.login(life=-1)
    fresh = machine.qwen.issue()
    machine.qwen.meanwhile = lambda came: came.path.endswith(TOKEN) and machine.login(tokens=fresh)
    async with machine.gateway(refresh=True) as running:
        status, _ = await chat(running)
    assert (200, fresh, [fresh[0]]) == (
        status,
        (machine.tree["access_token"], machine.tree["refresh_token"]),
        shown(machine.qwen.asked(CHAT)),
    )


@pytest.mark.parametrize("ended", [False, True])
async def test_a_refresh_token_that_has_ended(machine: Machine, ended: bool) -> None:
    """Whether Qwen says it with a 400 or a 401: it is asked once, the file stays, and the message says what to use instead."""
    machine.login(life=-1, refresh_token="refresh-secret-spent")
    machine.qwen.ended = ended
    before = machine.file.read_bytes()
    async with machine.gateway(refresh=True) as running:
        answers = [await chat(running) for _ in range(3)]
    told = {(status, INSTEAD in body["error"]["message"], "refresh-secret" in str(body)) for status, body in answers}
    assert ({(401, True, False)}, 1, before) == (told, len(machine.qwen.asked(TOKEN)), machine.file.read_bytes())


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_the_token_server_is_down(machine: Machine, status: int) -> None:
    """A token that is still good is used; one that is not has a message that does not call the login ended."""
    machine.login(life=20)
    async with machine.gateway(refresh=True) as running:
        machine.qwen.fails(TOKEN, status, {"error": "temporarily_unavailable"})
        good, _ = await chat(running)
        await machine.clock.advance(25, step=25)
        machine.qwen.fails(TOKEN, status, {"error": "temporarily_unavailable"})
        ended, body = await chat(running)
    assert (200, 401, True) == (good, ended, "Ask again later" in body["error"]["message"])


@given(
    tree=st.dictionaries(st.text(), st.integers()),
    now=st.floats(0, 4e9),
    life=st.one_of(st.none(), st.integers(1, 10**7)),
    refresh=st.one_of(st.none(), st.text(min_size=1)),
)
def test_what_becomes_of_a_file(tree: dict[str, Any], now: float, life: int | None, refresh: str | None) -> None:
    """Whatever else stands there stays, and what is read back is what was granted."""
    vendor = QwenLogin("https://token.example", CLIENT)
    answer = {"access_token": "a", "expires_in": life, "refresh_token": refresh, "status": "success"}
    made = vendor.merged({**tree, "refresh_token": "old"}, answer, now)
    tokens = vendor.tokens(made)
    others = {key: value for key, value in tree.items() if key not in ("access_token", "refresh_token", "expiry_date")}
    assert tokens is not None and tokens.expires_at is not None
    assert (True, "a", refresh or "old", True) == (
        others.items() <= made.items(),
        tokens.access,
        tokens.refresh,
        abs(tokens.expires_at - (now + (life or 3600))) < 0.001,
    )


# ---- the end of it ------------------------------------------------------------------------------


async def test_the_end_is_told_at_the_start(machine: Machine) -> None:
    """With what to use instead."""
    machine.login()
    async with machine.gateway() as running:
        [notice] = running.gateway.backends["qwen-oauth"].notices
    assert (True, True) == ("15 April 2026" in notice, INSTEAD in notice)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("refresh", [False, True])
async def test_qwen_has_ended_the_login(machine: Machine, front: str, stream: bool, refresh: bool) -> None:
    """Each client hears Qwen's refusal with the alternatives, and nothing is tried for ever."""
    machine.login()
    machine.qwen.ended = True
    async with machine.gateway(refresh=refresh) as running:
        status, text = await asked(running, front, MODEL, stream=stream)
    tries = (len(machine.qwen.asked(CHAT)), len(machine.qwen.asked(TOKEN)))
    assert (401, True, True, (1, int(refresh))) == (status, INSTEAD in text, "Coding" in text, tries)


async def test_its_code_is_for_machines(machine: Machine) -> None:
    """A client of Chat Completions finds a word for it."""
    machine.login()
    machine.qwen.ended = True
    async with machine.gateway() as running:
        _, body = await chat(running)
    assert "backend_discontinued" == body["error"]["code"]


def refused(status: int, body: dict[str, Any]) -> Any:
    return explained(COMPATIBLE.read_error(status, {"retry-after": "3"}, json.dumps(body).encode()))


def test_the_free_quota() -> None:
    """It is no rate that waiting restores; the message says what to use instead."""
    error = refused(429, SPENT)
    assert ("billing", None, True) == (error.kind, error.retry_after, INSTEAD in error.message)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, wrong("Requests rate limit exceeded, please try again later.", "limit_requests"), "rate_limited"),
        (503, wrong("Too busy", "service_unavailable"), "overloaded"),
        (400, wrong("Range of input length: maximum context length is 1000000"), "context_length"),
        (400, wrong("Input data may contain inappropriate content.", "content_policy"), "content_policy"),
        (500, wrong("An internal error has occured", "internal_error"), "upstream_error"),
    ],
)
def test_other_refusals(status: int, body: dict[str, Any], kind: str) -> None:
    """They stay what they are, in the provider's own words."""
    error = refused(status, body)
    assert (kind, body["error"]["message"], status) == (error.kind, error.message, error.status)


def test_a_refusal_in_other_words() -> None:
    """The words tell, under whatever status."""
    upstream = UpstreamReply(403, json.dumps(GONE).encode(), dialect="openai.chat")
    error = explained(UpstreamRefused(GONE["error"]["message"], upstream=upstream, kind="permission"))
    assert ("authentication", 403) == (error.kind, error.status)


async def test_nobody_there(machine: Machine) -> None:
    """The message names the back-end."""
    machine.login(resource_url="http://127.0.0.1:9")
    async with machine.gateway() as running:
        status, body = await chat(running)
    assert (503, True) == (status, "'qwen-oauth'" in body["error"]["message"])


async def test_no_token_is_ever_shown(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in messages nor in the log nor in what describes the back-end, however it goes."""
    caplog.set_level(logging.DEBUG, logger="llmgw")
    machine.login(life=-1)
    async with machine.gateway(refresh=True) as running:
        bodies = [await chat(running)]
        machine.qwen.ended = True
        bodies.append(await chat(running))
        backend = running.gateway.backends["qwen-oauth"]
        told = f"{bodies} {backend!r} {list(backend.credentials)} {list(backend.problems())} {caplog.text}"
    assert "secret" not in told


async def test_its_state(machine: Machine) -> None:
    """Where the login is, whether it is only followed, and until when it is good."""
    machine.login(life=100)
    async with machine.gateway() as running:
        [state] = running.gateway.backends["qwen-oauth"].credentials
    assert (True, "", machine.clock.clock.time() + 100) == ("follow" in state.told, state.problem, state.expires_at)


async def test_it_is_off_until_it_is_named() -> None:
    """No variable switches it on."""
    async with run_gateway({}, {"QWEN_HOME": "/nowhere", "DASHSCOPE_API_KEY": "k"}) as running:
        assert "qwen-oauth" not in running.gateway.backends
