"""Parts of a request's contents."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import (
    JSON,
    OpaquePart,
    Part,
    Reasoning,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
    sourced,
)
from llmgw.splice import Path
from llmgw_dialects.google_gemini.calls import read_call, write_call
from llmgw_dialects.google_gemini.docs import GeminiDoc
from llmgw_dialects.google_gemini.media import read_media, write_media
from llmgw_dialects.google_gemini.names import NAME, at, has, object_of, text_of
from llmgw_dialects.google_gemini.signatures import is_sealed, read_signature, write_signature
from llmgw_dialects.google_gemini.typed import opt_string
from llmgw_dialects.losses import Losses

_TOOLS: Final = {
    "GOOGLE_SEARCH_WEB": "web_search", "GOOGLE_SEARCH_IMAGE": "web_search", "URL_CONTEXT": "url_context",
    "GOOGLE_MAPS": "maps", "FILE_SEARCH": "file_search",
}  # fmt: skip
_SERVER: Final = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
_ASIDE: Final = frozenset(
    {"thought", "thoughtSignature", "thought_signature", "partMetadata", "part_metadata", "mediaResolution", "media_resolution"}
)
"""Keys that sit beside what a part is."""

# ---- reading ------------------------------------------------------------------------------------


def read_parts(value: dict[str, Any], doc: GeminiDoc, path: Path, shown: str) -> list[Part]:
    """Read a part; two where its signature is another provider's thought, which then stands before it.

    Args:
        value: the part.
        doc: the body it is from.
        path: where in it.
        shown: the thoughts that the client sent back before it.
    """
    carrier, thought = read_signature(value, shown)
    part = sourced(_read(value, doc, path, carrier), doc, path, value)
    if is_sealed(value):  # what it says to Google is not what stands there
        object.__setattr__(part, "clean", False)
    return [part] if thought is None else [thought, part]


def _read(value: dict[str, Any], doc: GeminiDoc, path: Path, carrier: Any) -> Part:
    if has(value, "functionCall"):
        return read_call(value, doc, path, carrier)
    media = read_media(value, path)
    if media is not None:
        return media
    server = read_server(value)
    if server is not None:
        return server
    if has(value, "text") or value.keys() <= _ASIDE:
        text = opt_string(value, "text", path) or ""
        if value.get("thought") is True:
            return Reasoning(summary=(text,), carrier=carrier)
        return Text(text, carrier=carrier)
    return OpaquePart(dialect=NAME, type=type_of(value), raw=value)


def read_server(value: dict[str, Any]) -> ServerToolCall | ServerToolResult | None:
    """Read a tool that Google runs, or what it gave; None if a part is neither."""
    key = next((key for key in _SERVER if has(value, key)), None)
    if key is None:
        return None
    given = object_of(value, key)
    ident = text_of(given, "id") or None
    match key:
        case "executableCode":
            return ServerToolCall(tool="code_execution", id=ident, input=given, raw=value)
        case "codeExecutionResult":
            return ServerToolResult(tool="code_execution", id=ident, output=given, raw=value)
        case "toolCall":
            return ServerToolCall(tool=_tool(given), id=ident, input=given.get("args"), raw=value)
        case _:
            return ServerToolResult(tool=_tool(given), id=ident, output=given.get("response"), raw=value)


def type_of(value: dict[str, Any]) -> str:
    """What a part that we do not know is called."""
    return next((key for key in value if key not in _ASIDE), "")


def _tool(given: dict[str, Any]) -> str:
    kind = at(given, "toolType")
    return _TOOLS.get(kind, kind.lower()) if isinstance(kind, str) else "unknown"


# ---- writing ------------------------------------------------------------------------------------


def write_part(part: Part, losses: Losses) -> dict[str, JSON] | None:
    """A part, to the letter; None where Google has none for it."""
    if part.cache is not None:
        losses.dropped("cache", node=part)
    match part:
        case Text():
            for name in ("citations", "logprobs", "phase"):
                if getattr(part, name):
                    losses.dropped(f"text.{name}", node=part)
            return {"text": part.text, **write_signature(part.carrier, losses, part)}
        case Reasoning():
            thought = {"text": "".join(part.summary or part.raw_text), "thought": True}
            return {**thought, **write_signature(part.carrier, losses, part)}
        case ToolCall():
            return write_call(part, losses)
        case Refusal():
            return {"text": part.text}
        case ServerToolCall(raw=dict(raw)) | ServerToolResult(raw=dict(raw)) if is_server(raw):
            return raw
        case OpaquePart(dialect=dialect, raw=dict(raw)) if dialect == NAME:
            return raw
        case _:
            out = write_media(part, losses)
            if out is None:
                losses.dropped(_feature(part), node=part)
            return out


def is_server(raw: dict[str, Any]) -> bool:
    """Whether a part is of a tool that Google runs."""
    return any(has(raw, key) for key in _SERVER)


def _feature(part: Part) -> str:
    match part:
        case OpaquePart():
            return part.type or "part"
        case ServerToolCall() | ServerToolResult():
            return f"server_tool.{part.tool}"
        case _:
            return type(part).__name__.lower()
