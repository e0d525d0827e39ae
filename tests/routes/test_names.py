from __future__ import annotations

from typing import get_args

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import InvalidField
from llmgw_routes.names import MOST_MEMBERS, Member, Options, Sign, member, members

SIGNS: tuple[Sign, ...] = get_args(Sign)
TEXT = st.text(st.one_of(st.sampled_from("ab:|!^[]=,.? \n\x00é1"), st.characters()), max_size=40)


def written(one: Member) -> str:
    """A member as a client writes it."""
    usual = asdict(Options())
    options = [f"{key}={value!r}" for key, value in asdict(one.options).items() if value != usual[key]]
    return (f"[{','.join(options)}]" if options else "") + one.name


def parsed(text: str, sign: Sign) -> list[Member] | InvalidField:
    """The members, or why there are none."""
    try:
        return members(text, sign)
    except InvalidField as error:
        return error


@given(TEXT, st.sampled_from(SIGNS))
def test_any_text(text: str, sign: Sign) -> None:
    """Is parsed into what joins to it again, or is the client's mistake; it is never a bug."""
    found = parsed(text, sign)
    if isinstance(found, InvalidField):
        assert ("model", True) == (found.param, sign in text)
    elif not found:
        assert sign not in text or any(looser in text for looser in "|!^"[: "|!^".index(sign)])
    else:
        assert found == members(sign.join(written(one) for one in found), sign)
        assert len(found) == text.count(sign) + 1
        assert all(one.name == one.name.strip() != "" for one in found)


@given(st.lists(st.text("ab:./?=-1", min_size=1), min_size=2, max_size=MOST_MEMBERS), st.sampled_from(SIGNS))
def test_plain_names(names: list[str], sign: Sign) -> None:
    """Come back as they were joined."""
    assert [Member(name) for name in names] == members(sign.join(names), sign)


@given(
    st.floats(0.001, 1e5),
    st.floats(0, 1e5),
    st.none() | st.floats(0.001, 1e5),
)
def test_options(weight: float, handicap: float, patience: float | None) -> None:
    """Come back as they were written."""
    one = Member("a:m", Options(weight=weight, handicap=handicap, patience=patience))

    assert one == member(written(one), "")


@pytest.mark.parametrize(
    ("name", "sign", "expected"),
    [
        ("a", "|", []),
        ("", "|", []),
        ("a|b", "|", ["a", "b"]),
        ("a|b", "!", []),
        ("a|b", "^", []),
        ("a!b|c", "|", ["a!b", "c"]),
        ("a!b|c", "!", []),
        ("a^b!c", "!", ["a^b", "c"]),
        ("a^b!c", "^", []),
        ("a^b|c", "|", ["a^b", "c"]),
        ("a ^ b", "^", ["a", "b"]),
        ("x:a?t=0.5|y:b", "|", ["x:a?t=0.5", "y:b"]),
        ("[weight=2]a^b|c", "|", ["[weight=2]a^b", "c"]),
    ],
)
def test_what_binds(name: str, sign: Sign, expected: list[str]) -> None:
    """``|`` binds least, then ``!``, then ``^``."""
    assert expected == [one.name for one in members(name, sign)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[weight=3]a", Member("a", Options(weight=3.0))),
        ("[ weight = 3 , patience=.5 ] a ", Member("a", Options(weight=3.0, patience=0.5))),
        ("[handicap=0]a", Member("a")),
        ("a[weight=3]", Member("a[weight=3]")),
        ("a?x=[1]", Member("a?x=[1]")),
    ],
)
def test_brackets(text: str, expected: Member) -> None:
    """Stand before a name, and have spaces where one likes."""
    assert expected == member(text, text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a|", "a name is missing beside one of the signs"),
        ("a| |b", "a name is missing"),
        ("[weight=3]|b", "a name is missing"),
        ("[weight=3|b", "A '[' without a ']'"),
        ("[wait=3]a|b", "There is no option 'wait'"),
        ("[]a|b", "There is no option ''"),
        ("[weight=3,]a|b", "There is no option ''"),
        ("[weight]a|b", "'weight' in '[weight]a|b' must be a number above 0"),
        ("[weight=0]a|b", "must be a number above 0"),
        ("[weight=-1]a|b", "must be a number above 0"),
        ("[weight=nan]a|b", "must be a number above 0"),
        ("[patience=inf]a|b", "must be a number above 0"),
        ("[patience=1e9]a|b", "must be a number above 0"),
        ("|".join("a" * (MOST_MEMBERS + 1)), "at most 32 others, and this one joins 33"),
    ],
)
def test_mistakes(name: str, words: str) -> None:
    """The message says what is wrong, and stays a message however long the name is."""
    with pytest.raises(InvalidField) as caught:
        members(name, "|")

    assert words in caught.value.message
    assert 422 == caught.value.status


@pytest.mark.parametrize(
    "name", ["[" + "x" * 100_000 + "|b", "[" + "x" * 100_000 + "=1]a|b", "a|" * 100_000, "|" + "x" * 100_000]
)
def test_long_names_are_not_repeated(name: str) -> None:
    """A message stays a message."""
    with pytest.raises(InvalidField) as caught:
        members(name, "|")

    assert len(caught.value.message) < 1000


def test_as_many_as_may_be() -> None:
    """The limit itself is allowed."""
    assert MOST_MEMBERS == len(members("|".join("a" * MOST_MEMBERS), "|"))
