"""What only its own provider understands stays behind, and nothing that hangs on it is left dangling."""

from __future__ import annotations

from typing import Any

from crossed import ANTHROPIC, CHAT, GEMINI, RESPONSES, assistant, call, features, leg, losses, read_from, result, user

from llmgw.model import (
    Carrier,
    Compaction,
    ItemReference,
    OpaqueItem,
    OpaquePart,
    Prompt,
    Reasoning,
    ServerToolCall,
    ServerToolResult,
)
from llmgw_dialects.crossing.opaque import Opaque


def item(kind: str, **raw: Any) -> OpaqueItem:
    return OpaqueItem(dialect=RESPONSES, type=kind, raw={"type": kind, **raw})


def part(kind: str, **raw: Any) -> OpaquePart:
    return OpaquePart(dialect=ANTHROPIC, type=kind, raw={"type": kind, **raw})


def test_foreign_nodes_go_and_are_told() -> None:
    """References, state and what a provider ran itself are dropped, each with a loss at its own place."""
    step = Opaque(leg(RESPONSES, ANTHROPIC))
    search = read_from(ServerToolCall(tool="web_search"), "input", 1, dialect=RESPONSES)
    found = ServerToolResult(tool="web_search")
    prompt = step.prompt(Prompt(items=(user("hi"), assistant("a", search, found, "b"), ItemReference(id="x"), item("new_thing"))))

    assert prompt.items == (user("hi"), assistant("a", "b"))
    assert [(loss.path, loss.feature) for loss in losses(step)] == [
        ("input[1]", "server_tool.web_search"),
        ("server_tool.web_search", "server_tool.web_search"),
        ("item_reference", "item_reference"),
        ("item.new_thing", "item.new_thing"),
    ]


def test_message_of_nothing_else_goes() -> None:
    """A message that held only such parts is gone; one with a thought stays."""
    step = Opaque(leg(ANTHROPIC, CHAT))
    kept = assistant(Reasoning(raw_text=("hm",)), part("new_block"))

    assert step.prompt(Prompt(items=(user("hi"), assistant(part("new_block")), kept))).items == (
        user("hi"),
        assistant(Reasoning(raw_text=("hm",))),
    )


def test_pairs_go_together() -> None:
    """Of a call and its result neither stays where one is of a type that nobody knows."""
    step = Opaque(leg(RESPONSES, ANTHROPIC))
    items = (
        user("hi"),
        item("future_call", call_id="a"),
        result("a"),
        assistant("x", call("b")),
        item("future_call_output", call_id="b"),
        assistant(call("c")),
        result("c"),
    )

    assert step.prompt(Prompt(items=items)).items == (user("hi"), assistant("x"), assistant(call("c")), result("c"))
    assert sorted(features(step)) == ["item.future_call", "item.future_call_output", "tool_call", "tool_result"]


def test_a_pair_that_is_whole_stays() -> None:
    """A call with a result of its own is not taken along by something opaque of the same id."""
    step = Opaque(leg(ANTHROPIC, GEMINI))
    items = (user("hi"), assistant(call("a"), part("new_tool_use", id="a")), result("a"), user("go"))

    assert step.prompt(Prompt(items=items)).items == (user("hi"), assistant(call("a")), result("a"), user("go"))


def test_own_summary_is_words() -> None:
    """A summary that this gateway made is told by the user; one of the target's own stays, another's goes."""
    ours = Compaction(carrier=Carrier(provider="llmgw", kind="compaction", payload="So far: x."))
    claude = Compaction(carrier=Carrier(provider="anthropic", kind="compaction", payload="..."))
    openai = Compaction(carrier=Carrier(provider="openai", kind="compaction", payload="..."))
    step = Opaque(leg(RESPONSES, ANTHROPIC))

    assert step.prompt(Prompt(items=(ours, claude, openai, Compaction(trigger=True), user("hi")))).items == (
        user("So far: x."),
        claude,
        user("hi"),
    )
    assert features(step) == ["compaction", "compaction", "compaction"]


def test_nothing_to_do_is_nothing_done() -> None:
    """A prompt that everybody understands, or whose opaque parts are the target's, is handed on as it is."""
    prompt = Prompt(items=(user("hi"), assistant("x", call("a")), result("a"), item("thing")))

    assert Opaque(leg(CHAT, RESPONSES)).prompt(prompt) is prompt
