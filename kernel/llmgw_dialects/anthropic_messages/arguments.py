"""Arguments of tool calls: JSON text in the canonical model, an object in a message."""

from __future__ import annotations

from typing import Any

from llmgw import jsons
from llmgw.model import JSON, RawDoc, ToolCall
from llmgw.splice import Kept, Path, splice
from llmgw_dialects.losses import Losses

_WIDE = 2.0**63


def read_input(value: JSON, doc: RawDoc | None = None, path: Path = ()) -> str:
    """The text of an ``input``, compact, its keys in their order.

    Args:
        value: as read.
        doc: the body it is from; an integer too wide for the reader is copied from there to the digit.
        path: where in it.
    """
    if doc is not None and _is_wide(value):
        return splice(doc.data, Kept(path)).decode()
    return jsons.dumps(value).decode("utf-8", "surrogatepass")


def write_input(call: ToolCall, losses: Losses) -> JSON:
    """The ``input`` of a call, which must be an object."""
    if call.kind == "custom":
        return {"input": call.arguments}
    value = parsed(call.arguments)
    if isinstance(value, dict | jsons.Exact):
        return value
    losses.emulated("tool_call.arguments", "an object", call)
    return wrapped(call.arguments)


def wrapped(arguments: str) -> JSON:
    """An object for any arguments; what is no JSON, or no object, is not lost."""
    value = parsed(arguments)
    match value:
        case dict() | jsons.Exact():
            return value
        case None if arguments.strip() != "null":
            return {"_raw": arguments}
        case _:
            return {} if value is None else {"_value": value}


def parsed(arguments: str) -> Any:
    """The value; an empty object for nothing, None for what is no JSON."""
    if not arguments.strip():
        return {}
    data = arguments.encode("utf-8", "surrogatepass")
    try:
        value = jsons.loads(data)
    except jsons.JsonError:
        return None
    return jsons.Exact(data) if isinstance(value, dict) and _is_wide(value) else value


def _is_wide(value: JSON) -> bool:
    """Whether there is a number in it that may have been an integer of more than 64 bits."""
    if isinstance(value, float):
        return abs(value) >= _WIDE
    if isinstance(value, dict):
        return any(map(_is_wide, value.values()))
    return isinstance(value, list) and any(map(_is_wide, value))
