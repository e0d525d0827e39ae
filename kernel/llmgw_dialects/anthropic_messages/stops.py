"""Why a reply ended: ``stop_reason``, what goes with it, and the canonical kinds."""

from __future__ import annotations

from typing import Any, Final

from llmgw.events import StopKind, StopReason
from llmgw.model import JSON
from llmgw_dialects.anthropic_messages.names import object_of

_READ: Final[dict[str, StopKind]] = {
    "end_turn": "end",
    "stop_sequence": "stop_sequence",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "context_window",
    "tool_use": "tool_use",
    "pause_turn": "pause",
    "refusal": "refusal",
    "compaction": "compaction",
}
_WRITTEN: Final[dict[StopKind, str]] = {**{kind: word for word, kind in _READ.items()}, "content_filter": "refusal"}
_CATEGORIES: Final = frozenset({"cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"})


def read_stop(node: dict[str, Any], *, called: bool) -> StopReason | None:
    """Read the end of a reply; None where it has not ended.

    Args:
        node: a body, or the ``delta`` of a ``message_delta``.
        called: whether there are tool calls; some servers say ``end_turn`` after them.
    """
    raw = node.get("stop_reason")
    if not isinstance(raw, str) or not raw:
        return None
    kind = _READ.get(raw, "other")
    sequence, details = node.get("stop_sequence"), object_of(node, "stop_details")
    category, explanation = details.get("category"), details.get("explanation")
    return StopReason(
        "tool_use" if called and kind == "end" else kind,
        sequence=sequence if isinstance(sequence, str) else None,
        category=category if isinstance(category, str) else None,
        explanation=explanation if isinstance(explanation, str) else None,
        raw=raw,
    )


def write_stop(reason: StopReason | None, *, own: bool, refused: StopReason | None = None) -> dict[str, JSON]:
    """``stop_reason`` and what goes with it.

    Args:
        reason: why the reply ended; None where nobody said.
        own: whether the provider's word was of this dialect, so that even one we do not know may pass.
        refused: what a refusal in words has told of itself, which other dialects do not count as an end.
    """
    if reason is None:
        return {"stop_reason": None, "stop_sequence": None}
    if refused is not None and reason.kind in ("end", "other", "refusal", "content_filter"):
        category = reason.category or refused.category
        reason = StopReason("refusal", category=category, explanation=reason.explanation or refused.explanation)
    word = reason.raw if own and reason.raw and _still(reason) else _word(reason)
    out: dict[str, JSON] = {"stop_reason": word, "stop_sequence": reason.sequence if word == "stop_sequence" or own else None}
    if word == "refusal" and (not own or reason.category or reason.explanation):
        category = reason.category if own or reason.category in _CATEGORIES else None
        out["stop_details"] = {"type": "refusal", "category": category, "explanation": reason.explanation}
    return out


def _still(reason: StopReason) -> bool:
    """Whether the provider's word is still true; a server may say ``end_turn`` after tool calls."""
    known = _READ.get(reason.raw or "", reason.kind)
    return known == reason.kind or (known == "end" and reason.kind == "tool_use")


def _word(reason: StopReason) -> str:
    """A sequence that nobody names is no ``stop_sequence``."""
    if reason.kind == "stop_sequence" and reason.sequence is None:
        return "end_turn"
    return _WRITTEN.get(reason.kind, "end_turn")
