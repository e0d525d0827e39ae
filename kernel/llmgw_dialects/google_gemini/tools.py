"""Tools and the choice among them."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import (
    JSON,
    BuiltinTool,
    CustomTool,
    FunctionTool,
    McpServer,
    Namespace,
    RawDoc,
    Tool,
    ToolChoice,
    ToolRef,
    sourced,
)
from llmgw.splice import Path
from llmgw_dialects.google_gemini.names import NAME, at, key_of, snake
from llmgw_dialects.google_gemini.schemas import json_schema
from llmgw_dialects.google_gemini.typed import listed, opt_object, opt_string, opt_strings
from llmgw_dialects.losses import Losses

_KINDS: Final = {
    "googleSearch": "web_search", "googleSearchRetrieval": "web_search", "enterpriseWebSearch": "web_search",
    "codeExecution": "code_execution", "urlContext": "url_context", "googleMaps": "maps", "fileSearch": "file_search",
    "computerUse": "computer", "retrieval": "file_search",
}  # fmt: skip
_WRITTEN: Final = {
    "web_search": "googleSearch", "code_execution": "codeExecution", "url_context": "urlContext", "web_fetch": "urlContext",
    "maps": "googleMaps", "file_search": "fileSearch", "computer": "computerUse",
}  # fmt: skip
_BARE: Final = frozenset({"web_search", "code_execution", "url_context", "web_fetch", "maps"})
"""Kinds that need no settings, so that another vendor's tool of the kind may be had instead."""
_CAMEL: Final = {snake(key): key for key in (*_KINDS, "functionDeclarations", "mcpServers")}
_MODES: Final[dict[JSON, str]] = {
    "MODE_UNSPECIFIED": "AUTO", 0: "AUTO", 1: "AUTO", 2: "ANY", 3: "NONE", 4: "VALIDATED",
}  # fmt: skip

# ---- reading ------------------------------------------------------------------------------------


def read_tools(inner: dict[str, Any], doc: RawDoc, root: Path) -> tuple[Tool, ...]:
    """Read ``tools``: an entry may hold functions and several tools of Google's."""
    found: list[Tool] = []
    for path, entry in listed(inner, "tools", root):
        for key, value in entry.items():
            name = _CAMEL.get(key, key)
            if name == "functionDeclarations":
                found += [sourced(read_function(one, at), doc, at, one) for at, one in listed(entry, name, path)]
            elif name == "mcpServers":
                found += [sourced(_server(one), doc, at, one) for at, one in listed(entry, name, path)]
            elif value is not None:
                found.append(sourced(_builtin(name, value), doc, (*path, key), value))
    return tuple(found)


def read_function(value: dict[str, Any], path: Path) -> FunctionTool:
    """Read a function declaration."""
    given = opt_object(value, "parameters", path)
    schema = at(value, "parametersJsonSchema") if given is None else json_schema(given)
    response = at(value, "responseJsonSchema")
    return FunctionTool(
        name=opt_string(value, "name", path) or "",
        description=opt_string(value, "description", path),
        schema=schema,
        schema_dialect="json_schema" if given is None else "openapi_subset",
        response_schema=json_schema(value.get("response")) if response is None else response,
    )


def _builtin(name: str, value: JSON) -> BuiltinTool:
    kind = _KINDS.get(name, name)
    return BuiltinTool(kind=kind, vendor=NAME, name=name, config=value, client_executed=kind == "computer")


def _server(value: dict[str, Any]) -> McpServer:
    url = at(value.get("streamableHttpTransport") or value.get("streamable_http_transport"), "url")
    name = value.get("name")
    return McpServer(label=name if isinstance(name, str) else "", url=url if isinstance(url, str) else None, config=value)


