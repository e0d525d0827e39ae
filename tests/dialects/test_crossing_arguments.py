"""Arguments of the history are objects where the model takes only these."""

from __future__ import annotations

import json

import pytest
from crossed import ANTHROPIC, CHAT, assistant, call, features, leg, losses, read_from, result, user
from hypothesis import given
from hypothesis import strategies as st

from llmgw.model import Message, Prompt, ToolCall
from llmgw_dialects.crossing.arguments import Arguments


def wrapped(arguments: str) -> tuple[str, list[str]]:
    step = Arguments(leg(CHAT, ANTHROPIC, object_arguments=True))
    (item,) = step.prompt(Prompt(items=(assistant(call("a", "f", arguments)),))).items
    assert isinstance(item, Message) and isinstance(item.parts[0], ToolCall)
    return item.parts[0].arguments, features(step)


@pytest.mark.parametrize(
    "text", ["{}", '{"a":1}', ' { "b" : 1.0, "a" : 12345678901234567890, "a" : 1.50e3 } ', '{"\\ud83d":"\\ud83d"}']
)
def test_an_object_stays_to_the_letter(text: str) -> None:
    """White space, order, repeated keys and the spelling of numbers are the model's own."""
    assert wrapped(text) == (text, [])


@pytest.mark.parametrize("text", ["", "  \n", "null", " null "])
def test_nothing_is_an_empty_object(text: str) -> None:
    """A call without arguments has none, which is no loss."""
    assert wrapped(text) == ("{}", [])


@pytest.mark.parametrize("text", ['{"a":', "{'a':1}", '{"a":1,}', "x", '{"a":NaN}', "{}{}", '{"a":"\n"}', "\ud83d"])
def test_what_is_no_json_is_kept_as_text(text: str) -> None:
    """A call that was cut short is not dropped; its text can still be read."""
    found, lost = wrapped(text)

    assert json.loads(found) == {"_raw": text}
    assert lost == ["tool_call.arguments"]


@pytest.mark.parametrize("text", ["[1, 2]", '"x"', "3", "false"])
def test_what_is_no_object_is_put_into_one(text: str) -> None:
    """Another JSON value is kept as a value."""
    found, lost = wrapped(text)

    assert json.loads(found) == {"_value": json.loads(text)}
    assert lost == ["tool_call.arguments"]


def test_half_a_pair_of_surrogates_is_escaped() -> None:
    """A text that UTF-8 cannot hold means the same as an escape."""
    found, lost = wrapped('{"a":"\ud83d"}')

    assert (found, lost) == ('{"a":"\\ud83d"}', [])
    found.encode()


@given(st.text(max_size=30) | st.text('{}[]":,1a\\ ', max_size=12))
def test_any_text_becomes_an_object(text: str) -> None:
    """Whatever stands there, an object comes out, and it is the same when asked again."""
    found, _ = wrapped(text)

    assert isinstance(json.loads(found), dict)
    assert wrapped(found) == (found, [])


def test_a_loss_says_where_and_the_result_stays() -> None:
    """The loss has the call's path; nothing but the call is touched."""
    step = Arguments(leg(CHAT, ANTHROPIC, object_arguments=True))
    items = (user("hi"), assistant(read_from(call("a", "f", "x"), "messages", 1, "tool_calls", 0)), result("a"))
    prompt = step.prompt(Prompt(items=items))

    assert (prompt.items[0], prompt.items[2]) == (items[0], items[2])
    assert prompt.items[2] is items[2]
    assert losses(step)[0].path == "messages[1].tool_calls[0]"


def test_others_get_the_text() -> None:
    """Chat and Responses take any text."""
    prompt = Prompt(items=(assistant(call("a", "f", '{"a":')),))

    assert Arguments(leg(ANTHROPIC, CHAT)).prompt(prompt) is prompt
