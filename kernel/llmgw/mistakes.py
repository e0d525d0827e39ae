"""What is wrong with a configuration, in words and with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import evolve, frozen

_SHOWN = 16
"""Text up to here is quoted in a message; what is longer may be a key in the wrong place."""


@frozen
class Problem:
    """One mistake.

    Args:
        path: its place, as ``backends.acme.base_url``; relative while it is on its way up, empty where there is none.
        what: the mistake.
        advice: what to do, where that is not said yet.
    """

    path: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return self.what + (f" @ {self.path}" if self.path else "") + (f"; {self.advice}" if self.advice else "")


class Mistakes(Exception):
    """What is wrong with a value and with the values in it; on its way up it gathers the path."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    @classmethod
    def here(cls, what: str, advice: str = "") -> Mistakes:
        """One mistake in the very value that is being read."""
        return cls(Problem("", what, advice))

    @classmethod
    def kind(cls, expected: str, found: Any, advice: str = "") -> Mistakes:
        """A value of the wrong kind."""
        return cls.here(f"invalid value for type, expected {expected}, found {told(found)}", advice)

    def under(self, step: str) -> Iterator[Problem]:
        """The same mistakes, seen from the value that has this one at ``step``."""
        return (evolve(problem, path=step + problem.path) for problem in self.problems)


def told(value: Any) -> str:
    """A YAML value in a few words for a message, never long enough to give a key away."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return repr(value) if len(value) <= _SHOWN else f"a text of {len(value)} characters"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return repr(value)


def in_order(problems: Iterable[Problem]) -> list[str]:
    """Mistakes as text, sorted by place; ``filters[10]`` comes after ``filters[9]``."""
    return list(map(str, sorted(problems, key=lambda problem: (_place(problem.path), problem.what))))


def _place(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)]
