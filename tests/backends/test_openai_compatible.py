from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from llmgw import listing
from llmgw.config import load
from llmgw.errors import ConfigError, Misconfigured, UpstreamRefused
from llmgw.gateway import Gateway
from llmgw.model import ModelInfo, Profile, Request
from llmgw.secret import Secret
from llmgw.stages import Head, Target
from llmgw_dialects.anthropic_messages import DIALECT as ANTHROPIC_DIALECT
from llmgw_dialects.profiles import with_overrides
from llmgw_openai_compatible import Compatible, OpenAICompatible, Preset, presets
from llmgw_openai_compatible.quirks import Quirks, edited
from llmgw_testing import RunningGateway, run_gateway
from tests.backends.fakes.compatible import CHECKS, KEY, FakeCompatible
from tests.backends.fakes.server import event
from tests.backends.fronts import FRONTS, asked
from tests.toys import Toybox

TARGET = Target("groq", "m")


# ---- presets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "preset"), presets().items())
def test_a_preset(name: str, preset: Preset) -> None:
    """Its name is a word, its URL goes over TLS or stays on this machine, its variables are variables."""
    url = URL(re.sub(r"\$\{[A-Z][A-Z0-9_]*\}", "x", preset.base_url))

    assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
    assert url.scheme == "https" or (url.scheme == "http" and url.host == "localhost")
    assert not url.query_string and not preset.base_url.endswith(("/", "/chat/completions"))
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", one) for one in preset.key)
    assert preset.key or not preset.needs_key
    assert preset.title


def test_presets_are_unique() -> None:
    """No two are of one URL or one title; no key switches two on."""
    known = presets().values()
    keys = [one for preset in known if preset.needs_key for one in preset.key]

    assert len(known) == len({one.base_url for one in known}) == len({one.title for one in known})
    assert len(keys) == len(set(keys))


# ---- which providers ----------------------------------------------------------------------------


def made(toybox: Toybox, env: dict[str, str] | None = None, **options: Any) -> list[Compatible]:
    """The back-ends that these options give."""
    gateway = toybox.gateway(env=env)
    found = OpenAICompatible(**options).backends(gateway)
    return [one for one in found or () if isinstance(one, Compatible)]


def test_the_environment_switches_on(toybox: Toybox) -> None:
    """Without options: each hosted provider whose key is set, by its name."""
    found = made(toybox, {"GROQ_API_KEY": "g", "MISTRAL_API_KEY": "m", "DEEPSEEK_API_KEY": "", "VLLM_API_KEY": "v"})

    assert ["groq", "mistral"] == [one.name for one in found]
    assert ["https://api.groq.com/openai/v1", {"authorization": "Bearer g"}] == [found[0].base_url, found[0].headers(TARGET)]


def test_nothing_is_on_by_half(toybox: Toybox) -> None:
    """A key that is there for something else does not keep the gateway from starting."""
    assert [] == made(toybox, {"CLOUDFLARE_API_KEY": "c"})
    [one] = made(toybox, {"CLOUDFLARE_API_KEY": "c", "CLOUDFLARE_ACCOUNT_ID": "a1"})
    assert "https://api.cloudflare.com/client/v4/accounts/a1/ai/v1" == one.base_url


@pytest.mark.parametrize("options", [{"name": "groq"}, {"name": "mine", "preset": "groq"}])
def test_a_preset_by_name(toybox: Toybox, options: dict[str, str]) -> None:
    """The id, or the option, names it."""
    [one] = made(toybox, {"GROQ_API_KEY": "g"}, **options)

    assert (options["name"], "https://api.groq.com/openai/v1", "key from GROQ_API_KEY") == (
        one.name,
        one.base_url,
        one.credential_state,
    )


def test_a_preset_that_is_misspelt(toybox: Toybox) -> None:
    """The nearest is named; where none is near, all are."""
    with pytest.raises(ConfigError, match=r"there is no preset 'gorq' @ backends.x.preset; did you mean 'groq'"):
        made(toybox, name="x", preset="gorq")
    with pytest.raises(ConfigError, match="there are: ollama, "):
        made(toybox, name="x", preset="#")


