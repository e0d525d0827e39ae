"""A chunk written anew around the events that are left of it, or that were changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llmgw.events import Event, Stop, UsageUpdate
from llmgw.model import JSON
from llmgw_dialects.google_gemini.deltas import Piece, joined
from llmgw_dialects.google_gemini.names import at, candidates_of, has, index_of, key_of, known, like, object_of, parts_of, snake
from llmgw_dialects.google_gemini.stops import word_of
from llmgw_dialects.google_gemini.usage import read_usage, write_usage

_SAID: Final = ("text", "thought", "thoughtSignature", "functionCall", "inlineData")
_SAID_EITHER: Final = frozenset({*_SAID, *map(snake, _SAID)})
_ENDED: Final = ("finishReason", "finishMessage", "continuationToken")
_ENVELOPE: Final = frozenset(
    {"modelVersion", "model_version", "responseId", "response_id", "createTime", "create_time"}
)  # fmt: skip


def rebuilt(tree: dict[str, Any], told: Sequence[tuple[Event, list[Piece]]], *, first: bool) -> dict[str, JSON] | None:
    """A chunk that says only what these events say; None if that is nothing.

    Args:
        tree: the chunk as it came.
        told: events with what they are worth.
        first: whether nothing of the chunk has been written yet, so that the keys we do not know must go with this.
    """
    pieces = [piece for _, made in told for piece in made]
    ends = {event.choice: event for event, _ in told if isinstance(event, Stop)}
    usages = [event for event, _ in told if isinstance(event, UsageUpdate)]
    if not first and not pieces and not usages:
        return None
    left = ("candidates", "usageMetadata") if first else [key for key in tree if key not in _ENVELOPE]
    candidates = _candidates(tree, pieces, ends, first=first)
    out: dict[str, JSON] = {"candidates": candidates} if candidates or (first and has(tree, "candidates")) else {}
    usage = at(tree, "usageMetadata")
    if usages:
        out["usageMetadata"] = write_usage(usages[-1].usage)
    elif first and usage is not None and read_usage(usage) is None:
        out["usageMetadata"] = usage
    for piece in pieces:
        if piece.feedback is not None and not piece.own:
            out["promptFeedback"] = piece.feedback
    return {**out, **known(tree, *left)}


def _candidates(tree: dict[str, Any], pieces: list[Piece], ends: dict[int, Stop], *, first: bool) -> list[JSON]:
    by_choice: dict[int, list[Piece]] = {}
    for piece in pieces:
        if piece.feedback is None:
            by_choice.setdefault(piece.choice, []).append(piece)
    out: list[JSON] = []
    for position, original in enumerate(candidates_of(tree)):
        index = index_of(original, position)
        if first or index in by_choice:
            out.append(_candidate(original, index, by_choice.pop(index, []), ends.get(index), first=first))
    # then those that were put into this chunk
    return out + [_candidate({}, index, own, ends.get(index), first=first) for index, own in sorted(by_choice.items())]


def _candidate(original: dict[str, Any], index: int, pieces: list[Piece], end: Stop | None, *, first: bool) -> dict[str, JSON]:
    said = [(piece.kind, piece.part) for piece in joined(pieces) if piece.part is not None]
    parts = aligned(parts_of(original), said) if first else [part for _, part in said]
    content = object_of(original, "content")
    out: dict[str, JSON] = {}
    if parts or has(original, "content") or not original:
        out["content"] = {"role": "model", "parts": parts} if not first or not content else _content(content, parts)
    if not original or not first:
        out["index"] = index
    if first:
        kept = _ENDED if end is None or not end.pristine else ()
        out |= known(original, "content", *kept)
    for piece in pieces:
        if piece.kind == "about" or (piece.kind == "stop" and (end is None or not end.pristine or not first)):
            out |= like(original, _numbered(original, piece.about))
    return out


def _numbered(original: dict[str, Any], about: dict[str, JSON]) -> dict[str, JSON]:
    """With the number for the reason that the provider wrote, as some clients ask for."""
    raw = at(original, "finishReason")
    return {**about, "finishReason": raw} if isinstance(raw, int) and word_of(raw) == about.get("finishReason") else about


def _content(original: dict[str, Any], parts: list[JSON]) -> dict[str, JSON]:
    return {**original, key_of(original, "parts"): parts} if parts or has(original, "parts") else original


def aligned(originals: list[dict[str, Any]], said: Sequence[tuple[str, dict[str, JSON]]]) -> list[JSON]:
    """Parts on the originals that they answer to: one of a kind on the next of its kind, keys that we do not know kept.

    Args:
        originals: the parts as they came; one that says nothing stays.
        said: kinds and parts.
    """
    out: list[JSON] = []
    waiting = list(said)
    for part in originals:
        kind = kind_of(part)
        if kind == "mute":
            out.append(part)
        elif waiting and waiting[0][0] == ("signature" if kind in ("text", "thought") and not part.get("text") else kind):
            out.append(_merged(part, *waiting.pop(0)))
    return [*out, *(part for _, part in waiting)]


def kind_of(part: dict[str, Any]) -> str:
    """Of what kind a part is, as pieces are."""
    if has(part, "functionCall"):
        return "call"
    if has(part, "text") or not known(part, "thought", "thoughtSignature"):
        if not part.get("text") and not at(part, "thoughtSignature"):
            return "mute"
        return "thought" if part.get("thought") is True else "text"
    return "other"


def _merged(original: dict[str, Any], kind: str, part: dict[str, JSON]) -> dict[str, JSON]:
    if kind == "signature":
        return {**original, key_of(original, "thoughtSignature"): part["thoughtSignature"]}
    spelt = like(original, part)
    out: dict[str, JSON] = {}
    for key, old in original.items():
        if key in spelt:
            new = spelt[key]
            out[key] = {**old, **new} if isinstance(old, dict) and isinstance(new, dict) else new
        elif key not in _SAID_EITHER:
            out[key] = old
    return {**out, **{key: value for key, value in spelt.items() if key not in original}}
