"""OpenRouter: its three APIs, what it says of itself in streams and errors, its list."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import Misconfigured, UpstreamRefused, UpstreamReply
from llmgw.secret import Secret
from llmgw.stages import Target
from llmgw_dialects.openai_chat import COMPATIBLE
from llmgw_openrouter import VENDOR, OpenRouter
from llmgw_openrouter.catalogue import known
from llmgw_openrouter.refusals import explained
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from tests.backends.fakes.openrouter import CALL, DETAILS, KEY, MODELS, FakeOpenRouter, refusal
from tests.backends.fronts import FRONTS, asked

MODEL = "openrouter:deepseek/deepseek-r1:free"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@asynccontextmanager
async def openrouter(
    key: str = KEY, clock: FakeClock | None = None, **options: Any
) -> AsyncIterator[tuple[FakeOpenRouter, RunningGateway]]:
    """OpenRouter, and a gateway before it."""
    time = clock or FakeClock()
    async with FakeOpenRouter().running() as vendor:
        config = {"backends": {"openrouter": {"base_url": f"{vendor.url}/api/v1", **options}}}
        async with run_gateway(config, {"OPENROUTER_API_KEY": key}, time.clock) as running:
            yield vendor, running


# ---- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("api", ["auto", "chat", "responses", "messages"])
async def test_a_question(front: str, stream: bool, api: str) -> None:
    """Each client gets the answer, by each of the three APIs, whatever comments stand in the stream."""
    async with openrouter(api=api) as (vendor, running):
        said = await asked(running, front, MODEL, stream=stream)
    assert (200, vendor.says) == said


@pytest.mark.parametrize(
    ("front", "api", "expected"),
    [
        ("chat", "auto", "/chat/completions"),
        ("responses", "auto", "/responses"),
        ("anthropic", "auto", "/messages"),
        ("gemini", "auto", "/chat/completions"),
        ("anthropic", "chat", "/chat/completions"),
        ("chat", "responses", "/responses"),
        ("gemini", "messages", "/messages"),
    ],
)
async def test_where_a_question_goes(front: str, api: str, expected: str) -> None:
    """To the client's own API where it is one of the three, unless told."""
    async with openrouter(api=api) as (vendor, running):
        await asked(running, front, MODEL, stream=False)
    assert [f"/api/v1{expected}"] == [one.path for one in vendor.came]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("model", MODELS)
async def test_names_with_slashes_and_colons(front: str, model: str) -> None:
    """A model's name reaches OpenRouter whole: its author, and the way it is to be routed."""
    async with openrouter() as (vendor, running):
        status, _ = await asked(running, front, f"openrouter:{model}", stream=False)
    assert (200, model) == (status, vendor.came[0].json["model"])


async def test_what_only_openrouter_knows_is_passed_on() -> None:
    """Fallbacks, routing and plugins of a client of Chat Completions go to it as they came."""
    more = {"models": ["openai/gpt-5-mini"], "provider": {"order": ["DeepInfra"], "zdr": True}, "plugins": [{"id": "web"}],
            "reasoning": {"max_tokens": 2000, "exclude": True}, "session_id": "s"}  # fmt: skip
    async with openrouter() as (vendor, running):
        await asked(running, "chat", MODEL, stream=False, **more)
    assert more == {name: vendor.came[0].json.get(name) for name in more}


async def test_what_only_openrouter_says_is_passed_back() -> None:
    """Costs and the provider's name are in the answer to a client of Chat Completions."""
    async with openrouter() as (_, running):
        _, body = await running.post(FRONTS["chat"].body(MODEL, False))
    assert ("DeepInfra", 0.00014) == (body["provider"], body["usage"]["cost"])


# ---- tools, thoughts, pictures ------------------------------------------------------------------