def test_a_url_that_lacks_its_variable(toybox: Toybox) -> None:
    """Where it was asked for by name, it is a mistake."""
    with pytest.raises(
        ConfigError, match=r"CLOUDFLARE_ACCOUNT_ID is not set, and the URL of 'cloudflare' needs it @ backends.cloudflare"
    ):
        made(toybox, name="cloudflare")


def test_a_provider_of_ones_own(toybox: Toybox) -> None:
    """A base URL is all it takes; it is asked for no key that nobody has."""
    [one] = made(toybox, name="mine", base_url="http://localhost:9/v1", headers={"x-team": "a"})

    assert ("http://localhost:9/v1", {"x-team": "a"}, "needs no key") == (one.base_url, one.headers(TARGET), one.credential_state)


def test_a_preset_elsewhere(toybox: Toybox) -> None:
    """A proxy before a provider gets the key if there is one, and need not."""
    [with_key] = made(toybox, {"GROQ_API_KEY": "g"}, name="groq", base_url="http://localhost:9")
    [without] = made(toybox, name="groq", base_url="http://localhost:9")

    assert ({"authorization": "Bearer g"}, {}) == (with_key.headers(TARGET), without.headers(TARGET))


@pytest.mark.parametrize("variable", ["LM_API_TOKEN", "LMSTUDIO_API_KEY"])
def test_the_first_variable_that_is_set(toybox: Toybox, variable: str) -> None:
    """Of several that may hold the key."""
    [one] = made(toybox, {variable: "k"}, name="lmstudio")

    assert f"key from {variable}" == one.credential_state


# ---- one of them --------------------------------------------------------------------------------


def test_a_key_that_is_needed(toybox: Toybox) -> None:
    """What would be refused over there is told here."""
    [one] = made(toybox, name="groq")

    assert "no key: GROQ_API_KEY is not set" == one.credential_state
    with pytest.raises(Misconfigured, match="GROQ_API_KEY is not set"):
        one.headers(TARGET)


def test_a_key_that_is_not_needed(toybox: Toybox) -> None:
    """A server of one's own is asked without."""
    [one] = made(toybox, name="vllm")

    assert ("no key", {}) == (one.credential_state, one.headers(TARGET))


@pytest.mark.parametrize("url", ["http://h/v1", "http://h/v1/", "http://h/v1/chat/completions"])
def test_the_url_may_name_the_path(url: str) -> None:
    """As many vendors' manuals have it."""
    one = Compatible(name="x", base_url=url)

    assert "http://h/v1/chat/completions" == one.url(TARGET, Request(dialect="toy", model="m"))


async def test_models_of_ones_own(toybox: Toybox) -> None:
    """What the deployment lists goes before the provider's list, and asks nobody."""
    [one] = made(toybox, name="mine", base_url="http://localhost:9", models=["a", "b"])

    assert [ModelInfo("a", owned_by="mine"), ModelInfo("b", owned_by="mine")] == await one.models(toybox.gateway())


def test_in_a_deployment(toybox: Toybox) -> None:
    """The id in the YAML is the id of the back-end, and a key is named, not written."""
    file = toybox.folder / "llmgw.yaml"
    mine = "{type: openai-compatible, base_url: 'http://localhost:9', api_key: 'env:MINE'}"
    file.write_text(f"backends: {{mine: {mine}, groq: {{type: openai-compatible}}}}")
    gateway = Gateway.build(load(file, {"MINE": "k"}))

    assert ["mine", "groq"] == list(gateway.backends)
    made_of_it = gateway.backends["mine"]
    assert isinstance(made_of_it, Compatible) and Secret("MINE", "k") == made_of_it.api_key


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "groq"}, []),
        ({"name": "groq", "headers": {"x-a": "b\nc"}}, ["'x-a'"]),
        ({"name": "x", "base_url": "http://h/v1?key=1"}, ["query"]),
        ({"name": "x", "base_url": "http://h", "api_key": Secret("K", "k-1\x00")}, ["'authorization'"]),
    ],
)
def test_what_will_not_work(toybox: Toybox, options: dict[str, Any], expected: list[str]) -> None:
    """A URL or a header that cannot be is told before anything is sent, and no key with it; a key that is missing is not."""
    [one] = made(toybox, **options)
    told = list(one.problems())

    assert len(expected) == len(told)
    assert all(word in said and "k-1" not in said for word, said in zip(expected, told, strict=True))


