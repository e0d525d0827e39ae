"""What a model may call, and what it must."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from llmgw.model.nodes import JSON, Node
from llmgw.model.parts import CacheMark


@frozen(kw_only=True)
class Tool(Node):
    """Something the model may call."""

    cache: CacheMark | None = None


@frozen(kw_only=True)
class FunctionTool(Tool):
    """A tool with arguments; ``schema`` is JSON Schema as given."""

    name: str
    description: str | None = None
    schema: JSON = None
    strict: bool | None = None
    namespace: str | None = None
    schema_dialect: Literal["json_schema", "openapi_subset"] = "json_schema"
    response_schema: JSON = None
    defer_loading: bool | None = None
    examples: JSON = None
    allowed_callers: JSON = None
    eager_stream: bool | None = None


@frozen(kw_only=True)
class CustomTool(Tool):
    """A tool that takes free text, maybe of a grammar."""

    name: str
    description: str | None = None
    syntax: Literal["text", "lark", "regex"] = "text"
    definition: str | None = None
    namespace: str | None = None


@frozen(kw_only=True)
class BuiltinTool(Tool):
    """A tool of the vendor's making; ``client_executed`` when the client must run it all the same."""

    kind: str
    vendor: str
    name: str | None = None
    config: JSON = None
    client_executed: bool = False


@frozen(kw_only=True)
class McpServer(Tool):
    """A server of tools that the provider calls."""

    label: str
    url: str | None = None
    config: JSON = None


@frozen(kw_only=True)
class Namespace(Tool):
    """Tools under one name."""

    name: str
    description: str | None = None
    tools: tuple[Tool, ...] = ()


@frozen
class ToolRef:
    """A tool named in a choice."""

    name: str
    kind: Literal["function", "custom", "builtin"] = "function"
    namespace: str | None = None


@frozen
class ToolChoice:
    """Whether and which tools must be called; ``inner_mode`` is that of ``allowed``."""

    mode: Literal["auto", "none", "required", "named", "allowed", "validated"]
    names: tuple[ToolRef, ...] = ()
    inner_mode: Literal["auto", "required"] | None = None
