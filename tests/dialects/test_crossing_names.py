"""Names of tools fit the target, and come back as the client's."""

from __future__ import annotations

import re

import pytest
from crossed import (
    ANTHROPIC,
    GEMINI,
    RESPONSES,
    assistant,
    back,
    call,
    call_block,
    features,
    leg,
    losses,
    read_from,
    reply,
    result,
)
from hypothesis import given
from hypothesis import strategies as st

from llmgw.events import BlockStart
from llmgw.model import CustomTool, FunctionTool, Message, Prompt, ToolCall, ToolChoice, ToolRef, ToolResult
from llmgw_dialects.crossing.names import Names

GOOGLE = {"tool_name": r"[a-zA-Z_][a-zA-Z0-9_.:-]*", "tool_name_max": 128}


def named(names: list[str], **profile: object) -> tuple[Names, list[str]]:
    step = Names(leg(RESPONSES, ANTHROPIC, **profile))
    prompt = step.prompt(Prompt(tools=tuple(FunctionTool(name=name) for name in names)))
    return step, [tool.name for tool in prompt.tools if isinstance(tool, FunctionTool)]


def returned(step: Names, *names: str) -> list[object]:
    events = reply(*(call_block(n, name, call_id=f"c{n}") for n, name in enumerate(names)))
    return [event.meta["name"] for event in back(step, events) if isinstance(event, BlockStart)]


@pytest.mark.parametrize(
    ("name", "want", "profile"),
    [
        ("get_weather-2", "get_weather-2", {}),
        ("a.b/c:d e", "a_b_c_d_e", {}),
        ("größe", "gr__e", {}),
        ("9lives", "9lives", {}),
        ("9lives", "_9lives", GOOGLE),
        ("a.b:c/d", "a.b:c_d", GOOGLE),
        ("", "_", {}),
    ],
)
def test_characters(name: str, want: str, profile: dict[str, object]) -> None:
    """What the target takes stays, what it does not becomes an underscore, and a beginning it refuses gets one in front."""
    step, found = named([name], **profile)

    assert found == [want]
    assert returned(step, want) == [name]


def test_long_names_are_cut_and_told_apart() -> None:
    """Of long names that begin alike each gets its own end, and none is longer than 64 characters."""
    long = ["mcp__" + "x" * 85 + end for end in "ab"]
    step, found = named(long)

    assert [len(name) for name in found] == [64, 64]
    assert len(set(found)) == 2
    assert all(re.fullmatch("mcp__x{50}_[0-9a-f]{8}", name) for name in found)
    assert returned(step, *found) == long


def test_names_that_become_alike_are_told_apart() -> None:
    """A name that is valid as it is belongs to its owner, even if it comes last."""
    step, found = named(["a.b", "a/b", "a_b"])

    assert found[2] == "a_b"
    assert len(set(found)) == 3
    assert all(re.fullmatch("a_b_[0-9a-f]{8}", name) for name in found[:2])
    assert returned(step, *found) == ["a.b", "a/b", "a_b"]


def test_history_results_and_choice_follow() -> None:
    """A name is mapped wherever it stands, also one that only the history knows."""
    step = Names(leg(RESPONSES, GEMINI))
    tool = read_from(FunctionTool(name="a.b"), "tools", 0, dialect=RESPONSES)
    prompt = step.prompt(
        Prompt(
            items=(assistant(call("1", "a.b"), call("2", "old.one")), result("1", name="a.b")),
            tools=(tool, CustomTool(name="c.d")),
            tool_choice=ToolChoice("allowed", (ToolRef("a.b"), ToolRef("c.d", "custom"))),
        )
    )

    assert isinstance(prompt.items[0], Message) and isinstance(prompt.items[1], ToolResult)
    assert [part.name for part in prompt.items[0].parts if isinstance(part, ToolCall)] == ["a_b", "old_one"]
    assert prompt.items[1].name == "a_b"
    assert [getattr(one, "name", None) for one in prompt.tools] == ["a_b", "c_d"]
    assert prompt.tool_choice == ToolChoice("allowed", (ToolRef("a_b"), ToolRef("c_d", "custom")))
    assert returned(step, "old_one", "made_up") == ["old.one", "made_up"]
    assert (losses(step)[0].path, losses(step)[0].from_, losses(step)[0].to) == ("tools[0]", "a.b", "a_b")
    assert sorted(features(step)) == ["tool_call.name", "tool_call.name", "tools.name", "tools.name"]


some_names = st.text(max_size=80) | st.text("a./_-9", min_size=1, max_size=5) | st.text("x", min_size=60, max_size=90)


@given(
    st.lists(some_names, max_size=8),
    st.sampled_from([{}, GOOGLE, {"tool_name_max": 20}]),
)
def test_any_names(names: list[str], profile: dict[str, object]) -> None:
    """Whatever the names: they fit, differ where the client's do, come back, and are the same when asked again."""
    step, found = named(names, **profile)
    pattern, most = str(profile.get("tool_name", "[a-zA-Z0-9_-]+")), profile.get("tool_name_max", 64)

    assert all(re.fullmatch(pattern, name) and len(name) <= most for name in found)  # type: ignore[operator]  # a number
    assert len(set(found)) == len(set(names))
    assert returned(step, *found) == names
    assert named(names, **profile)[1] == found
    assert named(found, **profile)[1] == found


@given(st.lists(st.text("ab./", min_size=1, max_size=3), min_size=1, max_size=6))
def test_names_stay_when_the_history_grows(names: list[str]) -> None:
    """A tool keeps its name when calls of unknown tools join the history: another would cost the provider's cache."""
    tools = tuple(FunctionTool(name=name) for name in names[:3])
    before = Names(leg()).prompt(Prompt(tools=tools))
    after = Names(leg()).prompt(Prompt(tools=tools, items=(assistant(*(call("1", name + "!!") for name in names)),)))

    assert after.tools == before.tools


def test_nothing_to_do_is_nothing_done() -> None:
    """Names that fit are handed on as they are."""
    prompt = Prompt(items=(assistant(call("a", "f")), result("a")), tools=(FunctionTool(name="f"),))

    assert Names(leg()).prompt(prompt) is prompt
