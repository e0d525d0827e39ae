"""``previous_response_id`` for other providers' models: what was said is kept, and stands before the new input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmgw.errors import ConversationNotFound, UpstreamBroken
from llmgw.events import Error, Event, unfold
from llmgw.events.reply import Choice, Reply
from llmgw.model import Message, Part, Prompt, Text, ToolCall, ToolResult
from llmgw.stages import Head
from llmgw_dialects.crossing import Leg
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses import DIALECT, conversations
from llmgw_dialects.openai_responses.conversations import Conversations
from llmgw_dialects.profiles import profile

TARGET = "anthropic.messages"


def step(**body: Any) -> Conversations:
    """The step for a request, as the client wrote it."""
    request = DIALECT.read_request(Head(), json.dumps({"model": "claude-opus-4-6", **body}).encode())
    return Conversations(Leg(request, TARGET, profile(TARGET, request.model), Losses(TARGET, request.dialect, [])))


def replied(one: Conversations, *parts: Part, ident: str = "resp_1") -> dict[str, str]:
    """What is kept of a reply with these parts; each event passes as it is."""
    events = unfold(Reply(id=ident, choices=(Choice(parts=parts),)))
    assert events == [made for event in events for made in one.back(event)]
    return dict(one.kept)


def asked(one: Conversations, store: dict[str, str]) -> Prompt:
    """The prompt behind the step, with what is in the store."""
    one.recall({key: store[key] for key in one.wanted if key in store})
    return one.prompt(one.leg.request.prompt)


def said(prompt: Prompt) -> list[str]:
    """All texts, in their order."""
    return [part.text for item in prompt.items for part in getattr(item, "parts", ()) if isinstance(part, Text)]


def test_what_was_said_stands_before_what_is_new() -> None:
    """The user's words, the answer, and then the new ones; the provider is told of no id."""
    store = replied(step(input="I am Ann."), Text("Hello, Ann."))
    made = asked(step(input="Who am I?", previous_response_id="resp_1"), store)
    assert ["I am Ann.", "Hello, Ann.", "Who am I?"] == said(made)
    assert ["user", "assistant", "user"] == [item.role for item in made.items if isinstance(item, Message)]
    assert made.server_state.previous_response_id is None


def test_a_conversation_goes_on_and_on() -> None:
    """Each reply's id stands for all that led to it, and one may go on twice from the same."""
    store = replied(step(input="1"), Text("one"))
    second = step(input="2", previous_response_id="resp_1")
    asked(second, store)
    store |= replied(second, Text("two"), ident="resp_2")
    assert ["1", "one", "2", "two", "3"] == said(asked(step(input="3", previous_response_id="resp_2"), store))
    assert ["1", "one", "3"] == said(asked(step(input="3", previous_response_id="resp_1"), store))


def test_a_result_finds_its_call() -> None:
    """Only the result is sent; the call is remembered."""
    store = replied(step(input="go"), ToolCall(call_id="c", name="f", arguments='{"a":1}'))
    result = {"type": "function_call_output", "call_id": "c", "output": "42"}
    made = asked(step(input=[result], previous_response_id="resp_1"), store)
    (call,) = (part for item in made.items if isinstance(item, Message) for part in item.parts if isinstance(part, ToolCall))
    assert ("c", "f", '{"a":1}') == (call.call_id, call.name, call.arguments)
    assert isinstance(made.items[-1], ToolResult) and "c" == made.items[-1].call_id


def test_instructions_are_not_carried_over() -> None:
    """As OpenAI has it: only those of the request at hand count, and they stay in front."""
    store = replied(step(input="hi", instructions="Be rude."), Text("no"))
    assert ["Be kind.", "hi", "no", "again"] == said(
        asked(step(input="again", instructions="Be kind.", previous_response_id="resp_1"), store)
    )


def test_an_id_that_nobody_knows() -> None:
    """The error says where it is and what to do."""
    with pytest.raises(ConversationNotFound, match=r"resp_gone.*Send the whole conversation") as raised:
        asked(step(input="hi", previous_response_id="resp_gone"), {})
    assert ("previous_response_id", 404) == (raised.value.param, raised.value.status)


def test_what_is_not_to_be_stored() -> None:
    """``store: false`` is obeyed; nothing is even listened to."""
    one = step(input="hi", store=False)
    assert () == one.hears and {} == replied(one, Text("hello"))


def test_what_failed_is_not_kept() -> None:
    """A reply that broke off has no id to go on from."""
    one = step(input="hi")
    events: list[Event] = [
        *unfold(Reply(id="resp_1", choices=(Choice(parts=(Text("hel"),)),)))[:3],
        Error(error=UpstreamBroken("x")),
    ]
    assert events == [made for event in events for made in one.back(event)] and {} == one.kept


def test_a_conversation_that_is_too_long_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than cut; going on from it is then refused."""
    kept = replied(step(input="hi"), Text("hello"))
    monkeypatch.setattr(conversations, "MOST", len(kept["response:resp_1"].encode()))
    assert kept.keys() == replied(step(input="hi"), Text("hello")).keys()
    assert {} == replied(step(input="hi!"), Text("hello"))


def test_without_an_id_nothing_is_asked_for() -> None:
    """The prompt is the very prompt."""
    one = step(input="hi")
    assert [] == one.wanted and one.prompt(one.leg.request.prompt) is one.leg.request.prompt
