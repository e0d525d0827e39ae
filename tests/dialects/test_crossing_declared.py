"""A history with calls brings their tools along where the provider wants them."""

from __future__ import annotations

from crossed import assistant, call, features, leg, result, user

from llmgw.model import FunctionTool, Prompt, ToolChoice
from llmgw_dialects.crossing.declared import Declared

HISTORY = (
    user("go"),
    assistant(call("a", "f"), call("b", "g")),
    result("a"),
    result("b"),
    assistant(call("c", "f")),
    result("c"),
)


def declared(prompt: Prompt, *, needed: bool = True) -> tuple[Prompt, list[str]]:
    step = Declared(leg(calls_need_tools=needed))
    return step.prompt(prompt), features(step)


def test_each_tool_once_and_none_to_be_called() -> None:
    """In the order of their first calls, open to any arguments; it is on record."""
    made, lost = declared(Prompt(items=HISTORY))
    assert ["f", "g"] == [tool.name for tool in made.tools if isinstance(tool, FunctionTool)]
    assert (ToolChoice("none"), HISTORY, ["tools"]) == (made.tool_choice, made.items, lost)


def test_what_the_client_offers_is_enough() -> None:
    """Its own tools and its choice stand."""
    prompt = Prompt(items=HISTORY, tools=(FunctionTool(name="h"),), tool_choice=ToolChoice("any"))
    assert declared(prompt)[0] is prompt


def test_otherwise_nothing_is_added() -> None:
    """Neither for a provider that does not ask, nor for a history without calls."""
    for prompt, needed in ((Prompt(items=HISTORY), False), (Prompt(items=(user("hi"),)), True)):
        made, lost = declared(prompt, needed=needed)
        assert made is prompt and lost == []
