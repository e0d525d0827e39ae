"""Citations, which Chat calls annotations: it knows those of URLs, and counts code points of the whole content."""

from __future__ import annotations

from llmgw.model import JSON, Citation
from llmgw_dialects.offsets import codepoints


def is_own(citation: Citation) -> bool:
    """Whether it is an annotation as Chat has it."""
    return isinstance(citation.raw, dict) and citation.raw.get("type") == "url_citation"


def write_citation(citation: Citation, text: str = "", before: int = 0) -> dict[str, JSON] | None:
    """An annotation; None where Chat has no word for the citation.

    Args:
        citation: of a text; of all of it where it does not say of what.
        text: that text.
        before: characters of content before it.
    """
    if is_own(citation):
        return citation.raw  # type: ignore[no-any-return]  # an object, as is_own has seen
    if citation.url is None:
        return None
    start = 0 if citation.start is None else codepoints(text, citation.start, citation.unit)
    end = len(text) if citation.end is None else codepoints(text, citation.end, citation.unit)
    cited = {"start_index": before + start, "end_index": before + end, "title": citation.title or "", "url": citation.url}
    return {"type": "url_citation", "url_citation": cited}
