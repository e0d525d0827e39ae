"""What Azure's refusals mean, beyond what OpenAI's would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from llmgw import jsons
from llmgw.errors import UpstreamError

_UNKNOWN: Final = (
    "On Azure a model is called by the name of its deployment; Foundry's portal lists those under Deployments. "
    "One that is a few minutes old may not be known yet."
)
_STRANGER: Final = (
    "Check that the key, or the token's role (Cognitive Services OpenAI User), is of the very resource that base_url names."
)
_VERSION: Final = "api_version is for the older API alone; leave it out for the one of base_url/openai/v1."


def explained(error: UpstreamError) -> UpstreamError:
    """An error with what to do next, in the provider's own words before it; all else of it stays."""
    told = " ".join(_advice(error))
    if told and told not in error.message:
        error.message = f"{error.message.rstrip()} {told}"
        error.args = (error.message,)
    return error


def _advice(error: UpstreamError) -> Iterator[str]:
    tree = _body(error)
    code = str(tree.get("code", ""))
    if code == "DeploymentNotFound":
        yield _UNKNOWN
    elif error.kind == "authentication" or code == "PermissionDenied":
        yield _STRANGER
    elif error.kind == "content_policy":
        yield from _filtered(tree)
    elif "api version" in error.message.lower() or "api-version" in error.message.lower():
        yield _VERSION


def _filtered(tree: dict[str, Any]) -> Iterator[str]:
    """For what the filter stopped a prompt (Microsoft Learn, "Content filtering")."""
    inner = tree.get("innererror")
    result = inner.get("content_filter_result") if isinstance(inner, dict) else None
    found = [_category(name, verdict) for name, verdict in (result or {}).items() if _stopped(verdict)]
    if found:
        yield f"Azure's content filter stopped it for: {', '.join(found)}."


def _stopped(verdict: object) -> bool:
    return isinstance(verdict, dict) and (verdict.get("filtered") is True or verdict.get("detected") is True)


def _category(name: str, verdict: dict[str, Any]) -> str:
    severity = verdict.get("severity")
    return f"{name} ({severity})" if isinstance(severity, str) else name


def _body(error: UpstreamError) -> dict[str, Any]:
    try:
        tree = jsons.loads(error.upstream.body) if error.upstream is not None else None
    except jsons.JsonError:
        return {}
    inner = tree.get("error", tree) if isinstance(tree, dict) else None
    return inner if isinstance(inner, dict) else {}
