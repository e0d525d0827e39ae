"""Content blocks of messages, and the nodes that they are.

Most blocks are parts of a message. A tool's result is an item of the conversation in the canonical model, and so is a
compaction, but a block among others here: so a *node* is a part or such an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from llmgw import jsons
from llmgw.model import (
    JSON,
    Carrier,
    Compaction,
    Document,
    Image,
    Item,
    Node,
    OpaquePart,
    Part,
    RawDoc,
    Reasoning,
    Refusal,
    SearchResult,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
    ToolResult,
    sourced,
)
from llmgw.splice import Path
from llmgw_dialects.anthropic_messages.arguments import read_input, write_input
from llmgw_dialects.anthropic_messages.citations import read_citation, write_citation
from llmgw_dialects.anthropic_messages.marks import KEY, read_mark, write_mark
from llmgw_dialects.anthropic_messages.media import (
    opaque,
    read_document,
    read_image,
    read_search_result,
    write_document,
    write_image,
    write_search_result,
)
from llmgw_dialects.anthropic_messages.names import NAME, VENDOR, present, text_of
from llmgw_dialects.anthropic_messages.thoughts import read_redacted, read_thinking, rewrite_thought, write_thought
from llmgw_dialects.fields import invalid, opt_bool, string
from llmgw_dialects.losses import Losses

_P = TypeVar("_P", Part, Item)
_RESULT: Final = "_tool_result"
_CALLS: Final = {"server_tool_use": "name", "mcp_tool_use": ""}
"""Blocks in which the provider calls a tool itself, with the key of the tool's name."""


# ---- reading ------------------------------------------------------------------------------------


def read_block(value: JSON, doc: RawDoc, path: Path) -> Part | Item:
    """Read a block; one of a type we do not know is carried, never looked into.

    Args:
        value: the block.
        doc: the body it is from.
        path: where in it.
    """
    return sourced(_read(value, doc, path), doc, path, value)


def read_parts(content: JSON, doc: RawDoc, path: Path) -> tuple[Part, ...]:
    """Read a ``content`` of which each block is a part: of a tool's result, of a system message."""
    return tuple(map(_as_part, read_nodes(content, doc, path)))


