"""A ChatGPT plan by Codex's login: its file, who refreshes it, what the server takes, and what is said where it refuses."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import stat
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from llmgw import jsons
from llmgw.errors import UpstreamError
from llmgw.model import Loss
from llmgw.serve import where
from llmgw.splice import merged, splice
from llmgw.stages import Clock
from llmgw_dialects.losses import Losses
from llmgw_logins import CommandFailed
from llmgw_openai_oauth import GIVEN, VENDOR, OpenAIOAuth, placed, session
from llmgw_openai_oauth.app_server import refreshed
from llmgw_openai_oauth.dialect import NATIVE, PLAIN, CodexReader
from llmgw_openai_oauth.fitting import ALLOWED, fitted
from llmgw_openai_oauth.login import CLIENT_ID, TOKEN_URL, CodexLogin
from llmgw_openai_oauth.refusals import explained
from llmgw_testing import FakeClock, RunningGateway, every_cut, run_gateway
from tests.backends.fakes.codex import ACCOUNT, CLIENT, LIFE, PAGE, SEALED, FakeCodex, jwt, model, wrong
from tests.backends.fakes.server import Came, event
from tests.backends.fronts import FRONTS, QUESTION, asked

MODEL = "openai-oauth:gpt-5.5"
ASK, TOKEN, CHECK = "/codex/responses", "/oauth/token", "/accounts/check"
RUN, INSTEAD = "codex login", "OPENAI_API_KEY"
STANDIN = Path(__file__).parent / "fakes/codex_app_server.py"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "?"}]
UNKNOWN = {"detail": "The 'x' model is not supported when using Codex with a ChatGPT account."}
HIM = {"x-codex-window-id": "w:0", "session-id": "01a2086c-79b1-7ca2-9c8d-d359903322e9", "originator": "codex_exec"}
"""Codex's own headers, shortened."""


def codex(**more: Any) -> dict[str, Any]:
    """A request as Codex 0.169.0 sends it, shortened."""

    def said(ident: str, role: str, text: str) -> dict[str, Any]:
        return {"type": "message", "id": ident, "role": role, "content": [{"type": "input_text", "text": text}]}

    return {
        "model": MODEL, "stream": True, "input": [said("msg_1", "developer", "Be Codex."), said("msg_2", "user", QUESTION)],
        "tools": [{"type": "function", "name": "exec_command", "strict": False, "parameters": SCHEMA}], "tool_choice": "auto",
        "parallel_tool_calls": True, "reasoning": {"effort": "medium"}, "store": False,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": HIM["session-id"], "text": {"verbosity": "low"},
        "client_metadata": {"thread_id": HIM["session-id"]}, **more,
    }  # fmt: skip


@define(eq=False)
class Machine:
    """Somebody's machine, with Codex's login.

    Args:
        chatgpt: the servers.
        clock: the time.
        home: of the user.
    """

    chatgpt: FakeCodex
    clock: FakeClock
    home: Path
    env: dict[str, str] = field(factory=dict)

    @property
    def file(self) -> Path:
        """Codex's login."""
        return self.home / ".codex/auth.json"

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self.clock.clock.time()

    @property
    def tree(self) -> Any:
        """What the login's file holds."""
        return json.loads(self.file.read_text())

    def login(self, life: float = LIFE, tokens: tuple[str, str] | None = None, **more: Any) -> str:
        """Log in with Codex; the access token."""
        access, refresh = tokens or self.chatgpt.issue(life)
        held = {"id_token": jwt(self.now), "access_token": access, "refresh_token": refresh, "account_id": ACCOUNT}
        at = datetime.fromtimestamp(self.now, UTC).isoformat()
        self.write({"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": held, "last_refresh": at, **more})
        return access

    def write(self, tree: Any) -> None:
        """Write the file as Codex does."""
        self.file.parent.mkdir(exist_ok=True)
        made = self.file.with_name("new")
        made.write_text(tree if isinstance(tree, str) else json.dumps(tree))
        made.replace(self.file)

    def install(self, how: str = "") -> None:
        """Install Codex."""
        folder = self.home / "bin"
        folder.mkdir()
        (folder / "codex").write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{STANDIN}" "$@"\n')
        (folder / "codex").chmod(0o755)
        self.env |= {"PATH": f"{folder}:/usr/bin:/bin", "STANDIN": how, "TOKEN_URL": f"{self.chatgpt.url}/oauth/token"}

    @asynccontextmanager
    async def gateway(self, env: Mapping[str, str] | None = None, **options: Any) -> AsyncIterator[RunningGateway]:
        """A gateway on this machine."""
        here = {
            "token_url": f"{self.chatgpt.url}/oauth/token", "base_url": f"{self.chatgpt.url}/backend-api/codex",
            "allow_insecure_origin": True, **options,
        }  # fmt: skip
        given_env = {"HOME": str(self.home), **self.env} if env is None else dict(env)
        config = {"proxy": {"host": "0.0.0.0"}, "backends": {"openai-oauth": here}}  # which it must not serve
        async with run_gateway(config, given_env, self.clock.clock) as running:
            yield running


@pytest_asyncio.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    clock = FakeClock()
    async with FakeCodex(now=clock.clock.time).running() as chatgpt:
        yield Machine(chatgpt, clock, tmp_path)


async def chat(running: RunningGateway, **more: Any) -> tuple[int, Any]:
    """A question of a client of Chat Completions."""
    return await running.post({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **more})


async def respond(running: RunningGateway, body: Any = None, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
    """A question of a client of Responses: status, headers and body of the answer."""
    sent = {"model": MODEL, "input": QUESTION, **more} if body is None else body
    async with running.http.post(f"{running.url}/v1/responses", json=sent, headers=headers) as response:
        return response.status, response.headers, (await response.read())


def shown(came: list[Came]) -> list[str]:
    """The tokens that were shown."""
    return [one.headers["authorization"].removeprefix("Bearer ") for one in came]


def sent(machine: Machine) -> Any:
    """The last question that came."""
    return machine.chatgpt.asked(ASK)[-1].json


def events(data: bytes) -> list[Any]:
    """The events of a stream."""
    return [json.loads(line.removeprefix(b"data:")) for line in data.splitlines() if line.startswith(b"data:")]


def lost(headers: Mapping[str, str]) -> set[str]:
    """What a client is told to have been lost."""
    return set(headers.get("x-llmgw-losses", "").split(";")) - {""}


# ---- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_a_question(machine: Machine, front: str, stream: bool) -> None:
    """Each client gets the answer, whole and streamed, although the server only streams."""
    machine.login()
    async with machine.gateway() as running:
        assert (200, machine.chatgpt.says) == await asked(running, front, MODEL, stream=stream)


@pytest.mark.parametrize("front", FRONTS)
async def test_a_stream_of_an_unknown_type(machine: Machine, front: str) -> None:
    """The server need not say that it is a stream."""
    machine.login()
    machine.chatgpt.kind = "text/plain"
    async with machine.gateway() as running:
        assert (200, machine.chatgpt.says) == await asked(running, front, MODEL, stream=False)


async def test_what_is_sent(machine: Machine) -> None:
    """Of a client of Chat Completions: its system message as instructions, nothing kept, a stream, and the thoughts sealed."""
    machine.login()
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    async with machine.gateway() as running:
        await chat(running, messages=messages, reasoning_effort="low")
    expected = {
        "model": "gpt-5.5", "instructions": "Be brief.", "reasoning": {"effort": "low"}, "store": False, "stream": True,
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]}],
        "include": ["reasoning.encrypted_content"],
    }  # fmt: skip
    assert expected == {**sent(machine), "reasoning": {"effort": sent(machine)["reasoning"]["effort"]}}


