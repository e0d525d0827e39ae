"""Citations, which stand on a text block as a whole."""

from __future__ import annotations

from typing import Any, Final, Literal

from llmgw.model import JSON, Citation

_KINDS: Final[dict[str, tuple[Literal["char", "page", "block", "search_result", "url"], str, str]]] = {
    "char_location": ("char", "start_char_index", "end_char_index"),
    "page_location": ("page", "start_page_number", "end_page_number"),
    "content_block_location": ("block", "start_block_index", "end_block_index"),
    "search_result_location": ("search_result", "start_block_index", "end_block_index"),
    "web_search_result_location": ("url", "", ""),
}


def read_citation(raw: JSON) -> Citation | None:
    """Read a citation; None for one that we do not know. What it counts, it counts in the source, not in the text."""
    known = _KINDS.get(str(raw.get("type"))) if isinstance(raw, dict) else None
    if known is None:
        return None
    kind, start, end = known
    found = kind == "search_result"
    return Citation(
        kind,
        url=_string(raw, "source" if found else "url"),
        title=_string(raw, "title" if kind in ("url", "search_result") else "document_title"),
        cited_text=_string(raw, "cited_text"),
        start=_count(raw, start),
        end=_count(raw, end),
        doc_index=_count(raw, "search_result_index" if found else "document_index"),
        file_id=_string(raw, "file_id"),
        raw=raw,
    )


def write_citation(citation: Citation) -> dict[str, JSON] | None:
    """A citation as it was; None for one of another dialect, whose place in a document nobody knows."""
    raw = citation.raw
    return raw if isinstance(raw, dict) and raw.get("type") in _KINDS else None


def _string(raw: dict[str, Any], key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) else None


def _count(raw: dict[str, Any], key: str) -> int | None:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
