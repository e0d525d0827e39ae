from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from llmgw import Exchange, GatewayError, Head, Request, Secret, Target
from llmgw.events import Choice, Reply, StopReason, unfold
from llmgw.model import Text
from llmgw_dialects.openai_chat import DIALECT
from llmgw_testing import Provider, check_backend, check_filter, stream, whole
from llmgw_testing.fixtures import GatewayMaker

from llmgw_acme.backend import Acme
from llmgw_acme.shout import Shouting

DEPLOYMENT = Path(__file__).parents[1] / "acme.yaml"
ASKED = {"model": "anvil", "messages": [{"role": "user", "content": "Is it heavy?"}]}
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "anvil",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "It is."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7},
}


def chunk(delta: dict[str, str], stop: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": stop}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "anvil", "choices": [choice]}


CHUNKS = stream(
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "It"}),
    chunk({"content": " is."}),
    chunk({}, "stop"),
    "[DONE]",
)


def asked(text: str) -> Request:
    body = ASKED | {"messages": [{"role": "user", "content": text}]}
    return DIALECT.read_request(Head("POST", "/v1/chat/completions"), json.dumps(body).encode())


# ---- each plugin alone --------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [whole(ANSWER), CHUNKS])
async def test_backend_keeps_the_laws(gateway: GatewayMaker, provider: Provider, answer: Any) -> None:
    """Whole or streamed, what Acme answers becomes the same events."""
    provider.answers(answer)
    running = await gateway({"backends": {"echo": {}}})
    backend = Acme(api_key=Secret("ACME_API_KEY", "k1"), base_url=provider.base_url)
    exchange = Exchange(running.gateway, DIALECT, Head(), reads_events=True)

    reply = await check_backend(backend, exchange, Target("acme", "anvil"), asked("Is it heavy?"))

    assert "It is." == said(reply)
    assert "Bearer k1" == provider.seen[0].headers["authorization"]


def test_backend_needs_its_key() -> None:
    """Without its key it names the variable to set, and asks nobody."""
    with pytest.raises(GatewayError, match="ACME_API_KEY is not set"):
        Acme().headers(Target("acme", "anvil"))


async def test_filter_shouts_the_reply() -> None:
    """Text comes out in capitals, however it was cut."""
    reply = await check_filter(Shouting(requests=True), unfold(replied("Straße")))

    assert "STRASSE" == said(reply)


async def test_filter_shouts_the_request() -> None:
    """What the user said goes out in capitals."""
    shouted = await Shouting(requests=True).request(asked("Is it heavy?"))

    assert isinstance(shouted, Request)
    assert b"IS IT HEAVY?" in DIALECT.write_request(shouted)


async def test_filter_may_leave_requests_alone() -> None:
    """With requests off, nothing is even read."""
    request = asked("Is it heavy?")

    assert await Shouting(requests=False).request(request) is request


# ---- all of them, as acme.yaml has them ---------------------------------------------------------


async def test_deployment(gateway: GatewayMaker, provider: Provider) -> None:
    """acme.yaml serves: the key and the capitals reach Acme, and capitals come back."""
    provider.answers(whole(ANSWER))
    running = await gateway(yaml.safe_load(DEPLOYMENT.read_text()), env_for(provider))

    status, reply = await running.post(ASKED)

    assert (200, "IT IS.") == (status, reply["choices"][0]["message"]["content"])
    assert "Bearer k1" == provider.seen[0].headers["authorization"]
    assert "IS IT HEAVY?" == provider.seen[0].json["messages"][0]["content"]


async def test_command_asks_no_model(gateway: GatewayMaker, provider: Provider) -> None:
    """``!/hello`` alone is answered by the gateway itself."""
    running = await gateway(yaml.safe_load(DEPLOYMENT.read_text()), env_for(provider))
    body = ASKED | {"messages": [{"role": "user", "content": "!/hello(Ann)"}]}

    status, reply = await running.post(body)

    assert (200, "Good day, Ann!") == (status, reply["choices"][0]["message"]["content"])
    assert [] == provider.seen


def env_for(provider: Provider) -> dict[str, str]:
    return {"ACME_API_KEY": "k1", "ACME_BASE_URL": provider.base_url}


def replied(text: str) -> Reply:
    return Reply(choices=(Choice(parts=(Text(text),), stop=StopReason("end")),))


def said(reply: Reply) -> str:
    (part,) = reply.choices[0].parts
    assert isinstance(part, Text)
    return part.text
