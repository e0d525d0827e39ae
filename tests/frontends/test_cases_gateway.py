"""Acceptance cases 12, 13, 14, 19 and 27 on a running gateway: failures, second tries, and who may ask."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from llmgw_testing import Break, Provider, run_gateway
from llmgw_testing.provider import stream, whole

sys.path.insert(0, str(Path(__file__).parents[1] / "dialects"))

from wires import asks, data, named, replies, user

ALL = [(front, back) for front in "CSAG" for back in "CSAG"]
PATHS = {"C": "/v1/chat/completions", "S": "/v1/responses", "A": "/v1/messages", "G": "/v1beta/models/m:generateContent"}
STREAMED = PATHS | {"G": "/v1beta/models/m:streamGenerateContent?alt=sse"}
ENDS = {"C": b"[DONE]", "S": b"response.completed", "A": b"message_stop", "G": b'"finishReason"'}
KEY = "gateway-key"


def deployment(provider: Provider, back: str, **more: Any) -> dict[str, Any]:
    """A gateway before one provider of this dialect, that asks nobody for a key."""
    bare = provider.base_url.removesuffix("/v1")
    one: dict[str, Any] = {
        "C": {"type": "openai", "base_url": provider.base_url, "api": "chat"},
        "S": {"type": "openai", "base_url": provider.base_url, "api": "responses"},
        "A": {"type": "anthropic", "base_url": bare},
        "G": {"type": "gemini", "base_url": bare},
    }[back]
    return {"backends": {"p": one}, "default_backend": "p", "auth": {"disable_auth": True}} | more


def asking(front: str, *, streamed: bool) -> dict[str, Any]:
    """The smallest request."""
    told = {} if front == "G" else {"model": "m", **({"stream": True} if streamed else {})}
    return {**told, **asks(front, [user("Hi")])}


async def post(running: Any, path: str, body: Any, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, bytes and headers of the answer."""
    named_ = {"content-type": "application/json"} | headers
    async with running.http.post(running.url + path, data=json.dumps(body), headers=named_) as answer:
        return answer.status, await answer.read(), {name.lower(): value for name, value in answer.headers.items()}


@pytest.mark.parametrize(("front", "back"), ALL)
async def test_case_12_the_connection_breaks(provider: Provider, front: str, back: str) -> None:
    """any→any: a socket that breaks in the middle is an error in the client's stream, and never an end."""
    reply = replies(back, "Hello there, you", stream=True)
    provider.answers(stream(reply[: reply.index(b'"e, yo')], Break()))
    async with run_gateway(deployment(provider, back)) as running:
        status, got, _ = await post(running, STREAMED[front], asking(front, streamed=True))

    assert (200, True, False) == (status, b"Hello" in got, ENDS[front] in got)
    assert b"error" in got


REFUSED: dict[str, Any] = {
    "C": {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
    "S": {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
    "A": {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down."}, "request_id": "r"},
    "G": {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}},
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("front", "back"), ALL)
async def test_case_13_too_many_requests(provider: Provider, front: str, back: str, streamed: bool) -> None:
    """any→any: a 429 stays one, in the client's dialect and with the time to wait."""
    provider.answers(whole(REFUSED[back], 429, retry_after="7"))
    async with run_gateway(deployment(provider, back)) as running:
        status, got, headers = await post(running, (STREAMED if streamed else PATHS)[front], asking(front, streamed=streamed))

    error = json.loads(got)["error"]
    assert (429, "7") == (status, headers["retry-after"])
    words = {"C": ("code", "rate_limit_exceeded"), "S": ("code", "rate_limit_exceeded"), "A": ("type", "rate_limit_error"),
             "G": ("status", "RESOURCE_EXHAUSTED")}[front]  # fmt: skip
    assert words[1] == error[words[0]]


FIRST = {
    "C": data({"error": {"message": "Overloaded", "type": "server_error", "code": "server_is_overloaded", "param": None}}),
    "S": named({"type": "error", "code": "server_is_overloaded", "message": "Overloaded", "param": None, "sequence_number": 0}),
    "A": named({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "G": data({"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}),
}


@pytest.mark.parametrize(("front", "back"), ALL)
async def test_case_14_an_error_first(provider: Provider, front: str, back: str) -> None:
    """any→any: an error at the head of a 200 is an HTTP error for the client."""
    provider.answers(stream(FIRST[back]))
    async with run_gateway(deployment(provider, back)) as running:
        status, got, _ = await post(running, STREAMED[front], asking(front, streamed=True))

    assert 500 <= status < 600 and "error" in json.loads(got)


async def test_case_19_a_second_try_without_opaque_state(provider: Provider) -> None:
    """S→S: encrypted content of another account is left out in a second try, and with the next turn from the start."""
    refused = whole({"error": {"message": "The encrypted content could not be verified.", "type": "invalid_request_error",
                               "param": None, "code": "invalid_encrypted_content"}}, 400)  # fmt: skip
    provider.answers(refused, whole(replies("S", "Hello")))
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAof-another-account"}
    said = [*asks("S", [user("Hi")])["input"], thought, *asks("S", [user("And?")])["input"]]
    async with run_gateway(deployment(provider, "S")) as running:
        status, _, _ = await post(running, PATHS["S"], {"model": "m", "store": False, "input": said})
        again, _, _ = await post(running, PATHS["S"], {"model": "m", "store": False, "input": [*said, *said[:1]]})

    assert (200, 200, 3) == (status, again, len(provider.seen))
    assert [True, False, False] == [b"another-account" in one.body for one in provider.seen]
    assert "reasoning" not in [item["type"] for item in provider.seen[2].json["input"]]


CREDENTIALS = {
    "bearer": ({"authorization": f"Bearer {KEY}"}, ""),
    "x-api-key": ({"x-api-key": KEY}, ""),
    "x-goog-api-key": ({"x-goog-api-key": KEY}, ""),
    "query": ({}, f"key={KEY}"),
}


@pytest.mark.parametrize("how", list(CREDENTIALS))
@pytest.mark.parametrize("front", list("CSAG"))
async def test_case_27_credentials(provider: Provider, front: str, how: str) -> None:
    """Every route takes all four forms of a credential, and none of them reaches the provider."""
    headers, query = CREDENTIALS[how]
    provider.answers(whole(replies("A", "Hello")))
    config = deployment(provider, "A")
    del config["auth"]
    path = PATHS[front] + (f"?{query}" if query else "")
    async with run_gateway(config, {"LLM_INTERACTIVE_PROXY_API_KEY": KEY, "ANTHROPIC_API_KEY": "theirs"}) as running:
        status, got, _ = await post(running, path, asking(front, streamed=False), **headers)
        refused, _, _ = await post(running, PATHS[front], asking(front, streamed=False), authorization="Bearer wrong")

    assert (200, 401, 1) == (status, refused, len(provider.seen)), got
    seen = provider.seen[0]
    assert "theirs" == seen.headers["x-api-key"]
    assert KEY not in seen.path and KEY not in seen.body.decode() and all(KEY not in value for value in seen.headers.values())
