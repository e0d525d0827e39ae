"""JSON Web Tokens, as far as their bearer may look into them."""

from __future__ import annotations

import base64
import binascii
from math import isfinite
from typing import Any

from llmgw import jsons


def claims(token: str) -> dict[str, Any]:
    """What a token says of itself, unverified, for only its issuer could be deceived; empty for one that is no JWT (RFC 7519)."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = jsons.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, jsons.JsonError):
        return {}
    return found if isinstance(found, dict) else {}


def expiry(token: str) -> float | None:
    """When a token ends, in Unix seconds; None where it does not say."""
    told = claims(token).get("exp")
    if not isinstance(told, int | float) or isinstance(told, bool):
        return None
    try:
        at = float(told)
    except OverflowError:
        return None
    return at if isfinite(at) else None