@pytest.mark.parametrize("name", presets())
def test_presets_can_be_asked(toybox: Toybox, name: str) -> None:
    """No preset has a problem of its own."""
    [one] = made(toybox, {"CLOUDFLARE_ACCOUNT_ID": "a"}, name=name)

    assert [] == list(one.problems())


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """``llmgw plugins openai-compatible`` has each, with its URL and the variable of its key."""
    assert 0 == listing.run("openai-compatible", None, {})
    lines = capsys.readouterr().out.partition("\nAlso:\n")[2].splitlines()

    assert ["presets:", *presets()] == [line.split()[0] for line in lines]
    assert "    groq           Groq: https://api.groq.com/openai/v1, GROQ_API_KEY" in lines
    assert "    ollama         Ollama: http://localhost:11434/v1, no key" in lines


# ---- as strict as they are ----------------------------------------------------------------------

MODELS = {
    "deepseek": "deepseek-v4-pro", "mistral": "mistral-large-latest", "moonshot": "kimi-k2.6", "groq": "llama-3.3",
    "xai": "grok-4",
    "nvidia": "meta/llama-3.1-70b", "fireworks": "accounts/fireworks/models/glm-4p6", "vllm": "qwen3", "together": "Qwen/Qwen3",
    "dashscope": "qwen3-max", "cerebras": "llama3.1-8b", "kimi-coding": "kimi-for-coding",
    "minimax": "MiniMax-M2.7",
}  # fmt: skip
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": False,
    "properties": {"additionalProperties": {"type": "string"}, "at": {"type": "object", "additionalProperties": False}},
}  # fmt: skip
ANTHROPIC: dict[str, Any] = {
    "max_tokens": 2000, "temperature": 0.4, "stop_sequences": ["END"], "tool_choice": {"type": "any"},
    "thinking": {"type": "enabled", "budget_tokens": 1024}, "metadata": {"user_id": "u"},
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "tools": [{"name": "look", "input_schema": SCHEMA, "strict": True}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Look."}, {"type": "text", "text": "Now."}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "I do."}, {"type": "tool_use", "id": "toolu_01ABC", "name": "look", "input": {}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01ABC", "content": "seen"}]},
    ],
}  # fmt: skip
"""All at once that such providers stumble over."""
RESPONSES: dict[str, Any] = {
    "temperature": 1.7, "user": "u", "store": False, "reasoning": {"effort": "high"}, "tool_choice": "required",
    "tools": [{"type": "function", "name": "look", "parameters": SCHEMA, "strict": True}],
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Look."}, {"type": "input_text", "text": "Now."}]},
        {"type": "function_call", "call_id": "call_0123456789", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_0123456789", "output": "seen"},
    ],
}  # fmt: skip


@asynccontextmanager
async def strict(
    name: str, vendor: FakeCompatible | None = None, **options: Any
) -> AsyncIterator[tuple[FakeCompatible, RunningGateway]]:
    """Such a provider, and a gateway before it that knows it by its name."""
    async with (vendor or FakeCompatible(check=CHECKS.get(name, lambda tree: None))).running() as fake:
        made = {"type": "openai-compatible", "base_url": fake.url, "api_key": "env:THEIRS", **options}
        async with run_gateway({"backends": {name: made}}, {"THEIRS": KEY}) as running:
            yield fake, running


@pytest.mark.parametrize("name", CHECKS)
async def test_a_question(name: str) -> None:
    """Each client gets the answer of each of them, whole and streamed."""
    async with strict(name) as (vendor, running):
        model = f"{name}:{MODELS[name]}"
        said = {
            (front, stream): await asked(running, front, model, stream=stream) for front in FRONTS for stream in (False, True)
        }
    assert dict.fromkeys(said, (200, vendor.says)) == said


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CHECKS)
async def test_all_that_they_stumble_over(name: str, stream: bool) -> None:
    """Nothing of a client of another dialect reaches them that they refuse, nothing is asked twice, and the call comes back."""
    async with strict(name) as (vendor, running):
        vendor.calls = True
        asking = {"model": f"{name}:{MODELS[name]}", "stream": stream}
        for path, body in {"/v1/messages": ANTHROPIC, "/v1/responses": RESPONSES}.items():
            status, said = await running.post({**body, **asking}, path)
            assert 200 == status, said
            assert "look" in (said if isinstance(said, str) else json.dumps(said))
    assert 2 == len(vendor.came)


