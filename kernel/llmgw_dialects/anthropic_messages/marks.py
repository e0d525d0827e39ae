"""Prompt-cache breakpoints: ``cache_control``."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, CacheMark, Node
from llmgw_dialects.losses import Losses

KEY: Final = "cache_control"
_TTLS: Final = {"5m": 300.0, "1h": 3600.0}
_SHORT: Final = 1800.0
"""Seconds up to which a lifetime is of the short class: lifetimes are kept as classes, not as seconds."""


def ttl_of(value: dict[str, Any]) -> float | None:
    """Seconds of a ``cache_control``; None is the provider's default."""
    ttl = value.get("ttl")
    return _TTLS.get(ttl) if isinstance(ttl, str) else None


def read_mark(node: dict[str, Any]) -> CacheMark | None:
    """The mark on a block or tool."""
    value = node.get(KEY)
    return CacheMark(ttl_of(value), raw={KEY: value}) if isinstance(value, dict) else None


def write_mark(mark: CacheMark | None, losses: Losses, node: Node) -> dict[str, JSON]:
    """The key for a mark: the client's own where it wrote one of Anthropic's."""
    if mark is None:
        return {}
    if isinstance(mark.raw, dict) and isinstance(mark.raw.get(KEY), dict):
        return {KEY: mark.raw[KEY]}
    return {KEY: write_ttl(mark.ttl, losses, node)}


def write_ttl(ttl: float | None, losses: Losses, node: Node | None = None) -> dict[str, JSON]:
    """A ``cache_control`` of the class that a lifetime is of."""
    long = ttl is not None and ttl > _SHORT
    if ttl is not None and ttl != _TTLS["1h" if long else "5m"]:
        losses.approximated("cache.ttl", f"{ttl:g}s", "1h" if long else "5m", node)
    return {"type": "ephemeral", "ttl": "1h"} if long else {"type": "ephemeral"}
