"""What a prompt holds is found once; what follows from it is among the laws (``test_crossing_laws``)."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from crossed import assistant, call, leg, user

from llmgw.model import (
    BuiltinTool,
    Carrier,
    FunctionTool,
    Image,
    Message,
    Namespace,
    Prompt,
    Text,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
    Url,
)
from llmgw_dialects.crossing.holding import Kind, kinds

BASH = BuiltinTool(kind="bash", vendor="anthropic")
CARRIER = Carrier(provider="google", kind="thought_signature", payload="x")
NESTED = Namespace(name="n", tools=(FunctionTool(name="f", defer_loading=True),))


@pytest.mark.parametrize(("prompt", "found"), [
    (Prompt(items=(user("hi"),)), {Message, Text}),
    (Prompt(items=(Message(role="user", parts=(Image(Url("https://x/y.png")),)),)), {Message, Image}),
    (Prompt(items=(assistant(Text("a", carrier=CARRIER)),)), {Message, Text, "carrier"}),
    (Prompt(items=(assistant(call("a", carrier=CARRIER)),)), {Message, ToolCall, "function", "carrier"}),
    (Prompt(items=(assistant(call("a", namespace="n")),)), {Message, ToolCall, "function", "namespace"}),
    (Prompt(items=(ToolResult(call_id="a", kind="custom"),)), {ToolResult, "custom"}),
    (Prompt(tools=(NESTED,)), {Namespace, FunctionTool, "deferred"}),
    (Prompt(tools=(BASH, FunctionTool(name="f", namespace="n"))), {BuiltinTool, FunctionTool, "namespace"}),
    (Prompt(tool_choice=ToolChoice("named", (ToolRef("f", "custom", "n"),))), {"custom", "namespace"}),
    (Prompt(), set()),
])  # fmt: skip
def test_each_kind_is_found(prompt: Prompt, found: set[Kind]) -> None:
    """Items, their parts, calls and results by their kind, and tools, also those within others."""
    assert found == kinds(prompt)


def test_a_prompt_that_was_changed_is_looked_at_again() -> None:
    """What a step has put in or taken out counts for the next."""
    one: Any = leg()
    prompt = Prompt(items=(user("hi"),))
    assert one.holds(prompt, Message) and not one.holds(prompt, BuiltinTool, "custom")
    with_tool = evolve(prompt, tools=(BASH,))
    assert one.holds(with_tool, BuiltinTool) and not one.holds(evolve(with_tool, tools=()), BuiltinTool)
