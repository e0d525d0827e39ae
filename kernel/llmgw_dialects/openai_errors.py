"""How errors of any origin look to a client of OpenAI's dialects."""

from __future__ import annotations

import math
from typing import Final

from llmgw.errors import GatewayError, Kind, UpstreamError
from llmgw.model import JSON
from llmgw_dialects.failures import cleaned

# type and code for each kind, as OpenAI itself uses them
_WRITTEN: Final[dict[Kind, tuple[str, str | None]]] = {
    "invalid_request": ("invalid_request_error", None),
    "authentication": ("invalid_request_error", "invalid_api_key"),
    "billing": ("insufficient_quota", "insufficient_quota"),
    "permission": ("invalid_request_error", "permission_denied"),
    "not_found": ("invalid_request_error", None),
    "model_not_found": ("invalid_request_error", "model_not_found"),
    "conflict": ("invalid_request_error", "conflict"),
    "request_too_large": ("invalid_request_error", "request_too_large"),
    "rate_limited": ("rate_limit_error", "rate_limit_exceeded"),
    "overloaded": ("server_error", "server_is_overloaded"),
    "upstream_error": ("server_error", "upstream_error"),
    "timeout": ("server_error", "timeout"),
    "context_length": ("invalid_request_error", "context_length_exceeded"),
    "content_policy": ("invalid_request_error", "content_policy_violation"),
    "cancelled": ("invalid_request_error", "cancelled"),
    "unsupported_feature": ("invalid_request_error", "unsupported_parameter"),
    "gateway_config": ("server_error", "gateway_misconfigured"),
    "internal": ("server_error", None),
}


def error_body(error: GatewayError) -> dict[str, JSON]:
    """An error of any origin as OpenAI's JSON."""
    kind, code = _WRITTEN[error.kind]
    message = cleaned(error.message)
    if error.kind == "rate_limited":
        message = patient(message, error.retry_after)
    return {"error": {"message": message, "type": kind, "param": error.param, "code": _spoken(error) or code}}


def code_of(error: GatewayError) -> str | None:
    """The word for machines in such a body, whoever made the error."""
    return _spoken(error) or _WRITTEN[error.kind][1]


def _spoken(error: GatewayError) -> str | None:
    """The code that the error came with; another vendor's means nothing to a client of OpenAI's."""
    upstream = error.upstream if isinstance(error, UpstreamError) else None
    foreign = upstream is not None and upstream.dialect and not upstream.dialect.startswith("openai.")
    return None if foreign else error.code


def patient(message: str, retry_after: float | None) -> str:
    """A message that also says when to try again, which some clients look for there."""
    if retry_after is None or "try again in" in message:
        return message
    return f"{message.rstrip()} Please try again in {max(1, math.ceil(retry_after))}s."
