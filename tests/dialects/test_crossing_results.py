"""Each call has exactly one result, right behind its run of the assistant."""

from __future__ import annotations

import pytest
from crossed import ANTHROPIC, CHAT, GEMINI, RESPONSES, assistant, call, features, leg, losses, read_from, result, user

from llmgw.model import Base64, CacheMark, Image, Instruction, Item, Prompt, Reasoning, Text, ToolResult
from llmgw_dialects.crossing.results import Results

PICTURE = Image(Base64("image/png", "AAAA"))
MISSING = ToolResult(call_id="a", parts=(Text("No result was recorded for this tool call."),), name="f", is_error=True)


def repaired(*items: Item, target: str = ANTHROPIC) -> tuple[tuple[Item, ...], list[str]]:
    step = Results(leg(CHAT, target))
    return step.prompt(Prompt(items=items)).items, features(step)


def named(call_id: str, text: str = "ok", name: str = "f", **rest: object) -> ToolResult:
    return result(call_id, text, name=name, **rest)


def test_pairs_that_are_right_stay() -> None:
    """A history in order is handed on as it is."""
    prompt = Prompt(items=(user("hi"), assistant(call("a"), call("b")), named("a"), named("b"), user("go"), assistant("x")))

    assert Results(leg()).prompt(prompt) is prompt
    assert Results(leg()).prompt(Prompt(items=(user("hi"),))).items == (user("hi"),)


def test_results_stand_in_the_order_of_their_calls() -> None:
    """Parallel results that came in another order are put in their calls' order."""
    items, lost = repaired(assistant(call("a"), call("b", "g")), named("b", "2", "g", is_error=True), named("a", "1"))

    assert items == (assistant(call("a"), call("b", "g")), named("a", "1"), named("b", "2", "g", is_error=True))
    assert lost == ["order"]


def test_nothing_stands_between_a_call_and_its_result() -> None:
    """What the user or the system said there comes behind, and the loss says what was moved."""
    said = read_from(user("wait"), "messages", 2)
    rule = Instruction(parts=(Text("be quick"),), leading=False)
    step = Results(leg())
    prompt = step.prompt(Prompt(items=(user("hi"), assistant(call("a")), said, rule, named("a"), user("go"))))

    assert prompt.items == (user("hi"), assistant(call("a")), named("a"), said, rule, user("go"))
    assert [(loss.path, loss.feature) for loss in losses(step)] == [("messages[2]", "order"), ("order", "order")]


def test_a_run_of_the_assistant_stays_together() -> None:
    """Results come behind all that the assistant said at a stretch."""
    run = (assistant(call("a")), assistant("and", call("b")))

    assert repaired(*run, named("a"), named("b")) == ((*run, named("a"), named("b")), [])


def test_a_result_comes_forward_to_its_call() -> None:
    """A result far from its call moves there."""
    items, lost = repaired(assistant(call("a")), user("x"), assistant(call("b")), named("b"), named("a"))

    assert items == (assistant(call("a")), named("a"), user("x"), assistant(call("b")), named("b"))
    assert set(lost) == {"order"}


def test_missing_results_are_made_up_as_errors() -> None:
    """A call of an earlier turn, or beside one that was answered, gets a result that says there is none."""
    assert repaired(assistant(call("a")), user("never mind")) == (
        (assistant(call("a")), MISSING, user("never mind")),
        ["tool_result.missing"],
    )
    assert repaired(assistant(call("b"), call("a")), named("b")) == (
        (assistant(call("b"), call("a")), named("b"), MISSING),
        ["tool_result.missing"],
    )


@pytest.mark.parametrize("target", [ANTHROPIC, CHAT, GEMINI])
def test_calls_at_the_end_that_nobody_answered_go(target: str) -> None:
    """A conversation that ends with open calls ends with what was said before them."""
    thought = Reasoning(raw_text=("hm",))

    assert repaired(user("hi"), assistant("x", call("a"), call("b")), target=target) == (
        (user("hi"), assistant("x")),
        ["tool_call", "tool_call"],
    )
    assert repaired(user("hi"), assistant(thought, call("a")), target=target)[0] == (user("hi"),)
    assert repaired(user("hi"), assistant("x"), assistant(call("a")), target=target)[0] == (user("hi"), assistant("x"))


def test_calls_at_the_end_stay_for_responses() -> None:
    """The Responses API takes a conversation that ends with open calls."""
    items = (user("hi"), assistant("x", call("a")))

    assert repaired(*items, target=RESPONSES) == (items, [])


def test_orphans_become_words() -> None:
    """A result whose call is lost is told by the user, its pictures with it; so is one that comes before its call."""
    lost = ToolResult(call_id="z", parts=(Text("1"), PICTURE, Text("2")), name="g", cache=CacheMark())
    items, told = repaired(user("hi"), lost, ToolResult(call_id="y", structured={"a": 1}), assistant("x"))

    assert items == (
        user("hi"),
        user("").__class__(role="user", parts=(Text("[result of g]: 12", cache=CacheMark()), PICTURE)),
        user('[result of a tool]: {"a":1}'),
        assistant("x"),
    )
    assert told == ["tool_result.orphan", "tool_result.orphan"]
    assert repaired(named("a"), assistant(call("a")), named("a", "late"))[0] == (
        user("[result of f]: ok"),
        assistant(call("a")),
        named("a", "late"),
    )


def test_of_several_results_the_last_counts() -> None:
    """Two results of one call leave the later one."""
    assert repaired(assistant(call("a")), named("a", "1"), named("a", "2")) == (
        (assistant(call("a")), named("a", "2")),
        ["tool_result.duplicate"],
    )


def test_results_know_their_call() -> None:
    """A result has its call's name and kind; for Chat, which has no place for it, no name."""
    items = (assistant(call("a", "g", kind="custom")), result("a"))

    assert repaired(*items, target=GEMINI)[0][1] == result("a", name="g", kind="custom")
    assert repaired(*items, target=CHAT)[0][1] == result("a", kind="custom")
    assert repaired(assistant(call("a", "g")), named("a"), target=CHAT)[0][1] == result("a")
