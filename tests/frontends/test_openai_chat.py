from __future__ import annotations

from typing import Any

import pytest

from llmgw_dialects.openai_chat import DIALECT
from llmgw_openai_chat import OpenAIChat
from llmgw_testing import RunningGateway, run_gateway
from tests.toys import Player, Toybox, opening, reply, serving

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def deployment(toybox: Toybox, player: Player | None = None, **options: Any) -> dict[str, Any]:
    """A deployment with this front-end."""
    return toybox.deployment(serving(player or Player())) | {"frontends": [{"openai-chat": options}]}


def test_its_paths(toybox: Toybox) -> None:
    """All are of one dialect, and stand behind the prefix."""
    endpoints = list(OpenAIChat(prefix="/a").frontend_endpoints(toybox.gateway()) or ())

    assert [
        ("POST", "/a/v1/chat/completions", "generate"),
        ("POST", "/a/chat/completions", "generate"),
        ("GET", "/a/v1/models", "models"),
        ("GET", "/a/v1/models/{id:.+}", "model"),
    ] == [(one.method, one.path, one.operation) for one in endpoints]
    assert all(one.dialect is DIALECT for one in endpoints)


@pytest.mark.parametrize("prefix", ["", "/gateway"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_a_reply(toybox: Toybox, prefix: str, path: str) -> None:
    """Wherever a client's base URL ends, it is answered."""
    async with run_gateway(deployment(toybox, prefix=prefix)) as running:
        status, body = await running.post(QUESTION, prefix + path)

    assert (200, "Hello", "stop") == (status, body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"])


async def test_a_stream(toybox: Toybox) -> None:
    """It comes as chunks, and ends with the mark that SDKs wait for."""
    async with run_gateway(deployment(toybox, Player.of(reply("Hel", "lo")))) as running:
        status, text = await running.post(QUESTION | {"stream": True})

    assert (200, 1, True) == (status, text.count("data: [DONE]"), text.endswith("data: [DONE]\n\n"))
    assert '"content":"Hel"' in text and '"content":"lo"' in text


async def test_a_stream_that_breaks_off_has_no_mark(toybox: Toybox) -> None:
    """A truncated reply never looks like success."""
    async with run_gateway(deployment(toybox, Player.of(opening("Hel")))) as running:
        _, text = await running.post(QUESTION | {"stream": True})

    assert (0, 1) == (text.count("[DONE]"), text.count('"error"'))


async def models(running: RunningGateway) -> list[str]:
    """The ids listed."""
    _, body = await running.get("/v1/models")
    return [model["id"] for model in body["data"]]


async def test_models(toybox: Toybox) -> None:
    """They are listed, and each can be asked for, slashes and all."""
    async with run_gateway(deployment(toybox, Player(listed=("m", "org/m:8b")))) as running:
        assert ["toy:m", "toy:org/m:8b"] == await models(running)
        assert "toy:org/m:8b" == (await running.get("/v1/models/toy:org/m:8b"))[1]["id"]
        status, body = await running.get("/v1/models/nothing")

    assert (404, "model_not_found") == (status, body["error"]["code"])


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), ({"model": "m"}, 422), ({"messages": []}, 422), ({"model": 1, "messages": []}, 422)],
)
async def test_what_is_no_request(toybox: Toybox, body: Any, status: int) -> None:
    """It is refused in the shape that SDKs know."""
    async with run_gateway(deployment(toybox)) as running:
        got, answer = await running.post(body)

    assert (status, {"message", "type", "param", "code"}) == (got, set(answer["error"]))


async def test_the_example_works(toybox: Toybox) -> None:
    """What the banner tells people to try is answered."""
    async with run_gateway(deployment(toybox)) as running:
        assert 200 == (await running.post(DIALECT.example("m").encode()))[0]
