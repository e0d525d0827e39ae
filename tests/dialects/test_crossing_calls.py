"""A reply that calls a tool ends in that call."""

from __future__ import annotations

import pytest
from crossed import CHAT, GEMINI, back, call_block, leg, reply, text_block

from llmgw.events import Stop
from llmgw_dialects.crossing.calls import Calls


def stops(events: list[object]) -> list[str]:
    return [event.reason.kind for event in events if isinstance(event, Stop)]


@pytest.mark.parametrize("said", ["end", "other", "stop_sequence", "tool_use"])
def test_a_complete_call_is_the_reason(said: str) -> None:
    """Whatever the provider calls an ordinary end, the client is told to run the tool."""
    assert stops([*back(Calls(leg(CHAT, GEMINI)), reply(text_block(0, "x"), call_block(1, "f"), stop=said))]) == ["tool_use"]


@pytest.mark.parametrize("said", ["max_tokens", "refusal", "content_filter", "malformed_tool_call", "context_window"])
def test_a_limit_or_a_refusal_stays(said: str) -> None:
    """The call may be cut short: the client must know."""
    events = reply(call_block(0, "f", '{"a":'), stop=said)

    assert back(Calls(leg(CHAT, GEMINI)), events) == events


def test_without_a_call_nothing_changes() -> None:
    """A text ends as it ends."""
    events = reply(text_block(0, "x"), stop="end")

    assert back(Calls(leg(CHAT, GEMINI)), events) == events
