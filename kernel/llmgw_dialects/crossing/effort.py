"""How much to think: an effort, a budget of tokens, a level, or by itself, in the one form that the model knows.

The table between efforts and budgets is the one that gateways and agents have come to share; where a model knows fewer efforts
the nearest is taken, and one that cannot stop thinking thinks as little as it can.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from llmgw.model import Profile, Prompt, ReasoningConfig
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import revised
from llmgw_dialects.crossing.vendors import ANTHROPIC, CHAT, RESPONSES, is_google

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""All that anybody has, from the least to the most."""
_BUDGETS: Final = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 128000}
_AUTOMATIC: Final = -1
_SUMMARIES: Final = ("auto", "concise", "detailed")


def thinks(config: ReasoningConfig) -> bool:
    """Whether a model that is told this thinks, as far as it is told."""
    if config.mode in ("unset", "off"):
        return config.mode == "unset" and config.effort not in (None, "none")
    return True


def budget_of(effort: str) -> int:
    """The tokens that an effort stands for."""
    return _BUDGETS.get(effort, _BUDGETS["medium"])


def effort_of(budget: int) -> str:
    """The effort that a budget stands for."""
    return next((name for name in EFFORTS[:5] if budget <= _BUDGETS[name]), "xhigh")


def nearest(effort: str, known: tuple[str, ...]) -> str:
    """The effort among those known that is nearest to one; of two that are as near, the lesser."""
    if effort in known or not known:
        return effort
    at = _rank(effort)
    return min(known, key=lambda one: (abs(_rank(one) - at), _rank(one)))


