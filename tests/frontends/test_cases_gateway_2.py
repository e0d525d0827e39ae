"""Acceptance cases 31 to 60 that need a running gateway: counting, going on, keep-alive, leaving, errors, models, state."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmgw_testing import Answer, Break, FakeClock, Hang, Provider, RunningGateway, Wait, run_gateway
from llmgw_testing.provider import stream, whole

sys.path.insert(0, str(Path(__file__).parents[1] / "dialects"))

from asking import Assistant, Call, Result, User, asks
from said import Said, event_frames, frames_of, message, says
from sdk_oracles import heard

PATHS = {"C": "/v1/chat/completions", "S": "/v1/responses", "A": "/v1/messages", "G": "/v1beta/models/m:generateContent"}
STREAMED = PATHS | {"G": "/v1beta/models/m:streamGenerateContent?alt=sse"}
ALL = [(front, back) for front in "CSAG" for back in "CSAG"]


def deployment(provider: Provider, back: str, **proxy: Any) -> dict[str, Any]:
    """A gateway with one back-end, which speaks this dialect."""
    bare = provider.base_url.removesuffix("/v1")
    one: dict[str, Any] = {
        "C": {"type": "openai", "base_url": provider.base_url, "api": "chat"},
        "S": {"type": "openai", "base_url": provider.base_url, "api": "responses"},
        "A": {"type": "anthropic", "base_url": bare},
        "G": {"type": "gemini", "base_url": bare},
    }[back]
    return {"backends": {"p": one}, "default_backend": "p", "auth": {"disable_auth": True}, "proxy": proxy}


def body_of(front: str, *turns: Any, streamed: bool = False, **rest: Any) -> dict[str, Any]:
    """A client's request with its model and its wish for a stream."""
    named = {} if front == "G" else {"model": "m", **({"stream": True} if streamed else {})}
    return {**named, **asks(front, *turns, **rest)}


async def posted(running: RunningGateway, front: str, body: Any, *, streamed: bool = False) -> tuple[int, bytes, dict[str, str]]:
    """Status, bytes and headers of the answer."""
    path = (STREAMED if streamed else PATHS)[front]
    async with running.http.post(
        running.url + path, data=json.dumps(body), headers={"content-type": "application/json"}
    ) as answer:
        return answer.status, await answer.read(), {name.lower(): value for name, value in answer.headers.items()}


def replying(back: str, reply: Said, *, streamed: bool) -> Answer:
    """A provider that says it."""
    data = says(back, reply, stream=streamed)
    return stream(data) if streamed else whole(data)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("front", "back"), ALL)
async def test_every_pair_answers(provider: Provider, front: str, back: str, streamed: bool) -> None:
    """The means of these tests: real front-ends and back-ends, sockets on both sides, and each SDK understands."""
    provider.answers(replying(back, Said("Hello", calls=(("c1", "f", '{"a": 1}'),)), streamed=streamed))
    async with run_gateway(deployment(provider, back)) as running:
        status, data, _ = await posted(running, front, body_of(front, tools=("f",), streamed=streamed), streamed=streamed)

    assert 200 == status, data
    got = heard(front, data, stream=streamed)
    assert ("Hello", [("f", {"a": 1})]) == (got.text, got.calls)


# ---- 35 -----------------------------------------------------------------------------------------

COUNTED = {"S": {"object": "response.input_tokens", "input_tokens": 123}, "A": {"input_tokens": 123}, "G": {"totalTokens": 123}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAN"}}
COUNTING = {
    "model": "m",
    "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hello"}, IMAGE]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a result"}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("back", "SAG")
async def test_case_35_the_provider_counts_where_it_can(provider: Provider, back: str) -> None:
    """What it is asked is the translated request, and its number is told in the client's words."""
    provider.answers(whole(COUNTED[back]))
    async with run_gateway(deployment(provider, back)) as running:
        status, body = await running.post(COUNTING, "/v1/messages/count_tokens")

    assert (200, 123) == (status, body["input_tokens"])
    seen = provider.seen[0]
    assert {"S": "/responses/input_tokens", "A": "/v1/messages/count_tokens", "G": ":countTokens"}[back] in seen.path
    assert all(word in seen.body for word in (b"hello", b"iVBORw0KGgo", b"a result", b'"f"'))


