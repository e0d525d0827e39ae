"""Prompt-cache breakpoints: OpenAI's ``prompt_cache_breakpoint``, and ``cache_control`` as OpenRouter and LiteLLM take it."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, CacheMark, Node
from llmgw_dialects.losses import Losses

_KEYS: Final = ("prompt_cache_breakpoint", "cache_control")
_TTLS: Final = {"5m": 300.0, "30m": 1800.0, "1h": 3600.0, "12h": 43200.0}


def read_mark(node: dict[str, Any]) -> CacheMark | None:
    """The mark on a part or tool."""
    for key in _KEYS:
        value = node.get(key)
        if isinstance(value, dict):
            ttl = value.get("ttl")
            return CacheMark(_TTLS.get(ttl) if isinstance(ttl, str) else None, raw={key: value})
    return None


def write_mark(mark: CacheMark | None, losses: Losses, node: Node) -> dict[str, JSON]:
    """The keys for a mark: the client's own, or OpenAI's where it comes from another dialect."""
    if mark is None:
        return {}
    if isinstance(mark.raw, dict) and any(key in _KEYS for key in mark.raw):
        return mark.raw
    if mark.ttl is None:
        return {"prompt_cache_breakpoint": {"mode": "explicit"}}
    # classes of lifetime, not seconds: short and long
    ttl = "30m" if mark.ttl <= 1800 else "12h"
    if _TTLS[ttl] != mark.ttl:
        losses.approximated("cache.ttl", str(mark.ttl), ttl, node)
    return {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": ttl}}
