"""Pictures, documents, sound and film: in a form that the provider takes, or not at all.

A media type that the bytes belie is put right, for providers compare. Nothing is fetched here: a URL goes to a provider that
fetches, and is lost on one that does not.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from attrs import evolve

from llmgw.model import (
    Audio,
    Base64,
    Document,
    FileId,
    FileUri,
    Image,
    Item,
    Part,
    PlainText,
    Prompt,
    SearchResult,
    Text,
    Url,
    Video,
    texts,
)
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import each, revised
from llmgw_dialects.crossing.vendors import ANTHROPIC, CHAT, OPENAI, is_google, owner

_KINDS: Final[dict[type[Part], str]] = {Image: "image", Document: "document", Audio: "audio", Video: "video"}
_ALIASES: Final = {"image/jpg": "image/jpeg", "image/x-png": "image/png", "audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav",
                   "application/x-pdf": "application/pdf"}  # fmt: skip
_MAGIC: Final = (
    ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")), ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ("image/gif", re.compile(rb"GIF8[79]a")), ("image/webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("application/pdf", re.compile(rb"%PDF-")),
)  # fmt: skip
_WRITTEN: Final = re.compile(r"text/|application/(?:json|xml|yaml|x-yaml|javascript|x-javascript|typescript|csv|markdown|toml)\b")
_DATA_URL: Final = re.compile(r"data:([^,]*),(.*)", re.DOTALL)
_GOOGLES: Final = re.compile(r"gs://|https://generativelanguage\.googleapis\.com/|https?://(?:www\.)?(?:youtube\.com|youtu\.be)/")
_NOTHING: Final = "(nothing that can be shown)"
_SPACE: Final = re.compile(r"\s+")


class Media(Step):
    """Media that the provider takes, wherever a message, an instruction or a tool result holds them."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with such media."""
        if not self.leg.holds(prompt, Image, Document, Audio, Video, SearchResult):
            return prompt
        return revised(prompt, items=each(prompt.items, self._item))

    def _item(self, item: Item) -> Item:
        before: tuple[Part, ...] = getattr(item, "parts", ())
        parts = each(before, self._part)
        if parts is before:
            return item
        return evolve(item, parts=parts or (Text(_NOTHING),))  # type: ignore[call-arg]  # what has parts takes parts

    def _part(self, part: Part) -> Part | None:
        if isinstance(part, SearchResult) and self.leg.target != ANTHROPIC:
            self.leg.losses.approximated("input.search_result", "a search result", "text", part)
            head = "\n".join(line for line in (part.title, part.url) if line)
            return Text(f"{head}\n\n{texts(part.parts)}", cache=part.cache, source=part.source)
        kind = _KINDS.get(type(part))
        if kind is None:
            return part
        if isinstance(part, Audio) and part.blob is None:
            return self._heard(part)
        made = self._document(part) if isinstance(part, Document) else self._blob(part, kind)
        if made is None or isinstance(made, Text) or kind in self.leg.profile.inputs:
            return made
        self.leg.losses.dropped(f"input.{kind}", node=part)
        return None

    def _heard(self, part: Audio) -> Part | None:
        """An earlier spoken answer: its words, since nobody else knows its id."""
        if self.leg.target in OPENAI and "audio" in self.leg.profile.inputs:
            return part
        if part.transcript:
            self.leg.losses.emulated("input.audio", "text", part)
            return Text(part.transcript, cache=part.cache, source=part.source)
        self.leg.losses.dropped("input.audio", node=part)
        return None

    def _document(self, part: Document) -> Part | None:
        """A document; what is text in it is sent as text where the provider knows no documents of text."""
        if isinstance(part.blob, tuple):
            blob: PlainText | None = PlainText(texts(part.blob)) if all(isinstance(one, Text) for one in part.blob) else None
            if blob is None and self.leg.target != ANTHROPIC:
                self.leg.losses.dropped("input.document", node=part)
                return None
            return part if blob is None or self.leg.target == ANTHROPIC else self._text(part, blob)
        if isinstance(part.blob, Base64):
            part = evolve(part, blob=_corrected(part.blob))
            assert isinstance(part.blob, Base64), "it stays what it is"
            words = _words(part.blob)
            if words is not None:
                part = evolve(part, blob=PlainText(words), media_type="text/plain")
        if isinstance(part.blob, PlainText):
            return part if self.leg.target == ANTHROPIC and "document" in self.leg.profile.inputs else self._text(part, part.blob)
        made = self._blob(part, "document")
        if isinstance(made, Document) and isinstance(made.blob, Base64) and not self._reads(made.blob.media_type):
            self.leg.losses.dropped("input.document", made.blob.media_type, part)
            return None
        return made

    def _reads(self, media_type: str) -> bool:
        """Whether the provider reads documents of this type; office formats only OpenAI does."""
        return self.leg.target in OPENAI or media_type in ("application/pdf", "")

    def _text(self, part: Document, blob: PlainText) -> Text:
        self.leg.losses.emulated("input.document", "text", part)
        head = "\n".join(line for line in (part.filename, part.context) if line)
        return Text(f"{head}\n\n{blob.text}" if head else blob.text, cache=part.cache, source=part.source)

    def _blob(self, part: Any, kind: str) -> Part | None:
        """A part with its bytes in a form that the provider takes; None where there is none."""
        blob = part.blob
        if isinstance(blob, Url) and (found := _DATA_URL.fullmatch(blob.url)):
            blob = _inline(found[1], found[2])
        match blob:
            case Base64():
                made: Any = _corrected(blob)
            case Url():
                made = self._url(blob, kind)
            case FileUri():
                made = blob if is_google(self.leg.target) else self._public(blob, kind)
            case FileId():
                known = blob.provider or owner(self.leg.request.dialect)
                slot = kind != "image" or self.leg.target != CHAT  # which knows no pictures by their ids
                made = blob if slot and known == owner(self.leg.target) else None
            case _:
                made = blob
        if made is None:
            self.leg.losses.dropped("input.url" if isinstance(blob, Url) else "input.file", node=part)
            return None
        changed: Part = part if made == part.blob else evolve(part, blob=made)
        return changed

    def _url(self, blob: Url, kind: str) -> Url | FileUri | None:
        if is_google(self.leg.target) and _GOOGLES.match(blob.url):
            return FileUri(blob.url)
        if kind not in self.leg.profile.url_inputs:
            return None
        if self.leg.target == ANTHROPIC and not blob.url.startswith("https://"):
            return None
        return blob

    def _public(self, blob: FileUri, kind: str) -> Url | FileUri | None:
        """What stands in Google's own storage nobody else can read."""
        if _GOOGLES.match(blob.uri) or not blob.uri.startswith(("http://", "https://")):
            return None
        return self._url(Url(blob.uri), kind)


