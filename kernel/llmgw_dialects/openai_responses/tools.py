"""Tools and the choice among them."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, BuiltinTool, CustomTool, FunctionTool, McpServer, Namespace, Tool, ToolChoice, ToolRef
from llmgw.splice import Path
from llmgw_dialects.fields import invalid, opt_bool, opt_list, opt_object, opt_string, string
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_marks import read_mark
from llmgw_dialects.openai_responses.names import BY_TOOL, NAME, VENDOR, dict_of, given

_MODES: Final[dict[str, Any]] = {"auto": "auto", "none": "none", "required": "required"}
_UNSAID: Final = ("examples", "eager_stream")

# ---- reading ------------------------------------------------------------------------------------


def read_tool(value: JSON, path: Path) -> Tool:
    """Read an entry of ``tools``."""
    if not isinstance(value, dict):
        raise invalid(path, "an object", value)
    match value.get("type"):
        case "function" if "name" not in value and isinstance(value.get("function"), dict):  # as in Chat; some send it so
            return _function(value["function"], (*path, "function"), value)
        case "function":
            return _function(value, path, value)
        case "custom":
            syntax, definition = _grammar(value.get("format"), path)
            name, about = string(value, "name", path), opt_string(value, "description", path)
            return CustomTool(name=name, description=about, syntax=syntax, definition=definition, cache=read_mark(value))
        case "namespace":
            inner = enumerate(opt_list(value, "tools", path) or ())
            return Namespace(
                name=string(value, "name", path),
                description=opt_string(value, "description", path),
                tools=tuple(read_tool(tool, (*path, "tools", n)) for n, tool in inner),
            )
        case "mcp":
            label = opt_string(value, "server_label", path) or ""
            return McpServer(label=label, url=opt_string(value, "server_url", path), config=value)
        case str(kind):
            return BuiltinTool(kind=kind, vendor=VENDOR, config=value, client_executed=_is_clients(kind, value))
        case kind:
            raise invalid((*path, "type"), "a string", kind)


def read_choice(tree: dict[str, Any]) -> ToolChoice | None:
    """Read ``tool_choice``."""
    value = tree.get("tool_choice")
    match value:
        case None:
            return None
        case str(mode) if mode in _MODES:
            return ToolChoice(_MODES[mode])
        case {"type": "allowed_tools"}:
            path: Path = ("tool_choice",)
            names = tuple(_ref(entry, (*path, "tools", n)) for n, entry in enumerate(opt_list(value, "tools", path) or ()))
            return ToolChoice("allowed", names, "required" if value.get("mode") == "required" else "auto")
        case dict():
            return ToolChoice("named", (_ref(value, ("tool_choice",)),))
        case _:
            raise invalid(("tool_choice",), "one of 'none', 'auto' and 'required', or an object", value)


def _function(function: dict[str, Any], path: Path, entry: dict[str, Any]) -> FunctionTool:
    return FunctionTool(
        name=string(function, "name", path),
        description=opt_string(function, "description", path),
        schema=opt_object(function, "parameters", path),
        strict=opt_bool(function, "strict", path),
        response_schema=function.get("output_schema"),
        defer_loading=opt_bool(function, "defer_loading", path),
        allowed_callers=function.get("allowed_callers"),
        cache=read_mark(entry),
    )


def _grammar(value: JSON, path: Path) -> tuple[Any, str | None]:
    match value:
        case None | {"type": "text"}:
            return "text", None
        case {"type": "grammar", "syntax": ("lark" | "regex") as syntax, "definition": str(definition)}:
            return syntax, definition
        case _:
            raise invalid((*path, "format"), "a text or grammar format", value)


def _is_clients(kind: str, value: dict[str, Any]) -> bool:
    if kind == "shell":
        return dict_of(value, "environment").get("type") in (None, "local")
    return kind in BY_TOOL or kind.startswith("computer")


def _ref(value: JSON, path: Path) -> ToolRef:
    match value:
        case {"type": "custom", "name": str(name)}:
            return ToolRef(name, "custom", _namespace(value))
        case {"type": "mcp", "server_label": str(label)}:
            return ToolRef("mcp", "builtin", label)
        case {"type": "function", "function": {"name": str(name)}}:
            return ToolRef(name)
        case {"type": "function" | None, "name": str(name)} | {"name": str(name)}:
            return ToolRef(name, "function", _namespace(value))
        case {"type": str(kind)} if kind not in ("function", "custom"):
            return ToolRef(kind, "builtin")
        case _:
            raise invalid((*path, "name"), "a string")


def _namespace(value: dict[str, Any]) -> str | None:
    namespace = value.get("namespace")
    return namespace if isinstance(namespace, str) else None


# ---- writing ------------------------------------------------------------------------------------


def write_tool(tool: Tool, losses: Losses) -> dict[str, JSON] | None:
    """An entry of ``tools``; None for a tool that Responses does not know."""
    if tool.cache is not None:
        losses.dropped("cache", node=tool)
    match tool:
        case FunctionTool():
            return _write_function(tool, losses)
        case CustomTool():
            grammar = {"type": "grammar", "syntax": tool.syntax, "definition": tool.definition}
            told = given(description=tool.description, format=None if tool.syntax == "text" else grammar)
            return {"type": "custom", "name": tool.name, **told}
        case Namespace():
            inner = [entry for one in tool.tools if (entry := write_tool(one, losses)) is not None]
            return {"type": "namespace", "name": tool.name, "description": tool.description or "", "tools": inner}
        case BuiltinTool():
            return _write_builtin(tool, losses)
        case McpServer(config={"type": "mcp"}):
            return tool.config  # type: ignore[no-any-return]  # an object, as matched
        case _:
            losses.dropped("tools.mcp" if isinstance(tool, McpServer) else "tools", node=tool)
            return None


def rewrite_tool(tool: Tool, original: JSON, losses: Losses) -> dict[str, JSON] | None:
    """An entry of ``tools`` of a client of this dialect, which adds nothing that the client did not write.

    Args:
        tool: as it is.
        original: the entry that it was read from.
        losses: takes what cannot be said.
    """
    if not isinstance(tool, FunctionTool) or not isinstance(original, dict):
        return write_tool(tool, losses)
    function = given(name=tool.name, description=tool.description, parameters=tool.schema, strict=tool.strict)
    if "name" not in original and isinstance(original.get("function"), dict):
        return {"type": "function", "function": function}
    return {"type": "function", **function, **_rest(tool)}


def write_choice(choice: ToolChoice | None, losses: Losses) -> dict[str, JSON]:
    """The field for a choice."""
    match choice:
        case None:
            return {}
        case ToolChoice(mode="named", names=(ref, *_)):
            return {"tool_choice": _write_ref(ref)}
        case ToolChoice(mode="allowed"):
            tools = [_write_ref(ref) for ref in choice.names]
            return {"tool_choice": {"type": "allowed_tools", "mode": choice.inner_mode or "auto", "tools": tools}}
        case ToolChoice(mode="validated"):  # the model may answer with text or calls; that the calls fit is not checked
            losses.approximated("tool_choice", "validated", "auto")
            return {"tool_choice": "auto"}
        case _:
            return {"tool_choice": "required" if choice.mode == "named" else choice.mode}


def _write_function(tool: FunctionTool, losses: Losses) -> dict[str, JSON]:
    for key in _UNSAID:
        if getattr(tool, key):
            losses.dropped(f"tools.{key}", node=tool)
    if tool.namespace:
        losses.dropped("tools.namespace", tool.namespace, tool)
    if tool.schema_dialect != "json_schema":
        losses.approximated("tools.schema", tool.schema_dialect, "json_schema", tool)
    told = given(description=tool.description)
    # absent is understood as "make it strict", which turns optional properties into required ones
    strict = bool(tool.strict)
    return {"type": "function", "name": tool.name, **told, "parameters": _schema(tool.schema), "strict": strict, **_rest(tool)}


def _rest(tool: FunctionTool) -> dict[str, JSON]:
    return given(output_schema=tool.response_schema, defer_loading=tool.defer_loading, allowed_callers=tool.allowed_callers)


def _schema(schema: JSON) -> dict[str, JSON]:
    """OpenAI takes only the schema of an object, and one that says so."""
    if not isinstance(schema, dict):
        return {"type": "object", "properties": {}}
    return {**schema, "type": schema.get("type") or "object", "properties": schema.get("properties") or {}}


def _write_builtin(tool: BuiltinTool, losses: Losses) -> dict[str, JSON] | None:
    config = tool.config if isinstance(tool.config, dict) else {}
    if tool.vendor in (VENDOR, NAME) and "type" in config:
        return config
    if tool.kind.startswith("web_search"):
        return _web_search(tool, config, losses)
    if tool.vendor in (VENDOR, NAME):
        return {"type": tool.kind, **config}
    if tool.kind == "code_execution":
        losses.approximated("tools.code_execution", tool.vendor, "code_interpreter", tool)
        return {"type": "code_interpreter", "container": {"type": "auto"}}
    losses.dropped(f"tools.{tool.kind}", node=tool)
    return None


def _web_search(tool: BuiltinTool, config: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    """From Chat's ``web_search_options``, or another vendor's tool."""
    place = config.get("user_location")
    if isinstance(place, dict):  # Chat has one level more
        place = {"type": "approximate", **{key: value for key, value in place.items() if key != "approximate"}}
        place |= dict_of(config["user_location"], "approximate")
    domains = config.get("allowed_domains")
    for key in ("blocked_domains", "max_uses"):
        if config.get(key):
            losses.dropped(f"tools.web_search.{key}", node=tool)
    filters = {"allowed_domains": domains} if domains else None
    size = config.get("search_context_size")
    return {"type": "web_search", **given(search_context_size=size, user_location=place, filters=filters)}


def _write_ref(ref: ToolRef) -> dict[str, JSON]:
    if ref.kind == "builtin":
        return {"type": ref.name, **given(server_label=ref.namespace)}
    return {"type": ref.kind, "name": ref.name, **given(namespace=ref.namespace)}