async def test_no_instructions(machine: Machine) -> None:
    """Empty ones are sent, for there must be some."""
    machine.login()
    async with machine.gateway() as running:
        status, _ = await chat(running)
    assert (200, "") == (status, sent(machine)["instructions"])


@pytest.mark.parametrize(
    ("front", "more", "expected"),
    [
        ("chat", {"max_completion_tokens": 99, "temperature": 0.5, "seed": 7}, {"max_output", "temperature", "seed"}),
        ("chat", {"user": "u", "metadata": {"a": "b"}}, {"end_user", "metadata"}),
        ("responses", {"max_output_tokens": 99, "top_p": 0.5, "truncation": "auto"}, {"max_output", "top_p", "truncation"}),
        ("responses", {"service_tier": "flex", "user": "u", "metadata": {"a": "b"}}, {"tier", "end_user", "metadata"}),
        ("responses", {"include": ["file_search_call.results"]}, {"include"}),
        ("responses", {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, {"tools.file_search"}),
        ("anthropic", {"max_tokens": 99, "top_k": 4, "temperature": 0.5}, {"max_output", "top_k", "temperature"}),
        ("gemini", {"generationConfig": {"maxOutputTokens": 99, "topP": 0.1}}, {"max_output", "top_p"}),
    ],
)
async def test_what_the_server_refuses_is_told(machine: Machine, front: str, more: Any, expected: set[str]) -> None:
    """It is left out, and the client finds its name in a header."""
    machine.login()
    one = FRONTS[front]
    body = one.body(MODEL, False) | more
    async with machine.gateway() as running:
        url = running.url + one.path(MODEL, False)
        async with running.http.post(url, json=body) as response:
            found = lost(response.headers)
            status = response.status
    assert (200, set()) == (status, expected - found), found


@pytest.mark.parametrize(
    "more", [{"temperature": 1, "top_p": 1.0}, {"truncation": "disabled"}, {"service_tier": "auto"}, {"background": False}]
)
async def test_what_says_nothing_is_no_loss(machine: Machine, more: Any) -> None:
    """Values that are the default are left out silently."""
    machine.login()
    async with machine.gateway() as running:
        status, headers, _ = await respond(running, **more)
    assert (200, set()) == (status, lost(headers))


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "Hi"}]}, "input[0]"),
        ({"tools": [{"type": "mcp", "server_label": "s", "server_url": "https://s.example"}]}, "tools.mcp"),
    ],
)
async def test_what_needs_a_memory_is_refused(machine: Machine, more: Any, path: str) -> None:
    """Nothing is kept at the server, so what refers to that is the client's to change; it is not asked."""
    machine.login()
    async with machine.gateway() as running:
        status, _, body = await respond(running, **more)
    assert (400, True, []) == (status, path in json.loads(body)["error"]["message"], machine.chatgpt.asked(ASK))


@pytest.mark.parametrize(("given_tier", "expected"), [("fast", "priority"), ("priority", "priority"), ("default", "default")])
async def test_tiers(machine: Machine, given_tier: str, expected: str) -> None:
    """By the names that the server knows."""
    machine.login()
    async with machine.gateway() as running:
        status, _, _ = await respond(running, service_tier=given_tier)
    assert (200, expected) == (status, sent(machine)["service_tier"])


async def test_a_client_of_responses(machine: Machine) -> None:
    """Its text becomes a list, its system messages a developer's, and ids that some server has given go."""
    machine.login()
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "id": "msg_of_another"}]
    async with machine.gateway() as running:
        first, _, _ = await respond(running)
        listed = sent(machine)["input"]
        second, _, _ = await respond(running, input=said)
    assert (200, 200) == (first, second)
    assert [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]}] == listed
    assert [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}] == sent(machine)["input"]


@pytest.mark.parametrize("kind", [5, [], ["x"], {"x": 1}])
@pytest.mark.parametrize("own", [False, True])
def test_a_type_that_is_none(kind: Any, own: bool) -> None:
    """The server is left to refuse it; it knows best how to say so."""
    tree = {"instructions": "", "input": [{"type": kind, "role": "user", "id": "x"}], "tools": [{"type": kind}], "store": False}
    changes, _ = fitted(tree, Losses("openai.responses", "openai.responses"), own=own)
    assert False is ("tools" in changes)


async def test_thoughts_that_only_another_server_can_read(machine: Machine) -> None:
    """They are left out, and told; one that this server has sealed stays."""
    machine.login()
    thoughts = [{"type": "reasoning", "id": "rs_1", "summary": []}]
    thoughts += [{"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": f"{SEALED}-2"}]
    said = [
        {"role": "user", "content": "Hi"},
        *thoughts,
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": "?"},
    ]
    async with machine.gateway() as running:
        status, headers, _ = await respond(running, input=said)
    kept = [one.get("encrypted_content") for one in sent(machine)["input"] if one.get("type") == "reasoning"]
    assert (200, [f"{SEALED}-2"], {"reasoning.carrier"}) == (status, kept, lost(headers))


async def test_thoughts_of_another_account(machine: Machine) -> None:
    """Where the server cannot open them it is asked once more without."""
    machine.login()
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "of-another-account" * 4}
    said = [TURNS[0], thought, *TURNS[1:]]
    async with machine.gateway() as running:
        status, _, _ = await respond(running, input=said)
    kinds = [one.get("type") for one in sent(machine)["input"]]
    assert (200, False, 2) == (status, "reasoning" in kinds, len(machine.chatgpt.asked(ASK)))


