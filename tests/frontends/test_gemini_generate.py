from __future__ import annotations

import json
from typing import Any

import pytest

from llmgw_dialects.google_gemini import DIALECT
from llmgw_gemini_generate import VERSIONS, GeminiGenerate
from llmgw_testing import run_gateway
from tests.toys import Player, Toybox, opening, reply, serving

QUESTION = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
STREAM = "/v1beta/models/m:streamGenerateContent"


def deployment(toybox: Toybox, player: Player | None = None, **options: Any) -> dict[str, Any]:
    """A deployment with this front-end."""
    return toybox.deployment(serving(player or Player())) | {"frontends": [{"gemini-generate": options}]}


def text_of(tree: Any) -> str:
    return "".join(part.get("text", "") for part in tree["candidates"][0]["content"]["parts"])


@pytest.mark.parametrize("prefix", ["", "/gateway"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_reply(toybox: Toybox, prefix: str, version: str) -> None:
    """Whatever version an SDK asks for, it is answered."""
    async with run_gateway(deployment(toybox, prefix=prefix)) as running:
        status, body = await running.post(QUESTION, f"{prefix}/{version}/models/m:generateContent")
    assert (200, "Hello", "STOP") == (status, text_of(body), body["candidates"][0]["finishReason"])


@pytest.mark.parametrize("model", ["m", "toy:m", "toy:org/m:8b", "models/m", "toy%3Am"])
async def test_a_model_in_the_path(toybox: Toybox, model: str) -> None:
    """With slashes and colons of its own: the method stands behind the last one."""
    async with run_gateway(deployment(toybox)) as running:
        assert 200 == (await running.post(QUESTION, f"/v1beta/models/{model}:generateContent"))[0]


async def test_a_stream_of_events(toybox: Toybox) -> None:
    """With ``alt=sse``, as SDKs ask; there is no ``[DONE]``."""
    async with (
        run_gateway(deployment(toybox, Player.of(reply("Hel", "lo")))) as running,
        running.http.post(f"{running.url}{STREAM}?alt=sse", json=QUESTION) as answer,
    ):
        kind, text = answer.content_type, await answer.text()
    frames = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    assert ("text/event-stream", "Hello") == (
        kind,
        "".join(text_of(frame) for frame in frames if frame["candidates"][0].get("content")),
    )
    assert "STOP" == frames[-1]["candidates"][0]["finishReason"] and "[DONE]" not in text


async def test_a_stream_as_an_array(toybox: Toybox) -> None:
    """Without ``alt=sse``, as the bare API has it: one JSON array, element by element."""
    async with (
        run_gateway(deployment(toybox, Player.of(reply("Hel", "lo")))) as running,
        running.http.post(running.url + STREAM, json=QUESTION) as answer,
    ):
        kind, elements = answer.content_type, json.loads(await answer.read())
    assert ("application/json", "STOP") == (kind, elements[-1]["candidates"][0]["finishReason"])
    assert "Hello" == "".join(text_of(one) for one in elements if one["candidates"][0].get("content"))


@pytest.mark.parametrize("alt", ["?alt=sse", ""])
async def test_a_stream_that_breaks_off_ends_in_an_error(toybox: Toybox, alt: str) -> None:
    """A truncated reply never looks like success."""
    async with run_gateway(deployment(toybox, Player.of(opening("Hel")))) as running:
        _, text = await running.post(QUESTION, STREAM + alt)
    said = text if isinstance(text, str) else json.dumps(text)
    assert (0, 1) == (said.count("finishReason"), said.count('"error"'))


async def test_tokens_are_counted(toybox: Toybox) -> None:
    """A back-end that cannot count leaves it to an estimate."""
    async with run_gateway(deployment(toybox)) as running:
        status, body = await running.post(QUESTION, "/v1beta/models/m:countTokens")
    assert 200 == status and 0 < body["totalTokens"] < 50


@pytest.mark.parametrize("version", ["v1beta", "v1alpha"])
async def test_models(toybox: Toybox, version: str) -> None:
    """They are listed as Google lists them, and each can be asked for."""
    async with run_gateway(deployment(toybox, Player(listed=("m", "org/m:8b")))) as running:
        _, body = await running.get(f"/{version}/models")
        _, one = await running.get(f"/{version}/models/toy:org/m:8b")
    assert ["models/toy:m", "models/toy:org/m:8b"] == [model["name"] for model in body["models"]]
    assert "models/toy:org/m:8b" == one["name"]


def test_its_paths(toybox: Toybox) -> None:
    """All are of one dialect, and stand behind the prefix."""
    endpoints = list(GeminiGenerate(prefix="/a").frontend_endpoints(toybox.gateway()) or ())
    assert all(one.dialect is DIALECT and one.path.startswith("/a/v1") for one in endpoints)
    assert {"generate", "count_tokens", "models", "model"} == {one.operation for one in endpoints}


@pytest.mark.parametrize(
    ("body", "said"), [(b"{", "not valid JSON"), (b"[]", "JSON object"), ({"contents": "hi"}, "contents"), ({}, "contents")]
)
async def test_what_is_no_request(toybox: Toybox, body: Any, said: str) -> None:
    """It is refused in the shape that SDKs know, with the place."""
    async with run_gateway(deployment(toybox)) as running:
        got, answer = await running.post(body, "/v1beta/models/m:generateContent")
    assert (400, 400, "INVALID_ARGUMENT") == (got, answer["error"]["code"], answer["error"]["status"])
    assert said in answer["error"]["message"]


@pytest.mark.parametrize("how", [{"x-goog-api-key": "sesame"}, {"authorization": "Bearer sesame"}, "?key=sesame"])
async def test_the_key_in_every_form(toybox: Toybox, how: Any) -> None:
    """As Google's SDKs, its CLI and bare URLs show it; it is the gateway's own, and goes no further."""
    config = deployment(toybox) | {"plugins": [{"auth-key": {}}]}
    query, headers = (how, {}) if isinstance(how, str) else ("", how)
    async with run_gateway(config, {"LLM_INTERACTIVE_PROXY_API_KEY": "sesame"}) as running:
        url = f"{running.url}/v1beta/models/m:generateContent"
        async with running.http.post(url + query, json=QUESTION, headers=headers) as answer:
            assert 200 == answer.status
        async with running.http.post(url, json=QUESTION) as answer:
            assert (401, "UNAUTHENTICATED") == (answer.status, (await answer.json())["error"]["status"])
