"""The pieces of what is said: texts, pictures, thoughts, calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import field, frozen

from llmgw.model.nodes import JSON, Node


@frozen
class Base64:
    """Bytes in the request itself."""

    media_type: str
    data: str = field(repr=False)


@frozen
class Url:
    """Bytes that the provider fetches; the gateway never does."""

    url: str


@frozen
class FileId:
    """A file uploaded to one provider, which only that one knows."""

    id: str
    provider: str | None = None


@frozen
class FileUri:
    """A file in a provider's own storage."""

    uri: str
    media_type: str | None = None


@frozen
class PlainText:
    """A document given as text."""

    text: str


BlobSource = Base64 | Url | FileId | FileUri


@frozen
class CacheMark:
    """A prompt-cache breakpoint after the node it sits on.

    Args:
        ttl: seconds; None is the provider's default.
        raw: as the client wrote it.
    """

    ttl: float | None = None
    raw: JSON = None


@frozen
class Carrier:
    """Opaque state of a provider: never interpreted, never re-encoded, always with its provenance.

    Args:
        provider: who can read it, or ``unknown``.
        family: the model family it is bound to.
        kind: what it is called where it came from.
        payload: the exact text as received.
        position: whether it belongs on its part, before or after it.
        scope: a fingerprint of the account it is bound to, when known.
    """

    provider: str
    kind: Literal["signature", "encrypted_content", "thought_signature", "redacted", "compaction", "details"]
    payload: str = field(repr=False)
    family: str | None = None
    position: Literal["on", "before", "after"] = "on"
    scope: str | None = None


@frozen
class Citation:
    """What a text leans on; ``unit`` says what ``start`` and ``end`` count."""

    kind: Literal["url", "char", "page", "block", "search_result", "file", "container_file", "grounding"]
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    unit: Literal["codepoint", "utf16", "byte"] = "codepoint"
    doc_index: int | None = None
    file_id: str | None = None
    raw: JSON = None


@frozen(kw_only=True)
class Part(Node):
    """A piece of an item; ``extras`` is what a dialect says of it that has no name here, by the dialect's name."""

    cache: CacheMark | None = None
    extras: Mapping[str, JSON] = field(factory=dict, kw_only=True)


@frozen
class Text(Part):
    """Words. ``group`` numbers the message item a text belonged to, where one run of the assistant had several."""

    text: str
    citations: tuple[Citation, ...] = field(default=(), kw_only=True)
    logprobs: JSON = field(default=None, kw_only=True)
    group: int | None = field(default=None, kw_only=True)
    id: str | None = field(default=None, kw_only=True)
    phase: Literal["commentary", "final_answer"] | None = field(default=None, kw_only=True)
    carrier: Carrier | None = field(default=None, kw_only=True)


@frozen
class Image(Part):
    """A picture; ``detail`` is OpenAI's word for its resolution, ``resolution`` Gemini's."""

    blob: BlobSource
    detail: str | None = field(default=None, kw_only=True)
    resolution: str | None = field(default=None, kw_only=True)


@frozen
class Document(Part):
    """A file to read, a PDF above all."""

    blob: BlobSource | PlainText | tuple[Part, ...]
    media_type: str | None = field(default=None, kw_only=True)
    filename: str | None = field(default=None, kw_only=True)
    context: str | None = field(default=None, kw_only=True)
    citations_enabled: bool | None = field(default=None, kw_only=True)


@frozen
class Audio(Part):
    """Sound: given as a blob, or an earlier answer named by its id."""

    blob: BlobSource | None = None
    id: str | None = field(default=None, kw_only=True)
    transcript: str | None = field(default=None, kw_only=True)
    expires_at: int | None = field(default=None, kw_only=True)


@frozen
class Video(Part):
    """Moving pictures; times in seconds."""

    blob: BlobSource
    start: float | None = field(default=None, kw_only=True)
    end: float | None = field(default=None, kw_only=True)
    fps: float | None = field(default=None, kw_only=True)


@frozen(kw_only=True)
class Reasoning(Part):
    """What a model thought: as summary texts, as raw texts, or only as an opaque carrier."""

    summary: tuple[str, ...] = ()
    raw_text: tuple[str, ...] = ()
    carrier: Carrier | None = None
    redacted: bool = False
    id: str | None = None
    status: str | None = None


@frozen(kw_only=True)
class ToolCall(Part):
    """The model wants a tool run. ``arguments`` is the text exactly as received: the truth, valid JSON or not."""

    call_id: str
    name: str
    arguments: str
    kind: Literal["function", "custom", "builtin"] = "function"
    namespace: str | None = None
    native_id: str | None = None
    item_id: str | None = None
    carrier: Carrier | None = None
    caller: JSON = None
    is_async: bool = False
    status: str | None = None


@frozen(kw_only=True)
class ServerToolCall(Part):
    """A tool that the provider runs itself."""

    tool: str
    id: str | None = None
    input: JSON = None
    raw: JSON = None


@frozen(kw_only=True)
class ServerToolResult(Part):
    """What such a tool gave."""

    tool: str
    id: str | None = None
    output: JSON = None
    raw: JSON = None


@frozen
class Refusal(Part):
    """The model's refusal, in its words."""

    text: str
    category: str | None = field(default=None, kw_only=True)
    explanation: str | None = field(default=None, kw_only=True)


@frozen(kw_only=True)
class SearchResult(Part):
    """A search hit given as context."""

    url: str
    title: str
    parts: tuple[Text, ...] = ()
    citations_enabled: bool | None = None


@frozen(kw_only=True)
class OpaquePart(Part):
    """A part of a type we do not know; carried, never looked into."""

    dialect: str
    type: str
    raw: JSON


def texts(parts: Sequence[Part]) -> str:
    """The words of these parts, one after the other."""
    return "".join(part.text for part in parts if isinstance(part, Text))
