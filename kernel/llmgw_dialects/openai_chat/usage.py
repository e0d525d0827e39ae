"""Token counts: the ``usage`` object and the canonical counts."""

from __future__ import annotations

from typing import Any

from llmgw.events import Usage
from llmgw.model import JSON


def read_usage(raw: JSON) -> Usage | None:
    """Read a provider's ``usage``; None where there is none."""
    if not isinstance(raw, dict) or not raw:
        return None
    of_input = _object(raw, "prompt_tokens_details")
    of_output = _object(raw, "completion_tokens_details")
    reasoning = _count(of_output, "reasoning_tokens")
    if reasoning is None:  # Perplexity, xAI and others put it on top
        reasoning = _count(raw, "reasoning_tokens")
    cached = _count(of_input, "cached_tokens")
    if cached is None:  # DeepSeek; Moonshot
        cached = _count(raw, "prompt_cache_hit_tokens", "cached_tokens")
    return Usage(
        input_total=_count(raw, "prompt_tokens"),
        output_total=_output_total(raw, reasoning),
        cache_read=cached,
        cache_write=_count(of_input, "cache_write_tokens"),
        reasoning=reasoning,
        audio_input=_count(of_input, "audio_tokens"),
        audio_output=_count(of_output, "audio_tokens"),
        accepted_prediction=_count(of_output, "accepted_prediction_tokens"),
        rejected_prediction=_count(of_output, "rejected_prediction_tokens"),
        raw=raw,
    )


def write_usage(usage: Usage) -> dict[str, JSON]:
    """Write a ``usage`` object: the provider's own if it was of this dialect and is still true."""
    raw = usage.raw if isinstance(usage.raw, dict) and "prompt_tokens" in usage.raw else {}
    if raw and read_usage(raw) == usage:
        return dict(raw)
    total_in, total_out = usage.input_total or 0, usage.output_total or 0
    out = {**raw, "prompt_tokens": total_in, "completion_tokens": total_out, "total_tokens": total_in + total_out}
    _details(
        out,
        "prompt_tokens_details",
        cached_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        audio_tokens=usage.audio_input,
    )
    _details(
        out,
        "completion_tokens_details",
        reasoning_tokens=usage.reasoning,
        audio_tokens=usage.audio_output,
        accepted_prediction_tokens=usage.accepted_prediction,
        rejected_prediction_tokens=usage.rejected_prediction,
    )
    return out


def _output_total(raw: dict[str, Any], reasoning: int | None) -> int | None:
    """Google's compatible endpoint and some others leave reasoning out of ``completion_tokens``; their total tells."""
    given, total, prompt = (_count(raw, key) for key in ("completion_tokens", "total_tokens", "prompt_tokens"))
    if given is None or total is None or prompt is None or not reasoning:
        return given
    return given + reasoning if total == prompt + given + reasoning else given


def _object(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _count(raw: dict[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = raw.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return int(value)
    return None


def _details(out: dict[str, JSON], key: str, **counts: int | None) -> None:
    known = {name: count for name, count in counts.items() if count is not None}
    old = out.get(key)
    if known or isinstance(old, dict):
        out[key] = {**(old if isinstance(old, dict) else {}), **known}
