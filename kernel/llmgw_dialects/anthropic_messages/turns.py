"""Messages and the items of a conversation: a turn holds several items, where a tool's results stand beside what was said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from attrs import define, evolve, field

from llmgw.model import (
    JSON,
    Compaction,
    Instruction,
    Item,
    Message,
    Node,
    OpaqueItem,
    Part,
    RawDoc,
    Text,
    ToolCall,
    ToolResult,
    sourced,
)
from llmgw.splice import Path
from llmgw_dialects.anthropic_messages.blocks import plain, read_nodes, read_parts, write_blocks
from llmgw_dialects.anthropic_messages.names import NAME, object_of, present, text_of
from llmgw_dialects.fields import string
from llmgw_dialects.losses import Losses

# ---- reading ------------------------------------------------------------------------------------


def read_system(tree: dict[str, Any], doc: RawDoc) -> tuple[Instruction, ...]:
    """The ``system`` field: one instruction with a part for each block.

    One, because the field is one list whose blocks follow one another like those of a message, so that a changed block leaves
    its neighbours alone; what is said anew before or behind it becomes a block of this list.
    """
    value = tree.get("system")
    if value is None or value == "" or value == []:
        return ()
    return (sourced(Instruction(parts=read_parts(value, doc, ("system",))), doc, ("system",), value),)


def read_turn(value: dict[str, Any], doc: RawDoc, path: Path) -> list[Item]:
    """Read one message: its results, and what stands between them, in their order."""
    turn = path[-1] if isinstance(path[-1], int) else 0
    role = string(value, "role", path)
    match role:
        case "user" | "assistant" as who:
            nodes = read_nodes(value.get("content"), doc, (*path, "content"))
            return [_placed(item, doc, path, value) for item in _items(nodes, who, turn)]
        case "system":
            item: Item = Instruction(
                parts=read_parts(value.get("content"), doc, (*path, "content")),
                leading=False,
                clear_at=value.get("clear_at"),
                effort=text_of(object_of(value, "output_config"), "effort") or None,
                turn=turn,
            )
            return [sourced(item, doc, path, value)]
        case _:
            return [sourced(OpaqueItem(dialect=NAME, type=role, raw=value, turn=turn), doc, path, value)]


def _items(nodes: Sequence[Part | Item], role: Literal["user", "assistant"], turn: int) -> Iterable[Item]:
    run: list[Part] = []
    for node in nodes:
        if isinstance(node, Part):
            run.append(node)
            continue
        if run:
            yield Message(role=role, parts=tuple(run), turn=turn)
            run = []
        yield node
    if run or not nodes:
        yield Message(role=role, parts=tuple(run), turn=turn)


def _placed(item: Item, doc: RawDoc, path: Path, value: JSON) -> Item:
    return item if item.source is not None else sourced(item, doc, path, value)


# ---- writing ------------------------------------------------------------------------------------


def nodes_of(items: Iterable[Item]) -> list[Node]:
    """The blocks of a turn, as nodes."""
    out: list[Node] = []
    for item in items:
        if isinstance(item, Message | Instruction):
            out += item.parts
        elif not isinstance(item, OpaqueItem):
            out.append(item)
    return out


def role_of(item: Item) -> str | None:
    """Whose turn an item stands in; None where Anthropic has no word for it."""
    match item:
        case Message(role=role):
            return role
        case ToolResult():
            return "user"
        case Instruction():
            return "system"
        case Compaction(carrier=carrier) if carrier is not None:
            return "assistant"
        case OpaqueItem(dialect=dialect, type=kind) if dialect == NAME:
            return kind
        case _:
            return None


def write_head(items: Sequence[Item]) -> dict[str, JSON]:
    """A message but for its ``content``."""
    first = items[0]
    if isinstance(first, OpaqueItem):
        return first.raw if isinstance(first.raw, dict) else {}
    out: dict[str, JSON] = {"role": role_of(first)}
    if isinstance(first, Instruction):
        effort = None if first.effort is None else {"effort": first.effort}
        out |= present({"clear_at": first.clear_at, "output_config": effort})
    return out


def write_system(items: Sequence[Instruction], losses: Losses) -> str | list[JSON] | None:
    """The ``system`` field for what the model is told at the head; None for nothing."""
    blocks = [block for item in items for block in _instructing(item, losses)]
    return (text if isinstance(text := plain(blocks), str) else blocks) if blocks else None


@define
class _Turn:
    role: str
    head: dict[str, JSON]
    blocks: list[JSON]


def write_turns(items: Sequence[Item], losses: Losses) -> list[dict[str, JSON]]:
    """Messages for items of another dialect: neighbours of one role as one, results right behind their calls."""
    turns: list[_Turn] = []
    for item in _ordered(items, losses):
        role = role_of(item)
        if role is None:
            losses.dropped(f"item.{type(item).__name__.lower()}", node=item)
            continue
        if isinstance(item, OpaqueItem):
            turns.append(_Turn("", write_head([item]), []))
            continue
        _lost_fields(item, losses)
        blocks = _instructing(item, losses) if isinstance(item, Instruction) else write_blocks(_said(item, losses), losses)
        if not blocks:
            continue
        if role != "system" and turns and turns[-1].role == role:
            turns[-1].blocks += blocks
        else:
            turns.append(_Turn(role, write_head([item]), blocks))
    return [turn.head if not turn.role else {**turn.head, "content": plain(turn.blocks)} for turn in turns]


def _said(item: Item, losses: Losses) -> list[Node]:
    """The nodes of one item; pictures and files that a model gave have no place in its turn."""
    nodes = nodes_of([item])
    if not (isinstance(item, Message) and item.role == "assistant"):
        return nodes
    media = [node for node in nodes if type(node).__name__ in ("Image", "Document", "SearchResult")]
    for node in media:
        losses.dropped(f"assistant.{type(node).__name__.lower()}", node=node)
    return [node for node in nodes if node not in media]


def _instructing(item: Instruction, losses: Losses) -> list[JSON]:
    """Blocks of an instruction, which holds text alone; its mark is that of its last block."""
    texts: list[Part] = []
    for part in item.parts:
        if isinstance(part, Text) or getattr(part, "dialect", "") == NAME:
            texts.append(part)
        else:
            losses.dropped(f"instruction.{type(part).__name__.lower()}", node=part)
    if texts and item.cache is not None and texts[-1].cache is None:
        texts[-1] = evolve(texts[-1], cache=item.cache)
    return write_blocks(texts, losses)


@define
class _Step:
    """What the model said, what its tools gave, and what came then."""

    said: list[Item] = field(factory=list)
    results: list[ToolResult] = field(factory=list)
    rest: list[Item] = field(factory=list)

    def ordered(self) -> list[Item]:
        calls = [part.call_id for item in self.said for part in getattr(item, "parts", ()) if isinstance(part, ToolCall)]
        place = {ident: number for number, ident in reversed(list(enumerate(calls)))}
        results = sorted(self.results, key=lambda item: place.get(item.call_id, len(calls)))
        return [*self.said, *results, *self.rest]


def _ordered(items: Sequence[Item], losses: Losses) -> list[Item]:
    """Results right behind what called, in the order of the calls; what stood before them moves behind."""
    steps = [_Step()]
    for item in items:
        step = steps[-1]
        if role_of(item) == "assistant":
            if step.results or step.rest:
                steps.append(step := _Step())
            step.said.append(item)
        elif isinstance(item, ToolResult):
            if step.rest and step.said:
                losses.approximated("order", "before tool results", "behind them", step.rest[0])
            if step.said or not step.rest:
                step.results.append(item)
            else:
                step.rest.append(item)
        else:
            step.rest.append(item)
    return [item for step in steps for item in step.ordered()]


def leads(item: Item) -> bool:
    """Whether an item stands in ``system``."""
    return isinstance(item, Instruction) and item.leading


def leading(items: Sequence[Item]) -> list[Instruction]:
    """The instructions that stand there."""
    return [item for item in items if isinstance(item, Instruction) and item.leading]


def _lost_fields(item: Item, losses: Losses) -> None:
    if isinstance(item, Message | Instruction) and item.name:
        losses.dropped("message.name", item.name, item)
    if isinstance(item, Message) and item.phase:
        losses.dropped("message.phase", item.phase, item)
