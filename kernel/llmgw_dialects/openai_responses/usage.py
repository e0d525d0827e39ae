"""Token counts: the ``usage`` object and the canonical counts."""

from __future__ import annotations

from typing import Any

from llmgw.events import Usage
from llmgw.model import JSON
from llmgw_dialects.openai_responses.names import dict_of


def read_usage(raw: JSON) -> Usage | None:
    """Read a provider's ``usage``; None where there is none."""
    if not isinstance(raw, dict) or not raw:
        return None
    of_input, of_output = dict_of(raw, "input_tokens_details"), dict_of(raw, "output_tokens_details")
    return Usage(
        input_total=_count(raw, "input_tokens"),
        output_total=_count(raw, "output_tokens"),
        cache_read=_count(of_input, "cached_tokens"),
        cache_write=_count(of_input, "cache_write_tokens"),
        reasoning=_count(of_output, "reasoning_tokens"),
        raw=raw,
    )


def write_usage(usage: Usage | None) -> dict[str, JSON]:
    """Write a ``usage`` object: never none, for clients fail without; the provider's own if it is still true."""
    usage = usage or Usage(estimated=True)
    raw = usage.raw if isinstance(usage.raw, dict) and "input_tokens" in usage.raw else {}
    if raw and "total_tokens" in raw and read_usage(raw) == usage:
        return dict(raw)
    total_in, total_out = usage.input_total or 0, usage.output_total or 0
    of_input = {"cached_tokens": usage.cache_read or 0, "cache_write_tokens": usage.cache_write or 0}
    return {
        **raw,
        "input_tokens": total_in,
        "input_tokens_details": {**dict_of(raw, "input_tokens_details"), **of_input},
        "output_tokens": total_out,
        "output_tokens_details": {**dict_of(raw, "output_tokens_details"), "reasoning_tokens": usage.reasoning or 0},
        "total_tokens": total_in + total_out,
    }


def _count(raw: dict[str, Any], key: str) -> int | None:
    value = raw.get(key)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
