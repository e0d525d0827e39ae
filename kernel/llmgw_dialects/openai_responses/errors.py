"""How errors of any origin look to a client of this dialect."""

from __future__ import annotations

from typing import Final

from llmgw import jsons
from llmgw.errors import GatewayError, Kind, UpstreamError, UpstreamRefused
from llmgw.model import JSON
from llmgw_dialects.failures import cleaned, loaded
from llmgw_dialects.openai_errors import code_of, error_body, patient
from llmgw_dialects.openai_responses.names import NAME

_STATUSES: Final[dict[Kind, int]] = {
    "invalid_request": 400,
    "unsupported_feature": 400,
    "authentication": 401,
    "billing": 429,
    "permission": 403,
    "not_found": 404,
    "model_not_found": 404,
    "conflict": 409,
    "request_too_large": 413,
    "rate_limited": 429,
    "overloaded": 503,
    "upstream_error": 502,
    "timeout": 504,
    "context_length": 400,
    "content_policy": 400,
    "cancelled": 499,
}
_INSIDE: Final[dict[Kind, str]] = {
    "invalid_request": "invalid_prompt",
    "unsupported_feature": "invalid_prompt",
    "billing": "insufficient_quota",
    "rate_limited": "rate_limit_exceeded",
    "overloaded": "server_is_overloaded",
    "context_length": "context_length_exceeded",
    "content_policy": "content_policy_violation",
}
"""Codes of a response that failed, which clients know apart; all else is the server's."""


def write_error(error: GatewayError) -> bytes:
    """The body of an error: a provider's own if it is of this dialect and a body, else one from which the SDK raises."""
    upstream = error.upstream if isinstance(error, UpstreamError) else None
    if upstream is not None and upstream.dialect == NAME and upstream.status >= 400 and isinstance(loaded(upstream.body), dict):
        return upstream.body
    body = error_body(error)
    body["error"] = {**body["error"], "message": _message(error)}
    return jsons.dumps(body)


def error_status(error: GatewayError) -> int:
    """The HTTP status: a provider's of this dialect, or what OpenAI answers with in such a case."""
    if isinstance(error, UpstreamRefused) and (
        error.upstream is None or error.upstream.dialect != NAME or error.upstream.status < 400
    ):
        return _STATUSES.get(error.kind, error.status)
    return error.status


def failure(error: GatewayError) -> dict[str, JSON]:
    """The error of a response that failed."""
    own = isinstance(error, UpstreamError) and error.upstream is not None and error.upstream.dialect.startswith("openai.")
    code = error.code if own and error.code else _INSIDE.get(error.kind, "server_error")
    return {"code": code, "message": _message(error)}


def event(error: GatewayError) -> dict[str, JSON]:
    """The event of an error before there is a response."""
    return {"type": "error", "code": code_of(error), "message": _message(error), "param": error.param}


def _message(error: GatewayError) -> str:
    told = cleaned(error.message)
    return patient(told, error.retry_after) if error.kind in ("rate_limited", "overloaded") else told