async def test_details_come_back_from_a_client_of_chat() -> None:
    """A client of Chat Completions gets the details of what was thought, and what it sends back arrives unchanged."""
    question = [{"role": "user", "content": "Look."}]
    async with openrouter() as (vendor, running):
        _, first = await running.post({"model": MODEL, "messages": question, "tools": [TOOL]})
        said = first["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": "call_1", "content": "seen"}
        status, _ = await running.post({"model": MODEL, "messages": [*question, said, result], "tools": [TOOL]})
    assert (200, DETAILS) == (status, vendor.came[1].json["messages"][1]["reasoning_details"])


@pytest.mark.parametrize("stream", [False, True])
async def test_details_come_back_from_a_client_of_messages(stream: bool) -> None:
    """A client of another dialect, too, sends back what the model needs, though its dialect has no such details."""
    tool = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
    question = {"role": "user", "content": "Look."}
    body = {"model": MODEL, "max_tokens": 500, "tools": [tool], "messages": [question]}
    async with openrouter(api="chat") as (vendor, running):
        blocks = await _blocks(running, body, stream)
        result = {"type": "tool_result", "tool_use_id": blocks[-1]["id"], "content": "seen"}
        history = [question, {"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
        status, said = await running.post({**body, "messages": history}, "/v1/messages")
    assert (200, DETAILS) == (status, vendor.came[1].json["messages"][1].get("reasoning_details")), said


async def _blocks(running: RunningGateway, body: dict[str, Any], stream: bool) -> list[Any]:
    """The blocks of an answer, put together as a client does."""
    status, said = await running.post({**body, "stream": stream}, "/v1/messages")
    assert 200 == status
    if not stream:
        return list(said["content"])
    blocks: dict[int, Any] = {}
    for line in said.splitlines():
        tree = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
        match tree.get("type"):
            case "content_block_start":
                blocks[tree["index"]] = {**tree["content_block"]}
            case "content_block_delta":
                _grow(blocks[tree["index"]], tree["delta"])
    for block in blocks.values():
        if block["type"] == "tool_use":
            block["input"] = json.loads(block.pop("json", "{}"))
    return list(blocks.values())


def _grow(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for key, name in (("text", "text"), ("thinking", "thinking"), ("signature", "signature"), ("partial_json", "json")):
        if key in delta:
            block[name] = block.get(name, "") + delta[key]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call(stream: bool) -> None:
    """A client of another dialect gets the call."""
    tool = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
    body = {"model": MODEL, "max_tokens": 500, "tools": [tool], "messages": [{"role": "user", "content": "Look."}]}
    async with openrouter(api="chat") as (_, running):
        block = (await _blocks(running, body, stream))[-1]
    function: Any = CALL["function"]
    assert ("tool_use", function["name"], {"at": "it"}) == (block["type"], block["name"], block["input"])


async def test_a_picture() -> None:
    """A client of another dialect shows one."""
    source = {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    body = {"model": "openrouter:openai/gpt-5-mini", "max_tokens": 50, "messages": [{"role": "user", "content": content}]}
    async with openrouter(api="chat") as (vendor, running):
        await running.post(body, "/v1/messages")
    [picture, _] = vendor.came[0].json["messages"][0]["content"]
    assert {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}} == picture


async def test_a_limit() -> None:
    """It is said as all of its providers have it."""
    async with openrouter(api="chat") as (vendor, running):
        await asked(running, "anthropic", MODEL, stream=False)
    assert (500, None) == tuple(vendor.came[0].json.get(name) for name in ("max_tokens", "max_completion_tokens"))


# ---- who asks -----------------------------------------------------------------------------------


async def test_by_default_no_program_is_named() -> None:
    """Only this gateway's own user agent and the key are told."""
    async with openrouter() as (vendor, running):
        await asked(running, "chat", MODEL, stream=False)
    headers = vendor.came[0].headers
    assert headers["user-agent"].startswith("llmgw/")
    assert [] == [name for name in headers if name in ("http-referer", "x-title", "x-openrouter-title")]


async def test_a_program_of_ones_own_is_named() -> None:
    """Its site and title are sent, the title under both names that OpenRouter has had for it."""
    identity = {"referer": "https://app.example", "x_title": "App"}
    async with openrouter(identity=identity) as (vendor, running):
        await asked(running, "chat", MODEL, stream=False)
    names = ("http-referer", "x-title", "x-openrouter-title")
    assert ["https://app.example", "App", "App"] == [vendor.came[0].headers[name] for name in names]


def test_it_is_not_asked_without_a_key() -> None:
    """What would be refused over there is told here, with the variable to set."""
    with pytest.raises(Misconfigured, match="OPENROUTER_API_KEY is not set"):
        OpenRouter(api_key=Secret("OPENROUTER_API_KEY")).headers(Target("openrouter", "m"))


def test_its_url() -> None:
    """OpenRouter's own, unless told."""
    assert (VENDOR, []) == (OpenRouter().base_url, list(OpenRouter(api_key=Secret("K", "k")).problems()))


# ---- failures -----------------------------------------------------------------------------------

FAILURES: list[tuple[int, dict[str, Any], dict[str, str], tuple[int, str, str]]] = [
    (401, refusal(401, "User not found."), {}, (401, "authentication", "https://openrouter.ai/settings/keys")),
    (402, refusal(402, "Insufficient credits"), {}, (402, "billing", "https://openrouter.ai/settings/credits")),
    (
        402,
        refusal(402, "Too costly", limit_source="openrouter_in_flight_budget"),
        {"retry-after": "7"},
        (429, "rate_limited", "requests that still run"),
    ),
    (402, refusal(402, "Too costly", limit_source="weight_exceeds_budget"), {"retry-after": "7"}, (402, "billing", "credits")),
    (402, refusal(402, "Too costly", limit_source="openrouter_in_flight_budget"), {}, (402, "billing", "credits")),
    (
        403,
        refusal(403, "Input was flagged", reasons=["violence"], flagged_input="kill", provider_name="OpenAI"),
        {},
        (403, "content_policy", "flagged for: violence."),
    ),
    (
        403,
        refusal(403, "Provider returned error", provider_name="xAI", raw='{"error": "Content violates usage guidelines."}'),
        {},
        (403, "content_policy", "xAI said: Content violates usage guidelines."),
    ),
    (403, refusal(403, "Key may not do this"), {}, (403, "permission", "Key may not do this")),
    (404, refusal(404, "No endpoints found for a/b."), {}, (404, "model_not_found", "settings/privacy")),
    (404, refusal(404, "No endpoints match your data policy"), {}, (404, "not_found", "settings/privacy")),
    (400, refusal(400, "a/b is not a valid model ID"), {}, (400, "model_not_found", "a/b")),
    (408, refusal(408, "Request timed out"), {}, (408, "timeout", "timed out")),
    (413, refusal(413, "Too large"), {}, (413, "request_too_large", "Too large")),
    (429, refusal(429, "Rate limit exceeded"), {"retry-after": "3"}, (429, "rate_limited", "Rate limit")),
    (
        400,
        refusal(400, "This endpoint's maximum context length is 8 tokens. However, you requested about 9 tokens."),
        {},
        (400, "context_length", "maximum context length"),
    ),
    (
        400,
        refusal(400, "Provider returned error", provider_name="Azure", raw='{"error": {"message": "prompt is too long"}}'),
        {},
        (400, "context_length", "Azure said: "),
    ),
    (
        502,
        refusal(502, "Provider returned error", provider_name="Chutes", raw="boom"),
        {},
        (502, "upstream_error", "Chutes said: boom"),
    ),
    (503, refusal(503, "No instances available"), {}, (503, "overloaded", "No instances")),
]


@pytest.mark.parametrize(("status", "body", "headers", "expected"), FAILURES)
async def test_a_refusal(status: int, body: Any, headers: dict[str, str], expected: tuple[int, str, str]) -> None:
    """Its kind is told, and what to do next."""
    backend = OpenRouter()
    error = backend.explained(COMPATIBLE.read_error(status, headers, json.dumps(body).encode()))
    assert expected[:2] == (error.status, error.kind)
    assert expected[2] in error.message


@pytest.mark.parametrize(("front", "expected"), [("responses", 429), ("anthropic", 402), ("gemini", 429)])
async def test_a_refusal_reaches_clients_of_other_dialects(front: str, expected: int) -> None:
    """With the status that its vendor has for it, with what to do next, and no key in it."""
    async with openrouter(api="chat") as (vendor, running):
        vendor.fails("/chat/completions", 402, refusal(402, f"Insufficient credits for {KEY}"))
        status, said = await asked(running, front, MODEL, stream=False)
    assert expected == status
    assert "settings/credits" in said and KEY not in said


async def test_a_refusal_reaches_a_client_of_chat_as_it_is() -> None:
    """To the letter, since OpenRouter's own words mean something to it."""
    body = refusal(404, "No endpoints found for a/b.")
    async with openrouter() as (vendor, running):
        vendor.fails("/chat/completions", 404, body)
        said = await running.post(FRONTS["chat"].body(MODEL, False))
    assert (404, body) == said


async def test_a_field_that_the_provider_behind_it_refuses() -> None:
    """It is left out, and the loss is told, for a client that could not know of it."""
    raw = json.dumps({"error": {"message": "Unsupported parameter: 'top_p' is not supported with this model.", "param": "top_p"}})
    body = {**FRONTS["anthropic"].body(MODEL, False), "top_p": 0.5}
    async with openrouter(api="chat") as (vendor, running):
        vendor.fails("/chat/completions", 400, refusal(400, "Provider returned error", provider_name="OpenAI", raw=raw))
        async with running.http.post(running.url + "/v1/messages", json=body) as response:
            assert (200, "top_p") == (response.status, response.headers["x-llmgw-losses"])
    assert [0.5, None] == [one.json.get("top_p") for one in vendor.came]


@pytest.mark.parametrize("front", FRONTS)
async def test_credits_that_are_held_for_a_while(front: str) -> None:
    """Every client is told to come back, and when."""
    one = FRONTS[front]
    async with openrouter() as (vendor, running):
        body = refusal(402, "Too costly", limit_source="openrouter_in_flight_budget")
        vendor.fails("", 402, body, {"retry-after": "7"})
        path = running.url + one.path(MODEL, False)
        async with running.http.post(path, json=one.body(MODEL, False)) as response:
            assert (429, "7") == (response.status, response.headers["retry-after"])


@pytest.mark.parametrize("within", [False, True])
async def test_a_free_models_limit(within: bool) -> None:
    """It ends at a time in milliseconds, in the headers or within the error."""
    time = FakeClock()
    headers = {
        "X-RateLimit-Limit": "20",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int((time.clock.time() + 42) * 1000)),
    }
    async with openrouter(clock=time) as (vendor, running):
        body = refusal(429, "Rate limit exceeded: free-models-per-min.", **({"headers": headers} if within else {}))
        vendor.fails("/chat/completions", 429, body, {} if within else headers)
        async with running.http.post(running.url + "/v1/chat/completions", json=FRONTS["chat"].body(MODEL, False)) as response:
            assert (429, "42") == (response.status, response.headers["retry-after"])


@pytest.mark.parametrize(("front", "expected"), [("responses", 502), ("anthropic", 502), ("gemini", 500)])
async def test_an_error_in_a_success(front: str, expected: int) -> None:
    """An answer that is an error is one, with the status that it means."""
    async with openrouter(api="chat") as (vendor, running):
        vendor.breaks = refusal(502, "Provider returned error", provider_name="Chutes", raw="boom")["error"]
        status, said = await asked(running, front, MODEL, stream=False)
    assert expected == status
    assert "Chutes said: boom" in said


@pytest.mark.parametrize("front", ["chat", "responses", "anthropic"])
async def test_an_error_within_a_stream(front: str) -> None:
    """A stream that breaks off ends in an error, never as if it were complete."""
    one = FRONTS[front]
    async with openrouter(api="chat") as (vendor, running):
        vendor.breaks = refusal(502, "Provider disconnected")["error"]
        async with running.http.post(running.url + one.path(MODEL, True), json=one.body(MODEL, True)) as response:
            said = await response.text()
    assert "Provider disconnected" in said
    assert not any(word in said for word in ("response.completed", "message_stop", '"finish_reason":"stop"'))


async def test_nobody_is_there() -> None:
    """A back-end that cannot be reached says so."""
    config = {"backends": {"openrouter": {"base_url": "http://127.0.0.1:9/api/v1"}}}
    async with run_gateway(config, {"OPENROUTER_API_KEY": KEY}) as running:
        status, said = await asked(running, "chat", MODEL, stream=False)
    assert 503 == status
    assert "cannot be reached" in said


async def test_a_bad_key_is_not_repeated() -> None:
    """The client hears that it is refused, and not what it is."""
    bad = "sk-or-v1-ffffffffffffffffffffffff"
    async with openrouter(key=bad) as (_, running):
        status, said = await asked(running, "anthropic", MODEL, stream=False)
    assert 401 == status
    assert bad not in said


@given(body=st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["error", "code", "message", "metadata", "raw", "headers", "reasons", "choices", "limit_source"]), inner),
    max_leaves=12).map(lambda tree: json.dumps(tree).encode())),
    status=st.sampled_from([200, 400, 402, 403, 404, 429, 502]), dialect=st.sampled_from(["openai.chat", ""]))  # fmt: skip
