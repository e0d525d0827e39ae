"""Whether and which tools must be called: what the model cannot be held to is asked of it in words, or done by other means."""

from __future__ import annotations

from attrs import evolve

from llmgw.model import BuiltinTool, CustomTool, FunctionTool, McpServer, Prompt, Tool, ToolChoice, ToolRef
from llmgw_dialects.crossing.effort import off, thinks
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.notes import at_end
from llmgw_dialects.crossing.revising import revised, tools_in, with_tools
from llmgw_dialects.crossing.vendors import is_google


class Choice(Step):
    """A choice that the model can be given, once it is known whether it thinks.

    A choice limited to some of the tools sends only these where there is no other way. One that forces a call, on a model
    that cannot think and be forced, switches thinking off; on one that is never forced it becomes a request in words.
    """

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with such a choice."""
        choice = prompt.tool_choice
        if not prompt.tools:
            if choice is not None and _forces(choice):
                self.leg.losses.dropped("tool_choice", choice.mode)
            return revised(prompt, tool_choice=None, parallel_tools=None)
        if choice is None:
            return prompt
        prompt = self._limited(prompt, choice)
        choice = prompt.tool_choice
        return prompt if choice is None or not _forces(choice) else self._forced(prompt, choice)

    def _limited(self, prompt: Prompt, choice: ToolChoice) -> Prompt:
        known = self.leg.profile
        if choice.mode == "validated" and not known.validated_choice:
            self.leg.losses.approximated("tool_choice", "validated", "auto")
            inner: ToolChoice = ToolChoice("allowed", choice.names, "auto") if choice.names else ToolChoice("auto")
        else:
            inner = choice
        if inner.mode == "allowed" and is_google(self.leg.target) and inner.inner_mode != "required" and known.validated_choice:
            self.leg.losses.emulated("tool_choice.allowed", "validated")  # where nothing is forced, Google ignores names
            return evolve(prompt, tool_choice=ToolChoice("validated", inner.names))
        is_ignored = is_google(self.leg.target) and inner.inner_mode != "required"
        if inner.mode != "allowed" or (known.allowed_choice and not is_ignored):
            return revised(prompt, tool_choice=choice if inner == choice else inner)
        tools = with_tools(prompt.tools, lambda tool: tool if any(_is(tool, ref) for ref in inner.names) else None)
        if not any(True for _ in tools_in(tools)):
            self.leg.losses.dropped("tool_choice", "allowed")
            return revised(prompt, tool_choice=ToolChoice("auto"))
        self.leg.losses.emulated("tool_choice.allowed", "tools")
        return revised(prompt, tools=tools, tool_choice=ToolChoice("required" if _forces(inner) else "auto"))

    def _forced(self, prompt: Prompt, choice: ToolChoice) -> Prompt:
        known = self.leg.profile
        if known.forced_choice == "always" or (known.forced_choice == "without_thinking" and not thinks(prompt.reasoning)):
            return prompt
        if known.forced_choice == "without_thinking" and known.can_disable:
            self.leg.losses.approximated("reasoning", prompt.reasoning.effort or prompt.reasoning.mode, "off")
            return evolve(prompt, reasoning=off(known))
        self.leg.losses.approximated("tool_choice", choice.mode, "auto")
        asked = at_end(prompt, _in_words(choice))
        return evolve(asked, tool_choice=evolve(choice, inner_mode="auto") if choice.mode == "allowed" else ToolChoice("auto"))


def _forces(choice: ToolChoice) -> bool:
    return choice.mode in ("required", "named") or (choice.mode == "allowed" and choice.inner_mode == "required")


def _in_words(choice: ToolChoice) -> str:
    if choice.mode == "named" and choice.names:
        return f"You must call the tool {choice.names[0].name} now."
    if choice.names:
        return "You must call one of these tools now: " + ", ".join(ref.name for ref in choice.names) + "."
    return "You must call one of the tools now."


def _is(tool: Tool, ref: ToolRef) -> bool:
    match tool:
        case FunctionTool() | CustomTool():
            return tool.name == ref.name and ref.namespace in (None, tool.namespace)
        case BuiltinTool():
            return ref.name in (tool.name, tool.kind)
        case McpServer():
            return tool.label == ref.name
        case _:
            return False
