"""What is said to a model, in no vendor's words: a request is an ordered list of items with ordered, typed parts.

The order between thinking, text and tool calls, cache marks, custom tools, opaque provider state and fields we do not know
all survive here. Every node remembers where it came from (``source``), and is *clean* until ``attrs.evolve`` makes a new one
of it: a dialect that writes a request back in its own dialect copies the bytes of clean nodes and re-emits the others.
"""

from __future__ import annotations

from llmgw.model.items import (
    Compaction,
    ConfigUpdate,
    Instruction,
    Item,
    ItemReference,
    Message,
    OpaqueItem,
    ToolResult,
    ToolSetChange,
)
from llmgw.model.nodes import JSON, Node, RawDoc, Source, is_clean, sourced
from llmgw.model.parts import (
    Audio,
    Base64,
    BlobSource,
    CacheMark,
    Carrier,
    Citation,
    Document,
    FileId,
    FileUri,
    Image,
    OpaquePart,
    Part,
    PlainText,
    Reasoning,
    Refusal,
    SearchResult,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
    Url,
    Video,
    texts,
)
from llmgw.model.profile import Profile
from llmgw.model.request import Loss, ModelInfo, Prompt, Request
from llmgw.model.settings import CachePolicy, OutputFormat, ReasoningConfig, Sampling, ServerState
from llmgw.model.tools import BuiltinTool, CustomTool, FunctionTool, McpServer, Namespace, Tool, ToolChoice, ToolRef

__all__ = [
    "JSON",
    "Audio",
    "Base64",
    "BlobSource",
    "BuiltinTool",
    "CacheMark",
    "CachePolicy",
    "Carrier",
    "Citation",
    "Compaction",
    "ConfigUpdate",
    "CustomTool",
    "Document",
    "FileId",
    "FileUri",
    "FunctionTool",
    "Image",
    "Instruction",
    "Item",
    "ItemReference",
    "Loss",
    "McpServer",
    "Message",
    "ModelInfo",
    "Namespace",
    "Node",
    "OpaqueItem",
    "OpaquePart",
    "OutputFormat",
    "Part",
    "PlainText",
    "Profile",
    "Prompt",
    "RawDoc",
    "Reasoning",
    "ReasoningConfig",
    "Refusal",
    "Request",
    "Sampling",
    "SearchResult",
    "ServerState",
    "ServerToolCall",
    "ServerToolResult",
    "Source",
    "Text",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolRef",
    "ToolResult",
    "ToolSetChange",
    "Url",
    "Video",
    "is_clean",
    "sourced",
    "texts",
]
