"""What a provider says about its rate limits, from one dialect's headers into another's.

OpenAI: ``x-ratelimit-remaining-tokens``, resets as durations (``6m0s``). Anthropic: ``anthropic-ratelimit-tokens-remaining``,
resets as RFC 3339 times. Gemini says nothing in headers. Numbers that a provider does not give are not made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from llmgw.model import RateLimit
from llmgw_dialects.retry import duration

_OPENAI: Final = ("requests", "tokens")
_ANTHROPIC: Final = ("requests", "tokens", "input-tokens", "output-tokens")


def read_openai(headers: Mapping[str, str], now: float) -> list[RateLimit]:
    """Read OpenAI's headers.

    Args:
        headers: names in lower case.
        now: Unix seconds.
    """
    out = []
    for scope in _OPENAI:
        reset = duration(headers.get(f"x-ratelimit-reset-{scope}", ""))
        limit, remaining = (_number(headers.get(f"x-ratelimit-{word}-{scope}")) for word in ("limit", "remaining"))
        if limit is not None or remaining is not None:
            out.append(RateLimit(scope, limit, remaining, None if reset is None else now + reset))
    return out


def write_openai(limits: Sequence[RateLimit], now: float) -> dict[str, str]:
    """Write OpenAI's headers; it has no separate limits of input and output."""
    out: dict[str, str] = {}
    for one in limits:
        if one.scope in _OPENAI:
            reset = None if one.reset_at is None else f"{max(0.0, one.reset_at - now):.3f}".rstrip("0").rstrip(".") + "s"
            told = {"limit": one.limit, "remaining": one.remaining, "reset": reset}
            out |= {f"x-ratelimit-{word}-{one.scope}": str(value) for word, value in told.items() if value is not None}
    return out


def read_anthropic(headers: Mapping[str, str], now: float) -> list[RateLimit]:
    """Read Anthropic's headers."""
    out = []
    for scope in _ANTHROPIC:
        prefix = f"anthropic-ratelimit-{scope}"
        limit, remaining = (_number(headers.get(f"{prefix}-{word}")) for word in ("limit", "remaining"))
        if limit is not None or remaining is not None:
            out.append(RateLimit(scope, limit, remaining, _time(headers.get(f"{prefix}-reset"))))
    return out


def write_anthropic(limits: Sequence[RateLimit], now: float) -> dict[str, str]:
    """Write Anthropic's headers."""
    out: dict[str, str] = {}
    for one in limits:
        reset = None if one.reset_at is None else datetime.fromtimestamp(one.reset_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = {"limit": one.limit, "remaining": one.remaining, "reset": reset}
        out |= {f"anthropic-ratelimit-{one.scope}-{word}": str(value) for word, value in told.items() if value is not None}
    return out


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None


def _time(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None
