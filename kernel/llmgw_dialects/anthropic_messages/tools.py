"""Tools, servers of tools, and the choice among them."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, BuiltinTool, CustomTool, FunctionTool, McpServer, Namespace, Tool, ToolChoice, ToolRef
from llmgw.splice import Path
from llmgw_dialects.anthropic_messages.marks import KEY, read_mark, write_mark
from llmgw_dialects.anthropic_messages.names import VENDOR, object_of, present, text_of
from llmgw_dialects.fields import invalid, opt_bool, opt_object, opt_string, string
from llmgw_dialects.losses import Losses

# what a type begins with, the kind of tool it is, and whether the client runs it
_BUILTIN: Final[tuple[tuple[str, str, bool], ...]] = (
    ("bash_", "bash", True),
    ("text_editor_", "text_editor", True),
    ("memory_", "memory", True),
    ("computer_", "computer", True),
    ("browser_", "browser", True),
    ("web_search_", "web_search", False),
    ("web_fetch_", "web_fetch", False),
    ("code_execution_", "code_execution", False),
    ("tool_search_tool_", "tool_search", False),
    ("advisor_", "advisor", False),
)
_SERVED: Final = {
    "web_search": "web_search_20250305",
    "web_fetch": "web_fetch_20250910",
    "code_execution": "code_execution_20250825",
}
"""The version in which a tool of another vendor's is asked for: the oldest, which all models that run it know."""

_FIELDS: Final = {
    "strict": "strict",
    "defer_loading": "defer_loading",
    "examples": "input_examples",
    "allowed_callers": "allowed_callers",
    "eager_stream": "eager_input_streaming",
}
_MODES: Final[dict[str, Any]] = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}
_WRITTEN: Final = {"auto": "auto", "required": "any", "none": "none", "validated": "auto"}


def read_tool(value: JSON, path: Path) -> Tool:
    """Read an entry of ``tools``."""
    if not isinstance(value, dict):
        raise invalid(path, "an object", value)
    kind = opt_string(value, "type", path)
    if kind is None or kind == "custom":
        return FunctionTool(
            name=string(value, "name", path),
            description=opt_string(value, "description", path),
            schema=opt_object(value, "input_schema", path),
            strict=opt_bool(value, "strict", path),
            defer_loading=opt_bool(value, "defer_loading", path),
            examples=value.get("input_examples"),
            allowed_callers=value.get("allowed_callers"),
            eager_stream=opt_bool(value, "eager_input_streaming", path),
            cache=read_mark(value),
        )
    known = next(((name, client) for prefix, name, client in _BUILTIN if kind.startswith(prefix)), (kind, False))
    name = text_of(value, "name") or text_of(value, "mcp_server_name") or None
    return BuiltinTool(kind=known[0], vendor=VENDOR, name=name, config=value, client_executed=known[1], cache=read_mark(value))


def read_server(value: JSON, path: Path) -> Tool:
    """Read an entry of ``mcp_servers``."""
    if not isinstance(value, dict):
        raise invalid(path, "an object", value)
    return McpServer(label=string(value, "name", path), url=opt_string(value, "url", path), config=value)


def write_tool(tool: Tool, losses: Losses) -> list[dict[str, JSON]]:
    """Entries of ``tools``: one, none for a tool that Anthropic does not know, several for a namespace."""
    match tool:
        case FunctionTool():
            entries = [_write_function(tool, losses)]
        case CustomTool():
            losses.emulated("tools.custom", "a function", tool)
            entries = [_write_custom(tool)]
        case BuiltinTool(vendor="anthropic", config=dict(config)):
            entries = [{key: value for key, value in config.items() if key != KEY}]
        case BuiltinTool() if tool.kind in _SERVED:
            losses.emulated(f"tools.{tool.kind}", _SERVED[tool.kind], tool)
            entries = [_write_served(tool)]
        case McpServer() if _is_server(tool.config):  # its tools are named in an entry of their own
            return []
        case McpServer():
            entries = [{"type": "mcp_toolset", "mcp_server_name": tool.label}]
        case Namespace():
            losses.emulated("tools.namespace", "flat names", tool)
            return [entry for inner in tool.tools for entry in write_tool(inner, losses)]
        case _:
            losses.dropped(f"tools.{tool.kind}" if isinstance(tool, BuiltinTool) else "tools", node=tool)
            return []
    return [{**entry, **write_mark(tool.cache, losses, tool)} for entry in entries]


