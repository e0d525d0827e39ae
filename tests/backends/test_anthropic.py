from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from llmgw.errors import Misconfigured
from llmgw.secret import Secret
from llmgw.stages import Target
from llmgw_anthropic import VENDOR, Anthropic
from llmgw_testing import RunningGateway, run_gateway
from tests.backends.fakes.anthropic import ANSWER, KEYS, FakeAnthropic, error
from tests.backends.fronts import FRONTS, asked

MODEL = "anthropic:claude-opus-4-6"
QUESTION = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
ENV = {"ANTHROPIC_API_KEY": KEYS[0]}
NEW = "2026-10-21"


@pytest.fixture
async def claude() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic().running() as fake:
        yield fake


def gateway(claude: FakeAnthropic, env: Mapping[str, str] = ENV, **options: Any) -> AbstractAsyncContextManager[RunningGateway]:
    return run_gateway({"backends": {"anthropic": {"base_url": claude.url, **options}}}, env)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_every_front_is_answered(claude: FakeAnthropic, front: str, stream: bool) -> None:
    """By key, in the version that is older and still served."""
    async with gateway(claude) as running:
        assert (200, ANSWER) == await asked(running, front, MODEL, stream=stream)
    headers = claude.came[0].headers
    assert (KEYS[0], "2023-06-01", False) == (headers["x-api-key"], headers["anthropic-version"], "authorization" in headers)


@pytest.mark.parametrize("url", [VENDOR, f"{VENDOR}/"])
def test_the_vendor_is_not_asked_without_a_key(url: str) -> None:
    """What would be refused over there is told here, with the variable to set."""
    one = Anthropic(api_key=Secret("ANTHROPIC_API_KEY"), base_url=url)
    with pytest.raises(Misconfigured, match="ANTHROPIC_API_KEY is not set"):
        one.headers(Target("anthropic", "m"))
    assert "Export ANTHROPIC_API_KEY" in one.credentials[0].problem


async def test_several_keys(claude: FakeAnthropic) -> None:
    """Each is a credential by its variable's name; the first one serves who names none."""
    async with gateway(claude, ENV | {"ANTHROPIC_API_KEY_2": KEYS[1]}) as running:
        backend = running.gateway.backends["anthropic"]
        assert ["ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_2"] == [one.name for one in backend.credentials]
        assert isinstance(backend, Anthropic)
        assert {"x-api-key": KEYS[1]} == backend.headers(Target("anthropic", "m", "ANTHROPIC_API_KEY_2"))
        assert {"x-api-key": KEYS[0]} == backend.headers(Target("anthropic", "m"))


async def test_listed_keys(claude: FakeAnthropic) -> None:
    """Those alone, in their order."""
    async with gateway(claude, {"A": KEYS[1], "B": KEYS[0]} | ENV, keys=["env:A", "env:B"]) as running:
        assert 200 == (await running.post(QUESTION, "/v1/messages"))[0]
        assert ["A", "B"] == [one.name for one in running.gateway.backends["anthropic"].credentials]
    assert KEYS[1] == claude.came[0].headers["x-api-key"]


# ---- versions and betas -------------------------------------------------------------------------


async def test_a_clients_version_is_passed_on(claude: FakeAnthropic) -> None:
    """Whatever the deployment says for others."""
    async with gateway(claude) as running:
        await running.post(QUESTION, "/v1/messages", anthropic_version=NEW)
    assert NEW == claude.came[0].headers["anthropic-version"]


@pytest.mark.parametrize(
    ("version", "left_out"), [("2023-06-01", None), (NEW, "temperature;top_p"), ("2027-01-01", "temperature;top_p")]
)
async def test_a_version_for_clients_of_other_dialects(claude: FakeAnthropic, version: str, left_out: str | None) -> None:
    """What is no more in it is left out, and the client told."""
    body = CHAT | {"temperature": 0.5} | ({"top_p": 0.5} if left_out else {})
    claude.versions |= {version}
    async with (
        gateway(claude, version=version) as running,
        running.http.post(f"{running.url}/v1/chat/completions", json=body) as answer,
    ):
        assert (200, left_out) == (answer.status, answer.headers.get("x-llmgw-losses"))
    [came] = claude.came
    assert (version, None if left_out else 0.5) == (came.headers["anthropic-version"], came.json.get("temperature"))


@pytest.mark.parametrize("version", ["2023-06-01", NEW])
async def test_what_a_client_of_this_dialect_says_is_its_own(claude: FakeAnthropic, version: str) -> None:
    """It gets Anthropic's own refusal, and nothing is left out in silence."""
    async with gateway(claude) as running:
        status, body = await running.post(QUESTION | {"temperature": 1}, "/v1/messages", anthropic_version=version)
    assert (200 if version != NEW else 400) == status
    assert 1 == claude.came[0].json["temperature"] and ("temperature" in json.dumps(body)) == (version == NEW)


DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A text"}}
CITED = {"type": "text", "text": "A text", "citations": [{"type": "char_location", "cited_text": "A"}]}


@pytest.mark.parametrize(("role", "block"), [("assistant", DOCUMENT), ("user", CITED)])
@pytest.mark.parametrize("version", ["2023-06-01", NEW])
async def test_what_the_newer_version_refuses_goes_there_as_it_is(
    claude: FakeAnthropic, version: str, role: str, block: dict[str, Any]
) -> None:
    """A client that names a version knows it; its blocks are not touched."""
    turns = [{"role": "user", "content": "Hi"}, {"role": role, "content": [block]}, {"role": "user", "content": "Go on"}]
    async with gateway(claude) as running:
        status, _ = await running.post(QUESTION | {"messages": turns}, "/v1/messages", anthropic_version=version)
    assert (400 if version == NEW else 200, turns) == (status, claude.came[0].json["messages"])


