"""Another model, or other settings, than a client asks for that cannot be told otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import define, field

from llmgw import Config, Exchange, Filter, hookimpl
from llmgw_override.rules import Rule


def _sound(_: object, attribute: object, value: str | None) -> None:
    if value is not None:
        Rule(model=value)


@define(eq=False, kw_only=True)
class Override:
    """Gives clients with a hard-coded model another one, or other settings, whatever they ask for.

    The first rule that matches is applied. What it gives may be whatever a client may ask for: an alias, several models
    (``a|b``), settings behind ``?``.

    Args:
        rules: in their order; ``model`` comes after them.
        model: for everybody whom no rule matches; ``{model}`` in it is the name that was asked for.
        show: the model's name in replies where ``model`` was given: as it was ``asked``, or the ``real`` one.
    """

    rules: list[Rule] = field(factory=list)
    model: str | None = field(default=None, validator=_sound)
    show: Literal["asked", "real"] = "asked"
    _rules: Sequence[Rule] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        last = [Rule(model=self.model, show=self.show)] if self.model is not None else []
        self._rules = [*self.rules, *last]

    def sits_out(self, config: Config) -> str | None:
        """Without rules every client gets what it asks for."""
        return None if self._rules else "it has no rules"

    @hookimpl
    def open_filter(self, exchange: Exchange) -> Filter | None:
        """Apply the first rule that is for this exchange."""
        for rule in self._rules:
            stars = rule.match.stars(exchange)
            if stars is not None:
                return rule.applied(exchange, stars)
        return None
