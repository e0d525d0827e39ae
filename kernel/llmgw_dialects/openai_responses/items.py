"""The input of a request: items, which become the steps of a conversation.

What the model said stands in several items, one behind the other: thoughts, messages, calls. A run of them becomes one
``Message`` of the assistant, whose parts each know the item that they were read from.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import define, evolve, field

from llmgw.model import (
    JSON,
    Carrier,
    Compaction,
    ConfigUpdate,
    Instruction,
    Item,
    ItemReference,
    Message,
    OpaqueItem,
    OpaquePart,
    Part,
    RawDoc,
    Reasoning,
    ReasoningConfig,
    Text,
    ToolCall,
    ToolResult,
    ToolSetChange,
    sourced,
)
from llmgw.splice import Path
from llmgw_dialects import envelope
from llmgw_dialects.fields import invalid, opt_list, opt_object, opt_string, string
from llmgw_dialects.openai_responses.calls import OUTPUTS, read_call, read_output
from llmgw_dialects.openai_responses.names import BY_CALL, HOSTED, NAME, RESULTS, VENDOR, dict_of, is_assistants, text_of
from llmgw_dialects.openai_responses.parts import read_part
from llmgw_dialects.openai_responses.thoughts import for_last, for_next, read_reasoning
from llmgw_dialects.openai_responses.tools import read_tool

_CALLS: Final = frozenset({"function_call", "custom_tool_call", *BY_CALL, *HOSTED, *RESULTS})
_PHASES: Final = ("commentary", "final_answer")
INSTRUCTIONS: Final = "instructions"


def read_items(tree: dict[str, Any], doc: RawDoc) -> tuple[Item, ...]:
    """Read ``instructions`` and ``input``."""
    items: list[Item] = []
    instructions = opt_string(tree, INSTRUCTIONS, ())
    if instructions is not None:
        text = sourced(Text(instructions), doc, (INSTRUCTIONS,), instructions)
        told = Instruction(parts=(text,) if instructions else (), origin=INSTRUCTIONS)
        items.append(sourced(told, doc, (INSTRUCTIONS,), instructions))
    given = tree.get("input")
    if isinstance(given, str):
        text = sourced(Text(given), doc, ("input",), given)
        items.append(sourced(Message(role="user", parts=(text,) if given else ()), doc, ("input",), given))
    elif given is not None:
        items += ItemsReader(doc).read(given)
    return _leading(items, doc)


@define(eq=False)
class ItemsReader:
    """Reads a list of items.

    Args:
        doc: the body that it is in.
    """

    doc: RawDoc
    _items: list[Item] = field(factory=list)
    _run: list[Part] = field(factory=list)
    _values: list[JSON] = field(factory=list)
    """The items of the run at hand, and where the first of them stands."""

    _first: int = 0
    _groups: int = 0
    _carried: Carrier | None = None
    """What belongs to the call that should follow, and the part that it is if none does."""

    _waiting: Reasoning | None = None

    def read(self, values: list[Any]) -> list[Item]:
        """All of them."""
        for turn, value in enumerate(values):
            path: Path = ("input", turn)
            if not isinstance(value, dict):
                raise invalid(path, "an object", value)
            if is_said(value):
                self._say(value, path)
            else:
                self._close()
                self._items.append(sourced(read_item(value, self.doc, path), self.doc, path, value))
        self._close()
        return self._items

    def _say(self, value: dict[str, Any], path: Path) -> None:
        if not self._values:
            self._first = int(path[-1])
        self._values.append(value)
        parts = read_said(value, self.doc, path, self._groups)
        if kind_of(value) == "message":
            self._groups += 1
        for part in parts:
            self._add(part)

    def _add(self, part: Part) -> None:
        if self._waiting is not None and isinstance(part, ToolCall):
            part = _with_carrier(part, self._carried)
            self._waiting = self._carried = None
        self._settle()
        if isinstance(part, Reasoning):
            if (carrier := for_next(part)) is not None:
                self._waiting, self._carried = part, carrier
                return
            last = self._run[-1] if self._run else None
            if (signed := for_last(part, last)) is not None and last is not None and last.source is not None:
                self._run[-1] = sourced(signed, last.source.doc, last.source.path, last.source.value)
                return
        self._run.append(part)

    def _settle(self) -> None:
        """No call follows: the carrier stays with a thought of its own."""
        if self._waiting is not None:
            self._run.append(self._waiting)
        self._waiting = self._carried = None

    def _close(self) -> None:
        """The run ends."""
        self._settle()
        if self._values:
            message = Message(role="assistant", parts=tuple(self._run), turn=self._first)
            self._items.append(sourced(message, self.doc, ("input", self._first), self._values))
        self._run, self._values, self._groups = [], [], 0


def kind_of(value: dict[str, Any]) -> str:
    """The type of an item; a message need not say that it is one."""
    kind = value.get("type")
    return kind if isinstance(kind, str) else "message" if "role" in value else "item_reference" if "id" in value else ""


def is_said(value: dict[str, Any]) -> bool:
    """Whether an item is part of what the model said."""
    kind = kind_of(value)
    if kind == "message":
        return value.get("role") == "assistant"
    return kind == "reasoning" or kind in _CALLS or (is_assistants(kind) and kind not in OUTPUTS)


def read_said(value: dict[str, Any], doc: RawDoc, path: Path, group: int) -> list[Part]:
    """The parts of an item in which the model spoke; ``group`` numbers its message among those of the run."""
    match kind_of(value):
        case "message":
            return _said_parts(value, doc, path, group)
        case "reasoning":
            return [sourced(read_reasoning(value, path), doc, path, value)]
        case _:
            return [sourced(read_call(value, path), doc, path, value)]


def read_item(value: dict[str, Any], doc: RawDoc, path: Path) -> Item:
    """Read an item that the model did not say."""
    turn = int(path[-1])
    match kind_of(value):
        case "message":
            return _message(value, doc, path, turn)
        case kind if kind in OUTPUTS:
            return read_output(value, doc, path)
        case "item_reference":
            return ItemReference(id=string(value, "id", path), turn=turn)
        case "compaction":
            return Compaction(carrier=_summary(value, path), turn=turn)
        case "compaction_trigger":
            return Compaction(trigger=True, turn=turn)
        case "additional_tools":
            tools = enumerate(opt_list(value, "tools", path) or ())
            at = (*path, "tools")
            added = tuple(sourced(read_tool(tool, (*at, n)), doc, (*at, n), tool) for n, tool in tools)
            return ToolSetChange(added=added, role=opt_string(value, "role", path), turn=turn)
        case "configuration_update":
            return _update(value, path, turn)
        case kind:
            return OpaqueItem(dialect=NAME, type=kind, raw=value, turn=turn)


def _message(value: dict[str, Any], doc: RawDoc, path: Path, turn: int) -> Item:
    role = string(value, "role", path)
    ident, status = opt_string(value, "id", path), opt_string(value, "status", path)
    match role:
        case "system" | "developer":
            return Instruction(role=role, parts=read_content(value, doc, path), turn=turn)
        case "user":
            return Message(role="user", parts=read_content(value, doc, path), id=ident, status=status, turn=turn)
        case _:
            return OpaqueItem(dialect=NAME, type=role, raw=value, turn=turn)


def read_content(value: dict[str, Any], doc: RawDoc, path: Path) -> tuple[Part, ...]:
    """Read ``content``."""
    content, at = value.get("content"), (*path, "content")
    if content is None or content == "":
        return ()
    if isinstance(content, str):
        return (sourced(Text(content), doc, at, content),)
    if not isinstance(content, list):
        raise invalid(at, "a string or an array of objects", content)
    return tuple(sourced(read_part(entry, (*at, n)), doc, (*at, n), entry) for n, entry in enumerate(content))


def _said_parts(value: dict[str, Any], doc: RawDoc, path: Path, group: int) -> list[Part]:
    parts = read_content(value, doc, path)
    if not parts:  # it says nothing, and has its place all the same
        return [sourced(OpaquePart(dialect=NAME, type="message", raw=value), doc, path, value)]
    ident, phase = opt_string(value, "id", path), value.get("phase")
    told: dict[str, Any] = {"group": group, "id": ident, "phase": phase if phase in _PHASES else None}
    out: list[Part] = []
    for part in parts:
        assert part.source is not None
        known = evolve(part, **told) if isinstance(part, Text) else part
        out.append(sourced(known, doc, part.source.path, part.source.value))
    return out


def _summary(value: dict[str, Any], path: Path) -> Carrier | None:
    payload = opt_string(value, "encrypted_content", path)
    if payload is None:
        return None
    found = envelope.opened(payload)
    return Carrier(VENDOR, "compaction", payload) if found is None else found.carrier


def _update(value: dict[str, Any], path: Path, turn: int) -> ConfigUpdate:
    reasoning, text = opt_object(value, "reasoning", path), dict_of(value, "text")
    config = None if reasoning is None else ReasoningConfig(effort=opt_string(reasoning, "effort", (*path, "reasoning")))
    return ConfigUpdate(reasoning=config, verbosity=text_of(text, "verbosity") or None, turn=turn)


def _with_carrier(call: ToolCall, carrier: Carrier | None) -> ToolCall:
    if carrier is None or call.source is None:
        return call
    signed = evolve(call, carrier=evolve(carrier, position="on"))
    return sourced(signed, call.source.doc, call.source.path, call.source.value)


def _leading(items: list[Item], doc: RawDoc) -> tuple[Item, ...]:
    """Instructions behind what the user or the model said do not lead."""
    leading, out = True, []
    for item in items:
        leading = leading and not isinstance(item, Message | ToolResult)
        if isinstance(item, Instruction) and not leading and item.source is not None:
            item = sourced(evolve(item, leading=False), doc, item.source.path, item.source.value)
        out.append(item)
    return tuple(out)
