"""Why a choice ended: ``finish_reason`` and the canonical kinds."""

from __future__ import annotations

from typing import Final

from llmgw.events import StopKind, StopReason

_READ: Final[dict[str, StopKind]] = {
    "stop": "end",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filter",
    # other vendors' words
    "eos": "end",
    "end_turn": "end",
    "max_tokens": "max_tokens",
    "model_length": "context_window",
    "tool_call": "tool_use",
    "tool_use": "tool_use",
    "sensitive": "content_filter",
    "safety": "content_filter",
    "error": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
}
_OWN: Final = frozenset({"stop", "length", "tool_calls", "function_call", "content_filter"})
_WRITTEN: Final[dict[StopKind, str]] = {
    "max_tokens": "length",
    "context_window": "length",
    "tool_use": "tool_calls",
    "refusal": "stop",
    "content_filter": "content_filter",
}


def read_stop(raw: str, *, called: bool) -> StopReason:
    """Read a ``finish_reason``.

    Args:
        raw: as the provider wrote it.
        called: whether the choice has tool calls; OpenAI itself says ``stop`` after a call that the client forced.
    """
    kind = _READ.get(raw, "other")
    return StopReason("tool_use" if called and kind == "end" else kind, raw=raw or None)


def write_stop(reason: StopReason, *, own: bool, untold: bool = False) -> str:
    """Write a ``finish_reason``.

    Args:
        reason: why the choice ended.
        own: whether the provider's word was of this dialect, so that even one we do not know may pass.
        untold: whether the choice has no text, or nothing in it says that it is a refusal, which must not look like an
            ordinary end.
    """
    if reason.raw and (own or reason.raw in _OWN):
        return reason.raw
    if reason.kind == "refusal" and untold:
        return "content_filter"
    return _WRITTEN.get(reason.kind, "stop")
