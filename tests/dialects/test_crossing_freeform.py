"""Freeform tools for models whose tools take objects."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from crossed import (
    ANTHROPIC,
    RESPONSES,
    assistant,
    back,
    call,
    call_block,
    features,
    leg,
    losses,
    pieces,
    read_from,
    reply,
    result,
    text_block,
    user,
)
from hypothesis import given
from hypothesis import strategies as st

from llmgw.events import BlockDelta, BlockStart, Event, fold
from llmgw.model import CacheMark, CustomTool, FunctionTool, Message, Prompt, ToolCall, ToolChoice, ToolRef, ToolResult
from llmgw_dialects.crossing.fences import unfits
from llmgw_dialects.crossing.freeform import Freeform

LARK = """start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk
add_hunk: "*** Add File: " filename LF
filename: /(.+)/
%import common.LF
"""
PATCH = CustomTool(name="apply_patch", description="Edit files.", syntax="lark", definition=LARK, cache=CacheMark(300))
BODY = '*** Begin Patch\n*** Add File: a\n+x "q" \\ \u2028 \U0001f600\n*** End Patch'


def step(*tools: CustomTool) -> Freeform:
    made = Freeform(leg(RESPONSES, ANTHROPIC))
    made.prompt(Prompt(tools=tools or (PATCH,)))
    return made


def calls(events: list[Event]) -> list[ToolCall]:
    return [part for part in fold(events).choices[0].parts if isinstance(part, ToolCall)]


def test_tool_becomes_a_function() -> None:
    """The function has one text, and says what the tool is for, its grammar, and how to give the text."""
    made = Freeform(leg(RESPONSES, ANTHROPIC))
    tool = read_from(evolve(PATCH), "tools", 3, dialect=RESPONSES)
    (found,) = made.prompt(Prompt(tools=(tool,))).tools

    assert isinstance(found, FunctionTool)
    assert (found.name, found.cache, found.strict) == ("apply_patch", CacheMark(300), None)
    assert found.schema["required"] == ["input"]
    assert found.schema["properties"]["input"]["type"] == "string"
    assert found.schema["additionalProperties"] is False
    assert found.description is not None
    assert found.description.startswith("Edit files.\n\n")
    assert LARK in found.description
    assert found.description.endswith("Put the raw text in `input`; do not add JSON or fences.")
    assert [(loss.path, loss.feature, loss.action) for loss in losses(made)] == [
        ("tools[3]", "tools.custom", "emulated"),
        ("tools[3]", "tools.grammar", "approximated"),
    ]


def test_history_and_choice_follow() -> None:
    """Calls of the history are wrapped to the letter, their results and the choice are a function's."""
    made = Freeform(leg(RESPONSES, ANTHROPIC))
    prompt = made.prompt(
        Prompt(
            items=(user("hi"), assistant(call("a", "apply_patch", BODY, kind="custom")), result("a", kind="custom")),
            tool_choice=ToolChoice("named", (ToolRef("apply_patch", "custom"),)),
        )
    )

    assert isinstance(prompt.items[1], Message)
    (found,) = prompt.items[1].parts
    assert isinstance(found, ToolCall)
    assert found.kind == "function"
    assert json.loads(found.arguments) == {"input": BODY}
    assert isinstance(prompt.items[2], ToolResult)
    assert prompt.items[2].kind == "function"
    assert prompt.tool_choice == ToolChoice("named", (ToolRef("apply_patch"),))
    assert features(made) == ["tool_call.custom"]


def test_models_that_have_freeform_tools_get_them() -> None:
    """Nothing is wrapped for a model that knows such tools."""
    prompt = Prompt(items=(assistant(call("a", "p", "x", kind="custom")),), tools=(PATCH,))

    assert Freeform(leg(RESPONSES, "openai.chat", custom_tools=True)).prompt(prompt) is prompt


