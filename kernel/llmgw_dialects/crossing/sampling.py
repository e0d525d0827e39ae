"""How the next token is chosen: what the model refuses is left out, what is out of its range is moved into it."""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve, fields

from llmgw.model import Prompt, Sampling
from llmgw_dialects.crossing.effort import thinks
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import revised

_DEFAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "temperature": (1,), "top_p": (1,), "frequency_penalty": (0,), "presence_penalty": (0,), "n": (1,), "logprobs": (False,),
    "top_logprobs": (0,), "logit_bias": ({},), "verbosity": ("medium",), "modalities": (("text",), ("TEXT",), ()),
}  # fmt: skip
"""What says no more than nothing does."""
_NAMES: Final = tuple(one.name for one in fields(Sampling) if one.name not in ("max_output", "stop"))
_WHILE_THINKING: Final = ("temperature", "top_p", "top_k")


class OutputLimit(Step):
    """``max_output``: the model's own where it must be told, and never out of what it takes.

    A client's number is lowered only to what the model can give at all, and raised to the least that the provider takes.
    """

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with a limit that the provider takes."""
        known, given = self.leg.profile, prompt.sampling.max_output
        limit = given
        if limit is None:
            if known.default_output is None:
                return prompt
            limit = known.default_output if known.max_output is None else min(known.default_output, known.max_output)
        limit = max(limit, known.min_output or 0)
        if known.max_output is not None:
            limit = min(limit, known.max_output)
        if "max_output" not in known.sampling:
            if given is not None:
                self.leg.losses.dropped("max_output", str(given))
            return revised(prompt, sampling=_with(prompt.sampling, {"max_output": None}))
        if given is not None and limit != given:
            self.leg.losses.approximated("max_output", str(given), str(limit))
        return revised(prompt, sampling=_with(prompt.sampling, {"max_output": limit}))


class Samplers(Step):
    """The other fields of ``Sampling``, once it is known whether the model thinks."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with the fields that the model takes."""
        given = {name: value for name in _NAMES if (value := getattr(prompt.sampling, name)) is not None}
        changes: dict[str, Any] = {}
        for name, value in given.items():
            if self._is_refused(name, value, prompt):
                changes[name] = None
                if not _is_default(name, value):
                    self.leg.losses.dropped(name, _shown(value))
        left = {name: value for name, value in given.items() if name not in changes}
        changes |= self._one(left) | self._in_range(left)
        return revised(prompt, sampling=_with(prompt.sampling, changes))

    def _is_refused(self, name: str, value: Any, prompt: Prompt) -> bool:
        known = self.leg.profile
        if name not in known.sampling:
            return True
        if name == "n" and known.n_max is not None and value > known.n_max:
            return True
        return name in _WHILE_THINKING and not known.samples_thinking and thinks(prompt.reasoning)

    def _one(self, left: dict[str, Any]) -> dict[str, Any]:
        """Of a temperature and ``top_p`` only one, where the model takes only one: the one that says something."""
        if not self.leg.profile.one_sampler or not {"temperature", "top_p"} <= left.keys():
            return {}
        for name in ("top_p", "temperature"):
            if _is_default(name, left[name]):
                return {name: None}
        self.leg.losses.dropped("top_p", _shown(left["top_p"]))
        return {"top_p": None}

    def _in_range(self, left: dict[str, Any]) -> dict[str, Any]:
        given = left.get("temperature")
        if given is None:
            return {}
        least, most = self.leg.profile.temperature
        if least <= given <= most:
            return {}
        to = min(max(given, least), most)
        self.leg.losses.approximated("temperature", _shown(given), _shown(to))
        return {"temperature": to}


def _with(sampling: Sampling, changes: dict[str, Any]) -> Sampling:
    new = {name: value for name, value in changes.items() if value != getattr(sampling, name)}
    return evolve(sampling, **new) if new else sampling


def _is_default(name: str, value: Any) -> bool:
    return value in _DEFAULTS.get(name, ())


def _shown(value: Any) -> str:
    return str(value)[:80]
