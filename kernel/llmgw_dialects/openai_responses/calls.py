"""Calls of tools and what the tools gave, as they stand in the input of a request."""

from __future__ import annotations

from typing import Any, Final

from llmgw import jsons
from llmgw.model import (
    JSON,
    OpaquePart,
    Part,
    RawDoc,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
    ToolResult,
    sourced,
    texts,
)
from llmgw.splice import Path
from llmgw_dialects.fields import invalid, opt_bool, opt_string, string
from llmgw_dialects.ids import minted
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses.names import BY_CALL, BY_OUTPUT, BY_TOOL, HOSTED, NAME, RESULTS, given, input_of, text_of
from llmgw_dialects.openai_responses.parts import read_part, write_part

OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output", *BY_OUTPUT})
"""Items that say what a tool of the client's gave."""
_FAILED: Final = "Error: "

# ---- calls --------------------------------------------------------------------------------------


def read_call(value: dict[str, Any], path: Path) -> Part:
    """Read an item in which the model, or OpenAI, calls a tool."""
    kind = text_of(value, "type")
    match kind:
        case "function_call":
            return _called(value, path, "function", string(value, "name", path), _arguments(value, path))
        case "custom_tool_call":
            return _called(value, path, "custom", string(value, "name", path), string(value, "input", path))
        case _ if kind in BY_CALL:
            return _called(value, path, "builtin", BY_CALL[kind].tool, _action(value))
        case _ if kind in HOSTED:
            ident = opt_string(value, "call_id", path) or opt_string(value, "id", path)
            return ServerToolCall(tool=HOSTED[kind], id=ident, input=input_of(value), raw=value)
        case _ if kind in RESULTS:
            ident = opt_string(value, "call_id", path) or opt_string(value, "id", path)
            return ServerToolResult(tool=RESULTS[kind], id=ident, raw=value)
        case _:
            return OpaquePart(dialect=NAME, type=kind, raw=value)


def write_call(call: ToolCall, losses: Losses) -> dict[str, JSON]:
    """An item for a call."""
    for key in ("signature", "thought_signature", "details"):
        if call.carrier is not None and call.carrier.kind == key:
            losses.dropped(f"tool_call.{key}", node=call)
    if call.cache is not None:
        losses.dropped("cache", node=call)
    told = given(namespace=call.namespace, caller=call.caller)
    if call.is_async:
        told["async"] = True
    if call.kind == "custom":
        return {"type": "custom_tool_call", "call_id": call.call_id, "name": call.name, "input": call.arguments, **told}
    if call.kind == "builtin" and call.name in BY_TOOL:
        return {**builtin(call.name, call.call_id, call.arguments), "status": call.status or "completed"}
    if call.kind == "builtin":
        losses.emulated("tool_call.builtin", "function_call", call)
    return {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments, **told}


def builtin(tool: str, call_id: str, arguments: str) -> dict[str, JSON]:
    """The item that calls a tool of OpenAI's making, given its arguments as JSON."""
    known = BY_TOOL[tool]
    try:
        action = jsons.loads(arguments.encode("utf-8", "surrogatepass")) if arguments else {}
    except jsons.JsonError:
        action = {"commands": [arguments]} if tool == "shell" else {"type": "", "input": arguments}
    key = "actions" if tool == "computer" and isinstance(action, list) else known.action
    return {"type": known.call, "call_id": call_id, key: action}


def action_of(value: dict[str, Any]) -> str:
    """What a tool of OpenAI's making is to do, as JSON."""
    return _action(value)


def _called(value: dict[str, Any], path: Path, kind: Any, name: str, arguments: str) -> ToolCall:
    ident = opt_string(value, "call_id", path)
    return ToolCall(
        call_id=ident or opt_string(value, "id", path) or minted("call_", path, name, arguments),
        name=name,
        arguments=arguments,
        kind=kind,
        namespace=opt_string(value, "namespace", path),
        item_id=opt_string(value, "id", path),
        caller=value.get("caller"),
        is_async=opt_bool(value, "async", path) or False,
        status=opt_string(value, "status", path),
    )


def _arguments(value: dict[str, Any], path: Path) -> str:
    given_ = value.get("arguments")
    if given_ is None or isinstance(given_, dict):  # some clients send the object itself
        return "" if given_ is None else jsons.dumps(given_).decode()
    return string(value, "arguments", path)


