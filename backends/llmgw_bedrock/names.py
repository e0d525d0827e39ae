"""What Bedrock's names of models say."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

_PLACE: Final = re.compile(r"^[a-z-]+\.(?=[a-z0-9-]+\.)")
"""``us.``, ``eu.``, ``global.``: of an inference profile, which chooses among regions."""


def is_claude(name: str) -> bool:
    """Whether a name says that it is a model of Anthropic's."""
    return "claude" in name.lower() or "anthropic." in name.lower()


def quoted(name: str) -> str:
    """As one step of a path; AWS reads a colon either way, and this one no URL library writes otherwise."""
    return quote(name, safe=":")


def counted(name: str) -> str:
    """The model whose tokens are counted: only models themselves are asked, not inference profiles (AWS, "CountTokens")."""
    tail = name.rpartition(":inference-profile/")[2] if name.startswith("arn:") else name
    return _PLACE.sub("", tail)
