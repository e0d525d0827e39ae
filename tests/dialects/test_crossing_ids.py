"""Ids of calls fit the target and the client, and calls find their results."""

from __future__ import annotations

import re
from typing import Any

import pytest
from crossed import (
    ANTHROPIC,
    CHAT,
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
    user,
)
from hypothesis import given
from hypothesis import strategies as st

from llmgw.events import BlockStart
from llmgw.model import Item, Message, Prompt, ToolCall, ToolResult
from llmgw_dialects.crossing.ids import Ids


def ids(items: tuple[Item, ...]) -> list[str]:
    """All ids, of calls and results, in their order."""
    found: list[str] = []
    for item in items:
        if isinstance(item, ToolResult):
            found.append(item.call_id)
        if isinstance(item, Message):
            found += [part.call_id for part in item.parts if isinstance(part, ToolCall)]
    return found


def mapped(*items: Item, **profile: Any) -> list[str]:
    return ids(Ids(leg(CHAT, ANTHROPIC, **profile)).prompt(Prompt(items=items)).items)


def returned(step: Ids, *given: str) -> list[str]:
    events = reply(*(call_block(n, "f", call_id=ident) for n, ident in enumerate(given)))
    return [event.meta["call_id"] for event in back(step, events) if isinstance(event, BlockStart)]


@pytest.mark.parametrize("ident", ["x" * 83, "a:b/c", "call 1", "é"])
def test_ids_that_do_not_fit_become_others(ident: str) -> None:
    """A call and its result get the same short id, always the same one, and not the beginning of theirs."""
    first, second = mapped(assistant(call(ident)), result(ident))

    assert first == second
    assert re.fullmatch(r"call_[0-9a-f]{24}", first)
    assert mapped(assistant(call(ident)), result(ident)) == [first, second]
    assert mapped(assistant(call(ident + "x"))) != [first]


def test_ids_that_fit_stay() -> None:
    """A prompt whose ids fit and differ is handed on as it is."""
    prompt = Prompt(items=(assistant(call("a"), call("b")), result("b"), result("a"), result("x")))

    assert Ids(leg()).prompt(prompt) is prompt


def test_the_same_id_in_two_turns() -> None:
    """The second call gets an id of its own, with its result, and keeps it when the conversation goes on."""
    turns = (user("hi"), assistant(call("a")), result("a"), assistant(call("a")), result("a"))
    found = mapped(*turns)

    assert found[:2] == ["a", "a"]
    assert found[2] == found[3] != "a"
    assert mapped(*turns, assistant(call("a")), result("a"))[:4] == found


def test_a_result_belongs_to_the_last_turn_that_called() -> None:
    """Where an earlier call of the same id was never answered, the result is still the later one's."""
    first, second, answer = mapped(assistant(call("a")), user("stop"), assistant(call("a")), result("a"))

    assert first != second == answer


def test_the_same_id_twice_in_one_turn() -> None:
    """Results follow their calls in order, or by name where the results have names."""
    one, two, first, second = mapped(assistant(call("", "f"), call("", "g")), result(""), result(""))
    assert one != two
    assert (first, second) == (one, two)

    one, two, first, second = mapped(assistant(call("", "f"), call("", "g")), result("", name="g"), result("", name="f"))
    assert (first, second) == (two, one)


def test_a_loss_says_where() -> None:
    """Each call with a new id is told, at its own path."""
    step = Ids(leg(CHAT, ANTHROPIC))
    step.prompt(Prompt(items=(assistant(read_from(call("a b"), "messages", 1, "tool_calls", 0)), result("a b"))))

    assert [(loss.path, loss.feature, loss.from_) for loss in losses(step)] == [
        ("messages[1].tool_calls[0]", "tool_call.id", "a b")
    ]


some_ids = st.text(max_size=3) | st.sampled_from(["a", "b", "", "call_1"]) | st.text("y", min_size=70, max_size=90)


@given(
    st.lists(st.lists(some_ids, max_size=3), max_size=5),
    st.sampled_from([{}, {"call_id": "[a-zA-Z0-9]{9}", "call_id_max": 9}, {"call_id_max": 40}]),
)
def test_any_ids(turns: list[list[str]], profile: dict[str, Any]) -> None:
    """Whatever the ids: they fit, no two calls share one, and each result has its call's."""
    items: list[Item] = []
    for turn in turns:
        items += [user("go"), assistant("x", *map(call, turn)), *map(result, turn)]
    prompt = Ids(leg(**profile)).prompt(Prompt(items=tuple(items)))
    calls = [
        part.call_id for item in prompt.items if isinstance(item, Message) for part in item.parts if isinstance(part, ToolCall)
    ]
    results = [item.call_id for item in prompt.items if isinstance(item, ToolResult)]

    assert calls == results
    assert len(set(calls)) == len(calls)
    pattern, most = profile.get("call_id", "[a-zA-Z0-9_-]+"), profile.get("call_id_max", 64)
    assert all(re.fullmatch(pattern, ident) and len(ident) <= most for ident in calls)


@pytest.mark.parametrize(
    ("client", "ident", "stays"),
    [
        (ANTHROPIC, "call_1", True),
        (ANTHROPIC, "functions.f:0", False),
        (ANTHROPIC, "", False),
        (CHAT, "functions.f:0", True),
        (CHAT, "x" * 65, False),
        (RESPONSES, "x" * 64, True),
        (RESPONSES, "", False),
        (GEMINI, "x" * 65, True),
        (GEMINI, "", False),
    ],
)
def test_ids_for_the_client(client: str, ident: str, stays: bool) -> None:
    """An id that the client's dialect takes stays; another becomes one that it takes."""
    step = Ids(leg(client, CHAT))
    (found,) = returned(step, ident)

    assert (found == ident) is stays
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", found) or stays
    assert returned(Ids(leg(client, CHAT)), ident) == [found]


def test_no_two_calls_of_a_conversation_share_an_id_at_the_client() -> None:
    """A provider that numbers its calls anew in each reply, or not at all, does not confuse the client."""
    history = Prompt(items=(user("hi"), assistant(call("call_0")), result("call_0")))
    step = Ids(leg(ANTHROPIC, CHAT))
    step.prompt(history)
    found = returned(step, "call_0", "call_0", "", "")

    assert len({"call_0", *found}) == 5
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", ident) for ident in found)
    assert features(step) == []
