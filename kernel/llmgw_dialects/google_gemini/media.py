"""Pictures, sounds, films and files, as parts of a request or a tool's result."""

from __future__ import annotations

import re
from typing import Any, Final

from llmgw.model import (
    JSON,
    Audio,
    Base64,
    Document,
    FileId,
    FileUri,
    Image,
    Part,
    PlainText,
    SearchResult,
    Url,
    Video,
    texts,
)
from llmgw.splice import Path
from llmgw_dialects.google_gemini.docs import GeminiDoc
from llmgw_dialects.google_gemini.names import at, has, key_of, object_of, text_of
from llmgw_dialects.google_gemini.typed import opt_string
from llmgw_dialects.losses import Losses

_FILM: Final = re.compile(r"https?://(?:www\.|m\.)?(?:youtube\.com/|youtu\.be/)", re.IGNORECASE)
_DETAILS: Final = {"low": "LOW", "high": "HIGH", "original": "ULTRA_HIGH"}
_LEVEL: Final = "MEDIA_RESOLUTION_"
_TYPES: Final = {"image/jpg": "image/jpeg"}
_SUFFIXES: Final = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "pdf": "application/pdf", "txt": "text/plain", "csv": "text/csv", "md": "text/markdown", "html": "text/html",
    "wav": "audio/wav", "mp3": "audio/mpeg", "mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime",
}  # fmt: skip


def read_media(value: dict[str, Any], path: Path) -> Part | None:
    """Read a part with ``inlineData`` or ``fileData``; None if it has neither."""
    if has(value, "inlineData"):
        key = key_of(value, "inlineData")
        given, here = object_of(value, "inlineData"), (*path, key)
        kind = opt_string(given, "mimeType", here) or ""
        return _made(Base64(kind, opt_string(given, "data", here) or ""), kind, given, value)
    if has(value, "fileData"):
        key = key_of(value, "fileData")
        given, here = object_of(value, "fileData"), (*path, key)
        told, uri = opt_string(given, "mimeType", here), opt_string(given, "fileUri", here) or ""
        return _made(FileUri(uri, told), told or _guessed(uri) or "", given, value)
    return None


def write_media(part: Part, losses: Losses) -> dict[str, JSON] | None:
    """A part with what is not text; None where Google has none for it."""
    match part:
        case Image(blob=blob):
            out = _blob(blob)
            return None if out is None else {**out, **_resolution(part, losses)}
        case Document(blob=Base64() | Url() | FileId() | FileUri() as blob):
            return _titled(_blob(blob), part, losses)
        case Document():
            return _document(part, losses)
        case Audio(blob=blob) if blob is not None:
            return _blob(blob)
        case Video(blob=blob):
            out = _blob(blob)
            return None if out is None else {**out, **_clip(part)}
        case SearchResult():
            losses.emulated("search_result", "text", part)
            return {"text": f"{part.title}\n{part.url}\n\n{texts(part.parts)}"}
        case _:
            return None


def _made(blob: Base64 | FileUri, kind: str, given: dict[str, Any], value: dict[str, Any]) -> Part:
    if kind.startswith("image/"):
        level = text_of(at(value, "mediaResolution"), "level")
        return Image(blob, resolution=level.removeprefix(_LEVEL) or None)
    if kind.startswith("audio/"):
        return Audio(blob)
    if kind.startswith("video/") or (not kind and isinstance(blob, FileUri) and _FILM.match(blob.uri)):
        clip = object_of(value, "videoMetadata")
        fps = clip.get("fps")
        start, end = _seconds(at(clip, "startOffset")), _seconds(at(clip, "endOffset"))
        return Video(blob, start=start, end=end, fps=float(fps) if isinstance(fps, (int, float)) else None)
    return Document(blob, media_type=kind or None, filename=text_of(given, "displayName") or None)


def _blob(blob: JSON) -> dict[str, JSON] | None:
    match blob:
        case Base64(media_type=kind, data=data):
            return {"inlineData": {"mimeType": _TYPES.get(kind, kind), "data": data}}
        case FileUri(uri=uri, media_type=kind):
            return {"fileData": {"fileUri": uri, **({} if kind is None else {"mimeType": kind})}}
        case Url(url=url):
            guessed = _guessed(url)
            return {"fileData": {"fileUri": url, **({} if guessed is None else {"mimeType": guessed})}}
        case FileId(id=ident, provider="google"):
            return {"fileData": {"fileUri": ident}}
        case _:
            return None


def _titled(out: dict[str, JSON] | None, part: Document, losses: Losses) -> dict[str, JSON] | None:
    for name in ("context", "citations_enabled"):
        if getattr(part, name):
            losses.dropped(f"document.{name}", node=part)
    if out is None or part.filename is None:
        return out
    if part.source is None or not isinstance(part.source.doc, GeminiDoc):  # where only Vertex knows names
        losses.dropped("document.filename", node=part)
        return out
    key = next(iter(out))
    inner: Any = out[key]
    return {key: {**inner, "displayName": part.filename}}


def _document(part: Document, losses: Losses) -> dict[str, JSON] | None:
    losses.emulated("document", "text", part)
    blob = part.blob
    if isinstance(blob, PlainText):
        words = blob.text
    elif isinstance(blob, tuple):
        words = texts(blob)
    else:
        return None
    return {"text": f"{part.filename}\n\n{words}" if part.filename else words}


def _resolution(part: Image, losses: Losses) -> dict[str, JSON]:
    level = part.resolution or _DETAILS.get(part.detail or "")
    if part.detail and part.detail != "auto" and not part.resolution:
        losses.approximated("image.detail", part.detail, f"mediaResolution {level}", part)
    return {} if level is None else {"mediaResolution": {"level": _LEVEL + level}}


def _clip(part: Video) -> dict[str, JSON]:
    told = {
        "startOffset": None if part.start is None else f"{part.start:g}s",
        "endOffset": None if part.end is None else f"{part.end:g}s",
        "fps": part.fps,
    }
    told = {key: value for key, value in told.items() if value is not None}
    return {"videoMetadata": told} if told else {}


def _seconds(value: JSON) -> float | None:
    try:
        return float(value.removesuffix("s")) if isinstance(value, str) else None
    except ValueError:
        return None


def _guessed(uri: str) -> str | None:
    """A file's type by its name."""
    return _SUFFIXES.get(uri.partition("?")[0].rpartition(".")[2].lower())
