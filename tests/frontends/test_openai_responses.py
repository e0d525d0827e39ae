from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from llmgw_dialects.openai_responses import DIALECT
from llmgw_testing import run_gateway
from tests.toys import Player, Toybox, opening, reply, serving

QUESTION = {"model": "m", "input": "Hi"}
BASES = ["/v1", ""]


def deployment(toybox: Toybox, player: Player | None = None, **options: Any) -> dict[str, Any]:
    """A deployment with this front-end."""
    return toybox.deployment(serving(player or Player())) | {"frontends": [{"openai-responses": options}]}


@pytest.mark.parametrize("prefix", ["", "/gateway"])
@pytest.mark.parametrize("base", BASES)
async def test_a_reply(toybox: Toybox, prefix: str, base: str) -> None:
    """Wherever a client's base URL ends, it is answered."""
    async with run_gateway(deployment(toybox, prefix=prefix)) as running:
        status, body = await running.post(QUESTION, f"{prefix}{base}/responses")
    said = body["output"][0]["content"][0]["text"]
    assert (200, "response", "completed", "Hello") == (status, body["object"], body["status"], said)


async def test_a_stream(toybox: Toybox) -> None:
    """Its events are numbered without a gap, and the last one is the one that SDKs wait for."""
    async with run_gateway(deployment(toybox, Player.of(reply("Hel", "lo")))) as running:
        status, text = await running.post(QUESTION | {"stream": True}, "/v1/responses")
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert (200, "response.created", "response.completed") == (status, names[0], names[-1])
    assert all(f'"sequence_number":{number}' in text for number in range(len(names)))


async def test_a_stream_that_breaks_off_fails(toybox: Toybox) -> None:
    """A truncated reply never looks like success."""
    async with run_gateway(deployment(toybox, Player.of(opening("Hel")))) as running:
        _, text = await running.post(QUESTION | {"stream": True}, "/v1/responses")
    assert (0, 1) == (text.count("event: response.completed"), text.count("event: response.failed"))


@pytest.mark.parametrize("base", BASES)
async def test_tokens_are_counted(toybox: Toybox, base: str) -> None:
    """A back-end that cannot count leaves it to an estimate."""
    async with run_gateway(deployment(toybox)) as running:
        status, body = await running.post(QUESTION, f"{base}/responses/input_tokens")
    assert (200, "response.input_tokens") == (status, body["object"]) and 0 < body["input_tokens"] < 50


async def test_a_web_socket_is_refused_so_that_clients_fall_back(toybox: Toybox) -> None:
    """426 sends Codex to server-sent events at once."""
    async with run_gateway(deployment(toybox)) as running:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await running.http.ws_connect(f"{running.url}/v1/responses")
        status, body = await running.get("/v1/responses")
    assert 426 == raised.value.status == status
    assert {"message", "type", "param", "code"} == set(body["error"])


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_kept_responses_are_not_there(toybox: Toybox, method: str) -> None:
    """The client is told so, rather than given another's answer."""
    async with (
        run_gateway(deployment(toybox)) as running,
        running.http.request(method, f"{running.url}/v1/responses/resp_1") as answer,
    ):
        assert (404, "Keep the answer") == (answer.status, (await answer.json())["error"]["message"].partition(". ")[2][:15])


async def test_models(toybox: Toybox) -> None:
    """They are listed in OpenAI's shape, and each can be asked for."""
    async with run_gateway(deployment(toybox, Player(listed=("m", "org/m:8b")))) as running:
        _, body = await running.get("/v1/models")
        _, one = await running.get("/v1/models/toy:org/m:8b")
    assert ["toy:m", "toy:org/m:8b"] == [model["id"] for model in body["data"]] and "toy:org/m:8b" == one["id"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None), (b"[]", 400, None), ({"input": "hi"}, 422, "model"), ({"model": "m"}, 422, "input"),
        ({"model": "m", "input": ["hi"]}, 422, "input[0]"), ({"model": "m", "input": 1}, 422, "input"),
    ],
)  # fmt: skip
async def test_what_is_no_request(toybox: Toybox, body: Any, status: int, param: str | None) -> None:
    """It is refused in the shape that SDKs know, with the place."""
    async with run_gateway(deployment(toybox)) as running:
        got, answer = await running.post(body, "/v1/responses")
    assert (status, param) == (got, answer["error"]["param"])


async def test_the_example_works(toybox: Toybox) -> None:
    """What the banner tells people to try is answered."""
    async with run_gateway(deployment(toybox)) as running:
        assert 200 == (await running.post(DIALECT.example("m").encode(), "/v1/responses"))[0]
