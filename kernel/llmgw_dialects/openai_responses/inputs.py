"""Steps of a conversation become the input of a request: items, always the same for the same conversation, without ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import dropwhile
from typing import Any

from attrs import define, field

from llmgw.model import (
    JSON,
    Compaction,
    ConfigUpdate,
    Instruction,
    Item,
    ItemReference,
    Message,
    OpaqueItem,
    OpaquePart,
    Part,
    Reasoning,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
    ToolResult,
    ToolSetChange,
)
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses.calls import write_call, write_output
from llmgw_dialects.openai_responses.names import HOSTED, NAME, RESULTS, VENDOR, given
from llmgw_dialects.openai_responses.parts import write_part, write_said
from llmgw_dialects.openai_responses.settings import write_reasoning_config
from llmgw_dialects.openai_responses.thoughts import write_reasoning
from llmgw_dialects.openai_responses.tools import write_tool


@define(eq=False)
class ItemsWriter:
    """Writes steps of a conversation that came in another dialect.

    Args:
        losses: takes what Responses cannot say.
    """

    losses: Losses
    _customs: set[str] = field(factory=set)
    """Ids of calls of freeform tools, whose results are of a type of their own."""

    def write(self, items: Iterable[Item]) -> list[dict[str, JSON]]:
        """Items for all of them."""
        return [entry for item in items for entry in self.entries(item)]

    def entries(self, item: Item) -> list[dict[str, JSON]]:
        """Items for one: several for what the model said."""
        match item:
            case Message(role="assistant"):
                return self.said(item)
            case Message() | Instruction():
                return self._message(item)
            case ToolResult():
                return [write_output(item, item.call_id in self._customs, self.losses)]
            case Compaction() | ItemReference() | ToolSetChange() | ConfigUpdate():
                return self._state(item)
            case OpaqueItem(dialect=dialect, raw=dict(raw)) if dialect == NAME:
                return [raw]
            case _:
                self.losses.dropped(f"item.{type(item).__name__}", node=item)
                return []

    def said(self, item: Message) -> list[dict[str, JSON]]:
        """What the model said: neighbouring words of one group in one message, all else in an item each."""
        out: list[dict[str, JSON]] = []
        words: list[Part] = []
        for part in item.parts:
            if is_words(part):
                if words and not together(words, part):
                    out += self._words(words, item)
                    words = []
                words.append(part)
                continue
            out += self._words(words, item)
            words = []
            out += self.part(part)
        return out + self._words(words, item)

    def part(self, part: Part) -> list[dict[str, JSON]]:
        """The item for a part that is no words; none where there is none."""
        match part:
            case Reasoning():
                entry = write_reasoning(part, self.losses)
                return [] if entry is None else [entry]
            case ToolCall():
                if part.kind == "custom":
                    self._customs.add(part.call_id)
                return [write_call(part, self.losses)]
            case ServerToolCall(raw={"type": str(kind)}) | ServerToolResult(raw={"type": str(kind)}) if kind in HOSTED | RESULTS:
                return [part.raw]
            case OpaquePart(dialect=dialect, raw=dict(raw)) if dialect == NAME:
                return [raw]
            case _:
                self.losses.dropped(_feature(part), node=part)
                return []

    def _words(self, parts: Sequence[Part], item: Message) -> list[dict[str, JSON]]:
        if not parts:
            return []
        content = [entry for part in parts if (entry := write_said(part, self.losses)) is not None]
        phase = next((part.phase for part in parts if isinstance(part, Text) and part.phase), item.phase)
        return [{"type": "message", "role": "assistant", "content": content, **given(phase=phase)}]

    def _message(self, item: Message | Instruction) -> list[dict[str, JSON]]:
        if item.name is not None:
            self.losses.dropped("message.name", node=item)
        for name in ("clear_at", "effort", "cache"):
            if getattr(item, name, None):
                self.losses.dropped(f"message.{name}", node=item)
        content = [entry for part in item.parts if (entry := write_part(part, self.losses)) is not None]
        if item.parts and not content:
            return []
        return [{"type": "message", "role": item.role, "content": content or ""}]

    def _state(self, item: Item) -> list[dict[str, JSON]]:
        entry = write_state(item, self.losses)
        if entry is None:
            self.losses.dropped("compaction", node=item)
            return []
        return [entry]


def write_state(item: Item, losses: Losses) -> dict[str, JSON] | None:
    """The item for a step in which nobody speaks; None for a summary that only another provider can read."""
    match item:
        case Compaction(trigger=True):
            return {"type": "compaction_trigger"}
        case Compaction(carrier=carrier) if carrier is not None and carrier.provider == VENDOR and carrier.kind == "compaction":
            return {"type": "compaction", "encrypted_content": carrier.payload}
        case ItemReference():
            return {"type": "item_reference", "id": item.id}
        case ToolSetChange():
            if item.removed:
                losses.dropped("tools.removed", ", ".join(item.removed)[:80], item)
            tools = [entry for tool in item.added if (entry := write_tool(tool, losses)) is not None]
            return {"type": "additional_tools", "role": item.role or "developer", "tools": tools}
        case ConfigUpdate():
            reasoning = None if item.reasoning is None else write_reasoning_config(item.reasoning)
            text = None if item.verbosity is None else {"verbosity": item.verbosity}
            return {"type": "configuration_update", **given(reasoning=reasoning, text=text)}
        case _:
            return None


def is_words(part: Part) -> bool:
    """Whether a part of what the model said stands in a message."""
    return isinstance(part, Text | Refusal)


def together(words: Sequence[Part], part: Part) -> bool:
    """Whether a part belongs into the message that already has these."""
    groups = [one.group for one in words if isinstance(one, Text)]
    return not isinstance(part, Text) or not groups or groups[-1] == part.group


def split_instructions(items: Sequence[Item]) -> tuple[str | None, Sequence[Item]]:
    """What goes into ``instructions``, and the items that are left.

    Leading instructions go there if all of them are plain words, which most servers read best; one with a mark or a picture
    keeps all of them among the items, where marks have their place.
    """
    items = list(dropwhile(_is_nothing, items))
    count = next((n for n, item in enumerate(items) if not isinstance(item, Instruction)), len(items))
    leading: list[Any] = list(items[:count])
    if not leading or not all(_is_plain(item) for item in leading):
        return None, items
    return "\n\n".join("".join(part.text for part in item.parts) for item in leading), items[count:]


def _is_nothing(item: Item) -> bool:
    return isinstance(item, Message) and item.role == "assistant" and not item.parts


def _is_plain(item: Instruction) -> bool:
    plain = all(isinstance(part, Text) and part.cache is None for part in item.parts)
    return plain and bool(item.parts) and item.cache is None and item.name is None and not item.clear_at and not item.effort


def _feature(part: Part) -> str:
    if isinstance(part, ServerToolCall | ServerToolResult):
        return f"server_tool.{part.tool}"
    return part.type or "content part" if isinstance(part, OpaquePart) else type(part).__name__.lower()
