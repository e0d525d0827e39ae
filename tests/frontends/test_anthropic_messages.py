from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from llmgw.errors import ConfigError
from llmgw_anthropic_messages import AnthropicMessages
from llmgw_dialects.anthropic_messages import DIALECT
from llmgw_testing import run_gateway
from tests.toys import Player, Toybox, opening, reply, serving

QUESTION = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
BASES = ["", "/anthropic"]
"""What clients have behind the host in their base URL."""


def deployment(toybox: Toybox, player: Player | None = None, **options: Any) -> dict[str, Any]:
    """A deployment with this front-end."""
    return toybox.deployment(serving(player or Player())) | {"frontends": [{"anthropic-messages": options}]}


@pytest.mark.parametrize("prefix", ["", "/gateway"])
@pytest.mark.parametrize("base", BASES)
async def test_a_reply(toybox: Toybox, prefix: str, base: str) -> None:
    """Wherever a client's base URL ends, it is answered."""
    async with run_gateway(deployment(toybox, prefix=prefix)) as running:
        status, body = await running.post(QUESTION, f"{prefix}{base}/v1/messages")
    assert (200, "message", "Hello", "end_turn") == (status, body["type"], body["content"][0]["text"], body["stop_reason"])


async def test_a_stream(toybox: Toybox) -> None:
    """Its events have names, and the last one is the one that SDKs wait for."""
    async with run_gateway(deployment(toybox, Player.of(reply("Hel", "lo")))) as running:
        status, text = await running.post(QUESTION | {"stream": True}, "/v1/messages")
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert (200, "message_start", "message_stop") == (status, names[0], names[-1])
    assert '"text":"Hel"' in text and '"text":"lo"' in text


async def test_a_stream_that_breaks_off_ends_in_an_error(toybox: Toybox) -> None:
    """A truncated reply never looks like success."""
    async with run_gateway(deployment(toybox, Player.of(opening("Hel")))) as running:
        _, text = await running.post(QUESTION | {"stream": True}, "/v1/messages")
    assert (0, 1) == (text.count("message_stop"), text.count("event: error"))


@pytest.mark.parametrize("base", BASES)
async def test_tokens_are_counted(toybox: Toybox, base: str) -> None:
    """A back-end that cannot count leaves it to an estimate."""
    async with run_gateway(deployment(toybox)) as running:
        status, body = await running.post(QUESTION, f"{base}/v1/messages/count_tokens")
    assert 200 == status and 0 < body["input_tokens"] < 50


@pytest.mark.parametrize("base", BASES)
async def test_models(toybox: Toybox, base: str) -> None:
    """They are listed in Anthropic's shape, and each can be asked for."""
    async with run_gateway(deployment(toybox, Player(listed=("m", "org/m:8b")))) as running:
        _, body = await running.get(f"{base}/v1/models", anthropic_version="2023-06-01")
        _, one = await running.get(f"{base}/v1/models/toy:org/m:8b", anthropic_version="2023-06-01")
        status, gone = await running.get(f"{base}/v1/models/nothing", anthropic_version="2023-06-01")
    assert (["toy:m", "toy:org/m:8b"], False) == ([model["id"] for model in body["data"]], body["has_more"])
    assert ("model", "toy:org/m:8b") == (one["type"], one["id"])
    assert (404, "error", "not_found_error") == (status, gone["type"], gone["error"]["type"])


@pytest.mark.parametrize("path", ["/anthropic/health", "/anthropic/v1/health"])
async def test_health(toybox: Toybox, path: str) -> None:
    """It is as healthy as the gateway."""
    async with run_gateway(deployment(toybox)) as running:
        assert await running.get("/health") == await running.get(path)
        assert 200 == (await running.get(path))[0]


@pytest.mark.parametrize("path", ["/anthropic/info", "/anthropic/v1/info"])
async def test_info(toybox: Toybox, path: str) -> None:
    """What this is, and what it serves."""
    async with run_gateway(deployment(toybox)) as running:
        status, body = await running.get(path)
    assert 200 == status and "llmgw" in str(body) and "/v1/messages" in str(body)


@pytest.mark.parametrize(
    ("option", "env", "main", "expected"),
    [
        (None, {}, 8000, None),
        ("next", {}, 8000, 8001),
        ("next", {}, 0, 0),
        (9001, {}, 8000, 9001),
        ("9001", {}, 8000, 9001),
        (None, {"ANTHROPIC_PORT": "9002"}, 8000, 9002),
        (None, {"ANTHROPIC_PORT": "next"}, 8000, 8001),
        (9001, {"ANTHROPIC_PORT": "9002"}, 8000, 9001),
        (None, {"ANTHROPIC_PORT": ""}, 8000, None),
    ],
)
def test_its_own_port(toybox: Toybox, option: Any, env: dict[str, str], main: int, expected: int | None) -> None:
    """Switched on by the option or the variable, the option first; ``next`` is the gateway's own and one."""
    gateway = toybox.gateway(serving(Player()))
    gateway.config = evolve(gateway.config, env=env, proxy=evolve(gateway.config.proxy, port=main))
    endpoints = list(AnthropicMessages(port=option).frontend_endpoints(gateway) or ())
    assert {None, expected} == {one.port for one in endpoints}
    assert all(one.dialect is DIALECT for one in endpoints)


def test_a_port_that_is_none(toybox: Toybox) -> None:
    """Both places where it may stand are named."""
    with pytest.raises(ConfigError, match=r"'soon' @ frontends\.anthropic-messages\.port or ANTHROPIC_PORT"):
        AnthropicMessages(port="soon").frontend_endpoints(toybox.gateway(serving(Player())))


@pytest.mark.parametrize("base", BASES)
async def test_at_its_own_port_nothing_else_is_spoken(toybox: Toybox, base: str) -> None:
    """Its paths are there with and without the prefix, and no other dialect's are."""
    async with run_gateway(deployment(toybox, port=0)) as running:
        door = running.doors[0]
        async with running.http.post(f"{door}{base}/v1/messages", json=QUESTION) as answer:
            assert "Hello" == (await answer.json())["content"][0]["text"]
        async with running.http.get(f"{door}/v1/models") as answer:
            assert {"has_more", "first_id", "last_id"} <= (await answer.json()).keys()
        async with running.http.post(f"{door}/v1/chat/completions", json=QUESTION) as answer:
            assert (404, "error") == (answer.status, (await answer.json())["type"])


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        (b"{", 400, ""), (b"[]", 400, ""), ({"model": "m"}, 422, "messages"),
        ({"model": "m", "max_tokens": 1, "messages": [{"role": 1}]}, 422, "messages[0].role"),
    ],
)  # fmt: skip
async def test_what_is_no_request(toybox: Toybox, body: Any, status: int, path: str) -> None:
    """It is refused in the shape that SDKs know, with the place."""
    async with run_gateway(deployment(toybox)) as running:
        got, answer = await running.post(body, "/v1/messages")
    assert (status, "error", "invalid_request_error") == (got, answer["type"], answer["error"]["type"])
    assert path in answer["error"]["message"]


async def test_the_example_works(toybox: Toybox) -> None:
    """What the banner tells people to try is answered."""
    async with run_gateway(deployment(toybox)) as running:
        assert 200 == (await running.post(DIALECT.example("m").encode(), "/v1/messages"))[0]