def _corrected(blob: Base64) -> Base64:
    """The same bytes, without white space in their base64 and under the type that they have."""
    data = _SPACE.sub("", blob.data) if _SPACE.search(blob.data) else blob.data
    named = blob.media_type.partition(";")[0].strip().lower()
    media_type = _seen(data) or _ALIASES.get(named, named)
    return blob if (media_type, data) == (blob.media_type, blob.data) else Base64(media_type, data)


def _seen(data: str) -> str | None:
    """The media type that the first bytes tell."""
    try:
        head = base64.b64decode(data[:24].replace("-", "+").replace("_", "/").rstrip("=")[: 24 // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return None
    return next((name for name, magic in _MAGIC if magic.match(head)), None)


def _words(blob: Base64) -> str | None:
    """The text in a document of text."""
    if not _WRITTEN.match(blob.media_type):
        return None
    try:
        return base64.b64decode(blob.data).decode()
    except (binascii.Error, ValueError):  # a UnicodeDecodeError is one, too
        return None


def _inline(head: str, data: str) -> Base64:
    """What stands in a data URL."""
    media_type, *marks = head.split(";")
    if "base64" in (mark.strip() for mark in marks):
        return Base64(media_type or "text/plain", data)
    return Base64(media_type or "text/plain", base64.b64encode(unquote_to_bytes(data)).decode())