@pytest.mark.parametrize("answer", ["none", "404"])
async def test_case_35_elsewhere_it_is_estimated_and_said_so(provider: Provider, answer: str) -> None:
    """Never 404 for Anthropic's clients: too many rather than too few."""
    provider.answers(whole({"error": {"message": "no such path"}}, 404))
    config = deployment(provider, "A")
    if answer == "none":
        config["backends"] = {"p": {"type": "openai-compatible", "base_url": provider.base_url}}
    async with run_gateway(config) as running:
        async with running.http.post(running.url + "/v1/messages/count_tokens", json=COUNTING) as got:
            status, body, headers = got.status, await got.json(), got.headers
        async with running.http.post(running.url + "/v1/messages/count_tokens", json={**COUNTING, "tools": []}) as got:
            fewer = (await got.json())["input_tokens"]

    assert (200, "true") == (status, headers["x-llmgw-estimated"])
    assert body["input_tokens"] > fewer > 1600
    assert (answer == "404") == bool(provider.seen)


# ---- 51 -----------------------------------------------------------------------------------------

SEARCH: dict[str, dict[str, Any]] = {
    "S": {"tools": [{"type": "web_search"}]}, "C": {"web_search_options": {}}, "G": {"tools": [{"googleSearch": {}}]},
    "A": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
}  # fmt: skip


def paused(words: str, stop: str, tokens: int, *, streamed: bool) -> Answer:
    """A piece of an answer of Anthropic's."""
    usage = {"input_tokens": tokens, "output_tokens": tokens}
    if not streamed:
        return whole(message([{"type": "text", "text": words}], stop, usage))
    return stream(event_frames(
        {"type": "message_start", "message": message([], None, {"input_tokens": tokens, "output_tokens": 1})},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": tokens}},
        {"type": "message_stop"},
    ))  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("front", "CSG")