async def test_a_picture(machine: Machine) -> None:
    """Of a client of Anthropic's, in the words of Responses."""
    machine.login()
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    messages = [{"role": "user", "content": [picture, {"type": "text", "text": "What is this?"}]}]
    async with machine.gateway() as running:
        await asked(running, "anthropic", MODEL, stream=False, messages=messages)
    [part] = [one for one in sent(machine)["input"][-1]["content"] if one["type"] == "input_image"]
    assert f"data:image/png;base64,{PIXEL}" == part["image_url"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool(machine: Machine, stream: bool) -> None:
    """It is called by a client of Chat Completions, whole and streamed, and its result is taken."""
    machine.login()
    tool = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
    messages: list[Any] = [{"role": "user", "content": "Call it."}]
    async with machine.gateway() as running:
        _, body = await chat(running, messages=messages, tools=[tool], stream=stream)
        deltas = [one["choices"][0]["delta"] for one in _chunks(body)] if stream else [body["choices"][0]["message"]]
        calls = [call["function"] for one in deltas for call in one.get("tool_calls") or ()]
        name, arguments = "".join(one.get("name") or "" for one in calls), "".join(one["arguments"] for one in calls)
        call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
        messages += [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_1", "content": "Rain"}]
        status, answer = await chat(running, messages=messages, tools=[tool])
    assert ("weather", {"city": "Bonn"}, 200) == (name, json.loads(arguments), status)
    assert machine.chatgpt.says == answer["choices"][0]["message"]["content"]


def _chunks(text: str) -> list[Any]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ") and "[DONE]" not in line]
    return [one for one in map(json.loads, data) if one["choices"]]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_last_frame_is_empty(machine: Machine, stream: bool) -> None:
    """What was said is put into it, for clients of Responses read the answer there."""
    machine.login()
    async with machine.gateway() as running:
        _, _, body = await respond(running, stream=stream)
    response = events(body)[-1]["response"] if stream else json.loads(body)
    expected = ["reasoning", "message"]
    assert (expected, machine.chatgpt.says) == (
        [one["type"] for one in response["output"]],
        response["output"][-1]["content"][0]["text"],
    )


async def test_the_plans_limits_in_a_stream(machine: Machine) -> None:
    """An SDK, which counts on the response to be announced first, does not get that event."""
    machine.login()
    async with machine.gateway() as running:
        _, _, body = await respond(running, stream=True, store=False)
    kinds = [one["type"] for one in events(body)]
    assert ("response.created", False) == (kinds[0], "codex.rate_limits" in kinds)


# ---- conversations ------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_goes_on(machine: Machine, stream: bool) -> None:
    """The gateway keeps it, with its sealed thoughts, as the server does not."""
    machine.login()
    async with machine.gateway() as running:
        _, _, first = await respond(running, input="Remember 7.", store=True)
        before = json.loads(first)["id"]
        status, _, _ = await respond(running, input="And now?", previous_response_id=before, stream=stream)
    body = sent(machine)
    said = [one.get("encrypted_content") or one["content"][0]["text"] for one in body["input"]]
    expected = ["Remember 7.", f"{SEALED}-1", machine.chatgpt.says, "And now?"]
    assert (200, expected, False) == (status, said, "previous_response_id" in body)


async def test_a_conversation_goes_on_twice(machine: Machine) -> None:
    """All that went before is sent again."""
    machine.login()
    async with machine.gateway() as running:
        before = None
        for number in range(3):
            _, _, body = await respond(running, input=f"{number}", previous_response_id=before)
            before = json.loads(body)["id"]
    said = [one["content"][0]["text"] for one in sent(machine)["input"] if one.get("role") == "user"]
    assert ["0", "1", "2"] == said


async def test_a_conversation_that_nobody_knows(machine: Machine) -> None:
    """It is refused, and the message says what to send."""
    machine.login()
    async with machine.gateway() as running:
        status, _, body = await respond(running, previous_response_id="resp_unknown")
    assert (404, True) == (status, "whole conversation" in json.loads(body)["error"]["message"])


async def test_what_is_not_to_be_kept(machine: Machine) -> None:
    """With ``store: false`` nothing is."""
    machine.login()
    async with machine.gateway() as running:
        _, _, body = await respond(running, store=False)
        status, _, _ = await respond(running, previous_response_id=json.loads(body)["id"])
    assert 404 == status


# ---- Codex itself -------------------------------------------------------------------------------


async def test_codex_is_the_client(machine: Machine) -> None:
    """Its body stays to the byte, but for the model's name, and the answer too."""
    machine.login()
    body = json.dumps(codex(), indent=1)
    async with machine.gateway() as running:
        url = f"{running.url}/v1/responses"
        async with running.http.post(url, data=body, headers={**HIM, "content-type": "application/json"}) as response:
            answer = await response.read()
    came = machine.chatgpt.asked(ASK)[-1]
    expected = b"".join(event(one, one["type"]) for one in machine.chatgpt._frames(came.json))
    assert (body.replace(MODEL, "gpt-5.5").encode(), expected) == (came.body, answer)


async def test_codexs_headers(machine: Machine) -> None:
    """Its session is kept; whose program asks is said by the gateway."""
    machine.login()
    async with machine.gateway() as running:
        await respond(running, codex(prompt_cache_key="another"), {**HIM, "user-agent": "codex_exec/0.169.0"})
    headers = machine.chatgpt.asked(ASK)[-1].headers
    assert (HIM["session-id"], "w:0", "llmgw") == (headers["session-id"], headers["x-codex-window-id"], headers["originator"])
    assert headers["user-agent"].startswith("llmgw/")


async def test_a_history_is_shortened(machine: Machine) -> None:
    """At the server's own place for it."""
    machine.login()
    body = {"model": MODEL, "input": [{"role": "user", "content": "Hi"}], "instructions": "Be brief."}
    async with machine.gateway() as running:
        status, answer = await running.post(body, "/v1/responses/compact")
    assert (200, SEALED) == (status, answer["output"][0]["encrypted_content"])
    assert body | {"model": "gpt-5.5"} == machine.chatgpt.asked("/compact")[-1].json


# ---- laws of fitting ----------------------------------------------------------------------------

_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.dictionaries(st.text(max_size=3), st.none()))
_ITEMS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["message", "reasoning", "function_call", "item_reference", "new"]),
            "role": st.sampled_from(["system", "developer", "user", "assistant"]),
            "id": st.sampled_from(["msg_1", "rs_1", "fc_1", "x"]),
            "encrypted_content": st.sampled_from(["", "e"]),
            "content": st.text(max_size=3),
        },
    ),
    max_size=4,
)
_BODIES = st.builds(
    lambda tree, more: {"model": "m", **tree, **more},
    st.fixed_dictionaries({}, optional={"input": st.one_of(st.text(max_size=4), _ITEMS), "store": st.booleans()}),
    st.dictionaries(
        st.sampled_from([*sorted(ALLOWED - {"input", "store", "model", "tools"}), "temperature", "metadata", "x"]), _VALUES
    ),
)


def fit(tree: Any, *, own: bool = True) -> tuple[Any, list[Loss]]:
    """A body as it is sent, and what was lost."""
    losses = Losses("openai.responses", "openai.responses")
    changes, drop = fitted(tree, losses, own=own)
    return jsons.loads(splice(jsons.dumps(tree), merged(tree, changes, drop))), losses.found


@given(_BODIES, st.booleans())
def test_what_is_sent_is_what_the_server_takes(tree: Any, own: bool) -> None:
    """No field but those, no system messages, a list of items, nothing kept, a stream."""
    made, _ = fit(tree, own=own)
    items = made.get("input", [])
    assert (set(), False, True, True) == (made.keys() - ALLOWED, made["store"], made["stream"], isinstance(items, list))
    assert not [one for one in items if one.get("role") == "system" or one.get("type") == "item_reference"]


@given(_BODIES, st.booleans())
def test_what_fits_stays(tree: Any, own: bool) -> None:
    """Fitting twice changes nothing more, and loses nothing more."""
    once, _ = fit(tree, own=own)
    assert (once, []) == fit(once, own=own)


