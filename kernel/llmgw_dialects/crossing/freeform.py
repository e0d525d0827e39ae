"""Tools that take free text, for models whose tools take objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import define, evolve, field

from llmgw import jsons
from llmgw.events import BlockDelta, BlockStart, BlockStop, Event
from llmgw.model import CustomTool, FunctionTool, Item, Prompt, Tool, ToolCall, ToolRef, ToolResult
from llmgw_dialects.crossing.fences import Unfenced, unfits
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import called, each, revised, with_calls, with_refs, with_tools
from llmgw_dialects.crossing.unwrapping import KEY, Unwrapper

_HOW: Final = f"Put the raw text in `{KEY}`; do not add JSON or fences."


class Freeform(Step):
    """Wraps the text in an object with one key, and takes it out again as it comes."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._wrapped: dict[tuple[str | None, str], CustomTool] = {}
        self._open: dict[tuple[int, int], _Text] = {}

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with function tools in the place of freeform ones."""
        if not self.leg.holds(prompt, CustomTool, "custom"):
            return prompt
        if self.leg.profile.custom_tools:
            return prompt
        return revised(
            prompt,
            tools=with_tools(prompt.tools, self._wrap),
            items=each(with_calls(prompt.items, self._wrap_call), _plain_result),
            tool_choice=with_refs(prompt.tool_choice, _plain_ref),
        )

    @property
    def hears(self) -> Heard:
        """Calls and their arguments, where a tool is wrapped."""
        return (BlockStart, "args", BlockStop) if self._wrapped else ()

    def back(self, event: Event) -> Iterable[Event]:
        """The events of a wrapped tool's call, as of a freeform one's."""
        match event:
            case BlockStart():
                return (self._begin(event),)
            case BlockDelta(channel="args") if (text := self._open.get((event.choice, event.index))) is not None:
                return _deltas(event.index, event.choice, text.feed(event.fragment))
            case BlockStop() if (text := self._open.pop((event.choice, event.index), None)) is not None:
                return (*_deltas(event.index, event.choice, text.close()), evolve(event, final=None))
            case _:
                return (event,)

    def _wrap(self, tool: Tool) -> Tool:
        if not isinstance(tool, CustomTool):
            return tool
        self._wrapped[tool.namespace, tool.name] = tool
        self.leg.losses.emulated("tools.custom", "a function", tool)
        if tool.definition:
            self.leg.losses.approximated("tools.grammar", tool.syntax, "its description", tool)
        return FunctionTool(
            name=tool.name,
            description=_told(tool),
            schema={
                "type": "object",
                "properties": {KEY: {"type": "string", "description": "The raw text for the tool."}},
                "required": [KEY],
                "additionalProperties": False,
            },
            namespace=tool.namespace,
            cache=tool.cache,
            source=tool.source,
        )

    def _wrap_call(self, call: ToolCall) -> ToolCall:
        if call.kind != "custom":
            return call
        self.leg.losses.emulated("tool_call.custom", "a function", call)
        return evolve(call, kind="function", arguments=jsons.dumps({KEY: call.arguments}).decode())

    def _begin(self, event: BlockStart) -> Event:
        name = called(event)
        tool = self._wrapped.get((event.meta.get("namespace"), name)) if name is not None else None
        if tool is None or event.kind != "tool_call":
            return event
        self._open[event.choice, event.index] = _Text(Unfenced() if unfits(tool) else None)
        return evolve(event, kind="custom_tool_call")


@define(eq=False)
class _Text:
    """The text of one call."""

    _fence: Unfenced | None
    _unwrapper: Unwrapper = field(factory=Unwrapper)

    def feed(self, fragment: str) -> str:
        text = self._unwrapper.feed(fragment)
        return text if self._fence is None else self._fence.feed(text)

    def close(self) -> str:
        text = self._unwrapper.close()
        return text if self._fence is None else self._fence.feed(text) + self._fence.close()


def _told(tool: CustomTool) -> str:
    """What a model is told of a freeform tool: what it is for, what text it takes, and how to give that."""
    grammar = f"The text must be of this grammar ({tool.syntax}):\n{tool.definition}" if tool.definition else None
    return "\n\n".join(filter(None, (tool.description, grammar, _HOW)))


def _plain_result(item: Item) -> Item:
    return evolve(item, kind="function") if isinstance(item, ToolResult) and item.kind == "custom" else item


def _plain_ref(ref: ToolRef) -> ToolRef:
    return evolve(ref, kind="function") if ref.kind == "custom" else ref


def _deltas(index: int, choice: int, text: str) -> tuple[Event, ...]:
    return (BlockDelta(index=index, choice=choice, channel="input", fragment=text),) if text else ()
