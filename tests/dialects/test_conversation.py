from __future__ import annotations

from typing import Any

import pytest

from llmgw import jsons
from llmgw.stages import Dialect, Head
from llmgw_dialects import anthropic_messages, google_gemini, openai_chat, openai_responses

CHAT = openai_chat.DIALECT
RESPONSES = openai_responses.DIALECT
MESSAGES = anthropic_messages.DIALECT
GEMINI = google_gemini.DIALECT

TURN = {"role": "user", "content": "Hello"}
OTHER = {"role": "user", "content": "Good bye"}
REPLY = {"role": "assistant", "content": "Hi"}
PART = {"role": "user", "parts": [{"text": "Hello"}]}


def named(dialect: Dialect, body: dict[str, Any]) -> str | None:
    head = Head("POST", "/", {"model": "m"})
    return dialect.conversation(dialect.read_request(head, jsons.dumps({"model": "m", **body})))


@pytest.mark.parametrize(
    ("dialect", "first", "later", "other"),
    [
        (CHAT, {"messages": [TURN]}, {"messages": [TURN, REPLY, OTHER]}, {"messages": [OTHER]}),
        (RESPONSES, {"input": [TURN]}, {"input": [TURN, REPLY, OTHER]}, {"input": [OTHER]}),
        (RESPONSES, {"input": "Hello"}, {"input": "Hello"}, {"input": "Good bye"}),
        (MESSAGES, {"messages": [TURN], "max_tokens": 5}, {"messages": [TURN, REPLY, OTHER], "max_tokens": 9},
         {"messages": [OTHER], "max_tokens": 5}),
        (GEMINI, {"contents": [PART]}, {"contents": [PART, {"role": "model", "parts": []}, PART]},
         {"contents": [{"role": "user", "parts": [{"text": "Bye"}]}]}),
    ],
    ids=["chat", "responses", "responses-text", "messages", "gemini"],
)  # fmt: skip
def test_by_how_it_begins(dialect: Dialect, first: Any, later: Any, other: Any) -> None:
    """A history that goes on is the same conversation; one that begins otherwise is another."""
    assert named(dialect, first) is not None
    assert named(dialect, first) == named(dialect, later)
    assert named(dialect, first) != named(dialect, other)


@pytest.mark.parametrize("dialect", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_by_the_cache_key(dialect: Dialect) -> None:
    """Who names a cache names the conversation, however it begins."""
    bodies = [{"messages": [turn], "input": [turn], "prompt_cache_key": "c"} for turn in (TURN, OTHER)]

    assert {"cache:c"} == {named(dialect, body) for body in bodies}


def test_one_that_its_provider_keeps() -> None:
    """A conversation by name is known by it; what goes on from a response that is not here cannot be told."""
    assert "kept:conv_1" == named(RESPONSES, {"input": "Hello", "conversation": {"id": "conv_1"}})
    assert "kept:conv_1" == named(RESPONSES, {"input": "Hello", "conversation": "conv_1"})
    assert named(RESPONSES, {"input": "Hello", "previous_response_id": "resp_1"}) is None


def test_an_id_is_bounded() -> None:
    """Clients make ids up."""
    assert 300 > len(named(CHAT, {"messages": [TURN], "prompt_cache_key": "c" * 10_000}) or "")


def test_the_prompt_is_not_read() -> None:
    """Telling conversations apart costs no more than reading JSON."""
    request = CHAT.read_request(Head(), jsons.dumps({"model": "m", "messages": [TURN]}))
    CHAT.conversation(request)

    assert request._prompt is None