@given(_BODIES)
def test_nothing_is_lost_silently(tree: Any) -> None:
    """A field that goes and says something is told."""
    made, losses = fit(tree)
    gone = {name for name in tree.keys() - made.keys() if tree[name] not in (None, False, 0, 1, {}, [])}
    assert len(gone) <= len(losses)


@given(text=st.text(), key=st.one_of(st.none(), st.text(), st.uuids().map(str)))
def test_a_session_is_a_uuid(text: str, key: str | None) -> None:
    """The same one for the next question of a conversation, whatever it is made of."""
    first = [{"role": "user", "content": text}]
    body = {"model": "m", "instructions": "", "input": first, **({} if key is None else {"prompt_cache_key": key})}
    later = {**body, "input": [*first, {"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]}
    one, other = session(jsons.dumps(body)), session(jsons.dumps(later))
    assert (True, str(uuid.UUID(one))) == (one == other, one)


def test_other_conversations_have_other_sessions() -> None:
    """By how they begin."""
    bodies = [{"model": "m", "input": [{"role": "user", "content": text}]} for text in "ab"]
    assert 2 == len({session(jsons.dumps(body)) for body in bodies})


async def test_the_session_of_claude_code(machine: Machine) -> None:
    """It stands in what that client tells of its user, and becomes the key of the cache, and so the session."""
    machine.login()
    about = {"user_id": json.dumps({"device_id": "d", "session_id": "s-1"})}
    async with machine.gateway() as running:
        await asked(running, "anthropic", MODEL, stream=False, metadata=about)
        first = machine.chatgpt.asked(ASK)[-1]
        messages = [{"role": "user", "content": "Something else"}]
        await asked(running, "anthropic", MODEL, stream=False, metadata=about, messages=messages)
    second = machine.chatgpt.asked(ASK)[-1]
    assert (True, first.headers["session-id"]) == ("prompt_cache_key" in first.json, second.headers["session-id"])


# ---- how it is addressed ------------------------------------------------------------------------


async def test_codex_is_not_imitated(machine: Machine) -> None:
    """No header names another program than this one."""
    machine.login()
    machine.install()
    async with machine.gateway() as running:
        await chat(running)
        await running.get("/v1/models")
    told = " ".join(f"{name}: {value}" for one in machine.chatgpt.came for name, value in one.headers.items())
    agents = {one.headers["user-agent"].partition("/")[0] for one in machine.chatgpt.came}
    assert ({"llmgw"}, False) == (agents, any(word in told.lower() for word in ("codex", "claude-cli", "vscode", "opencode")))


async def test_another_identity(machine: Machine) -> None:
    """The deployment may name its own program."""
    machine.login()
    async with machine.gateway(identity={"user_agent": "mine/1", "headers": {"originator": "mine"}}) as running:
        await chat(running)
    headers = machine.chatgpt.asked(ASK)[-1].headers
    assert ("mine/1", "mine") == (headers["user-agent"], headers["originator"])


async def test_a_workspace_that_may_be_anywhere(machine: Machine) -> None:
    """It is not routed, as Codex does not either."""
    machine.login()
    async with machine.gateway() as running:
        status, _ = await chat(running)
    assert (200, False) == (status, "x-openai-account-routing-override" in machine.chatgpt.asked(ASK)[-1].headers)


async def test_the_workspace_is_asked_for_once(machine: Machine) -> None:
    """Once for all questions, even if they come at once, and its routing is kept to."""
    machine.login()
    machine.chatgpt.override = "us"
    async with machine.gateway() as running:
        answers = await asyncio.gather(*(chat(running) for _ in range(10)))
    routed = {one.headers.get("x-openai-account-routing-override") for one in machine.chatgpt.asked(ASK)}
    assert ({200}, 1, {"us"}) == ({status for status, _ in answers}, len(machine.chatgpt.asked(CHECK)), routed)


@pytest.mark.parametrize("told", [(404, {"detail": "Not Found"}), (500, "<html>"), (200, []), (200, {"accounts": [{"id": 1}]})])
async def test_nothing_is_told_of_the_workspace(machine: Machine, told: tuple[int, Any]) -> None:
    """It is asked as one that may be anywhere, and not asked about again."""
    machine.login()
    machine.chatgpt.fails(CHECK, *told)
    async with machine.gateway() as running:
        statuses = [(await chat(running))[0] for _ in range(2)]
    assert ([200, 200], 1) == (statuses, len(machine.chatgpt.asked(CHECK)))


async def test_the_workspace_of_a_login_that_is_refused(machine: Machine) -> None:
    """It is asked for again with a fresh one, for the first question must be routed right."""
    machine.chatgpt.good.remove(machine.login())
    machine.chatgpt.override = "us"
    async with machine.gateway(refresh=True) as running:
        status, _ = await chat(running)
    assert (200, 2, 1) == (status, len(machine.chatgpt.asked(CHECK)), len(machine.chatgpt.asked(ASK)))


async def test_a_workspace_that_was_shut(machine: Machine) -> None:
    """The message says what to do, and the workspace is not asked anything."""
    machine.login()
    machine.chatgpt.account = {"is_deactivated": True}
    async with machine.gateway() as running:
        status, body = await chat(running)
    assert (401, True, []) == (status, RUN in body["error"]["message"], machine.chatgpt.asked(ASK))


async def test_another_account_is_asked_about_anew(machine: Machine) -> None:
    """Codex may log in to another workspace while the gateway runs."""
    machine.login()
    async with machine.gateway() as running:
        await chat(running)
        machine.login()
        machine.write({**machine.tree, "tokens": {**machine.tree["tokens"], "account_id": "acc-222"}})
        status, _ = await chat(running)
    assert (401, 2) == (status, len(machine.chatgpt.asked(CHECK)))


@pytest.mark.parametrize(
    ("base", "origin", "expected"),
    [
        (VENDOR, "https://chatgpt.com", VENDOR),
        (VENDOR, "https://eu.chatgpt.com", "https://eu.chatgpt.com/backend-api/codex"),
        (VENDOR, "https://chatgpt.com.evil.example", VENDOR),
        (VENDOR, "https://evilchatgpt.com", VENDOR),
        (VENDOR, "http://chatgpt.com", VENDOR),
        (VENDOR, "https://eu.chatgpt.com:99999999", VENDOR),
        (VENDOR, "", VENDOR),
        ("https://mine.example/x", "https://eu.chatgpt.com", "https://mine.example/x"),
    ],
)
def test_where_a_workspace_is(base: str, origin: str, expected: str) -> None:
    """Only a host of ChatGPT's own is believed, and only where no other is configured."""
    assert expected == placed(base, origin)


@pytest.mark.parametrize("options", [{}, {"source": "co-manage"}])
async def test_the_login_is_not_shown_to_strangers(machine: Machine, options: dict[str, str]) -> None:
    """Neither to another server than ChatGPT's, nor the refresh token to another than OpenAI's."""
    machine.login(life=-1)
    there = {} if not options else {"base_url": VENDOR}
    async with machine.gateway(allow_insecure_origin=False, **there, **options) as running:
        backend = running.gateway.backends["openai-oauth"]
        status, body = await chat(running)
        wrong_ = list(backend.problems())
    assert (401, True, [], True) == (
        status,
        "is not asked" in body["error"]["message"],
        machine.chatgpt.came,
        any("allow_insecure_origin" in one for one in wrong_),
    )


async def test_only_this_machine_is_served(machine: Machine) -> None:
    """A plan is one person's; what OpenAI's terms say is told at the start."""
    machine.login()
    async with machine.gateway() as running:
        [notice] = running.gateway.backends["openai-oauth"].notices
        listening = where(running.gateway)
    assert ("127.0.0.1", True, True) == (listening.host, "'openai-oauth'" in str(listening.notes), "own use" in notice)


async def test_it_is_off_until_it_is_named(machine: Machine) -> None:
    """No file and no variable switches it on."""
    machine.login()
    async with run_gateway({}, {"HOME": str(machine.home), GIVEN: "t"}) as running:
        assert "openai-oauth" not in running.gateway.backends


# ---- models -------------------------------------------------------------------------------------


async def test_the_models_of_a_plan(machine: Machine) -> None:
    """Those that are to be seen; Codex's own instructions are not shown."""
    machine.login()
    async with machine.gateway() as running:
        _, body = await running.get("/v1/models")
        told = await running.gateway.backends["openai-oauth"].models(running.gateway)
    found = [one["id"] for one in body["data"] if one["id"].startswith("openai-oauth:")]
    assert (["openai-oauth:gpt-5.5", "openai-oauth:gpt-6-sol"], False) == (found, "SECRET" in str([one.raw for one in told]))


async def test_efforts_are_those_that_are_listed(machine: Machine) -> None:
    """One that a model does not have becomes the next that it has."""
    machine.login()
    async with machine.gateway() as running:
        await running.gateway.backends["openai-oauth"].models(running.gateway)
        await chat(running, reasoning_effort="xhigh")
    assert "high" == sent(machine)["reasoning"]["effort"]


async def test_models_as_codex_has_kept_them(machine: Machine) -> None:
    """Where the server tells nothing."""
    machine.login()
    (machine.home / ".codex/models_cache.json").write_text(json.dumps({"models": [model("gpt-kept"), model("x", "hide")]}))
    machine.chatgpt.fails("/codex/models", 500, "<html>")
    async with machine.gateway() as running:
        found = await running.gateway.backends["openai-oauth"].models(running.gateway)
    assert ["gpt-kept"] == [one.id for one in found]


@pytest.mark.parametrize("kept", [None, "{", '{"models": 1}', '{"models": []}'])
async def test_no_models(machine: Machine, kept: str | None) -> None:
    """Neither the server's nor Codex's list: the error is told."""
    machine.login()
    if kept is not None:
        (machine.home / ".codex/models_cache.json").write_text(kept)
    machine.chatgpt.fails("/codex/models", 500, "<html>")
    async with machine.gateway() as running:
        with pytest.raises(UpstreamError):
            await running.gateway.backends["openai-oauth"].models(running.gateway)


# ---- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("env", ["HOME", "CODEX_HOME"])
async def test_where_the_file_is(machine: Machine, env: str) -> None:
    """Below the home directory, or where CODEX_HOME says."""
    machine.login()
    folder = machine.home if env == "HOME" else machine.home / ".codex"
    async with machine.gateway({env: str(folder)}) as running:
        assert 200 == (await chat(running))[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is none"),
        ("{", "corrupt"),
        ("[]", "corrupt"),
        ("{}", "holds no token"),
        ('{"tokens": null}', "holds no token"),
        ('{"tokens": {"access_token": 1}}', "holds no token"),
        ('{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-secret"}', "with an API key"),
        ('{"OPENAI_API_KEY": "sk-secret", "tokens": null}', "with an API key"),
    ],
)
async def test_no_login(machine: Machine, content: str | None, told: str) -> None:
    """The message says what is wrong, which command to run, and what to use instead."""
    if content is not None:
        machine.write(content)
    async with machine.gateway() as running:
        status, body = await chat(running)
        [state] = running.gateway.backends["openai-oauth"].credentials
    message = body["error"]["message"]
    expected = (401, True, True, True, False, [])
    found = (status, told in message, RUN in message, INSTEAD in message, "secret" in message, machine.chatgpt.came)
    assert (expected, True) == (found, RUN in state.problem)


@pytest.mark.parametrize("store", ["keyring", "auto"])
async def test_a_login_in_the_keyring(machine: Machine, store: str) -> None:
    """Codex deletes its file then; the message says how to have one."""
    machine.login()
    machine.file.unlink()
    (machine.home / ".codex/config.toml").write_text(f'cli_auth_credentials_store = "{store}"\n')
    async with machine.gateway() as running:
        _, body = await chat(running)
    assert (True, True) == ("keyring" in body["error"]["message"], '"file"' in body["error"]["message"])


@pytest.mark.parametrize("where_", ["id_token", "access_token"])
async def test_the_account_of_a_claim(machine: Machine, where_: str) -> None:
    """Where the file does not name it, the tokens do."""
    access = machine.login()
    held = {"access_token": access, "id_token": jwt(0) if where_ == "id_token" else None, "account_id": None}
    machine.write({"tokens": held})
    async with machine.gateway() as running:
        assert 200 == (await chat(running))[0]


async def test_a_token_is_used_to_its_end(machine: Machine) -> None:
    """Its end is told in seconds, by the token itself; who follows the file has no other."""
    machine.login(life=100)
    async with machine.gateway() as running:
        first, _ = await chat(running)
        await machine.clock.advance(99, step=99)
        last, _ = await chat(running)
        await machine.clock.advance(2, step=2)
        ended, body = await chat(running)
    assert (200, 200, 401, True) == (first, last, ended, RUN in body["error"]["message"])


async def test_nothing_is_written_unless_told_to(machine: Machine) -> None:
    """The file is only read, and no token server asked."""
    machine.login(life=-1)
    before = machine.file.read_bytes()
    async with machine.gateway(source="follow") as running:
        status, _ = await chat(running)
    assert (401, before, []) == (status, machine.file.read_bytes(), machine.chatgpt.came)


async def test_codex_logs_in_anew(machine: Machine) -> None:
    """The next question takes the new token, although nothing was restarted."""
    first = machine.login()
    async with machine.gateway() as running:
        await chat(running)
        second = machine.login()
        await chat(running)
    assert [first, second] == shown(machine.chatgpt.asked(ASK))


async def test_codex_refreshes_while_a_token_is_refused(machine: Machine) -> None:
    """Who follows the file reads it again after a 401, and asks once more."""
    old = machine.login()
    machine.chatgpt.good.remove(old)
    fresh = machine.chatgpt.issue()
    machine.chatgpt.meanwhile = lambda came: came.path.endswith(ASK) and machine.login(tokens=fresh)
    async with machine.gateway() as running:
        status, _ = await chat(running)
    assert (200, [old, fresh[0]]) == (status, shown(machine.chatgpt.asked(ASK)))


async def test_a_token_that_is_refused_for_good(machine: Machine) -> None:
    """It is asked once, and the message says which command to run."""
    machine.chatgpt.good.remove(machine.login())
    async with machine.gateway() as running:
        status, body = await chat(running)
    assert (401, 1, True) == (status, len(machine.chatgpt.asked(ASK)), RUN in body["error"]["message"])


async def test_a_token_in_a_variable(machine: Machine) -> None:
    """It counts more than the file; its account is the token's own."""
    machine.login()
    access, _ = machine.chatgpt.issue(100)
    machine.env = {GIVEN: access}
    async with machine.gateway() as running:
        first, _ = await chat(running)
        await machine.clock.advance(101, step=101)
        second, body = await chat(running)
    assert (200, 401, [access], True) == (first, second, shown(machine.chatgpt.asked(ASK)), GIVEN in body["error"]["message"])


# ---- refreshing ---------------------------------------------------------------------------------


async def test_it_is_refreshed_and_written(machine: Machine) -> None:
    """As Codex does it: its keys in their order, others kept, the time of it, and for nobody else to read."""
    machine.login(life=-1, agent_identity={"kept": True})
    keys = list(machine.tree)
    async with machine.gateway(refresh=True) as running:
        status, _ = await chat(running)
    tree = machine.tree
    held = tree["tokens"]
    at = datetime.fromisoformat(tree["last_refresh"]).timestamp()
    found = (held["refresh_token"], held["account_id"], tree["agent_identity"], round(at), list(tree))
    assert (200, ("rt_secret-2", ACCOUNT, {"kept": True}, round(machine.now), keys)) == (status, found)
    assert (0o600, "Z") == (stat.S_IMODE(os.stat(machine.file).st_mode), tree["last_refresh"][-1])


@pytest.mark.parametrize(("left", "asked_for"), [(400, 0), (200, 1)])
async def test_when_it_is_due(machine: Machine, left: float, asked_for: int) -> None:
    """Five minutes before its end, as for Codex."""
    machine.login(life=left)
    async with machine.gateway(refresh=True) as running:
        await chat(running)
    assert asked_for == len(machine.chatgpt.asked(TOKEN))


@pytest.mark.parametrize(("days", "asked_for"), [(7, 0), (9, 1)])
async def test_a_token_that_does_not_say_when_it_ends(machine: Machine, days: int, asked_for: int) -> None:
    """Eight days after it was issued, as for Codex; and it is used until then."""
    old = datetime.fromtimestamp(machine.now - days * 86400, UTC).isoformat()
    _, refresh = machine.chatgpt.issue()
    machine.login(tokens=("opaque", refresh), last_refresh=old)
    async with machine.gateway(refresh=True) as running:
        await running.gateway.backends["openai-oauth"].login.tokens(running.gateway.http)  # type: ignore[attr-defined]
    assert asked_for == len(machine.chatgpt.asked(TOKEN))


async def test_a_token_of_unknown_age_is_followed(machine: Machine) -> None:
    """Who only reads the file uses it until it is refused."""
    machine.login(tokens=("opaque", "r"), last_refresh="2001-01-01T00:00:00Z")
    async with machine.gateway(source="follow") as running:
        await chat(running)
    assert ["opaque"] == shown(machine.chatgpt.asked(ASK))


@pytest.mark.parametrize(("life", "reason"), [(-1, "proactive_expiry"), (LIFE, "unauthorized_recovery")])
async def test_why_it_is_refreshed(machine: Machine, life: float, reason: str) -> None:
    """The token server is told."""
    access = machine.login(life=life)
    machine.chatgpt.good.discard(access)
    reasons: list[str] = []
    machine.chatgpt.meanwhile = lambda came: came.path == TOKEN and reasons.append(came.json["refresh_reason"])
    async with machine.gateway(refresh=True) as running:
        status, _ = await chat(running)
    assert (200, [reason]) == (status, reasons)


async def test_an_answer_without_a_refresh_token(machine: Machine) -> None:
    """The old one stays."""
    machine.chatgpt.rotates = False
    machine.login(life=-1)
    async with machine.gateway(refresh=True) as running:
        status, _ = await chat(running)
    assert (200, "rt_secret-1") == (status, machine.tree["tokens"]["refresh_token"])


async def test_a_hundred_at_an_expired_token(machine: Machine) -> None:
    """One refreshes, all are answered."""
    machine.login(life=-1)
    async with machine.gateway(refresh=True) as running:
        answers = await asyncio.gather(*(chat(running) for _ in range(100)))
    assert ({200}, 1) == ({status for status, _ in answers}, len(machine.chatgpt.asked(TOKEN)))


async def test_a_hundred_whose_token_is_refused(machine: Machine) -> None:
    """One refreshes, each is asked once more."""
    machine.chatgpt.good.remove(machine.login())
    async with machine.gateway(refresh=True) as running:
        answers = await asyncio.gather(*(chat(running) for _ in range(100)))
    assert ({200}, 1) == ({status for status, _ in answers}, len(machine.chatgpt.asked(TOKEN)))


def _is_free(path: Path) -> bool:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


async def test_codexs_lock_is_free_while_the_token_server_is_asked(machine: Machine) -> None:
    """Codex waits for it for five seconds only, and would spend its token again."""
    machine.login(life=-1)
    lock = machine.file.with_name("auth.json.lock")
    free: list[bool] = []
    machine.chatgpt.meanwhile = lambda came: came.path == TOKEN and free.append(_is_free(lock))
    async with machine.gateway(refresh=True) as running:
        status, _ = await chat(running)
    assert (200, [True], True) == (status, free, _is_free(lock))


async def test_codex_writes_when_we_would(machine: Machine) -> None:
    """We wait for its lock, and the file is written when it is free."""
    machine.login(life=-1)
    async with machine.gateway(refresh=True) as running:
        granted = asyncio.Event()
        machine.chatgpt.meanwhile = lambda came: came.path == TOKEN and granted.set()
        with machine.file.with_name("auth.json.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            question = asyncio.ensure_future(chat(running))
            await granted.wait()
            for _ in range(20):  # until the answer has been read, and the lock was found taken
                await machine.clock.advance(0.1, step=0.1)
                await asyncio.sleep(0.01)
            before = machine.tree["tokens"]["refresh_token"]
        for _ in range(5):
            await machine.clock.advance(0.1, step=0.1)
            await asyncio.sleep(0.01)
        status, _ = await asyncio.wait_for(question, 5)
    assert (200, "rt_secret-1", "rt_secret-2") == (status, before, machine.tree["tokens"]["refresh_token"])


async def test_somebody_rewrites_the_file_in_between(machine: Machine) -> None:
    """A login made while the token server answered counts more than its answer."""
    machine.login(life=-1)
    fresh = machine.chatgpt.issue()
    machine.chatgpt.meanwhile = lambda came: came.path == TOKEN and machine.login(tokens=fresh)
    async with machine.gateway(refresh=True) as running:
        status, _ = await chat(running)
    assert (200, fresh[1], [fresh[0]]) == (status, machine.tree["tokens"]["refresh_token"], shown(machine.chatgpt.asked(ASK)))


@pytest.mark.parametrize(
    "body",
    [
        wrong("invalid_request_error", "m", code="refresh_token_expired"),
        {"error": "refresh_token_reused"},
        {"code": "refresh_token_invalidated"},
    ],
)
@pytest.mark.parametrize("status", [400, 401])
async def test_a_refresh_token_that_has_ended(machine: Machine, status: int, body: Any) -> None:
    """In whichever of three places it is told: it is asked once, the file stays, and the message says what to run."""
    machine.login(life=-1)
    machine.chatgpt.fails(TOKEN, status, body)
    before = machine.file.read_bytes()
    async with machine.gateway(refresh=True) as running:
        answers = [await chat(running) for _ in range(3)]
    told = {(one, RUN in text["error"]["message"], "secret" in str(text)) for one, text in answers}
    assert ({(401, True, False)}, 1, before) == (told, len(machine.chatgpt.asked(TOKEN)), machine.file.read_bytes())


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_the_token_server_is_down(machine: Machine, status: int) -> None:
    """A token that is still good is used; one that is not has a message that does not call the login ended."""
    machine.login(life=200)
    async with machine.gateway(refresh=True) as running:
        machine.chatgpt.fails(TOKEN, status, {"error": "temporarily_unavailable"})
        good, _ = await chat(running)
        await machine.clock.advance(201, step=201)
        machine.chatgpt.fails(TOKEN, status, {"error": "temporarily_unavailable"})
        ended, body = await chat(running)
    assert (200, 401, True) == (good, ended, "Ask again later" in body["error"]["message"])


@given(
    tree=st.dictionaries(st.text(), st.integers()),
    held=st.dictionaries(st.text(), st.integers()),
    now=st.floats(0, 4e9),
    refresh=st.one_of(st.none(), st.text(min_size=1)),
)
def test_what_becomes_of_a_file(tree: Any, held: Any, now: float, refresh: str | None) -> None:
    """Whatever else stands there stays, and what is read back is what was granted."""
    vendor = CodexLogin(TOKEN_URL, CLIENT_ID, Clock())
    access = jwt(now)
    before = {"auth_mode": "chatgpt", **tree, "tokens": {**held, "refresh_token": "old"}}
    made = vendor.merged(before, {"access_token": access, "refresh_token": refresh}, now)
    tokens = vendor.tokens({**made, "auth_mode": "chatgpt"})
    others = {key: value for key, value in tree.items() if key not in ("tokens", "last_refresh", "auth_mode")}
    inner = {key: value for key, value in held.items() if not key.endswith("_token")}
    assert tokens is not None
    assert (access, refresh or "old", int(now)) == (tokens.access, tokens.refresh, tokens.expires_at)
    assert (True, True) == (others.items() <= made.items(), inner.items() <= made["tokens"].items())


# ---- Codex refreshes ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["", "chatty", "late"])
async def test_codex_is_asked_to_refresh(machine: Machine, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where it is installed; it refreshes its own file, whatever else it says, and nothing of ours is written."""
    machine.login(life=-1)
    machine.install(how)
    async with machine.gateway() as running:
        statuses = {one for one, _ in await asyncio.gather(*(chat(running) for _ in range(10)))}
        [state] = running.gateway.backends["openai-oauth"].credentials
    asked_for = [one.json["refresh_reason"] for one in machine.chatgpt.asked(TOKEN)]
    assert ({200}, ["forced"], True, False) == (statuses, asked_for, "delegate" in state.told, "no fresh" in caplog.text)


async def test_codex_is_asked_when_a_token_is_refused(machine: Machine) -> None:
    """The question is asked once more with what it gives."""
    machine.chatgpt.good.remove(machine.login())
    machine.install()
    async with machine.gateway() as running:
        status, _ = await chat(running)
    assert (200, 1) == (status, len(machine.chatgpt.asked(TOKEN)))


@pytest.mark.parametrize("how", ["broken", "error", "nobody", "old"])
async def test_codex_gives_no_fresh_token(machine: Machine, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """The old one is used while it is good, the log says why, and then the message which command to run."""
    machine.login(life=200)
    machine.install(how)
    async with machine.gateway() as running:
        good, _ = await chat(running)
        await machine.clock.advance(201, step=201)
        ended, body = await chat(running)
    told = how == "old" or "gave no fresh token" in caplog.text
    assert (200, 401, True, True, False) == (
        good,
        ended,
        RUN in body["error"]["message"],
        told,
        "secret words" in caplog.text,
    )


async def test_codex_says_nothing(machine: Machine) -> None:
    """It is waited for only so long, and does not stay behind."""
    machine.login()
    machine.install("silent")
    env = {**machine.env, "CODEX_HOME": str(machine.file.parent)}
    with pytest.raises(CommandFailed, match="gave no answer"):
        await refreshed(str(machine.home / "bin/codex"), env, patience=0.2)


async def test_codex_cannot_be_run(machine: Machine) -> None:
    """It is a failure like others."""
    with pytest.raises(CommandFailed, match="cannot be run"):
        await refreshed(str(machine.home / "nowhere"), {})


async def test_codex_is_not_there(machine: Machine) -> None:
    """Who insists on it is told at the start."""
    machine.login()
    async with machine.gateway(source="delegate") as running:
        found = list(running.gateway.backends["openai-oauth"].problems())
    assert True is any("install it" in one for one in found)


# ---- refusals -----------------------------------------------------------------------------------


async def test_the_plan_is_used_up(machine: Machine) -> None:
    """The client is told until when, in seconds and in words, and what to use instead; one of Responses gets the body too."""
    machine.login()
    told = wrong("usage_limit_reached", "The usage limit has been reached", plan_type="plus", resets_in_seconds=5400)
    async with machine.gateway() as running:
        machine.chatgpt.fails(ASK, 429, told)
        status, headers, body = await respond(running)
        machine.chatgpt.fails(ASK, 429, told)
        other, answer = await chat(running)
    error = json.loads(body)["error"]
    assert (429, "5400", 5400, True) == (status, headers["retry-after"], error["resets_in_seconds"], INSTEAD in error["message"])
    assert (429, True, True) == (other, "1 h 30 min" in answer["error"]["message"], INSTEAD in answer["error"]["message"])


def read(status: int, body: Any, headers: Mapping[str, str] | None = None, now: float | None = 1000.0) -> UpstreamError:
    """A refusal, explained."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return explained(PLAIN.read_error(status, {name.lower(): value for name, value in (headers or {}).items()}, data), now)


@pytest.mark.parametrize(
    ("told", "headers", "expected"),
    [
        ({"resets_in_seconds": 60}, {}, 60),
        ({"resets_at": 1060}, {}, 60),
        ({"resets_at": 900}, {}, 0),
        ({"resets_in_seconds": 60, "resets_at": 5000}, {}, 60),
        ({}, {"x-codex-primary-used-percent": "100", "x-codex-primary-reset-at": "1300"}, 300),
        ({}, {"x-codex-primary-used-percent": "50", "x-codex-primary-reset-at": "1300", "retry-after": "7"}, 7),
        ({"resets_at": "soon"}, {}, None),
        ({"resets_in_seconds": "inf", "resets_at": 1060}, {}, 60),
        ({}, {"x-codex-primary-used-percent": "100", "x-codex-primary-reset-at": "nan", "retry-after": "7"}, 7),
        ({}, {}, None),
    ],
)
def test_when_the_plan_can_be_used_again(told: Any, headers: Mapping[str, str], expected: float | None) -> None:
    """By the most exact of what is told."""
    error = read(429, wrong("usage_limit_reached", "Used up", **told), headers)
    assert ("rate_limited", "usage_limit_reached", expected) == (error.kind, error.code, error.retry_after)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (403, wrong("usage_not_included", "To use Codex, upgrade to Plus"), "billing", "does not include Codex"),
        (429, wrong("insufficient_quota", "No credit", code="insufficient_quota"), "billing", "Add credits"),
        (401, {"detail": "Unauthorized"}, "authentication", RUN),
        (
            400,
            {"detail": "The 'x' model is not supported when using Codex with a ChatGPT account."},
            "model_not_found",
            "/models",
        ),
        (404, wrong("invalid_request_error", "No such model", code="model_not_found"), "model_not_found", "No such"),
        (429, wrong("rate_limit_error", "Try again in 1.5s", code="rate_limit_exceeded"), "rate_limited", "1.5s"),
        (503, wrong("server_error", "Busy", code="server_is_overloaded"), "overloaded", "Busy"),
        (400, wrong("x", "Too long", code="context_length_exceeded"), "context_length", "Too long"),
        (400, wrong("x", "No", code="cyber_policy"), "content_policy", "No"),
        (400, wrong("x", "No", code="content_policy_violation"), "content_policy", "No"),
        (400, wrong("x", "No", code="invalid_prompt"), "invalid_request", "No"),
        (403, PAGE, "permission", "Cloudflare"),
        (502, PAGE, "upstream_error", "Just a moment"),
        (400, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "invalid_request", "field required"),
        (400, {"detail": "Unsupported parameter: x"}, "invalid_request", "Unsupported"),
    ],
)
def test_refusals(status: int, body: Any, kind: str, words: str) -> None:
    """What each means, with what to do next."""
    error = read(status, body)
    assert (kind, status, True) == (error.kind, error.status, words in error.message)


def test_a_limit_that_only_a_header_names() -> None:
    """Whose credits are used up cannot be waited for."""
    error = read(429, wrong("x", "No"), {"x-codex-rate-limit-reached-type": "workspace_owner_credits_depleted"})
    assert ("billing", None) == (error.kind, error.retry_after)


@pytest.mark.parametrize("body", ["", "[]", "Forbidden"])
def test_another_403(body: str) -> None:
    """Cloudflare is blamed for its own pages alone."""
    error = read(403, body)
    assert ("permission", False) == (error.kind, "Cloudflare" in error.message)


def test_cloudflares_number() -> None:
    """It is for its support, unless it is none."""
    found = [f"cf-ray {ray}" in read(403, PAGE, {"cf-ray": ray}).message for ray in ("8f1-FRA", "<b>")]
    assert [True, False] == found


def test_a_field_that_we_should_have_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """It is our fault, and stands in the log."""
    read(400, {"detail": "Unsupported parameter: x"})
    assert ["ERROR"] == [one.levelname for one in caplog.records]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "body"),
    [(403, PAGE), (400, UNKNOWN)],
)
async def test_a_refusal_reaches_each_client(machine: Machine, front: str, stream: bool, status: int, body: Any) -> None:
    """In its own shape, with what to do next."""
    machine.login()
    machine.chatgpt.fails(ASK, status, body)
    async with machine.gateway() as running:
        code, text = await asked(running, front, MODEL, stream=stream)
    message = json.loads(text)["error"]["message"]
    assert (True, True) == (code >= 400, ("Cloudflare" if status == 403 else "/v1/models") in message)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"code": "rate_limit_exceeded", "message": "Try again in 1.5s"}, "rate_limit"),
        ({"code": "usage_limit_reached", "message": "Used up"}, "rate_limit"),
        ({"code": "cyber_policy", "message": "No"}, '"invalid_request_error"'),
    ],
)
async def test_a_stream_that_fails(machine: Machine, broken: dict[str, Any], expected: str) -> None:
    """The client hears that it did, and of which kind that is; never a stop."""
    machine.login()
    machine.chatgpt.broken = broken
    async with machine.gateway() as running:
        _, text = await chat(running, stream=True)
    assert (True, False) == (expected in text, '"finish_reason":"stop"' in text)


