"""Names of tools, as the target takes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import evolve

from llmgw.events import BlockStart, Event
from llmgw.model import CustomTool, FunctionTool, Item, Prompt, Tool, ToolCall, ToolRef, ToolResult
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import called, calls_in, each, revised, telling, tools_in, with_calls, with_refs, with_tools

_CUT: Final = 55
_HASHED: Final = 8


class Names(Step):
    """Gives each tool a name that the target takes, the same one in every request, and gives calls their own name back."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._pattern = re.compile(leg.profile.tool_name)
        self._theirs: dict[str, str] = {}
        self._ours: dict[str, str] = {}

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with names that fit."""
        self._map(dict.fromkeys(_names(prompt)))
        if not self._theirs:
            return prompt
        return revised(
            prompt,
            tools=with_tools(prompt.tools, self._tool),
            items=each(with_calls(prompt.items, self._call), self._result),
            tool_choice=with_refs(prompt.tool_choice, self._ref),
        )

    @property
    def hears(self) -> Heard:
        """Calls, where a name was changed."""
        return (BlockStart,) if self._ours else ()

    def back(self, event: Event) -> Iterable[Event]:
        """A call, under the client's own name; a name that the model made up stays."""
        name = self._ours.get(called(event) or "")
        return (event,) if name is None else (telling(event, name=name),)

    def _map(self, names: Iterable[str]) -> None:
        """Find a name for each that does not fit; those that do are never given to another."""
        taken = {name for name in names if self._fits(name)}
        for name in names:
            if name not in taken:
                self._theirs[name] = found = self._free(name, taken)
                self._ours[found] = name
                taken.add(found)

    def _free(self, name: str, taken: set[str]) -> str:
        plain = "".join(char if self._pattern.fullmatch(f"_{char}") else "_" for char in name)
        plain = plain if self._pattern.fullmatch(plain) else f"_{plain}"
        if len(plain) <= self.leg.profile.tool_name_max and plain not in taken:
            return plain
        salted, found = name, plain
        while found == plain or found in taken:
            found = self._hashed(plain, salted)
            salted += "\0"
        return found

    def _hashed(self, plain: str, told: str) -> str:
        kept = min(_CUT, self.leg.profile.tool_name_max - _HASHED - 1)
        return f"{plain[:kept]}_{hashlib.sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:_HASHED]}"

    def _fits(self, name: str) -> bool:
        return len(name) <= self.leg.profile.tool_name_max and self._pattern.fullmatch(name) is not None

    # ---- where names stand ----------------------------------------------------------------------

    def _tool(self, tool: Tool) -> Tool:
        if not isinstance(tool, FunctionTool | CustomTool) or tool.name not in self._theirs:
            return tool
        self.leg.losses.approximated("tools.name", tool.name, self._theirs[tool.name], tool)
        return evolve(tool, name=self._theirs[tool.name])

    def _call(self, call: ToolCall) -> ToolCall:
        if call.kind == "builtin" or call.name not in self._theirs:
            return call
        self.leg.losses.approximated("tool_call.name", call.name, self._theirs[call.name], call)
        return evolve(call, name=self._theirs[call.name])

    def _result(self, item: Item) -> Item:
        if not isinstance(item, ToolResult) or item.kind == "builtin" or item.name not in self._theirs:
            return item
        return evolve(item, name=self._theirs[item.name])

    def _ref(self, ref: ToolRef) -> ToolRef:
        return ref if ref.kind == "builtin" or ref.name not in self._theirs else evolve(ref, name=self._theirs[ref.name])


def _names(prompt: Prompt) -> Iterator[str]:
    """All names, those of tools first: they come in the same order with every request."""
    yield from (tool.name for tool in tools_in(prompt.tools) if isinstance(tool, FunctionTool | CustomTool))
    yield from (call.name for call in calls_in(prompt.items) if call.kind != "builtin")
    yield from (item.name for item in prompt.items if isinstance(item, ToolResult) and item.name and item.kind != "builtin")
    yield from (ref.name for ref in (prompt.tool_choice.names if prompt.tool_choice else ()) if ref.kind != "builtin")
