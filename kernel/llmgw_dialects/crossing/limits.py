"""How many tools a model takes."""

from __future__ import annotations

from llmgw.errors import Unsupported
from llmgw.model import Prompt
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import tools_in


class Limits(Step):
    """Refuses more tools than the model takes: an agent whose last tools are cut off is broken without knowing."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt as it is.

        Raises:
            Unsupported: there are too many.
        """
        most, count = self.leg.profile.tools_max, sum(1 for _ in tools_in(prompt.tools))
        if most is not None and count > most:
            raise Unsupported(
                f"The request has {count} tools, and this model takes at most {most}: offer fewer, or choose another model.",
                param="tools",
            )
        return prompt
