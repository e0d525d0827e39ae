from __future__ import annotations

import time
from fnmatch import translate
from re import fullmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw import ConfigError, InvalidField
from llmgw_routes.patterns import Pattern, Template, folded


@pytest.mark.parametrize(
    ("pattern", "name", "stars"),
    [
        ("gpt-5", "gpt-5", ()),
        ("gpt-5", "gpt-50", None),
        ("gpt-*", "gpt-5", ("5",)),
        ("gpt-*", "gpt-", ("",)),
        ("*", "", ("",)),
        ("*-*", "a-b-c", ("a", "b-c")),
        ("a*b*c", "a-b-b-c", ("-", "-b-")),
        ("a*a", "a", None),
        ("*mini*", "gpt-mini-5", ("gpt-", "-5")),
        ("gpt.5", "gpt-5", None),
        ("GPT-*", "gpt-5", None),
    ],
)
def test_stars(pattern: str, name: str, stars: tuple[str, ...] | None) -> None:
    """A star takes any text, as little as it can; all other signs are themselves."""
    assert stars == Pattern(pattern).match(name)


def test_capitals_may_not_matter() -> None:
    """What the stars stand for keeps its own capitals."""
    assert ("Sonnet-4",) == Pattern("Claude-*").match("cLAUDE-Sonnet-4", fold=True)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_as_a_shell_matches(pattern: str, name: str) -> None:
    """Names match as in a shell, and the stars filled in give the name again."""
    stars = Pattern(pattern).match(name)

    assert (stars is not None) == bool(fullmatch(translate(pattern), name))
    if stars is not None:
        pieces = pattern.split("*")
        assert name == "".join(one + two for one, two in zip(pieces, (*stars, ""), strict=True))


@given(st.text(max_size=20))
def test_folding_keeps_places(text: str) -> None:
    """Letters may fold, but none comes or goes."""
    assert len(text) == len(folded(text))


def test_a_made_up_name_costs_little() -> None:
    """A pattern of many stars takes a long name in no time."""
    begin = time.process_time()
    assert Pattern("*a" * 12 + "b").match("a" * 20_000) is None
    assert 0.5 > time.process_time() - begin


def test_placeholders() -> None:
    """The whole name, and what each star stands for."""
    assert "x:claude-4/4/y" == Template("x:{model}/{2}/{1}", 2).filled("claude-4", ["y", "4"])


@pytest.mark.parametrize("text", ["", "  ", "a:{}", "a:{name}", "a:{2}", "a:{0}"])
def test_a_template_is_checked(text: str) -> None:
    """What is empty, or has a placeholder that stands for nothing, is no template."""
    with pytest.raises(ConfigError):
        Template(text, 1)


@pytest.mark.parametrize("name", ["a|b", "a^b", "a!b"])
def test_no_name_says_more_than_it_is(name: str) -> None:
    """A client's name that joins several does not become part of the deployment's."""
    with pytest.raises(InvalidField, match="joins several"):
        Template("openai:{model}").filled(name, ())
