"""What Code Assist says of an account: its tier, its project, and why it lets nobody in.

Source: gemini-cli, ``packages/core/src/code_assist/setup.ts`` and ``types.ts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from llmgw.errors import Kind, UpstreamError
from llmgw_gemini_cli.advice import ALTERNATIVE, DISCONTINUED, GONE, linked

INDIVIDUALS: Final = frozenset({"free-tier", "legacy-tier"})
"""The tiers that were shut in June 2026."""
STANDARD: Final[Mapping[str, Any]] = {"currentTier": {"id": "standard-tier"}}
"""What is true of an account within VPC Service Controls, which may not ask."""


class Ineligible(UpstreamError):
    """Code Assist does not serve this account; no retry helps."""

    status = 403
    kind: Kind = "permission"
    code: str | None = "account_ineligible"


@frozen
class Tier:
    """A tier that an account may be put into.

    Args:
        id: its name.
        needs_project: whether the account must bring a project of its own.
    """

    id: str
    needs_project: bool


def metadata(project: str | None) -> dict[str, str]:
    """Who asks: nobody whom Google knows by a name.

    Args:
        project: the account's, where it has one.
    """
    unknown = {"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "PLUGIN_UNSPECIFIED"}
    return {**unknown, "duetProject": project} if project else unknown


def project_in(tree: Mapping[str, Any]) -> str | None:
    """The project that an answer names, which ``loadCodeAssist`` writes as a text and ``onboardUser`` as an object."""
    told = tree.get("cloudaicompanionProject")
    if isinstance(told, dict):
        told = told.get("id")
    return told if isinstance(told, str) and told else None


def current(tree: Mapping[str, Any]) -> str | None:
    """The tier that an account is in."""
    tier = tree.get("currentTier")
    return str(tier.get("id") or "unknown") if isinstance(tier, dict) else None


def offered(tree: Mapping[str, Any]) -> Tier:
    """The tier that an account is put into which is in none yet."""
    known = [one for one in _objects(tree, "allowedTiers") if isinstance(one.get("id"), str)]
    default = next((one for one in known if one.get("isDefault")), None)
    if default is None:
        return Tier("legacy-tier", needs_project=True)
    return Tier(default["id"], needs_project=bool(default.get("userDefinedCloudaicompanionProject")))


def refusal(tree: Mapping[str, Any]) -> Ineligible | None:
    """Why this account is not served; None where it is.

    An account may be told why it cannot have another tier than the one that it is in, which is no refusal.
    """
    tier = current(tree)
    reasons = [one for one in _objects(tree, "ineligibleTiers") if tier in (None, one.get("tierId")) or tier in INDIVIDUALS]
    for one in reasons:
        if one.get("reasonCode") == DISCONTINUED:
            return Ineligible(GONE, code="backend_discontinued")
    for one in reasons:
        if one.get("reasonCode") == "VALIDATION_REQUIRED":
            return Ineligible(linked(one.get("validationUrl")), code="validation_required")
    if tier is None and reasons and not _objects(tree, "allowedTiers"):
        told = " ".join(str(one.get("reasonMessage") or one.get("reasonCode") or "").rstrip(".") + "." for one in reasons)
        return Ineligible(f"Code Assist does not serve this account: {told} {ALTERNATIVE}")
    return None


def _objects(tree: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    told = tree.get(key)
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