async def test_betas_are_merged(claude: FakeAnthropic) -> None:
    """The client's first, each once; a client of another dialect gets the deployment's."""
    async with gateway(claude, betas=["b", "c"]) as running:
        await running.post(QUESTION, "/v1/messages", anthropic_beta="a, b")
        await running.post(CHAT)
    assert ["a,b,c", "b,c"] == [came.headers["anthropic-beta"] for came in claude.came]


# ---- counting and models ------------------------------------------------------------------------


async def test_tokens_are_counted_there(claude: FakeAnthropic) -> None:
    """Also for a client of another dialect, without what a count has no room for."""
    async with gateway(claude) as running:
        assert (200, {"input_tokens": 42}) == await running.post(QUESTION, "/v1/messages/count_tokens")
        path = f"/v1beta/models/{MODEL}:countTokens"
        body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"temperature": 1}}
        assert 42 == (await running.post(body, path))[1].get("totalTokens")


async def test_its_models_on_several_pages(claude: FakeAnthropic) -> None:
    """Each page is asked for behind the last model of the one before."""
    claude.pages = [["claude-a", "claude-b"], ["claude-c"], ["claude-d"]]
    async with gateway(claude) as running:
        _, body = await running.get("/v1/models")
    assert [f"anthropic:claude-{letter}" for letter in "abcd"] == [one["id"] for one in body["data"]]
    assert [None, "claude-b", "claude-c"] == [came.query.get("after_id") for came in claude.came]


# ---- failures -----------------------------------------------------------------------------------

LIMIT = {"retry-after": "7"}
FAILURES: dict[str, tuple[int, dict[str, Any], dict[str, str], str, int]] = {
    "bad key": (401, error("authentication_error", "invalid x-api-key"), {}, "authentication", 401),
    "no credit": (402, error("billing_error", "Payment is due"), {}, "billing", 402),
    "credit balance": (400, error("invalid_request_error", "Your credit balance is too low"), {}, "billing", 400),
    "spend limit": (
        429, error("rate_limit_error", "Spend limit reached", error_code="enforced_spend_limit_reached"), {}, "billing", 429,
    ),
    "not allowed": (403, error("permission_error", "No"), {}, "permission", 403),
    "no such model": (404, error("not_found_error", "model: claude-9"), {}, "model_not_found", 404),
    "too large": (413, error("request_too_large", "Request exceeds the maximum size"), {}, "request_too_large", 413),
    "rate limit": (429, error("rate_limit_error", "Too many requests"), LIMIT, "rate_limited", 429),
    "outage": (500, error("api_error", "Internal server error"), {}, "upstream_error", 500),
    "slow": (504, error("timeout_error", "Timed out"), {}, "timeout", 504),
    "overload": (529, error("overloaded_error", "Overloaded"), {}, "overloaded", 529),
    "context": (400, error("invalid_request_error", "prompt is too long: 21 tokens > 20 maximum"), {}, "context_length", 400),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
async def test_each_class_of_failure(claude: FakeAnthropic, case: str) -> None:
    """A client of this dialect gets Anthropic's own answer, one of another the same words; the class is what routes see."""
    status, body, headers, kind, chat = FAILURES[case]
    claude.fails("/v1/messages", status, body, headers)
    claude.fails("/v1/messages", status, body, headers)
    async with gateway(claude) as running:
        assert (status, body) == await running.post(QUESTION, "/v1/messages")
        async with running.http.post(f"{running.url}/v1/chat/completions", json=CHAT) as answer:
            told = await answer.json()
        backend = running.gateway.backends["anthropic"]
    assert isinstance(backend, Anthropic)
    found = backend.dialect.read_error(status, headers, json.dumps(body).encode())
    assert (kind, chat, headers.get("retry-after")) == (found.kind, answer.status, answer.headers.get("retry-after"))
    assert body["error"]["message"] in told["error"]["message"]


async def test_a_refusal_of_the_model(claude: FakeAnthropic) -> None:
    """It is an answer without words, which clients of other dialects know by its reason."""
    claude.stop = "refusal"
    async with gateway(claude) as running:
        assert "refusal" == (await running.post(QUESTION, "/v1/messages"))[1]["stop_reason"]
        [choice] = (await running.post(CHAT))[1]["choices"]
    assert ("content_filter", "No weapons.") == (choice["finish_reason"], choice["message"]["refusal"])


async def test_an_error_within_a_stream(claude: FakeAnthropic) -> None:
    """It ends the stream as one, never as if the answer were complete."""
    claude.breaks = True
    async with gateway(claude) as running:
        _, said = await running.post(CHAT | {"stream": True})
    assert "Overloaded" in said and '"finish_reason":"stop"' not in said


async def test_nobody_is_there(unused_tcp_port: int) -> None:
    """What cannot be reached is told with what to check."""
    config = {"backends": {"anthropic": {"base_url": f"http://127.0.0.1:{unused_tcp_port}"}}}
    async with run_gateway(config, ENV) as running:
        status, body = await running.post(QUESTION, "/v1/messages")
    assert status >= 500 and "base_url" in body["error"]["message"]
