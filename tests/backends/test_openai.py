from __future__ import annotations

from typing import Any

import pytest

from llmgw.errors import Misconfigured
from llmgw.secret import Secret
from llmgw.stages import Target
from llmgw_openai import VENDOR, OpenAI
from llmgw_testing import Provider, run_gateway, whole

TARGET = Target("openai", "gpt-5")
KEY = Secret("OPENAI_API_KEY", "sk-1")
NONE = Secret("OPENAI_API_KEY")
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5",
          "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}  # fmt: skip
QUESTION = {"model": "openai:gpt-5", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"api_key": KEY}, {"authorization": "Bearer sk-1"}),
        ({"api_key": KEY, "base_url": "http://h"}, {"authorization": "Bearer sk-1"}),
        ({"api_key": NONE, "base_url": "http://h"}, {}),
        (
            {"api_key": KEY, "organization": "o", "project": "p"},
            {"authorization": "Bearer sk-1", "openai-organization": "o", "openai-project": "p"},
        ),
    ],
)
def test_headers(options: dict[str, Any], expected: dict[str, str]) -> None:
    """The key where there is one, and on whose account it is used."""
    assert expected == OpenAI(**options).headers(TARGET)


@pytest.mark.parametrize("url", [VENDOR, f"{VENDOR}/"])
def test_the_vendor_is_not_asked_without_a_key(url: str) -> None:
    """What would be refused over there is told here, with the variable to set."""
    with pytest.raises(Misconfigured, match="OPENAI_API_KEY is not set"):
        OpenAI(api_key=NONE, base_url=url).headers(TARGET)


@pytest.mark.parametrize(("key", "expected"), [(KEY, "key from OPENAI_API_KEY"), (NONE, "no key: OPENAI_API_KEY is not set")])
def test_what_people_hear_of_the_key(key: Secret, expected: str) -> None:
    """Its variable, never itself."""
    assert expected == OpenAI(api_key=key).credential_state


async def test_a_request(provider: Provider) -> None:
    """It goes to the path of Chat Completions, addressed to the model, under the key of the environment."""
    provider.answers(whole(ANSWER))
    config = {"backends": {"openai": {"base_url": provider.base_url}}}
    async with run_gateway(config, {"OPENAI_API_KEY": "sk-1"}) as running:
        status, body = await running.post(QUESTION)

    [seen] = provider.seen
    assert (200, ANSWER) == (status, body)
    assert ("/v1/chat/completions", "Bearer sk-1", QUESTION | {"model": "gpt-5"}) == (
        seen.path,
        seen.headers["authorization"],
        seen.json,
    )


async def test_models(provider: Provider) -> None:
    """The provider's own list."""
    provider.answers(whole({"object": "list", "data": [{"id": "gpt-5", "object": "model", "created": 1, "owned_by": "openai"}]}))
    async with run_gateway({"backends": {"openai": {"base_url": provider.base_url}}}) as running:
        _, body = await running.get("/v1/models")

    assert ["openai:gpt-5"] == [model["id"] for model in body["data"]]
    assert ("GET", "/v1/models") == (provider.seen[0].method, provider.seen[0].path)


async def test_without_a_key_the_client_hears_what_to_do() -> None:
    """Nothing is sent to the vendor."""
    async with run_gateway({"backends": {"openai": {}}}) as running:
        status, body = await running.post(QUESTION)

    assert (500, "gateway_misconfigured") == (status, body["error"]["code"])
    assert "OPENAI_API_KEY is not set" in body["error"]["message"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"base_url": "ht!tp://[x"}, ["base_url does not begin with http:// or https://"]),
        ({"api_key": Secret("OPENAI_API_KEY", "sk-1\n")}, ["authorization"]),
        ({"project": "a\nb"}, ["openai-project"]),
        ({"api_key": KEY, "organization": "a\rb"}, ["openai-organization"]),
    ],
)
def test_what_will_not_work(options: dict[str, Any], expected: list[str]) -> None:
    """A URL or a header that cannot be is told before anything is sent, and no key with it; a key that is missing is not."""
    told = list(OpenAI(**{"api_key": NONE, **options}).problems())

    assert len(expected) == len(told)
    assert all(word in one and "sk-1" not in one for word, one in zip(expected, told, strict=True))
