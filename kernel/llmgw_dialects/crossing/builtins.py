"""Tools of a vendor's making: those that the client runs become functions, those that the vendor runs are asked of the target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import evolve

from llmgw.errors import Unsupported
from llmgw.events import BlockStart, Event
from llmgw.model import (
    BuiltinTool,
    CustomTool,
    FunctionTool,
    Item,
    McpServer,
    Prompt,
    Tool,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
)
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import called, each, revised, telling, tools_in, with_calls, with_tools
from llmgw_dialects.crossing.wrappers import Wrapper, canonical, wrapper

_BOUND: Final = frozenset({"file_search"})
"""Tools that work on what only their vendor keeps."""


class Builtins(Step):
    """Offers what the client runs as functions, and calls of these as calls of the client's own tools."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._functions: dict[str, str] = {}
        """The function for a tool, by the tool's names."""
        self._called: dict[str, str] = {}
        """What the client calls a tool, by its function."""
        self._gone: set[str] = set()
        """Tools that nobody can run, by their names."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with functions for what the client runs, and of the rest what the model has too.

        Raises:
            Unsupported: a tool must be called that the model does not have.
        """
        if not self.leg.holds(prompt, BuiltinTool, McpServer, "builtin", "caller", "deferred"):
            return prompt
        own = {tool.name for tool in tools_in(prompt.tools) if isinstance(tool, FunctionTool | CustomTool)}
        taken = set(own)
        tools = with_tools(prompt.tools, lambda tool: self._tool(tool, taken))
        tools = self._at_once(tools)
        self._gone -= own
        items = each(with_calls(prompt.items, self._call), _result)
        offered = bool(tools) or not prompt.tools
        choice = self._choice(prompt.tool_choice, offered)
        parallel = prompt.parallel_tools if offered else None
        return revised(prompt, tools=tools, items=items, tool_choice=choice, parallel_tools=parallel)

    @property
    def hears(self) -> Heard:
        """Calls, where a tool became a function."""
        return (BlockStart,) if self._called else ()

    def back(self, event: Event) -> Iterable[Event]:
        """A call, of the client's own tool again."""
        name = self._called.get(called(event) or "")
        return (event,) if name is None else (telling(event, kind="builtin", name=name),)

    # ---- tools ----------------------------------------------------------------------------------

    def _tool(self, tool: Tool, taken: set[str]) -> Tool | None:
        match tool:
            case McpServer():
                self._drop(tool, "mcp", tool.label)
                return None
            case BuiltinTool():
                kind = canonical(tool.kind)
                if tool.client_executed and (known := wrapper(tool)) is not None:
                    return self._wrap(tool, known, taken)
                if tool.client_executed or kind in _BOUND or kind not in self.leg.profile.server_tools:
                    self._drop(tool, kind, tool.kind, tool.name or kind)
                    return None
                return tool if kind == tool.kind else evolve(tool, kind=kind)  # what is lost of it the codec knows
            case _:
                return tool

    def _wrap(self, tool: BuiltinTool, known: Wrapper, taken: set[str]) -> Tool:
        name = tool.name or known.name
        function = f"{tool.vendor.partition('.')[0]}_{name}" if name in taken else name
        taken.add(function)
        self._functions |= dict.fromkeys((tool.kind, canonical(tool.kind), name), function)
        self._called[function] = name
        self.leg.losses.emulated(f"tools.{canonical(tool.kind)}", "a function", tool)
        return FunctionTool(
            name=function, description=known.description, schema=known.schema, cache=tool.cache, source=tool.source
        )

    def _drop(self, tool: Tool, kind: str, *names: str) -> None:
        self._gone.update((kind, *names))
        self.leg.losses.dropped(f"tools.{kind}", node=tool)

    def _at_once(self, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
        """Functions that are told to the model from the start, where it cannot search for them, and that it calls itself."""
        searching = any(isinstance(tool, BuiltinTool) and tool.kind == "tool_search" for tool in tools_in(tools))

        def told(tool: Tool) -> Tool:
            if not isinstance(tool, FunctionTool) or not (tool.allowed_callers or (tool.defer_loading and not searching)):
                return tool
            if tool.allowed_callers:
                self.leg.losses.dropped("tools.allowed_callers", node=tool)
            if tool.defer_loading and not searching:
                self.leg.losses.approximated("tools.defer_loading", "when searched for", "from the start", tool)
            return evolve(tool, allowed_callers=None, defer_loading=tool.defer_loading if searching else None)

        return with_tools(tools, told)

    # ---- history and choice ---------------------------------------------------------------------

    def _call(self, call: ToolCall) -> ToolCall:
        if call.caller is not None:  # a program of the vendor's, or the model itself, in the vendor's words
            if not isinstance(call.caller, dict) or call.caller.get("type") != "direct":
                self.leg.losses.dropped("tool_call.caller", node=call)
            call = evolve(call, caller=None)
        if call.kind != "builtin":
            return call
        self.leg.losses.emulated("tool_call.builtin", "a function", call)
        return evolve(call, kind="function", name=self._functions.get(call.name, call.name))

    def _choice(self, choice: ToolChoice | None, offered: bool) -> ToolChoice | None:
        """The choice among what is left.

        Args:
            choice: as it is.
            offered: whether a tool is left where there were some.
        """
        if choice is None or not (self._gone or self._functions):
            return choice
        names = each(choice.names, self._ref)
        must = choice.mode in ("named", "required") or (choice.mode == "allowed" and choice.inner_mode == "required")
        if must and (not offered or (choice.names and not names)):
            raise self._refused(choice)
        if not offered:
            return None
        if choice.names and not names:
            return ToolChoice("none" if choice.mode == "allowed" else "auto")
        return choice if names is choice.names else evolve(choice, names=names)

    def _ref(self, ref: ToolRef) -> ToolRef | None:
        if ref.kind != "builtin":  # a client that names all its tools alike may mean one of the vendor's
            return None if ref.name in self._gone else ref
        name = self._functions.get(ref.name) or self._functions.get(canonical(ref.name))
        if name is not None:
            return ToolRef(name)
        return None if {ref.name, canonical(ref.name)} & self._gone else ref

    def _refused(self, choice: ToolChoice) -> Unsupported:
        wanted = ", ".join(repr(ref.name) for ref in choice.names) or "a tool"
        return Unsupported(
            f"'tool_choice' demands {wanted}, which this model cannot run ({self.leg.target}): "
            "let the model choose, or ask a model that has it.",
            param="tool_choice",
        )


def _result(item: Item) -> Item:
    return evolve(item, kind="function") if isinstance(item, ToolResult) and item.kind == "builtin" else item
