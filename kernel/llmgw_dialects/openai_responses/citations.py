"""Citations, which Responses calls annotations; their offsets count code points of the text that they stand at."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, Citation
from llmgw_dialects.offsets import codepoints
from llmgw_dialects.openai_responses.names import text_of

_KINDS: Final[dict[str, Any]] = {
    "url_citation": "url",
    "file_citation": "file",
    "file_path": "file",
    "container_file_citation": "container_file",
}
KEYS: Final = {
    "url_citation": ("url", "title"),
    "file_citation": ("file_id", "filename"),
    "file_path": ("file_id",),
    "container_file_citation": ("container_id", "file_id"),
}
"""What makes an annotation one of OpenAI's, beside its type."""


def read_annotations(entries: list[Any]) -> tuple[tuple[Citation, ...], list[JSON]]:
    """The citations among annotations, and those of a type that we do not know."""
    found = [(entry, read_annotation(entry)) for entry in entries]
    return tuple(one for _, one in found if one is not None), [entry for entry, one in found if one is None]


def read_annotation(entry: JSON) -> Citation | None:
    """A citation; None for an annotation of a type that we do not know."""
    kind = _KINDS.get(str(entry.get("type"))) if isinstance(entry, dict) else None
    if kind is None:
        return None
    return Citation(
        kind,
        url=text_of(entry, "url") or None,
        title=text_of(entry, "title") or text_of(entry, "filename") or None,
        file_id=text_of(entry, "file_id") or None,
        start=_count(entry, "start_index"),
        end=_count(entry, "end_index"),
        raw=entry,
    )


def write_annotation(citation: Citation, text: str) -> dict[str, JSON] | None:
    """An annotation of a text; None where there is none for the citation."""
    if is_own(citation.raw):
        return citation.raw  # type: ignore[no-any-return]  # an object, as is_own has seen
    start, end = (None if at is None else codepoints(text, at, citation.unit) for at in (citation.start, citation.end))
    span = {"start_index": 0 if start is None else start, "end_index": len(text) if end is None else end}
    if citation.url is not None:
        return {"type": "url_citation", **span, "title": citation.title or "", "url": citation.url}
    if citation.file_id is not None:
        index = span["start_index"]
        return {"type": "file_citation", "file_id": citation.file_id, "filename": citation.title or "", "index": index}
    return None


def can_write(citation: Citation) -> bool:
    """Whether there is an annotation for a citation."""
    return is_own(citation.raw) or citation.url is not None or citation.file_id is not None


def is_own(raw: JSON) -> bool:
    """Whether this is an annotation as Responses writes them."""
    return isinstance(raw, dict) and raw.get("type") in KEYS and KEYS[raw["type"]][0] in raw


def _count(entry: dict[str, Any], key: str) -> int | None:
    value = entry.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
