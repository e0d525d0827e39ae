"""What ChatGPT's server for Codex refuses, and what to do then."""

from __future__ import annotations

import logging
import re
from math import isfinite
from typing import Any, Final

from attrs import evolve

from llmgw import jsons
from llmgw.errors import Kind, UpstreamError
from llmgw_openai_oauth.login import ADVICE, INSTEAD

log = logging.getLogger("llmgw.backends")

_KINDS: Final[dict[str, Kind]] = {
    "usage_limit_reached": "rate_limited",
    "workspace_owner_usage_limit_reached": "rate_limited",
    "workspace_member_usage_limit_reached": "rate_limited",
    "workspace_owner_credits_depleted": "billing",
    "workspace_member_credits_depleted": "billing",
    "usage_not_included": "billing",
    "insufficient_quota": "billing",
    "cyber_policy": "content_policy",
    "inference_hook_denied": "content_policy",
}
_LIMIT: Final = f"To go on at once, use {INSTEAD}, or another model."
_CREDITS: Final = f"Add credits at https://chatgpt.com/codex/settings/usage, or use {INSTEAD}."
_PLAN: Final = f"This ChatGPT plan does not include Codex: upgrade it, or use {INSTEAD}."
_ADVICE: Final[dict[Kind, str]] = {"rate_limited": _LIMIT, "billing": _CREDITS}
_UNKNOWN_MODEL: Final = re.compile(r"\bmodel\b.*\bnot (?:supported|available|found)\b|model_not_found", re.IGNORECASE)
_UNSUPPORTED: Final = re.compile(r"unsupported parameter", re.IGNORECASE)
_CLOUDFLARE: Final = (
    "Cloudflare, which stands before chatgpt.com, turned the request away with a page of HTML. That is about this network or "
    f"address, not about the login: try another network, or use {INSTEAD}."
)


def explained(error: UpstreamError, now: float | None = None) -> UpstreamError:
    """An error with what to do about it; status and the provider's words stay.

    Args:
        error: as the dialect has read it.
        now: Unix seconds; None where nobody knows.
    """
    tree = _loaded(error)
    if tree is None and error.kind == "permission" and _is_cloudflares(error):
        error.code = "cloudflare"
        return _told(error, f"{_CLOUDFLARE}{_ray(error)}", tree)
    code = _code(error, tree)
    if code in _KINDS:
        error.kind, error.code = _KINDS[code], code
        error.retry_after = _wait(error, tree, now) if error.kind == "rate_limited" else None
        told = _PLAN if code == "usage_not_included" else _ADVICE.get(error.kind, "")
        return _saying(error, f"{_when(error.retry_after)}{told}", tree)
    if error.kind == "authentication":
        return _saying(error, f"ChatGPT does not take the login. {ADVICE}", tree)
    if error.kind in ("invalid_request", "not_found", "model_not_found") and _UNKNOWN_MODEL.search(error.message):
        error.kind = "model_not_found"
        return _saying(error, "The models that the plan has: GET /v1/models, or llmgw doctor.", tree)
    if _UNSUPPORTED.search(error.message):
        log.error("ChatGPT refused a field that llmgw takes it to know: %s", error.message)
    return _saying(error, "", tree) if tree is not None and "detail" in tree else error


def _code(error: UpstreamError, tree: dict[str, Any] | None) -> str:
    """The word for what is wrong: its code, its type, or in a header which of the plan's limits was reached."""
    inner = (tree or {}).get("error")
    places = [inner.get("code"), inner.get("type")] if isinstance(inner, dict) else []
    limit = error.upstream.headers.get("x-codex-rate-limit-reached-type") if error.upstream is not None else None
    told = [error.code, *places, limit if error.kind == "rate_limited" else None]
    return next((one for one in told if isinstance(one, str) and one in _KINDS), "")


def _wait(error: UpstreamError, tree: dict[str, Any] | None, now: float | None) -> float | None:
    """Seconds until the plan can be used again."""
    inner = (tree or {}).get("error")
    inner = inner if isinstance(inner, dict) else {}
    if (seconds := _number(inner.get("resets_in_seconds"))) is not None:
        return max(0.0, seconds)
    at = _number(inner.get("resets_at"))
    at = _reset(error) if at is None else at
    return error.retry_after if at is None or now is None else max(0.0, at - now)


def _reset(error: UpstreamError) -> float | None:
    """When the limits that are used up are restored, by the headers; in Unix seconds."""
    headers = error.upstream.headers if error.upstream is not None else {}
    found = []
    for name, value in headers.items():
        if name.startswith("x-codex-") and name.endswith("-used-percent") and (_number(value) or 0) >= 100:
            found.append(_number(headers.get(f"{name.removesuffix('used-percent')}reset-at")))
    return max((at for at in found if at is not None), default=None)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _when(seconds: float | None) -> str:
    """How long that is, for people."""
    if seconds is None:
        return ""
    minutes = max(1, round(seconds / 60))
    hours, rest = divmod(minutes, 60)
    days, left = divmod(hours, 24)
    told = f"{days} d {left} h" if days else f"{hours} h {rest} min" if hours else f"{rest} min"
    return f"The limit is restored in {told}. "


def _is_cloudflares(error: UpstreamError) -> bool:
    """Whether what is no JSON is a page of Cloudflare's, or at least came through it; a bare 403 may be anybody's."""
    upstream = error.upstream
    return upstream is not None and (upstream.body.lstrip().startswith(b"<") or "cf-ray" in upstream.headers)


def _ray(error: UpstreamError) -> str:
    ray = error.upstream.headers.get("cf-ray", "") if error.upstream is not None else ""
    return f" (cf-ray {ray})" if re.fullmatch(r"[\w-]{1,40}", ray) else ""


def _saying(error: UpstreamError, told: str, tree: dict[str, Any] | None) -> UpstreamError:
    return _told(error, f"{error.message.rstrip(' .')}. {told}".rstrip() if told else error.message, tree)


def _told(error: UpstreamError, message: str, tree: dict[str, Any] | None) -> UpstreamError:
    """The error with another message, in its body too: a client of this dialect reads more there, as when a limit ends."""
    error.message = message
    error.args = (message,)
    upstream = error.upstream
    if upstream is None or upstream.status < 400:
        return error
    if tree is not None and isinstance(tree.get("error"), dict):
        body = jsons.dumps({**tree, "error": {**tree["error"], "message": message}})
        error.upstream = evolve(upstream, body=body)
    else:  # which no SDK can read
        error.upstream = evolve(upstream, dialect="")
    return error


def _loaded(error: UpstreamError) -> dict[str, Any] | None:
    """The body, if it is an object; of an error in a stream, what the frame says is in the error itself."""
    upstream = error.upstream
    if upstream is None or upstream.status < 400:
        return {}
    try:
        tree = jsons.loads(upstream.body)
    except jsons.JsonError:
        return None
    return tree if isinstance(tree, dict) else None
