"""What of a history only its own provider understands: tools that it ran, references to what it keeps, types nobody knows."""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve, field, frozen

from llmgw.model import (
    Compaction,
    Item,
    ItemReference,
    Message,
    OpaqueItem,
    OpaquePart,
    Part,
    Prompt,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
    ToolResult,
)
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import each, revised
from llmgw_dialects.crossing.vendors import VENDORS

OWN: Final = "llmgw"
"""The provider named in a compaction of ours, whose payload is the summary itself."""
_GAVE: Final = ("result", "output", "response")
_ASKED: Final = ("call", "tool_use")
_IDS: Final = ("call_id", "tool_use_id", "tool_call_id", "id")


@frozen
class _Halves:
    """Ids of which half of a pair is of a type that nobody knows: the other half goes with it."""

    calls: set[str] = field(factory=set)
    results: set[str] = field(factory=set)


_CONCERNED: Final = (ItemReference, Compaction, OpaqueItem, OpaquePart, ServerToolCall, ServerToolResult)


class Opaque(Step):
    """Leaves out what another provider cannot read; a summary of ours is words, and stays."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt without it."""
        if not self.leg.holds(prompt, *_CONCERNED):
            return prompt
        halves = _halves(prompt.items, self.leg.target)
        return revised(prompt, items=each(prompt.items, lambda item: self._item(item, halves)))

    def _item(self, item: Item, halves: _Halves) -> Item | None:
        match item:
            case ItemReference():
                self.leg.losses.dropped("item_reference", node=item)
                return None
            case Compaction():
                return self._compaction(item)
            case OpaqueItem() if item.dialect != self.leg.target:
                self.leg.losses.dropped(f"item.{item.type}", node=item)
                return None
            case ToolResult() if item.call_id in halves.calls:
                self.leg.losses.dropped("tool_result", "its call is not known", item)
                return None
            case ToolResult():
                parts = each(item.parts, lambda part: self._part(part, halves))
                return item if parts is item.parts else evolve(item, parts=parts)
            case _:
                return self._spoken(item, halves)

    def _spoken(self, item: Item, halves: _Halves) -> Item | None:
        """A message or an instruction; None where nothing is left of it."""
        before: tuple[Part, ...] = getattr(item, "parts", ())
        parts = each(before, lambda part: self._part(part, halves))
        if parts is before:
            return item
        return evolve(item, parts=parts) if parts else None  # type: ignore[call-arg]  # what has parts takes parts

    def _part(self, part: Part, halves: _Halves) -> Part | None:
        match part:
            case ServerToolCall() | ServerToolResult():
                self.leg.losses.dropped(f"server_tool.{part.tool}", node=part)
            case OpaquePart() if part.dialect != self.leg.target:
                self.leg.losses.dropped(f"part.{part.type}", node=part)
            case ToolCall() if part.call_id in halves.results:
                self.leg.losses.dropped("tool_call", "its result is not known", part)
            case _:
                return part
        return None

    def _compaction(self, item: Compaction) -> Item | None:
        carrier = item.carrier
        if carrier is not None and carrier.provider == OWN:
            self.leg.losses.emulated("compaction", "a user message", item)
            return Message(role="user", parts=(Text(carrier.payload),), turn=item.turn, source=item.source)
        if carrier is not None and carrier.provider == VENDORS.get(self.leg.target):
            return item
        self.leg.losses.dropped("compaction", node=item)
        return None


def _halves(items: tuple[Item, ...], target: str) -> _Halves:
    opaque = _Halves()
    known = _Halves()
    for item in items:
        if isinstance(item, ToolResult):
            known.results.add(item.call_id)
        for node in (item, *getattr(item, "parts", ())):
            if isinstance(node, ToolCall):
                known.calls.add(node.call_id)
            if isinstance(node, OpaqueItem | OpaquePart) and node.dialect != target and isinstance(node.raw, dict):
                _note(opaque, node.type, node.raw)
    return _Halves(opaque.calls - known.calls, opaque.results - known.results)


def _note(halves: _Halves, kind: str, raw: dict[str, Any]) -> None:
    ident = next((raw[key] for key in _IDS if isinstance(raw.get(key), str)), None)
    if ident is None:
        return
    if any(word in kind for word in _GAVE):
        halves.results.add(ident)
    elif any(word in kind for word in _ASKED):
        halves.calls.add(ident)
