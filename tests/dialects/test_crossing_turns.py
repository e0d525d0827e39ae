"""Turns are not empty, the user speaks first, and a text to be continued is asked for."""

from __future__ import annotations

import pytest
from crossed import ANTHROPIC, CHAT, GEMINI, RESPONSES, assistant, call, features, leg, losses, read_from, result, user

from llmgw.model import CacheMark, Carrier, Instruction, Item, Message, Prompt, Reasoning, Text, ToolResult
from llmgw_dialects.crossing.turns import Turns

MARK = CacheMark(300)
GO_ON = user("Continue exactly from where you stopped; output only the continuation, without repeating text.")


def turned(*items: Item, target: str = ANTHROPIC, **profile: bool) -> tuple[tuple[Item, ...], list[str]]:
    step = Turns(leg(RESPONSES, target, **{"empty_text": False, "user_first": True, **profile}))
    return step.prompt(Prompt(items=items)).items, features(step)


def spoken(role: str, *parts: Text | Reasoning) -> Message:
    return Message(role=role, parts=parts)  # type: ignore[arg-type]  # a role


@pytest.mark.parametrize("blank", ["", " ", "\n\t\u00a0"])
def test_empty_texts_go(blank: str) -> None:
    """A text that says nothing is left out wherever it stands."""
    items, lost = turned(
        Instruction(parts=(Text(blank), Text("rules"))),
        spoken("user", Text("hi"), Text(blank)),
        assistant(blank, call("a")),
        ToolResult(call_id="a", parts=(Text(blank),)),
    )

    assert items == (Instruction(parts=(Text("rules"),)), user("hi"), assistant(call("a")), ToolResult(call_id="a"))
    assert lost == ["text.empty"] * 4


def test_what_was_emptied() -> None:
    """Of an assistant's or the system's turn nothing is left; a user's says that it is empty, unless another stands beside it."""
    assert turned(Instruction(parts=(Text(""),)), user("")) == (
        (user("(empty)"),),
        ["text.empty", "message.empty", "text.empty", "message.empty"],
    )
    assert turned(user("hi"), assistant(""), user(" "), user("go"))[0] == (user("hi"), user("go"))
    assert turned(user("hi"), assistant(call("a")), result("a"), user(""))[0] == (user("hi"), assistant(call("a")), result("a"))
    assert turned(user("hi"), assistant("x"), user(""))[0] == (user("hi"), assistant("x"), user("(empty)"))
    assert turned(user("hi"), spoken("assistant"), user("go")) == ((user("hi"), user("go")), ["message.empty"])


def test_marks_move_to_what_stood_before() -> None:
    """A cache mark of an empty text goes to its predecessor, never to a thought, and does not replace one that is there."""
    blank = Text("", cache=MARK)
    thought = Reasoning(raw_text=("hm",))
    other = CacheMark(3600)

    assert turned(spoken("user", Text("hi"), blank))[0] == (spoken("user", Text("hi", cache=MARK)),)
    assert turned(user("go"), spoken("assistant", Text("x"), thought, blank), user("y"))[0][1] == spoken(
        "assistant", Text("x", cache=MARK), thought
    )
    assert turned(spoken("user", Text("hi", cache=other), blank))[0] == (spoken("user", Text("hi", cache=other)),)
    assert turned(user("hi"), spoken("assistant", blank), user("go"))[0] == (spoken("user", Text("hi", cache=MARK)), user("go"))
    found = turned(user("hi"), assistant(call("a")), ToolResult(call_id="a", parts=(blank,)), user("go"))[0]
    assert found[2] == ToolResult(call_id="a", cache=MARK)
    found = turned(user("hi"), assistant(call("a")), result("a"), spoken("user", blank))[0]
    assert found[2] == result("a", cache=MARK)


def test_text_that_carries_something_stays() -> None:
    """An empty text with a provider's signature is not empty to that provider."""
    signed = Text("", carrier=Carrier(provider="google", kind="thought_signature", payload="x"))
    items = (user("hi"), spoken("assistant", signed), user("go"))

    assert turned(*items, target=GEMINI) == (items, [])


def test_empty_texts_stay_where_they_are_taken() -> None:
    """Chat and Responses take an empty message, and a prompt with nothing to do is handed on."""
    prompt = Prompt(items=(user(""), assistant(), user("  "), assistant(call("a")), result("a", "")))

    assert Turns(leg(ANTHROPIC, CHAT)).prompt(prompt) is prompt
    assert (
        Turns(leg(CHAT, ANTHROPIC, empty_text=False, user_first=True)).prompt(
            kept := Prompt(items=(Instruction(parts=(Text("r"),)), user("hi"), assistant("x"), user("go")))
        )
        is kept
    )


def test_user_speaks_first() -> None:
    """Before an assistant's first turn the user says that the conversation goes on, behind the system."""
    rules = Instruction(parts=(Text("rules"),))

    assert turned(rules, assistant("x"), user("go")) == (
        (rules, user("(conversation continues)"), assistant("x"), user("go")),
        ["first_turn"],
    )
    assert turned(rules)[0] == (rules, user("(conversation continues)"))
    assert turned(assistant("x"), user("go"), user_first=False) == ((assistant("x"), user("go")), [])


def test_text_to_be_continued_is_asked_for() -> None:
    """Where the last turn cannot be the assistant's, the user asks for the rest of it, and the loss says where it stood."""
    step = Turns(leg(ANTHROPIC, CHAT))
    begun = read_from(assistant("{"), "messages", 1, dialect=ANTHROPIC)

    assert step.prompt(Prompt(items=(user("hi"), begun))).items == (user("hi"), begun, GO_ON)
    assert [(loss.path, loss.feature, loss.action) for loss in losses(step)] == [("messages[1]", "prefill", "emulated")]


def test_text_to_be_continued_is_passed_where_it_may() -> None:
    """A model that continues gets the turn as it is; Anthropic's without white space at its end."""
    assert turned(user("hi"), assistant("{ \n"), prefill=True) == ((user("hi"), assistant("{")), ["prefill"])
    assert turned(user("hi"), assistant("{"), prefill=True) == ((user("hi"), assistant("{")), [])
    assert turned(user("hi"), assistant("{ "), prefill=True, target=GEMINI) == ((user("hi"), assistant("{ ")), [])


def test_open_calls_are_left_alone() -> None:
    """Nobody is asked to continue a turn that ends in calls."""
    items = (user("hi"), assistant("x", call("a")))

    assert turned(*items, target=RESPONSES) == (items, [])
    assert turned(*items, assistant("y"), target=RESPONSES) == ((*items, assistant("y")), [])


def test_empty_texts_beside_others_go_everywhere() -> None:
    """Also a model that takes an empty message gets no empty parts, and their cache mark is not lost."""
    items, lost = turned(
        spoken("user", Text("hi"), Text(" ", cache=MARK)), assistant("", call("a")), result("a"), target=CHAT, empty_text=True
    )

    assert items == (spoken("user", Text("hi", cache=MARK)), assistant(call("a")), result("a"))
    assert lost == ["text.empty", "text.empty"]