def read_nodes(content: JSON, doc: RawDoc, path: Path) -> list[Part | Item]:
    """Read a ``content``: a string, which is one text, or blocks."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [sourced(Text(content), doc, path, content)]
    if not isinstance(content, list):
        raise invalid(path, "a string or an array of objects", content)
    return [read_block(block, doc, (*path, n)) for n, block in enumerate(content)]


def _as_part(node: Part | Item) -> Part:
    """What is an item elsewhere is a block like any other here."""
    if isinstance(node, Part):
        return node
    assert node.source is not None  # it has just been read
    return sourced(opaque(node.source.value), node.source.doc, node.source.path, node.source.value)


def server_call(value: dict[str, Any], input_: JSON) -> dict[str, Any] | None:
    """What a ``ServerToolCall`` has of a block; None if it is none."""
    kind = text_of(value, "type")
    if kind not in _CALLS:
        return None
    return {"tool": text_of(value, "name") if _CALLS[kind] else "mcp", "id": text_of(value, "id") or None, "input": input_}


def server_result(value: dict[str, Any]) -> dict[str, Any] | None:
    """What a ``ServerToolResult`` has of a block; None if it is none."""
    kind = text_of(value, "type")
    if not kind.endswith(_RESULT) or kind == "tool_result":
        return None
    tool = kind.removesuffix(_RESULT)
    return {"tool": tool, "id": text_of(value, "tool_use_id") or None, "output": value.get("content")}


def _read(value: JSON, doc: RawDoc, path: Path) -> Part | Item:
    if not isinstance(value, dict):
        return opaque(value)
    match value.get("type"):
        case "text":
            return _read_text(value, path)
        case "thinking":
            return read_thinking(value, path)
        case "redacted_thinking":
            return read_redacted(value, path)
        case "image":
            return read_image(value, path)
        case "document":
            return read_document(value, path)
        case "search_result":
            return read_search_result(value, path)
        case "tool_use":
            return _read_call(value, doc, path)
        case "tool_result":
            return _read_result(value, doc, path)
        case "compaction":
            return Compaction(carrier=Carrier(VENDOR, "compaction", jsons.dumps(value).decode()), turn=_turn(path))
        case _:
            return _read_served(value)


def _read_text(value: dict[str, Any], path: Path) -> Part:
    given = value.get("citations")
    citations = [read_citation(one) for one in given] if isinstance(given, list) else []
    known = tuple(one for one in citations if one is not None)
    return Text(string(value, "text", path), citations=known, cache=read_mark(value))


def _read_call(value: dict[str, Any], doc: RawDoc, path: Path) -> Part:
    return ToolCall(
        call_id=string(value, "id", path),
        name=string(value, "name", path),
        arguments=read_input(value["input"], doc, (*path, "input")) if "input" in value else "{}",
        caller=value.get("caller"),
        cache=read_mark(value),
    )


def _read_result(value: dict[str, Any], doc: RawDoc, path: Path) -> Item:
    return ToolResult(
        call_id=string(value, "tool_use_id", path),
        parts=read_parts(value.get("content"), doc, (*path, "content")),
        is_error=opt_bool(value, "is_error", path),
        cache=read_mark(value),
        turn=_turn(path),
    )


def _read_served(value: dict[str, Any]) -> Part:
    if (call := server_call(value, value.get("input"))) is not None:
        return ServerToolCall(**call, raw=value, cache=read_mark(value))
    if (result := server_result(value)) is not None:
        return ServerToolResult(**result, raw=value, cache=read_mark(value))
    return opaque(value)


def _turn(path: Path) -> int:
    return path[1] if len(path) > 1 and isinstance(path[1], int) else 0


# ---- writing ------------------------------------------------------------------------------------


def write_blocks(nodes: Sequence[Node], losses: Losses) -> list[JSON]:
    """Blocks for nodes of another dialect; of an empty text nothing is left, for Anthropic refuses it."""
    return [block for node in nodes if node != Text("") and (block := write_block(node, losses)) is not None]


def write_block(node: Node, losses: Losses, *, own: bool = False) -> JSON:
    """A block; None where Anthropic has none for it.

    Args:
        node: a part, or an item that is a block here.
        losses: takes what Anthropic cannot say.
        own: whether it stays in the client's own body, so that a thought may stay without a signature.
    """
    block: Any = rewrite_thought(node) if own and isinstance(node, Reasoning) else _write(node, losses)
    if not isinstance(block, dict):
        return block
    mark = write_mark(getattr(node, "cache", None), losses, node)
    return {**{key: value for key, value in block.items() if key != KEY}, **mark}


def write_content(nodes: Sequence[Node], losses: Losses) -> JSON:
    """A ``content``: a string for one plain text, else blocks."""
    return plain(write_blocks(nodes, losses))


def plain(blocks: list[JSON]) -> JSON:
    """One text without anything about it as a string."""
    match blocks:
        case [{"type": "text", "text": str(text)} as only] if len(only) == 2:
            return text
        case _:
            return blocks


def _write(node: Node, losses: Losses) -> Any:
    match node:
        case Text():
            return _write_text(node, losses)
        case Refusal(text=text):
            return {"type": "text", "text": text} if text else None
        case ToolCall():
            return _write_call(node, losses)
        case ToolResult():
            return _write_result(node, losses)
        case Reasoning():
            return write_thought(node, losses)
        case OpaquePart(dialect=dialect) if dialect == NAME:
            return node.raw
        case ServerToolCall(raw=dict(raw)) if server_call(raw, None) is not None:
            return {**raw, **present({"id": node.id, "input": node.input})}
        case ServerToolResult(raw=dict(raw)) if server_result(raw) is not None:
            return {**raw, **present({"tool_use_id": node.id, "content": node.output})}
        case Compaction(carrier=Carrier(provider=provider, kind="compaction", payload=payload)) if provider == VENDOR:
            return jsons.loads(payload.encode("utf-8", "surrogatepass"))
        case _:
            return _write_media(node, losses)


def _write_media(node: Node, losses: Losses) -> JSON:
    block: JSON = None
    match node:
        case Image():
            block = write_image(node)
        case Document():
            block = write_document(node, losses)
        case SearchResult():
            block = write_search_result(node)
        case _:
            pass
    if block is None:
        losses.dropped(_feature(node), node=node)
    return block


def _write_text(part: Text, losses: Losses) -> JSON:
    cited = [entry for one in part.citations if (entry := write_citation(one)) is not None]
    if len(cited) < len(part.citations):
        losses.dropped("text.citations", node=part)
    for name in ("logprobs", "phase", "carrier"):
        if getattr(part, name):
            losses.dropped(f"text.{name}", node=part)
    return {"type": "text", "text": part.text, **({"citations": cited} if cited else {})}


def _write_call(call: ToolCall, losses: Losses) -> JSON:
    for name in ("namespace", "is_async"):
        if getattr(call, name):
            losses.dropped(f"tool_call.{name}", node=call)
    if call.carrier is not None:
        losses.dropped(f"tool_call.{call.carrier.kind}", node=call)
    out: dict[str, JSON] = {"type": "tool_use", "id": call.call_id, "name": call.name, "input": write_input(call, losses)}
    return out | ({"caller": call.caller} if is_caller(call.caller) else {})


def is_caller(value: JSON) -> bool:
    """Whether this names who called a tool in Anthropic's words."""
    return text_of(value, "type").startswith(("direct", "code_execution"))


def _write_result(item: ToolResult, losses: Losses) -> JSON:
    out: dict[str, JSON] = {"type": "tool_result", "tool_use_id": item.call_id}
    content = write_content(item.parts, losses)
    if not item.parts and item.structured is not None:  # Gemini's results are objects
        content = jsons.dumps(item.structured).decode("utf-8", "surrogatepass")
    if content:
        out["content"] = content
    if item.is_error is not None:
        out["is_error"] = item.is_error
    if item.scheduling:
        losses.dropped("tool_result.scheduling", item.scheduling, item)
    return out


def _feature(node: Node) -> str:
    if isinstance(node, OpaquePart):
        return node.type or "content part"
    return type(node).__name__.lower()