async def test_a_model_that_the_plan_does_not_have(machine: Machine) -> None:
    """The server's refusal says where the others are."""
    machine.login()
    async with machine.gateway() as running:
        status, body = await chat(running, model="openai-oauth:gpt-none")
    assert (400, "model_not_found", True) == (status, body["error"]["code"], "/v1/models" in body["error"]["message"])


async def test_nobody_there(machine: Machine) -> None:
    """The message names the back-end."""
    machine.login()
    async with machine.gateway(base_url="http://127.0.0.1:9/codex") as running:
        status, body = await chat(running)
    assert (503, True) == (status, "'openai-oauth'" in body["error"]["message"])


async def test_no_token_is_ever_shown(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in messages nor in the log nor in what describes the back-end, however it goes."""
    caplog.set_level(logging.DEBUG, logger="llmgw")
    access = machine.login(life=-1)
    async with machine.gateway(refresh=True) as running:
        bodies = [await chat(running)]
        machine.chatgpt.good.clear()
        machine.chatgpt.refresh.clear()
        await machine.clock.advance(61, step=61)
        bodies.append(await chat(running))
        backend = running.gateway.backends["openai-oauth"]
        told = f"{bodies} {backend!r} {list(backend.credentials)} {list(backend.problems())} {caplog.text}"
    assert (401, False, False) == (bodies[-1][0], "secret" in told, access.split(".")[1] in told)


# ---- the reader ---------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True])
def test_a_stream_however_it_is_cut(native: bool) -> None:
    """The same events, with what was said in the last frame."""
    fake = FakeCodex()
    data = b"".join(event(one, one["type"]) for one in fake._frames({"model": "m", "input": ["x"]}))
    dialect = NATIVE if native else PLAIN
    made = []
    for pieces in every_cut(data):
        reader = dialect.reader(stream=True)
        assert isinstance(reader, CodexReader)
        found = [one for piece in pieces for one in reader.feed(piece)] + list(reader.close())
        made.append([(type(one).__name__, one.frame.data if one.frame is not None else b"") for one in found])
    assert True is all(one == made[0] for one in made)
    assert native is any(b"codex.rate_limits" in frame for _, frame in made[0])
    assert True is any(b"response.completed" in frame and b'"Forty-two"' in frame for _, frame in made[0])


def test_the_client_id_is_codexs() -> None:
    """A refresh token is bound to it."""
    assert (CLIENT, "CODEX_ACCESS_TOKEN") == (OpenAIOAuth().client_id, OpenAIOAuth().access_token.name)
