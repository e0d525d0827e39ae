"""Arguments of calls in a history, for models that take only objects."""

from __future__ import annotations

import re
from typing import Final

from attrs import evolve

from llmgw import jsons
from llmgw.model import Prompt, ToolCall
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import revised, with_calls

_LONE: Final = re.compile("[\ud800-\udfff]")


class Arguments(Step):
    """Puts what is no object into one; the text of an object stays, to the spelling of its numbers."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with arguments that are all objects."""
        if not self.leg.profile.object_arguments:
            return prompt
        return revised(prompt, items=with_calls(prompt.items, self._call))

    def _call(self, call: ToolCall) -> ToolCall:
        if call.kind == "custom":
            return call
        text = _escaped(call.arguments)
        try:
            value = jsons.loads(text.encode()) if text.strip() else None
        except jsons.JsonError:
            return self._wrapped(call, "_raw", call.arguments)
        if value is None:
            return evolve(call, arguments="{}")
        if not isinstance(value, dict):
            return self._wrapped(call, "_value", value)
        return call if text == call.arguments else evolve(call, arguments=text)

    def _wrapped(self, call: ToolCall, key: str, value: object) -> ToolCall:
        self.leg.losses.approximated("tool_call.arguments", "no object", f"an object with {key}", call)
        return evolve(call, arguments=jsons.dumps({key: value}).decode())


def _escaped(text: str) -> str:
    """A JSON text that UTF-8 can hold: half a surrogate pair can only stand in a string, as an escape."""
    return _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
