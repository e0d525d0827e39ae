"""What an answer leans on: grounding and citations, whose offsets count bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import frozen

from llmgw import jsons
from llmgw.model import JSON, Citation
from llmgw_dialects.google_gemini.names import at, object_of, objects_of, text_of

_PLACES = ("web", "maps", "retrievedContext", "image")


@frozen
class Cited:
    """A citation of a block, and the answer around it.

    Args:
        citation: it.
        before: bytes of text in the blocks before.
        text: of its block.
    """

    citation: Citation
    before: int
    text: str


# ---- reading ------------------------------------------------------------------------------------


def read_citations(candidate: dict[str, Any]) -> Iterator[Citation]:
    """The citations in a candidate; chunks of a stream repeat those of earlier ones."""
    grounding = object_of(candidate, "groundingMetadata")
    chunks = objects_of(grounding, "groundingChunks")
    supported: set[int] = set()
    for support in objects_of(grounding, "groundingSupports"):
        numbers = at(support, "groundingChunkIndices")
        for number in numbers if isinstance(numbers, list) else ():
            if isinstance(number, int) and 0 <= number < len(chunks):
                supported.add(number)
                yield _grounded(chunks[number], object_of(support, "segment"))
    cited = [chunks[number] for number in supported]
    for chunk in chunks:
        if chunk not in cited:
            yield _grounded(chunk, {})
    metadata = object_of(candidate, "citationMetadata")
    for entry in [*objects_of(metadata, "citationSources"), *objects_of(metadata, "citations")]:
        if entry:
            yield _recited(entry)


def _grounded(chunk: dict[str, Any], segment: dict[str, Any]) -> Citation:
    place = next((object_of(chunk, key) for key in _PLACES if at(chunk, key) is not None), {})
    url, end = text_of(place, "uri") or None, _number(segment, "endIndex")
    start = _number(segment, "startIndex")
    return Citation(
        "url" if url else "grounding",
        url=url,
        title=text_of(place, "title") or None,
        cited_text=text_of(segment, "text") or None,
        start=0 if start is None and end is not None else start,
        end=end,
        unit="byte",
        raw={"groundingChunk": chunk},
    )


def _recited(entry: dict[str, Any]) -> Citation:
    url, end = text_of(entry, "uri") or None, _number(entry, "endIndex")
    start = _number(entry, "startIndex")
    return Citation(
        "url" if url else "grounding",
        url=url,
        title=text_of(entry, "title") or None,
        start=0 if start is None and end is not None else start,
        end=end,
        unit="byte",
        raw={"citation": entry},
    )


def told(citation: Citation) -> tuple[Any, ...]:
    """What tells one citation from another."""
    return citation.url, citation.title, citation.start, citation.end, citation.cited_text, jsons.dumps(citation.raw)


# ---- writing ------------------------------------------------------------------------------------


def is_said(citation: Citation) -> bool:
    """Whether Google has a word for it."""
    return citation.url is not None or _raw(citation) is not None


def write_citations(cited: Sequence[Cited]) -> dict[str, JSON]:
    """The keys of a candidate for its citations."""
    out: dict[str, JSON] = {}
    grounded = [one for one in cited if is_said(one.citation) and _key(one.citation) != "citation"]
    if grounded:
        out["groundingMetadata"] = _grounding(grounded)
    recited = [_raw(one.citation) for one in cited if _key(one.citation) == "citation"]
    if recited:
        out["citationMetadata"] = {"citations": recited}
    return out


def _grounding(cited: Iterable[Cited]) -> dict[str, JSON]:
    chunks: list[JSON] = []
    supports: list[dict[str, Any]] = []
    for one in cited:
        chunk = _raw(one.citation) or {"web": _web(one.citation)}
        if chunk not in chunks:
            chunks.append(chunk)
        segment = _segment(one)
        if segment is None:
            continue
        number = chunks.index(chunk)
        if supports and supports[-1]["segment"] == segment and number not in supports[-1]["groundingChunkIndices"]:
            supports[-1]["groundingChunkIndices"].append(number)
        else:
            supports.append({"segment": segment, "groundingChunkIndices": [number]})
    return {"groundingChunks": chunks, "groundingSupports": supports} if supports else {"groundingChunks": chunks}


def _segment(one: Cited) -> dict[str, JSON] | None:
    """Where in the answer; all of its block where the citation does not say."""
    citation = one.citation
    if citation.unit == "byte":
        if citation.end is None:
            return None
        start, end, words = citation.start or 0, citation.end, citation.cited_text
    elif citation.start is None or citation.end is None:
        start, end, words = one.before, one.before + _bytes(one.text), one.text
    else:
        until = _sliced(one.text, citation.start, citation.unit)
        words = _sliced(one.text, citation.end, citation.unit)[len(until) :]
        start = one.before + _bytes(until)
        end = start + _bytes(words)
    told = {"startIndex": start or None, "endIndex": end, "text": words or None}
    return {key: value for key, value in told.items() if value is not None}


def _sliced(text: str, end: int, unit: str) -> str:
    if unit == "codepoint":
        return text[:end]
    return text.encode("utf-16-le", "surrogatepass")[: 2 * end].decode("utf-16-le", "replace")


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _web(citation: Citation) -> dict[str, JSON]:
    return {"uri": citation.url, **({} if citation.title is None else {"title": citation.title})}


def _key(citation: Citation) -> str:
    raw = citation.raw
    return next((key for key in ("groundingChunk", "citation") if isinstance(raw, dict) and isinstance(raw.get(key), dict)), "")


def _raw(citation: Citation) -> JSON:
    key = _key(citation)
    return citation.raw[key] if key else None


def _number(node: dict[str, Any], key: str) -> int | None:
    value = at(node, key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
