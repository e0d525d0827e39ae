"""Whose opaque state is whose: the vendor behind a dialect, and the family of models that its state is bound to."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

OPENAI: Final = frozenset({"openai.chat", "openai.responses"})
"""The dialects whose settings have OpenAI's names."""

VENDORS: Final = {
    "anthropic.messages": "anthropic",
    "openai.responses": "openai",
    "google.gemini": "google",
    "google.codeassist": "google",
}
"""Who reads the carriers of a dialect. Chat is spoken by everybody, so it says nothing of who is behind it."""

ANTHROPIC: Final = "anthropic.messages"
RESPONSES: Final = "openai.responses"
CHAT: Final = "openai.chat"

_FAMILY: Final = re.compile(r"claude|gpt-oss|gpt-\d+|gemini-\d+|o\d(?![a-z0-9])|[a-z]+")
_UNSAFE: Final = re.compile(r"[^a-z0-9_.-]")


def is_google(dialect: str) -> bool:
    """Whether a dialect is one of Google's."""
    return VENDORS.get(dialect) == "google"


def owner(dialect: str) -> str:
    """Who keeps the files and conversations that a client of a dialect speaks of."""
    return VENDORS.get(dialect, "openai")


@lru_cache(maxsize=1024)
def family(model: str) -> str:
    """The family of a model, which can read what another of it thought: ``claude``, ``gpt-5``, ``gemini-3``."""
    name = model.lower().rpartition("/")[2]
    for known in ("claude", "gemini-", "gpt-"):
        if (at := name.find(known)) > 0:
            name = name[at:]
    found = _FAMILY.match(name)
    return found[0] if found else _UNSAFE.sub("-", name)[:64]