def test_any_body_can_be_explained(body: bytes, status: int, dialect: str) -> None:
    """Whatever comes as an error stays one of the same back-end."""
    error = UpstreamRefused("It failed.", upstream=UpstreamReply(status, body, dialect=dialect), kind="upstream_error")
    assert explained(error, 0.0) is error
    assert error.message.startswith("It failed.")


# ---- models -------------------------------------------------------------------------------------


async def test_models() -> None:
    """OpenRouter's list, each model by its whole name."""
    async with openrouter() as (_, running):
        _, body = await running.get("/v1/models")
    assert [(f"openrouter:{one}", one.partition("/")[0]) for one in MODELS] == [(m["id"], m["owned_by"]) for m in body["data"]]


async def test_the_list_says_what_models_can_do() -> None:
    """Once it was read, the limits in it are known of each model, but the deployment knows better."""
    backend = OpenRouter(profile={"max_output": 7})
    entry = {"id": "a/b:free", "context_length": 1000, "top_provider": {"max_completion_tokens": 100},
             "architecture": {"input_modalities": ["text", "image"]}}  # fmt: skip
    backend.read_models(json.dumps({"data": [entry]}).encode())
    found = backend.profile_of(COMPATIBLE, "a/b:nitro")
    (info,) = backend.read_models(json.dumps({"data": [entry]}).encode())
    assert (1000, 100) == (info.context, info.max_output)
    assert (1000, 7, frozenset({"image", "document"})) == (found.context, found.max_output, found.inputs)


@pytest.mark.parametrize(
    "entry",
    [None, [], {"id": "a"}, {"architecture": None, "top_provider": 1, "context_length": "?"}, {"context_length": True}],
)
def test_an_entry_that_says_nothing(entry: Any) -> None:
    """Nothing is known then."""
    assert {} == known(entry)


def test_a_model_by_its_name() -> None:
    """The way that it is routed is no part of what is known of it."""
    backend = OpenRouter()
    plain, free = (backend.profile_of(COMPATIBLE, f"deepseek/deepseek-v4-pro{tail}") for tail in ("", ":free"))
    assert plain == free
    assert (True, True) == (free.replays_thinking, free.takes_details)
