"""Changes of how a model is to answer, as a deployment's YAML or a name like ``openai:gpt-5?temperature=0.2`` asks for them.

A setting goes by its name in the model (``llmgw.model``) or in any of the dialects; case, ``-`` and ``_`` do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

from attrs import evolve, field, frozen

from llmgw.errors import ConfigError, InvalidField
from llmgw.model import ReasoningConfig, Request
from llmgw.nearest import nearest

MOST_CHANGES: Final = 50
"""Of one name: what clients may write must end somewhere."""
_LONGEST_WORD: Final = 64
_LONGEST_STOP: Final = 1000
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

Value = Callable[[Any], Any]
"""Makes a setting's value of what was given, text where it stood in a name; raises ValueError with what is expected."""


# ---- values -------------------------------------------------------------------------------------


def _number(least: float, most: float) -> Value:
    def value(given: Any) -> float:
        number = _numeric(given)
        if number is None or not least <= number <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return number

    return value


def _whole(least: int, most: int) -> Value:
    def value(given: Any) -> int:
        number = _numeric(given)
        if not isinstance(number, int) or not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return number

    return value


def _numeric(given: Any) -> float | int | None:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return given
    if isinstance(given, str) and len(given) <= _LONGEST_WORD:
        for kind in (int, float):
            try:
                return kind(given)
            except ValueError:
                continue
    return None


def _truth(given: Any) -> bool:
    found = given if isinstance(given, bool) else _TRUTHS.get(given.casefold()) if isinstance(given, str) else None
    if found is None:
        raise ValueError("true or false")
    return found


def _one_of(*words: str) -> Value:
    def value(given: Any) -> str:
        if not isinstance(given, str) or given.casefold() not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return given.casefold()

    return value


def _word(given: Any) -> str:
    if not isinstance(given, str) or not given.isprintable() or len(given) > _LONGEST_WORD:
        raise ValueError("a word")
    return given


def _texts(given: Any) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not all(isinstance(one, str) and 0 < len(one) <= _LONGEST_STOP for one in texts):
        raise ValueError("a text or a list of texts")
    return tuple(texts)


def _nothing(given: Any) -> Any:
    raise ValueError("nothing: it can only be removed")


# ---- what there is ------------------------------------------------------------------------------


@frozen
class Setting:
    """One setting.

    Args:
        name: as the model has it; for people, too.
        place: what of a prompt it belongs to.
        value: reads it.
        spellings: others than its name.
        unset: what it is where nobody says anything.
        nullable: whether the word ``none`` removes it.
    """

    name: str
    place: Literal["sampling", "reasoning", "prompt"]
    value: Value
    spellings: Sequence[str] = ()
    unset: Any = None
    nullable: bool = True


SETTINGS: Final = (
    Setting(
        "max_output",
        "sampling",
        _whole(1, 10**7),
        ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens"),
    ),
    Setting("temperature", "sampling", _number(0, 2)),
    Setting("top_p", "sampling", _number(0, 1)),
    Setting("top_k", "sampling", _whole(0, 10**6)),
    Setting("frequency_penalty", "sampling", _number(-2, 2)),
    Setting("presence_penalty", "sampling", _number(-2, 2)),
    Setting("seed", "sampling", _whole(-(2**63), 2**63 - 1)),
    Setting("stop", "sampling", _texts, ("stop_sequences",), unset=()),
    Setting("n", "sampling", _whole(1, 128), ("candidate_count",)),
    Setting("logprobs", "sampling", _truth, ("response_logprobs",)),
    Setting("top_logprobs", "sampling", _whole(0, 20)),
    Setting("verbosity", "sampling", _one_of("low", "medium", "high")),
    Setting("modalities", "sampling", _texts, ("response_modalities",)),
    Setting("logit_bias", "sampling", _nothing),
    Setting("prediction", "sampling", _nothing),
    Setting("effort", "reasoning", _one_of(*_EFFORTS), ("reasoning_effort", "thinking_level"), nullable=False),
    Setting(
        "budget",
        "reasoning",
        _whole(-1, 10**6),
        ("thinking_budget", "budget_tokens", "thinking_budget_tokens", "reasoning_budget"),
    ),
    Setting("tier", "prompt", _word, ("service_tier",)),
    Setting("parallel_tools", "prompt", _truth, ("parallel_tool_calls",)),
)
"""What can be changed."""


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "").replace(".", "")


_BY_NAME: Final = {_plain(name): one for one in SETTINGS for name in (one.name, *one.spellings)}
_NAMES: Final = tuple(name for one in SETTINGS for name in (one.name, *one.spellings))


# ---- changes ------------------------------------------------------------------------------------


