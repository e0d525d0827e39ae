from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from llmgw.model import Message, Prompt, RawDoc, Request, Sampling, Text, ToolCall, is_clean, sourced, texts

BODY = b'{"model": "m", "say": "Hi"}'


class Loader:
    """Reads prompts, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, doc: RawDoc) -> Prompt:
        self.count += 1
        return Prompt(items=(Message(role="user", parts=(Text(doc.tree["say"]),)),))


@pytest.fixture
def loader() -> Loader:
    """A loader that was not called yet."""
    return Loader()


def asked(loader: Loader, **more: Any) -> Request:
    """A request as a dialect reads it."""
    return Request(dialect="toy", model="m", raw=RawDoc("toy", BODY), load=loader, **more)


# ---- the prompt ---------------------------------------------------------------------------------


def test_the_prompt_is_read_once(loader: Loader) -> None:
    """And when somebody asks for it, not before."""
    one = asked(loader)
    assert 0 == loader.count

    assert one.prompt is one.prompt
    assert 1 == loader.count


def test_nobody_who_only_routes_reads_it(loader: Loader) -> None:
    """Asking for another model, whether it is untouched, or for its looks reads nothing."""
    one = asked(loader).with_model("other").with_model("third")

    assert one.untouched and repr(one)
    assert 0 == loader.count


def test_a_copy_for_another_model_is_the_same_request(loader: Loader) -> None:
    """It differs in the model alone, also in what was read of it."""
    one = asked(loader, stream=True, stream_usage=True, headers={"a": "b"})
    prompt = one.prompt
    other = one.with_model("other")

    assert evolve(one, model="other") == other
    assert (prompt, True, 1) == (other.prompt, other.untouched, loader.count)
    assert one is one.with_model("m")


def test_a_new_prompt_is_not_the_bodys(loader: Loader) -> None:
    """A request is untouched until its prompt is changed, however often it was read; the original stays as it was."""
    one = asked(loader)
    assert one.prompt and one.untouched
    changed = one.with_prompt(sampling=Sampling(temperature=0.5))

    assert (False, True) == (changed.untouched, one.untouched)
    assert (0.5, one.prompt.items) == (changed.prompt.sampling.temperature, changed.prompt.items)
    assert not changed.with_model("other").untouched
    assert 0.5 == changed.with_model("other").prompt.sampling.temperature


def test_a_request_that_never_was_a_body() -> None:
    """One that a plugin makes has a prompt and nothing to be true to."""
    one = Request(dialect="toy", model="m", prompt=Prompt())

    assert Prompt() == one.prompt
    assert not one.untouched


def test_a_request_without_both_is_a_mistake() -> None:
    """It has a prompt or a body."""
    with pytest.raises(AssertionError, match="a prompt or a body"):
        assert Request(dialect="toy", model="m").prompt


def test_bodies_do_not_stand_in_a_repr(loader: Loader) -> None:
    """What people say is nobody's business."""
    one = asked(loader)
    assert one.prompt

    assert "Hi" not in repr(one)
    assert "Hi" not in repr(one.raw)


def test_a_body_is_read_once() -> None:
    """The tree is kept."""
    doc = RawDoc("toy", BODY)

    assert doc.tree is doc.tree
    assert {"model": "m", "say": "Hi"} == doc.tree


# ---- nodes --------------------------------------------------------------------------------------


def test_what_was_read_is_clean() -> None:
    """A node that a dialect read knows where; a changed copy still does, but is no longer clean."""
    doc = RawDoc("toy", BODY)
    node = sourced(Text("Hi"), doc, ("say",), "Hi")
    changed = evolve(node, text="Bye")

    assert node.clean and not changed.clean
    assert node.source is not None and (doc, ("say",), "Hi") == (node.source.doc, node.source.path, node.source.value)
    assert node.source is changed.source


def test_a_new_node_comes_from_nowhere() -> None:
    """One that a plugin makes has no source."""
    assert (None, False) == (Text("Hi").source, Text("Hi").clean)


def test_where_a_node_came_from_makes_no_difference() -> None:
    """Nodes are equal by what they say."""
    assert Text("Hi") == sourced(Text("Hi"), RawDoc("toy", BODY), ("say",), "Hi")


def test_all_that_was_read() -> None:
    """A list is clean when nothing was changed, added or taken away."""
    doc = RawDoc("toy", BODY)
    nodes = [sourced(Text(word), doc, (), word) for word in "ab"]

    assert is_clean(nodes, 2) and is_clean(iter(nodes), 2)
    assert not is_clean(nodes[:1], 2)
    assert not is_clean([*nodes, Text("c")], 2)
    assert not is_clean([nodes[0], evolve(nodes[1], text="b")], 2)


def test_words_alone() -> None:
    """The words of parts, one behind the other."""
    assert "ab" == texts([Text("a"), ToolCall(call_id="c", name="n", arguments="{}"), Text("b")])
