"""Tool choices that a model cannot be given."""

from __future__ import annotations

from typing import Any

import pytest
from steps import USER, stepped

from llmgw.model import (
    BuiltinTool,
    CustomTool,
    FunctionTool,
    McpServer,
    Message,
    Namespace,
    Prompt,
    ReasoningConfig,
    Text,
    ToolChoice,
    ToolRef,
    ToolResult,
)
from llmgw_dialects.crossing.choice import Choice

F, G = FunctionTool(name="f"), FunctionTool(name="g")
ADAPTIVE = ReasoningConfig(mode="adaptive", effort="high")
NAMED = ToolChoice("named", (ToolRef("f"),))


def chosen(
    way: str, choice: ToolChoice | None, reasoning: ReasoningConfig | None = None, tools: Any = (F, G), **changes: Any
) -> Any:
    prompt = Prompt(
        items=(USER,), tools=tools, tool_choice=choice, reasoning=reasoning or ReasoningConfig(), parallel_tools=False
    )
    return stepped(Choice, way, prompt, **changes)


@pytest.mark.parametrize("choice", [None, ToolChoice("auto"), ToolChoice("none"), ToolChoice("required"), NAMED])
@pytest.mark.parametrize("way", ["CA", "CS", "CG", "AC"])
def test_what_all_take(choice: ToolChoice | None, way: str) -> None:
    """Without thinking, the four plain choices go through everywhere."""
    made = chosen(way, choice)
    assert made.prompt is made.step.leg.request.prompt and [] == made.losses


@pytest.mark.parametrize("choice", [ToolChoice("required"), NAMED])
def test_forced_instead_of_thinking(choice: ToolChoice) -> None:
    """A model that cannot think and be forced does not think this once."""
    made = chosen("CA", choice, ADAPTIVE)
    assert (ReasoningConfig(mode="off"), choice) == (made.prompt.reasoning, made.prompt.tool_choice)
    assert [("reasoning", "approximated")] == made.lost


@pytest.mark.parametrize("choice", [ToolChoice("auto"), ToolChoice("none")])
def test_not_forced_is_no_reason(choice: ToolChoice) -> None:
    """Thinking stays where nothing is forced."""
    assert ADAPTIVE == chosen("CA", choice, ADAPTIVE).prompt.reasoning


@pytest.mark.parametrize(("choice", "words"), [
    (NAMED, "You must call the tool f now."), (ToolChoice("required"), "You must call one of the tools now."),
])  # fmt: skip
@pytest.mark.parametrize("changes", [{"model": "claude-fable-5"}, {"can_disable": False}])
def test_asked_in_words(choice: ToolChoice, words: str, changes: Any) -> None:
    """A model that is never forced is asked, at the end of what the user said."""
    made = chosen("CA", choice, ADAPTIVE, **changes)
    assert (ToolChoice("auto"), ADAPTIVE) == (made.prompt.tool_choice, made.prompt.reasoning)
    assert (Message(role="user", parts=(Text("hi"), Text(words))),) == made.prompt.items
    assert [("tool_choice", "approximated")] == made.lost


def test_asked_behind_results() -> None:
    """Behind tool results the words are a message of their own."""
    items = (USER, Message(role="assistant", parts=(Text("x"),), turn=1), ToolResult(call_id="c", turn=2))
    made = stepped(Choice, "CA", Prompt(items=items, tools=(F,), tool_choice=NAMED), model="claude-fable-5")
    assert (*items, Message(role="user", parts=(Text("You must call the tool f now."),), turn=2)) == made.prompt.items


@pytest.mark.parametrize(("inner", "mode"), [("required", "required"), ("auto", "auto"), (None, "auto")])
def test_some_of_the_tools(inner: Any, mode: str) -> None:
    """Where a choice cannot be limited, only those tools are sent."""
    made = chosen("SA", ToolChoice("allowed", (ToolRef("g"),), inner))
    assert ((G,), ToolChoice(mode)) == (made.prompt.tools, made.prompt.tool_choice)  # type: ignore[arg-type]  # a mode
    assert [("tool_choice.allowed", "emulated")] == made.lost


