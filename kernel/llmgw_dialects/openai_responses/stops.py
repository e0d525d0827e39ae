"""Why a response ended: ``status`` with ``incomplete_details``, and the canonical kinds."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from llmgw.events import StopKind, StopReason
from llmgw_dialects.openai_responses.names import dict_of, text_of

_INCOMPLETE: Final[dict[str, StopKind]] = {
    "max_output_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "content_filter": "content_filter",
    "steered": "steered",
}
_REASONS: Final[dict[StopKind, str]] = {
    "max_tokens": "max_output_tokens",
    "context_window": "max_output_tokens",
    "content_filter": "content_filter",
    "steered": "steered",
}
_UNFINISHED: Final = frozenset({"queued", "in_progress", "cancelled"})
"""What a response that is made in the background says meanwhile."""
_FAILED: Final[frozenset[StopKind]] = frozenset({"malformed_tool_call", "error", "cancelled"})


@frozen
class Ending:
    """How a response ends.

    Args:
        status: its word for it.
        reason: why it is incomplete, if it is.
        error: what went wrong, if it failed.
    """

    status: str
    reason: str | None = None
    error: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the response goes on elsewhere."""
        return self.status in ("queued", "in_progress")

    @property
    def event(self) -> str:
        """The event that says so."""
        known = self.status if self.status in ("completed", "incomplete", "failed") else "incomplete"
        return f"response.{known}"


def read_stop(response: dict[str, Any], *, called: bool, refused: bool) -> StopReason:
    """Read how a response ended.

    Args:
        response: as the provider gave it.
        called: whether it holds calls of tools of the client's.
        refused: whether it holds a refusal.
    """
    status = text_of(response, "status") or "completed"
    if status == "completed":
        return StopReason("tool_use" if called else "refusal" if refused else "end", raw=status)
    if status == "incomplete":
        reason = text_of(dict_of(response, "incomplete_details"), "reason")
        return StopReason(_INCOMPLETE.get(reason, "other"), raw=reason or status)
    return StopReason("cancelled" if status == "cancelled" else "other", raw=status)


def write_stop(reason: StopReason | None, *, said: bool, refused: bool) -> Ending:
    """How a response ends that ended so.

    Args:
        reason: why it ended.
        said: whether there is anything in it.
        refused: whether it holds a refusal in words.
    """
    reason = reason or StopReason("other")
    if reason.raw in _UNFINISHED:
        return Ending(str(reason.raw))
    if reason.kind in _REASONS:
        return Ending("incomplete", _REASONS[reason.kind])
    if reason.kind == "refusal" and not refused:  # never an empty success
        return Ending("incomplete", "content_filter")
    if reason.kind == "other" and reason.raw == "max_messages":
        return Ending("incomplete", "max_messages")
    if reason.kind in _FAILED or (reason.kind == "other" and not said and reason.raw not in ("completed", "incomplete")):
        return Ending(
            "failed", error=f"The model's answer ended in the middle: {reason.explanation or reason.raw or reason.kind}."
        )
    if reason.kind == "other" and reason.raw == "incomplete":
        return Ending("incomplete")
    return Ending("completed")
