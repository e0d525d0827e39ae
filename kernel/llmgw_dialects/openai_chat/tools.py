"""Tools and the choice among them."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, BuiltinTool, CustomTool, FunctionTool, McpServer, Namespace, Tool, ToolChoice, ToolRef
from llmgw.splice import Path
from llmgw_dialects.fields import invalid, opt_bool, opt_list, opt_object, opt_string, string
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_chat.names import NAME
from llmgw_dialects.openai_marks import read_mark, write_mark

_MODES: Final[dict[str, Any]] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}  # any: Mistral


def read_tool(value: JSON, path: Path) -> Tool:
    """Read an entry of ``tools``."""
    if not isinstance(value, dict):
        raise invalid(path, "an object", value)
    match value.get("type"):
        case "function" | None if isinstance(value.get("function"), dict):
            return _function(value["function"], (*path, "function"), value)
        case "function":
            raise invalid((*path, "function"), "an object", value.get("function"))
        case "custom" if isinstance(value.get("custom"), dict):
            return _custom(value["custom"], (*path, "custom"), value)
        case str(kind):  # a tool of some vendor's making
            return BuiltinTool(kind=kind, vendor=NAME, name=_name(value), config=value, cache=read_mark(value))
        case kind:
            raise invalid((*path, "type"), "a string", kind)


def read_function(value: JSON, path: Path) -> Tool:
    """Read an entry of the legacy ``functions``."""
    if not isinstance(value, dict):
        raise invalid(path, "an object", value)
    return _function(value, path, value)


def read_web_search(value: JSON) -> Tool:
    """Read ``web_search_options``, which is a tool in all but its place."""
    return BuiltinTool(kind="web_search", vendor="openai", name="web_search", config=value)


def write_web_search(tool: BuiltinTool, losses: Losses) -> dict[str, JSON]:
    """``web_search_options``; what other dialects say about where to search is lost, but for the size and the place."""
    config = tool.config if isinstance(tool.config, dict) else {}
    if tool.source is not None and tool.source.doc.dialect == NAME:
        return config
    out: dict[str, JSON] = {}
    if isinstance(size := config.get("search_context_size"), str):
        out["search_context_size"] = size
    if isinstance(place := config.get("user_location"), dict):
        told = {key: value for key, value in place.items() if key != "type" and value is not None}
        out["user_location"] = {"type": "approximate", "approximate": told}
    for key in config.keys() - {"search_context_size", "user_location", "type", "name"}:
        losses.dropped(f"tools.web_search.{key}", node=tool)
    return out


def write_tool(tool: Tool, losses: Losses) -> list[dict[str, JSON]]:
    """Entries of ``tools``: one, none for a tool that Chat does not know, several for a namespace."""
    match tool:
        case FunctionTool():
            _lost_fields(tool, losses)
            function = {"name": tool.name, "description": tool.description, "parameters": tool.schema, "strict": tool.strict}
            return [{"type": "function", "function": _present(function), **write_mark(tool.cache, losses, tool)}]
        case CustomTool():
            return [{"type": "custom", "custom": _write_custom(tool), **write_mark(tool.cache, losses, tool)}]
        case BuiltinTool() if tool.vendor == NAME:
            return [tool.config]
        case Namespace():
            losses.emulated("tools.namespace", "flat names", tool)
            return [entry for inner in tool.tools for entry in write_tool(inner, losses)]
        case BuiltinTool() | McpServer():
            losses.dropped(f"tools.{tool.kind if isinstance(tool, BuiltinTool) else 'mcp'}", node=tool)
            return []
        case _:
            losses.dropped("tools", type(tool).__name__, tool)
            return []


def write_function(tool: FunctionTool) -> dict[str, JSON]:
    """An entry of the legacy ``functions``."""
    return _present({"name": tool.name, "description": tool.description, "parameters": tool.schema, "strict": tool.strict})


def read_choice(tree: dict[str, Any]) -> ToolChoice | None:
    """Read ``tool_choice``, or the legacy ``function_call``."""
    value = tree.get("tool_choice")
    match value:
        case None:
            return _legacy_choice(tree.get("function_call"))
        case str(mode) if mode in _MODES:
            return ToolChoice(_MODES[mode])
        case {"type": "allowed_tools", "allowed_tools": dict(allowed)}:
            path = ("tool_choice", "allowed_tools")
            names = tuple(_ref(entry, (*path, "tools", n)) for n, entry in enumerate(opt_list(allowed, "tools", path) or ()))
            return ToolChoice("allowed", names, "required" if allowed.get("mode") == "required" else "auto")
        case dict():
            return ToolChoice("named", (_ref(value, ("tool_choice",)),))
        case _:
            raise invalid(("tool_choice",), "one of 'none', 'auto' and 'required', or an object", value)


def write_choice(choice: ToolChoice | None, legacy: bool, losses: Losses) -> dict[str, JSON]:
    """The field for a choice.

    Args:
        choice: what to write.
        legacy: whether the body has ``functions``.
        losses: takes what Chat cannot say.
    """
    if choice is None:
        return {}
    if legacy:
        return {"function_call": {"name": choice.names[0].name} if choice.mode == "named" else choice.mode}
    match choice.mode:
        case "named":
            return {"tool_choice": _write_ref(choice.names[0])}
        case "allowed":
            tools = [_write_ref(ref) for ref in choice.names]
            return {
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": choice.inner_mode or "auto", "tools": tools}}
            }
        case "validated":  # the model may answer with text or calls; that the calls fit is not checked
            losses.approximated("tool_choice", "validated", "auto")
            return {"tool_choice": "auto"}
        case mode:
            return {"tool_choice": mode}


def _function(function: dict[str, Any], path: Path, entry: dict[str, Any]) -> Tool:
    return FunctionTool(
        name=string(function, "name", path),
        description=opt_string(function, "description", path),
        schema=opt_object(function, "parameters", path),
        strict=opt_bool(function, "strict", path),
        cache=read_mark(entry),
    )


def _custom(custom: dict[str, Any], path: Path, entry: dict[str, Any]) -> Tool:
    syntax, definition = _grammar(custom.get("format"), path)
    return CustomTool(
        name=string(custom, "name", path),
        description=opt_string(custom, "description", path),
        syntax=syntax,
        definition=definition,
        cache=read_mark(entry),
    )


def _grammar(value: JSON, path: Path) -> tuple[Any, str | None]:
    match value:
        case None | {"type": "text"}:
            return "text", None
        case {"type": "grammar", "grammar": {"syntax": ("lark" | "regex") as syntax, "definition": str(definition)}}:
            return syntax, definition
        case _:
            raise invalid((*path, "format"), "a text or grammar format", value)


def _write_custom(tool: CustomTool) -> dict[str, JSON]:
    grammar = {"type": "grammar", "grammar": {"syntax": tool.syntax, "definition": tool.definition}}
    return _present({"name": tool.name, "description": tool.description, "format": None if tool.syntax == "text" else grammar})


def _legacy_choice(value: JSON) -> ToolChoice | None:
    match value:
        case None:
            return None
        case "auto" | "none":
            return ToolChoice(value)
        case {"name": str(name)}:
            return ToolChoice("named", (ToolRef(name),))
        case _:
            raise invalid(("function_call",), "'none', 'auto' or an object with a name", value)


def _ref(value: JSON, path: Path) -> ToolRef:
    match value:
        case {"function": {"name": str(name)}}:
            return ToolRef(name)
        case {"custom": {"name": str(name)}}:
            return ToolRef(name, "custom")
        case {"name": str(name)}:  # the Responses and Messages APIs' way, which some servers take
            return ToolRef(name)
        case {"type": str(kind)} if kind not in ("function", "custom"):
            return ToolRef(kind, "builtin")
        case _:
            raise invalid((*path, "function", "name"), "a string")


def _write_ref(ref: ToolRef) -> dict[str, JSON]:
    if ref.kind == "builtin":
        return {"type": ref.name}
    return {"type": ref.kind, ref.kind: {"name": ref.name}}


def _lost_fields(tool: FunctionTool, losses: Losses) -> None:
    for key in ("namespace", "response_schema", "defer_loading", "examples", "allowed_callers", "eager_stream"):
        if getattr(tool, key):
            losses.dropped(f"tools.{key}", node=tool)
    if tool.schema_dialect != "json_schema":
        losses.approximated("tools.schema", tool.schema_dialect, "json_schema", tool)


def _name(value: dict[str, Any]) -> str | None:
    name = value.get("name")
    return name if isinstance(name, str) else None


def _present(node: dict[str, JSON]) -> dict[str, JSON]:
    return {key: value for key, value in node.items() if value is not None}
