"""The names that a deployment gives to models, and what it means by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import define, field, frozen

from llmgw import ConfigError
from llmgw.mistakes import Mistakes, Problem
from llmgw_routes.patterns import SIGNS, Pattern, Template, folded
from llmgw_routes.settings import faults

_LONGEST: Final = 500
"""A name longer than this is none; clients make them up for free."""


@frozen
class Alias:
    """One name or pattern with what it means.

    Args:
        pattern: of names.
        template: of what is meant.
    """

    pattern: Pattern
    template: Template

    @property
    def sample(self) -> str:
        """A name that it is for."""
        return self.pattern.text.replace("*", "x")


@define(eq=False)
class Aliases:
    """All of them: a name goes before a pattern, a pattern that says more before one that says less.

    Args:
        given: as the deployment wrote them.

    Raises:
        Mistakes: with all that is wrong with them.
    """

    given: Mapping[str, str]
    _exact: dict[str, Alias] = field(init=False, factory=dict)
    _folded: dict[str, Alias] = field(init=False, factory=dict)
    _patterns: Sequence[Alias] = field(init=False, default=())

    def __attrs_post_init__(self) -> None:
        problems: list[Problem] = []
        made: list[Alias] = []
        for name, meant in self.given.items():
            try:
                made.append(_alias(name, meant))
            except ConfigError as error:
                problems += [Problem(f".{name}", problem) for problem in error.problems]
        for one in made:
            if one.pattern.stars == 0:
                self._exact[one.pattern.text] = one
                self._folded.setdefault(folded(one.pattern.text), one)
        self._patterns = sorted((one for one in made if one.pattern.stars), key=lambda one: one.pattern.weight, reverse=True)
        if not problems:
            problems = [Problem(f".{one.pattern.text}", problem) for one in made for problem in self._circles(one)]
        if problems:
            raise Mistakes(*problems)

    def __bool__(self) -> bool:
        return bool(self.given)

    def meant(self, name: str, *, qualified: bool) -> str | None:
        """What is meant by a name; None where it is no alias, or means itself.

        Args:
            name: without settings; joining no others.
            qualified: whether it names its back-end; then only an alias that has a colon itself is for it.
        """
        found = self._found(name, qualified=qualified) if len(name) <= _LONGEST else None
        if found is None:
            return None
        alias, stars = found
        meant = alias.template.filled(name, stars)
        return None if meant == name else meant

    def _found(self, name: str, *, qualified: bool) -> tuple[Alias, tuple[str, ...]] | None:
        exact = self._exact.get(name) or self._folded.get(folded(name))
        if exact is not None:
            return exact, ()
        for fold in (False, True):
            for one in self._patterns:
                stars = one.pattern.match(name, fold=fold) if ":" in one.pattern.text or not qualified else None
                if stars is not None:
                    return one, stars
        return None

    def _circles(self, start: Alias) -> Iterator[str]:
        """What leads from an alias back to it."""
        left, seen = [start.sample], set[str]()
        while left:
            name = left.pop()
            found = self._found(name, qualified=":" in name)
            if found is None or name in seen or len(seen) > len(self.given):
                continue
            seen.add(name)
            alias, stars = found
            meant = alias.template.filled(name, stars)
            if meant == name and alias.pattern.stars:  # one of the names that the pattern is for: it stays what it is
                continue
            leads = list(_plain(meant))
            if any(self._is(start, one) for one in leads):
                yield f"the alias leads to itself by '{meant}': write the model with its back-end, as openai:gpt-5"
                return
            left += leads

    def _is(self, alias: Alias, name: str) -> bool:
        """Whether a name is of an alias, which says something else of it."""
        found = self._found(name, qualified=":" in name)
        return found is not None and found[0] is alias and alias.template.filled(name, found[1]) != name


def _alias(name: str, meant: str) -> Alias:
    if not name.strip() or name != name.strip() or any(sign in name for sign in f"{SIGNS}?"):
        raise ConfigError("a name has neither blanks around it nor one of the signs | ^ ! ?")
    pattern = Pattern(name)
    if pattern.stars == 0 and meant == name:
        raise ConfigError("the alias means itself")
    if problems := list(faults(meant)):
        raise ConfigError(*problems)
    return Alias(pattern, Template(meant, pattern.stars))


def _plain(meant: str) -> Iterator[str]:
    """The names in what may join several, without their options and settings."""
    for sign in SIGNS:
        meant = meant.replace(sign, "|")
    for member in meant.split("|"):
        text = member.strip()
        name = text.partition("]")[2] if text.startswith("[") else text
        yield name.partition("?")[0].strip()
