"""How much a model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from attrs import evolve, field, frozen
from attrs.validators import ge, gt, optional

from llmgw import ModelInfo, yamls

Policy = Literal["reject", "truncate-oldest"]

_TABLE: Final = Path(__file__).with_name("limits.yaml")
_PROMPT_ALONE: Final = ("inputTokenLimit", "max_input_tokens")
"""Fields of lists of models that say how long a prompt may be, whatever the answer takes."""


@frozen(kw_only=True)
class Limit:
    """Tokens that a model takes; None is as many as one likes.

    Args:
        context: of prompt and answer together.
        input: of the prompt alone.
        output: of the answer.
    """

    context: int | None = None
    input: int | None = None
    output: int | None = None

    @staticmethod
    def matches(pattern: str, *names: str) -> bool:
        """Whether a pattern, as of a shell, is one of these names."""
        return any(fnmatchcase(name, pattern) for name in names)

    @property
    def unknown(self) -> bool:
        """Whether it says nothing of prompts."""
        return self.context is None and self.input is None

    def over(self, other: Limit) -> Limit:
        """This one, or the other where this one says nothing."""
        known = other if self.unknown else self
        return evolve(known, output=self.output if self.output is not None else known.output or other.output)

    def room(self, answer: int) -> int:
        """Tokens that a prompt may have.

        Args:
            answer: tokens to keep for the answer. Half a window is the most: whoever asks for more gets what is left.
        """
        rooms = [] if self.input is None else [self.input]
        if self.context is not None:
            most = answer if self.output is None else min(answer, self.output)
            rooms.append(self.context - min(most, self.context // 2))
        return min(rooms)

    @property
    def least_room(self) -> int:
        """Tokens that a prompt may have, however long an answer is asked for."""
        return self.room(self.context or 0)


@frozen(kw_only=True)
class Rule:
    """What a deployment says of some models; what it does not say is as elsewhere.

    Args:
        context: tokens of prompt and answer together.
        input: tokens of the prompt alone.
        output: tokens of the answer.
        policy: what becomes of a prompt that is too long.
        route: a model to ask instead.
        reserve: tokens to keep for an answer.
    """

    context: int | None = field(default=None, validator=optional(gt(0)))
    input: int | None = field(default=None, validator=optional(gt(0)))
    output: int | None = field(default=None, validator=optional(gt(0)))
    policy: Policy | None = None
    route: str | None = None
    reserve: int | None = field(default=None, validator=optional(ge(0)))

    @property
    def limit(self) -> Limit:
        """How much they take."""
        return Limit(context=self.context, input=self.input, output=self.output)


def listed(info: ModelInfo | None) -> Limit:
    """What a list of models says.

    Args:
        info: the model's entry, where there is a list and it has one.
    """
    if info is None:
        return Limit()
    raw = info.raw
    if isinstance(raw, dict) and any(key in raw for key in _PROMPT_ALONE):
        return Limit(input=info.context, output=info.max_output)
    return Limit(context=info.context, output=info.max_output)


def tabled(model: str) -> Limit:
    """What the table of known models says; resellers put the vendor before the name, as ``google/gemini-2.5-pro``.

    Args:
        model: as its back-end calls it.
    """
    names = (model, model.rpartition("/")[2])
    return next((limit for pattern, limit in _table() if Limit.matches(pattern, *names)), Limit())


@cache
def _table() -> Sequence[tuple[str, Limit]]:
    """Read when first needed; the longest patterns first."""
    rows: Mapping[str, Any] = yamls.load(_TABLE)
    return sorted(((pattern, Limit(**row)) for pattern, row in rows.items()), key=lambda one: len(one[0]), reverse=True)
