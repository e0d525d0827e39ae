"""Claude Code's billing note, which changes with every request and means something to Anthropic alone."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from llmgw.model import Instruction, Prompt, Text
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import each, revised
from llmgw_dialects.crossing.vendors import ANTHROPIC

_PREFIX: Final = "x-anthropic-billing-header:"


class Attribution(Step):
    """Leaves the note out: a prompt that begins with it is never found in another provider's cache."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt, without the note where it is the first text of the system."""
        first = next((item for item in prompt.items if isinstance(item, Instruction) and item.leading), None)
        noted = first is not None and next((part for part in first.parts if isinstance(part, Text)), None)
        if self.leg.target == ANTHROPIC or first is None or not noted or not noted.text.startswith(_PREFIX):
            return prompt
        self.leg.losses.dropped("attribution", node=noted)
        rest = tuple(part for part in first.parts if part is not noted)
        kept = evolve(first, parts=rest) if rest else None
        return revised(prompt, items=each(prompt.items, lambda item: kept if item is first else item))
