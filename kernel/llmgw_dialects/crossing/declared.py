"""Tools for a history that has calls, where the client offers none any more and the provider wants them all the same."""

from __future__ import annotations

from llmgw.model import FunctionTool, Prompt, ToolChoice
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import calls_in, revised


class Declared(Step):
    """Offers what the history has called, and lets none of it be called again."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with these tools; Anthropic refuses ``tool_use`` without ``tools``."""
        if prompt.tools or not self.leg.profile.calls_need_tools:
            return prompt
        names = dict.fromkeys(call.name for call in calls_in(prompt.items))
        if not names:
            return prompt
        self.leg.losses.emulated("tools", "what the history calls")
        tools = tuple(FunctionTool(name=name, schema={"type": "object", "properties": {}}) for name in names)
        return revised(prompt, tools=tools, tool_choice=ToolChoice("none"))
