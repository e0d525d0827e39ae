"""What OpenRouter's refusals mean (its manual, "Errors"): its own, and those of the provider that it asked."""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve, frozen

from llmgw import jsons, sse
from llmgw.errors import Kind, UpstreamError, UpstreamReply
from llmgw.model import JSON
from llmgw_dialects.cures import cure
from llmgw_dialects.failures import Told, cleaned, excerpt, kind_of, loaded, told_in
from llmgw_dialects.retry import retry_after

_IN_FLIGHT: Final = "openrouter_in_flight_budget"
_CREDITS: Final = "Add credits at https://openrouter.ai/settings/credits, raise the key's limit, or ask a model that is ':free'."
_KEY: Final = "Make a new key at https://openrouter.ai/settings/keys and export it as OPENROUTER_API_KEY."
_ROUTES: Final = (
    "Allow more providers in the request's own 'provider' field, or at https://openrouter.ai/settings/privacy, or name another "
    "model."
)
_FINER: Final[frozenset[Kind]] = frozenset({"context_length", "content_policy"})
"""Kinds that the provider's own words tell better than OpenRouter's status."""


@frozen
class _Said:
    """OpenRouter's error.

    Args:
        code: an HTTP status.
        metadata: what it says of the provider behind it, of a moderation, or of limits.
    """

    code: int
    metadata: dict[str, Any]

    @property
    def raw(self) -> str:
        """The provider's own words."""
        raw = self.metadata.get("raw")
        return raw if isinstance(raw, str) else "" if raw is None else jsons.dumps(raw).decode()

    @property
    def moderated(self) -> bool:
        """Whether a moderation stopped the prompt."""
        return "flagged_input" in self.metadata or bool(self.metadata.get("reasons"))


def explained(error: UpstreamError, now: float | None) -> UpstreamError:
    """The error, its kind and its waiting time as OpenRouter's metadata have them, and with what to do next.

    Args:
        error: as its dialect read it.
        now: Unix seconds, for times at which a limit is restored.
    """
    if error.upstream is None:
        return error
    said = _said(error.upstream)
    if said.code == 402 and said.metadata.get("limit_source") == _IN_FLIGHT and _waits(error.upstream, said) is not None:
        return _delayed(error, error.upstream, said)
    error.kind = _kind(error, said)
    if error.cure is None and said.raw and said.code in (400, 422):
        behind = _told_behind(said)
        error.cure, error.param = cure(behind.message, behind.code, behind.param)
    if error.kind == "rate_limited" and error.retry_after is None:
        error.retry_after = _restored(error.upstream, said, now)
    for told in (_behind(said), _advice(error, said)):
        if told and told not in error.message:
            error.message = f"{error.message.rstrip()} {told}"
    error.args = (error.message,)
    return error


def _delayed(error: UpstreamError, upstream: UpstreamReply, said: _Said) -> UpstreamError:
    """Requests that still run hold the credits: a 402 to which no client would come back, though it should."""
    error.kind, error.status, error.retry_after = "rate_limited", 429, _waits(upstream, said)
    error.upstream = evolve(upstream, dialect="")
    error.message = f"{error.message.rstrip()} Credits are held by requests that still run; ask again when they have ended."
    error.args = (error.message,)
    return error


def _waits(upstream: UpstreamReply, said: _Said) -> float | None:
    return retry_after({**_headers(said), **upstream.headers})


def _kind(error: UpstreamError, said: _Said) -> Kind:
    if said.code == 402:
        return "billing"
    if said.moderated:
        return "content_policy"
    words = error.message.lower()
    if "no endpoints found for" in words or "is not a valid model" in words:
        return "model_not_found"
    finer = _kind_behind(said)
    return finer if finer in _FINER else error.kind


def _told_behind(said: _Said) -> Told:
    tree = loaded(said.raw.encode("utf-8", "surrogatepass"))
    return told_in(tree) if isinstance(tree, (dict, list)) and tree else Told(said.raw)


def _kind_behind(said: _Said) -> Kind | None:
    if not said.raw:
        return None
    told = _told_behind(said)
    return "content_policy" if "violates usage guidelines" in told.message else kind_of(told, said.code)  # xAI's words


def _behind(said: _Said) -> str:
    """What the provider said, of which OpenRouter's own message often tells only that it did."""
    if not said.raw:
        return ""
    name, told = said.metadata.get("provider_name"), _told_behind(said).message
    words = excerpt(told.encode("utf-8", "surrogatepass"), 500)
    return f"{name if isinstance(name, str) else 'The provider'} said: {words}"


def _advice(error: UpstreamError, said: _Said) -> str:
    if error.kind == "billing":
        return _CREDITS
    if error.kind == "authentication":
        return _KEY
    if said.moderated:
        reasons = said.metadata.get("reasons")
        return f"It was flagged for: {cleaned(', '.join(map(str, reasons)))}." if isinstance(reasons, list) and reasons else ""
    return _ROUTES if said.code == 404 else ""


def _restored(upstream: UpstreamReply, said: _Said, now: float | None) -> float | None:
    """Seconds until ``X-RateLimit-Reset``, which is in milliseconds; for free models it stands only in the metadata."""
    headers = {**_headers(said), **upstream.headers}
    exact = retry_after(headers)
    if exact is not None or now is None:
        return exact
    try:
        return max(0.0, float(headers.get("x-ratelimit-reset", "")) / 1000 - now)
    except ValueError:
        return None


def _headers(said: _Said) -> dict[str, str]:
    headers = said.metadata.get("headers")
    return {name.lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}


def _said(upstream: UpstreamReply) -> _Said:
    error = _error_in(upstream)
    code, metadata = error.get("code"), error.get("metadata")
    number = code if isinstance(code, int) and upstream.status < 400 else upstream.status
    return _Said(number, metadata if isinstance(metadata, dict) else {})


def _error_in(upstream: UpstreamReply) -> dict[str, Any]:
    """The error of a body, of one choice in it, or of a frame of a stream."""
    if upstream.body.lstrip()[:1] == b"{":
        return _error(loaded(upstream.body)) or {}
    frames = (sse.parse(frame)[1] for frame in sse.frames(upstream.body))
    return next((error for data in frames if data is not None and (error := _error(loaded(data)))), {})


def _error(tree: JSON) -> dict[str, Any] | None:
    if not isinstance(tree, dict):
        return None
    choices = tree.get("choices")
    for one in (tree, *(choices if isinstance(choices, list) else ())):
        error = one.get("error") if isinstance(one, dict) else None
        if isinstance(error, dict):
            return error
    return None
