"""Content: the parts of messages and of tool results."""

from __future__ import annotations

import re
from typing import Any, Final

from llmgw.model import (
    JSON,
    Base64,
    Document,
    FileId,
    Image,
    OpaquePart,
    Part,
    PlainText,
    Refusal,
    SearchResult,
    Text,
    Url,
    texts,
)
from llmgw.splice import Path
from llmgw_dialects.fields import opt_string, string
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_marks import read_mark, write_mark
from llmgw_dialects.openai_responses.citations import read_annotations
from llmgw_dialects.openai_responses.names import NAME, VENDOR, given, list_of

_DATA_URL: Final = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)
_SUFFIXES: Final = {"application/pdf": "document.pdf", "text/plain": "document.txt", "text/csv": "document.csv"}
_UNSAID: Final[dict[type[Part], tuple[str, ...]]] = {
    Image: ("resolution",),
    Document: ("context", "citations_enabled"),
    Refusal: ("category", "explanation"),
}


def read_part(value: JSON, path: Path) -> Part:
    """Read an entry of ``content`` or ``output``; a type we do not know is carried, never looked into."""
    if not isinstance(value, dict):
        return OpaquePart(dialect=NAME, type="", raw=value)
    mark = read_mark(value)
    match value.get("type"):
        case "input_text" | "output_text" | "text" | "summary_text":
            citations, _ = read_annotations(list_of(value, "annotations"))
            logprobs = list_of(value, "logprobs") or None
            return Text(string(value, "text", path), citations=citations, logprobs=logprobs, cache=mark)
        case "refusal":
            return Refusal(string(value, "refusal", path), cache=mark)
        case "input_image" | "computer_screenshot" if (blob := _image(value, path)) is not None:
            return Image(blob, detail=opt_string(value, "detail", path), cache=mark)
        case "input_file" if (found := _file(value, path)) is not None:
            return Document(found, filename=opt_string(value, "filename", path), cache=mark)
        case kind:
            return OpaquePart(dialect=NAME, type=kind if isinstance(kind, str) else "", raw=value, cache=mark)


def write_part(part: Part, losses: Losses) -> JSON:
    """An entry of a user's or system's ``content``, or of a tool's ``output``; None where there is none for it."""
    return _marked(_write(part, losses), part, losses)


def write_said(part: Part, losses: Losses) -> JSON:
    """An entry of an assistant's ``content``; None where there is none for it."""
    match part:
        case Text():
            annotations = [one for citation in part.citations if (one := _own(citation.raw)) is not None]
            if len(annotations) < len(part.citations):
                losses.dropped("text.citations", node=part)
            if part.carrier is not None:
                losses.dropped(f"text.{part.carrier.kind}", node=part)
            logprobs = {"logprobs": part.logprobs} if part.logprobs else {}
            entry: JSON = {"type": "output_text", "text": part.text, "annotations": annotations, **logprobs}
        case Refusal():
            entry = {"type": "refusal", "refusal": part.text}
        case OpaquePart(dialect=dialect) if dialect == NAME:
            return part.raw
        case _:
            entry = None
    return _marked(entry, part, losses)


def lost_fields(part: Part, losses: Losses) -> None:
    """Note what a part knows that there is no key for."""
    for name in _UNSAID.get(type(part), ()):
        if getattr(part, name):
            losses.dropped(f"{type(part).__name__.lower()}.{name}", node=part)


def _marked(entry: JSON, part: Part, losses: Losses) -> JSON:
    if entry is None:
        losses.dropped(_feature(part), node=part)
        return None
    lost_fields(part, losses)
    if not isinstance(entry, dict) or isinstance(part, OpaquePart):
        return entry
    return {**entry, **write_mark(part.cache, losses, part)}


def _write(part: Part, losses: Losses) -> JSON:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Refusal():
            return {"type": "input_text", "text": part.text}
        case Image(blob=Base64() | Url() as blob):
            return {"type": "input_image", "image_url": _url(blob), "detail": part.detail or "auto"}
        case Image(blob=FileId(id=ident, provider=None | "openai")):
            return {"type": "input_image", "file_id": ident, "detail": part.detail or "auto"}
        case Document():
            return _write_document(part, losses)
        case SearchResult():
            losses.emulated("search_result", "text", part)
            return {"type": "input_text", "text": f"{part.title}\n{part.url}\n\n{texts(part.parts)}"}
        case OpaquePart(dialect=dialect) if dialect == NAME:
            return part.raw
        case _:
            return None


def _write_document(part: Document, losses: Losses) -> JSON:
    match part.blob:
        case Base64(media_type=media_type) as blob:
            name = part.filename or _SUFFIXES.get(media_type, "document.pdf")
            return {"type": "input_file", "filename": name, "file_data": _url(blob)}
        case Url(url=url):
            return {"type": "input_file", "file_url": url, **given(filename=part.filename)}
        case FileId(id=ident, provider=None | "openai"):
            return {"type": "input_file", "file_id": ident, **given(filename=part.filename)}
        case PlainText(text=text):
            losses.emulated("document", "text", part)
            return {"type": "input_text", "text": f"{part.filename}\n\n{text}" if part.filename else text}
        case tuple(parts) if all(isinstance(inner, Text) for inner in parts):
            losses.emulated("document", "text", part)
            return {"type": "input_text", "text": texts(parts)}
        case _:
            return None


def _image(value: dict[str, Any], path: Path) -> Base64 | Url | FileId | None:
    url, ident = opt_string(value, "image_url", path), opt_string(value, "file_id", path)
    return _blob(url) if url is not None else FileId(ident, VENDOR) if ident is not None else None


def _file(value: dict[str, Any], path: Path) -> Base64 | Url | FileId | None:
    data, url, ident = (opt_string(value, key, path) for key in ("file_data", "file_url", "file_id"))
    if data is not None:
        blob = _blob(data)
        return blob if isinstance(blob, Base64) else None if ":" in data[:8] else Base64("application/pdf", data)
    return Url(url) if url is not None else FileId(ident, VENDOR) if ident is not None else None


def _blob(url: str) -> Base64 | Url:
    """A data URL is taken apart only if it can be put together again to the character."""
    found = _DATA_URL.fullmatch(url)
    return Base64(found[1], found[2]) if found else Url(url)


def _url(blob: Base64 | Url) -> str:
    return blob.url if isinstance(blob, Url) else f"data:{blob.media_type};base64,{blob.data}"


def _own(raw: JSON) -> JSON:
    """A citation of OpenAI's own, as it came; others would be foreign to the model."""
    return raw if isinstance(raw, dict) and str(raw.get("type", "")).endswith(("_citation", "file_path")) else None


def _feature(part: Part) -> str:
    return part.type or "content part" if isinstance(part, OpaquePart) else type(part).__name__.lower()
