"""What to do about Code Assist's refusals, which are written for the Gemini CLI and its users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import evolve
from yarl import URL

from llmgw import jsons
from llmgw.errors import Kind, UpstreamError
from llmgw_dialects.retry import duration

ALTERNATIVE: Final = (
    "Use the back-end 'gemini' with a GEMINI_API_KEY (https://aistudio.google.com/apikey), or 'vertex' with a project of Google "
    "Cloud."
)
DISCONTINUED: Final = "UNSUPPORTED_CLIENT"
GONE: Final = (
    "Google has ended Code Assist for individuals on 18 June 2026: this account can no longer be used here, and asking again "
    f"will not help. {ALTERNATIVE} With a licence of Code Assist Standard or Enterprise, log in with the account that has it."
)
LICENCE: Final = (
    "The account needs a licence of Gemini Code Assist Standard or Enterprise, and the role Gemini for Google Cloud User "
    "(roles/cloudaicompanion.user) in the project {project}; the back-end 'vertex' bills the project itself and needs no licence."
)
LONG: Final = 300.0
"""Seconds of waiting from which on a limit is a quota that is used up."""

_KINDS: Final[Mapping[str, Kind]] = {
    "MODEL_CAPACITY_EXHAUSTED": "overloaded",
    "MODEL_CAPACITY_EXCEEDED": "overloaded",
    "INSUFFICIENT_G1_CREDITS_BALANCE": "billing",
    "QUOTA_EXHAUSTED": "billing",
    DISCONTINUED: "permission",
    "VALIDATION_REQUIRED": "permission",
}
_REASONS: Final[Mapping[str, str]] = {
    "SERVICE_DISABLED": "Run: gcloud services enable cloudaicompanion.googleapis.com --project {project}",
    "CONSUMER_INVALID": "There is no project '{project}', or it was deleted: `project` must be its id, not its number or name.",
    "USER_PROJECT_DENIED": (
        "The quota project of your credentials is not one that you may use. Run: "
        "gcloud auth application-default set-quota-project {project}"
    ),
    "SECURITY_POLICY_VIOLATED": "The project lies within VPC Service Controls, which do not let this machine in.",
    "MODEL_CAPACITY_EXHAUSTED": "Google has no room for this model now: ask another one, or again later.",
    "MODEL_CAPACITY_EXCEEDED": "Google has no room for this model now: ask another one, or again later.",
    "INSUFFICIENT_G1_CREDITS_BALANCE": f"The account's credits are used up for this model: ask another one. {ALTERNATIVE}",
    "QUOTA_EXHAUSTED": f"The account's quota for this model is used up: ask another one, or wait. {ALTERNATIVE}",
    DISCONTINUED: GONE,
}
"""By ``ErrorInfo.reason`` (https://cloud.google.com/apis/design/errors)."""
_CODES: Final[Mapping[str, str]] = {DISCONTINUED: "backend_discontinued", "VALIDATION_REQUIRED": "validation_required"}


def explained(error: UpstreamError, project: str, login: str) -> UpstreamError:
    """Google's refusal, classed, and with what to do about it.

    Args:
        error: as the dialect has read it.
        project: the one that was asked with, if any.
        login: what to do where the login is not taken.
    """
    reason = error.code or ""
    if reason in _KINDS:
        error.kind = _KINDS[reason]
    _set_wait(error)
    told = _told(error, reason, project, login)
    if told:
        error.message = told if reason in _CODES else f"{error.message.rstrip()} {told}"
        error.args = (error.message,)
    if reason in _CODES:
        error.code = _CODES[reason]
        if error.upstream is not None:  # what Google says there means something to its own CLI alone
            error.upstream = evolve(error.upstream, dialect="")
    return error


def linked(url: object) -> str:
    """What to say to an account that Google wants to see first.

    Args:
        url: where it does that, as it told; another's is not shown.
    """
    where = str(URL(url)) if isinstance(url, str) and _is_googles(url) else "https://accounts.google.com"
    return f"Google wants this account to be verified before it is used: open {where} in a browser. {ALTERNATIVE}"


def _told(error: UpstreamError, reason: str, project: str, login: str) -> str:
    if reason == "VALIDATION_REQUIRED":
        return linked(next(_links(error), None))
    if reason in _REASONS:
        return _REASONS[reason].format(project=project or "PROJECT")
    match error.kind:
        case "authentication":
            return login
        case "permission":
            return LICENCE.format(project=project or "PROJECT")
        case "model_not_found" | "not_found":
            return "Code Assist serves fewer models than the Gemini API; those of this account: llmgw doctor, or GET /v1/models."
        case "billing":
            return _REASONS["QUOTA_EXHAUSTED"]
        case _:
            return ""


def _set_wait(error: UpstreamError) -> None:
    """When the quota comes back, which stands in the details; a long wait is no rate limit."""
    if error.kind not in ("rate_limited", "billing"):
        return
    for detail in _details(error):
        told = detail.get("metadata")
        delay = duration(str(told.get("quotaResetDelay", ""))) if isinstance(told, dict) else None
        if delay is not None:
            error.retry_after = max(delay, error.retry_after or 0.0)
    if error.kind == "rate_limited" and error.retry_after is not None and error.retry_after > LONG:
        error.kind = "billing"


def _links(error: UpstreamError) -> Iterator[str]:
    """Those of Google's own."""
    for detail in _details(error):
        found = detail.get("links")
        told = detail.get("metadata")
        listed = [one.get("url") for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        for url in (told.get("validation_link") if isinstance(told, dict) else None, *listed):
            if isinstance(url, str) and _is_googles(url):
                yield url


def _is_googles(url: str) -> bool:
    try:
        read = URL(url)
    except ValueError:
        return False
    return read.scheme == "https" and f".{read.host}".endswith(".google.com")


def _details(error: UpstreamError) -> list[dict[str, Any]]:
    if error.upstream is None:
        return []
    try:
        tree = jsons.loads(error.upstream.body)
    except jsons.JsonError:
        return []
    inner = tree.get("error") if isinstance(tree, dict) else None
    told = inner.get("details") if isinstance(inner, dict) else None
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