def write_server(tool: McpServer, losses: Losses) -> JSON:
    """An entry of ``mcp_servers``; None for one whose address we do not know."""
    if _is_server(tool.config):
        return {**tool.config, **present({"name": tool.label, "url": tool.url})}
    if tool.url is None:
        losses.dropped("tools.mcp", node=tool)
        return None
    if tool.config:
        losses.approximated("tools.mcp", "its configuration", "its address", tool)
    return {"type": "url", "name": tool.label, "url": tool.url}


def read_choice(tree: dict[str, Any]) -> dict[str, Any]:
    """Read ``tool_choice``, as keyword arguments of a ``Prompt``."""
    value = opt_object(tree, "tool_choice", ())
    if value is None:
        return {}
    path = ("tool_choice",)
    off = opt_bool(value, "disable_parallel_tool_use", path)
    mode = _MODES.get(string(value, "type", path))
    refs = (ToolRef(string(value, "name", path)),) if mode == "named" else ()
    choice = None if mode is None else ToolChoice(mode, refs)  # of a kind we do not know: it stays in the body
    return {"tool_choice": choice, "parallel_tools": None if off is None else not off}


def write_choice(choice: ToolChoice | None, parallel: bool | None, losses: Losses, like: JSON = None) -> dict[str, JSON]:
    """The field for a choice.

    Args:
        choice: what to write.
        parallel: whether several tools may be called at once, as they may where nothing is said.
        losses: takes what Anthropic cannot say.
        like: the field of a body whose spelling to follow.
    """
    said = "disable_parallel_tool_use" in object_of({"it": like}, "it")
    off = {"disable_parallel_tool_use": parallel is False} if parallel is False or (said and parallel is not None) else {}
    if choice is None:
        return {"tool_choice": {"type": "auto", **off}} if off else {}
    match choice.mode:
        case "named" if choice.names:
            return {"tool_choice": {"type": "tool", "name": choice.names[0].name, **off}}
        case "allowed":
            mode = "any" if choice.inner_mode == "required" else "auto"
            losses.approximated("tool_choice", "allowed", mode)
            return {"tool_choice": {"type": mode, **off}}
        case "none":
            return {"tool_choice": {"type": "none"}}
        case mode:
            if mode == "validated":
                losses.approximated("tool_choice", "validated", "auto")
            return {"tool_choice": {"type": _WRITTEN.get(mode, "auto"), **off}}


def _is_server(config: JSON) -> bool:
    """Whether this is an entry of ``mcp_servers``."""
    return isinstance(config, dict) and config.get("type") == "url" and "name" in config


def _write_function(tool: FunctionTool, losses: Losses) -> dict[str, JSON]:
    schema = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
    out = present({"name": tool.name, "description": tool.description, "input_schema": schema})
    out |= present({key: getattr(tool, name) for name, key in _FIELDS.items()})
    for key in ("namespace", "response_schema"):
        if getattr(tool, key):
            losses.dropped(f"tools.{key}", node=tool)
    if tool.schema_dialect != "json_schema":
        losses.approximated("tools.schema", tool.schema_dialect, "json_schema", tool)
    return out


def _write_custom(tool: CustomTool) -> dict[str, JSON]:
    """A function with one text; its grammar, if it has one, is told in words."""
    grammar = f"The input must follow this {tool.syntax} grammar:\n{tool.definition}" if tool.definition else None
    about = "\n\n".join(filter(None, (tool.description, grammar))) or None
    schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    return present({"name": tool.name, "description": about, "input_schema": schema})


def _write_served(tool: BuiltinTool) -> dict[str, JSON]:
    config = tool.config if isinstance(tool.config, dict) else {}
    out: dict[str, JSON] = {"type": _SERVED[tool.kind], "name": tool.kind}
    if tool.kind == "web_search":
        domains = object_of(config, "filters").get("allowed_domains")
        out |= present({"allowed_domains": domains or None, "user_location": config.get("user_location")})
    return out