@given(st.text(max_size=40), st.lists(st.integers(0, 400), max_size=6), st.booleans())
def test_any_text_goes_there_and_back(text: str, cuts: list[int], ascii_only: bool) -> None:
    """A freeform call is the same text after it was wrapped, streamed in any pieces and unwrapped."""
    made = step(CustomTool(name="p"))
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only)
    (found,) = calls(back(made, reply(call_block(0, "p", *pieces(arguments, cuts)))))

    assert (found.kind, found.name, found.arguments) == ("custom", "p", text)


def test_text_streams_before_the_call_ends() -> None:
    """The client hears of the text while it comes."""
    made = step()
    begin, first, *_ = call_block(0, "apply_patch", '{"input":"*** Begin Patch\\n*** Add', "...")

    (begun,) = made.back(begin)
    assert isinstance(begun, BlockStart)
    assert (begun.kind, begun.meta["name"]) == ("custom_tool_call", "apply_patch")
    assert list(made.back(first)) == [BlockDelta(index=0, channel="input", fragment="*** Begin Patch\n*** Add")]


def test_other_calls_and_blocks_pass() -> None:
    """What is no call of a wrapped tool is not touched, also between its fragments."""
    made = step()
    patch = call_block(1, "apply_patch", '{"input":', '"x"}', call_id="p")
    other = call_block(2, "apply_patch_too", '{"a":', "1}", call_id="o")
    mixed = [patch[0], other[0], patch[1], other[1], other[2], patch[2], other[3], patch[3]]
    out = back(made, reply(text_block(0, "hi"), mixed))

    assert [event for event in out if getattr(event, "index", 0) == 2] == other
    assert [(one.kind, one.arguments) for one in calls(out)] == [("custom", "x"), ("function", '{"a":1}')]


@pytest.mark.parametrize("opening", ["```\n", "```patch\n", "\n```diff\n"])
@pytest.mark.parametrize("closing", ["\n```", "\n```\n", "\n```  \n"])
def test_fence_is_taken_off(opening: str, closing: str) -> None:
    """A fence that the tool's grammar cannot begin with is taken off, however the text is cut; what is within stays."""
    arguments = json.dumps({"input": opening + BODY + "\n``\n```x\n" + closing})
    for cut in ([arguments], list(arguments)):
        (found,) = calls(back(step(), reply(call_block(0, "apply_patch", *cut))))
        assert found.arguments == BODY + "\n``\n```x\n"


@pytest.mark.parametrize("text", [BODY, "``", "```", "", "x\n```\ny\n```", BODY + "\n"])
def test_text_without_an_opening_fence_stays(text: str) -> None:
    """Without a fence in front nothing is taken."""
    arguments = json.dumps({"input": text})
    for cut in ([arguments], list(arguments)):
        (found,) = calls(back(step(), reply(call_block(0, "apply_patch", *cut))))
        assert found.arguments == text


def test_fence_stays_where_it_may_be_meant() -> None:
    """A tool that takes any text gets its fence."""
    (found,) = calls(back(step(CustomTool(name="p")), reply(call_block(0, "p", json.dumps({"input": "```\nx\n```"})))))

    assert found.arguments == "```\nx\n```"


@pytest.mark.parametrize(
    ("syntax", "definition", "known"),
    [
        ("lark", LARK, True),
        ("lark", 'start: a | b\na: "x"\nb: "y" a', True),
        ("lark", 'start: a\n    | b\na: "x"\nb: "```" a', False),
        ("lark", "start: /.+/", False),
        ("lark", 'start: (a | b)\na: "x"', False),
        ("lark", 'start: a? "x"\na: "y"', False),
        ("lark", 'start: start "x"', False),
        ("lark", "nonsense", False),
        ("regex", "^SELECT .*", True),
        ("regex", ".*", False),
        ("regex", "a?```", False),
        ("text", None, False),
    ],
)
def test_whether_a_fence_can_begin_a_text(syntax: str, definition: str | None, known: bool) -> None:
    """A fence is known not to fit only where the grammar says plainly how a text begins."""
    assert unfits(CustomTool(name="p", syntax=syntax, definition=definition)) is known  # type: ignore[arg-type]  # of a table
