"""How errors of any origin look to a client of this dialect, and what Google's own mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from llmgw import jsons
from llmgw.errors import GatewayError, Kind, UpstreamError
from llmgw.model import JSON
from llmgw_dialects import failures
from llmgw_dialects.failures import cleaned, loaded
from llmgw_dialects.google_gemini.envelopes import OWN
from llmgw_dialects.google_gemini.grammar import GeminiGrammar
from llmgw_dialects.google_gemini.names import objects_of, text_of
from llmgw_dialects.grammar import own_error
from llmgw_dialects.retry import duration

_RPC: Final = "type.googleapis.com/google.rpc."
# status and word for each kind, as Google itself uses them
_WRITTEN: Final[dict[Kind, tuple[int, str]]] = {
    "invalid_request": (400, "INVALID_ARGUMENT"),
    "unsupported_feature": (400, "INVALID_ARGUMENT"),
    "context_length": (400, "INVALID_ARGUMENT"),
    "content_policy": (400, "FAILED_PRECONDITION"),
    "authentication": (401, "UNAUTHENTICATED"),
    "permission": (403, "PERMISSION_DENIED"),
    "not_found": (404, "NOT_FOUND"),
    "model_not_found": (404, "NOT_FOUND"),
    "conflict": (409, "ABORTED"),
    "request_too_large": (413, "INVALID_ARGUMENT"),
    "billing": (429, "RESOURCE_EXHAUSTED"),
    "rate_limited": (429, "RESOURCE_EXHAUSTED"),
    "cancelled": (499, "CANCELLED"),
    "upstream_error": (500, "INTERNAL"),
    "gateway_config": (500, "INTERNAL"),
    "internal": (500, "INTERNAL"),
    "overloaded": (503, "UNAVAILABLE"),
    "timeout": (504, "DEADLINE_EXCEEDED"),
}
_READ: Final[dict[str, Kind]] = {
    "UNAUTHENTICATED": "authentication",
    "PERMISSION_DENIED": "permission",
    "NOT_FOUND": "model_not_found",
    "ABORTED": "conflict",
    "RESOURCE_EXHAUSTED": "rate_limited",
    "CANCELLED": "cancelled",
    "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "timeout",
    "INTERNAL": "upstream_error",
}
_REASONS: Final[dict[str, Kind]] = {
    "API_KEY_INVALID": "authentication",
    "API_KEY_SERVICE_BLOCKED": "permission",
    "ACCESS_TOKEN_EXPIRED": "authentication",
    "QUOTA_EXHAUSTED": "billing",
    "RATE_LIMIT_EXCEEDED": "rate_limited",
    "MODEL_CAPACITY_EXHAUSTED": "overloaded",
    "BILLING_DISABLED": "billing",
}
_KEPT: Final = frozenset({400, 403, 404, 405, 408, 409, 413, 429, 503, 504})
"""Statuses of ours that say more than the kind's."""


# ---- reading ------------------------------------------------------------------------------------


def read_error(name: str, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """Classify a provider's error: by the details that Google adds, then its word, then as any other's."""
    error = failures.read_error(name, status, headers, body)
    tree = loaded(body)
    told = tree[0] if isinstance(tree, list) and tree else tree
    inner = told.get("error") if isinstance(told, dict) else None
    if isinstance(inner, dict):
        refine(error, inner)
        if isinstance(tree, list) and error.upstream is not None:  # a client expects it bare
            error.upstream = evolve(error.upstream, body=jsons.dumps(told), dialect=name)
    return error


def refine(error: UpstreamError, inner: dict[str, Any]) -> None:
    """Take what Google's details say."""
    details = {text_of(detail, "@type").removeprefix(_RPC): detail for detail in objects_of(inner, "details")}
    reason = text_of(details.get("ErrorInfo"), "reason")
    word = text_of(inner, "status")
    if error.kind not in ("context_length", "content_policy"):
        error.kind = _REASONS.get(reason) or _READ.get(word) or error.kind
    if error.kind == "rate_limited" and _is_spent(details.get("QuotaFailure")):
        error.kind = "billing"
    error.code = reason or word or error.code
    delay = duration(text_of(details.get("RetryInfo"), "retryDelay"))
    if delay is not None:
        error.retry_after = delay if error.retry_after is None else max(delay, error.retry_after)
    fields = objects_of(details.get("BadRequest"), "fieldViolations")
    if fields and error.param is None:
        error.param = text_of(fields[0], "field") or None


def _is_spent(quota: JSON) -> bool:
    """Whether it is the day's quota that is used up, which no waiting cures soon."""
    ids = [text_of(one, "quotaId") for one in objects_of(quota, "violations")]
    return bool(ids) and all("PerDay" in one for one in ids)


# ---- writing ------------------------------------------------------------------------------------


def write_error(error: GatewayError, grammar: GeminiGrammar) -> bytes:
    """The body of an error: a provider's own if it is of this dialect, else one from which the SDK raises."""
    own = own_error(grammar, error.upstream) if isinstance(error, UpstreamError) else None
    return jsons.dumps(error_body(error)) if own is None else own


def error_status(error: GatewayError) -> int:
    """The HTTP status: the provider's own if it was Google, ours where it says more than Google's word for the kind."""
    if isinstance(error, UpstreamError) and error.upstream is not None and error.upstream.dialect in OWN:
        return error.status
    if error.status in _KEPT and not isinstance(error, UpstreamError):
        return error.status
    return _WRITTEN[error.kind][0]


def error_body(error: GatewayError) -> dict[str, JSON]:
    """An error of any origin as this dialect's JSON; the SDK knows it by its first key."""
    status, word = _WRITTEN[error.kind]
    message = cleaned(error.message)
    details = list(_details(error, message))
    out: dict[str, JSON] = {"code": status, "message": message, "status": word}
    return {"error": {**out, "details": details} if details else out}


def _details(error: GatewayError, message: str) -> Any:
    if error.kind == "authentication":
        yield {"@type": _RPC + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
    if error.kind == "billing":
        yield {"@type": _RPC + "QuotaFailure", "violations": [{"subject": "llmgw", "description": message}]}
        yield {"@type": _RPC + "ErrorInfo", "reason": "QUOTA_EXHAUSTED", "domain": "googleapis.com"}
    if error.kind == "rate_limited":
        yield {"@type": _RPC + "ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com"}
    if error.kind in ("rate_limited", "overloaded") and error.retry_after is not None:
        yield {"@type": _RPC + "RetryInfo", "retryDelay": f"{error.retry_after:g}s"}
    if error.param is not None:
        yield {"@type": _RPC + "BadRequest", "fieldViolations": [{"field": error.param, "description": message}]}
