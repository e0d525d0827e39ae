"""A provider that breaks off is asked to go on, and the client gets one reply."""

from __future__ import annotations

from typing import Any

import pytest
from crossed import ANTHROPIC, CHAT, GEMINI, back, call_block, leg, text_block, user
from hypothesis import given
from hypothesis import strategies as st

from llmgw.events import (
    BlockStart,
    Event,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
    fold,
)
from llmgw.model import BuiltinTool, Message, Prompt, Text, ToolCall
from llmgw_dialects.crossing.continuing import MOST, Continuing

PAUSE, GO_ON = StopReason("pause"), StopReason("continuation", continuation="token")
SEARCHING = Prompt(items=(user("go"),), tools=(BuiltinTool(kind="web_search", vendor="anthropic"),))


def continuing(prompt: Prompt = SEARCHING, target: str = ANTHROPIC) -> Continuing:
    step = Continuing(leg(CHAT, target))
    assert step.prompt(prompt) is prompt
    return step


def piece(*blocks: list[Event], stop: StopReason, usage: Usage | None = None) -> list[Event]:
    """One of the provider's replies."""
    inner = [event for block in blocks for event in block]
    return [ResponseStart(), *inner, Stop(reason=stop), ResponseEnd(usage=usage)]


def led(step: Continuing, *replies: list[Event]) -> list[Event]:
    """Replies on their way back, each asked for after the one before it; together they keep the laws."""
    out: list[Event] = []
    for number, events in enumerate(replies):
        assert number == 0 or step.further() is not None
        out += [made for event in events for made in step.back(event)]
    return back(Continuing(leg()), out)


def test_one_reply_of_two_pieces() -> None:
    """There is one start, one stop and one end, and blocks are numbered on."""
    out = led(
        continuing(),
        piece(text_block(0, "One, "), call_block(1, "f", "{}"), stop=PAUSE),
        piece(text_block(0, "two."), stop=StopReason("end_turn")),
    )

    assert [0, 1, 2] == [event.index for event in out if isinstance(event, BlockStart)]
    choice = fold(out).choices[0]
    assert (Text("One, "), ToolCall(call_id="c1", name="f", arguments="{}"), Text("two.")) == choice.parts
    assert StopReason("end_turn") == choice.stop


def test_what_was_said_is_sent_along() -> None:
    """Anthropic is asked again with its own piece as the last turn, each time with all pieces so far."""
    step = continuing()
    for said in ("One, ", "two, "):
        back_of = [made for event in piece(text_block(0, said), stop=PAUSE) for made in step.back(event)]
        assert not any(isinstance(event, Stop | ResponseEnd) for event in back_of)
        asked = step.further()
        assert asked is not None and Message(role="assistant", parts=(Text(said),)) == asked.items[-1]
    assert asked is not None and (user("go"), "One, ", "two, ") == (
        asked.items[0], *(part.text for item in asked.items[1:] for part in getattr(item, "parts", ())),
    )  # fmt: skip


def test_a_token_is_sent_along() -> None:
    """Gemini remembers what it said; the token says where it was."""
    step = continuing(Prompt(items=(user("go"),)), GEMINI)
    assert [] != [made for event in piece(text_block(0, "a"), stop=GO_ON) for made in step.back(event)]
    asked = step.further()
    assert asked is not None and ("token", (user("go"),)) == (asked.server_state.continuation, asked.items)


def test_a_whole_reply_asks_for_nothing_further() -> None:
    """Nor is anything changed in it."""
    step = continuing()
    events = piece(text_block(0, "a"), stop=StopReason("end_turn"), usage=Usage(input_total=1, output_total=2))
    assert events == back(step, events) and step.further() is None


@pytest.mark.parametrize("stop", [PAUSE, GO_ON])
def test_there_is_an_end_to_it(stop: StopReason) -> None:
    """After so many pieces the client is told what the provider said."""
    step = continuing()
    events = piece(text_block(0, "x"), stop=stop)
    out = led(step, *[events] * (MOST + 1))
    choice = fold(out).choices[0]
    assert (stop, [Text("x")] * (MOST + 1)) == (choice.stop, list(choice.parts)) and step.further() is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=MOST))
def test_all_that_was_used_is_counted(spent: list[tuple[int, int]]) -> None:
    """The reply's usage is the sum of its pieces', whether they tell it at their ends or before."""
    step = continuing()
    replies: list[Any] = []
    for number, (asked, answered) in enumerate(spent):
        stop = StopReason("end_turn") if number == len(spent) - 1 else PAUSE
        early, late = Usage(input_total=asked), Usage(input_total=asked, output_total=answered)
        block = [UsageUpdate(usage=early), *text_block(0, "x"), UsageUpdate(usage=late)]
        replies.append(piece(block, stop=stop, usage=late if number % 2 else None))
    total = fold(led(step, *replies)).usage
    assert total is not None
    assert (sum(one for one, _ in spent), sum(two for _, two in spent)) == (total.input_total, total.output_total)


def test_only_what_may_pause_is_remembered() -> None:
    """Without the provider's own tools a reply costs nothing to watch: its words are not heard."""
    assert Event not in continuing(Prompt(items=(user("hi"),))).hears
    assert (Event,) == continuing().hears
    own = Prompt(tools=(BuiltinTool(kind="bash", vendor="anthropic", client_executed=True),))
    assert Event not in continuing(own).hears
