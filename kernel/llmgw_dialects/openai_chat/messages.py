"""Messages and the items of a conversation: one message is one item, with what it holds as ordered parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from attrs import evolve

from llmgw import jsons
from llmgw.model import (
    JSON,
    Audio,
    CacheMark,
    Image,
    Instruction,
    Item,
    Message,
    OpaqueItem,
    OpaquePart,
    Part,
    RawDoc,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    sourced,
    texts,
)
from llmgw.splice import Path
from llmgw_dialects.fields import invalid, opt_list, opt_object, opt_string, string
from llmgw_dialects.ids import minted
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_chat.history import read_call, read_legacy_call, read_reasoning, write_call, write_reasoning
from llmgw_dialects.openai_chat.names import NAME
from llmgw_dialects.openai_chat.parts import lost_fields, read_part, write_part
from llmgw_dialects.openai_marks import read_mark, write_mark

_P = TypeVar("_P", bound=Part)
_FAILED: Final = "Error: "
_ATTACHED: Final = "[attached below]"


# ---- reading ------------------------------------------------------------------------------------


def read_messages(messages: list[Any], doc: RawDoc) -> tuple[Item, ...]:
    """Read all messages."""
    items: list[Item] = []
    leading, legacy = True, ""
    for turn, value in enumerate(messages):
        item = read_message(value, doc, ("messages", turn), legacy)
        leading = leading and not isinstance(item, (Message, ToolResult))
        if isinstance(item, Instruction) and not leading:
            item = sourced(evolve(item, leading=False), doc, ("messages", turn), value)
        if isinstance(value.get("function_call"), dict) and isinstance(item, Message):
            legacy = next((part.call_id for part in reversed(item.parts) if isinstance(part, ToolCall)), "")
        items.append(item)
    return tuple(items)


def read_message(value: dict[str, Any], doc: RawDoc, path: Path, legacy: str = "") -> Item:
    """Read one message.

    Args:
        value: the message.
        doc: the body it is from.
        path: where in it.
        legacy: the id minted for the last ``function_call``, which a message of role ``function`` answers.
    """
    turn = path[-1] if isinstance(path[-1], int) else 0
    role = string(value, "role", path)
    item: Item
    match role:
        case "system" | "developer":
            name, parts = opt_string(value, "name", path), _content(value, doc, path)
            item = Instruction(role=role, parts=parts, name=name, cache=read_mark(value), turn=turn)
        case "user":
            item = Message(role="user", parts=_content(value, doc, path), name=opt_string(value, "name", path), turn=turn)
        case "assistant":
            item = Message(role="assistant", parts=_said(value, doc, path), name=opt_string(value, "name", path), turn=turn)
        case "tool":
            ident = opt_string(value, "tool_call_id", path) or ""
            item = _result(value, ident, doc, path, turn)
        case "function":
            name = opt_string(value, "name", path) or ""
            item = _result(value, legacy or minted("call_", name), doc, path, turn)
        case _:
            item = OpaqueItem(dialect=NAME, type=role, raw=value, turn=turn)
    return sourced(item, doc, path, value)


def _result(value: dict[str, Any], ident: str, doc: RawDoc, path: Path, turn: int) -> Item:
    name, parts = opt_string(value, "name", path), _content(value, doc, path)
    return ToolResult(call_id=ident, parts=parts, name=name, cache=read_mark(value), turn=turn)


def _said(value: dict[str, Any], doc: RawDoc, path: Path) -> tuple[Part, ...]:
    """What an assistant said: thoughts, content, refusal, calls, sound."""
    parts: list[Part] = []
    for part, key in read_reasoning(value, path):
        parts.append(sourced(part, doc, (*path, key), value[key]))
    parts += _content(value, doc, path)
    if refusal := opt_string(value, "refusal", path):
        parts.append(sourced(Refusal(refusal), doc, (*path, "refusal"), refusal))
    for n, call in enumerate(opt_list(value, "tool_calls", path) or ()):
        at = (*path, "tool_calls", n)
        parts.append(sourced(read_call(call, at), doc, at, call))
    if (call := opt_object(value, "function_call", path)) is not None:
        at = (*path, "function_call")
        parts.append(sourced(read_legacy_call(call, at), doc, at, call))
    audio = opt_object(value, "audio", path)
    if audio is not None and (ident := opt_string(audio, "id", (*path, "audio"))):
        parts.append(sourced(Audio(id=ident), doc, (*path, "audio"), audio))
    return tuple(parts)


def _content(value: dict[str, Any], doc: RawDoc, path: Path) -> tuple[Part, ...]:
    content, at = value.get("content"), (*path, "content")
    if content is None or content == "":  # beside calls the one is as usual as the other
        return ()
    if isinstance(content, str):
        return (sourced(Text(content), doc, at, content),)
    if not isinstance(content, list):
        raise invalid(at, "a string or an array of objects", content)
    return tuple(sourced(read_part(entry, (*at, n)), doc, (*at, n), entry) for n, entry in enumerate(content))


# ---- writing ------------------------------------------------------------------------------------


def slot(part: Part) -> str:
    """The key of a message under which a part stands, or belongs if it comes from elsewhere."""
    own = part.source is not None and part.source.doc.dialect == NAME
    key = part.source.path[2] if own and part.source is not None and len(part.source.path) > 2 else None
    if key in ("content", "refusal", "function_call", "audio", "tool_calls"):
        return str(key)
    match part:
        case ToolCall():
            return "tool_calls"
        case Reasoning():
            return "reasoning"
        case Refusal():
            return "refusal"
        case Audio(id=str()):
            return "audio"
        case _:
            return "content"


def of_slot(parts: Sequence[Part], key: str) -> list[Part]:
    """The parts that stand under one key."""
    return [part for part in parts if slot(part) == key]


def by_slot(parts: Sequence[Part]) -> Mapping[str, Sequence[Part]]:
    """The parts under each key that has any; for others there is nothing."""
    out: defaultdict[str, list[Part]] = defaultdict(list)
    for part in parts:
        out[slot(part)].append(part)
    return out


def write_flat(item: Item, like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    """A message but for the two keys that hold lists of nodes, ``content`` and ``tool_calls``."""
    match item:
        case Instruction():
            return {"role": item.role, **_named(item.name), **_item_mark(item.cache, losses, item)}
        case ToolResult() if like.get("role") == "function":
            return {"role": "function", "name": item.name or ""}
        case ToolResult():
            return {"role": "tool", "tool_call_id": item.call_id, **_named(item.name), **_item_mark(item.cache, losses, item)}
        case Message():
            return {"role": item.role, **_named(item.name), **_write_said(by_slot(item.parts), like, losses)}
        case OpaqueItem(dialect=dialect, raw=dict(raw)) if dialect == NAME:
            return raw
        case _:
            return {}


def _write_said(parts: Mapping[str, Sequence[Part]], like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    out = write_reasoning([part for part in parts.get("reasoning", ()) if isinstance(part, Reasoning)], like, losses)
    if refusals := [part.text for part in parts.get("refusal", ()) if isinstance(part, Refusal)]:
        out["refusal"] = "".join(refusals)
    for part in parts.get("function_call", ()):
        if isinstance(part, ToolCall):
            out["function_call"] = {"name": part.name, "arguments": part.arguments}
    for part in parts.get("audio", ()):
        if isinstance(part, Audio):
            out["audio"] = {"id": part.id}
    return out


def write_items(items: Sequence[Item], losses: Losses) -> list[dict[str, JSON]]:
    """Messages for items of another dialect: one for each run of the assistant, its results right behind, text only."""
    out: list[dict[str, JSON]] = []
    pending: list[Part] = []  # pictures of tool results, which go into one user message behind the last result
    for item in _ordered(_runs(items), losses):
        if not isinstance(item, ToolResult) and pending:
            out.append(_attached(pending, losses))
            pending = []
        match item:
            case ToolResult():
                out.append(_write_result(item, pending, losses))
            case Instruction() | Message():
                out.append(_write_message(item, losses))
            case OpaqueItem(dialect=dialect, raw=raw) if dialect == NAME:
                out.append(raw)
            case _:
                losses.dropped(f"item.{type(item).__name__}", node=item)
    return [*out, _attached(pending, losses)] if pending else out


def _write_message(item: Instruction | Message, losses: Losses) -> dict[str, JSON]:
    out = write_flat(item, {}, losses)
    parts = by_slot(item.parts)
    calls = [entry for part in parts.get("tool_calls", ()) if (entry := write_call(part, losses)) is not None]
    content = write_content(parts.get("content", []), losses)
    if content is not None or not (calls or "audio" in out or "refusal" in out or "function_call" in out):
        out["content"] = "" if content is None else content
    if calls:
        out["tool_calls"] = calls
    for name in ("clear_at", "effort", "phase"):
        if getattr(item, name, None):
            losses.dropped(f"message.{name}", node=item)
    return out


def write_content(parts: Sequence[Part], losses: Losses) -> str | list[JSON] | None:
    """``content``: a string for one text without a mark, else a list; None for nothing."""
    match parts:
        case []:
            return None
        case [Text(text=text, cache=None)]:
            lost_fields(parts[0], losses)
            return text
        case _:
            return [entry for part in parts if (entry := write_part(part, losses)) is not None]


def _write_result(item: ToolResult, pending: list[Part], losses: Losses) -> dict[str, JSON]:
    """A tool message holds text alone; failure is a word in it, pictures follow."""
    media = [part for part in item.parts if not isinstance(part, (Text, OpaquePart))]
    parts: list[Part] = [part for part in item.parts if part not in media]
    if not item.parts and item.structured is not None:  # Gemini's results are objects
        parts = [Text(jsons.dumps(item.structured).decode())]
    if item.scheduling:
        losses.dropped("tool_result.scheduling", item.scheduling, item)
    if media:
        losses.emulated("tool_result.media", "a user message", item)
        pending += media
        parts.append(Text(_ATTACHED))
    if item.is_error:
        losses.emulated("tool_result.is_error", "text", item)
        if not texts(parts).startswith(_FAILED):
            parts.insert(0, Text(_FAILED))
    out = write_flat(item, {}, losses)
    if not all(isinstance(part, Text) and part.cache is None for part in parts):
        return {**out, "content": write_content(parts, losses)}
    for part in parts:
        lost_fields(part, losses)
    return {**out, "content": texts(parts)}


def _attached(parts: list[Part], losses: Losses) -> dict[str, JSON]:
    labelled: list[Part] = []
    for number, part in enumerate(parts, 1):
        labelled += [Text(f"{'Image' if isinstance(part, Image) else 'File'} {number} of the tool results above:"), part]
    return {"role": "user", "content": write_content(labelled, losses)}


def _runs(items: Sequence[Item]) -> list[Item]:
    """Neighbouring assistant messages as one: many servers refuse two in a row."""
    out: list[Item] = []
    for item in items:
        last = out[-1] if out else None
        if isinstance(item, Message) and isinstance(last, Message) and item.role == last.role == "assistant":
            out[-1] = evolve(last, parts=(*last.parts, *item.parts))
        else:
            out.append(item)
    return out


def _ordered(items: list[Item], losses: Losses) -> list[Item]:
    """Results right behind the message that called; what stood before them moves behind."""
    out: list[Item] = []
    at = 0
    for item in items:
        if isinstance(item, Message) and item.role == "assistant":
            at = len(out) + 1
        if isinstance(item, ToolResult) and at < len(out):
            losses.approximated("order", "before tool results", "behind them", out[at])
        if isinstance(item, ToolResult):
            out.insert(at, item)
            at += 1
        else:
            out.append(item)
    return out


def _named(name: str | None) -> dict[str, JSON]:
    return {} if name is None else {"name": name}


def _item_mark(mark: CacheMark | None, losses: Losses, item: Item) -> dict[str, JSON]:
    return write_mark(mark, losses, item)