def read_choice(inner: dict[str, Any], root: Path) -> ToolChoice | None:
    """Read ``toolConfig.functionCallingConfig``."""
    config, path = opt_object(inner, "toolConfig", root) or {}, (*root, key_of(inner, "toolConfig"))
    given = opt_object(config, "functionCallingConfig", path)
    if given is None:
        return None
    names = opt_strings(given, "allowedFunctionNames", (*path, key_of(config, "functionCallingConfig"))) or ()
    refs = tuple(map(ToolRef, names))
    mode = given.get("mode")
    match _MODES.get(mode, mode.upper()) if isinstance(mode, str) else _MODES.get(mode, "AUTO"):
        case "NONE":
            return ToolChoice("none")
        case "ANY" if len(refs) == 1:
            return ToolChoice("named", refs)
        case "ANY":
            return ToolChoice("allowed", refs, "required") if refs else ToolChoice("required")
        case "VALIDATED":
            return ToolChoice("validated", refs)
        case _:
            return ToolChoice("auto")


# ---- writing ------------------------------------------------------------------------------------


def write_tools(tools: tuple[Tool, ...], losses: Losses) -> list[JSON]:
    """``tools``: one entry for all functions, and one for each tool of Google's."""
    functions: list[JSON] = []
    others: list[JSON] = []
    for tool in tools:
        match tool:
            case FunctionTool():
                functions.append(write_function(tool, losses))
            case CustomTool():
                losses.emulated("tools.custom", "a function", tool)
                functions.append(_wrapper(tool))
            case Namespace():
                losses.emulated("tools.namespace", "flat names", tool)
                inner = write_tools(tool.tools, losses)
                functions += [one for entry in inner for one in at(entry, "functionDeclarations") or ()]
            case BuiltinTool() if (entry := write_builtin(tool, losses)) is not None:
                others.append(entry)
            case McpServer(config=dict(config)) if "streamableHttpTransport" in config:
                others.append({"mcpServers": [config]})
            case _:
                losses.dropped(f"tools.{getattr(tool, 'kind', 'mcp')}", node=tool)
    return [{"functionDeclarations": functions}, *others] if functions else others


def write_function(tool: FunctionTool, losses: Losses) -> dict[str, JSON]:
    """A function declaration."""
    for key in ("namespace", "defer_loading", "examples", "allowed_callers", "eager_stream", "cache", "strict"):
        if getattr(tool, key):
            losses.dropped(f"tools.{key}", node=tool)
    key = "parameters" if tool.schema_dialect == "openapi_subset" else "parametersJsonSchema"
    told = {"name": tool.name, "description": tool.description, key: tool.schema, "responseJsonSchema": tool.response_schema}
    return {name: value for name, value in told.items() if value is not None}


def write_builtin(tool: BuiltinTool, losses: Losses) -> dict[str, JSON] | None:
    """An entry for a tool of Google's, or for one of the same kind; None where there is none."""
    if tool.vendor == NAME:
        return {tool.name or tool.kind: tool.config}
    key = _WRITTEN.get(tool.kind)
    if key is None or tool.kind not in _BARE:
        return None
    losses.approximated(f"tools.{tool.kind}", tool.vendor, key, tool)
    return {key: {}}


def write_choice(choice: ToolChoice | None, losses: Losses) -> dict[str, JSON]:
    """``toolConfig`` for a choice."""
    if choice is None:
        return {}
    names = [ref.name for ref in choice.names if ref.kind != "builtin"]
    if len(names) < len(choice.names):
        losses.dropped("tool_choice", "a built-in tool")
    match choice.mode:
        case "none" | "auto":
            told: dict[str, JSON] = {"mode": choice.mode.upper()}
        case "validated":
            told = {"mode": "VALIDATED", **_allowed(names)}
        case "allowed" if choice.inner_mode != "required":
            told = {"mode": "VALIDATED", **_allowed(names)}
        case _:
            told = {"mode": "ANY", **_allowed(names)}
    return {"toolConfig": {"functionCallingConfig": told}}


def _allowed(names: list[str]) -> dict[str, JSON]:
    return {"allowedFunctionNames": names} if names else {}


def _wrapper(tool: CustomTool) -> dict[str, JSON]:
    schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    told = {"name": tool.name, "description": tool.description, "parametersJsonSchema": schema}
    return {name: value for name, value in told.items() if value is not None}