@pytest.mark.parametrize("name", CHECKS)
async def test_what_they_are_asked_without_is_told(name: str) -> None:
    """What of the request they were not told is in a header."""
    async with strict(name) as (vendor, running):
        body = {**ANTHROPIC, "model": f"{name}:{MODELS[name]}"}
        async with running.http.post(running.url + "/v1/messages", json=body) as response:
            told = set(response.headers.get("x-llmgw-losses", "").split(";"))
    sent = vendor.came[0].json
    function = sent["tools"][0]["function"]
    assert (function.get("strict") is True) != ("tools.strict" in told)
    assert ("additionalProperties" in function["parameters"]) != ("tools.schema.additionalProperties" in told)
    assert ("stop" in sent) != ("stop" in told)
    assert ("temperature" in sent) or ("temperature" in told)


@pytest.mark.parametrize("name", ["groq", "mistral", "deepseek", "moonshot"])
async def test_a_client_of_chat_is_taken_at_its_word(name: str) -> None:
    """What the provider takes goes to it byte by byte."""
    body = b'{"model": "%s:m", "messages":  [{"role": "user", "content": "Hi"}], "top_k": 1, "zzz": [1.0]}' % name.encode()
    async with strict(name, FakeCompatible()) as (vendor, running):
        await running.post(body)
    assert body.replace(b"%s:" % name.encode(), b"") == vendor.came[0].body


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("mistral", {"seed": 7}, {"seed": None, "random_seed": 7}),
        ("deepseek", {"thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled"}}),
        ("groq", {}, {}),
        ("moonshot", {"thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled"}}),
    ],
)
async def test_a_client_of_chat_is_helped_where_it_would_be_refused(
    name: str, more: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A field by another name, thoughts that a client has forgotten, nulls: what would surely fail does not."""
    call = {"id": "aB3dE6gH9", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call], **({"refusal": None} if name == "groq" else {})},
        {"role": "tool", "tool_call_id": "aB3dE6gH9", "content": "seen"},
    ]
    async with strict(name) as (vendor, running):
        status, said = await running.post({"model": f"{name}:{MODELS[name]}", "messages": messages, **more})
    assert 200 == status, said
    assert expected == {key: vendor.came[0].json.get(key) for key in expected}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("deepseek", {"thinking": {"type": "disabled"}}),
        ("moonshot", {"thinking": {"type": "disabled"}}),
        ("together", {"reasoning": {"enabled": False}}),
        ("dashscope", {"enable_thinking": False}),
        ("minimax", {"thinking": {"type": "disabled"}}),
    ],
)
async def test_thinking_is_switched_off(name: str, expected: dict[str, Any]) -> None:
    """In the provider's own way."""
    body = {
        **ANTHROPIC,
        "model": f"{name}:{MODELS[name]}",
        "thinking": {"type": "disabled"},
        "messages": ANTHROPIC["messages"][:1],
    }
    async with strict(name) as (vendor, running):
        await running.post(body, "/v1/messages")
    sent = vendor.came[0].json
    assert (expected, None) == ({key: sent.get(key) for key in expected}, sent.get("reasoning_effort"))


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "look"}])
async def test_a_forced_call_of_a_model_that_would_think(choice: Any) -> None:
    """DeepSeek cannot be made to call while it thinks, which it does by itself."""
    body = {**RESPONSES, "model": "deepseek:deepseek-v4-flash", "tool_choice": choice, "reasoning": None}
    async with strict("deepseek") as (vendor, running):
        status, said = await running.post(body, "/v1/responses")
    assert 200 == status, said
    assert {"type": "disabled"} == vendor.came[0].json["thinking"]


