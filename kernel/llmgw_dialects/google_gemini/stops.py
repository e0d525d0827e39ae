"""Why a candidate ended: ``finishReason`` and the canonical kinds."""

from __future__ import annotations

from typing import Final

from llmgw.events import StopKind, StopReason
from llmgw.model import JSON

_FILTERED: Final = (
    "SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "PUP_LIMITED_DISABLED",
    "RECITATION", "IMAGE_RECITATION", "MODEL_ARMOR",
)  # fmt: skip
_MALFORMED: Final = (
    "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
)  # fmt: skip
_OTHER: Final = (
    "LANGUAGE", "OTHER", "FINISH_REASON_UNSPECIFIED", "IMAGE_OTHER", "NO_IMAGE", "ESCALATION",
)  # fmt: skip
_READ: Final[dict[str, StopKind]] = {
    "STOP": "end",
    "MAX_TOKENS": "max_tokens",
    "CONTINUATION": "continuation",
    **dict.fromkeys(_FILTERED, "content_filter"),
    **dict.fromkeys(_MALFORMED, "malformed_tool_call"),
    **dict.fromkeys(_OTHER, "other"),
}
_NUMBERED: Final = (
    "FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "BLOCKLIST",
    "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY",
)  # fmt: skip
"""As clients get them that ask for numbers."""
_WRITTEN: Final[dict[StopKind, str]] = {
    "end": "STOP",
    "stop_sequence": "STOP",
    "tool_use": "STOP",
    "pause": "STOP",
    "compaction": "STOP",
    "steered": "STOP",
    "max_tokens": "MAX_TOKENS",
    "context_window": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "malformed_tool_call": "MALFORMED_FUNCTION_CALL",
    "continuation": "CONTINUATION",
}
BLOCKED: Final = "promptFeedback."
"""Before the provider's word for why it refused the prompt itself."""


def read_stop(raw: JSON, *, called: bool, message: str = "", token: str = "") -> StopReason:
    """Read a ``finishReason``.

    Args:
        raw: a word, or its number.
        called: whether the candidate called functions, of which the reason itself does not tell.
        message: ``finishMessage``.
        token: ``continuationToken``.
    """
    word = word_of(raw)
    kind = _READ.get(word, "other")
    if kind == "end":
        return StopReason("tool_use" if called else "end", raw=word)
    return StopReason(
        kind,
        category=word.lower() if kind == "content_filter" else None,
        explanation=message or None,
        continuation=token or None,
        raw=word,
    )


def word_of(raw: JSON) -> str:
    """A ``finishReason`` as a word; some clients ask for numbers."""
    number = isinstance(raw, int) and 0 <= raw < len(_NUMBERED)
    return _NUMBERED[raw] if number else str(raw)


def blocked(reason: str, message: str) -> StopReason:
    """The prompt was refused: there is no candidate."""
    return StopReason("content_filter", category=reason.lower(), explanation=message or None, raw=BLOCKED + reason)


def is_blocked(reason: StopReason) -> bool:
    """Whether it was the prompt that was refused."""
    return (reason.raw or "").startswith(BLOCKED)


def write_feedback(reason: StopReason) -> dict[str, JSON]:
    """``promptFeedback``."""
    told = {"blockReason": (reason.raw or "").removeprefix(BLOCKED), "blockReasonMessage": reason.explanation}
    return {key: value for key, value in told.items() if value}


def write_stop(reason: StopReason, *, own: bool, empty: bool) -> dict[str, JSON]:
    """The keys of a candidate that ended.

    Args:
        reason: why.
        own: whether the provider's word was of this dialect, so that even one we do not know may pass.
        empty: whether the candidate has said nothing, in which case a refusal must not look like an ordinary end.
    """
    raw = reason.raw or ""
    word: JSON = _word(reason, empty)
    if not is_blocked(reason) and (raw in _READ or (own and raw)):
        word = raw
    told = {"finishReason": word, "finishMessage": reason.explanation, "continuationToken": reason.continuation}
    return {key: value for key, value in told.items() if value is not None}


def _word(reason: StopReason, empty: bool) -> str:
    if reason.kind == "refusal":
        return "PROHIBITED_CONTENT" if empty else "STOP"
    return _WRITTEN.get(reason.kind, "OTHER")