@frozen
class Changes:
    """Changes of a request's settings; ``of_query`` and ``of_mapping`` make them.

    Args:
        sampling: by field of ``Sampling``.
        reasoning: by field of ``ReasoningConfig``.
        prompt: by field of ``Prompt``.
    """

    sampling: Mapping[str, Any] = field(factory=dict)
    reasoning: Mapping[str, Any] = field(factory=dict)
    prompt: Mapping[str, Any] = field(factory=dict)

    @classmethod
    def of_query(cls, query: str, name: str) -> Changes:
        """Read what stands behind ``?`` in a model's name, percent-encoded as in a URL; an empty value or ``none`` removes.

        Args:
            query: without the ``?``.
            name: the whole name, for the message.

        Raises:
            InvalidField: it is no list of settings, one is unknown, or a value is none that it can have.
        """
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=MOST_CHANGES)
        except ValueError:
            pairs = []
        if not pairs:
            hint = "settings must stand behind the '?', as temperature=0.2&reasoning_effort=high"
            raise _wrong(f"In the model's name '{name[:200]}', {hint}.")
        given: dict[str, Any] = {}
        for key, value in pairs:
            given.setdefault(key, []).append(value)
        made, problems = _read((key, _from_text(key, values)) for key, values in given.items())
        if problems:
            raise _wrong(f"In the model's name '{name[:200]}': {problems[0]}.")
        return made

    @classmethod
    def of_mapping(cls, given: Mapping[str, Any], *, removed: Iterable[str] = ()) -> Changes:
        """Read what a deployment's YAML has; null removes.

        Args:
            given: by name.
            removed: names of settings to remove as well.

        Raises:
            ConfigError: with all that is wrong.
        """
        made, problems = _read([*given.items(), *((name, None) for name in removed)])
        if problems:
            raise ConfigError(*problems)
        return made

    @property
    def names(self) -> list[str]:
        """Of the settings, for people."""
        return [*self.sampling, *self.reasoning, *self.prompt]

    def __bool__(self) -> bool:
        return bool(self.sampling or self.reasoning or self.prompt)

    def apply(self, request: Request) -> Request:
        """The request with these changes; the same one where all is so already."""
        if not self:
            return request
        was = request.prompt
        now = {
            "sampling": evolve(was.sampling, **self.sampling),
            "reasoning": _thinking(was.reasoning, self.reasoning),
            **self.prompt,
        }
        changed = {name: value for name, value in now.items() if value != getattr(was, name)}
        return request.with_prompt(**changed) if changed else request


def faults(name: str) -> Iterator[str]:
    """What is wrong with the settings in a name that a deployment gives, which may join several.

    Args:
        name: as ``a|b?temperature=0.2``.
    """
    for member in re.split(r"[|^!]", name):
        _, mark, query = member.partition("?")
        if mark:
            try:
                Changes.of_query(query, name)
            except InvalidField as error:
                yield error.message


def _from_text(name: str, values: Sequence[str]) -> Any:
    """One value; the same name several times is a list; None removes."""
    known = _BY_NAME.get(_plain(name))
    if len(values) > 1:
        return list(values)
    nullable = known is None or known.nullable
    return None if values[0] == "" or (nullable and values[0].casefold() == "none") else values[0]


def _read(given: Iterable[tuple[str, Any]]) -> tuple[Changes, list[str]]:
    """The changes, and what is wrong with them."""
    places: dict[str, dict[str, Any]] = {"sampling": {}, "reasoning": {}, "prompt": {}}
    problems: list[str] = []
    for name, value in given:
        known = _BY_NAME.get(_plain(name))
        if known is None:
            problems.append(_unknown(name))
            continue
        if known.name in places[known.place]:
            problems.append(f"the setting '{name[:50]}' is given twice")
        try:
            places[known.place][known.name] = known.unset if value is None else known.value(value)
        except ValueError as error:
            problems.append(f"the setting '{name[:50]}' takes {error}")
    return Changes(**places), problems


def _unknown(name: str) -> str:
    close = nearest(name, _NAMES)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(one.name for one in SETTINGS)}"
    return f"there is no setting '{name[:50]}'; {hint}"


def _thinking(was: ReasoningConfig, changes: Mapping[str, Any]) -> ReasoningConfig:
    """An effort and a budget say the same in two ways: who sets one does not mean the other, which came with the request."""
    effort, budget = changes.get("effort"), changes.get("budget")
    if effort == "none" or budget == 0:
        told = was.effort == "none" and was.budget is None
        return was if told else evolve(was, mode="off", effort=None, budget=None)
    if budget is not None:
        if budget == -1:
            return evolve(was, mode="auto", effort=effort, budget=None)
        return evolve(was, mode="budget", effort=effort, budget=budget)
    if effort is not None:
        return evolve(was, mode="auto" if was.mode in ("off", "budget") else was.mode, effort=effort, budget=None)
    if "budget" in changes:  # how a budget of no tokens, or of as many as it likes, is read
        was = evolve(was, mode="unset" if was.mode in ("off", "auto", "budget") else was.mode, budget=None)
    return evolve(was, effort=None) if "effort" in changes else was


def _wrong(message: str) -> InvalidField:
    return InvalidField(message, param="model")
