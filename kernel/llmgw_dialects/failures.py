"""What a provider's errors mean, whatever shape the vendor chose; a dialect adds how its own look to a client."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from llmgw import jsons, sse
from llmgw.errors import Kind, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamReply
from llmgw.model import JSON
from llmgw_dialects.cures import cure
from llmgw_dialects.retry import retry_after

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
    "usage_not_included": "billing",
    "usage_limit_reached": "rate_limited",
    "cyber_policy": "content_policy",
    "inference_hook_denied": "content_policy",
    "invalid_prompt": "invalid_request",
    "previous_response_not_found": "not_found",
    "bio_policy": "content_policy",
    "misalignment_policy_violation": "content_policy",
    "image_content_policy_violation": "content_policy",
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
_CURABLE: Final = (400, 404, 422)
"""Statuses of a refusal for what the request says; OpenAI answers 404 to an item that another account holds."""
_TOO_LONG: Final = re.compile(
    r"maximum context length|context (?:length|size|window)|prompt (?:is )?too long|too many (?:input )?tokens"
    r"|input token count .* exceeds the maximum",
    re.IGNORECASE,
)
_SECRET: Final = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|nvapi|AIza|ABSK|gh[opsu])[-_]?[A-Za-z0-9_\-]{12,}|\b(?:AQ|ya29)\.[A-Za-z0-9_\-]{12,}"
    r"|\beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*|(?<=Bearer )[A-Za-z0-9._~+/=\-]{16,}"
)
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@frozen
class Told:
    """What an error body says, in whatever shape the vendor chose."""

    message: str
    code: str = ""
    type: str = ""
    param: str | None = None
    status: int | None = None


def read_error(dialect: str, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """Classify a provider's error by its code, then its type, then its words, then its status."""
    tree = loaded(body)
    told = told_in(tree) if tree is not None else Told(_page(body))
    upstream = UpstreamReply(
        status,
        body,
        dialect=dialect if isinstance(tree, dict) else "",  # a page of HTML or a bare text is for the log alone
        headers=headers,
        content_type=headers.get("content-type", "application/json"),
    )
    return refused(told, status, upstream, headers)


def loaded(data: bytes) -> Any:
    """JSON, or None if it is none."""
    try:
        return jsons.loads(data)
    except jsons.JsonError:
        return None


def refused_in_band(dialect: str, error: JSON, body: bytes) -> UpstreamRefused:
    """The failure of a reply that began with a 200.

    Args:
        error: as ``error_in`` found it.
        body: the bytes that hold it: a body or frames, whatever they were called.
    """
    told = told_in({"error": error})
    whole = body.lstrip()[:1] in (b"{", b"[")
    content_type = "application/json" if whole else "text/event-stream"
    upstream = UpstreamReply(200, body, dialect=dialect, content_type=content_type, began=not whole and _began(body))
    return refused(told, told.status or 502, upstream, {})


def _began(stream: bytes) -> bool:
    """Whether the first frame that says anything is not the error itself."""
    first = next((data for frame in sse.frames(stream) if (data := sse.parse(frame)[1]) is not None), b"")
    tree = loaded(first)
    return isinstance(tree, dict) and not tree.get("error") and tree.get("type") not in ("error", "response.failed")


def broken(data: bytes, wanted: str) -> UpstreamBroken:
    """The failure of a provider whose reply is not what it should be."""
    return UpstreamBroken(f"The provider's answer cannot be read: {wanted}, but this came: {excerpt(data)}")


def excerpt(data: bytes, length: int = 200) -> str:
    """The first characters of what came, fit to stand in a message."""
    text = data[: 4 * length].decode(errors="replace")
    if text.lstrip().startswith("<"):
        text = _page(data)
    text = cleaned("".join(char if char.isprintable() else " " for char in text))
    return f"{text[:length]}…" if len(text) > length else text or "nothing"


def refused(told: Told, status: int, upstream: UpstreamReply, headers: Mapping[str, str]) -> UpstreamRefused:
    kind = kind_of(told, status)
    remedy, param = cure(told.message, told.code, told.param) if status in _CURABLE else (None, told.param)
    error = UpstreamRefused(
        told.message or f"The provider answered with status {status} and no message.",
        upstream=upstream,
        status=status,
        kind=kind,
        code=told.code or None,
        param=param,
        retry_after=retry_after(headers, told.message) if kind in ("rate_limited", "overloaded", "upstream_error") else None,
    )
    error.cure = remedy
    return error


def kind_of(told: Told, status: int) -> Kind:
    for word in (told.code.lower(), told.type.lower()):
        if word in _CODES:
            return _CODES[word]
        if word.endswith(("_spend_limit_exceeded", "_spend_limit_reached")):
            return "billing"
    if status in (400, 413, 422) and _TOO_LONG.search(told.message):
        return "context_length"
    if status == 404 and "model" in told.message.lower():
        return "model_not_found"
    return _STATUSES.get(status, "upstream_error" if status >= 500 else "invalid_request")


def told_in(tree: JSON) -> Told:
    match tree:
        case [first, *_]:  # Google's compatible endpoint wraps its errors in a list
            return told_in(first)
        case {"error": dict(error)}:
            return _from_object(error)
        case {"error": str(message)} if message:  # xAI: the code beside it is a sentence
            return Told(cleaned(message))
        case {"error": list(errors)} if errors:
            return told_in({"error": errors[0]})
        case {"detail": str(message)}:
            return Told(cleaned(message))
        case {"detail": detail}:  # FastAPI
            return Told(cleaned(jsons.dumps(detail).decode()))
        case dict():
            return _from_object(tree)
        case _:
            return Told(cleaned(tree if isinstance(tree, str) else jsons.dumps(tree).decode()))


def _from_object(error: dict[str, Any]) -> Told:
    code, kind, param = error.get("code"), error.get("type") or error.get("status"), error.get("param")
    message = next((error[key] for key in ("message", "msg", "error", "title") if isinstance(error.get(key), str)), None)
    numbers = (error.get("status_code"), code, error.get("status"))
    details = error.get("details")
    if code is None and isinstance(details, dict):  # Anthropic's finer word
        code = details.get("error_code")
    return Told(
        message=cleaned(message if message is not None else jsons.dumps(error).decode()),
        code=code if isinstance(code, str) else "",
        type=kind if isinstance(kind, str) else "",
        param=param if isinstance(param, str) else None,
        status=next((number for number in numbers if isinstance(number, int) and 400 <= number < 600), None),
    )


def _page(body: bytes) -> str:
    """The message of a page of HTML: its title; of another text, the text."""
    text = body[:100_000].decode(errors="replace").strip()
    if not text.startswith("<"):
        return cleaned(text[:2000]).strip()
    title = _TITLE.search(text)
    return f"an HTML page, titled “{cleaned(html.unescape(title[1])).strip()}”" if title else "an HTML page"


def cleaned(text: str) -> str:
    """A provider's words, to the letter, but for what looks like a key."""
    return _SECRET.sub("[redacted]", text)