@pytest.mark.parametrize("name", ["deepseek", "groq", "fireworks", "mistral", "xai"])
async def test_a_schema_of_the_answer_beside_tools(name: str) -> None:
    """It does not reach those that refuse it, or both together."""
    form = {"type": "json_schema", "name": "said", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
    body = {**RESPONSES, "model": f"{name}:{MODELS[name]}", "tool_choice": "auto", "text": {"format": form}}
    async with strict(name) as (vendor, running):
        status, said = await running.post(body, "/v1/responses")
    assert (200, 1) == (status, len(vendor.came)), said


@pytest.mark.parametrize(("model", "expected"), [("mistral-small-latest", "high"), ("mistral-large-latest", None)])
async def test_an_effort(model: str, expected: str | None) -> None:
    """Mistral has one for a few models, and there are two."""
    async with strict("mistral") as (vendor, running):
        await running.post({**RESPONSES, "model": f"mistral:{model}"}, "/v1/responses")
    assert expected == vendor.came[0].json.get("reasoning_effort")


@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_apart_from_the_text(stream: bool) -> None:
    """MiniMax is asked for them so by a client of another dialect, and a client of Chat Completions as it asked."""
    async with strict("minimax", FakeCompatible(thinks="Let me think.")) as (vendor, running):
        body = {**ANTHROPIC, "model": "minimax:MiniMax-M2.7", "stream": stream}
        _, said = await running.post(body, "/v1/messages")
        own = await asked(running, "chat", "minimax:MiniMax-M2.7", stream=stream)
    told = said if isinstance(said, str) else json.dumps(said)
    assert ("Let me think." in told, vendor.says in told, "<think>" in told) == (True, True, False)
    assert '"thinking"' in told
    assert (200, f"<think>Let me think.</think>{vendor.says}") == own


async def test_an_error_in_a_success() -> None:
    """MiniMax has answered so, in a shape of its own; what it says is what it means."""
    refused = {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}
    async with strict("minimax") as (vendor, running):
        vendor.fails("/chat/completions", 200, refused)
        status, said = await asked(running, "anthropic", "minimax:MiniMax-M2.7", stream=False)
    assert (402, True) == (status, "Add credits at https://platform.minimax.io." in said)


async def test_lines_that_keep_a_connection_alive() -> None:
    """DeepSeek's comments in a stream, and empty lines before a body, are no part of an answer."""
    async with strict("deepseek") as (vendor, running):
        vendor.lead = (b": keep-alive\n\n",)
        streamed = await asked(running, "anthropic", "deepseek:deepseek-v4-pro", stream=True)
        vendor.lead = (b"\n", b"\n")
        whole = await asked(running, "anthropic", "deepseek:deepseek-v4-pro", stream=False)
    assert [(200, vendor.says)] * 2 == [streamed, whole]


# ---- their failures -----------------------------------------------------------------------------

_AGENTS = "Kimi For Coding is currently only available for Coding Agents such as Kimi CLI, Claude Code."


def _object(message: str, **more: Any) -> dict[str, Any]:
    """An error as OpenAI has them."""
    return {"error": {"message": message, **more}}


FAILURES: list[tuple[str, int, Any, tuple[str, str]]] = [
    ("deepseek", 402, _object("Insufficient Balance", type="unknown_error"), ("billing", "Insufficient Balance")),
    ("deepseek", 401, _object("Authentication Fails"), ("authentication", "Authentication Fails")),
    ("deepseek", 400, _object("The supported API model names are x, but you passed y."), ("model_not_found", "you passed y")),
    ("deepseek", 503, _object("Busy"), ("overloaded", "Busy")),
    ("groq", 498, _object("Flex capacity exceeded"), ("overloaded", "capacity")),
    ("groq", 413, _object("Request too large", type="tokens", code="rate_limit_exceeded"), ("rate_limited", "too large")),
    ("groq", 400, _object("Failed to call a function.", code="tool_use_failed"), ("upstream_error", "ask again")),
    ("groq", 400, _object("Tool call validation failed: x", code="tool_use_failed"), ("upstream_error", "ask again")),
    ("mistral", 422, {"detail": [{"loc": ["body", "x"], "msg": "Extra inputs"}]}, ("invalid_request", "Extra inputs")),
    ("mistral", 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model"}, ("model_not_found", "Invalid")),
    ("mistral", 400, {"object": "error", "message": "Prompt has 9 tokens, too many tokens"}, ("context_length", "too many")),
    ("moonshot", 429, _object("Overloaded", type="engine_overloaded"), ("overloaded", "Overloaded")),
    ("moonshot", 400, _object("high risk", type="content_filter"), ("content_policy", "high risk")),
    ("xai", 403, {"code": "Forbidden", "error": "Your team doesn't have any credits yet."}, ("billing", "console.x.ai")),
    ("xai", 403, {"code": "Forbidden", "error": "Content violates usage guidelines."}, ("content_policy", "violates")),
    ("xai", 403, {"code": "Forbidden", "error": "Your API key is currently blocked"}, ("authentication", "XAI_API_KEY")),
    ("fireworks", 404, _object("Model not found, inaccessible"), ("model_not_found", "Model not found")),
    ("llamacpp", 503, _object("Loading model", code=503, type="unavailable_error"), ("overloaded", "Loading")),
    ("llamacpp", 500, _object("tools param requires --jinja flag", code=500), ("invalid_request", "Start llama-server")),
    ("minimax", 500, {"type": "error", "error": {"message": "insufficient balance (1008)"}}, ("billing", "Add credits")),
    ("opencode-zen", 401, _object("Insufficient balance.", type="CreditsError"), ("billing", "https://opencode.ai/zen")),
    ("opencode-zen", 401, _object("Model gpt-9 is not supported", type="ModelError"), ("model_not_found", "own dialects")),
    ("kimi-coding", 403, _object(_AGENTS, type="access_terminated_error"), ("permission", "MOONSHOT_API_KEY")),
    ("vllm", 400, {"object": "error", "message": "maximum context length is 9 tokens"}, ("context_length", "maximum")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "body", "expected"), FAILURES)
def test_a_refusal(toybox: Toybox, name: str, status: int, body: Any, expected: tuple[str, str]) -> None:
    """In whatever shape it comes, what it means is known, and what to do next is said where the provider does not."""
    [one] = made(toybox, name=name)
    error = one.explained(one.flavour.read_error(status, {}, json.dumps(body).encode()))
    assert expected[0] == error.kind
    assert expected[1] in error.message


async def test_a_rate_limit() -> None:
    """The client hears when to come back."""
    async with strict("groq") as (vendor, running):
        vendor.fails(
            "/chat/completions",
            429,
            {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}},
            {"retry-after": "7"},
        )
        async with running.http.post(running.url + "/v1/messages", json={**ANTHROPIC, "model": "groq:m"}) as response:
            assert (429, "7") == (response.status, response.headers["retry-after"])


async def test_a_call_that_is_none_within_a_stream() -> None:
    """Groq's error event ends the stream as an error."""
    error = {
        "message": "Failed to call a function.",
        "type": "invalid_request_error",
        "code": "tool_use_failed",
        "failed_generation": "<x>",
    }
    async with strict("groq") as (vendor, running):
        vendor.breaks = (event({"error": error}, "error"),)
        async with running.http.post(
            running.url + "/v1/messages", json={**ANTHROPIC, "model": "groq:m", "stream": True}
        ) as response:
            said = await response.text()
    assert ("Failed to call a function" in said, "message_stop" in said) == (True, False)


async def test_nobody_is_there() -> None:
    """A server that does not run is told of as that."""
    config = {"backends": {"ollama": {"type": "openai-compatible", "base_url": "http://127.0.0.1:9"}}}
    async with run_gateway(config) as running:
        status, said = await asked(running, "chat", "ollama:qwen3", stream=False)
    assert (503, True) == (status, "Is it running" in said)


# ---- servers of one's own -----------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
@pytest.mark.parametrize("name", ["ollama", "lmstudio", "vllm", "llamacpp", "mine"])
async def test_a_server_with_or_without_its_path(name: str, tail: str) -> None:
    """People write a base URL in many ways; both the list and the questions get there, and no key."""
    async with FakeCompatible(key=None).running() as fake:
        config = {"backends": {name: {"type": "openai-compatible", "base_url": fake.url + tail}}}
        async with run_gateway(config) as running:
            said = await asked(running, "chat", f"{name}:a-model", stream=False)
            _, models = await running.get("/v1/models")
    assert ((200, fake.says), [f"{name}:a-model"]) == (said, [one["id"] for one in models["data"]])
    assert [] == [one for one in fake.came if "authorization" in one.headers]


@pytest.mark.parametrize("url", ["https://api.perplexity.ai", "https://api.perplexity.ai/"])
def test_a_provider_whose_api_is_at_its_host(toybox: Toybox, url: str) -> None:
    """No path is put behind such a one."""
    [one] = made(toybox, name="mine", base_url=url)

    assert "https://api.perplexity.ai/chat/completions" == one.url(TARGET, Request(dialect="toy", model="m"))


async def test_a_server_without_a_list(toybox: Toybox) -> None:
    """Its models can be named instead."""
    async with FakeCompatible(key=None).running() as fake:
        fake.fails("/models", 404, {"detail": "Not Found"})
        async with run_gateway({"backends": {"echo": {}}}, {}) as running:
            [one] = made(toybox, name="mine", base_url=fake.url)
            with pytest.raises(UpstreamRefused, match="option 'models'"):
                await one.models(running.gateway)


# ---- plans --------------------------------------------------------------------------------------

PLANS = [name for name, one in presets().items() if one.terms]


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_on_only_by_its_name(toybox: Toybox, name: str) -> None:
    """A key in the environment is not enough; then it says what its vendor allows, and serves this machine alone."""
    env = {presets()[name].key[0]: "k"}
    [one] = made(toybox, env, name=name)

    assert [] == made(toybox, env)
    assert (True, (presets()[name].terms,)) == (one.loopback_only, one.notices)


def test_a_preset_that_is_no_plan(toybox: Toybox) -> None:
    """Has no terms, and serves whoever may ask the gateway."""
    [one] = made(toybox, {"GROQ_API_KEY": "g"}, name="groq")

    assert (False, ()) == (one.loopback_only, one.notices)


def test_the_field_that_limits_an_answer(toybox: Toybox) -> None:
    """The older one, unless a preset has the newer."""
    request = ANTHROPIC_DIALECT.read_request(Head(), json.dumps({**ANTHROPIC, "model": "m"}).encode())
    told = {}
    for name in ("groq", "cerebras"):
        [one] = made(toybox, name=name)
        told[name] = [key for key in json.loads(one.flavour.write_request(request)) if key.startswith("max_")]

    assert {"groq": ["max_tokens"], "cerebras": ["max_completion_tokens"]} == told


# ---- quirks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "preset"), presets().items())
def test_what_a_preset_says_of_models(name: str, preset: Preset) -> None:
    """It says so in fields that a profile has, whatever the model."""
    for model in ("x", *(pattern.replace("*", "") for pattern in preset.models)):
        with_overrides(Profile(), preset.of_model(model))


TREES = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "system"]),
         "content": st.none() | st.text(max_size=3) | st.lists(st.fixed_dictionaries(
             {"type": st.just("text"), "text": st.text(max_size=3)}, optional={"cache_control": st.just({})}), max_size=2)},
        optional={"name": st.just("n"), "refusal": st.none(), "tool_calls": st.just([{"id": "c"}]),
                  "reasoning_content": st.sampled_from(["", "t"])}), max_size=3)},
    optional={"seed": st.integers(), "stream_options": st.just({}), "tool_choice": st.just("required"),
              "reasoning_effort": st.sampled_from(["none", "low"]), "thinking": st.just({"type": "enabled"}),
              "tools": st.just([{"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMA}}])},
)  # fmt: skip


@given(tree=TREES, name=st.sampled_from(sorted(presets())), own=st.booleans())
def test_an_edit_is_made_once(tree: dict[str, Any], name: str, own: bool) -> None:
    """A body that was edited needs no further edit, and the one it was made from is as it was."""
    before, quirks = json.dumps(tree), presets()[name].quirks
    once = edited(tree, quirks, [], own=own)
    lost: list[tuple[str, str]] = []
    assert once == edited(once, quirks, lost, own=own)
    assert ([], before) == (lost, json.dumps(tree))


@given(tree=TREES, name=st.sampled_from(sorted(presets())))
def test_a_body_that_needs_no_edit_is_not_touched(tree: dict[str, Any], name: str) -> None:
    """A provider without quirks gets what was written."""
    assert tree == edited(tree, Quirks(), [], own=False)


def test_a_property_that_is_called_like_a_keyword() -> None:
    """It stays; the keyword goes, at any depth, and is one loss."""
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    lost: list[tuple[str, str]] = []
    quirks = Quirks(in_schema=("additionalProperties", "$schema"))
    out = edited({"messages": [], "tools": [tool]}, quirks, lost, own=False)
    schema = out["tools"][0]["function"]["parameters"]
    assert {"type": "object", "properties": {"additionalProperties": {"type": "string"}, "at": {"type": "object"}}} == schema
    assert {"tools.schema.additionalProperties", "tools.schema.$schema"} == {feature for _, feature in lost}
