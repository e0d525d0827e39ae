"""Prompts that are too long for a model are told so at once, cut, or sent to a larger one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import define, field
from attrs.validators import ge

from llmgw import Exchange, Gateway, Guard, Target, hookimpl
from llmgw_context_window.limits import Limit, Policy, Rule, listed, tabled
from llmgw_context_window.standing import Standing, Terms


@define(eq=False, kw_only=True)
class ContextWindow:
    """Compares each prompt with the model's context window before it is sent: refuses, cuts, or asks a larger model.

    A model's window is the one that ``models`` says, else the one in the back-end's list of models where that was read, else
    the one in a table of known models; a model that nobody knows has none. Put this before other guards, since another model
    that is asked instead has guards of its own.

    A prompt whose body has fewer bytes than the window has tokens is never read. Others are counted with the model's own
    vocabulary where ``tiktoken`` is installed and has it in its cache (nothing is ever downloaded), else estimated.

    Args:
        policy: what becomes of a prompt that is too long: ``reject`` answers with the error by which clients know that they must
            shorten it; ``truncate-oldest`` leaves out the oldest turns, a quarter of the window at once so that caches hold.
        route: a model to ask instead, as ``backend:model``; a prompt that is too long for that one is treated as it says.
        count: ``local``, or ``provider`` to ask the provider where the local count comes within 15 % of the limit.
        reserve: tokens kept for the answer where the client does not say how many it wants.
        models: by patterns of ``backend:model`` or of a model's name, of which the longest counts: the window (``context`` for
            prompt and answer together, ``input`` for the prompt alone, ``output`` for the answer) and ``policy``, ``route``,
            ``reserve`` where these differ.
    """

    policy: Policy = "reject"
    route: str | None = None
    count: Literal["local", "provider"] = "local"
    reserve: int = field(default=4096, validator=ge(0))
    models: dict[str, Rule] = field(factory=dict)
    _ordered: Sequence[tuple[str, Rule]] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._ordered = sorted(self.models.items(), key=lambda one: len(one[0]), reverse=True)

    @hookimpl
    def open_guard(self, exchange: Exchange) -> Guard | None:
        """Stand before all targets."""
        return Standing(exchange, self.terms)

    def terms(self, gateway: Gateway, target: Target) -> Terms | None:
        """What holds for a target; None where nobody knows its window.

        Args:
            gateway: whose lists of models are looked at, as far as they were read.
            target: about to be tried.
        """
        rule = _of(self._ordered, target) or Rule()
        limit = rule.limit.over(listed(gateway.known(target.backend, target.model))).over(tabled(target.model))
        if limit.unknown:
            return None
        reserve = self.reserve if rule.reserve is None else rule.reserve
        return Terms(limit, rule.policy or self.policy, rule.route or self.route, self.count, reserve)


def _of(rules: Sequence[tuple[str, Rule]], target: Target) -> Rule | None:
    return next((rule for pattern, rule in rules if Limit.matches(pattern, target.name, target.model)), None)
