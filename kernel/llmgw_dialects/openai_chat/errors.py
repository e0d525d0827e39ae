"""Errors: what a provider's mean, and how the gateway's look to a client of this dialect."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from llmgw import jsons, sse
from llmgw.errors import GatewayError, Kind, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamReply
from llmgw.model import JSON
from llmgw_dialects.openai_chat.names import NAME, choices_of
from llmgw_dialects.openai_chat.retry import retry_after

_CODES: Final[dict[str, Kind]] = {
    "invalid_api_key": "authentication",
    "authentication_error": "authentication",
    "unauthorized": "authentication",
    "insufficient_quota": "billing",
    "credit_balance_exhausted": "billing",
    "organization_usage_limit_exceeded": "billing",
    "billing_error": "billing",
    "billing_hard_limit_reached": "billing",
    "insufficient_balance": "billing",
    "permission_error": "permission",
    "permission_denied": "permission",
    "not_found_error": "not_found",
    "model_not_found": "model_not_found",
    "model_decommissioned": "model_not_found",
    "invalid_model": "model_not_found",
    "deploymentnotfound": "model_not_found",
    "rate_limit_exceeded": "rate_limited",
    "rate_limit_error": "rate_limited",
    "ratelimitreached": "rate_limited",
    "slow_down": "rate_limited",
    "tokens": "rate_limited",  # the type of OpenAI's 429 says which limit
    "requests": "rate_limited",
    "server_is_overloaded": "overloaded",
    "service_unavailable_error": "overloaded",
    "overloaded_error": "overloaded",
    "engine_overloaded": "overloaded",
    "context_length_exceeded": "context_length",
    "exceed_context_size_error": "context_length",
    "string_above_max_length": "context_length",
    "content_filter": "content_policy",
    "content_policy": "content_policy",
    "content_policy_violation": "content_policy",
    "moderation_blocked": "content_policy",
    "unsupported_parameter": "invalid_request",
    "unsupported_value": "invalid_request",
    "request_too_large": "request_too_large",
    "timeout_error": "timeout",
}
_STATUSES: Final[dict[int, Kind]] = {
    401: "authentication",
    402: "billing",
    403: "permission",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    413: "request_too_large",
    429: "rate_limited",
    498: "overloaded",
    499: "cancelled",
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}
_TOO_LONG: Final = re.compile(
    r"maximum context length|context (?:length|size|window)|prompt (?:is )?too long|too many (?:input )?tokens", re.IGNORECASE
)
_SECRET: Final = re.compile(r"\b(?:sk|pk|rk|gsk|xai|AIza)[-_]?[A-Za-z0-9_\-]{12,}|(?<=Bearer )\S+")
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)

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


@frozen
class _Told:
    """What an error body says, in whatever shape the vendor chose."""

    message: str
    code: str = ""
    type: str = ""
    param: str | None = None
    status: int | None = None


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """Classify a provider's error by its code, then its type, then its words, then its status."""
    tree = loaded(body)
    told = _told(tree) if tree is not None else _Told(_page(body))
    upstream = UpstreamReply(
        status,
        body,
        dialect=NAME if isinstance(tree, dict) else "",  # a page of HTML or a bare text is for the log alone
        headers=headers,
        content_type=headers.get("content-type", "application/json"),
    )
    return _refused(told, status, upstream, headers)


def error_in(tree: dict[str, Any]) -> JSON:
    """The error in a body or chunk that came with a 200; None if there is none."""
    if error := tree.get("error"):
        return error
    for choice in choices_of(tree):
        if (error := choice.get("error")) and isinstance(error, dict):  # OpenRouter
            return error
    if "choices" not in tree and tree.get("object") == "error":  # Mistral, vLLM
        return tree
    return None


@frozen
class InBand:
    """An error in a stream: where its frame begins, its data, and the error in it."""

    at: int
    data: bytes
    error: JSON


def find_error(block: bytes) -> InBand | None:
    """The first error among whole frames, or in a body that came instead of a stream."""
    if block.lstrip()[:1] in (b"{", b"["):
        tree = loaded(block)
        error = error_in(tree) if isinstance(tree, dict) else None
        return None if error is None else InBand(0, block.strip(), error)
    at = 0
    for frame in sse.frames(block):
        name, data = sse.parse(frame)
        if data is not None and (name == "error" or b'"error"' in data):
            tree = loaded(data)
            error = error_in(tree) if isinstance(tree, dict) else None
            if name == "error" and error is None:
                error = tree or data.decode(errors="replace")
            if error is not None:
                return InBand(at, data, error)
        at += len(frame)
    return None


def loaded(data: bytes) -> Any:
    """JSON, or None if it is none."""
    try:
        return jsons.loads(data)
    except jsons.JsonError:
        return None


