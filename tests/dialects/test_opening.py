"""A body is an object that names a model and holds messages; what is wrong is told by its place."""

from __future__ import annotations

from typing import Any

import pytest

from llmgw.errors import BadRequest, InvalidField
from llmgw_dialects.opening import check_messages, listed, model_in, object_in


@pytest.mark.parametrize(("body", "said"), [
    (b"", "not valid JSON"), (b'{"model": "m"', "not valid JSON"), (b"[]", "must be a JSON object, as {EXAMPLE}"),
    (b'"x"', "must be a JSON object"), (b"null", "must be a JSON object"),
])  # fmt: skip
def test_what_is_no_object(body: bytes, said: str) -> None:
    """The client sees how one begins."""
    with pytest.raises(BadRequest) as raised:
        object_in(body, "{EXAMPLE}")
    assert said in str(raised.value)


def test_an_object() -> None:
    """It is the body."""
    assert {"model": "m"} == object_in(b'{"model": "m"}', "")


@pytest.mark.parametrize("model", [None, "", 1, ["m"], {}])
def test_a_model_is_a_string_of_something(model: Any) -> None:
    """Without one nobody knows where to go."""
    with pytest.raises(InvalidField) as raised:
        model_in({"model": model})
    assert "model" == raised.value.param
    assert "m" == model_in({"model": "m"})


@pytest.mark.parametrize(("messages", "param"), [
    (None, "messages"), ("hi", "messages"), ([], "messages"), ([{"role": "user"}, "hi"], "messages[1]"),
    ([{"role": "user"}, {"role": 1}], "messages[1].role"), ([{}], "messages[0].role"),
])  # fmt: skip
def test_messages_are_somebodys(messages: Any, param: str) -> None:
    """Deeper nobody looks yet."""
    with pytest.raises(InvalidField) as raised:
        check_messages(messages)
    assert param == raised.value.param


def test_whoever_says_whatever() -> None:
    """Roles that are new are passed on."""
    check_messages([{"role": "narrator", "content": 1}])


def test_a_list_may_be_missing_and_is_nothing_else() -> None:
    """Entries come with their places."""
    assert [(0, "a")] == list(listed({"x": ["a"]}, "x"))
    assert [] == list(listed({"x": None}, "x")) == list(listed({}, "x"))
    with pytest.raises(InvalidField):
        listed({"x": "a"}, "x")
