"""Tools and settings that change in the middle of a conversation, and tools under a namespace."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from attrs import evolve, fields

from llmgw.events import BlockStart, Event
from llmgw.model import (
    ConfigUpdate,
    CustomTool,
    FunctionTool,
    Item,
    Namespace,
    Prompt,
    ReasoningConfig,
    Tool,
    ToolCall,
    ToolRef,
    ToolSetChange,
)
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import called, many, revised, telling, with_calls, with_refs, with_tools


class Toolsets(Step):
    """One list of tools with flat names for the whole request; calls come back under their namespace."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._flat: dict[tuple[str, str], str] = {}
        self._inner: dict[str, tuple[str, str]] = {}

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with its changes applied, and flat names where the model knows no others."""
        if not self.leg.holds(prompt, ToolSetChange, ConfigUpdate, Namespace, "namespace"):
            return prompt
        prompt = self._settled(prompt)
        return prompt if self.leg.profile.namespaces else self._flattened(prompt)

    @property
    def hears(self) -> Heard:
        """Calls, where there are namespaces."""
        return (BlockStart,) if self._inner else ()

    def back(self, event: Event) -> Iterable[Event]:
        """A call, under its namespace again."""
        inner = self._inner.get(called(event) or "")
        return (event,) if inner is None else (telling(event, namespace=inner[0], name=inner[1]),)

    # ---- changes on the way ---------------------------------------------------------------------

    def _settled(self, prompt: Prompt) -> Prompt:
        tools, reasoning, sampling = prompt.tools, prompt.reasoning, prompt.sampling
        items: list[Item] = []
        for item in prompt.items:
            match item:
                case ToolSetChange():
                    self.leg.losses.approximated("tools.change", "in the middle", "from the start", item)
                    tools = _changed(tools, item)
                case ConfigUpdate():
                    self.leg.losses.approximated("config_update", "in the middle", "from the start", item)
                    reasoning = _told(reasoning, item.reasoning)
                    sampling = evolve(sampling, verbosity=item.verbosity) if item.verbosity else sampling
                case _:
                    items.append(item)
        if len(items) == len(prompt.items):
            return prompt
        return revised(prompt, items=tuple(items), tools=tools, reasoning=reasoning, sampling=sampling)

    # ---- namespaces -----------------------------------------------------------------------------

    def _flattened(self, prompt: Prompt) -> Prompt:
        taken = _plain_names(prompt)
        tools = many(prompt.tools, lambda tool: self._flat_tools(tool, taken))
        items = with_calls(prompt.items, lambda call: self._flat_call(call, taken))
        choice = with_refs(prompt.tool_choice, lambda ref: self._flat_ref(ref, taken))
        return revised(prompt, tools=tools, items=items, tool_choice=choice)

    def _flat_tools(self, tool: Tool, taken: set[str]) -> list[Tool]:
        match tool:
            case Namespace():
                self.leg.losses.emulated("tools.namespace", "flat names", tool)
                out = [made for inner in tool.tools for made in self._flat_inner(tool, inner, taken)]
                if tool.cache is not None and out and out[-1].cache is None:
                    out[-1] = evolve(out[-1], cache=tool.cache)
                return out
            case FunctionTool(namespace=str(space)) | CustomTool(namespace=str(space)) if space:
                self.leg.losses.emulated("tools.namespace", "flat names", tool)
                return [evolve(tool, name=self._name(space, tool.name, taken), namespace=None)]
            case _:
                return [tool]

    def _flat_inner(self, space: Namespace, tool: Tool, taken: set[str]) -> list[Tool]:
        if not isinstance(tool, FunctionTool | CustomTool):
            return self._flat_tools(tool, taken)
        about = "\n\n".join(filter(None, (space.description, tool.description))) or None
        return [evolve(tool, name=self._name(space.name, tool.name, taken), namespace=None, description=about)]

    def _flat_call(self, call: ToolCall, taken: set[str]) -> ToolCall:
        if not call.namespace:
            return call
        if call.namespace == call.name and call.name in taken:  # a tool that was added by itself
            return evolve(call, namespace=None)
        self.leg.losses.emulated("tool_call.namespace", "a flat name", call)
        return evolve(call, name=self._name(call.namespace, call.name, taken), namespace=None)

    def _flat_ref(self, ref: ToolRef, taken: set[str]) -> ToolRef:
        if not ref.namespace or ref.kind == "builtin":  # whose namespace is a server
            return ref
        return evolve(ref, name=self._name(ref.namespace, ref.name, taken), namespace=None)

    def _name(self, space: str, name: str, taken: set[str]) -> str:
        """The flat name, always the same for the same tool; it says where the tool belongs unless its name does so already."""
        known = self._flat.get((space, name))
        if known is not None:
            return known
        prefix = space if space.endswith("__") else f"{space}__"
        flat = name if name.startswith(("mcp__", prefix)) else prefix + name
        if flat in taken:
            flat += "_" + hashlib.sha256(f"{space}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
        taken.add(flat)
        self._flat[space, name] = flat
        self._inner[flat] = (space, name)
        return flat


def _changed(tools: tuple[Tool, ...], change: ToolSetChange) -> tuple[Tool, ...]:
    """Tools after a change: a new one takes the place of one of the same name."""
    new = {name: tool for tool in change.added if (name := _called(tool))}
    stay = [new.pop(name, tool) if (name := _called(tool)) else tool for tool in tools]
    unnamed = [tool for tool in change.added if not _called(tool)]
    there = tuple(tool for tool in (*stay, *new.values(), *unnamed) if _called(tool) not in change.removed)
    return with_tools(there, lambda tool: None if _called(tool) in change.removed else tool)


def _called(tool: Tool) -> str | None:
    return getattr(tool, "name", None)


def _told(before: ReasoningConfig, update: ReasoningConfig | None) -> ReasoningConfig:
    """A setting with what the update says of it."""
    if update is None:
        return before
    said = {one.name: getattr(update, one.name) for one in fields(ReasoningConfig)}
    return evolve(before, **{name: value for name, value in said.items() if value != getattr(ReasoningConfig(), name)})


def _plain_names(prompt: Prompt) -> set[str]:
    """The names of tools that stand in no namespace."""
    plain = (tool for tool in prompt.tools if not isinstance(tool, Namespace) and not getattr(tool, "namespace", None))
    return {name for tool in plain if (name := _called(tool))}
