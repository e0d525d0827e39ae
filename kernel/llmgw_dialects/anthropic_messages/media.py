"""Pictures, documents and search results: what a block's ``source`` says."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from llmgw.model import (
    JSON,
    Base64,
    BlobSource,
    Document,
    FileId,
    FileUri,
    Image,
    OpaquePart,
    Part,
    PlainText,
    SearchResult,
    Text,
    Url,
)
from llmgw.splice import Path
from llmgw_dialects.anthropic_messages.marks import read_mark
from llmgw_dialects.anthropic_messages.names import NAME, VENDOR, object_of, present
from llmgw_dialects.fields import opt_list, opt_object, opt_string, string
from llmgw_dialects.losses import Losses

_PDF: Final = "application/pdf"
_TEXTUAL: Final = frozenset({"application/json", "application/xml", "application/csv", "application/x-yaml", "application/yaml"})


def read_image(value: dict[str, Any], path: Path) -> Part:
    """Read an ``image`` block."""
    blob = _blob(object_of(value, "source"), (*path, "source"))
    return opaque(value) if blob is None else Image(blob, cache=read_mark(value))


def read_document(value: dict[str, Any], path: Path) -> Part:
    """Read a ``document`` block."""
    source, at = object_of(value, "source"), (*path, "source")
    blob: BlobSource | PlainText | tuple[Part, ...] | None
    match source.get("type"):
        case "text":
            blob = PlainText(string(source, "data", at))
        case "content":
            blob = _parts(source.get("content"), (*at, "content"))
        case _:
            blob = _blob(source, at)
    if blob is None:
        return opaque(value)
    return Document(
        blob,
        media_type=opt_string(source, "media_type", at),
        filename=opt_string(value, "title", path),
        context=opt_string(value, "context", path),
        citations_enabled=_cited(value, path),
        cache=read_mark(value),
    )


def read_search_result(value: dict[str, Any], path: Path) -> Part:
    """Read a ``search_result`` block."""
    parts = _parts(opt_list(value, "content", path) or [], (*path, "content"))
    if parts is None or not all(isinstance(part, Text) for part in parts):
        return opaque(value)
    return SearchResult(
        url=string(value, "source", path),
        title=string(value, "title", path),
        parts=tuple(part for part in parts if isinstance(part, Text)),
        citations_enabled=_cited(value, path),
        cache=read_mark(value),
    )


def write_image(part: Image) -> JSON:
    """An ``image`` block; None where Anthropic has no such source."""
    source = _source(part.blob)
    return None if source is None else {"type": "image", "source": source}


def write_document(part: Document, losses: Losses) -> JSON:
    """A ``document`` block; None where Anthropic cannot read such a file."""
    source = _document_source(part, losses)
    if source is None:
        return None
    cited = None if part.citations_enabled is None else {"enabled": part.citations_enabled}
    return {
        "type": "document",
        "source": source,
        **present({"title": part.filename, "context": part.context, "citations": cited}),
    }


def write_search_result(part: SearchResult) -> JSON:
    """A ``search_result`` block."""
    content = [{"type": "text", "text": text.text} for text in part.parts]
    cited = None if part.citations_enabled is None else {"enabled": part.citations_enabled}
    return {
        "type": "search_result",
        "source": part.url,
        "title": part.title,
        "content": content,
        **present({"citations": cited}),
    }


def opaque(value: JSON) -> OpaquePart:
    """A block that is carried, never looked into."""
    if not isinstance(value, dict):
        return OpaquePart(dialect=NAME, type="", raw=value)
    kind = value.get("type")
    return OpaquePart(dialect=NAME, type=kind if isinstance(kind, str) else "", raw=value, cache=read_mark(value))


def _blob(source: dict[str, Any], path: Path) -> BlobSource | None:
    match source.get("type"):
        case "base64":
            return Base64(string(source, "media_type", path), string(source, "data", path))
        case "url":
            return Url(string(source, "url", path))
        case "file":
            return FileId(string(source, "file_id", path), provider=VENDOR)
        case _:
            return None


def _source(blob: BlobSource) -> dict[str, JSON] | None:
    match blob:
        case Base64():
            return {"type": "base64", "media_type": blob.media_type, "data": blob.data}
        case Url(url=url):
            return {"type": "url", "url": url}
        case FileUri(uri=uri) if uri.startswith("https://"):
            return {"type": "url", "url": uri}
        case FileId(id=ident, provider=None | "anthropic"):
            return {"type": "file", "file_id": ident}
        case _:
            return None


def _document_source(part: Document, losses: Losses) -> dict[str, JSON] | None:
    match part.blob:
        case PlainText(text=text):
            return {"type": "text", "media_type": part.media_type or "text/plain", "data": text}
        case tuple(parts):
            return {"type": "content", "content": [block for inner in parts if (block := _inner(inner, losses)) is not None]}
        case Base64(media_type=media_type) as blob if media_type != _PDF:
            return _text_source(blob, part, losses)
        case blob:
            return _source(blob)


def _text_source(blob: Base64, part: Document, losses: Losses) -> dict[str, JSON] | None:
    """A text file as plain text; other kinds of file but PDF nobody reads."""
    kind = blob.media_type.partition(";")[0].strip().lower()
    if not kind.startswith("text/") and kind not in _TEXTUAL:
        return None
    try:
        text = base64.b64decode(blob.data).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    if kind != "text/plain":
        losses.approximated("document.media_type", kind, "text/plain", part)
    return {"type": "text", "media_type": "text/plain", "data": text}


def _inner(part: Part, losses: Losses) -> JSON:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image():
            return write_image(part)
        case OpaquePart(dialect=dialect) if dialect == NAME:
            return part.raw
        case _:
            losses.dropped(f"document.{type(part).__name__.lower()}", node=part)
            return None


def _parts(content: JSON, path: Path) -> tuple[Part, ...] | None:
    """The pieces of a document that is given in pieces; a string is one."""
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_piece(entry, (*path, n)) for n, entry in enumerate(content)) if isinstance(content, list) else None


def _piece(value: JSON, path: Path) -> Part:
    match value:
        case {"type": "text", "text": str(text)} if value.keys() == {"type", "text"}:
            return Text(text)
        case {"type": "image"}:
            return read_image(value, path)
        case _:
            return opaque(value)


def _cited(value: dict[str, Any], path: Path) -> bool | None:
    cited = opt_object(value, "citations", path) or {}
    enabled = cited.get("enabled")
    return enabled if isinstance(enabled, bool) else None
