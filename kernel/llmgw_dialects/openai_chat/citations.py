"""Citations, which Chat calls annotations: it knows those of URLs."""

from __future__ import annotations

from llmgw.model import JSON, Citation


def write_citation(citation: Citation) -> dict[str, JSON] | None:
    """An annotation; None where Chat has no word for the citation."""
    if isinstance(citation.raw, dict) and citation.raw.get("type") == "url_citation":
        return citation.raw
    if citation.url is None:
        return None
    start, end = (citation.start or 0, citation.end or 0) if citation.unit == "codepoint" else (0, 0)
    cited = {"start_index": start, "end_index": end, "title": citation.title or "", "url": citation.url}
    return {"type": "url_citation", "url_citation": cited}