async def test_case_51_a_pause_is_gone_over(provider: Provider, front: str, streamed: bool) -> None:
    """The gateway asks on with what was said; the client gets one reply, and all that was used is added up."""
    provider.answers(
        paused("One, ", "pause_turn", 10, streamed=streamed), paused("two, ", "pause_turn", 20, streamed=streamed),
        paused("three.", "end_turn", 40, streamed=streamed),
    )  # fmt: skip
    body = {**body_of(front, User("Count."), streamed=streamed), **SEARCH[front]}
    if front == "C" and streamed:
        body["stream_options"] = {"include_usage": True}
    async with run_gateway(deployment(provider, "A")) as running:
        status, data, _ = await posted(running, front, body, streamed=streamed)
    got = heard(front, data, stream=streamed)

    assert (200, 3) == (status, len(provider.seen))
    assert ("One, two, three.", 70, 70) == (got.text.replace("\n", ""), got.input, got.output)
    assert got.stop == {"C": "stop", "S": "completed", "G": "STOP"}[front]
    first, second, third = (one.json["messages"] for one in provider.seen)
    assert first == second[: len(first)] and "assistant" == second[-1]["role"] and "One, " in json.dumps(second[-1])
    assert "One, " in json.dumps(third) and "two, " in json.dumps(third[-1]) and "assistant" == third[-1]["role"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_case_51_a_pause_passes_within_the_dialect(provider: Provider, streamed: bool) -> None:
    """Anthropic's client goes on by itself."""
    provider.answers(paused("One, ", "pause_turn", 10, streamed=streamed))
    async with run_gateway(deployment(provider, "A")) as running:
        _, data, _ = await posted(running, "A", {**body_of("A", streamed=streamed), **SEARCH["A"]}, streamed=streamed)

    assert 1 == len(provider.seen) and "pause_turn" == heard("A", data, stream=streamed).stop


@pytest.mark.parametrize("front", "CSA")
async def test_case_51_a_continuation_of_geminis(provider: Provider, front: str) -> None:
    """Asked on with the token that the reply gave."""

    def piece(words: str, **rest: Any) -> Answer:
        told = {"content": {"role": "model", "parts": [{"text": words}]}, "index": 0, **rest}
        return whole(
            {"candidates": [told], "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 5, "totalTokenCount": 10}}
        )

    provider.answers(piece("One, ", finishReason="CONTINUATION", continuationToken="tok-1"), piece("two.", finishReason="STOP"))
    async with run_gateway(deployment(provider, "G")) as running:
        _, data, _ = await posted(running, front, body_of(front))
    got = heard(front, data, stream=False)

    assert 2 == len(provider.seen) and "tok-1" == provider.seen[1].json["continuationToken"]
    assert ("One, two.", 10, 10) == (got.text.replace("\n", ""), got.input, got.output)


# ---- 54 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(("front", "back"), ALL)
async def test_case_54_a_silent_minute(provider: Provider, front: str, back: str, begun: bool) -> None:
    """What the client hears meanwhile is harmless; its SDK puts the reply together, and the provider is asked once."""
    clock, more = FakeClock(), asyncio.Event()
    data = says(back, Said("Hello there", pieces=3), stream=True)
    at = data.index(b"\n\n", data.index(b"Hel")) + 2 if begun else 0
    provider.answers(stream(*([data[:at]] if at else []), Wait(more), data[at:]))
    config = deployment(provider, back, heartbeat=15.0, commit_delay=15.0)
    async with run_gateway(config, clock=clock.clock) as running:
        asking = asyncio.ensure_future(posted(running, front, body_of(front, streamed=True), streamed=True))
        await provider.asked.wait()
        await settled(lambda: any(exchange.reads for exchange in running.gateway.exchanges) if begun else True)
        await clock.advance(60)
        beats = max(exchange.beats for exchange in running.gateway.exchanges)
        more.set()
        status, got, _ = await asking

    assert (200, 1) == (status, len(provider.seen))
    assert "Hello there" == heard(front, got, stream=True).text
    assert beats >= 3
    # a response that has not begun has no id to be repeated
    signs = {"C": b": keep-alive", "A": b"event: ping", "S": b"response.in_progress" if begun else b": keep-alive", "G": b"\n"}
    assert got.count(signs[front]) >= 3
    if front == "G":
        assert all(not line.strip() or line.startswith(b"data: {") for line in got.split(b"\n"))
    if front == "S" and begun:
        assert 1 == len({one["response"]["id"] for one in frames_of(got) if "response" in one})


async def settled(ready: Callable[[], bool]) -> None:
    """Wait until something has come true that sockets bring about."""
    for _ in range(5000):
        if ready():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come true")


# ---- 56, T65 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("front", "back"), ALL)
async def test_case_56_the_client_leaves(provider: Provider, front: str, back: str, caplog: pytest.LogCaptureFixture) -> None:
    """The provider's connection is closed at once, nothing of the exchange is left, and the log has no error."""
    caplog.set_level(logging.WARNING)
    data = says(back, Said("Hello there", pieces=3), stream=True)
    at = data.index(b"\n\n", data.index(b"Hel")) + 2
    provider.answers(stream(data[:at], Hang()))
    async with run_gateway(deployment(provider, back)) as running:
        body = json.dumps(body_of(front, streamed=True))
        async with running.http.post(running.url + STREAMED[front], data=body) as answer:
            assert await answer.content.readany()
            answer.close()
        async with asyncio.timeout(1):
            await provider.left.wait()
        await settled(lambda: not running.gateway.exchanges)

    assert [] == [record.message for record in caplog.records if record.levelno >= logging.WARNING]


async def test_t65_a_client_that_leaves_before_the_first_word(provider: Provider) -> None:
    """The provider is let go within a second, too."""
    provider.answers(stream(Hang()))
    async with run_gateway(deployment(provider, "A")) as running:
        asking = asyncio.ensure_future(posted(running, "C", body_of("C", streamed=True), streamed=True))
        await provider.asked.wait()
        asking.cancel()
        async with asyncio.timeout(1):
            await provider.left.wait()
        await settled(lambda: not running.gateway.exchanges)


# ---- 57 -----------------------------------------------------------------------------------------


def refusing(back: str, status: int, kind: str, words: str, **headers: str) -> Answer:
    """A provider that refuses in its own words."""
    match back:
        case "A":
            body: Any = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_up"}
        case "G":
            body = {"error": {"code": status, "message": words, "status": kind}}
        case _:
            body = {"error": {"message": words, "type": kind, "param": None, "code": kind}}
    return whole(body, status, **headers)


KINDS: dict[str, tuple[dict[str, tuple[int, str]], tuple[int, str]]] = {
    "invalid": ({"A": (400, "invalid_request_error"), "C": (400, "invalid_request_error"), "G": (400, "INVALID_ARGUMENT")},
               (400, "invalid_request_error")),
    "rate limit": ({"A": (429, "rate_limit_error"), "C": (429, "rate_limit_exceeded"), "G": (429, "RESOURCE_EXHAUSTED")},
               (429, "rate_limit_error")),
    "overloaded": ({"A": (529, "overloaded_error"), "C": (503, "server_is_overloaded"), "G": (503, "UNAVAILABLE")},
               (529, "overloaded_error")),
    "model": ({"A": (404, "not_found_error"), "C": (404, "model_not_found"), "G": (404, "NOT_FOUND")},
               (404, "not_found_error")),
    "size": ({"A": (413, "request_too_large"), "C": (413, "request_too_large"), "G": (413, "INVALID_ARGUMENT")},
               (413, "request_too_large")),
    "timeout": ({"A": (504, "timeout_error"), "C": (504, "timeout"), "G": (504, "DEADLINE_EXCEEDED")},
               (504, "timeout_error")),
    "fault": ({"A": (500, "api_error"), "C": (500, "server_error"), "G": (500, "INTERNAL")},
               (500, "api_error")),
}  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("back", "ACSG")
@pytest.mark.parametrize("kind", list(KINDS))
async def test_case_57_errors_reach_anthropics_clients_in_their_words(
    provider: Provider, kind: str, back: str, streamed: bool
) -> None:
    """Status, type and shape; within the dialect the provider's own body."""
    told, expected = KINDS[kind]
    status, word = told["C" if back == "S" else back]
    answer = refusing(back, status, word, "this model is not well")
    provider.answers(answer)
    async with run_gateway(deployment(provider, back)) as running:
        got, data, headers = await posted(running, "A", body_of("A", streamed=streamed), streamed=streamed)
    body = json.loads(data)

    assert expected == (got, body["error"]["type"])
    assert "error" == body["type"] and "this model is not well" in body["error"]["message"]
    assert headers["request-id"]
    if back == "A":
        assert answer.steps == (data,)


@pytest.mark.parametrize(
    ("back", "words"),
    [
        ("C", "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens."),
        ("S", "Your input exceeds the context window of this model. Please adjust your input and try again."),
        ("G", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        ("A", "prompt is too long: 210000 tokens > 200000 maximum"),
    ],
)
@pytest.mark.parametrize("front", "CSAG")
async def test_case_57_a_prompt_that_is_too_long_is_told_so_that_clients_know(
    provider: Provider, front: str, back: str, words: str
) -> None:
    """Agents shorten their conversation by the words or the code that they look for."""
    word = {
        "C": "context_length_exceeded",
        "S": "context_length_exceeded",
        "G": "INVALID_ARGUMENT",
        "A": "invalid_request_error",
    }[back]
    provider.answers(refusing(back, 400, word, words))
    async with run_gateway(deployment(provider, back)) as running:
        status, data, _ = await posted(running, front, body_of(front))
    error = json.loads(data)["error"]

    assert 400 == status
    match front:
        case "A":
            assert "invalid_request_error" == error["type"] and "prompt is too long" in error["message"]
        case "G":
            assert "INVALID_ARGUMENT" == error["status"]
        case _:
            assert "context_length_exceeded" == error["code"] or back == front


@pytest.mark.parametrize(("front", "back"), ALL)
async def test_case_57_when_to_ask_again_is_told(provider: Provider, front: str, back: str) -> None:
    """As a header, whoever said it."""
    word = {"A": "rate_limit_error", "G": "RESOURCE_EXHAUSTED"}.get(back, "rate_limit_exceeded")
    provider.answers(refusing(back, 429, word, "slow down", retry_after="7"))
    async with run_gateway(deployment(provider, back)) as running:
        status, data, headers = await posted(running, front, body_of(front))

    assert (429, "7") == (status, headers["retry-after"])
    if front == "G" and back != "G":
        assert '"retryDelay":"7s"' in data.decode().replace(" ", "")


@pytest.mark.parametrize("front", "CSAG")
async def test_case_57_the_gateways_key_is_not_the_clients(provider: Provider, front: str) -> None:
    """A provider that does not take the gateway's key is the gateway's trouble; no message has the key."""
    provider.answers(refusing("A", 401, "authentication_error", "invalid x-api-key sk-ant-REDACTED"))
    async with run_gateway(deployment(provider, "A")) as running:
        status, data, _ = await posted(running, front, body_of(front))

    assert status >= 400
    if front != "A":
        assert b"sk-ant-REDACTED" not in data


# ---- 58 -----------------------------------------------------------------------------------------

LISTS: dict[str, Any] = {
    "C": {"object": "list", "data": [{"id": "gpt-4.1", "object": "model", "created": 5, "owned_by": "openai"}]},
    "A": {"data": [{"type": "model", "id": "claude-sonnet-4-5", "display_name": "S", "created_at": "2025-09-29T00:00:00Z"}],
          "has_more": False, "first_id": "claude-sonnet-4-5", "last_id": "claude-sonnet-4-5"},
    "G": {"models": [{"name": "models/gemini-3-pro", "displayName": "G", "supportedGenerationMethods": ["generateContent"]}]},
}  # fmt: skip
LISTED = {"C": "gpt-4.1", "S": "gpt-4.1", "A": "claude-sonnet-4-5", "G": "gemini-3-pro"}


def listed_by_sdks(url: str) -> dict[str, list[str]]:
    """What each official SDK lists, over a real socket."""
    import anthropic
    import openai
    from google import genai
    from google.genai import types

    found: dict[str, list[str]] = {}
    with openai.OpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0) as one:
        found["C"] = [model.id for model in one.models.list()]
    with anthropic.Anthropic(api_key="k", base_url=url, max_retries=0) as two:
        found["A"] = [model.id for model in two.models.list()]
        found["A one"] = [two.models.retrieve(found["A"][0]).id]
    for version in ("v1", "v1beta"):
        three = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url, api_version=version))
        try:
            found[f"G {version}"] = [str(model.name) for model in three.models.list()]
        finally:
            three.close()
    return found