@pytest.mark.parametrize(("model", "expected", "tools"), [
    ("gemini-3-pro", ToolChoice("validated", (ToolRef("g"),)), (F, G)), ("gemini-2.0-flash", ToolChoice("auto"), (G,)),
])  # fmt: skip
def test_google_ignores_names_where_nothing_is_forced(model: str, expected: ToolChoice, tools: Any) -> None:
    """It checks calls of these names without forcing one; a model that does not know this gets only these tools."""
    made = chosen("SG", ToolChoice("allowed", (ToolRef("g"),), "auto"), model=model)
    assert (expected, tools) == (made.prompt.tool_choice, made.prompt.tools)
    assert [("tool_choice.allowed", "emulated")] == made.lost


@pytest.mark.parametrize("way", ["SC", "CS", "SG"])
def test_limited_where_it_can_be(way: str) -> None:
    """OpenAI and Google have a choice of some tools."""
    made = chosen(way, ToolChoice("allowed", (ToolRef("g"),), "required"))
    assert made.prompt is made.step.leg.request.prompt


def test_all_kinds_of_tools_are_found() -> None:
    """A tool is named by its name, a vendor's by its kind, a server by its label; in a namespace or out of it."""
    tools = (
        CustomTool(name="c"), BuiltinTool(kind="web_search", vendor="openai"), McpServer(label="m"),
        Namespace(name="n", tools=(FunctionTool(name="i", namespace="n"), FunctionTool(name="j"))), F,
    )  # fmt: skip
    refs = (ToolRef("c", "custom"), ToolRef("web_search", "builtin"), ToolRef("m", "builtin"), ToolRef("i", namespace="n"))
    made = chosen("SA", ToolChoice("allowed", refs), tools=tools)
    assert (*tools[:3], Namespace(name="n", tools=(FunctionTool(name="i", namespace="n"),))) == made.prompt.tools


def test_unknown_tools_limit_nothing() -> None:
    """A choice of tools that are not there is let go: there would be no tools at all."""
    made = chosen("SA", ToolChoice("allowed", (ToolRef("zzz"),), "required"))
    assert ((F, G), ToolChoice("auto")) == (made.prompt.tools, made.prompt.tool_choice)
    assert [("tool_choice", "dropped")] == made.lost


@pytest.mark.parametrize(("way", "names", "expected", "tools"), [
    ("GC", (), ToolChoice("auto"), (F, G)), ("GC", (ToolRef("f"),), ToolChoice("allowed", (ToolRef("f"),), "auto"), (F, G)),
    ("GA", (ToolRef("f"),), ToolChoice("auto"), (F,)), ("CG", (), ToolChoice("validated"), (F, G)),
])  # fmt: skip
def test_valid_calls(way: str, names: Any, expected: ToolChoice, tools: Any) -> None:
    """Only Google checks calls without forcing them."""
    made = chosen(way, ToolChoice("validated", names))
    assert (expected, tools) == (made.prompt.tool_choice, made.prompt.tools)


def test_no_tools_no_choice() -> None:
    """Without tools there is nothing to choose, and nothing to forbid."""
    made = chosen("AC", ToolChoice("auto"), tools=())
    assert (None, None, []) == (made.prompt.tool_choice, made.prompt.parallel_tools, made.losses)
    assert [("tool_choice", "dropped")] == chosen("AC", ToolChoice("required"), tools=()).lost


def test_a_limited_choice_that_is_never_forced() -> None:
    """It stays limited, and is asked for in words."""
    choice = ToolChoice("allowed", (ToolRef("f"), ToolRef("g")), "required")
    made = chosen("SC", choice, forced_choice="never")
    assert ToolChoice("allowed", choice.names, "auto") == made.prompt.tool_choice
    assert Text("You must call one of these tools now: f, g.") == made.prompt.items[0].parts[-1]