class Effort(Step):
    """Says how much to think in the model's form; says nothing where the client did not."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with what the model knows of thinking."""
        config = prompt.reasoning
        for name in ("context", "pro_mode"):
            if getattr(config, name) is not None:
                self.leg.losses.dropped(f"reasoning.{name}", str(getattr(config, name)))
        limit, told = self._told(config, prompt.sampling.max_output)
        show = self._show(config, told)
        told = evolve(told, show=show, want_encrypted=self.leg.target == RESPONSES and self.leg.profile.thinking != "none")
        prompt = revised(prompt, reasoning=config if told == config else told)
        return (
            prompt if limit == prompt.sampling.max_output else evolve(prompt, sampling=evolve(prompt.sampling, max_output=limit))
        )

    def _told(self, config: ReasoningConfig, limit: int | None) -> tuple[int | None, ReasoningConfig]:
        """The limit of the answer, and what to tell of thinking."""
        known = self.leg.profile
        if not _asks(config):
            return limit, ReasoningConfig()
        if known.thinking == "none":
            if not _is_off(config):
                self.leg.losses.dropped("reasoning", _named(config))
            return limit, ReasoningConfig()
        if _is_off(config):
            return self._off(limit)
        if known.thinking == "budget":
            return self._budget(config, limit)
        return limit, self._effort(config)

    def _off(self, limit: int | None) -> tuple[int | None, ReasoningConfig]:
        """Not thinking, or the least of it where it cannot be switched off."""
        known = self.leg.profile
        if known.can_disable:
            return limit, off(known)
        if known.thinking == "budget":
            least = known.budget[0] if known.budget else _BUDGETS["low"]
            self.leg.losses.approximated("reasoning", "off", str(least))
            limit, budget = self._with_room(limit, least)
            return limit, ReasoningConfig(mode="budget", budget=budget) if budget >= least else ReasoningConfig()
        effort = next((one for one in known.efforts if one != "none"), "low")
        self.leg.losses.approximated("reasoning", "off", effort)
        return limit, self._of_effort(effort)

    def _effort(self, config: ReasoningConfig) -> ReasoningConfig:
        if config.effort is not None:
            wanted = config.effort
        elif config.budget is not None and config.budget != _AUTOMATIC:
            wanted = effort_of(config.budget)
        elif config.mode == "between_tools":
            wanted = "high"
        else:
            return ReasoningConfig(mode="adaptive" if self.leg.profile.thinking == "adaptive" else "unset")
        known = self.leg.profile.efforts
        able = tuple(one for one in known if one != "none") or known
        effort = nearest(wanted, able)
        if config.effort is None:
            self.leg.losses.approximated("reasoning.budget", _named(config), effort)
        elif effort != wanted:
            self.leg.losses.approximated("reasoning.effort", wanted, effort)
        return self._of_effort(effort)

    def _of_effort(self, effort: str) -> ReasoningConfig:
        return ReasoningConfig(mode="adaptive" if self.leg.profile.thinking == "adaptive" else "unset", effort=effort)

    def _budget(self, config: ReasoningConfig, limit: int | None) -> tuple[int | None, ReasoningConfig]:
        """A budget within the model's and below the answer's limit, which is raised for it where it can be."""
        known = self.leg.profile
        wanted = config.budget if config.budget is not None else None if config.effort is None else budget_of(config.effort)
        if wanted is None or wanted == _AUTOMATIC:
            if is_google(self.leg.target):
                return limit, ReasoningConfig(mode="auto", budget=_AUTOMATIC)
            wanted = _BUDGETS["medium"]
        least, most = known.budget or (_BUDGETS["low"], _BUDGETS["max"])
        budget = min(max(wanted, least), most)
        limit, budget = self._with_room(limit, budget)
        if budget < least:  # there is no room for thinking in this answer
            self.leg.losses.approximated("reasoning", _named(config), "off")
            return limit, off(known) if known.can_disable else ReasoningConfig()
        if config.budget is None:
            self.leg.losses.approximated("reasoning.effort", _named(config), str(budget))
        elif budget != wanted:
            self.leg.losses.approximated("reasoning.budget", str(wanted), str(budget))
        return limit, ReasoningConfig(mode="budget", budget=budget)

    def _with_room(self, limit: int | None, budget: int) -> tuple[int | None, int]:
        """A limit that leaves room for an answer behind the thinking, as far as the model goes, and a budget below it."""
        if limit is None or budget < limit:
            return limit, budget
        most = self.leg.profile.max_output
        raised = limit + budget if most is None else max(limit, min(limit + budget, most))
        return raised, min(budget, raised - 1)

    def _show(self, config: ReasoningConfig, told: ReasoningConfig) -> str | None:
        """Whether the client is to see thoughts, in the target's word: ``omitted`` or one of OpenAI's and Anthropic's."""
        target, known = self.leg.target, self.leg.profile
        if known.thinking == "none" or told.mode == "off":
            return None
        shown = self._is_shown(config)
        if target == RESPONSES:
            if not shown or not thinks(told):
                return None
            return config.show if config.show in _SUMMARIES else "auto"
        if target == ANTHROPIC:
            return ("summarized" if shown else "omitted") if thinks(told) else None
        if is_google(target):
            hidden = config.show is not None or _is_off(config)
            return "summarized" if shown and not _is_off(config) else "omitted" if hidden else None
        return None if shown else "omitted"

    def _is_shown(self, config: ReasoningConfig) -> bool:
        if config.show is not None:
            return config.show not in ("omitted", "none")
        dialect = self.leg.request.dialect  # clients of the others say so if they want to see
        return dialect == CHAT or (dialect == ANTHROPIC and thinks(config))


def off(known: Profile) -> ReasoningConfig:
    """Not thinking, in the form of a model that can do without."""
    effort = "none" if known.thinking in ("effort", "level") else None
    return ReasoningConfig(mode="off", effort=effort)


def _asks(config: ReasoningConfig) -> bool:
    return config.mode != "unset" or config.effort is not None or config.budget is not None


def _is_off(config: ReasoningConfig) -> bool:
    return config.mode == "off" or config.effort == "none" or (config.budget == 0 and config.effort is None)


def _named(config: ReasoningConfig) -> str:
    if config.budget is not None:
        return str(config.budget)
    return config.effort or config.mode


def _rank(effort: str) -> int:
    return EFFORTS.index(effort) if effort in EFFORTS else len(EFFORTS)
