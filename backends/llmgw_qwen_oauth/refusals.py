"""What Qwen's server says since its login was ended, and what to do then."""

from __future__ import annotations

import re
from typing import Final

from attrs import evolve

from llmgw.errors import UpstreamError
from llmgw_qwen_oauth.login import ADVICE, ALTERNATIVE

_SPENT: Final = re.compile(r"free allocated quota exceeded|insufficient_quota", re.IGNORECASE)
_GONE: Final = re.compile(r"invalid access token or token expired", re.IGNORECASE)


def explained(error: UpstreamError) -> UpstreamError:
    """An error with what to do about it; status, class and the provider's words stay.

    Args:
        error: as the dialect has read it.
    """
    if error.kind == "authentication" or _GONE.search(error.message):
        error.kind, error.code = "authentication", "backend_discontinued"
        return _saying(error, ADVICE)
    if _SPENT.search(f"{error.message} {error.code}"):
        error.kind = "billing"
        error.retry_after = None
        return _saying(error, f"The free quota is used up. {ALTERNATIVE}")
    return error


def _saying(error: UpstreamError, advice: str) -> UpstreamError:
    error.message = f"{error.message.rstrip(' .')}. {advice}"
    error.args = (error.message,)
    if error.upstream is not None:  # else a client of this dialect would get the bare words
        error.upstream = evolve(error.upstream, dialect="")
    return error
