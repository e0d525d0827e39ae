"""Token counts: the ``usage`` object, whose ``input_tokens`` leave out what came from the cache or went there."""

from __future__ import annotations

from typing import Any, Final

from llmgw.events import Usage
from llmgw.model import JSON
from llmgw_dialects.anthropic_messages.names import object_of

_OTHERS: Final = ("total_tokens", "input_tokens_details", "prompt_tokens")
"""By which the usage of other dialects is told."""
_CREATED, _READ = "cache_creation_input_tokens", "cache_read_input_tokens"


def read_usage(raw: JSON) -> Usage | None:
    """Read a provider's ``usage``; None where there is none."""
    if not isinstance(raw, dict) or not raw:
        return None
    given, created, read = (_count(raw, key) for key in ("input_tokens", _CREATED, _READ))
    counts = [count for count in (given, created, read) if count is not None]
    return Usage(
        input_total=sum(counts) if counts else None,
        output_total=_count(raw, "output_tokens"),
        cache_read=read,
        cache_write=created,
        reasoning=_count(object_of(raw, "output_tokens_details"), "thinking_tokens"),
        raw=raw,
    )


def write_usage(usage: Usage | None) -> dict[str, JSON]:
    """Write a ``usage`` object: the provider's own if it was of this dialect and is still true."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    raw: dict[str, Any] = usage.raw if isinstance(usage.raw, dict) and _is_ours(usage.raw) else {}
    if raw and "output_tokens" in raw and read_usage(raw) == usage:
        return dict(raw)
    # some providers count more from the cache than the prompt in all: the sum is what is paid for
    total = usage.input_total or 0
    created = min(usage.cache_write or 0, total)
    read = min(usage.cache_read or 0, total - created)
    out = {**raw, "input_tokens": total - created - read}
    if usage.cache_write is not None or _CREATED in raw:
        out[_CREATED] = created
    if usage.cache_read is not None or _READ in raw:
        out[_READ] = read
    out["output_tokens"] = usage.output_total or 0
    if usage.reasoning is not None:
        out["output_tokens_details"] = {**object_of(raw, "output_tokens_details"), "thinking_tokens": usage.reasoning}
    return out


def joined(raw: dict[str, Any], later: JSON) -> dict[str, Any]:
    """A provider's counts so far: a later total takes an earlier one's place, what is not said again stands."""
    return {**raw, **{key: value for key, value in later.items() if value is not None}} if isinstance(later, dict) else raw


def _is_ours(raw: dict[str, Any]) -> bool:
    return ("input_tokens" in raw or "output_tokens" in raw) and not any(key in raw for key in _OTHERS)


def _count(raw: dict[str, Any], key: str) -> int | None:
    value = raw.get(key)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
