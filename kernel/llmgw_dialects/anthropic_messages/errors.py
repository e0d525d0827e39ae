"""How errors of any origin look to a client of this dialect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from llmgw import jsons
from llmgw.errors import ClientError, GatewayError, Kind, UpstreamError, UpstreamReply
from llmgw.model import JSON
from llmgw_dialects import failures
from llmgw_dialects.anthropic_messages.grammar import GRAMMAR
from llmgw_dialects.anthropic_messages.names import NAME
from llmgw_dialects.failures import cleaned
from llmgw_dialects.grammar import own_error

# status and type for each kind, as Anthropic itself uses them; without a status the error's own stands
_WRITTEN: Final[dict[Kind, tuple[int | None, str]]] = {
    "invalid_request": (400, "invalid_request_error"),
    "authentication": (401, "authentication_error"),
    "billing": (402, "billing_error"),
    "permission": (403, "permission_error"),
    "not_found": (404, "not_found_error"),
    "model_not_found": (404, "not_found_error"),
    "conflict": (409, "conflict_error"),
    "request_too_large": (413, "request_too_large"),
    "rate_limited": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "upstream_error": (None, "api_error"),
    "timeout": (504, "timeout_error"),
    "context_length": (400, "invalid_request_error"),
    "content_policy": (400, "invalid_request_error"),
    "cancelled": (499, "invalid_request_error"),
    "unsupported_feature": (400, "invalid_request_error"),
    "gateway_config": (500, "api_error"),
    "internal": (500, "api_error"),
}
_NO_CREDIT: Final = "credit balance is too low"
_TOO_LONG: Final = "prompt is too long"
"""By these words clients know that they must shorten a conversation."""
_COUNTS: Final = (
    re.compile(r"maximum context length (?:of|is) (?P<most>[\d,]+)\D+?(?P<count>[\d,]{2,}) tokens", re.IGNORECASE | re.DOTALL),
    re.compile(r"token count \(?(?P<count>[\d,]+)\)? exceeds the maximum number of tokens(?: allowed)? \(?(?P<most>[\d,]+)"),
    re.compile(r"\((?P<count>[\d,]+) tokens\).{0,60}?\((?P<most>[\d,]+) tokens\)", re.DOTALL),
)
_REQUEST_IDS: Final = ("request-id", "x-request-id")


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """Classify a provider's error; which model there is not, and that there is no credit, it says in words alone."""
    error = failures.read_error(NAME, status, headers, body)
    if error.kind == "not_found" and error.message.startswith("model:"):
        error.kind = "model_not_found"
    elif error.kind == "invalid_request" and _NO_CREDIT in error.message.lower():
        error.kind = "billing"
    return error


def error_status(error: GatewayError) -> int:
    """The HTTP status: a provider's own if it spoke this dialect, Anthropic's for the kind, else the error's."""
    upstream = _upstream(error)
    if upstream is not None and upstream.dialect == NAME and upstream.status >= 400:
        return upstream.status
    if isinstance(error, ClientError):
        return error.status
    status = _WRITTEN[error.kind][0]
    if status is not None:
        return status
    return error.status if error.status >= 500 else 500


def write_error(error: GatewayError) -> bytes:
    """The body of an error: a provider's own if it is of this dialect, else one from which the SDK raises."""
    own = own_error(GRAMMAR, _upstream(error))
    return jsons.dumps(error_body(error)) if own is None else own


def error_body(error: GatewayError) -> dict[str, JSON]:
    """An error of any origin as this dialect's JSON."""
    _, kind = _WRITTEN[error.kind]
    told = {"type": kind, "message": _message(error)}
    return {"type": "error", "error": told, "request_id": _request_id(_upstream(error))}


def _message(error: GatewayError) -> str:
    message = cleaned(error.message)
    if error.kind != "context_length" or _TOO_LONG in message.lower():
        return message
    for pattern in _COUNTS:
        if found := pattern.search(message):
            count, most = (found[name].replace(",", "") for name in ("count", "most"))
            return f"{_TOO_LONG}: {count} tokens > {most} maximum ({message})"
    return f"{_TOO_LONG}: {message}"


def _upstream(error: GatewayError) -> UpstreamReply | None:
    return error.upstream if isinstance(error, UpstreamError) else None


def _request_id(upstream: UpstreamReply | None) -> str | None:
    headers = {} if upstream is None else upstream.headers
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)
