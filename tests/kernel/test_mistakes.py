from __future__ import annotations

import datetime
from typing import Any

import pytest

from llmgw.mistakes import Mistakes, Problem, in_order, told


def test_a_problem_is_a_sentence() -> None:
    """A mistake says what, where, and what to do."""
    assert "unknown key 'tpye' @ a.b; did you mean 'type'?" == str(Problem("a.b", "unknown key 'tpye'", "did you mean 'type'?"))
    assert "unknown key 'x' @ a.b" == str(Problem("a.b", "unknown key 'x'"))
    assert "no file" == str(Problem("", "no file"))


def test_the_path_grows_on_the_way_up() -> None:
    """Whoever holds a value puts its own step before the path."""
    inner = Mistakes.here("bad")
    outer = Mistakes(*Mistakes(*inner.under(".port")).under("proxy"))

    assert ["bad @ proxy.port"] == [str(problem) for problem in outer.problems]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (5, "5"),
        (1.5, "1.5"),
        ("no", "'no'"),
        ("x" * 16, "'xxxxxxxxxxxxxxxx'"),
        ("x" * 17, "a text of 17 characters"),
        ([1], "a list"),
        ({"a": 1}, "a mapping"),
        (datetime.date(2026, 1, 1), "datetime.date(2026, 1, 1)"),
    ],
)
def test_told(value: Any, words: str) -> None:
    """A message says what was found, and no text long enough to be a key."""
    assert words == told(value)


def test_sorted_by_place() -> None:
    """Mistakes stand in the order of their places, numbers by their size."""
    problems = [Problem("filters[10].b", "x"), Problem("filters[9].b", "z"), Problem("filters[9].b", "y"), Problem("auth", "x")]

    assert ["x @ auth", "y @ filters[9].b", "z @ filters[9].b", "x @ filters[10].b"] == in_order(problems)
