"""How errors of any origin look to a client of this dialect."""

from __future__ import annotations

from typing import Final

from llmgw import jsons
from llmgw.errors import GatewayError, Kind, UpstreamError
from llmgw.model import JSON
from llmgw_dialects.failures import cleaned
from llmgw_dialects.grammar import own_error
from llmgw_dialects.openai_chat.grammar import GRAMMAR

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


def write_error(error: GatewayError) -> bytes:
    """The body of an error: a provider's own if it is of this dialect, else one from which the SDK raises."""
    own = own_error(GRAMMAR, error.upstream) if isinstance(error, UpstreamError) else None
    return jsons.dumps(error_body(error)) if own is None else own


def error_body(error: GatewayError) -> dict[str, JSON]:
    """An error of any origin as this dialect's JSON."""
    kind, code = _WRITTEN[error.kind]
    return {"error": {"message": cleaned(error.message), "type": kind, "param": error.param, "code": error.code or code}}
