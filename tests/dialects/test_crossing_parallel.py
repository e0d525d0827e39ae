"""One call at a time where the client asked for it and the model cannot be told."""

from __future__ import annotations

from crossed import CHAT, GEMINI, back, call_block, features, leg, reply, text_block
from hypothesis import given
from hypothesis import strategies as st

from llmgw.events import BlockMeta, fold
from llmgw.model import Prompt, Text, ToolCall
from llmgw_dialects.crossing.parallel import Parallel


def step(parallel: bool | None = False, **profile: bool) -> Parallel:
    made = Parallel(leg(CHAT, GEMINI, **{"parallel_switch": False, **profile}))
    made.prompt(Prompt(parallel_tools=parallel))
    return made


def test_the_first_call_passes_alone() -> None:
    """Later calls are left out with all that is said of them, what follows is numbered without a gap, and the loss is told."""
    made = step()
    second = call_block(2, "g", "{}", call_id="b")
    second.insert(1, BlockMeta(index=2, what="extra", value={"x": 1}))
    out = back(made, reply(text_block(0, "hi"), call_block(1, "f", "{}", call_id="a"), second, text_block(3, "bye")))

    assert fold(out).choices[0].parts == (Text("hi"), ToolCall(call_id="a", name="f", arguments="{}"), Text("bye"))
    assert features(made) == ["parallel_tools", "tool_call"]


def test_the_wish_is_granted_here() -> None:
    """The target is not asked for what it does not know."""
    made = Parallel(leg(CHAT, GEMINI, parallel_switch=False))

    assert made.prompt(Prompt(parallel_tools=False)) == Prompt()


def test_otherwise_all_calls_pass() -> None:
    """Without the wish, or with a model that can be told, nothing is touched."""
    events = reply(call_block(0, "f"), call_block(1, "g", call_id="b"))
    for made in (step(None), step(True), step(parallel_switch=True)):
        assert back(made, events) == events
        assert features(made) == []
    prompt = Prompt(parallel_tools=False)
    assert Parallel(leg()).prompt(prompt) is prompt


@given(st.lists(st.booleans(), max_size=8))
def test_any_reply_keeps_the_laws(calls: list[bool]) -> None:
    """Whatever the order of calls and texts, blocks count up and at most one calls."""
    blocks = [call_block(n, "f", "{}", call_id=f"c{n}") if is_call else text_block(n, str(n)) for n, is_call in enumerate(calls)]
    parts = [part for choice in fold(back(step(), reply(*blocks))).choices for part in choice.parts]

    assert [part.call_id for part in parts if isinstance(part, ToolCall)] == [f"c{n}" for n, one in enumerate(calls) if one][:1]
    assert [part.text for part in parts if isinstance(part, Text)] == [str(n) for n, one in enumerate(calls) if not one]