@pytest.mark.parametrize("back", "CSAG")
async def test_case_58_every_sdk_lists_the_models(provider: Provider, back: str) -> None:
    """Whoever the provider is, and at the path that all of them share."""
    provider.answers(whole(LISTS["C" if back == "S" else back]))
    async with run_gateway(deployment(provider, back)) as running:
        found = await asyncio.to_thread(listed_by_sdks, running.url)

    assert all(any(name.endswith(LISTED[back]) for name in names) for names in found.values()), found
    assert {"C", "A", "A one", "G v1", "G v1beta"} == set(found)


@pytest.mark.parametrize("path", ["/v1/models/{}", "/v1beta/models/{}", "/anthropic/v1/models/{}"])
async def test_case_58_one_model_by_its_name_or_its_backends(provider: Provider, path: str) -> None:
    """Both spellings lead to it; one that is not there is told with the nearest."""
    provider.answers(whole(LISTS["A"]))
    async with run_gateway(deployment(provider, "A")) as running:
        for name in ("claude-sonnet-4-5", "p:claude-sonnet-4-5"):
            status, body = await running.get(path.format(name))
            assert 200 == status and "claude-sonnet-4-5" in json.dumps(body)
        status, body = await running.get(path.format("claude-sonet-4-5"))

    assert 404 == status and "claude-sonnet-4-5" in json.dumps(body["error"]["message"])


