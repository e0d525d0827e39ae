"""The text in wrapped arguments comes out to the character, however the arguments are cut."""

from __future__ import annotations

import json

import pytest
from crossed import pieces
from hypothesis import given
from hypothesis import strategies as st

from llmgw_dialects.crossing.unwrapping import Unwrapper

HARD = 'a"b\\c\nd\te\u2028f\U0001f600g/\x00\x7f \ud83d x \\u0041 }{"input":1}'
anything = st.text(st.characters(blacklist_categories=()), max_size=30) | st.text('"\\u{}:, \ud83d\ude00ninput', max_size=20)


def unwrapped(arguments: str, *cuts: int) -> str:
    """The text in these arguments, fed in pieces."""
    unwrapper = Unwrapper()
    return "".join([*map(unwrapper.feed, pieces(arguments, cuts)), unwrapper.close()])


@given(anything, st.booleans(), st.sampled_from([None, 2]), st.lists(st.integers(0, 500), max_size=6))
def test_any_text_comes_out_exact(text: str, ascii_only: bool, indent: int | None, cuts: list[int]) -> None:
    """Whatever the text and however a JSON writer spells it, it comes out as a JSON reader would give it."""
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only, indent=indent)

    assert unwrapped(arguments, *cuts) == json.loads(arguments)["input"]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_hard_text_at_every_cut(ascii_only: bool) -> None:
    """Quotes, backslashes, line separators, surrogate pairs and halves survive a cut at every place, and all cuts at once."""
    arguments = json.dumps({"input": HARD}, ensure_ascii=ascii_only)
    want = json.loads(arguments)["input"]

    assert want == HARD
    assert [unwrapped(arguments, cut) for cut in range(len(arguments))] == [want] * len(arguments)
    assert unwrapped(arguments, *range(len(arguments))) == want


@given(st.text(max_size=20), st.text(max_size=20), st.lists(st.integers(0, 300), max_size=5))
def test_other_members_are_passed_over(text: str, other: str, cuts: list[int]) -> None:
    """Members before and behind the text, however deep, with ``input`` in them or not, do not disturb it."""
    arguments = json.dumps({"a": other, "b": {"input": [other, {"input": other}]}, "c": [1, None], "input": text, "z": other})

    assert unwrapped(arguments, *cuts) == text


def test_text_streams_and_only_an_unfinished_escape_waits() -> None:
    """Each piece is told at once, but for the escape in which it ends."""
    unwrapper = Unwrapper()
    given = ['{"inp', 'ut" : "', "ab", "c\\", "nd", "\\ud8", "3d", "\\ude", "00e", '"', "}"]

    assert [unwrapper.feed(piece) for piece in given] == ["", "", "ab", "c", "\nd", "", "", "", "\U0001f600e", "", ""]
    assert unwrapper.close() == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"patch":"a\\nb"}', "a\nb"),
        ('{"patch":"a","force":true}', "a"),
        ('{"patch":"a","note":"b"}', '{"patch":"a","note":"b"}'),
        ('"a\\nb"', "a\nb"),
        ("*** Begin Patch\n", "*** Begin Patch\n"),
        ('{"input":{"x":1}}', '{"input":{"x":1}}'),
        ('{"in\\u0070ut":"a"}', "a"),
        ("[1]", "[1]"),
        ("{}", ""),
        ("", ""),
        ('{"patch":"cut sho', '{"patch":"cut sho'),
        ('{"x":1} {"input":"a"}', '{"x":1} {"input":"a"}'),
    ],
)
def test_other_shapes(arguments: str, text: str) -> None:
    """An object with another single text gives that; what has no text to be found is the text itself. No cut changes it."""
    assert unwrapped(arguments) == text
    assert unwrapped(arguments, *range(len(arguments))) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"a\\qb\\u12xy"}', "a\\qb\\u12xy"),
        ('{"input":"line\nline\ttab"}', "line\nline\ttab"),
        ('{"input":"cut sho', "cut sho"),
        ('{"input":"cut\\u00', "cut"),
    ],
)
def test_bad_json_is_read_as_it_is_meant(arguments: str, text: str) -> None:
    """Bare line breaks, escapes that are none and an early end lose nothing of the text."""
    assert unwrapped(arguments) == text
    assert unwrapped(arguments, *range(len(arguments))) == text