def refused_in_band(error: JSON, body: bytes) -> UpstreamRefused:
    """The failure of a reply that began with a 200.

    Args:
        error: as ``error_in`` found it.
        body: the bytes that hold it: a body or frames, whatever they were called.
    """
    told = _told({"error": error})
    content_type = "application/json" if body.lstrip()[:1] in (b"{", b"[") else "text/event-stream"
    upstream = UpstreamReply(200, body, dialect=NAME, content_type=content_type)
    return _refused(told, told.status or 502, upstream, {})


def broken(data: bytes, wanted: str) -> UpstreamBroken:
    """The failure of a provider whose reply is not what it should be."""
    return UpstreamBroken(f"The provider's answer cannot be read: {wanted}, but this came: {excerpt(data)}")


def excerpt(data: bytes, length: int = 200) -> str:
    """The first characters of what came, fit to stand in a message."""
    text = data[: 4 * length].decode(errors="replace")
    if text.lstrip().startswith("<"):
        text = _page(data)
    text = _clean("".join(char if char.isprintable() else " " for char in text))
    return f"{text[:length]}…" if len(text) > length else text or "nothing"


def write_error(error: GatewayError) -> bytes:
    """The body of an error: a provider's own if it is of this dialect, else one from which the SDK raises."""
    if isinstance(error, UpstreamError) and error.upstream is not None and error.upstream.dialect == NAME:
        own = _own_body(error.upstream)
        if own is not None:
            return own
    return jsons.dumps(error_body(error))


def error_body(error: GatewayError) -> dict[str, JSON]:
    """An error of any origin as this dialect's JSON."""
    kind, code = _WRITTEN[error.kind]
    return {"error": {"message": _clean(error.message), "type": kind, "param": error.param, "code": error.code or code}}


def _own_body(upstream: UpstreamReply) -> bytes | None:
    if isinstance(loaded(upstream.body), dict):
        return upstream.body
    found = find_error(upstream.body)  # in a stream
    return found.data if found is not None and isinstance(loaded(found.data), dict) else None


def _refused(told: _Told, status: int, upstream: UpstreamReply, headers: Mapping[str, str]) -> UpstreamRefused:
    kind = _kind(told, status)
    return UpstreamRefused(
        told.message or f"The provider answered with status {status} and no message.",
        upstream=upstream,
        status=status,
        kind=kind,
        code=told.code or None,
        param=told.param,
        retry_after=retry_after(headers, told.message) if kind in ("rate_limited", "overloaded", "upstream_error") else None,
    )


def _kind(told: _Told, status: int) -> Kind:
    for word in (told.code.lower(), told.type.lower()):
        if word in _CODES:
            return _CODES[word]
        if word.endswith("_spend_limit_exceeded"):
            return "billing"
    if status in (400, 413, 422) and _TOO_LONG.search(told.message):
        return "context_length"
    if status == 404 and "model" in told.message.lower():
        return "model_not_found"
    return _STATUSES.get(status, "upstream_error" if status >= 500 else "invalid_request")


def _told(tree: JSON) -> _Told:
    match tree:
        case [first, *_]:  # Google's compatible endpoint wraps its errors in a list
            return _told(first)
        case {"error": dict(error)}:
            return _from_object(error)
        case {"error": str(message)} if message:  # xAI: the code beside it is a sentence
            return _Told(_clean(message))
        case {"error": list(errors)} if errors:
            return _told({"error": errors[0]})
        case {"detail": str(message)}:
            return _Told(_clean(message))
        case {"detail": detail}:  # FastAPI
            return _Told(_clean(jsons.dumps(detail).decode()))
        case dict():
            return _from_object(tree)
        case _:
            return _Told(_clean(tree if isinstance(tree, str) else jsons.dumps(tree).decode()))


def _from_object(error: dict[str, Any]) -> _Told:
    code, kind, param = error.get("code"), error.get("type") or error.get("status"), error.get("param")
    message = next((error[key] for key in ("message", "msg", "error", "title") if isinstance(error.get(key), str)), None)
    numbers = (error.get("status_code"), code, error.get("status"))
    return _Told(
        message=_clean(message if message is not None else jsons.dumps(error).decode()),
        code=code if isinstance(code, str) else "",
        type=kind if isinstance(kind, str) else "",
        param=param if isinstance(param, str) else None,
        status=next((number for number in numbers if isinstance(number, int) and 400 <= number < 600), None),
    )


def _page(body: bytes) -> str:
    """The message of a page of HTML: its title; of another text, the text."""
    text = body[:100_000].decode(errors="replace").strip()
    if not text.startswith("<"):
        return _clean(text[:2000])
    title = _TITLE.search(text)
    return f"an HTML page, titled “{_clean(html.unescape(title[1]))}”" if title else "an HTML page"


def _clean(text: str) -> str:
    return _SECRET.sub("[redacted]", text).strip()