async def test_case_58_who_asks_at_the_shared_path_is_known_by_headers(provider: Provider) -> None:
    """Where nobody can tell, one body satisfies all."""
    provider.answers(whole(LISTS["C"]))
    async with run_gateway(deployment(provider, "C")) as running:
        _, anthropic = await running.get("/v1/models", anthropic_version="2023-06-01")
        _, google = await running.get("/v1/models", x_goog_api_key="k")
        _, nobody = await running.get("/v1/models")

    assert "object" not in anthropic and {"data", "has_more"} <= set(anthropic)
    assert {"models"} == set(google)
    assert {"object", "data", "has_more", "first_id", "models"} <= set(nobody)
    assert {"id", "object", "created", "owned_by", "type", "display_name", "created_at"} <= set(nobody["data"][0])


# ---- T43, T61, T68, T72 -------------------------------------------------------------------------


@pytest.mark.parametrize(("front", "back"), ALL)
async def test_t43_every_answer_has_an_id_where_the_sdk_looks(provider: Provider, front: str, back: str) -> None:
    """The provider's own within the dialect, the gateway's elsewhere."""
    name = "request-id" if back == "A" else "x-request-id"
    data = says(back, Said("Hello"), stream=False)
    provider.answers(Answer((data,), 200, {"content-type": "application/json", name: "req_of_theirs"}))
    async with run_gateway(deployment(provider, back)) as running:
        _, _, headers = await posted(running, front, body_of(front))

    found = headers["request-id" if front == "A" else "x-request-id"] if front != "G" else headers["x-llmgw-exchange"]
    if front == back != "G":
        assert "req_of_theirs" == found
    elif front != "G":
        assert found.startswith("req_")
    assert headers["x-llmgw-exchange"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("back", "CAG")
async def test_t61_a_conversation_goes_on_from_a_response_that_we_gave(provider: Provider, back: str, streamed: bool) -> None:
    """The gateway keeps what other providers do not: the next request has all that was said before."""
    provider.answers(
        replying(back, Said("Hello, Ann."), streamed=streamed), replying(back, Said("You are Ann."), streamed=streamed)
    )
    async with run_gateway(deployment(provider, back)) as running:
        _, data, _ = await posted(running, "S", body_of("S", User("I am Ann."), streamed=streamed), streamed=streamed)
        first = heard("S", data, stream=streamed)
        again = body_of("S", User("Who am I?"), streamed=streamed) | {"previous_response_id": first.native.id}
        status, data, _ = await posted(running, "S", again, streamed=streamed)

    assert (200, "You are Ann.") == (status, heard("S", data, stream=streamed).text)
    said = provider.seen[1].body
    assert b"I am Ann." in said and b"Hello, Ann." in said and b"Who am I?" in said
    assert said.index(b"I am Ann.") < said.index(b"Hello, Ann.") < said.index(b"Who am I?")


@pytest.mark.parametrize("back", "CAG")
async def test_t61_calls_go_on_from_a_response_that_we_gave(provider: Provider, back: str) -> None:
    """A result alone is enough: its call is known."""
    provider.answers(
        replying(back, Said(calls=(("toolu_1", "f", '{"a": 1}'),)), streamed=False), replying(back, Said("42"), streamed=False)
    )
    async with run_gateway(deployment(provider, back)) as running:
        _, data, _ = await posted(running, "S", body_of("S", User("go"), tools=("f",)))
        first = heard("S", data, stream=False)
        again = body_of("S", Result(first.ids[0], "the result"), tools=("f",)) | {"previous_response_id": first.native.id}
        status, data, _ = await posted(running, "S", again)

    assert (200, "42") == (status, heard("S", data, stream=False).text)
    assert (
        b"the result" in provider.seen[1].body
        and b'"f"' in provider.seen[1].body
        and b"No result was recorded" not in provider.seen[1].body
    )


async def test_t61_an_unknown_response_is_told_by_its_code(provider: Provider) -> None:
    """Clients then send the whole conversation."""
    async with run_gateway(deployment(provider, "A")) as running:
        status, data, _ = await posted(running, "S", body_of("S") | {"previous_response_id": "resp_unknown"})
        gone, _ = await running.get("/v1/responses/resp_unknown")

    assert (404, "previous_response_not_found") == (status, json.loads(data)["error"]["code"])
    assert 404 == gone and not provider.seen


@pytest.mark.parametrize("model", ["p:vendor/a:b", "vendor%2Fa%3Ab", "vendor/a:b"])
async def test_t68_a_model_in_geminis_path(provider: Provider, model: str) -> None:
    """Encoded or not, with colons of its own, and with the back-end before it."""
    provider.answers(replying("C", Said("Hello"), streamed=False))
    async with (
        run_gateway(deployment(provider, "C")) as running,
        running.http.post(f"{running.url}/v1/models/{model}:generateContent", json=asks("G")) as got,
    ):
        assert 200 == got.status, await got.text()

    assert "vendor/a:b" == provider.seen[0].json["model"]


async def test_t72_what_was_removed_is_not_there(provider: Provider) -> None:
    """Anthropic's ``/v1/complete`` is no more."""
    async with run_gateway(deployment(provider, "A")) as running:
        status, _ = await running.post({"model": "m", "prompt": "hi"}, "/v1/complete")
    assert 404 == status


async def test_t41_a_reset_in_the_middle_is_an_error_for_the_client(provider: Provider) -> None:
    """Over real sockets, too."""
    data = says("A", Said("Hello there", pieces=3), stream=True)
    provider.answers(stream(data[: data.index(b"event: message_delta") - 9], Break()))
    async with run_gateway(deployment(provider, "A")) as running:
        _, got, _ = await posted(running, "C", body_of("C", streamed=True), streamed=True)
    assert b"[DONE]" not in got and "error" in frames_of(got)[-1]


def test_means_of_these_tests() -> None:
    """A conversation with calls is told in each dialect."""
    for front in "CSAG":
        assert "c1" in json.dumps(asks(front, User(), Assistant("", (Call("c1"),)), Result("c1")))
