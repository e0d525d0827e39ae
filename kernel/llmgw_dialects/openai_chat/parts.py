"""Content parts."""

from __future__ import annotations

import re
from typing import Any, Final

from llmgw.model import (
    JSON,
    Audio,
    Base64,
    Document,
    FileId,
    Image,
    OpaquePart,
    Part,
    PlainText,
    Reasoning,
    Refusal,
    SearchResult,
    Text,
    Url,
    Video,
    texts,
)
from llmgw.splice import Path
from llmgw_dialects.fields import invalid, opt_string, string
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_chat.names import NAME
from llmgw_dialects.openai_marks import read_mark, write_mark

_UNSAID: Final[dict[type[Part], tuple[str, ...]]] = {
    Text: ("citations", "logprobs", "phase", "carrier"),
    Image: ("resolution",),
    Document: ("context", "citations_enabled"),
    Video: ("start", "end", "fps"),
    Refusal: ("category", "explanation"),
}
_DATA_URL: Final = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)
_AUDIO: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def read_part(value: JSON, path: Path) -> Part:
    """Read an entry of ``content``; a type we do not know is carried, never looked into."""
    if not isinstance(value, dict):
        return OpaquePart(dialect=NAME, type="", raw=value)
    mark = read_mark(value)
    match value.get("type"):
        case "text":
            return Text(string(value, "text", path), cache=mark)
        case "refusal":
            return Refusal(string(value, "refusal", path), cache=mark)
        case "image_url":
            return _image(value, path)
        case "input_audio" if isinstance(value.get("input_audio"), dict):
            audio = value["input_audio"]
            form, data = string(audio, "format", (*path, "input_audio")), string(audio, "data", (*path, "input_audio"))
            return Audio(Base64(f"audio/{form}", data), cache=mark)
        case "file" if isinstance(value.get("file"), dict):
            return _file(value, path)
        case "video_url" if isinstance(value.get("video_url"), dict):
            return Video(_blob(string(value["video_url"], "url", (*path, "video_url"))), cache=mark)
        case "thinking" if isinstance(value.get("thinking"), (str, list)):  # Mistral
            return Reasoning(raw_text=(_thought(value["thinking"]),), cache=mark)
        case kind:
            return OpaquePart(dialect=NAME, type=kind if isinstance(kind, str) else "", raw=value, cache=mark)


def lost_fields(part: Part, losses: Losses) -> None:
    """Note what a part knows that Chat has no key for."""
    for name in _UNSAID.get(type(part), ()):
        if getattr(part, name):
            losses.dropped(f"{type(part).__name__.lower()}.{name}", node=part)


def write_part(part: Part, losses: Losses) -> JSON:
    """An entry of ``content``; None where Chat has none for it."""
    entry = _write(part, losses)
    if entry is None:
        losses.dropped(_feature(part), node=part)
        return None
    lost_fields(part, losses)
    if not isinstance(entry, dict) or isinstance(part, OpaquePart):
        return entry
    return {**entry, **write_mark(part.cache, losses, part)}


def _write(part: Part, losses: Losses) -> Any:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Image(blob=Base64() | Url() as blob):
            detail = {} if part.detail is None else {"detail": part.detail}
            return {"type": "image_url", "image_url": {"url": _url(blob), **detail}}
        case Audio(blob=Base64(media_type=media_type, data=data)):
            form = _AUDIO.get(media_type) or media_type.removeprefix("audio/")
            return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
        case Document():
            return _write_document(part, losses)
        case Video(blob=Base64() | Url() as blob):
            return {"type": "video_url", "video_url": {"url": _url(blob)}}
        case Reasoning(raw_text=raw_text) if raw_text:
            return {"type": "thinking", "thinking": [{"type": "text", "text": "".join(raw_text)}]}
        case SearchResult():
            losses.emulated("search_result", "text", part)
            return {"type": "text", "text": f"{part.title}\n{part.url}\n\n{texts(part.parts)}"}
        case OpaquePart(dialect=dialect) if dialect == NAME:
            return part.raw
        case _:
            return None


def _write_document(part: Document, losses: Losses) -> dict[str, JSON] | None:
    name = {} if part.filename is None else {"filename": part.filename}
    match part.blob:
        case Base64() as blob:
            return {"type": "file", "file": {"file_data": _url(blob), **name}}
        case FileId(id=ident, provider=None | "openai"):
            return {"type": "file", "file": {"file_id": ident, **name}}
        case PlainText(text=text):
            losses.emulated("document", "text", part)
            return {"type": "text", "text": f"{part.filename}\n\n{text}" if part.filename else text}
        case tuple(parts) if all(isinstance(inner, Text) for inner in parts):
            losses.emulated("document", "text", part)
            return {"type": "text", "text": texts(parts)}
        case _:
            return None


def _image(value: dict[str, Any], path: Path) -> Part:
    given = value.get("image_url")
    if isinstance(given, str):  # Mistral
        return Image(_blob(given), cache=read_mark(value))
    if not isinstance(given, dict):
        raise invalid((*path, "image_url"), "an object", given)
    inner = (*path, "image_url")
    return Image(_blob(string(given, "url", inner)), detail=opt_string(given, "detail", inner), cache=read_mark(value))


def _file(value: dict[str, Any], path: Path) -> Part:
    given, inner = value["file"], (*path, "file")
    name, ident = opt_string(given, "filename", inner), opt_string(given, "file_id", inner)
    if ident is not None:
        return Document(FileId(ident), filename=name, cache=read_mark(value))
    data = string(given, "file_data", inner)
    blob = _blob(data)
    if isinstance(blob, Url) and data.startswith(("data:", "http")):  # OpenRouter fetches; nobody else can
        return OpaquePart(dialect=NAME, type="file", raw=value, cache=read_mark(value))
    # some send the base64 alone
    return Document(blob if isinstance(blob, Base64) else Base64("application/pdf", data), filename=name, cache=read_mark(value))


def _blob(url: str) -> Base64 | Url:
    """A data URL is taken apart only if it can be put together again to the character."""
    found = _DATA_URL.fullmatch(url)
    return Base64(found[1], found[2]) if found else Url(url)


def _url(blob: Base64 | Url) -> str:
    return blob.url if isinstance(blob, Url) else f"data:{blob.media_type};base64,{blob.data}"


def _thought(thinking: JSON) -> str:
    if isinstance(thinking, str):
        return thinking
    return "".join(one["text"] for one in thinking if isinstance(one, dict) and isinstance(one.get("text"), str))


def _feature(part: Part) -> str:
    return part.type or "content part" if isinstance(part, OpaquePart) else type(part).__name__.lower()
