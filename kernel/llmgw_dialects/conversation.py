"""Which conversation a request goes on with, told without reading the prompt.

Clients resend the whole history, so that how it begins names it: up to what the person said first. The digest is no secret's
hiding place: it is compared, and shown to nobody.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON

_LONGEST: Final = 256
"""Characters of an id that a client may make up."""


def by_id(name: str, ident: JSON) -> str | None:
    """A conversation by the id that a client has given it, if it has."""
    return f"{name}:{ident[:_LONGEST]}" if isinstance(ident, str) and ident else None


def by_opening(history: JSON, *above: JSON) -> str | None:
    """A conversation by how it begins.

    Args:
        history: the turns as they were sent: a list of objects with a role, or one text.
        above: what else stands before them: a system prompt.
    """
    if isinstance(history, str):
        return _digest([*above, history]) if history else None
    opening: list[JSON] = []
    for turn in history if isinstance(history, list) else ():
        opening.append(turn)
        if _role(turn) == "user":
            return _digest([*above, *opening])
    return None


def _role(turn: Any) -> JSON:
    """Who speaks; the user where nobody is named, as in Gemini's shortest requests."""
    return turn.get("role", "user") if isinstance(turn, dict) else None


def _digest(values: list[JSON]) -> str:
    return f"begins:{sha256(jsons.dumps(values)).hexdigest()[:32]}"
