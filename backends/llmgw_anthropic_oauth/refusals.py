"""What Anthropic's servers say to a subscription's token in another program than its own, and what to do then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import evolve

from llmgw.errors import UpstreamError

ALTERNATIVE: Final = "Use the back-end 'anthropic' with an ANTHROPIC_API_KEY (https://console.anthropic.com/settings/keys)."
_ELSEWHERE: Final = re.compile(r"only authorized for use with Claude Code|Third-party apps now draw from", re.IGNORECASE)
_RESET: Final = "anthropic-ratelimit-unified-reset"
_STATUS: Final = "anthropic-ratelimit-unified-status"


def explained(error: UpstreamError, advice: str, now: float) -> UpstreamError:
    """An error with what to do about it.

    Args:
        error: as the dialect has read it.
        advice: where the login is not taken.
        now: Unix seconds.
    """
    if _ELSEWHERE.search(error.message):
        error.kind, error.code = "permission", "subscription_refused"
        return _saying(
            error, f"{error.message.rstrip()} This is Anthropic's rule for other programs than Claude Code. {ALTERNATIVE}"
        )
    if error.kind == "authentication":
        return advised(error, advice)
    headers = error.upstream.headers if error.upstream is not None else {}
    if headers.get(_STATUS) == "rejected":
        error.kind = "rate_limited"
        error.retry_after = _until(headers, now) if error.retry_after is None else error.retry_after
        return _saying(error, f"{error.message.rstrip()} The plan's limit is used up. To go on at once: {ALTERNATIVE}")
    return error


def advised(error: UpstreamError, advice: str) -> UpstreamError:
    """An error with the command to run, where the login is not taken.

    Args:
        error: as the dialect has read it.
        advice: the command.
    """
    return _saying(error, f"{error.message.rstrip()} {advice}") if error.kind == "authentication" else error


def _until(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the plan's limit is whole again, which is told in Unix seconds."""
    told = headers.get(_RESET, "")
    return max(0.0, float(told) - now) if told.isdecimal() else None


def _saying(error: UpstreamError, message: str) -> UpstreamError:
    error.message = message
    error.args = (message,)
    if error.upstream is not None:  # else a client of this dialect would get the bare words
        error.upstream = evolve(error.upstream, dialect="")
    return error