def _action(value: dict[str, Any]) -> str:
    known = BY_CALL[text_of(value, "type")]
    action = value.get(known.action)
    if action is None:
        action = value.get("actions")
    return jsons.dumps({} if action is None else action).decode()


# ---- results ------------------------------------------------------------------------------------


def read_output(value: dict[str, Any], doc: RawDoc, path: Path) -> ToolResult:
    """Read an item with what a tool gave."""
    kind = text_of(value, "type")
    known = BY_OUTPUT.get(kind)
    ident = opt_string(value, "call_id", path) or opt_string(value, "id", path) or ""
    return ToolResult(
        call_id=ident,
        parts=_output_parts(value, doc, path, kind),
        name=known.tool if known is not None else opt_string(value, "name", path),
        kind="builtin" if known is not None else "custom" if kind == "custom_tool_call_output" else "function",
        is_error=True if known is not None and value.get("status") == "failed" else None,
        id=opt_string(value, "id", path),
        turn=path[-1] if isinstance(path[-1], int) else 0,
    )


def _output_parts(value: dict[str, Any], doc: RawDoc, path: Path, kind: str) -> tuple[Part, ...]:
    output, at = value.get("output"), (*path, "output")
    if output is None or output == "":
        return ()
    if isinstance(output, str):
        return (sourced(Text(output), doc, at, output),)
    if kind == "computer_call_output":
        return (sourced(read_part(output, at), doc, at, output),)
    if kind == "shell_call_output":
        return (sourced(Text(jsons.dumps(output).decode()), doc, at, output),)
    if not isinstance(output, list):
        raise invalid(at, "a string or an array of objects", output)
    return tuple(sourced(read_part(entry, (*at, n)), doc, (*at, n), entry) for n, entry in enumerate(output))


def write_output(item: ToolResult, custom: bool, losses: Losses) -> dict[str, JSON]:
    """An item with what a tool gave.

    Args:
        item: the result.
        custom: whether it answers a call of a freeform tool.
        losses: takes what cannot be said.
    """
    parts: list[Part] = list(item.parts)
    if not parts and item.structured is not None:  # Gemini's results are objects
        parts.append(Text(jsons.dumps(item.structured).decode()))
    if item.scheduling:
        losses.dropped("tool_result.scheduling", item.scheduling, item)
    if item.cache is not None:
        losses.dropped("cache", node=item)
    if item.kind == "builtin" and item.name in BY_TOOL:
        return _builtin_output(item, parts, losses)
    if item.is_error:
        losses.emulated("tool_result.is_error", "text", item)
        parts = failed(parts)
    kind = "custom_tool_call_output" if custom or item.kind == "custom" else "function_call_output"
    return {"type": kind, "call_id": item.call_id, "output": write_results(parts, losses)}


def failed(parts: list[Part]) -> list[Part]:
    """What a tool gave, beginning with the word that says that it failed."""
    return parts if texts(parts).startswith(_FAILED) else [Text(_FAILED), *parts]


def write_results(parts: list[Part], losses: Losses) -> JSON:
    """``output``: a string for plain text, else a list."""
    if all(isinstance(part, Text) and part.cache is None for part in parts):
        return texts(parts)
    return [entry for part in parts if (entry := write_part(part, losses)) is not None]


def _builtin_output(item: ToolResult, parts: list[Part], losses: Losses) -> dict[str, JSON]:
    known = BY_TOOL[item.name or ""]
    if known.tool == "local_shell":
        return {"type": known.output, "id": item.call_id, "output": texts(parts)}
    out: dict[str, JSON] = {"type": known.output, "call_id": item.call_id}
    if known.tool == "apply_patch":
        return {**out, "status": "failed" if item.is_error else "completed", "output": texts(parts)}
    if known.tool == "computer":
        return {**out, "output": next((_screenshot(part, losses) for part in parts if not isinstance(part, Text)), {})}
    return {**out, "output": _shell_output(texts(parts))}


def _screenshot(part: Part, losses: Losses) -> JSON:
    entry = write_part(part, losses)
    if isinstance(entry, dict) and entry.get("type") == "input_image":
        return {**{key: value for key, value in entry.items() if key != "detail"}, "type": "computer_screenshot"}
    return entry


def _shell_output(text: str) -> JSON:
    try:
        output = jsons.loads(text.encode("utf-8", "surrogatepass")) if text else []
    except jsons.JsonError:
        output = None
    if isinstance(output, list) and all(isinstance(entry, dict) for entry in output):
        return output
    return [{"stdout": text, "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
